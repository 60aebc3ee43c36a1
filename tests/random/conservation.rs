//! Random programs of calls against a model that is too simple to be wrong.
//!
//! Jobs wait behind a door, so nothing happens unless the program makes it happen, and after each step
//! the model knows all there is to know about the pool. `PROPTEST_CASES` runs more programs.

use crate::common::{Door, Ledger, Payload, assert_conserved, lock, poll_once, watched};
use fanpool::{
    Cancellation, JobContext, JobError, JobHandle, Metrics, Pool, ShutdownReport, SubmitError,
    Submitter, handler_fn_with,
};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};

/// How long the pool may take to come to the state that the model predicts.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
enum Op {
    TrySubmit,
    TrySend,
    Submit(Fate),
    SubmitBlocking,
    SendPolledOnce,
    Cancel(usize),
    CancelByHandle(usize),
    DropHandle(usize),
    ForgetHandle(usize),
    PollHandle(usize),
    Wait(usize),
    LetOneThrough,
    Close,
    ClonePool,
    DropPool,
    Join,
    DropJoin,
    Shutdown,
    ShutdownNow,
    ShutdownTimeout,
    DropShutdown,
}

/// Of a submission that is polled once.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Kept,
    Dropped,
    Forgotten,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => Just(Op::TrySubmit),
        2 => Just(Op::TrySend),
        4 => Just(Op::Submit(Fate::Kept)),
        2 => Just(Op::Submit(Fate::Dropped)),
        1 => Just(Op::Submit(Fate::Forgotten)),
        3 => Just(Op::SubmitBlocking),
        2 => Just(Op::SendPolledOnce),
        4 => (0..12usize).prop_map(Op::Cancel),
        2 => (0..12usize).prop_map(Op::CancelByHandle),
        2 => (0..12usize).prop_map(Op::DropHandle),
        1 => (0..12usize).prop_map(Op::ForgetHandle),
        2 => (0..12usize).prop_map(Op::PollHandle),
        3 => (0..12usize).prop_map(Op::Wait),
        8 => Just(Op::LetOneThrough),
        1 => Just(Op::ClonePool),
        1 => Just(Op::DropPool),
        2 => Just(Op::Join),
        1 => Just(Op::DropJoin),
    ];
    let end = prop_oneof![
        2 => Just(Op::Close),
        1 => Just(Op::Shutdown),
        1 => Just(Op::ShutdownNow),
        1 => Just(Op::ShutdownTimeout),
        1 => Just(Op::DropShutdown),
    ];
    // Ends are rare, or most programs would be about closed pools.
    prop::collection::vec(prop_oneof![24 => op, 1 => end], 1..60)
}

struct Job {
    payload: Payload,
    /// What becomes of it, by the order in which jobs are made: an error, a panic, mostly neither.
    kind: u64,
}

impl Job {
    fn new(ledger: &Ledger, made: u64) -> Self {
        Job {
            payload: ledger.job(),
            kind: made % 5,
        }
    }
}

/// The payload's number, and whether the job was asked to stop.
type Told = (u64, bool);
type Handle = JobHandle<Told, u64>;
type Waiting = Pin<Box<dyn Future<Output = Result<Handle, SubmitError<Job>>> + Send>>;

/// What a handle should say.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Completed { asked: bool },
    Failed,
    Panicked,
    Cancelled,
    HandedBack,
}

/// A pool, as one would draw it on paper: one worker, one queue.
#[derive(Default)]
struct Model {
    capacity: usize,
    /// Jobs by their payload's number.
    queue: VecDeque<u64>,
    running: Option<u64>,
    asked_to_stop: bool,
    kinds: Vec<u64>,
    ends: Vec<Option<End>>,
    started: Vec<u64>,
    handed_back: Vec<u64>,
    closed: bool,
    halted: bool,
    counts: Metrics,
}

impl Model {
    fn free(&self) -> usize {
        self.capacity - self.queue.len()
    }

    fn accept(&mut self, job: u64) {
        assert!(
            !self.closed && self.free() > 0,
            "accepted against the bound"
        );
        self.counts.accepted += 1;
        self.queue.push_back(job);
    }

