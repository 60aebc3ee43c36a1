//! Factories that fail, handlers that break, and loops that misbehave.

use crate::common::{Ledger, Payload, poll_once, watched};
use fanpool::clock::{Clock, ManualClock};
use fanpool::worker::{Inbox, Worker};
use fanpool::{
    BoxError, JobContext, JobError, JobHandler, JobHandlerFactory, Pool, WorkerId,
    async_handler_fn, async_trait, handler_factory, handler_fn,
};
use futures_lite::future::{block_on, pending, poll_once as poll_once_and_drop};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(10);

/// Virtual time, and word of every moment the pool sets its alarm to.
struct Probe {
    clock: ManualClock,
    start: Instant,
    alarms: mpsc::Sender<Duration>,
}

impl Probe {
    fn new() -> (Self, ManualClock, Alarms) {
        let (alarms, seen) = mpsc::channel();
        let clock = ManualClock::new();
        let probe = Probe {
            start: clock.now(),
            clock: clock.clone(),
            alarms,
        };
        let alarms = Alarms {
            seen,
            last: Duration::ZERO,
        };
        (probe, clock, alarms)
    }
}

impl Clock for Probe {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn park_until(&self, until: Option<Instant>) {
        if let Some(until) = until {
            let _ = self.alarms.send(until - self.start);
        }
        self.clock.park_until(until);
    }
}

/// The alarms as they were set, counted from the start.
struct Alarms {
    seen: mpsc::Receiver<Duration>,
    last: Duration,
}

impl Alarms {
    /// Waits until the alarm is set to a later moment than before.
    fn next(&mut self) -> Duration {
        let later = self.seen.iter().find(|&until| until > self.last);
        self.last = later.expect("the pool is there");
        self.last
    }
}

/// Counts its own jobs; panics and hangs when asked to; knows when it is broken.
struct Counter {
    count: usize,
    in_the_middle: bool,
    number: usize,
    diary: Diary,
}

/// What happened to handlers, in order.
type Diary = Arc<Mutex<Vec<String>>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Count,
    Panic,
    Hang,
}

struct Task {
    act: Act,
    payload: Payload,
}

impl JobHandler<Task> for Counter {
    type Output = usize;
    type Error = Infallible;

    async fn handle(&mut self, job: Task, _: &JobContext) -> Result<usize, Infallible> {
        if self.in_the_middle {
            let line = format!("{} was broken and saw another job", self.number);
            crate::common::lock(&self.diary).push(line);
        }
        self.in_the_middle = true;
        job.payload.started();
        self.count += 1;
        match job.act {
            Act::Count => {}
            Act::Panic => panic!("asked to"),
            Act::Hang => pending().await,
        }
        job.payload.ended();
        self.in_the_middle = false;
        Ok(self.count)
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        crate::common::lock(&self.diary).push(format!("{} dropped", self.number));
    }
}

fn counters(
    diary: &Diary,
) -> impl JobHandlerFactory<Task, Handler: JobHandler<Task, Output = usize, Error = Infallible>> + use<>
{
    let (diary, made) = (diary.clone(), AtomicUsize::new(0));
    handler_factory(move |_| {
        let number = made.fetch_add(1, SeqCst);
        crate::common::lock(&diary).push(format!("{number} made"));
        Ok::<_, Infallible>(Counter {
            count: 0,
            in_the_middle: false,
            number,
            diary: diary.clone(),
        })
    })
}

fn task(ledger: &Ledger, act: Act) -> Task {
    Task {
        act,
        payload: ledger.job(),
    }
}

/// A handler that only runs its job.
#[derive(Debug)]
struct Plain;

impl JobHandler<Payload> for Plain {
    type Output = WorkerId;
    type Error = Infallible;

    async fn handle(&mut self, job: Payload, cx: &JobContext) -> Result<WorkerId, Infallible> {
        job.run(|| ());
        Ok(cx.worker())
    }
}

