//! Random programs of weights and permits against a model of the room that is too simple to be wrong.
//!
//! One worker on an executor that is polled by hand, and everybody who waits is polled by the test: so
//! all happens on one thread, and after each step the model knows all there is to know about the pool.
//! `PROPTEST_CASES` runs more programs.

use crate::common::by_hand::ByHand;
use crate::common::{Flag, Ledger, Payload, lock, watched};
use fanpool::{
    Cancellation, Job, JobError, JobHandle, Metrics, Permit, Pool, ShutdownReport, SubmitError,
    Submitter, async_handler_fn,
};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use tokio::sync::Semaphore;

type Own = Submitter<Payload, u64, String>;
type Handle = JobHandle<u64, String>;
type Held<'a> = Permit<'a, Payload, u64, String>;

#[derive(Debug, Clone, Copy)]
enum Op {
    TrySubmit(u64),
    Submit(u64),
    TryReserve(u64),
    Reserve(u64),
    TryReserveMany(usize),
    ReserveMany(usize),
    /// Which, and with how much weight said; `None`: nothing.
    Use(usize, Option<u64>),
    DropPermit(usize),
    ForgetPermit(usize),
    DropWaiter(usize),
    Cancel(usize),
    DropHandle(usize),
    LetOneThrough,
    Close,
    Shutdown,
    ShutdownNow,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let weight = || 0..8u64;
    let which = || 0..8usize;
    let op = prop_oneof![
        6 => weight().prop_map(Op::TrySubmit),
        6 => weight().prop_map(Op::Submit),
        3 => weight().prop_map(Op::TryReserve),
        4 => weight().prop_map(Op::Reserve),
        2 => which().prop_map(Op::TryReserveMany),
        3 => which().prop_map(Op::ReserveMany),
        5 => (which(), prop::option::of(weight())).prop_map(|(at, weight)| Op::Use(at, weight)),
        5 => which().prop_map(Op::DropPermit),
        1 => which().prop_map(Op::ForgetPermit),
        3 => which().prop_map(Op::DropWaiter),
        4 => which().prop_map(Op::Cancel),
        1 => which().prop_map(Op::DropHandle),
        8 => Just(Op::LetOneThrough),
    ];
    let end = prop_oneof![
        2 => Just(Op::Close),
        1 => Just(Op::Shutdown),
        1 => Just(Op::ShutdownNow),
    ];
    prop::collection::vec(prop_oneof![30 => op, 1 => end], 1..80)
}

/// The room, as one would draw it on paper.
#[derive(Default)]
struct Model {
    capacity: u64,
    /// Numbers of payloads, and weights.
    queue: VecDeque<(u64, u64)>,
    running: Option<u64>,
    started: Vec<u64>,
    handed_back: Vec<u64>,
    reserved: u64,
    closed: bool,
    halted: bool,
    counts: Metrics,
}

impl Model {
    fn occupied(&self) -> u64 {
        self.queue.iter().map(|(_, weight)| weight).sum()
    }

    fn free(&self) -> u64 {
        self.capacity - self.occupied() - self.reserved
    }

    fn accept(&mut self, job: u64, weight: u64) {
        self.counts.accepted += 1;
        self.queue.push_back((job, weight));
    }

    fn metrics(&self) -> Metrics {
        let mut counts = self.counts;
        counts.submitted = counts.accepted + counts.refused;
        counts.waiting = self.queue.len() as u64;
        counts.occupied = self.occupied();
        counts.reserved = self.reserved;
        counts.running = u64::from(self.running.is_some());
        counts.busy_workers = counts.running;
        counts.workers = u64::from(!self.is_over());
        counts
    }

    fn is_over(&self) -> bool {
        self.closed && self.queue.is_empty() && self.running.is_none()
    }
}

/// What somebody asked for, and what it is told.
#[derive(Clone, Copy)]
struct Ask {
    least: u64,
    most: u64,
    /// The payload's number, if it is for a job.
    job: Option<u64>,
}

enum Answer<'a> {
    In(Handle),
    Back(SubmitError<Job<Payload>>),
    Permits(Vec<Held<'a>>),
    NoPermits(SubmitError<()>),
}

impl<'a> From<Result<Handle, SubmitError<Job<Payload>>>> for Answer<'a> {
    fn from(answer: Result<Handle, SubmitError<Job<Payload>>>) -> Self {
        answer.map_or_else(Answer::Back, Answer::In)
    }
}

struct Waiter<'a> {
    arrival: usize,
    ask: Ask,
    future: Pin<Box<dyn Future<Output = Answer<'a>> + 'a>>,
    flag: Arc<Flag>,
}