    fn start(&mut self) -> bool {
        if self.running.is_some() || self.halted {
            return false;
        }
        self.running = self.queue.pop_front();
        self.started.extend(self.running);
        self.asked_to_stop = false;
        self.running.is_some()
    }

    fn finish(&mut self) {
        let job = self.running.take().expect("one at the door");
        let end = match self.kinds[job as usize] {
            3 => End::Failed,
            4 => End::Panicked,
            _ => End::Completed {
                asked: self.asked_to_stop,
            },
        };
        match end {
            End::Failed => self.counts.failed += 1,
            End::Panicked => self.counts.panicked += 1,
            _ => self.counts.completed += 1,
        }
        self.ends[job as usize] = Some(end);
    }

    fn cancel(&mut self, job: u64) -> Cancellation {
        if let Some(at) = self.queue.iter().position(|waiting| *waiting == job) {
            self.queue.remove(at);
            self.counts.cancelled += 1;
            self.ends[job as usize] = Some(End::Cancelled);
            Cancellation::Removed
        } else if self.running == Some(job) {
            self.asked_to_stop = true;
            Cancellation::Requested
        } else {
            Cancellation::TooLate
        }
    }

    fn halt(&mut self) {
        self.closed = true;
        self.halted = true;
        self.asked_to_stop = true;
        for job in self.queue.drain(..) {
            self.counts.handed_back += 1;
            self.ends[job as usize] = Some(End::HandedBack);
            self.handed_back.push(job);
        }
    }

    fn is_over(&self) -> bool {
        self.closed && self.queue.is_empty() && self.running.is_none()
    }

    fn metrics(&self) -> Metrics {
        let mut counts = self.counts;
        counts.submitted = counts.accepted + counts.refused;
        counts.waiting = self.queue.len() as u64;
        counts.occupied = counts.waiting;
        counts.running = u64::from(self.running.is_some());
        counts.busy_workers = counts.running;
        counts.workers = u64::from(!self.is_over());
        counts
    }
}

/// Who waits for room.
enum Waiter {
    Future(u64, Waiting),
    Thread(u64, mpsc::Receiver<Result<Handle, SubmitError<Job>>>),
}

struct Run {
    ledger: Ledger,
    /// Of jobs that are leaked with a forgotten submission.
    foreign: Ledger,
    door: Door,
    started: Arc<Mutex<Vec<u64>>>,
    pools: Vec<Submitter<Job, Told, u64>>,
    handles: Vec<(u64, Handle)>,
    waiters: Vec<Waiter>,
    /// Some submission was forgotten while it waited: it may keep a wake-up to itself, until the
    /// worker is about to sleep.
    forgotten: bool,
    joins: Vec<(Vec<u64>, Pin<Box<dyn Future<Output = ()>>>)>,
    shutdowns: Vec<Pin<Box<dyn Future<Output = ShutdownReport<Job>>>>>,
    /// From all reports so far.
    unrun: Vec<u64>,
    model: Model,
}

impl Run {
    fn new(ledger: Ledger, capacity: usize) -> Self {
        let door = Door::new();
        let started = Arc::new(Mutex::new(Vec::new()));
        let (behind, starts) = (door.clone(), started.clone());
        let pool = Pool::builder(handler_fn_with(move |job: Job, cx: &JobContext| {
            job.payload.run(|| {
                lock(&starts).push(job.payload.id());
                behind.pass();
            });
            match job.kind {
                3 => Err(job.payload.id()),
                // Without a message on the screen.
                4 => resume_unwind(Box::new("as planned")),
                _ => Ok((job.payload.id(), cx.is_cancelled())),
            }
        }))
        .workers_per_dispatcher(1)
        .queue_capacity(capacity)
        .build()
        .unwrap();
        ledger.watch(&pool);
        Run {
            ledger,
            foreign: Ledger::new(),
            door,
            started,
            pools: vec![pool.submitter()],
            handles: Vec::new(),
            waiters: Vec::new(),
            forgotten: false,
            joins: Vec::new(),
            shutdowns: Vec::new(),
            unrun: Vec::new(),
            model: Model {
                capacity,
                ..Model::default()
            },
        }
    }

    fn pool(&self) -> &Submitter<Job, Told, u64> {
        &self.pools[0]
    }

