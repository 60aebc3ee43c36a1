//! The same tests on every kind of executor, and callers of every kind on one pool.

use crate::common::{Ledger, Payload, poll_once, watched};
use fanpool::{
    BoxFuture, Cancellation, JobContext, JobError, JobHandler, Pool, PoolBuilder, Spawner,
    SubmitError, Submitter, Threads, WorkerId, async_handler_factory, async_handler_fn,
    async_handler_fn_with, handler_factory, handler_fn,
};
use futures::executor::ThreadPool;
use futures_lite::future::yield_now;
use smol::LocalExecutor;
use smol::channel::{Receiver, Sender, unbounded};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

/// Where the workers and the callers of a test live.
trait Runtime: Clone + Send + Sync + 'static {
    fn new() -> Self;
    /// For the workers.
    fn spawner(&self) -> Box<dyn Spawner>;
    /// For the test itself.
    fn block_on<F: Future>(&self, body: F) -> F::Output;
    /// For tasks beside it.
    fn go(&self, task: impl Future<Output = ()> + Send + 'static);
}

/// The pool's own threads; each caller has one, too.
#[derive(Clone)]
struct OwnThreads;

impl Runtime for OwnThreads {
    fn new() -> Self {
        OwnThreads
    }
    fn spawner(&self) -> Box<dyn Spawner> {
        Box::new(Threads::new())
    }
    fn block_on<F: Future>(&self, body: F) -> F::Output {
        futures_lite::future::block_on(body)
    }
    fn go(&self, task: impl Future<Output = ()> + Send + 'static) {
        std::thread::spawn(|| futures_lite::future::block_on(task));
    }
}

/// No runtime: somebody calls `block_on` with each worker.
#[derive(Clone)]
struct Bare;

impl Runtime for Bare {
    fn new() -> Self {
        Bare
    }
    fn spawner(&self) -> Box<dyn Spawner> {
        Box::new(|task: BoxFuture<'static, ()>| {
            std::thread::spawn(|| futures_lite::future::block_on(task));
        })
    }
    fn block_on<F: Future>(&self, body: F) -> F::Output {
        futures_lite::future::block_on(body)
    }
    fn go(&self, task: impl Future<Output = ()> + Send + 'static) {
        std::thread::spawn(|| futures_lite::future::block_on(task));
    }
}

/// An executor of twenty lines: one thread, one queue.
#[derive(Clone)]
struct HandMade(mpsc::Sender<Arc<Chore>>);

struct Chore {
    task: Mutex<Option<BoxFuture<'static, ()>>>,
    queued: AtomicBool,
    queue: mpsc::Sender<Arc<Chore>>,
}

impl Wake for Chore {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, SeqCst) {
            let _ = self.queue.clone().send(self);
        }
    }
}

impl HandMade {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let chore = Chore {
            task: Mutex::new(Some(task)),
            queued: AtomicBool::new(false),
            queue: self.0.clone(),
        };
        Arc::new(chore).wake();
    }
}

impl Runtime for HandMade {
    fn new() -> Self {
        let (queue, chores) = mpsc::channel::<Arc<Chore>>();
        std::thread::spawn(move || {
            for chore in chores {
                chore.queued.store(false, SeqCst);
                let waker = Waker::from(chore.clone());
                let mut task = crate::common::lock(&chore.task);
                let over = task.as_mut().is_some_and(|task| {
                    task.as_mut()
                        .poll(&mut Context::from_waker(&waker))
                        .is_ready()
                });
                if over {
                    *task = None;
                }
            }
        });
        HandMade(queue)
    }
    fn spawner(&self) -> Box<dyn Spawner> {
        let executor = self.clone();
        Box::new(move |task: BoxFuture<'static, ()>| executor.spawn(task))
    }
    fn block_on<F: Future>(&self, body: F) -> F::Output {
        futures_lite::future::block_on(body)
    }
    fn go(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn(Box::pin(task));
    }
}

#[derive(Clone)]
struct TokioThreads(Arc<tokio::runtime::Runtime>);

impl Runtime for TokioThreads {
    fn new() -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        TokioThreads(Arc::new(builder.worker_threads(2).build().unwrap()))
    }
    fn spawner(&self) -> Box<dyn Spawner> {
        on_tokio(&self.0)
    }
    fn block_on<F: Future>(&self, body: F) -> F::Output {
        self.0.block_on(body)
    }
    fn go(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }
}

