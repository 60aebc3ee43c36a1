//! The pool's own threads: what they are called, when they come, and that they go.
//!
//! Threads are counted in `/proc`.
#![cfg(target_os = "linux")]

use crate::common::{Door, Payload, threads_named, watched};
use fanpool::clock::{Clock, ManualClock};
use fanpool::{
    BoxFuture, JobContext, JobHandler, Metrics, Pool, Submitter, Threads, WorkerId,
    async_handler_fn_with, handler_factory, handler_fn, handler_fn_with,
};
use futures_lite::future::block_on;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// A job that is its own program.
type Act = Box<dyn FnOnce(JobContext) -> BoxFuture<'static, ()> + Send>;

/// Waits until no thread has such a name. A joined thread may be listed for a moment longer.
fn all_gone(prefix: &str) {
    while threads_named(prefix) > 0 {
        std::thread::yield_now();
    }
}

/// The counters of a pool that nobody can ask any more, because its last handle is gone.
fn all_completed(jobs: u64) -> Metrics {
    let mut counts = Metrics::default();
    counts.submitted = jobs;
    counts.accepted = jobs;
    counts.completed = jobs;
    counts
}

// ---- names, stacks, hooks -----------------------------------------------------------------------

#[test]
fn threads_carry_the_names_of_their_pool_and_worker() {
    watched(|ledger| {
        let all_at_once = Arc::new(Barrier::new(4));
        let pool = Pool::builder(handler_fn_with(move |job: Payload, cx: &JobContext| {
            job.started();
            all_at_once.wait();
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            assert_eq!(name, format!("named-{}", cx.worker()));
            Ok::<_, Infallible>(name)
        }))
        .name("named")
        .dispatchers(2)
        .workers_per_dispatcher(2)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let handles: Vec<_> = (0..4)
            .map(|_| pool.submit_blocking(ledger.job()).unwrap())
            .collect();
        let names: BTreeSet<_> = handles.into_iter().map(|h| h.wait().unwrap()).collect();
        let expected = ["named-0.0", "named-0.1", "named-1.0", "named-1.1"];
        assert!(names.iter().eq(&expected), "{names:?}");
        assert_eq!(threads_named("named-"), 4);
        let counts = pool.shutdown_blocking().counts;
        all_gone("named-");
        ledger.close(counts);
    });
}

/// Takes more than a kilobyte of stack for each level.
#[inline(never)]
fn dig(depth: usize) -> usize {
    let frame = std::hint::black_box([depth as u8; 1024]);
    if depth == 0 {
        return frame.len();
    }
    dig(depth - 1) + usize::from(frame[depth % 1024] == depth as u8)
}

#[test]
fn a_deep_recursion_fits_on_a_stack_of_the_size_asked_for() {
    watched(|ledger| {
        let pool = Pool::builder(handler_fn(|job: Payload| {
            Ok::<_, Infallible>(job.run(|| dig(8 << 10)))
        }))
        .workers_per_dispatcher(1)
        .spawner(Threads::new().stack_size(64 << 20))
        .build()
        .unwrap();
        ledger.watch(&pool);
        assert_eq!(pool.run_blocking(ledger.job()).unwrap(), (8 << 10) + 1024);
        ledger.close(pool.shutdown_blocking().counts);
    });
}

