//! Panics wherever foreign code runs: each hurts its own job, and nothing else.

use crate::common::by_hand::ByHand;
use crate::common::{Door, Payload, watched};
use fanpool::queue_order::{QueueOrder, Queued};
use fanpool::{
    Job, JobError, JobHandle, Pool, Target, Threads, Workers, handler_factory, handler_fn,
};
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};

/// Panics when it is dropped, unless it was defused.
#[derive(Debug)]
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        if !self.0.is_empty() && !std::thread::panicking() {
            panic!("drop of a {}", self.0);
        }
    }
}

#[test]
fn a_panicking_job_fails_alone_and_its_handle_tells() {
    watched(|ledger| {
        let pool = Pool::builder(handler_fn(|job: Payload| {
            job.started();
            let id = job.id();
            match id % 3 {
                0 => panic!("job {id} of the test"),
                1 => std::panic::panic_any(id),
                _ => Ok::<_, String>(id),
            }
        }))
        .workers_per_dispatcher(2)
        .queue_capacity(1)
        .build()
        .unwrap();
        ledger.watch(&pool);
        for id in 0..60 {
            let outcome = pool.submit_blocking(ledger.job()).unwrap().wait();
            match (id % 3, outcome) {
                (0, Err(JobError::Panicked(panic))) => {
                    assert_eq!(panic.to_string(), format!("job {id} of the test"));
                }
                (1, Err(JobError::Panicked(panic))) => {
                    assert_eq!(*panic.into_inner().downcast::<u64>().unwrap(), id);
                }
                (_, outcome) => assert_eq!(outcome.unwrap(), id),
            }
        }
        let counts = pool.shutdown_blocking().counts;
        assert_eq!((counts.panicked, counts.completed), (40, 20));
        ledger.close(counts);
    });
}

#[test]
fn every_job_panics_and_the_submitters_are_served_all_the_same() {
    watched(|ledger| {
        let pool = Pool::builder(handler_fn(|job: Payload| -> Result<(), String> {
            job.run(|| panic!("always"))
        }))
        .workers_per_dispatcher(1)
        .queue_capacity(1)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let submitters: Vec<_> = (0..4)
            .map(|_| {
                let (pool, ledger) = (pool.clone(), ledger.clone());
                std::thread::spawn(move || {
                    for _ in 0..100 {
                        pool.send_blocking(ledger.job()).unwrap();
                    }
                })
            })
            .collect();
        submitters.into_iter().for_each(|s| s.join().unwrap());
        let counts = pool.shutdown_blocking().counts;
        assert_eq!(counts.panicked, 400);
        ledger.close(counts);
    });
}

#[test]
fn drops_of_jobs_results_and_errors_may_panic() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let pool = Pool::builder(handler_fn(move |mut job: Bomb| {
            let what = std::mem::take(&mut job.0);
            match what {
                "result" => Ok(Bomb("result")),
                "error" => Err(Bomb("error")),
                "behind" => {
                    behind.pass();
                    Ok(Bomb(""))
                }
                "handler" => {
                    job.0 = "job inside its handler";
                    Ok(Bomb(""))
                }
                other => panic!("{other}"),
            }
        }))
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
        ledger.watch(&pool);
        // Unseen by anybody, seen by a handle that is dropped before, and after.
        for what in ["result", "error", "handler"] {
            pool.send_blocking(Bomb(what)).unwrap();
            drop(pool.submit_blocking(Bomb(what)).unwrap());
            let handle = pool.submit_blocking(Bomb(what)).unwrap();
            pool.join_blocking();
            assert!(handle.is_finished());
            drop(handle);
        }
        // Cancelled, handed back, and thrown away.
        let mut busy = pool.submit_blocking(Bomb("behind")).unwrap();
        door.wait_for(1);
        let cancelled = pool.submit_blocking(Bomb("job")).unwrap();
        assert_eq!(cancelled.cancel(), fanpool::Cancellation::Removed);
        drop(pool.submit_blocking(Bomb("job")).unwrap());
        let ending = {
            let pool = pool.clone();
            std::thread::spawn(move || pool.shutdown_now_blocking())
        };
        // Closed is not yet handed back: between the two, a worker may take what waits.
        while pool.metrics().handed_back == 0 {
            std::thread::yield_now();
        }
        assert!(crate::common::poll_once(&mut busy).is_pending());
        door.open();
        let mut report = ending.join().unwrap();
        drop(busy);
        for job in std::mem::take(&mut report.unrun) {
            job.into_inner().0 = "";
        }
        let counts = report.counts;
        assert_eq!(
            (counts.cancelled, counts.handed_back, counts.panicked),
            (1, 1, 3)
        );
        assert_eq!((counts.completed, counts.failed), (4, 3), "{counts}");
        ledger.close_with_foreign_jobs(counts);
    });
}