/// Workers and callers on one thread: whoever blocks it blocks all.
#[derive(Clone)]
struct TokioCurrent(Arc<tokio::runtime::Runtime>);

impl Runtime for TokioCurrent {
    fn new() -> Self {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        TokioCurrent(Arc::new(builder.build().unwrap()))
    }
    fn spawner(&self) -> Box<dyn Spawner> {
        on_tokio(&self.0)
    }
    fn block_on<F: Future>(&self, body: F) -> F::Output {
        self.0.block_on(body)
    }
    fn go(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }
}

fn on_tokio(runtime: &tokio::runtime::Runtime) -> Box<dyn Spawner> {
    let handle = runtime.handle().clone();
    Box::new(move |task: BoxFuture<'static, ()>| {
        handle.spawn(task);
    })
}

#[derive(Clone)]
struct Smol;

impl Runtime for Smol {
    fn new() -> Self {
        Smol
    }
    fn spawner(&self) -> Box<dyn Spawner> {
        Box::new(|task: BoxFuture<'static, ()>| smol::spawn(task).detach())
    }
    fn block_on<F: Future>(&self, body: F) -> F::Output {
        smol::block_on(body)
    }
    fn go(&self, task: impl Future<Output = ()> + Send + 'static) {
        smol::spawn(task).detach();
    }
}

#[derive(Clone)]
struct AsyncGlobal;

impl Runtime for AsyncGlobal {
    fn new() -> Self {
        AsyncGlobal
    }
    fn spawner(&self) -> Box<dyn Spawner> {
        Box::new(|task: BoxFuture<'static, ()>| async_global_executor::spawn(task).detach())
    }
    fn block_on<F: Future>(&self, body: F) -> F::Output {
        async_global_executor::block_on(body)
    }
    fn go(&self, task: impl Future<Output = ()> + Send + 'static) {
        async_global_executor::spawn(task).detach();
    }
}

#[derive(Clone)]
struct FuturesThreads(ThreadPool);

impl Runtime for FuturesThreads {
    fn new() -> Self {
        FuturesThreads(ThreadPool::builder().pool_size(2).create().unwrap())
    }
    fn spawner(&self) -> Box<dyn Spawner> {
        let executor = self.0.clone();
        Box::new(move |task: BoxFuture<'static, ()>| executor.spawn_ok(task))
    }
    fn block_on<F: Future>(&self, body: F) -> F::Output {
        futures::executor::block_on(body)
    }
    fn go(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn_ok(task);
    }
}

/// A set of tasks that never leave the thread of the test, beside the test itself.
#[derive(Clone)]
struct TokioLocal(TokioCurrent);

impl Runtime for TokioLocal {
    fn new() -> Self {
        TokioLocal(TokioCurrent::new())
    }
    fn spawner(&self) -> Box<dyn Spawner> {
        Box::new(|task: BoxFuture<'static, ()>| {
            tokio::task::spawn_local(task);
        })
    }
    fn block_on<F: Future>(&self, body: F) -> F::Output {
        LocalSet::new().block_on(&self.0.0, body)
    }
    fn go(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::task::spawn_local(task);
    }
}

/// The same with smol's, which a spawner can only reach through the thread.
#[derive(Clone)]
struct SmolLocal;

std::thread_local! {
    static LOCAL: LocalExecutor<'static> = const { LocalExecutor::new() };
}

impl Runtime for SmolLocal {
    fn new() -> Self {
        SmolLocal
    }
    fn spawner(&self) -> Box<dyn Spawner> {
        Box::new(|task: BoxFuture<'static, ()>| LOCAL.with(|local| local.spawn(task).detach()))
    }
    fn block_on<F: Future>(&self, body: F) -> F::Output {
        LOCAL.with(|local| smol::block_on(local.run(body)))
    }
    fn go(&self, task: impl Future<Output = ()> + Send + 'static) {
        LOCAL.with(|local| local.spawn(task).detach());
    }
}

/// A door for handlers that must not block.
#[derive(Clone)]
struct Gate {
    arrive: Sender<u64>,
    arrivals: Receiver<u64>,
    passes: Arc<Semaphore>,
}

impl Gate {
    fn new() -> Self {
        let (arrive, arrivals) = unbounded();
        Gate {
            arrive,
            arrivals,
            passes: Arc::new(Semaphore::new(0)),
        }
    }