// ---- factories ----------------------------------------------------------------------------------

#[test]
fn a_failing_factory_is_asked_again_after_doubling_pauses_until_it_recovers() {
    watched(|ledger| {
        let (probe, clock, mut alarms) = Probe::new();
        let (call, calls) = mpsc::channel();
        let asked = AtomicUsize::new(0);
        let pool = Pool::builder(handler_factory(move |_| {
            call.send(()).unwrap();
            match asked.fetch_add(1, SeqCst) {
                0..13 => Err("no connection"),
                _ => Ok(Plain),
            }
        }))
        .workers_per_dispatcher(1)
        .clock(probe)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let handle = pool.submit_blocking(ledger.job()).unwrap();
        let error = pool.ready_blocking().unwrap_err();
        assert_eq!(
            error.to_string(),
            "worker 0.0 could not get its handler: no connection"
        );
        assert_eq!(
            (error.worker().dispatcher(), error.worker().index()),
            (0, 0)
        );

        let (mut now, mut pause) = (Duration::ZERO, FIRST);
        for _ in 0..13 {
            calls.recv().unwrap();
            let alarm = alarms.next();
            assert_eq!(alarm - now, pause, "after {now:?}");
            clock.advance(pause - Duration::from_nanos(1));
            assert!(calls.try_recv().is_err(), "asked too early");
            clock.advance(Duration::from_nanos(1));
            now = alarm;
            pause = (pause * 2).min(Duration::from_secs(10));
        }
        calls.recv().unwrap();
        assert_eq!(
            pause,
            Duration::from_secs(10),
            "the pauses were seen to stop growing"
        );
        handle.wait().unwrap();
        pool.ready_blocking().unwrap();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

/// Waits for the test's word before each handler, and does as it says.
struct OnCue(smol::channel::Receiver<Cue>);

enum Cue {
    Make,
    Fail,
    Panic,
}

impl JobHandlerFactory<Payload> for OnCue {
    type Handler = Plain;

    async fn create(&self, _: WorkerId) -> Result<Plain, BoxError> {
        match self.0.recv().await {
            Ok(Cue::Make) => Ok(Plain),
            Ok(Cue::Panic) => panic!("no more of this"),
            Ok(Cue::Fail) | Err(_) => Err("no".into()),
        }
    }
}

#[test]
fn a_panicking_factory_is_a_failing_one() {
    watched(|ledger| {
        let (probe, clock, mut alarms) = Probe::new();
        let (cue, cues) = smol::channel::unbounded();
        let pool = Pool::builder(OnCue(cues))
            .workers_per_dispatcher(1)
            .clock(probe)
            .build()
            .unwrap();
        ledger.watch(&pool);
        let handle = pool.submit_blocking(ledger.job()).unwrap();
        cue.try_send(Cue::Panic).unwrap();
        let error = pool.ready_blocking().unwrap_err().to_string();
        assert_eq!(
            error,
            "worker 0.0 could not get its handler: the factory panicked: no more of this"
        );
        assert_eq!(alarms.next(), FIRST);
        cue.try_send(Cue::Make).unwrap();
        clock.advance(FIRST);
        handle.wait().unwrap();
        pool.ready_blocking().unwrap();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn ready_waits_for_the_last_worker_and_jobs_do_not() {
    watched(|ledger| {
        let (cue, cues) = smol::channel::unbounded();
        let pool = Pool::builder(OnCue(cues))
            .workers_per_dispatcher(2)
            .build()
            .unwrap();
        ledger.watch(&pool);
        let mut ready = Box::pin(pool.ready());
        assert!(poll_once(&mut ready).is_pending());
        cue.try_send(Cue::Make).unwrap();
        for _ in 0..20 {
            pool.run_blocking(ledger.job()).unwrap();
        }
        assert!(poll_once(&mut ready).is_pending());
        cue.try_send(Cue::Make).unwrap();
        block_on(ready).unwrap();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_shutdown_does_not_wait_for_a_factory_that_nobody_needs() {
    watched(|ledger| {
        let (cue, cues) = smol::channel::unbounded();
        let pool = Pool::builder(OnCue(cues))
            .workers_per_dispatcher(2)
            .build()
            .unwrap();
        ledger.watch(&pool);
        let handle = pool.submit_blocking(ledger.job()).unwrap();
        let mut shutdown = Box::pin(pool.shutdown());
        assert!(poll_once(&mut shutdown).is_pending());
        // One of them is enough for what waits; the other is still being made.
        cue.try_send(Cue::Make).unwrap();
        let report = block_on(shutdown);
        assert!(handle.wait().is_ok());
        ledger.close(report.counts);
    });
}

#[test]
fn a_shutdown_now_does_not_wait_for_a_factory() {
    watched(|ledger| {
        let (_cue, cues) = smol::channel::unbounded();
        let pool = Pool::builder(OnCue(cues))
            .workers_per_dispatcher(2)
            .build()
            .unwrap();
        ledger.watch(&pool);
        let handle = pool.submit_blocking(ledger.job()).unwrap();
        let report = pool.shutdown_now_blocking();
        assert_eq!(report.unrun.len(), 1);
        assert!(matches!(handle.wait(), Err(JobError::HandedBack)));
        let counts = report.counts;
        drop(report);
        ledger.close(counts);
    });
}

#[test]
fn a_factory_that_never_recovers_holds_up_no_shutdown() {
    watched(|ledger| {
        let (probe, _clock, mut alarms) = Probe::new();
        let (cue, cues) = smol::channel::unbounded();
        let pool = Pool::builder(OnCue(cues))
            .workers_per_dispatcher(2)
            .clock(probe)
            .build()
            .unwrap();
        ledger.watch(&pool);
        let handles: Vec<_> = (0..5)
            .map(|_| pool.submit_blocking(ledger.job()).unwrap())
            .collect();
        cue.try_send(Cue::Fail).unwrap();
        cue.close();
        alarms.next();
        let report = pool.shutdown_blocking();
        assert_eq!(report.counts.handed_back, 5);
        let unrun: Vec<_> = report.unrun.iter().map(|job| job.data().id()).collect();
        assert_eq!(unrun, [0, 1, 2, 3, 4]);
        for handle in handles {
            assert!(matches!(handle.wait(), Err(JobError::HandedBack)));
        }
        drop(report);
        assert!(
            pool.try_send(ledger.job())
                .is_err_and(|refused| refused.is_closed())
        );
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_closed_pool_does_not_ask_a_failing_factory_again() {
    watched(|ledger| {
        let (probe, _clock, mut alarms) = Probe::new();
        let calls = Arc::new(AtomicUsize::new(0));
        let called = calls.clone();
        let pool = Pool::builder(handler_factory(move |_| {
            called.fetch_add(1, SeqCst);
            Err::<Plain, _>("no")
        }))
        .workers_per_dispatcher(1)
        .clock(probe)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let handle = pool.submit_blocking(ledger.job()).unwrap();
        assert_eq!(alarms.next(), FIRST);
        let counts = pool.shutdown_blocking().counts;
        assert!(matches!(handle.wait(), Err(JobError::HandedBack)));
        assert_eq!(calls.load(SeqCst), 1, "asked again after the close");
        ledger.close(counts);
    });
}

#[test]
fn a_worker_without_a_handler_leaves_the_jobs_to_the_others() {
    watched(|ledger| {
        let pool = Pool::builder(handler_factory(|worker: WorkerId| match worker.index() {
            0 => Ok(Plain),
            _ => Err("out of licences"),
        }))
        .workers_per_dispatcher(2)
        .clock(ManualClock::new())
        .build()
        .unwrap();
        ledger.watch(&pool);
        let error = pool.ready_blocking().unwrap_err();
        assert_eq!(error.worker().index(), 1);
        assert!(error.to_string().contains("0.1") && error.to_string().contains("licences"));
        let mut workers = BTreeSet::new();
        for _ in 0..50 {
            let handle = pool.submit_blocking(ledger.job()).unwrap();
            workers.insert(handle.wait().unwrap().index());
        }
        assert_eq!(workers, BTreeSet::from([0]));
        let handles: Vec<_> = (0..50)
            .map(|_| pool.submit_blocking(ledger.job()).unwrap())
            .collect();
        let counts = pool.shutdown_blocking().counts;
        assert!(handles.into_iter().all(|handle| handle.wait().is_ok()));
        assert_eq!((counts.completed, counts.abandoned), (100, 0));
        ledger.close(counts);
    });
}

// ---- handlers -----------------------------------------------------------------------------------

#[test]
fn a_handler_that_panicked_is_replaced_by_a_fresh_one() {
    watched(|ledger| {
        let diary = Diary::default();
        let pool = Pool::builder(counters(&diary))
            .workers_per_dispatcher(1)
            .build()
            .unwrap();
        ledger.watch(&pool);
        assert_eq!(pool.run_blocking(task(&ledger, Act::Count)).unwrap(), 1);
        assert_eq!(pool.run_blocking(task(&ledger, Act::Count)).unwrap(), 2);
        let handle = pool.submit_blocking(task(&ledger, Act::Panic)).unwrap();
        assert!(matches!(handle.wait(), Err(JobError::Panicked(_))));
        assert_eq!(pool.run_blocking(task(&ledger, Act::Count)).unwrap(), 1);
        let counts = pool.shutdown_blocking().counts;
        let diary = crate::common::lock(&diary);
        assert_eq!(*diary, ["0 made", "0 dropped", "1 made", "1 dropped"]);
        ledger.close(counts);
    });
}

#[test]
fn jobs_behind_a_panic_run_even_in_a_closed_pool() {
    watched(|ledger| {
        let diary = Diary::default();
        let pool = Pool::builder(counters(&diary))
            .workers_per_dispatcher(1)
            .build()
            .unwrap();
        ledger.watch(&pool);
        let handles: Vec<_> = [Act::Panic, Act::Count, Act::Panic, Act::Count]
            .map(|act| (act, pool.submit_blocking(task(&ledger, act)).unwrap()))
            .into();
        let counts = pool.shutdown_blocking().counts;
        for (act, handle) in handles {
            assert_eq!(handle.wait().is_ok(), act == Act::Count);
        }
        assert_eq!((counts.completed, counts.panicked), (2, 2));
        ledger.close(counts);
    });
}

/// Gives up on a job that does not end at once, which costs the handler.
struct Impatient {
    runs: Arc<AtomicUsize>,
}

#[async_trait]
impl<J: Send + 'static, H: JobHandler<J>> Worker<J, H> for Impatient {
    async fn run(&mut self, inbox: &mut Inbox<J, H>, handler: &mut H) {
        self.runs.fetch_add(1, SeqCst);
        while let Some(job) = inbox.next().await {
            poll_once_and_drop(job.run(handler)).await;
        }
        // A broken handler gives no more jobs, however often one asks.
        assert!(inbox.next().await.is_none());
    }
}

#[test]
fn a_handler_that_was_dropped_half_way_is_replaced_by_a_fresh_one() {
    watched(|ledger| {
        let (diary, runs) = (Diary::default(), Arc::new(AtomicUsize::new(0)));
        let (made, counting) = (Arc::new(AtomicUsize::new(0)), runs.clone());
        let loops = made.clone();
        let pool = Pool::builder(counters(&diary))
            .workers_per_dispatcher(1)
            .worker(move || {
                loops.fetch_add(1, SeqCst);
                Impatient {
                    runs: counting.clone(),
                }
            })
            .build()
            .unwrap();
        ledger.watch(&pool);
        assert_eq!(pool.run_blocking(task(&ledger, Act::Count)).unwrap(), 1);
        let handle = pool.submit_blocking(task(&ledger, Act::Hang)).unwrap();
        assert!(matches!(handle.wait(), Err(JobError::Abandoned)));
        assert_eq!(pool.run_blocking(task(&ledger, Act::Count)).unwrap(), 1);
        let counts = pool.shutdown_blocking().counts;
        assert_eq!((counts.completed, counts.abandoned), (2, 1));
        assert_eq!(runs.load(SeqCst), 2, "one run for each handler");
        assert_eq!(made.load(SeqCst), 1, "the loop itself did nothing wrong");
        let diary = crate::common::lock(&diary);
        assert_eq!(*diary, ["0 made", "0 dropped", "1 made", "1 dropped"]);
        ledger.close(counts);
    });
}

#[test]
fn a_broken_handler_never_sees_another_job() {
    watched(|ledger| {
        let diary = Diary::default();
        let pool = Pool::builder(counters(&diary))
            .workers_per_dispatcher(2)
            .worker(|| Impatient {
                runs: Arc::default(),
            })
            .build()
            .unwrap();
        ledger.watch(&pool);
        let acts = [Act::Count, Act::Panic, Act::Count, Act::Count, Act::Hang];
        let handles: Vec<_> = acts
            .iter()
            .cycle()
            .take(200)
            .map(|&act| (act, pool.submit_blocking(task(&ledger, act)).unwrap()))
            .collect();
        for (act, handle) in handles {
            match (act, handle.wait()) {
                (Act::Count, Ok(_))
                | (Act::Panic, Err(JobError::Panicked(_)))
                | (Act::Hang, Err(JobError::Abandoned)) => {}
                (act, other) => panic!("{act:?} gave {other:?}"),
            }
        }
        let counts = pool.shutdown_blocking().counts;
        let diary = crate::common::lock(&diary);
        let broken: Vec<_> = diary
            .iter()
            .filter(|line| line.contains("broken"))
            .collect();
        assert!(broken.is_empty(), "{broken:?}");
        let made = diary.iter().filter(|line| line.contains("made")).count();
        let dropped = diary.iter().filter(|line| line.contains("dropped")).count();
        assert_eq!(made, dropped);
        // One for each panic and each hang, and at most two that were whole at the end.
        assert!((80..=82).contains(&made), "{made}");
        ledger.close(counts);
    });
}

/// A future that is ready at once, and panics when it is dropped.
struct Bomb(Option<Payload>);

impl Future for Bomb {
    type Output = Result<(), Infallible>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(payload) = self.0.take() {
            payload.run(|| ());
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn a_handlers_future_that_panics_when_it_is_dropped_costs_its_own_job_at_most() {
    watched(|ledger| {
        let pool = Pool::builder(async_handler_fn(|job: Payload| Bomb(Some(job))))
            .workers_per_dispatcher(1)
            .build()
            .unwrap();
        ledger.watch(&pool);
        let handles: Vec<_> = (0..20)
            .map(|_| pool.submit_blocking(ledger.job()).unwrap())
            .collect();
        for handle in handles {
            match handle.wait() {
                Ok(()) | Err(JobError::Panicked(_) | JobError::Abandoned) => {}
                other => panic!("{other:?}"),
            }
        }
        ledger.close(pool.shutdown_blocking().counts);
    });
}

/// A handler that cannot even be dropped in peace.
struct Grudge;

impl JobHandler<Payload> for Grudge {
    type Output = ();
    type Error = Infallible;

    async fn handle(&mut self, job: Payload, _: &JobContext) -> Result<(), Infallible> {
        job.started();
        panic!("once");
    }
}

impl Drop for Grudge {
    fn drop(&mut self) {
        panic!("and again");
    }
}

#[test]
fn a_handler_that_panics_when_it_is_dropped_is_replaced_all_the_same() {
    watched(|ledger| {
        let pool = Pool::builder(handler_factory(|_| Ok::<_, Infallible>(Grudge)))
            .workers_per_dispatcher(1)
            .build()
            .unwrap();
        ledger.watch(&pool);
        for _ in 0..10 {
            let handle = pool.submit_blocking(ledger.job()).unwrap();
            assert!(matches!(handle.wait(), Err(JobError::Panicked(_))));
        }
        let counts = pool.shutdown_blocking().counts;
        assert_eq!((counts.panicked, counts.workers), (10, 0));
        ledger.close(counts);
    });
}

// ---- loops --------------------------------------------------------------------------------------

/// Returns after each job.
struct OneByOne {
    runs: Arc<AtomicUsize>,
}

#[async_trait]
impl<J: Send + 'static, H: JobHandler<J>> Worker<J, H> for OneByOne {
    async fn run(&mut self, inbox: &mut Inbox<J, H>, handler: &mut H) {
        self.runs.fetch_add(1, SeqCst);
        if let Some(job) = inbox.next().await {
            job.run(handler).await;
        }
    }
}

#[test]
fn a_loop_that_returns_early_is_called_again_with_the_same_handler() {
    watched(|ledger| {
        let (diary, runs) = (Diary::default(), Arc::new(AtomicUsize::new(0)));
        let counting = runs.clone();
        let pool = Pool::builder(counters(&diary))
            .workers_per_dispatcher(1)
            .worker(move || OneByOne {
                runs: counting.clone(),
            })
            .build()
            .unwrap();
        ledger.watch(&pool);
        for count in 1..=10 {
            assert_eq!(pool.run_blocking(task(&ledger, Act::Count)).unwrap(), count);
        }
        let counts = pool.shutdown_blocking().counts;
        assert_eq!(runs.load(SeqCst), 11);
        assert_eq!(*crate::common::lock(&diary), ["0 made", "0 dropped"]);
        ledger.close(counts);
    });
}

/// Does nothing at all the first few times it is called.
struct Lazy(Arc<AtomicUsize>);

#[async_trait]
impl<J: Send + 'static, H: JobHandler<J>> Worker<J, H> for Lazy {
    async fn run(&mut self, inbox: &mut Inbox<J, H>, handler: &mut H) {
        if self.0.fetch_add(1, SeqCst) < 3 {
            return;
        }
        while let Some(job) = inbox.next().await {
            job.run(handler).await;
        }
    }
}

#[test]
fn a_loop_that_does_nothing_is_called_again_at_a_slowing_pace() {
    watched(|ledger| {
        let (probe, clock, mut alarms) = Probe::new();
        let runs = Arc::new(AtomicUsize::new(0));
        let counting = runs.clone();
        let pool = Pool::builder(handler_factory(|_| Ok::<_, Infallible>(Plain)))
            .workers_per_dispatcher(1)
            .worker(move || Lazy(counting.clone()))
            .clock(probe)
            .build()
            .unwrap();
        ledger.watch(&pool);
        let handle = pool.submit_blocking(ledger.job()).unwrap();
        let mut now = Duration::ZERO;
        for (calls, pause) in [(1, FIRST), (2, FIRST * 2), (3, FIRST * 4)] {
            let alarm = alarms.next();
            assert_eq!(alarm - now, pause);
            assert_eq!(runs.load(SeqCst), calls);
            clock.advance(pause);
            now = alarm;
        }
        handle.wait().unwrap();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

/// Panics with a job in its hands, or before it asks for one.
struct Clumsy {
    after: usize,
}

#[async_trait]
impl<J: Send + 'static, H: JobHandler<J>> Worker<J, H> for Clumsy {
    async fn run(&mut self, inbox: &mut Inbox<J, H>, handler: &mut H) {
        while let Some(job) = inbox.next().await {
            if self.after == 0 {
                panic!("dropped {job:?}");
            }
            self.after -= 1;
            job.run(handler).await;
        }
    }
}

#[test]
fn a_loop_that_panics_loses_the_job_in_its_hands_and_no_other() {
    watched(|ledger| {
        let (diary, made) = (Diary::default(), Arc::new(AtomicUsize::new(0)));
        let loops = made.clone();
        let pool = Pool::builder(counters(&diary))
            .workers_per_dispatcher(1)
            .worker(move || {
                loops.fetch_add(1, SeqCst);
                Clumsy { after: 2 }
            })
            .build()
            .unwrap();
        ledger.watch(&pool);
        let handles: Vec<_> = (0..9)
            .map(|_| pool.submit_blocking(task(&ledger, Act::Count)).unwrap())
            .collect();
        for (n, handle) in handles.into_iter().enumerate() {
            match (n % 3, handle.wait()) {
                (2, Err(JobError::Abandoned)) => {}
                // The handler is new, too.
                (n, Ok(count)) => assert_eq!(count, n + 1),
                (_, other) => panic!("{other:?}"),
            }
        }
        let counts = pool.shutdown_blocking().counts;
        assert_eq!((counts.completed, counts.abandoned), (6, 3));
        // The last one is made only if the pool was not closed by then.
        assert!((3..=4).contains(&made.load(SeqCst)));
        ledger.close(counts);
    });
}

#[test]
fn a_maker_of_loops_that_panics_is_asked_again() {
    watched(|ledger| {
        let (probe, clock, mut alarms) = Probe::new();
        let calls = AtomicUsize::new(0);
        let pool = Pool::builder(handler_fn(|job: Payload| {
            job.run(|| ());
            Ok::<_, Infallible>(())
        }))
        .workers_per_dispatcher(1)
        .worker(move || {
            assert!(calls.fetch_add(1, SeqCst) > 0, "not yet");
            OneByOne {
                runs: Arc::default(),
            }
        })
        .clock(probe)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let handle = pool.submit_blocking(ledger.job()).unwrap();
        assert_eq!(alarms.next(), FIRST);
        clock.advance(FIRST);
        handle.wait().unwrap();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

/// Never takes a job.
struct Idler(mpsc::SyncSender<()>);

#[async_trait]
impl<J: Send + 'static, H: JobHandler<J>> Worker<J, H> for Idler {
    async fn run(&mut self, _: &mut Inbox<J, H>, _: &mut H) {
        let _ = self.0.try_send(());
    }
}

#[test]
fn a_loop_that_never_takes_a_job_holds_up_no_shutdown_now() {
    watched(|ledger| {
        let (called, calls) = mpsc::sync_channel(1);
        let pool = Pool::builder(handler_factory(|_| Ok::<_, Infallible>(Plain)))
            .workers_per_dispatcher(1)
            .worker(move || Idler(called.clone()))
            .clock(ManualClock::new())
            .build()
            .unwrap();
        ledger.watch(&pool);
        let handle = pool.submit_blocking(ledger.job()).unwrap();
        calls.recv().unwrap();
        let report = pool.shutdown_now_blocking();
        assert_eq!(report.unrun.len(), 1);
        assert!(matches!(handle.wait(), Err(JobError::HandedBack)));
        let counts = report.counts;
        drop(report);
        ledger.close(counts);
    });
}

#[test]
fn a_loop_that_never_takes_a_job_holds_up_no_shutdown() {
    watched(|ledger| {
        let (called, _calls) = mpsc::sync_channel(1);
        let pool = Pool::builder(handler_factory(|_| Ok::<_, Infallible>(Plain)))
            .workers_per_dispatcher(1)
            .worker(move || Idler(called.clone()))
            .build()
            .unwrap();
        ledger.watch(&pool);
        let handle = pool.submit_blocking(ledger.job()).unwrap();
        let counts = pool.shutdown_blocking().counts;
        assert!(matches!(handle.wait(), Err(JobError::HandedBack)));
        ledger.close(counts);
    });
}