#[test]
fn a_panicking_strategy_is_replaced_by_any_for_that_job() {
    watched(|ledger| {
        let strategy = |job: &Job<Payload>, workers: &Workers<'_>| {
            if job.data().id() % 2 == 0 {
                panic!("no idea where to put it");
            }
            workers
                .iter()
                .next()
                .map_or(Target::Any, |worker| Target::Worker(worker.id()))
        };
        let pool = Pool::builder(handler_fn(|job: Payload| {
            job.run(|| ());
            Ok::<_, String>(job.id())
        }))
        .workers_per_dispatcher(3)
        .dispatcher(move || strategy)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let handles: Vec<_> = (0..100)
            .map(|_| pool.submit_blocking(ledger.job()).unwrap())
            .collect();
        for (id, handle) in (0..).zip(handles) {
            assert_eq!(handle.wait().unwrap(), id);
        }
        let counts = pool.shutdown_blocking().counts;
        assert_eq!(counts.faults, 50);
        ledger.close(counts);
    });
}

/// Breaks its contract at the n-th push: by a panic, by losing jobs, or by hiding them.
struct Faulty<J> {
    jobs: Vec<Queued<J>>,
    pushes: usize,
    fault: &'static str,
}

impl<J: Send + 'static> QueueOrder<J> for Faulty<J> {
    fn push(&mut self, job: Queued<J>) {
        self.pushes += 1;
        if self.pushes == 5 {
            match self.fault {
                "panics" => panic!("push"),
                "loses" => drop(job),
                _ => self.jobs.push(job),
            }
        } else {
            self.jobs.push(job);
        }
    }
    fn pop(&mut self) -> Option<Queued<J>> {
        if self.fault == "hides" && self.pushes >= 5 {
            return None;
        }
        (!self.jobs.is_empty()).then(|| self.jobs.remove(0))
    }
    fn len(&self) -> usize {
        self.jobs.len()
    }
    fn retain(&mut self, keep: &mut dyn FnMut(&Queued<J>) -> bool) {
        self.jobs.retain(keep);
    }
}

#[test]
fn a_faulty_queue_order_is_replaced_and_every_job_has_an_outcome() {
    for fault in ["panics", "loses", "hides"] {
        watched(move |ledger| {
            let door = Door::new();
            let behind = door.clone();
            let pool = Pool::builder(handler_fn(move |job: Payload| {
                job.run(|| behind.pass());
                Ok::<_, String>(job.id())
            }))
            .workers_per_dispatcher(1)
            .queue_order(move || Faulty {
                jobs: Vec::new(),
                pushes: 0,
                fault,
            })
            .build()
            .unwrap();
            ledger.watch(&pool);
            let first = pool.submit_blocking(ledger.job()).unwrap();
            door.wait_for(1);
            let handles: Vec<_> = (0..20)
                .map(|_| pool.submit_blocking(ledger.job()).unwrap())
                .collect();
            for _ in 0..10 {
                pool.send_blocking(ledger.job()).unwrap();
            }
            door.open();
            first.wait().unwrap();
            let (mut done, mut abandoned) = (0, 0);
            for handle in handles {
                match handle.wait() {
                    Ok(_) => done += 1,
                    Err(JobError::Abandoned) => abandoned += 1,
                    Err(other) => panic!("{other:?}"),
                }
            }
            let counts = pool.shutdown_blocking().counts;
            match fault {
                "panics" => assert_eq!((done, abandoned, counts.faults), (19, 1, 1), "{counts}"),
                "loses" => assert_eq!((done, abandoned, counts.faults), (19, 1, 0), "{counts}"),
                _ => {
                    assert!(abandoned > 0, "{counts}");
                    assert_eq!(counts.faults, 1);
                }
            }
            ledger.close(counts);
        });
    }
}