    async fn pass(&self, id: u64) {
        self.arrive.send(id).await.unwrap();
        if let Ok(pass) = self.passes.acquire().await {
            pass.forget();
        }
    }

    /// Waits until a job comes to the gate; its number.
    async fn arrival(&self) -> u64 {
        self.arrivals.recv().await.unwrap()
    }

    fn let_one(&self) {
        self.passes.add_permits(1);
    }

    fn open(&self) {
        self.passes.close();
    }
}

/// A pool whose jobs wait at a gate.
fn behind<R: Runtime>(
    runtime: &R,
    ledger: &Ledger,
    gate: &Gate,
    workers: usize,
    capacity: usize,
) -> Submitter<Payload, u64, String> {
    let gate = gate.clone();
    let handler = async_handler_fn(move |job: Payload| {
        let gate = gate.clone();
        async move {
            job.started();
            gate.pass(job.id()).await;
            job.ended();
            Ok(job.id())
        }
    });
    let pool = Pool::builder(handler)
        .spawner(runtime.spawner())
        .workers_per_dispatcher(workers)
        .queue_capacity(capacity)
        .build()
        .unwrap();
    ledger.watch(&pool);
    pool.submitter()
}

async fn every_outcome_reaches_its_handle<R: Runtime>(runtime: R, ledger: Ledger) {
    let pool = Pool::builder(async_handler_fn(|job: Payload| async move {
        job.run(|| ());
        yield_now().await;
        match job.id() % 3 {
            0 => Ok(job.id()),
            1 => Err(format!("{} failed", job.id())),
            _ => panic!("{} panicked", job.id()),
        }
    }))
    .spawner(runtime.spawner())
    .workers_per_dispatcher(2)
    .build()
    .unwrap();
    ledger.watch(&pool);
    pool.ready().await.unwrap();
    let mut handles = Vec::new();
    for _ in 0..30 {
        handles.push(pool.submit(ledger.job()).await.unwrap());
    }
    for (id, handle) in handles.into_iter().enumerate() {
        let outcome = handle.await;
        ledger.outcome(id as u64, &outcome);
        match (id % 3, outcome) {
            (0, Ok(given)) => assert_eq!(given, id as u64),
            (1, Err(JobError::Failed(why))) => assert_eq!(why, format!("{id} failed")),
            (2, Err(JobError::Panicked(panic))) => {
                assert_eq!(panic.message(), format!("{id} panicked"));
            }
            (_, other) => panic!("{other:?}"),
        }
    }
    let counts = pool.shutdown().await.counts;
    assert_eq!(
        (counts.completed, counts.failed, counts.panicked),
        (10, 10, 10)
    );
    ledger.close(counts);
}

async fn many_callers_run_jobs_at_once<R: Runtime>(runtime: R, ledger: Ledger) {
    const CALLERS: usize = 8;
    const EACH: usize = 50;
    let gate = Gate::new();
    gate.open();
    let pool = behind(&runtime, &ledger, &gate, 2, 2);
    let (done, results) = unbounded();
    for _ in 0..CALLERS {
        let (pool, ledger, done) = (pool.clone(), ledger.clone(), done.clone());
        runtime.go(async move {
            for _ in 0..EACH {
                let job = ledger.job();
                let id = job.id();
                done.send((id, pool.run(job).await.unwrap())).await.unwrap();
            }
        });
    }
    for _ in 0..CALLERS * EACH {
        let (id, given) = results.recv().await.unwrap();
        assert_eq!(id, given);
        ledger.outcome(id, given);
    }
    ledger.close(pool.shutdown().await.counts);
}

async fn a_join_sees_every_job_that_was_sent<R: Runtime>(runtime: R, ledger: Ledger) {
    let gate = Gate::new();
    gate.open();
    let pool = behind(&runtime, &ledger, &gate, 2, 8);
    for round in 1..=3 {
        for _ in 0..100 {
            pool.send(ledger.job()).await.unwrap();
        }
        pool.join().await;
        let counts = pool.metrics();
        assert_eq!(counts.completed, round * 100, "{counts}");
        assert_eq!((counts.waiting, counts.running), (0, 0), "{counts}");
    }
    ledger.close(pool.shutdown().await.counts);
}

async fn a_submission_waits_for_room_and_goes_on<R: Runtime>(runtime: R, ledger: Ledger) {
    let gate = Gate::new();
    let pool = behind(&runtime, &ledger, &gate, 1, 2);
    pool.send(ledger.job()).await.unwrap();
    assert_eq!(gate.arrival().await, 0);
    pool.send(ledger.job()).await.unwrap();
    pool.send(ledger.job()).await.unwrap();
    assert!(
        pool.try_send(ledger.job())
            .is_err_and(|refused| refused.is_full())
    );

    let mut first = Box::pin(pool.submit(ledger.job()));
    assert!(poll_once(&mut first).is_pending());
    assert_eq!(pool.metrics().accepted, 3);
    gate.let_one();
    assert_eq!(gate.arrival().await, 1);
    let handle = first.await.unwrap();

    // Another begins to wait here and goes on waiting in a task. It comes after the first has its
    // room, since room goes to whoever asks for it first.
    let (other, job) = (pool.clone(), ledger.job());
    let mut second = Box::pin(async move { other.submit(job).await });
    assert!(poll_once(&mut second).is_pending());
    let (told, hears) = unbounded();
    runtime.go(async move {
        let handle = second.await.unwrap();
        told.send(handle.await.unwrap()).await.unwrap();
    });
    gate.open();
    assert_eq!(handle.await.unwrap(), 4);
    assert_eq!(hears.recv().await.unwrap(), 5);
    ledger.close(pool.shutdown().await.counts);
}

async fn a_job_is_cancelled_while_somebody_waits_for_it<R: Runtime>(runtime: R, ledger: Ledger) {
    let (start, starts) = unbounded();
    let pool = Pool::builder(async_handler_fn_with(
        move |job: Payload, cx: JobContext| {
            let start = start.clone();
            async move {
                job.started();
                start.send(()).await.unwrap();
                cx.cancelled().await;
                job.ended();
                Ok::<_, String>(job.id())
            }
        },
    ))
    .spawner(runtime.spawner())
    .workers_per_dispatcher(1)
    .build()
    .unwrap();
    ledger.watch(&pool);
    let running = pool.submit(ledger.job()).await.unwrap();
    starts.recv().await.unwrap();
    let waiting = pool.submit(ledger.job()).await.unwrap();
    let (stop_running, stop_waiting) = (running.cancel_handle(), waiting.cancel_handle());
    let (told, hears) = unbounded();
    for handle in [running, waiting] {
        let told = told.clone();
        runtime.go(async move {
            let id = handle.id().get();
            told.send((id, handle.await)).await.unwrap();
        });
    }
    assert_eq!(stop_waiting.cancel(), Cancellation::Removed);
    let (id, outcome) = hears.recv().await.unwrap();
    assert!(
        id == 2 && matches!(outcome, Err(JobError::Cancelled)),
        "{id}: {outcome:?}"
    );
    assert_eq!(stop_running.cancel(), Cancellation::Requested);
    let (id, outcome) = hears.recv().await.unwrap();
    assert!(id == 1 && matches!(outcome, Ok(0)), "{id}: {outcome:?}");
    assert_eq!(stop_running.cancel(), Cancellation::TooLate);
    assert_eq!(stop_waiting.cancel(), Cancellation::TooLate);
    assert_eq!(ledger.started(), 1);
    ledger.close(pool.shutdown().await.counts);
}

async fn a_shutdown_drains_the_queue<R: Runtime>(runtime: R, ledger: Ledger) {
    let gate = Gate::new();
    let pool = behind(&runtime, &ledger, &gate, 2, 100);
    let mut handles = Vec::new();
    for _ in 0..50 {
        handles.push(pool.submit(ledger.job()).await.unwrap());
    }
    gate.arrival().await;
    let mut shutdown = Box::pin(pool.shutdown());
    assert!(poll_once(&mut shutdown).is_pending());
    match pool.submit(ledger.job()).await {
        Err(SubmitError::Closed(job)) => assert_eq!(job.id(), 50),
        other => panic!("{other:?}"),
    }
    gate.open();
    let report = shutdown.await;
    assert!(report.unrun.is_empty() && report.still_running.is_empty());
    assert_eq!(report.counts.completed, 50);
    assert_eq!(report.counts.workers, 0);
    for (id, handle) in handles.into_iter().enumerate() {
        assert!(handle.is_finished());
        assert_eq!(handle.await.unwrap(), id as u64);
    }
    ledger.close(report.counts);
}

async fn a_shutdown_now_hands_back_what_waits<R: Runtime>(runtime: R, ledger: Ledger) {
    let (start, starts) = unbounded();
    let pool = Pool::builder(async_handler_fn_with(
        move |job: Payload, cx: JobContext| {
            let start = start.clone();
            async move {
                job.started();
                start.send(()).await.unwrap();
                cx.cancelled().await;
                job.ended();
                Ok::<_, String>(job.id())
            }
        },
    ))
    .spawner(runtime.spawner())
    .workers_per_dispatcher(1)
    .build()
    .unwrap();
    ledger.watch(&pool);
    let running = pool.submit(ledger.job()).await.unwrap();
    starts.recv().await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(pool.submit(ledger.job()).await.unwrap());
    }
    let report = pool.shutdown_now().await;
    let unrun: Vec<u64> = report.unrun.iter().map(|job| job.data().id()).collect();
    assert_eq!(unrun, [1, 2, 3]);
    assert!(report.still_running.is_empty());
    assert_eq!(running.await.unwrap(), 0);
    for handle in waiting {
        assert!(matches!(handle.await, Err(JobError::HandedBack)));
    }
    let counts = report.counts;
    drop(report);
    ledger.close(counts);
}

/// Counts its own jobs, without a lock.
struct Counter {
    worker: WorkerId,
    count: usize,
}

impl JobHandler<Payload> for Counter {
    type Output = (WorkerId, usize);
    type Error = Infallible;