struct Run<'a> {
    pool: &'a Own,
    ledger: Ledger,
    by_hand: ByHand,
    passes: Arc<Semaphore>,
    started: Arc<Mutex<Vec<u64>>>,
    handles: Vec<(u64, Handle)>,
    permits: Vec<Held<'a>>,
    arrivals: usize,
    /// In order of arrival.
    waiters: Vec<Waiter<'a>>,
    shutdowns: Vec<Pin<Box<dyn Future<Output = ShutdownReport<Payload>> + 'a>>>,
    unrun: Vec<u64>,
    model: Model,
}

impl<'a> Run<'a> {
    fn heavy_waits(&self) -> bool {
        self.waiters.iter().any(|waiter| waiter.ask.least > 1)
    }

    /// What somebody is told who comes now; `None`: to wait.
    fn predict(&self, ask: Ask) -> Result<u64, Option<SubmitError<()>>> {
        if self.model.closed {
            Err(Some(SubmitError::Closed(())))
        } else if ask.least > self.model.capacity {
            Err(Some(SubmitError::TooHeavy(())))
        } else if self.heavy_waits() || ask.least > self.model.free() {
            Err(None)
        } else {
            Ok(ask.most.min(self.model.free()))
        }
    }

    /// Enters an answer into the model, which agrees that there was as much room.
    fn told(&mut self, ask: Ask, answer: Answer<'a>) -> Result<u64, SubmitError<()>> {
        match answer {
            Answer::In(handle) => {
                assert!(ask.least <= self.model.free() && !self.model.closed);
                let job = ask.job.unwrap();
                self.model.accept(job, ask.least);
                self.handles.push((job, handle));
                Ok(ask.least)
            }
            Answer::Back(refused) => {
                self.model.counts.refused += 1;
                Err(refused.map(|job| {
                    assert_eq!(Some(job.data().id()), ask.job);
                    // Without a weight of its own, it would have taken its permit's.
                    assert!(job.weight() == ask.least || job.weight() == 1);
                    assert_eq!(job.key(), ask.job);
                }))
            }
            Answer::Permits(permits) => {
                let units: u64 = permits.iter().map(Permit::weight).sum();
                assert!((ask.least..=ask.most).contains(&units));
                assert!(units <= self.model.free() && !self.model.closed);
                self.model.reserved += units;
                self.permits.extend(permits);
                Ok(units)
            }
            Answer::NoPermits(refused) => Err(refused),
        }
    }

    fn ask_now(&mut self, ask: Ask, answer: Answer<'a>) {
        let expected = self
            .predict(ask)
            .map_err(|why| why.unwrap_or(SubmitError::Full(())));
        assert_eq!(self.told(ask, answer), expected);
    }

    fn ask(&mut self, ask: Ask, future: impl Future<Output = Answer<'a>> + 'a) {
        let expected = self.predict(ask);
        self.arrivals += 1;
        let mut waiter = Waiter {
            arrival: self.arrivals,
            ask,
            future: Box::pin(future),
            flag: Arc::default(),
        };
        let waker = Waker::from(waiter.flag.clone());
        match waiter
            .future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
        {
            Poll::Pending => {
                assert_eq!(expected, Err(None), "it waits");
                self.waiters.push(waiter);
            }
            Poll::Ready(answer) => assert_eq!(self.told(ask, answer).map_err(Some), expected),
        }
    }

    /// Polls those who were woken, the oldest first, as often as there are any.
    fn serve(&mut self) -> bool {
        let mut any = false;
        let mut oldest_served = usize::MAX;
        while let Some(at) = self.waiters.iter().position(|waiter| waiter.flag.take()) {
            any = true;
            let waiter = &mut self.waiters[at];
            let waker = Waker::from(waiter.flag.clone());
            let polled = waiter
                .future
                .as_mut()
                .poll(&mut Context::from_waker(&waker));
            let Poll::Ready(answer) = polled else {
                continue;
            };
            let Waiter { ask, arrival, .. } = self.waiters.remove(at);
            let mut heavy = self.waiters[..at]
                .iter()
                .filter(|before| before.ask.least > 1);
            let passed = heavy.next().map(|before| before.arrival);
            let told = self.told(ask, answer);
            if self.model.closed {
                assert_eq!(told, Err(SubmitError::Closed(())));
                continue;
            }
            assert!(told.is_ok());
            oldest_served = oldest_served.min(arrival);
            // An idle worker lets those in who find room enough, lest the heavy one was forgotten. And one
            // who came even earlier may take what the heavy one was called for.
            assert!(
                self.model.running.is_none() || passed.is_none_or(|heavy| oldest_served < heavy),
                "barged past a heavy one"
            );
        }
        any
    }

