//! What every integration test stands on: the ledger that accounts for each job, and a watchdog that
//! ends a test that hangs and says where its jobs were.
#![allow(dead_code, unreachable_pub)]

pub mod by_hand;

use fanpool::{Metrics, Submitter};
use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::Wake;
use std::time::Duration;

/// How long a test may take before it counts as hung.
const LIMIT: Duration = Duration::from_secs(30);

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Accounts for every job of a test: made once, run at most once, dropped once, one outcome.
#[derive(Clone, Default)]
pub struct Ledger {
    entries: Arc<Mutex<BTreeMap<u64, Entry>>>,
    pools: Arc<Mutex<Vec<Box<dyn Fn() -> Metrics + Send>>>>,
}

#[derive(Debug, Default)]
struct Entry {
    started: u32,
    ended: u32,
    dropped: u32,
    outcome: Option<String>,
}

/// A job that reports its own life.
pub struct Payload {
    id: u64,
    ledger: Ledger,
}

impl Payload {
    pub fn id(&self) -> u64 {
        self.id
    }

    /// To be called by the handler, around what it does.
    pub fn run<R>(&self, act: impl FnOnce() -> R) -> R {
        self.started();
        let result = act();
        self.ended();
        result
    }

    pub fn started(&self) {
        self.ledger.at(self.id, |entry| entry.started += 1);
    }

    pub fn ended(&self) {
        self.ledger.at(self.id, |entry| entry.ended += 1);
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.ledger.at(self.id, |entry| entry.dropped += 1);
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({})", self.id)
    }
}

impl Ledger {
    pub fn new() -> Self {
        Ledger::default()
    }

    fn at(&self, id: u64, change: impl FnOnce(&mut Entry)) {
        change(lock(&self.entries).entry(id).or_default());
    }

    /// The next job.
    pub fn job(&self) -> Payload {
        let mut entries = lock(&self.entries);
        let id = entries.len() as u64;
        entries.insert(id, Entry::default());
        Payload {
            id,
            ledger: self.clone(),
        }
    }

    /// What the caller was told about a job; a second outcome for the same job fails the test.
    pub fn outcome(&self, id: u64, outcome: impl std::fmt::Debug) {
        let outcome = format!("{outcome:?}");
        self.at(id, |entry| {
            let before = entry.outcome.replace(outcome.clone());
            assert_eq!(before, None, "job {id} has a second outcome: {outcome}");
        });
    }

    /// Lets the watchdog show the pool's counters, and `close` check them.
    pub fn watch<J, T, E>(&self, pool: &Submitter<J, T, E>)
    where
        J: Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        // Weak, so that watching does not keep the pool open.
        let pool = pool.downgrade();
        let last = Mutex::new(Metrics::default());
        lock(&self.pools).push(Box::new(move || {
            let mut last = lock(&last);
            if let Some(pool) = pool.upgrade() {
                *last = pool.metrics();
            }
            *last
        }));
    }

    pub fn started(&self) -> usize {
        lock(&self.entries)
            .values()
            .filter(|entry| entry.started > 0)
            .count()
    }

    pub fn made(&self) -> usize {
        lock(&self.entries).len()
    }

    /// Closes the books at the end of a test, when the pool is shut down and every handle is gone.
    pub fn close(&self, counts: Metrics) {
        assert_conserved(counts);
        assert_eq!(counts.waiting, 0, "{counts}");
        assert_eq!(counts.running, 0, "{counts}");
        assert_eq!(counts.deferred, 0, "{counts}");
        let entries = lock(&self.entries);
        for (id, entry) in entries.iter() {
            assert!(entry.started <= 1, "job {id} ran twice: {entry:?}");
            assert_eq!(entry.dropped, 1, "job {id} was not dropped once: {entry:?}");
        }
        let started = entries.values().filter(|entry| entry.started > 0).count() as u64;
        let ran = counts.completed + counts.failed + counts.panicked;
        assert!(
            started >= ran && started <= ran + counts.abandoned,
            "{started} jobs started, but {counts}"
        );
    }

    /// The same for a test whose jobs are not payloads.
    pub fn close_with_foreign_jobs(&self, counts: Metrics) {
        assert_conserved(counts);
        assert_eq!(
            counts.waiting + counts.running + counts.deferred,
            0,
            "{counts}"
        );
    }

    /// The same where no counters are left to ask, since the pool is gone with its last handle.
    pub fn close_without_counts(&self) {
        for (id, entry) in lock(&self.entries).iter() {
            assert!(entry.started <= 1, "job {id} ran twice: {entry:?}");
            assert_eq!(entry.dropped, 1, "job {id} was not dropped once: {entry:?}");
        }
    }

    pub fn dropped(&self) -> usize {
        lock(&self.entries)
            .values()
            .filter(|entry| entry.dropped > 0)
            .count()
    }

    fn report(&self) -> String {
        let mut report = String::new();
        for pool in lock(&self.pools).iter() {
            report += &format!("pool: {}\n", pool());
        }
        for (id, entry) in lock(&self.entries).iter() {
            let place = match entry {
                Entry { dropped: 1.., .. } => "over",
                Entry {
                    started: 1..,
                    ended: 0,
                    ..
                } => "RUNNING",
                Entry { started: 1.., .. } => "ran, not dropped",
                _ => "WAITING (queue, submitter or caller)",
            };
            if place != "over" || entry.outcome.is_none() {
                report += &format!("job {id}: {place}, told: {:?}\n", entry.outcome);
            }
        }
        report
    }
}