type Diary = Arc<Mutex<BTreeMap<WorkerId, Vec<(&'static str, ThreadId)>>>>;

fn note(diary: &Diary, worker: WorkerId, what: &'static str) {
    let thread = std::thread::current().id();
    let mut diary = crate::common::lock(diary);
    diary.entry(worker).or_default().push((what, thread));
}

struct Diarist {
    worker: WorkerId,
    diary: Diary,
}

impl JobHandler<Payload> for Diarist {
    type Output = ();
    type Error = Infallible;

    async fn handle(&mut self, job: Payload, _: &JobContext) -> Result<(), Infallible> {
        job.run(|| note(&self.diary, self.worker, "job"));
        Ok(())
    }
}

impl Drop for Diarist {
    fn drop(&mut self) {
        note(&self.diary, self.worker, "drop");
    }
}

#[test]
fn each_hook_is_called_once_for_each_worker_on_its_own_thread() {
    watched(|ledger| {
        let diary = Diary::default();
        let (starting, making, stopping) = (diary.clone(), diary.clone(), diary.clone());
        let pool = Pool::builder(handler_factory(move |worker| {
            note(&making, worker, "make");
            Ok::<_, Infallible>(Diarist {
                worker,
                diary: making.clone(),
            })
        }))
        .workers_per_dispatcher(3)
        .spawner(
            Threads::new()
                .on_start(move |worker| note(&starting, worker, "start"))
                .on_stop(move |worker| note(&stopping, worker, "stop")),
        )
        .build()
        .unwrap();
        ledger.watch(&pool);
        pool.ready_blocking().unwrap();
        for _ in 0..30 {
            pool.run_blocking(ledger.job()).unwrap();
        }
        let counts = pool.shutdown_blocking().counts;
        let diary = crate::common::lock(&diary);
        assert_eq!(diary.len(), 3);
        let mut threads = BTreeSet::new();
        for (worker, notes) in diary.iter() {
            let whats: Vec<_> = notes
                .iter()
                .map(|(what, _)| *what)
                .filter(|&what| what != "job")
                .collect();
            assert_eq!(whats, ["start", "make", "drop", "stop"], "{worker}");
            assert!(notes.iter().all(|note| note.1 == notes[0].1), "{worker}");
            threads.insert(format!("{:?}", notes[0].1));
        }
        assert_eq!(threads.len(), 3);
        ledger.close(counts);
    });
}

#[test]
fn hooks_that_panic_cost_nobody_anything() {
    watched(|ledger| {
        let pool = Pool::builder(handler_fn(|job: Payload| {
            job.run(|| ());
            Ok::<_, Infallible>(())
        }))
        .name("badhook")
        .workers_per_dispatcher(2)
        .spawner(
            Threads::new()
                .on_start(|_| panic!("at the start"))
                .on_stop(|_| panic!("at the end")),
        )
        .build()
        .unwrap();
        ledger.watch(&pool);
        pool.ready_blocking().unwrap();
        for _ in 0..10 {
            pool.run_blocking(ledger.job()).unwrap();
        }
        let counts = pool.shutdown_blocking().counts;
        assert_eq!((counts.completed, counts.workers), (10, 0));
        all_gone("badhook-");
        ledger.close(counts);
    });
}

// ---- the end ------------------------------------------------------------------------------------

thread_local! {
    static MARK: RefCell<Option<Mark>> = const { RefCell::new(None) };
}

/// Counts the threads that it was left on, when they are as good as gone.
struct Mark(Arc<AtomicUsize>);

impl Drop for Mark {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn mark(gone: &Arc<AtomicUsize>) {
    MARK.with(|mark| *mark.borrow_mut() = Some(Mark(gone.clone())));
}

/// Marks the timekeeper's thread.
struct Marking {
    clock: ManualClock,
    gone: Arc<AtomicUsize>,
}

impl Clock for Marking {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn park_until(&self, until: Option<Instant>) {
        MARK.with(|mark| {
            mark.borrow_mut()
                .get_or_insert_with(|| Mark(self.gone.clone()));
        });
        self.clock.park_until(until);
    }
}

#[test]
fn every_shutdown_waits_until_the_last_thread_is_gone() {
    type Adders = Submitter<Payload, (), Infallible>;
    let ends: [fn(&Adders) -> Metrics; 6] = [
        |pool| pool.shutdown_blocking().counts,
        |pool| pool.shutdown_now_blocking().counts,
        |pool| {
            pool.shutdown_timeout_blocking(Duration::from_secs(1))
                .counts
        },
        |pool| block_on(pool.shutdown()).counts,
        |pool| block_on(pool.shutdown_now()).counts,
        |pool| block_on(pool.shutdown_timeout(Duration::from_secs(1))).counts,
    ];
    for end in ends {
        watched(move |ledger| {
            let gone = Arc::new(AtomicUsize::new(0));
            let marks = gone.clone();
            let door = Door::new();
            let behind = door.clone();
            let pool = Pool::builder(handler_fn(move |job: Payload| {
                job.run(|| behind.pass());
                Ok::<_, Infallible>(())
            }))
            .name("tkjoin")
            .workers_per_dispatcher(4)
            .clock(Marking {
                clock: ManualClock::new(),
                gone: gone.clone(),
            })
            .spawner(Threads::new().on_start(move |_| mark(&marks)))
            .build()
            .unwrap();
            ledger.watch(&pool);
            pool.ready_blocking().unwrap();
            // A timed wait, so that there is a timekeeper.
            let handle = pool.submit_blocking(ledger.job()).unwrap();
            let waiter = std::thread::spawn(move || handle.wait_timeout(Duration::from_secs(1)));
            door.wait_for(1);
            while threads_named("tkjoin-time") == 0 {
                std::thread::yield_now();
            }
            door.open();
            waiter.join().unwrap().unwrap().unwrap();
            let counts = end(&pool.submitter());
            assert!(gone.load(SeqCst) >= 4, "{gone:?} of 4 workers were joined");
            assert_eq!(gone.load(SeqCst), 5, "the timekeeper was not joined");
            ledger.close(counts);
        });
    }
}

#[test]
fn the_last_handle_goes_and_accepted_jobs_still_run() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let pool = Pool::builder(handler_fn(move |job: Payload| {
            job.run(|| behind.pass());
            Ok::<_, Infallible>(())
        }))
        .name("lastgone")
        .workers_per_dispatcher(2)
        .build()
        .unwrap();
        let (other, weak) = (pool.submitter(), pool.downgrade());
        for _ in 0..10 {
            pool.send_blocking(ledger.job()).unwrap();
        }
        let handle = pool.submit_blocking(ledger.job()).unwrap();
        door.wait_for(2);
        drop(pool);
        assert!(!other.is_closed(), "there is another handle");
        other.send_blocking(ledger.job()).unwrap();
        drop(other);
        assert!(weak.upgrade().is_none());
        door.open();
        handle.wait().unwrap();
        all_gone("lastgone-");
        assert_eq!(ledger.started(), 12);
        ledger.close(all_completed(12));
    });
}