    /// Lets everything happen that has to happen, and compares.
    fn settle(&mut self) {
        loop {
            let served = self.serve();
            self.by_hand.run();
            let started = self.model.running.is_none() && !self.model.halted && {
                self.model.running = self.model.queue.pop_front().map(|(job, _)| job);
                self.model.started.extend(self.model.running);
                self.model.running.is_some()
            };
            if !served && !started {
                break;
            }
        }
        if let Some(oldest) = self.waiters.first() {
            assert!(!self.model.closed, "closed, and somebody waits");
            assert!(
                oldest.ask.least > self.model.free(),
                "room, and the first waits"
            );
        }
        assert!(self.waiters.is_empty() || self.heavy_waits() || self.model.free() == 0);
        assert_eq!(*lock(&self.started), self.model.started);
        assert_eq!(self.pool.metrics(), self.model.metrics());
        let over = self.model.is_over();
        for mut shutdown in std::mem::take(&mut self.shutdowns) {
            match crate::common::poll_once(&mut shutdown) {
                Poll::Ready(report) => {
                    assert!(over, "a shutdown ends early");
                    self.unrun
                        .extend(report.unrun.iter().map(|job| job.data().id()));
                }
                Poll::Pending => {
                    assert!(!over, "a shutdown does not end");
                    self.shutdowns.push(shutdown);
                }
            }
        }
        if over && !self.unrun.is_empty() {
            assert_eq!(self.unrun, self.model.handed_back);
        }
    }

    fn of_job(&self, weight: u64) -> (Ask, Job<Payload>) {
        let job = self.ledger.job();
        let id = job.id();
        let least = weight.max(1);
        let ask = Ask {
            least,
            most: least,
            job: Some(id),
        };
        (ask, self.pool.job(job).weight(weight).key(id).into_job())
    }

    fn step(&mut self, op: Op) {
        let pool = self.pool;
        let units = |least: u64, most: u64| Ask {
            least,
            most,
            job: None,
        };
        let one = |got: Result<Held<'a>, _>| match got {
            Ok(permit) => Answer::Permits(vec![permit]),
            Err(refused) => Answer::NoPermits(refused),
        };
        match op {
            Op::TrySubmit(weight) => {
                let (ask, job) = self.of_job(weight);
                self.ask_now(ask, pool.job(job).try_submit().into());
            }
            Op::Submit(weight) => {
                let (ask, job) = self.of_job(weight);
                self.ask(ask, async move { pool.job(job).submit().await.into() });
            }
            Op::TryReserve(weight) => {
                let ask = units(weight.max(1), weight.max(1));
                self.ask_now(ask, one(pool.try_reserve_weight(weight)));
            }
            Op::Reserve(weight) => {
                let ask = units(weight.max(1), weight.max(1));
                self.ask(ask, async move { one(pool.reserve_weight(weight).await) });
            }
            Op::TryReserveMany(0) => assert_eq!(pool.try_reserve_many(0).unwrap().len(), 0),
            Op::ReserveMany(0) => assert_eq!(pool.reserve_many_blocking(0).unwrap().len(), 0),
            Op::TryReserveMany(max) => {
                let got = match pool.try_reserve_many(max) {
                    Ok(permits) => Answer::Permits(permits.collect()),
                    Err(refused) => Answer::NoPermits(refused),
                };
                self.ask_now(units(1, max as u64), got);
            }
            Op::ReserveMany(max) => self.ask(units(1, max as u64), async move {
                match pool.reserve_many(max).await {
                    Ok(permits) => Answer::Permits(permits.collect()),
                    Err(refused) => Answer::NoPermits(refused),
                }
            }),
            Op::Use(at, weight) => self.redeem(at, weight),
            Op::DropPermit(at) => {
                if let Some(at) = pick(at, &self.permits) {
                    let permit = self.permits.swap_remove(at);
                    self.model.reserved -= permit.weight();
                    drop(permit);
                }
            }
            Op::ForgetPermit(at) => {
                if let Some(at) = pick(at, &self.permits) {
                    std::mem::forget(self.permits.swap_remove(at));
                }
            }
            Op::DropWaiter(at) => {
                if let Some(at) = pick(at, &self.waiters) {
                    drop(self.waiters.remove(at));
                }
            }
            Op::Cancel(at) => {
                if let Some(at) = pick(at, &self.handles) {
                    let (job, handle) = &self.handles[at];
                    let waiting = self.model.queue.iter().position(|(id, _)| id == job);
                    let expected = if let Some(waiting) = waiting {
                        self.model.queue.remove(waiting);
                        self.model.counts.cancelled += 1;
                        Cancellation::Removed
                    } else if self.model.running == Some(*job) {
                        Cancellation::Requested
                    } else {
                        Cancellation::TooLate
                    };
                    assert_eq!(handle.cancel(), expected);
                }
            }
            Op::DropHandle(at) => drop(pick(at, &self.handles).map(|at| self.handles.remove(at))),
            Op::LetOneThrough => {
                if self.model.running.take().is_some() {
                    self.model.counts.completed += 1;
                    self.passes.add_permits(1);
                }
            }
            Op::Close => {
                pool.close();
                self.model.closed = true;
            }
            Op::Shutdown | Op::ShutdownNow => {
                let now = matches!(op, Op::ShutdownNow);
                let mut shutdown: Pin<Box<dyn Future<Output = _> + 'a>> = if now {
                    Box::pin(pool.shutdown_now())
                } else {
                    Box::pin(pool.shutdown())
                };
                self.model.closed = true;
                if now {
                    self.model.halted = true;
                    for (job, _) in self.model.queue.drain(..) {
                        self.model.counts.handed_back += 1;
                        self.model.handed_back.push(job);
                    }
                }
                match crate::common::poll_once(&mut shutdown) {
                    Poll::Ready(report) => self
                        .unrun
                        .extend(report.unrun.iter().map(|job| job.data().id())),
                    Poll::Pending => self.shutdowns.push(shutdown),
                }
            }
        }
    }

    fn redeem(&mut self, at: usize, weight: Option<u64>) {
        let Some(at) = pick(at, &self.permits) else {
            return;
        };
        let permit = self.permits.swap_remove(at);
        let held = permit.weight();
        let job = self.ledger.job();
        let id = job.id();
        let mut builder = permit.job(job).key(id);
        if let Some(weight) = weight {
            builder = builder.weight(weight);
        }
        let takes = weight.map_or(held, |weight| weight.max(1));
        self.model.reserved -= held;
        let expected = if takes > held {
            Err(SubmitError::TooHeavy(()))
        } else if self.model.closed {
            Err(SubmitError::Closed(()))
        } else {
            Ok(takes)
        };
        let ask = Ask {
            least: takes,
            most: takes,
            job: Some(id),
        };
        let answer = builder.submit().into();
        assert_eq!(self.told(ask, answer), expected);
    }

    fn end(mut self) {
        self.step(Op::Shutdown);
        self.settle();
        while self.model.running.is_some() {
            self.step(Op::LetOneThrough);
            self.settle();
        }
        assert!(self.shutdowns.is_empty() && self.waiters.is_empty());
        for (job, handle) in self.handles.drain(..) {
            let outcome = handle.wait();
            if self.model.started.contains(&job) {
                assert_eq!(outcome.unwrap(), job);
            } else if self.model.handed_back.contains(&job) {
                assert!(matches!(outcome, Err(JobError::HandedBack)));
            } else {
                assert!(matches!(outcome, Err(JobError::Cancelled)));
            }
        }
        let held: u64 = self.permits.iter().map(Permit::weight).sum();
        self.permits.clear();
        let counts = self.pool.metrics();
        assert_eq!(
            counts.reserved,
            self.model.reserved - held,
            "the forgotten ones"
        );
        self.ledger.close(counts);
    }
}