#[test]
fn hooks_may_panic() {
    watched(|ledger| {
        let pool = Pool::builder(handler_fn(|job: Payload| {
            job.run(|| ());
            Ok::<_, String>(())
        }))
        .workers_per_dispatcher(2)
        .spawner(
            Threads::new()
                .on_start(|worker| panic!("start of {worker}"))
                .on_stop(|worker| panic!("stop of {worker}")),
        )
        .build()
        .unwrap();
        pool.run_blocking(ledger.job()).unwrap();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

struct PanickingWaker;

impl Wake for PanickingWaker {
    fn wake(self: Arc<Self>) {
        panic!("wake");
    }
}

#[test]
fn wakers_may_panic() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let pool = Pool::builder(handler_fn(move |job: Payload| {
            job.run(|| behind.pass());
            Ok::<_, String>(job.id())
        }))
        .workers_per_dispatcher(1)
        .queue_capacity(1)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let waker = Waker::from(Arc::new(PanickingWaker));
        let mut cx = Context::from_waker(&waker);
        let mut handle = pool.submit_blocking(ledger.job()).unwrap();
        assert!(Pin::new(&mut handle).poll(&mut cx).is_pending());
        door.wait_for(1);
        pool.try_send(ledger.job()).unwrap();
        let mut pending = Box::pin(pool.submit(ledger.job()));
        assert!(pending.as_mut().poll(&mut cx).is_pending());
        let mut joining = Box::pin(pool.join());
        assert!(joining.as_mut().poll(&mut cx).is_pending());
        let mut ending = Box::pin(pool.shutdown());
        door.let_one();
        assert_eq!(handle.wait().unwrap(), 0);
        door.let_one();
        futures_lite::future::block_on(joining);
        // Events go on working after a waker panicked.
        let handle = futures_lite::future::block_on(pending).unwrap();
        assert!(ending.as_mut().poll(&mut cx).is_pending());
        door.open();
        handle.wait().unwrap();
        drop(futures_lite::future::block_on(ending));
        ledger.close(pool.metrics());
    });
}

/// A waker that does, inline, what an executor that polls on wake-up would do.
struct Reentrant(Box<dyn Fn() + Send + Sync>);

impl Wake for Reentrant {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

#[test]
fn wakers_may_use_the_pool() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let pool = Pool::builder(handler_fn(move |job: Payload| {
            job.run(|| behind.pass());
            Ok::<_, String>(job.id())
        }))
        .workers_per_dispatcher(1)
        .queue_capacity(1)
        .build()
        .unwrap();
        ledger.watch(&pool);
        pool.send_blocking(ledger.job()).unwrap();
        door.wait_for(1);
        pool.try_send(ledger.job()).unwrap();
        let (woken, wakes) = mpsc::channel();
        let (inner, books) = (pool.submitter().downgrade(), ledger.clone());
        let waker = Waker::from(Arc::new(Reentrant(Box::new(move || {
            let pool = inner.upgrade().unwrap();
            // Listens to the very event that woke it, and looks around.
            let mut waiting = Box::pin(pool.submit(books.job()));
            let _ = crate::common::poll_once(&mut waiting);
            let _ = pool.metrics();
            woken.send(()).unwrap();
        }))));
        let mut cx = Context::from_waker(&waker);
        let mut pending = Box::pin(pool.send(ledger.job()));
        assert!(pending.as_mut().poll(&mut cx).is_pending());
        door.open();
        wakes.recv().unwrap();
        futures_lite::future::block_on(pending).unwrap();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_pool_may_be_dropped_while_a_panic_unwinds() {
    watched(|ledger| {
        let (ran, order) = mpsc::channel();
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let pool = Pool::builder(handler_fn(move |job: Payload| {
                job.run(|| ());
                ran.send(()).unwrap();
                Ok::<_, String>(())
            }))
            .build()
            .unwrap();
            let handles: Vec<JobHandle<(), String>> = (0..10)
                .map(|_| pool.submit_blocking(ledger.job()).unwrap())
                .collect();
            assert!(handles.is_empty(), "unwind with the pool and its handles");
        }));
        assert!(unwound.is_err());
        assert_eq!(order.iter().count(), 10);
    });
}