    fn job(&mut self) -> (u64, Job) {
        let made = self.model.kinds.len() as u64;
        let job = Job::new(&self.ledger, made);
        assert_eq!(job.payload.id(), made);
        self.model.kinds.push(job.kind);
        self.model.ends.push(None);
        (made, job)
    }

    /// Waits until the pool has come to where it should be.
    fn until(&mut self, what: &str, mut there: impl FnMut(&mut Self) -> bool) {
        let begin = Instant::now();
        while !there(self) {
            assert!(
                begin.elapsed() < PATIENCE,
                "{what}\nmodel {:?}\n pool {:?}",
                self.model.metrics(),
                self.pool().metrics()
            );
            std::thread::yield_now();
        }
    }

    fn took(&mut self, job: u64, submitted: Result<Handle, SubmitError<Job>>) {
        match submitted {
            Ok(handle) => {
                self.model.accept(job);
                assert_eq!(handle.id().get(), self.model.counts.accepted);
                self.handles.push((job, handle));
            }
            Err(SubmitError::Full(back)) => {
                assert_eq!(back.payload.id(), job);
                assert!(!self.model.closed && self.model.free() == 0, "not full");
                self.model.counts.refused += 1;
            }
            Err(SubmitError::Closed(back)) => {
                assert_eq!(back.payload.id(), job);
                assert!(self.model.closed, "not closed");
                self.model.counts.refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Looks once whether one of those who wait for room was answered.
    fn one_waiter(&mut self) -> bool {
        for at in 0..self.waiters.len() {
            let answer = match &mut self.waiters[at] {
                Waiter::Future(job, future) => match poll_once(future) {
                    Poll::Ready(answer) => Some((*job, answer)),
                    Poll::Pending => None,
                },
                Waiter::Thread(job, answers) => {
                    answers.try_recv().ok().map(|answer| (*job, answer))
                }
            };
            if let Some((job, answer)) = answer {
                drop(self.waiters.remove(at));
                self.took(job, answer);
                return true;
            }
        }
        false
    }

    /// Lets everything happen that has to happen, and then compares.
    fn settle(&mut self) {
        loop {
            if self.model.start() {
                let expected = self.model.started.clone();
                self.until("the next job does not start", |run| {
                    *lock(&run.started) == expected
                });
            }
            if self.waiters.is_empty() || !self.model.closed && self.model.free() == 0 {
                break;
            }
            // Which of them, is not for the model to say.
            if self.forgotten && self.model.running.is_some() && !self.model.closed {
                if !self.one_waiter() {
                    break;
                }
            } else {
                self.until("room is free, and nobody takes it", Self::one_waiter);
            }
        }
        if self.waiters.is_empty() && self.model.running.is_none() {
            self.forgotten = false;
        }
        self.until("the counters are off", |run| {
            run.pool().metrics() == run.model.metrics()
        });
        assert_eq!(*lock(&self.started), self.model.started);
        assert_eq!(self.pool().is_closed(), self.model.closed);
        for (job, handle) in &self.handles {
            let over = self.model.ends[*job as usize].is_some();
            // The outcome is published after it is counted.
            let begin = Instant::now();
            while handle.is_finished() != over {
                assert!(begin.elapsed() < PATIENCE, "job {job} over: {over}");
                std::thread::yield_now();
            }
        }
        for (of, mut joining) in std::mem::take(&mut self.joins) {
            if of
                .iter()
                .all(|job| self.model.ends[*job as usize].is_some())
            {
                self.until("a join does not end", |_| {
                    poll_once(&mut joining).is_ready()
                });
            } else {
                assert!(poll_once(&mut joining).is_pending(), "a join ends early");
                self.joins.push((of, joining));
            }
        }
        for mut ending in std::mem::take(&mut self.shutdowns) {
            if self.model.is_over() {
                let mut report = None;
                self.until("a shutdown does not end", |_| {
                    match poll_once(&mut ending) {
                        Poll::Ready(ended) => {
                            report = Some(ended);
                            true
                        }
                        Poll::Pending => false,
                    }
                });
                self.reported(report.unwrap());
            } else {
                assert!(poll_once(&mut ending).is_pending(), "a shutdown ends early");
                self.shutdowns.push(ending);
            }
        }
    }

    fn reported(&mut self, report: ShutdownReport<Job>) {
        let running: Vec<_> = report
            .still_running
            .iter()
            .map(|job| job.id.get())
            .collect();
        assert_eq!(running.len(), usize::from(self.model.running.is_some()));
        self.unrun
            .extend(report.unrun.iter().map(|job| job.data().payload.id()));
        assert_eq!(self.unrun, self.model.handed_back, "in queue order");
        assert_conserved(report.counts);
    }

    fn submit(&mut self, fate: Fate) {
        if matches!(fate, Fate::Forgotten) && self.model.free() == 0 && !self.model.closed {
            let may_starve = self
                .waiters
                .iter()
                .any(|waiter| matches!(waiter, Waiter::Thread(..)));
            if may_starve {
                // Whether and when a thread gets in beside a forgotten future is a matter of luck.
                return;
            }
            self.forgotten = true;
            let job = Job::new(&self.foreign, 0);
            let pool = self.pool().downgrade();
            let mut waiting = Box::pin(async move {
                let pool = pool.upgrade().unwrap();
                pool.submit(job).await
            });
            assert!(poll_once(&mut waiting).is_pending());
            std::mem::forget(waiting);
            return;
        }
        let (id, job) = self.job();
        let pool = self.pool().clone();
        let mut waiting: Waiting = Box::pin(async move { pool.submit(job).await });
        match (poll_once(&mut waiting), fate) {
            (Poll::Ready(answer), _) => self.took(id, answer),
            (Poll::Pending, _) if self.model.closed || self.model.free() > 0 => {
                panic!("there is room, and it waits")
            }
            (Poll::Pending, Fate::Kept) => self.waiters.push(Waiter::Future(id, waiting)),
            (Poll::Pending, _) => {}
        }
    }

    fn submit_blocking(&mut self) {
        if self.forgotten || self.waiters.len() >= 4 {
            return;
        }
        let (id, job) = self.job();
        let pool = self.pool().clone();
        let (answer, answers) = mpsc::channel();
        std::thread::spawn(move || {
            let answered = pool.submit_blocking(job);
            drop(pool);
            let _ = answer.send(answered);
        });
        self.waiters.push(Waiter::Thread(id, answers));
    }

    /// The `at`-th handle, if there are any.
    fn handle(&self, at: usize) -> Option<usize> {
        (!self.handles.is_empty()).then(|| at % self.handles.len())
    }

    fn end_of(&self, job: u64, outcome: Result<Told, JobError<u64>>) {
        let end = match outcome {
            Ok((id, asked)) => {
                assert_eq!(id, job);
                End::Completed { asked }
            }
            Err(JobError::Failed(id)) => {
                assert_eq!(id, job);
                End::Failed
            }
            Err(JobError::Panicked(panic)) => {
                assert_eq!(panic.message(), "as planned");
                End::Panicked
            }
            Err(JobError::Cancelled) => End::Cancelled,
            Err(JobError::HandedBack) => End::HandedBack,
            Err(other) => panic!("job {job}: {other:?}"),
        };
        assert_eq!(Some(end), self.model.ends[job as usize], "job {job}");
        self.ledger.outcome(job, end);
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::TrySubmit => {
                let (id, job) = self.job();
                let answer = self.pool().try_submit(job);
                self.took(id, answer);
            }
            Op::TrySend => {
                let (id, job) = self.job();
                let refused = self.pool().try_send(job).err();
                match refused {
                    None => self.model.accept(id),
                    Some(refused) => self.took(id, Err(refused)),
                }
            }
            Op::Submit(fate) => self.submit(fate),
            Op::SubmitBlocking => self.submit_blocking(),
            Op::SendPolledOnce => {
                let (id, job) = self.job();
                let pool = self.pool().clone();
                let mut sending = Box::pin(pool.send(job));
                match poll_once(&mut sending) {
                    Poll::Ready(Ok(())) => self.model.accept(id),
                    Poll::Ready(Err(refused)) => self.took(id, Err(refused)),
                    Poll::Pending => assert!(!self.model.closed && self.model.free() == 0),
                }
            }
            Op::Cancel(at) => {
                if let Some(at) = self.handle(at) {
                    let (job, handle) = &self.handles[at];
                    assert_eq!(handle.cancel(), self.model.cancel(*job));
                }
            }
            Op::CancelByHandle(at) => {
                if let Some(at) = self.handle(at) {
                    let (job, handle) = self.handles.swap_remove(at);
                    let canceller = handle.cancel_handle();
                    drop(handle);
                    assert_eq!(canceller.cancel(), self.model.cancel(job));
                }
            }
            Op::DropHandle(at) => {
                if let Some(at) = self.handle(at) {
                    drop(self.handles.swap_remove(at));
                }
            }
            Op::ForgetHandle(at) => {
                if let Some(at) = self.handle(at) {
                    std::mem::forget(self.handles.swap_remove(at));
                }
            }
            Op::PollHandle(at) => {
                if let Some(at) = self.handle(at) {
                    let (job, mut handle) = self.handles.swap_remove(at);
                    match poll_once(&mut handle) {
                        Poll::Ready(outcome) => self.end_of(job, outcome),
                        Poll::Pending => {
                            assert!(self.model.ends[job as usize].is_none());
                            self.handles.push((job, handle));
                        }
                    }
                }
            }
            Op::Wait(at) => {
                if let Some(at) = self.handle(at) {
                    if self.model.ends[self.handles[at].0 as usize].is_some() {
                        let (job, handle) = self.handles.swap_remove(at);
                        self.end_of(job, handle.wait());
                    }
                }
            }
            Op::LetOneThrough => {
                if self.model.running.is_some() {
                    self.door.see_one_through();
                    self.model.finish();
                }
            }
            Op::Close => {
                self.pool().close();
                self.model.closed = true;
            }
            Op::ClonePool => {
                let pool = self.pool().clone();
                self.pools.push(pool);
            }
            Op::DropPool => {
                if self.pools.len() > 1 {
                    drop(self.pools.swap_remove(0));
                }
            }
            Op::Join => {
                let open = (0..self.model.ends.len() as u64)
                    .filter(|job| {
                        self.model.queue.contains(job) || self.model.running == Some(*job)
                    })
                    .collect();
                let pool = self.pool().clone();
                let mut joining: Pin<Box<dyn Future<Output = ()>>> =
                    Box::pin(async move { pool.join().await });
                // What it waits for is settled by its first poll.
                let over = poll_once(&mut joining).is_ready();
                if !over {
                    self.joins.push((open, joining));
                } else {
                    assert_eq!(open, []);
                }
            }
            Op::DropJoin => drop(self.joins.pop()),
            Op::Shutdown | Op::ShutdownNow | Op::DropShutdown => {
                let pool = self.pool().clone();
                let now = matches!(op, Op::ShutdownNow);
                let mut ending: Pin<Box<dyn Future<Output = ShutdownReport<Job>>>> =
                    Box::pin(async move {
                        if now {
                            pool.shutdown_now().await
                        } else {
                            pool.shutdown().await
                        }
                    });
                let polled = poll_once(&mut ending);
                self.model.closed = true;
                if now {
                    self.model.halt();
                }
                match polled {
                    Poll::Ready(report) => {
                        assert!(self.model.is_over());
                        self.reported(report);
                    }
                    Poll::Pending if matches!(op, Op::DropShutdown) => {}
                    Poll::Pending => self.shutdowns.push(ending),
                }
            }
            Op::ShutdownTimeout => {
                let report = self.pool().shutdown_timeout_blocking(Duration::ZERO);
                self.model.closed = true;
                if self.model.running.is_some() || !self.model.queue.is_empty() {
                    self.model.halt();
                }
                self.reported(report);
            }
        }
    }

    /// Lets all jobs through, and closes the books.
    fn end(mut self, by_dropping: bool) {
        if by_dropping && self.waiters.is_empty() && !self.model.closed {
            drop(std::mem::take(&mut self.joins));
            let weak = self.pool().downgrade();
            self.pools.clear();
            assert!(weak.upgrade().is_none() || self.forgotten_keeps_it_open());
            if weak.upgrade().is_none() {
                self.model.closed = true;
                self.door.open();
                while self.model.running.is_some() {
                    self.model.finish();
                    self.model.start();
                }
                for (job, handle) in std::mem::take(&mut self.handles) {
                    let outcome = handle.wait();
                    self.end_of(job, outcome);
                }
                let begin = Instant::now();
                while self.ledger.dropped() < self.ledger.made() {
                    assert!(begin.elapsed() < PATIENCE, "a job was not dropped");
                    std::thread::yield_now();
                }
                assert_eq!(*lock(&self.started), self.model.started);
                self.ledger.close_without_counts();
                return;
            }
            self.pools.extend(weak.upgrade());
        }
        self.step(Op::Shutdown);
        self.settle();
        while self.model.running.is_some() {
            self.step(Op::LetOneThrough);
            self.settle();
        }
        for (job, handle) in std::mem::take(&mut self.handles) {
            self.end_of(job, handle.wait());
        }
        assert!(self.shutdowns.is_empty() && self.joins.is_empty() && self.waiters.is_empty());
        let report = self.pool().shutdown_now_blocking();
        assert!(report.unrun.is_empty());
        assert_eq!(self.unrun, self.model.handed_back);
        self.ledger.close(report.counts);
    }

    fn forgotten_keeps_it_open(&self) -> bool {
        self.foreign.made() > 0
    }
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
    #![proptest_config(cases(2_000))]

    #[test]
    fn one_worker_does_exactly_what_the_model_does(
        capacity in 1..4usize,
        ops in ops(),
        by_dropping in any::<bool>(),
    ) {
        watched(move |ledger| {
            let mut run = Run::new(ledger, capacity);
            for op in ops {
                run.step(op);
                run.settle();
            }
            run.end(by_dropping);
        });
    }
}

// ---- many workers: what holds whoever is quicker ------------------------------------------------

fn check(pool: &Submitter<Job, Told, u64>, last: &mut Metrics, capacity: usize, workers: usize) {
    let now = pool.metrics();
    assert_conserved(now);
    assert!(now.waiting <= capacity as u64, "{now}");
    assert!(now.running <= workers as u64, "{now}");
    assert!(now.workers <= workers as u64, "{now}");
    assert!(now.busy_workers <= workers as u64, "{now}");
    assert!(now.accepted >= last.accepted && now.refused >= last.refused);
    assert!(now.completed >= last.completed && now.cancelled >= last.cancelled);
    assert!(now.handed_back >= last.handed_back && now.panicked >= last.panicked);
    assert_eq!((now.abandoned, now.faults), (0, 0), "{now}");
    *last = now;
}

proptest! {
    #![proptest_config(cases(1_500))]

    #[test]
    fn many_workers_lose_nothing_and_run_nothing_twice(
        capacity in 1..6usize,
        dispatchers in 1..4usize,
        workers in 1..4usize,
        ops in ops(),
    ) {
        watched(move |ledger| {
            let door = Door::new();
            let behind = door.clone();
            let pool = Pool::builder(handler_fn_with(move |job: Job, cx: &JobContext| {
                job.payload.run(|| behind.pass());
                match job.kind {
                    3 => Err(job.payload.id()),
                    4 => resume_unwind(Box::new("as planned")),
                    _ => Ok((job.payload.id(), cx.is_cancelled())),
                }
            }))
            .dispatchers(dispatchers)
            .workers_per_dispatcher(workers)
            .queue_capacity(capacity)
            .build()
            .unwrap();
            ledger.watch(&pool);
            let foreign = Ledger::new();
            let mut pools = vec![pool.submitter()];
            drop(pool);
            let mut handles: Vec<(u64, Handle)> = Vec::new();
            let mut waiting: Vec<(u64, Waiting)> = Vec::new();
            let mut threads = Vec::new();
            let mut joins = Vec::new();
            let mut shutdowns = Vec::new();
            let mut back = 0;
            let mut last = Metrics::default();
            for op in ops {
                let job = |ledger: &Ledger| {
                    let job = Job::new(ledger, ledger.made() as u64);
                    (job.payload.id(), job)
                };
                let pool = pools[0].clone();
                let pick = |at: usize| (!handles.is_empty()).then(|| at % handles.len());
                match op {
                    Op::TrySubmit => {
                        let (id, job) = job(&ledger);
                        handles.extend(pool.try_submit(job).ok().map(|handle| (id, handle)));
                    }
                    Op::TrySend => drop(pool.try_send(job(&ledger).1)),
                    Op::Submit(fate) => {
                        let forgotten = matches!(fate, Fate::Forgotten);
                        let (id, job) = job(if forgotten { &foreign } else { &ledger });
                        let submitter = pool.clone();
                        let mut future: Waiting =
                            Box::pin(async move { submitter.submit(job).await });
                        match (poll_once(&mut future), fate) {
                            (Poll::Ready(Ok(handle)), _) if !forgotten => handles.push((id, handle)),
                            (Poll::Pending, Fate::Kept) => waiting.push((id, future)),
                            (Poll::Pending, Fate::Forgotten) => std::mem::forget(future),
                            _ => {}
                        }
                    }
                    Op::SubmitBlocking => {
                        let (id, job) = job(&ledger);
                        let pool = pool.clone();
                        threads.push(std::thread::spawn(move || (id, pool.submit_blocking(job))));
                    }
                    Op::SendPolledOnce => {
                        let _ = poll_once(&mut Box::pin(pool.send(job(&ledger).1)));
                    }
                    Op::Cancel(at) | Op::CancelByHandle(at) => {
                        if let Some(at) = pick(at) {
                            let _ = handles[at].1.cancel();
                        }
                    }
                    Op::DropHandle(at) => drop(pick(at).map(|at| handles.swap_remove(at))),
                    Op::ForgetHandle(at) => {
                        std::mem::forget(pick(at).map(|at| handles.swap_remove(at)));
                    }
                    Op::PollHandle(at) | Op::Wait(at) => {
                        if let Some(at) = pick(at) {
                            let (id, mut handle) = handles.swap_remove(at);
                            match poll_once(&mut handle) {
                                Poll::Ready(outcome) => ledger.outcome(id, outcome),
                                Poll::Pending => handles.push((id, handle)),
                            }
                        }
                    }
                    Op::LetOneThrough => door.let_one(),
                    Op::Close => pool.close(),
                    Op::ClonePool => pools.push(pool.clone()),
                    Op::DropPool => {
                        if pools.len() > 1 {
                            drop(pools.swap_remove(0));
                        }
                    }
                    Op::Join => {
                        let pool = pool.clone();
                        let mut joining = Box::pin(async move { pool.join().await });
                        if poll_once(&mut joining).is_pending() {
                            joins.push(joining);
                        }
                    }
                    Op::DropJoin => drop(joins.pop()),
                    Op::Shutdown | Op::ShutdownNow | Op::DropShutdown => {
                        let pool = pool.clone();
                        let now = matches!(op, Op::ShutdownNow);
                        let mut ending = Box::pin(async move {
                            if now {
                                pool.shutdown_now().await
                            } else {
                                pool.shutdown().await
                            }
                        });
                        match poll_once(&mut ending) {
                            Poll::Ready(report) => back += report.unrun.len(),
                            Poll::Pending if matches!(op, Op::DropShutdown) => {}
                            Poll::Pending => shutdowns.push(ending),
                        }
                    }
                    Op::ShutdownTimeout => {
                        let report = pool.shutdown_timeout_blocking(Duration::ZERO);
                        back += report.unrun.len();
                    }
                }
                check(&pool, &mut last, capacity, dispatchers * workers);
            }
            door.open();
            // Everybody who waits for room gets it, or is refused.
            for (id, future) in waiting {
                let submitted = futures_lite::future::block_on(future);
                handles.extend(submitted.ok().map(|handle| (id, handle)));
            }
            for thread in threads {
                let (id, submitted) = thread.join().unwrap();
                handles.extend(submitted.ok().map(|handle| (id, handle)));
            }
            joins.into_iter().for_each(futures_lite::future::block_on);
            for ending in shutdowns {
                back += futures_lite::future::block_on(ending).unrun.len();
            }
            for (id, handle) in handles {
                ledger.outcome(id, handle.wait());
            }
            check(&pools[0], &mut last, capacity, dispatchers * workers);
            let report = pools[0].shutdown_blocking();
            back += report.unrun.len();
            let counts = report.counts;
            drop(report);
            assert_eq!(back as u64, counts.handed_back);
            if foreign.made() == 0 {
                ledger.close(counts);
            } else {
                ledger.close_without_counts();
                ledger.close_with_foreign_jobs(counts);
            }
        });
    }
}