fn pick<T>(at: usize, of: &[T]) -> Option<usize> {
    (!of.is_empty()).then(|| at % of.len())
}

fn cases(default: u32) -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = default;
    }
    config
}

proptest! {
    #![proptest_config(cases(3_000))]

    #[test]
    fn the_room_is_what_the_model_says_whatever_is_weighed_and_held(
        capacity in 1..8usize,
        ops in ops(),
    ) {
        watched(move |ledger| {
            let by_hand = ByHand::new();
            let passes = Arc::new(Semaphore::new(0));
            let started = Arc::new(Mutex::new(Vec::new()));
            let (gate, starts) = (passes.clone(), started.clone());
            let pool = Pool::builder(async_handler_fn(move |job: Payload| {
                let (gate, starts) = (gate.clone(), starts.clone());
                async move {
                    job.started();
                    lock(&starts).push(job.id());
                    if let Ok(pass) = gate.acquire().await {
                        pass.forget();
                    }
                    job.ended();
                    Ok::<_, String>(job.id())
                }
            }))
            .spawner(by_hand.clone())
            .workers_per_dispatcher(1)
            .queue_capacity(capacity)
            .build()
            .unwrap();
            ledger.watch(&pool);
            by_hand.run();
            let pool = pool.submitter();
            let mut run = Run {
                pool: &pool,
                ledger,
                by_hand,
                passes,
                started,
                handles: Vec::new(),
                permits: Vec::new(),
                arrivals: 0,
                waiters: Vec::new(),
                shutdowns: Vec::new(),
                unrun: Vec::new(),
                model: Model {
                    capacity: capacity as u64,
                    ..Model::default()
                },
            };
            for op in ops {
                run.step(op);
                run.settle();
            }
            run.end();
        });
    }
}