/// `submitted = accepted + refused`, and `accepted` is the sum of its parts: in every snapshot.
pub fn assert_conserved(counts: Metrics) {
    assert_eq!(
        counts.submitted,
        counts.accepted + counts.refused,
        "{counts}"
    );
    assert_eq!(
        counts.accepted,
        counts.completed
            + counts.failed
            + counts.panicked
            + counts.cancelled
            + counts.expired
            + counts.shed
            + counts.handed_back
            + counts.abandoned
            + counts.waiting
            + counts.deferred
            + counts.running,
        "{counts}"
    );
}

/// Shuts a pool down, and sees that its own account is closed.
pub fn ended<J, T, E>(pool: &Submitter<J, T, E>) -> Metrics
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    let counts = pool.shutdown_blocking().counts;
    assert_conserved(counts);
    assert_eq!(counts.waiting + counts.running, 0, "{counts}");
    assert_eq!(counts.occupied + counts.reserved, 0, "{counts}");
    counts
}

/// Runs a test under the watchdog: one that takes longer than 30 s ends the process, after saying where
/// each job was.
pub fn watched(test: impl FnOnce(Ledger) + Send + 'static) {
    let ledger = Ledger::new();
    let books = ledger.clone();
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    let (done, over) = mpsc::channel();
    let body = std::thread::Builder::new()
        .name(name.clone())
        .spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(|| test(books)));
            let _ = done.send(());
            if let Err(panic) = result {
                resume_unwind(panic);
            }
        })
        .expect("a thread for the test");
    if over.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
        // Past the test runner's capture, which would be lost with the process.
        let mut err = std::io::stderr();
        let _ = writeln!(
            err,
            "{name} hangs. Where its jobs are:\n{}",
            ledger.report()
        );
        std::process::abort();
    }
    if let Err(panic) = body.join() {
        resume_unwind(panic);
    }
}

/// A door that jobs wait behind until the test opens it; tells how many wait.
#[derive(Clone, Default)]
pub struct Door {
    state: Arc<(Mutex<DoorState>, Condvar)>,
}

#[derive(Default)]
struct DoorState {
    waiting: usize,
    passed: usize,
    open: usize,
    wide_open: bool,
}

impl Door {
    pub fn new() -> Self {
        Door::default()
    }

    /// Waits until the door lets one through.
    pub fn pass(&self) {
        let (state, changed) = &*self.state;
        let mut state = lock(state);
        state.waiting += 1;
        changed.notify_all();
        while !state.wide_open && state.open == 0 {
            state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.wide_open {
            state.open -= 1;
        }
        state.waiting -= 1;
        state.passed += 1;
        changed.notify_all();
    }

    /// Waits until `n` wait behind it.
    pub fn wait_for(&self, n: usize) {
        let (state, changed) = &*self.state;
        let mut state = lock(state);
        while state.waiting < n {
            state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets one through.
    pub fn let_one(&self) {
        let (state, changed) = &*self.state;
        lock(state).open += 1;
        changed.notify_all();
    }

    /// Lets one through, and waits until it is.
    pub fn see_one_through(&self) {
        let (state, changed) = &*self.state;
        let mut state = lock(state);
        let passed = state.passed + 1;
        state.open += 1;
        changed.notify_all();
        while state.passed < passed {
            state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets everybody through from now on.
    pub fn open(&self) {
        let (state, changed) = &*self.state;
        lock(state).wide_open = true;
        changed.notify_all();
    }
}

/// Polls a future once.
pub fn poll_once<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::Pin::new(future).poll(&mut cx)
}

/// A waker that can be waited for.
#[derive(Default)]
pub struct Flag {
    state: Mutex<bool>,
    changed: Condvar,
}

impl Flag {
    /// Waits until it is woken, and forgets that it was.
    pub fn wait(&self) {
        let mut woken = lock(&self.state);
        while !*woken {
            woken = self
                .changed
                .wait(woken)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *woken = false;
    }

    pub fn raise(&self) {
        *lock(&self.state) = true;
        self.changed.notify_all();
    }

    /// Whether it was woken since it was last asked.
    pub fn take(&self) -> bool {
        std::mem::take(&mut *lock(&self.state))
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.raise();
    }
}

/// Yields until something is so.
pub fn until(mut so: impl FnMut() -> bool) {
    while !so() {
        std::thread::yield_now();
    }
}

/// Threads of this process whose name starts with `prefix`.
pub fn threads_named(prefix: &str) -> usize {
    std::fs::read_dir("/proc/self/task")
        .map(|tasks| {
            tasks
                .flatten()
                .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
                .filter(|name| name.starts_with(prefix))
                .count()
        })
        .unwrap_or(0)
}