    async fn handle(&mut self, job: Payload, cx: &JobContext) -> Result<Self::Output, Infallible> {
        assert_eq!(cx.worker(), self.worker);
        job.started();
        yield_now().await;
        self.count += 1;
        job.ended();
        Ok((self.worker, self.count))
    }
}

async fn each_worker_keeps_its_own_state<R: Runtime>(runtime: R, ledger: Ledger) {
    let pool = Pool::builder(handler_factory(|worker| {
        Ok::<_, Infallible>(Counter { worker, count: 0 })
    }))
    .spawner(runtime.spawner())
    .workers_per_dispatcher(3)
    .build()
    .unwrap();
    ledger.watch(&pool);
    let mut handles = Vec::new();
    for _ in 0..300 {
        handles.push(pool.submit(ledger.job()).await.unwrap());
    }
    let mut counts: BTreeMap<WorkerId, Vec<usize>> = BTreeMap::new();
    for handle in handles {
        let (worker, count) = handle.await.unwrap();
        counts.entry(worker).or_default().push(count);
    }
    for (worker, mut counts) in counts {
        // A job that a slow worker had taken ahead may be run late, by another.
        counts.sort_unstable();
        assert!(
            counts.iter().copied().eq(1..=counts.len()),
            "{worker}: {counts:?}"
        );
    }
    ledger.close(pool.shutdown().await.counts);
}

async fn a_dropped_submission_leaves_nothing_behind<R: Runtime>(runtime: R, ledger: Ledger) {
    let gate = Gate::new();
    let pool = behind(&runtime, &ledger, &gate, 1, 1);
    pool.send(ledger.job()).await.unwrap();
    gate.arrival().await;
    pool.send(ledger.job()).await.unwrap();
    let mut dropped = Box::pin(pool.submit(ledger.job()));
    let mut next = Box::pin(pool.submit(ledger.job()));
    assert!(poll_once(&mut dropped).is_pending());
    assert!(poll_once(&mut next).is_pending());
    drop(dropped);
    gate.let_one();
    assert_eq!(gate.arrival().await, 1);
    let handle = next.await.unwrap();
    let mut beyond = Box::pin(pool.send(ledger.job()));
    assert!(poll_once(&mut beyond).is_pending(), "no room was made up");
    drop(beyond);
    gate.open();
    assert_eq!(handle.await.unwrap(), 3);
    let counts = pool.shutdown().await.counts;
    assert_eq!((counts.accepted, counts.completed), (3, 3));
    assert_eq!(ledger.started(), 3);
    ledger.close(counts);
}

async fn a_handler_that_awaits_holds_up_nobody_else<R: Runtime>(runtime: R, ledger: Ledger) {
    let gate = Gate::new();
    let at_gate = gate.clone();
    let pool = Pool::builder(async_handler_fn(move |job: Payload| {
        let gate = at_gate.clone();
        async move {
            job.started();
            if job.id() == 0 {
                gate.pass(0).await;
            }
            job.ended();
            Ok::<_, String>(job.id())
        }
    }))
    .spawner(runtime.spawner())
    .workers_per_dispatcher(2)
    .queue_capacity(3)
    .build()
    .unwrap();
    ledger.watch(&pool);
    let mut long = pool.submit(ledger.job()).await.unwrap();
    gate.arrival().await;
    for id in 1..200 {
        assert_eq!(pool.run(ledger.job()).await.unwrap(), id);
    }
    assert!(poll_once(&mut long).is_pending());
    gate.open();
    assert_eq!(long.await.unwrap(), 0);
    ledger.close(pool.shutdown().await.counts);
}

/// For executors with one thread.
async fn a_long_queue_does_not_starve_the_executor<R: Runtime>(runtime: R, ledger: Ledger) {
    const JOBS: usize = 1000;
    let gate = Gate::new();
    let (at_gate, done) = (gate.clone(), Arc::new(AtomicUsize::new(0)));
    let seen = done.clone();
    let pool = Pool::builder(async_handler_fn(move |job: Payload| {
        let (gate, done) = (at_gate.clone(), done.clone());
        async move {
            job.started();
            if job.id() == 0 {
                gate.pass(0).await;
            }
            done.fetch_add(1, SeqCst);
            job.ended();
            Ok::<_, String>(())
        }
    }))
    .spawner(runtime.spawner())
    .workers_per_dispatcher(1)
    .build()
    .unwrap();
    ledger.watch(&pool);
    for _ in 0..JOBS {
        pool.send(ledger.job()).await.unwrap();
        if ledger.made() == 1 {
            gate.arrival().await;
        }
    }
    let (told, hears) = unbounded();
    runtime.go(async move {
        let (mut last, mut longest) = (0, 0);
        gate.open();
        while last < JOBS {
            yield_now().await;
            let now = seen.load(SeqCst);
            longest = longest.max(now - last);
            last = now;
        }
        told.send(longest).await.unwrap();
    });
    let longest = hears.recv().await.unwrap();
    assert!(longest <= 128, "{longest} jobs without giving way");
    ledger.close(pool.shutdown().await.counts);
}

macro_rules! on {
    ($($place:ident: $runtime:ident => $bodies:tt)*) => {
        $(mod $place { on!(@ $runtime $bodies); })*
    };
    (@ $runtime:ident { $($body:ident)* }) => {
        $(
            #[test]
            fn $body() {
                super::watched(|ledger| {
                    let runtime = <super::$runtime as super::Runtime>::new();
                    let body = super::$body(runtime.clone(), ledger);
                    super::Runtime::block_on(&runtime, body);
                });
            }
        )*
    };
}

macro_rules! on_every_runtime {
    ($bodies:tt) => {
        on! {
            own_threads: OwnThreads => $bodies
            bare: Bare => $bodies
            hand_made: HandMade => $bodies
            tokio_threads: TokioThreads => $bodies
            tokio_current: TokioCurrent => $bodies
            tokio_local: TokioLocal => $bodies
            smol_global: Smol => $bodies
            smol_local: SmolLocal => $bodies
            async_global: AsyncGlobal => $bodies
            futures_threads: FuturesThreads => $bodies
        }
    };
}

on_every_runtime! {{
    every_outcome_reaches_its_handle
    many_callers_run_jobs_at_once
    a_join_sees_every_job_that_was_sent
    a_submission_waits_for_room_and_goes_on
    a_job_is_cancelled_while_somebody_waits_for_it
    a_shutdown_drains_the_queue
    a_shutdown_now_hands_back_what_waits
    each_worker_keeps_its_own_state
    a_dropped_submission_leaves_nothing_behind
    a_handler_that_awaits_holds_up_nobody_else
}}

on! {
    hand_made_alone: HandMade => { a_long_queue_does_not_starve_the_executor }
    tokio_current_alone: TokioCurrent => { a_long_queue_does_not_starve_the_executor }
    tokio_local_alone: TokioLocal => { a_long_queue_does_not_starve_the_executor }
    smol_local_alone: SmolLocal => { a_long_queue_does_not_starve_the_executor }
}

/// Plain threads, tokio tasks and smol tasks submit to one pool, whose queue is far too short.
fn shared_by_all_kinds_of_callers<J>(pool: Submitter<Payload, u64, J>, ledger: &Ledger)
where
    J: Send + std::fmt::Debug + 'static,
{
    const EACH: usize = 200;
    ledger.watch(&pool);
    let mut callers = Vec::new();
    for _ in 0..2 {
        let (pool, ledger) = (pool.clone(), ledger.clone());
        callers.push(std::thread::spawn(move || {
            for _ in 0..EACH {
                let job = ledger.job();
                let id = job.id();
                let handle = pool.submit_blocking(job).unwrap();
                let outcome = handle.wait().unwrap();
                ledger.outcome(id, outcome);
                assert_eq!(outcome, id);
            }
        }));
    }
    let async_caller = |pool: Submitter<Payload, u64, J>, ledger: Ledger| async move {
        for _ in 0..EACH {
            let job = ledger.job();
            let id = job.id();
            let handle = pool.submit(job).await.unwrap();
            let outcome = handle.await.unwrap();
            ledger.outcome(id, outcome);
            assert_eq!(outcome, id);
        }
    };
    let (on_tokio, books) = (pool.clone(), ledger.clone());
    callers.push(std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let tasks: Vec<_> = (0..2)
            .map(|_| runtime.spawn(async_caller(on_tokio.clone(), books.clone())))
            .collect();
        for task in tasks {
            runtime.block_on(task).unwrap();
        }
    }));
    let (on_smol, books) = (pool.clone(), ledger.clone());
    callers.push(std::thread::spawn(move || {
        let tasks: Vec<_> = (0..2)
            .map(|_| smol::spawn(async_caller(on_smol.clone(), books.clone())))
            .collect();
        for task in tasks {
            smol::block_on(task);
        }
    }));
    for caller in callers {
        caller.join().unwrap();
    }
    let counts = pool.shutdown_blocking().counts;
    assert_eq!(counts.completed, 6 * EACH as u64);
    ledger.close(counts);
}