fn acts() -> fanpool::PoolBuilder<
    Act,
    impl fanpool::JobHandlerFactory<Act, Handler: JobHandler<Act, Output = (), Error = Infallible>>,
> {
    Pool::builder(async_handler_fn_with(
        |act: Act, cx: JobContext| async move {
            act(cx).await;
            Ok(())
        },
    ))
}

/// The job of the ledger, and what else is to be done.
fn act(payload: Payload, act: impl Future<Output = ()> + Send + 'static) -> Act {
    Box::new(move |_| {
        Box::pin(async move {
            payload.started();
            act.await;
            payload.ended();
        })
    })
}

#[test]
fn the_last_handle_goes_inside_a_job() {
    watched(|ledger| {
        let pool = acts()
            .name("lastin")
            .workers_per_dispatcher(1)
            .build()
            .unwrap()
            .submitter();
        let door = Door::new();
        let (behind, inside) = (door.clone(), pool.clone());
        let last = act(ledger.job(), async move {
            behind.pass();
            assert!(!inside.is_closed());
            let weak = inside.downgrade();
            drop(inside);
            assert!(weak.upgrade().is_none());
        });
        pool.send_blocking(last).unwrap();
        for _ in 0..5 {
            pool.send_blocking(act(ledger.job(), async {})).unwrap();
        }
        // One more, which is still waiting when the other one goes: it keeps the pool open till then.
        door.wait_for(1);
        let handle = pool.submit_blocking(act(ledger.job(), async {})).unwrap();
        drop(pool);
        door.open();
        handle.wait().unwrap();
        all_gone("lastin-");
        assert_eq!(ledger.started(), 7);
        ledger.close(all_completed(7));
    });
}