/// Panics when it is dropped, whatever else is panicking.
struct Twice(bool);

impl Drop for Twice {
    fn drop(&mut self) {
        if self.0 {
            panic!("drop of one of several");
        }
    }
}

#[test]
fn jobs_that_nobody_takes_back_explode_one_by_one() {
    watched(|_| {
        // A shutdown that is given up, and a pool that goes without another.
        let door = Door::new();
        let behind = door.clone();
        let pool = Pool::builder(handler_fn(move |job: Twice| {
            assert!(!job.0);
            behind.pass();
            Ok::<_, String>(())
        }))
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
        pool.send_blocking(Twice(false)).unwrap();
        door.wait_for(1);
        for _ in 0..3 {
            pool.send_blocking(Twice(true)).unwrap();
        }
        let mut given_up = Box::pin(pool.shutdown_now());
        assert!(crate::common::poll_once(&mut given_up).is_pending());
        drop(given_up);
        assert_eq!(pool.metrics().handed_back, 3);
        door.open();
        drop(pool);
        // A guard that gets them back from a pool without a handler.
        let pool = Pool::builder(handler_factory(|_| {
            Err::<fanpool::HandlerFn<fn(Twice) -> Result<(), String>>, _>("no handler")
        }))
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
        let guard = pool.drain_on_drop();
        for _ in 0..3 {
            pool.send_blocking(Twice(true)).unwrap();
        }
        drop(guard);
        assert_eq!(pool.metrics().handed_back, 3);
    });
}

#[test]
fn strategies_that_explode_when_they_are_dropped_hurt_nobody() {
    watched(|ledger| {
        let pool = Pool::builder(handler_fn(|job: Payload| {
            job.run(|| ());
            Ok::<_, String>(())
        }))
        .dispatchers(2)
        .workers_per_dispatcher(1)
        .dispatcher(|| {
            let bomb = Twice(true);
            move |_: &Job<Payload>, _: &Workers<'_>| {
                let _ = &bomb;
                Target::Any
            }
        })
        .build()
        .unwrap();
        ledger.watch(&pool);
        pool.run_blocking(ledger.job()).unwrap();
        ledger.close(pool.shutdown_blocking().counts);
        drop(pool);
    });
}

/// An error that explodes, or asks the pool, when it is dropped.
struct Curious(Arc<std::sync::OnceLock<fanpool::WeakSubmitter<Payload, (), String>>>);

impl std::fmt::Debug for Curious {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Curious")
    }
}

impl std::fmt::Display for Curious {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("curious")
    }
}

impl std::error::Error for Curious {}

impl Drop for Curious {
    fn drop(&mut self) {
        if let Some(pool) = self.0.get().and_then(fanpool::WeakSubmitter::upgrade) {
            assert_eq!(pool.metrics().workers, 1);
            panic!("drop of a factory's error");
        }
    }
}