fn adders() -> PoolBuilder<
    Payload,
    impl fanpool::JobHandlerFactory<Payload, Handler: JobHandler<Payload, Output = u64, Error = String>>,
> {
    Pool::builder(handler_fn(|job: Payload| {
        Ok::<_, String>(job.run(|| job.id()))
    }))
    .workers_per_dispatcher(2)
    .queue_capacity(2)
}

#[test]
fn blocking_and_async_callers_share_a_pool_of_threads() {
    watched(|ledger| {
        let pool = adders().build().unwrap();
        shared_by_all_kinds_of_callers(pool.submitter(), &ledger);
    });
}

#[test]
fn blocking_and_async_callers_share_a_pool_on_tokio() {
    watched(|ledger| {
        let runtime = TokioThreads::new();
        let pool = adders().spawner(runtime.spawner()).build().unwrap();
        shared_by_all_kinds_of_callers(pool.submitter(), &ledger);
    });
}

// ---- What needs tokio, on threads of the pool ---------------------------------------------------------

/// Panics outside of a tokio runtime: its timer is what is asked for, no time has to pass.
async fn on_tokio_only(n: u64) -> u64 {
    let task = tokio::spawn(async move { n + 1 });
    tokio::time::sleep(Duration::from_nanos(1)).await;
    task.await.unwrap()
}

