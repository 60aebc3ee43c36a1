//! Live pools on threads: jobs panic, submit to their own pool and are cancelled, and the strategy and the order submit
//! to the pool, too.

use super::log::Log;
use crate::context::JobContext;
use crate::dispatcher::{Affinity, Dispatcher, Target, Workers};
use crate::error::BuildError;
use crate::handler::handler_fn_with;
use crate::job::Job;
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::queue_order::{QueueOrder, Queued};
use crate::submit::{Submitter, WeakSubmitter};
use crate::sync::rng::Rng;
use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Jobs submitted from outside.
const JOBS: u64 = 400;
/// Jobs submitted from inside, at most.
const INNER: u64 = 100;
/// The queue's capacity: so small that submitters wait.
const CAPACITY: usize = 40;

/// The pool, for code that runs inside it.
struct Inside<J> {
    pool: OnceLock<WeakSubmitter<J, (), ()>>,
    /// Jobs yet to be submitted from inside.
    stock: Mutex<Vec<J>>,
}

impl<J: Send + 'static> Inside<J> {
    /// Looks at the pool, and submits a job to it if there is room.
    fn meddle(&self) {
        let pool = self.pool.get().and_then(WeakSubmitter::upgrade);
        let job = lock(&self.stock).pop();
        if let (Some(pool), Some(job)) = (pool, job) {
            let _ = pool.metrics();
            let _ = pool.try_send(job);
        }
    }
}

/// Runs jobs through a pool of two dispatchers and checks what becomes of them.
pub(super) fn run<J, D, Q>(
    seed: u64,
    strategy: impl Fn(&Log) -> D,
    order: impl Fn(&Log) -> Q,
    make: &dyn Fn(u64) -> J,
    log: &Log,
) where
    J: Send + 'static,
    D: Dispatcher<J>,
    Q: QueueOrder<J>,
{
    const DISPATCHERS: usize = 2;
    log.step(format!("{JOBS} jobs go through a live pool"));
    let inside = Arc::new(Inside {
        pool: OnceLock::new(),
        stock: Mutex::new((JOBS..JOBS + INNER).map(make).collect()),
    });
    // Created here, because the pool keeps the closures that create them, and the tested code may be borrowed.
    let (mut strategies, mut orders) = (Vec::new(), Vec::new());
    for _ in 0..DISPATCHERS {
        let inside = || inside.clone();
        strategies.push(Meddling::new(strategy(log), inside()));
        orders.push(Meddling::new(order(log), inside()));
    }
    let (strategies, orders) = (RefCell::new(strategies), RefCell::new(orders));
    let ran: Arc<Mutex<BTreeSet<u64>>> = Arc::default();
    let (books, meddler, noted) = (ran.clone(), inside.clone(), log.clone());
    let handler = handler_fn_with(move |_: J, cx: &JobContext| {
        let id = cx.id().get();
        let first = lock(&books).insert(id);
        noted.expect(first, || format!("job {id} ran twice"));
        if id % 5 == 0 {
            meddler.meddle();
        }
        if id % 7 == 0 {
            // Without a message on the console.
            resume_unwind(Box::new("a job that panics"));
        }
        Ok(())
    });
    let pool = Pool::builder(handler)
        .name("fanpool-testing")
        .dispatchers(DISPATCHERS)
        .workers_per_dispatcher(2)
        .queue_capacity(CAPACITY)
        .inbox_depth([1, 4, 1000][seed as usize % 3])
        .dispatcher(move || strategies.borrow_mut().pop().expect("one for each"))
        .queue_order(move || orders.borrow_mut().pop().expect("one for each"))
        .build()
        .expect("the settings are allowed");
    let _ = inside.pool.set(Submitter::downgrade(&pool));
    submit_all(&pool, seed, make);
    let counts = pool.shutdown_blocking().counts;
    settle(counts, lock(&ran).len() as u64, log);
}

/// Submits from outside: every other job with a handle, by which some are cancelled at once.
fn submit_all<J: Send + 'static>(pool: &Submitter<J, (), ()>, seed: u64, make: &dyn Fn(u64) -> J) {
    let mut rng = Rng::new(seed);
    for number in 0..JOBS {
        let mut job = pool.job(make(number)).priority(rng.below(3) as i32);
        if rng.below(4) > 0 {
            job = job.key(rng.below(8) as u64);
        }
        // Nobody closes the pool, and a refusal by an order's bound on its keys is no fault.
        match rng.below(4) {
            0 => drop(job.submit_blocking().map(|handle| handle.cancel())),
            1 => drop(job.submit_blocking()),
            _ => drop(job.send_blocking()),
        }
    }
}

fn settle(counts: Metrics, ran: u64, log: &Log) {
    let ended = counts.completed + counts.panicked;
    log.expect(ran == ended && counts.abandoned == 0, || {
        format!("{ran} jobs ran, but {counts}")
    });
    log.expect(counts.accepted == ended + counts.cancelled, || {
        format!("jobs were lost: {counts}")
    });
    let (faults, panics) = (counts.faults, log.panics());
    log.expect(faults == panics, || {
        format!("{faults} faults were counted, and {panics} panics")
    });
}

/// A strategy or an order that submits to its own pool now and then.
struct Meddling<X, J> {
    inner: X,
    inside: Arc<Inside<J>>,
    calls: u64,
}

impl<X, J: Send + 'static> Meddling<X, J> {
    fn new(inner: X, inside: Arc<Inside<J>>) -> Self {
        Meddling {
            inner,
            inside,
            calls: 0,
        }
    }

    fn call(&mut self) -> &mut X {
        self.calls += 1;
        if self.calls % 9 == 0 {
            self.inside.meddle();
        }
        &mut self.inner
    }
}

impl<J: Send + 'static, D: Dispatcher<J>> Dispatcher<J> for Meddling<D, J> {
    fn dispatch(&mut self, job: &Job<J>, workers: &Workers<'_>) -> Target {
        self.call().dispatch(job, workers)
    }

    fn late_binding(&self) -> bool {
        self.inner.late_binding()
    }

    fn affinity(&self) -> Option<Affinity<J>> {
        self.inner.affinity()
    }
}

impl<J: Send + 'static, Q: QueueOrder<J>> QueueOrder<J> for Meddling<Q, J> {
    fn push(&mut self, job: Queued<J>) {
        self.call().push(job);
    }

    fn pop(&mut self) -> Option<Queued<J>> {
        self.call().pop()
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn retain(&mut self, keep: &mut dyn FnMut(&Queued<J>) -> bool) {
        self.call().retain(keep);
    }

    fn append(&mut self, jobs: &mut VecDeque<Queued<J>>) {
        self.call().append(jobs);
    }

    fn pop_many(&mut self, most: usize, out: &mut VecDeque<Queued<J>>) {
        self.call().pop_many(most, out);
    }

    fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    fn in_arrival_order(&self) -> bool {
        self.inner.in_arrival_order()
    }

    fn key_bound(&self) -> Option<usize> {
        self.inner.key_bound()
    }

    fn check(&self) -> Result<(), BuildError> {
        self.inner.check()
    }
}

/// For this test's own mutexes, because its jobs may panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