#[test]
fn a_factorys_error_is_dropped_outside_every_lock() {
    watched(|ledger| {
        let own = Arc::new(std::sync::OnceLock::new());
        let errors = own.clone();
        let failures = std::sync::atomic::AtomicU32::new(0);
        let pool = Pool::builder(handler_factory(move |_| {
            if failures.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 5 {
                return Err(Curious(errors.clone()));
            }
            Ok(handler_fn(|job: Payload| {
                job.run(|| ());
                Ok::<_, String>(())
            }))
        }))
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
        ledger.watch(&pool);
        assert!(own.set(pool.submitter().downgrade()).is_ok());
        pool.run_blocking(ledger.job()).unwrap();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

/// Takes its time to go, once it is broken.
struct Lingering(Door, Door);

impl fanpool::JobHandler<Payload> for Lingering {
    type Output = fanpool::WorkerId;
    type Error = String;

    async fn handle(
        &mut self,
        job: Payload,
        cx: &fanpool::JobContext,
    ) -> Result<fanpool::WorkerId, String> {
        job.started();
        if job.id() == 0 {
            self.0.pass();
            panic!("the first job");
        }
        Ok(cx.worker())
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        self.1.pass();
    }
}

#[test]
fn jobs_bound_to_a_broken_handler_do_not_wait_for_its_drop() {
    watched(|ledger| {
        let (hold, gone) = (Door::new(), Door::new());
        let doors = (hold.clone(), gone.clone());
        let to_the_first = |_: &Job<Payload>, workers: &Workers<'_>| {
            let first = workers.get(0);
            first.map_or(Target::Any, |worker| Target::Worker(worker.id()))
        };
        let pool = Pool::builder(handler_factory(move |_| {
            Ok::<_, String>(Lingering(doors.0.clone(), doors.1.clone()))
        }))
        .workers_per_dispatcher(2)
        .dispatcher(move || to_the_first)
        .build()
        .unwrap();
        ledger.watch(&pool);
        pool.ready_blocking().unwrap();
        let breaks = pool.submit_blocking(ledger.job()).unwrap();
        hold.wait_for(1);
        let bound: Vec<_> = (0..3)
            .map(|_| pool.submit_blocking(ledger.job()).unwrap())
            .collect();
        hold.open();
        assert!(matches!(breaks.wait(), Err(JobError::Panicked(_))));
        // The handler is still going.
        for handle in bound {
            assert_eq!(handle.wait().unwrap().index(), 1);
        }
        gone.open();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_waker_may_shut_down_the_pool_whose_jobs_are_being_abandoned() {
    watched(|ledger| {
        let executor = ByHand::new();
        let pool = Pool::builder(handler_fn(|job: Payload| Ok::<_, String>(job.id())))
            .workers_per_dispatcher(1)
            .spawner(executor.clone())
            .build()
            .unwrap();
        ledger.watch(&pool);
        let (ended, reports) = mpsc::channel();
        let inner = pool.submitter().downgrade();
        let waker = Waker::from(Arc::new(Reentrant(Box::new(move || {
            let report = inner.upgrade().unwrap().shutdown_blocking();
            ended.send(report.counts).unwrap();
        }))));
        let mut handle = pool.try_submit(ledger.job()).unwrap();
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut handle).poll(&mut cx).is_pending());
        // The last worker is lost for good: what waits is abandoned, and its handle is told.
        executor.refuse_replacements(|| true);
        executor.abort(executor.workers()[0]);
        let counts = reports.recv().unwrap();
        assert_eq!((counts.abandoned, counts.waiting), (1, 0), "{counts}");
        assert!(matches!(handle.wait(), Err(JobError::Abandoned)));
        ledger.close(pool.metrics());
    });
}

/// Waits, when it is dropped, until somebody was told.
struct Patient(Payload, mpsc::Receiver<()>);

impl Drop for Patient {
    fn drop(&mut self) {
        let _ = self.1.recv();
    }
}

#[test]
fn an_abandoned_job_may_wait_in_its_drop_for_who_is_told_of_its_end() {
    watched(|ledger| {
        let executor = ByHand::new();
        let pool = Pool::builder(handler_fn(|job: Patient| Ok::<_, String>(job.0.id())))
            .workers_per_dispatcher(1)
            .spawner(executor.clone())
            .build()
            .unwrap();
        ledger.watch(&pool);
        let (told, tells) = mpsc::channel();
        let waker = Waker::from(Arc::new(Reentrant(Box::new(move || {
            told.send(()).unwrap();
        }))));
        let job = Patient(ledger.job(), tells);
        let mut handle = pool.try_submit(job).map_err(drop).unwrap();
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut handle).poll(&mut cx).is_pending());
        executor.refuse_replacements(|| true);
        executor.abort(executor.workers()[0]);
        assert!(matches!(handle.wait(), Err(JobError::Abandoned)));
        ledger.close(pool.shutdown_blocking().counts);
    });
}