fn with_timers() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_time().build().unwrap()
}

#[test]
fn threads_that_entered_tokio_give_its_context_to_factories_and_handlers() {
    watched(|_| {
        let tokio = with_timers();
        let handle = tokio.handle().clone();
        let pool = Pool::builder(async_handler_factory(|_| async {
            let started_with = on_tokio_only(1).await;
            Ok::<_, Infallible>(async_handler_fn(move |n: u64| async move {
                assert!(n != 13);
                Ok::<_, Infallible>(started_with + on_tokio_only(n).await)
            }))
        }))
        .spawner(Threads::new().on_start(move |_| std::mem::forget(handle.enter())))
        .workers_per_dispatcher(2)
        .build()
        .unwrap();
        for n in 0..10 {
            assert_eq!(pool.run_blocking(n).unwrap(), n + 3);
        }
        // A new handler is made on the same thread.
        assert!(pool.run_blocking(13).is_err());
        for n in 0..10 {
            assert_eq!(pool.run_blocking(n).unwrap(), n + 3);
        }
        pool.shutdown_blocking();
        // The handles on the threads went with them: the runtime ends.
        drop(tokio);
    });
}

#[test]
fn a_blocking_handler_on_a_thread_can_block_on_tokio() {
    watched(|ledger| {
        let tokio = with_timers();
        let handle = tokio.handle().clone();
        let pool = Pool::builder(handler_fn(move |job: Payload| {
            Ok::<_, String>(job.run(|| handle.block_on(on_tokio_only(job.id()))))
        }))
        .workers_per_dispatcher(2)
        .build()
        .unwrap();
        ledger.watch(&pool);
        for id in 0..10 {
            assert_eq!(pool.run_blocking(ledger.job()).unwrap(), id + 1);
        }
        // And be waited for by tasks of that runtime.
        let (there, job) = (pool.clone(), ledger.job());
        let task = tokio.spawn(async move { there.run(job).await.unwrap() });
        assert_eq!(tokio.block_on(task).unwrap(), 11);
        ledger.close(pool.shutdown_blocking().counts);
    });
}

/// On tokio itself it panics, as tokio says, and that job alone fails.
#[test]
fn a_blocking_handler_on_tokio_cannot_block_on_tokio() {
    watched(|ledger| {
        let tokio = with_timers();
        let handle = tokio.handle().clone();
        let pool = Pool::builder(handler_fn(move |job: Payload| {
            Ok::<_, String>(job.run(|| handle.block_on(on_tokio_only(1))))
        }))
        .spawner(on_tokio(&tokio))
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let outcome = pool.submit_blocking(ledger.job()).unwrap().wait();
        assert!(
            matches!(&outcome, Err(JobError::Panicked(panic)) if panic.message().contains("runtime")),
            "{outcome:?}"
        );
        let counts = pool.shutdown_blocking().counts;
        assert_eq!(counts.panicked, 1);
        ledger.close(counts);
    });
}
