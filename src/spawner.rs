//! Where workers live: on threads of the pool's own, or on an executor.

use crate::id::WorkerId;
use crate::sync::boxed::{BoxError, BoxFuture};
use crate::sync::panics::{contain, dispose};
use crate::wait::park::block_on;
use std::cell::Cell;
use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Gives workers a place to run.
///
/// A closure is a spawner: `|task| { tokio::spawn(task); }`, or `|task| smol::spawn(task).detach()`. For other
/// executors see `docs/runtimes.md` in the repository.
///
/// # Contract
///
/// The pool calls [`spawn`](Self::spawn) once for each worker while it is built, on the building thread. It calls it
/// again when a worker's task was dropped before its end, wherever that happened. An implementation has the task polled
/// to its end, or drops it. A task kept without being polled keeps its jobs, and shutdowns wait for it. A panic counts
/// as a failed spawn.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not give workers a place to run",
    note = "a closure does: `|worker| {{ tokio::spawn(worker); }}`, ending in `;` so that it returns nothing"
)]
pub trait Spawner: Send + Sync + 'static {
    /// Starts a worker's task. The task ends when the pool does.
    ///
    /// # Errors
    ///
    /// When the task cannot be started. While the pool is built, the build fails. A running pool goes on with its other
    /// workers, and is over when none is left.
    fn spawn(&self, worker: WorkerId, task: BoxFuture<'static, ()>) -> Result<(), SpawnError>;

    /// Receives the pool's name, before the first `spawn`.
    fn set_pool_name(&mut self, name: &str) {
        let _ = name;
    }

    /// Returns whether each task has a thread of its own, where it may spin and need not yield to others.
    fn is_dedicated(&self) -> bool {
        false
    }

    /// Waits until whatever ran the worker's task is gone, too. A shutdown calls it after the task ended, never the
    /// worker itself. May block for the moment that takes.
    fn join(&self, worker: WorkerId) {
        let _ = worker;
    }
}

impl<F> Spawner for F
where
    F: Fn(BoxFuture<'static, ()>) + Send + Sync + 'static,
{
    fn spawn(&self, _: WorkerId, task: BoxFuture<'static, ()>) -> Result<(), SpawnError> {
        self(task);
        Ok(())
    }
}

impl Spawner for Box<dyn Spawner> {
    fn spawn(&self, worker: WorkerId, task: BoxFuture<'static, ()>) -> Result<(), SpawnError> {
        (**self).spawn(worker, task)
    }

    fn set_pool_name(&mut self, name: &str) {
        (**self).set_pool_name(name);
    }

    fn is_dedicated(&self) -> bool {
        (**self).is_dedicated()
    }

    fn join(&self, worker: WorkerId) {
        (**self).join(worker);
    }
}

/// The error of a worker's task that could not be started.
#[derive(Debug)]
pub struct SpawnError {
    source: BoxError,
}

impl SpawnError {
    /// Makes an error with this reason.
    pub fn new(reason: impl Into<BoxError>) -> Self {
        SpawnError {
            source: reason.into(),
        }
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl Error for SpawnError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}

std::thread_local! {
    /// Whether this is a thread of some pool, down to its last destructors.
    static OF_A_POOL: Cell<bool> = const { Cell::new(false) };
}

type Hook = Arc<dyn Fn(WorkerId) + Send + Sync>;

/// Runs each worker on a thread of its own: the default.
///
/// Threads are named `pool-dispatcher.worker` (Linux shows the first 15 bytes). The pool's shutdown joins them.
/// Handlers on them may block.
///
/// ```
/// use fanpool::{Pool, Threads, handler_fn};
///
/// let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, std::io::Error>(n + 1)))
///     .name("adders")
///     .workers_per_dispatcher(2)
///     .spawner(
///         Threads::new()
///             .stack_size(1 << 20)
///             .on_start(|worker| println!("{worker} starts"))
///             .on_stop(|worker| println!("{worker} stops")),
///     )
///     .build()?;
/// assert_eq!(pool.run_blocking(1)?, 2);
/// pool.shutdown_blocking();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Threads {
    pool_name: String,
    stack_size: Option<usize>,
    on_start: Option<Hook>,
    on_stop: Option<Hook>,
    /// By worker. A replaced worker has had more than one thread.
    handles: Mutex<HashMap<WorkerId, Vec<JoinHandle<()>>>>,
}

impl Threads {
    /// Uses the standard library's stack size and no hooks.
    pub fn new() -> Self {
        Threads::default()
    }

    /// Sets the size of each thread's stack, in bytes.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Sets a hook that each thread calls before its worker starts. Its panics are contained.
    pub fn on_start(mut self, hook: impl Fn(WorkerId) + Send + Sync + 'static) -> Self {
        self.on_start = Some(Arc::new(hook));
        self
    }

    /// Sets a hook that each thread calls after its worker ended. Its panics are contained.
    pub fn on_stop(mut self, hook: impl Fn(WorkerId) + Send + Sync + 'static) -> Self {
        self.on_stop = Some(Arc::new(hook));
        self
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads")
            .field("pool_name", &self.pool_name)
            .field("stack_size", &self.stack_size)
            .finish_non_exhaustive()
    }
}

fn call_hook(hook: Option<Hook>, worker: WorkerId) {
    if let Some(hook) = hook {
        if let Err(panic) = contain(|| hook(worker)) {
            dispose(panic);
        }
    }
}

impl Spawner for Threads {
    fn spawn(&self, worker: WorkerId, mut task: BoxFuture<'static, ()>) -> Result<(), SpawnError> {
        let mut builder = std::thread::Builder::new().name(format!("{}-{worker}", self.pool_name));
        if let Some(bytes) = self.stack_size {
            builder = builder.stack_size(bytes);
        }
        let (on_start, on_stop) = (self.on_start.clone(), self.on_stop.clone());
        // Held over the spawn, so that no shutdown misses the handle.
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        let spawned = builder.spawn(move || {
            OF_A_POOL.set(true);
            call_hook(on_start, worker);
            let ended = contain(|| block_on(task.as_mut()));
            call_hook(on_stop, worker);
            // The worker counts as gone once its task is dropped, which is after the hook.
            dispose((task, ended.err()));
        });
        let handle = spawned.map_err(SpawnError::new)?;
        handles.entry(worker).or_default().push(handle);
        Ok(())
    }

    fn set_pool_name(&mut self, name: &str) {
        self.pool_name = name.to_owned();
    }

    fn is_dedicated(&self) -> bool {
        true
    }

    fn join(&self, worker: WorkerId) {
        if OF_A_POOL.get() {
            // Two pool threads that end at once might wait for each other.
            return;
        }
        let handles = self
            .handles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&worker);
        for handle in handles.into_iter().flatten() {
            if handle.thread().id() != std::thread::current().id() {
                // Panics on the thread were contained.
                let _ = handle.join();
            }
        }
    }
}