#[test]
fn the_last_handle_goes_inside_a_job_that_never_ran() {
    watched(|ledger| {
        let pool = acts()
            .name("lastnot")
            .workers_per_dispatcher(1)
            .build()
            .unwrap()
            .submitter();
        let door = Door::new();
        let (behind, inside) = (door.clone(), pool.clone());
        let first = act(ledger.job(), async move { behind.pass() });
        pool.send_blocking(first).unwrap();
        door.wait_for(1);
        let payload = ledger.job();
        let second: Act = Box::new(move |_| {
            let _ = (&inside, &payload);
            unreachable!("it is cancelled");
        });
        let handle = pool.submit_blocking(second).unwrap();
        drop(pool);
        assert_eq!(handle.cancel(), fanpool::Cancellation::Removed);
        door.open();
        assert!(handle.wait().is_err());
        all_gone("lastnot-");
        let mut counts = all_completed(1);
        (counts.submitted, counts.accepted, counts.cancelled) = (2, 2, 1);
        ledger.close(counts);
    });
}

/// How a pool is shut down inside a job: by blocking the thread, or not.
fn shutdown_inside(
    pool: Submitter<Act, (), Infallible>,
    ledger: crate::common::Ledger,
    shut: fn(Submitter<Act, (), Infallible>) -> BoxFuture<'static, fanpool::ShutdownReport<Act>>,
) {
    ledger.watch(&pool);
    pool.ready_blocking().unwrap();
    let (go, gone) = smol::channel::bounded::<()>(1);
    let (told, hears) = mpsc::channel();
    let (start, started) = mpsc::channel();
    let long = act(ledger.job(), {
        let start = start.clone();
        async move {
            start.send(()).unwrap();
            gone.recv().await.unwrap();
        }
    });
    let long = pool.submit_blocking(long).unwrap();
    started.recv().unwrap();
    let inside = pool.clone();
    let closer = act(ledger.job(), async move {
        start.send(()).unwrap();
        told.send(shut(inside).await).unwrap();
    });
    let closer = pool.submit_blocking(closer).unwrap();
    let own = closer.id();
    started.recv().unwrap();
    while !pool.is_closed() {
        std::thread::yield_now();
    }
    assert!(
        hears.try_recv().is_err(),
        "there is another job to wait for"
    );
    go.try_send(()).unwrap();
    let report = hears.recv().unwrap();
    assert!(long.is_finished());
    let running: Vec<_> = report.still_running.iter().map(|job| job.id).collect();
    assert_eq!(running, [own], "its own job is what it did not wait for");
    assert_eq!(report.counts.running, 1);
    long.wait().unwrap();
    closer.wait().unwrap();
    let counts = pool.shutdown_blocking().counts;
    assert_eq!((counts.completed, counts.workers), (2, 0));
    ledger.close(counts);
}

#[test]
fn a_job_on_a_thread_shuts_its_pool_down() {
    watched(|ledger| {
        let pool = acts()
            .name("shutin")
            .workers_per_dispatcher(2)
            .build()
            .unwrap();
        shutdown_inside(pool.submitter(), ledger, |pool| {
            Box::pin(async move { pool.shutdown_blocking() })
        });
        drop(pool);
        all_gone("shutin-");
    });
}

#[test]
fn a_job_on_tokio_shuts_its_pool_down() {
    watched(|ledger| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let handle = runtime.handle().clone();
        let pool = acts()
            .workers_per_dispatcher(2)
            .spawner(move |task| {
                handle.spawn(task);
            })
            .build()
            .unwrap();
        shutdown_inside(pool.submitter(), ledger, |pool| {
            Box::pin(async move { pool.shutdown().await })
        });
    });
}

