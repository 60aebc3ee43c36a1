//! An executor that runs a worker's task when it is told to, and drops one when it is told to.

use super::lock;
use fanpool::{BoxFuture, SpawnError, Spawner, WorkerId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::*};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

/// Clones are the same executor.
#[derive(Clone, Default)]
pub struct ByHand {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    tasks: Mutex<BTreeMap<WorkerId, Arc<Task>>>,
    built: AtomicBool,
    /// Whether to refuse a replacement: asked for each.
    refuses: Mutex<Option<Box<dyn FnMut() -> bool + Send>>>,
    news: Mutex<u64>,
    changed: Condvar,
}

struct Task {
    /// Out while it is polled.
    future: Mutex<Option<BoxFuture<'static, ()>>>,
    woken: AtomicBool,
    aborted: AtomicBool,
    shared: Arc<Shared>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, SeqCst);
        *lock(&self.shared.news) += 1;
        self.shared.changed.notify_all();
    }
}

impl Spawner for ByHand {
    fn spawn(&self, worker: WorkerId, task: BoxFuture<'static, ()>) -> Result<(), SpawnError> {
        if self.shared.built.load(SeqCst) {
            if let Some(refuses) = &mut *lock(&self.shared.refuses) {
                if refuses() {
                    return Err(SpawnError::new("no replacements today"));
                }
            }
        }
        let task = Arc::new(Task {
            future: Mutex::new(Some(task)),
            woken: AtomicBool::new(true),
            aborted: AtomicBool::new(false),
            shared: self.shared.clone(),
        });
        let old = lock(&self.shared.tasks).insert(worker, task.clone());
        drop(old);
        // So that whoever waits for work looks again.
        *lock(&self.shared.news) += 1;
        self.shared.changed.notify_all();
        Ok(())
    }
}

impl ByHand {
    pub fn new() -> Self {
        ByHand::default()
    }

    /// From now on, tasks to spawn are replacements, and `refuses` is asked about each.
    pub fn refuse_replacements(&self, refuses: impl FnMut() -> bool + Send + 'static) {
        *lock(&self.shared.refuses) = Some(Box::new(refuses));
        self.shared.built.store(true, SeqCst);
    }

    pub fn workers(&self) -> Vec<WorkerId> {
        lock(&self.shared.tasks).keys().copied().collect()
    }

    fn task(&self, worker: WorkerId) -> Option<Arc<Task>> {
        lock(&self.shared.tasks).get(&worker).cloned()
    }

    /// Polls a worker once, if it was woken. Answers whether it was.
    pub fn poll(&self, worker: WorkerId) -> bool {
        let Some(task) = self.task(worker) else {
            return false;
        };
        let Some(mut future) = lock(&task.future).take() else {
            return false;
        };
        let woken = task.woken.swap(false, SeqCst);
        if woken && !task.aborted.load(SeqCst) {
            let waker = Waker::from(task.clone());
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            if polled.is_ready() {
                return true;
            }
        }
        // In this order: an abort or a wake that came meanwhile did not find the future.
        *lock(&task.future) = Some(future);
        if task.aborted.load(SeqCst) {
            let future = lock(&task.future).take();
            drop(future);
            return true;
        }
        woken || task.woken.load(SeqCst) && self.poll(worker)
    }

    /// Polls one worker until it sleeps.
    pub fn run_only(&self, worker: WorkerId) {
        while self.poll(worker) {}
    }

    /// Polls all workers, in turn, until all of them sleep.
    pub fn run(&self) {
        while self.run_a_turn() {}
    }

    fn run_a_turn(&self) -> bool {
        let mut any = false;
        for worker in self.workers() {
            any |= self.poll(worker);
        }
        any
    }

    /// Polls on this thread whoever is woken, until `over`.
    pub fn serve(&self, over: &AtomicBool) {
        while !over.load(SeqCst) {
            let seen = *lock(&self.shared.news);
            if self.run_a_turn() {
                continue;
            }
            let mut news = lock(&self.shared.news);
            while *news == seen && !over.load(SeqCst) {
                news = self
                    .shared
                    .changed
                    .wait(news)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Ends those that serve.
    pub fn end(&self, over: &AtomicBool) {
        over.store(true, SeqCst);
        *lock(&self.shared.news) += 1;
        self.shared.changed.notify_all();
    }

    /// Drops a worker's task: now, or after the poll under way.
    pub fn abort(&self, worker: WorkerId) {
        if let Some(task) = self.task(worker) {
            task.aborted.store(true, SeqCst);
            let future = lock(&task.future).take();
            drop(future);
        }
    }
}