#[test]
fn the_only_worker_shuts_its_pool_down_and_then_drains_it() {
    watched(|ledger| {
        let pool = acts()
            .workers_per_dispatcher(1)
            .build()
            .unwrap()
            .submitter();
        ledger.watch(&pool);
        let door = Door::new();
        let (told, hears) = mpsc::channel();
        let (behind, inside) = (door.clone(), pool.clone());
        let closer = act(ledger.job(), async move {
            behind.pass();
            told.send(inside.shutdown_blocking()).unwrap();
            behind.pass();
        });
        let closer = pool.submit_blocking(closer).unwrap();
        let handles: Vec<_> = (0..3)
            .map(|_| pool.submit_blocking(act(ledger.job(), async {})).unwrap())
            .collect();
        door.wait_for(1);
        door.let_one();
        let report = hears.recv().unwrap();
        assert!(report.unrun.is_empty());
        assert_eq!(report.still_running.len(), 1);
        assert_eq!((report.counts.waiting, report.counts.running), (3, 1));
        assert!(pool.is_closed());
        door.open();
        closer.wait().unwrap();
        for handle in handles {
            handle.wait().unwrap();
        }
        ledger.close(pool.shutdown_blocking().counts);
    });
}

// ---- the timekeeper -----------------------------------------------------------------------------

#[test]
fn the_timekeeper_comes_with_the_first_timed_wait_and_goes_with_the_pool() {
    watched(|ledger| {
        let minute = Duration::from_secs(60);
        let door = Door::new();
        let behind = door.clone();
        let pool = Pool::builder(handler_fn(move |job: Payload| {
            job.run(|| behind.pass());
            Ok::<_, Infallible>(())
        }))
        .name("tkeep")
        .workers_per_dispatcher(1)
        .queue_capacity(1)
        .clock(ManualClock::new())
        .build()
        .unwrap();
        ledger.watch(&pool);
        pool.ready_blocking().unwrap();
        let first = pool.submit_timeout_blocking(ledger.job(), minute).unwrap();
        door.wait_for(1);
        let second = block_on(pool.submit_timeout(ledger.job(), minute)).unwrap();
        door.let_one();
        first.wait().unwrap();
        door.wait_for(1);
        assert_eq!(threads_named("tkeep-time"), 0, "nobody has had to wait yet");

        pool.try_send(ledger.job()).unwrap();
        let (other, job) = (pool.clone(), ledger.job());
        let waits = std::thread::spawn(move || other.submit_timeout_blocking(job, minute));
        while threads_named("tkeep-time") == 0 {
            std::thread::yield_now();
        }
        door.open();
        waits.join().unwrap().unwrap().wait().unwrap();
        second.wait_timeout(minute).unwrap().unwrap();
        assert_eq!(threads_named("tkeep-time"), 1);
        let counts = pool.shutdown_blocking().counts;
        all_gone("tkeep-");
        ledger.close(counts);
    });
}

#[test]
fn a_pool_that_needs_no_time_has_no_timekeeper() {
    watched(|ledger| {
        let pool = Pool::builder(handler_fn(|job: Payload| {
            job.run(|| ());
            Ok::<_, Infallible>(())
        }))
        .name("notime")
        .workers_per_dispatcher(2)
        .queue_capacity(2)
        .build()
        .unwrap();
        ledger.watch(&pool);
        // A thread names itself, so it has its name once it has begun.
        pool.ready_blocking().unwrap();
        for _ in 0..100 {
            pool.send_blocking(ledger.job()).unwrap();
        }
        pool.run_blocking(ledger.job()).unwrap();
        pool.join_blocking();
        assert_eq!(threads_named("notime-time"), 0);
        assert_eq!(threads_named("notime-"), 2);
        let counts = pool.shutdown_blocking().counts;
        all_gone("notime-");
        ledger.close(counts);
    });
}

#[test]
fn a_timekeeper_goes_with_the_last_handle_too() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let pool = Pool::builder(handler_fn(move |job: Payload| {
            job.run(|| behind.pass());
            Ok::<_, Infallible>(())
        }))
        .name("tklast")
        .workers_per_dispatcher(1)
        .clock(ManualClock::new())
        .build()
        .unwrap();
        let handle = pool.submit_blocking(ledger.job()).unwrap();
        let waits = std::thread::spawn(move || handle.wait_timeout(Duration::from_secs(60)));
        while threads_named("tklast-time") == 0 {
            std::thread::yield_now();
        }
        drop(pool);
        door.open();
        waits.join().unwrap().unwrap().unwrap();
        all_gone("tklast-");
        ledger.close(all_completed(1));
    });
}
