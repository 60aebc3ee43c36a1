//! Foreign code in odd places that uses the pool: drops, factories, strategies of two pools, wakers that
//! poll inline, loops that forget.

use crate::common::{Door, poll_once, watched};
use fanpool::clock::{Clock, ManualClock};
use fanpool::worker::{Inbox, Worker};
use fanpool::{
    Cancellation, Job, JobError, JobHandler, LeastBusy, Pool, RoundRobin, RunError, Submitter,
    Target, WeakSubmitter, Workers, async_trait, handler_factory, handler_fn,
};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, OnceLock, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

type Own<J, T> = Arc<OnceLock<WeakSubmitter<J, T, String>>>;

fn own<J, T>(own: &Own<J, T>) -> Option<Submitter<J, T, String>> {
    own.get().and_then(WeakSubmitter::upgrade)
}

/// Does something when it is dropped.
struct OnDrop(Option<Box<dyn FnOnce() + Send>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some(act) = self.0.take() {
            act();
        }
    }
}

#[test]
fn the_drop_of_a_cancelled_job_may_shut_the_pool_down() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let pool = Pool::builder(handler_fn(move |_: OnDrop| {
            behind.pass();
            Ok::<_, String>(())
        }))
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
        ledger.watch(&pool);
        pool.send_blocking(OnDrop(None)).unwrap();
        door.wait_for(1);
        let (inner, opened) = (pool.submitter(), door.clone());
        let ends = OnDrop(Some(Box::new(move || {
            opened.open();
            drop(inner.shutdown_now_blocking());
        })));
        let handle = pool.submit_blocking(ends).unwrap();
        assert_eq!(handle.cancel(), Cancellation::Removed);
        let counts = pool.shutdown_blocking().counts;
        assert_eq!((counts.cancelled, counts.completed), (1, 1));
        ledger.close_with_foreign_jobs(counts);
    });
}

#[test]
fn a_join_waits_for_the_outcome_of_a_job_that_is_being_cancelled() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let pool = Pool::builder(handler_fn(move |_: OnDrop| {
            behind.pass();
            Ok::<_, String>(())
        }))
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
        let busy = pool.submit_blocking(OnDrop(None)).unwrap();
        door.wait_for(1);
        let slow = Door::new();
        let held = slow.clone();
        let handle = pool
            .submit_blocking(OnDrop(Some(Box::new(move || held.pass()))))
            .unwrap();
        let cancel = handle.cancel_handle();
        let canceller = std::thread::spawn(move || cancel.cancel());
        slow.wait_for(1);
        door.open();
        pool.join_blocking();
        assert!(handle.is_finished() && busy.is_finished());
        slow.open();
        assert_eq!(canceller.join().unwrap(), Cancellation::Removed);
        drop((handle, busy));
        ledger.close_with_foreign_jobs(pool.shutdown_blocking().counts);
    });
}

#[test]
fn drops_of_results_and_factories_that_wait_for_their_only_worker_are_told() {
    watched(|ledger| {
        let slot: Own<u64, OnDrop> = Arc::default();
        let (inner, (told, hear)) = (slot.clone(), mpsc::channel());
        struct Once(mpsc::Sender<bool>, Own<u64, OnDrop>);
        impl JobHandler<u64> for Once {
            type Output = OnDrop;
            type Error = String;
            async fn handle(&mut self, n: u64, _: &fanpool::JobContext) -> Result<OnDrop, String> {
                if n == 0 {
                    return Ok(OnDrop(None));
                }
                let (told, slot) = (self.0.clone(), self.1.clone());
                Ok(OnDrop(Some(Box::new(move || {
                    let Some(pool) = own(&slot) else { return };
                    let ran = pool.run_blocking(0);
                    let refused = matches!(ran, Err(RunError::Job(JobError::WouldDeadlock)));
                    told.send(refused).unwrap();
                }))))
            }
        }
        let pool = Pool::builder(handler_factory(move |_| {
            // Waits for its own pool: the only worker is the one that asks.
            if let Some(pool) = own(&inner) {
                assert!(matches!(
                    pool.run_blocking(0),
                    Err(RunError::Job(JobError::WouldDeadlock))
                ));
            }
            Ok::<_, String>(Once(told.clone(), inner.clone()))
        }))
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
        assert!(slot.set(pool.submitter().downgrade()).is_ok());
        pool.ready_blocking().unwrap();
        pool.send_blocking(1).unwrap();
        assert!(hear.recv().unwrap());
        ledger.close_with_foreign_jobs(pool.shutdown_blocking().counts);
    });
}

#[test]
fn strategies_of_two_pools_may_send_to_each_other() {
    watched(|ledger| {
        let slots: [Own<u64, ()>; 2] = Default::default();
        let build = |other: usize| {
            let slot = slots[other].clone();
            let strategy = move || {
                let slot = slot.clone();
                move |job: &Job<u64>, _: &Workers<'_>| {
                    if let (Some(pool), 1..) = (own(&slot), *job.data()) {
                        let _ = pool.try_send(job.data() - 1);
                    }
                    Target::Any
                }
            };
            Pool::builder(handler_fn(|_: u64| Ok::<_, String>(())))
                .workers_per_dispatcher(1)
                .dispatcher(strategy)
                .build()
                .unwrap()
        };
        let pools = [build(1), build(0)];
        for (slot, pool) in slots.iter().zip(&pools) {
            assert!(slot.set(pool.submitter().downgrade()).is_ok());
        }
        let senders: Vec<_> = pools
            .iter()
            .map(|pool| {
                let pool = pool.clone();
                std::thread::spawn(move || (0..200).for_each(|_| pool.send_blocking(3).unwrap()))
            })
            .collect();
        senders
            .into_iter()
            .for_each(|sender| sender.join().unwrap());
        while pools.iter().any(|pool| pool.metrics().waiting > 0) {
            std::thread::yield_now();
        }
        for pool in &pools {
            ledger.close_with_foreign_jobs(pool.shutdown_blocking().counts);
        }
    });
}

/// Polls, inside `wake`, what an executor would have polled later.
struct Inline(Box<dyn Fn() + Send + Sync>);

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

#[test]
fn a_task_that_is_polled_inside_a_wake_is_not_taken_for_the_running_job() {
    watched(|ledger| {
        let slot: Arc<std::sync::Mutex<Option<fanpool::CancelHandle>>> = Arc::default();
        let cancels = slot.clone();
        let pool = Pool::builder(handler_fn(move |n: u64| {
            if n == 1 {
                let cancel = crate::common::lock(&cancels).take().unwrap();
                // Wakes whoever waits for that job, on this thread, inside this job.
                assert_eq!(cancel.cancel(), Cancellation::Removed);
            }
            Ok::<_, String>(n)
        }))
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
        let (result, results) = mpsc::channel();
        let inner = pool.submitter();
        let waker = Waker::from(Arc::new(Inline(Box::new(move || {
            let mut outside = Box::pin(inner.run(3));
            // Pending, since the only worker is busy: but not refused, since this is no part of its job.
            result.send(poll_once(&mut outside).is_pending()).unwrap();
        }))));
        // The canceller waits for this lock until its victim is known.
        let mut victims = crate::common::lock(&slot);
        let canceller = pool.submit_blocking(1).unwrap();
        let mut victim = pool.submit_blocking(2).unwrap();
        let mut cx = Context::from_waker(&waker);
        assert!(std::pin::Pin::new(&mut victim).poll(&mut cx).is_pending());
        *victims = Some(victim.cancel_handle());
        drop(victims);
        assert_eq!(canceller.wait().unwrap(), 1);
        assert!(matches!(victim.wait(), Err(JobError::Cancelled)));
        assert!(results.recv().unwrap());
        ledger.close_with_foreign_jobs(pool.shutdown_blocking().counts);
    });
}

struct Forgetful(Door);

#[async_trait]
impl<J: Send + 'static, H: JobHandler<J>> Worker<J, H> for Forgetful {
    async fn run(&mut self, inbox: &mut Inbox<J, H>, handler: &mut H) {
        if let Some(job) = inbox.next().await {
            std::mem::forget(job);
            self.0.pass();
        }
        while let Some(job) = inbox.next().await {
            job.run(handler).await;
        }
    }
}

#[test]
fn a_job_that_its_worker_forgot_is_abandoned_with_the_next() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, String>(n)))
            .workers_per_dispatcher(1)
            .worker(move || Forgetful(behind.clone()))
            .build()
            .unwrap();
        let forgotten = pool.submit_blocking(1).unwrap();
        door.wait_for(1);
        door.open();
        assert!(matches!(forgotten.wait(), Err(JobError::Abandoned)));
        assert_eq!(pool.run_blocking(2).unwrap(), 2);
        let counts = pool.shutdown_blocking().counts;
        assert_eq!((counts.abandoned, counts.completed), (1, 1));
        ledger.close_with_foreign_jobs(counts);
    });
}

struct Broken(AtomicBool);

impl Clock for Broken {
    fn now(&self) -> Instant {
        assert!(!self.0.swap(false, SeqCst), "no idea what time it is");
        Instant::now()
    }
    fn park_until(&self, _: Option<Instant>) {
        std::thread::park();
    }
}

#[test]
fn a_clock_that_panics_costs_one_job_at_most() {
    watched(|ledger| {
        let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, String>(n)))
            .workers_per_dispatcher(1)
            .clock(Broken(AtomicBool::new(true)))
            .build()
            .unwrap();
        match pool.run_blocking(1) {
            Ok(1) | Err(RunError::Job(JobError::Abandoned)) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(pool.run_blocking(2).unwrap(), 2);
        ledger.close_with_foreign_jobs(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_wait_that_was_given_up_does_not_count_as_waiting() {
    watched(|ledger| {
        let slot: Own<u64, u64> = Arc::default();
        let inner = slot.clone();
        let (clock, door) = (ManualClock::new(), Door::new());
        let behind = door.clone();
        let pool = Pool::builder(handler_fn(move |n: u64| {
            let pool = own(&inner).ok_or("no pool")?;
            match n {
                1 => {
                    let other = pool.submit_blocking(9).map_err(|e| e.to_string())?;
                    let kept = other.wait_timeout(Duration::ZERO).err();
                    behind.pass();
                    drop(kept);
                    Ok(1)
                }
                2 => pool.run_blocking(0).map_err(|error| error.to_string()),
                9 => {
                    behind.pass();
                    Ok(9)
                }
                n => Ok(n),
            }
        }))
        .workers_per_dispatcher(3)
        .clock(clock)
        .build()
        .unwrap();
        assert!(slot.set(pool.submitter().downgrade()).is_ok());
        let first = pool.submit_blocking(1).unwrap();
        door.wait_for(2);
        // Two workers are busy, and neither waits for the pool: the third may, with nobody else left
        // but them.
        let second = pool.submit_blocking(2).unwrap();
        let pending = second.wait_timeout(Duration::ZERO).unwrap_err();
        door.open();
        assert_eq!(pending.wait().unwrap(), 0);
        first.wait().unwrap();
        ledger.close_with_foreign_jobs(pool.shutdown_blocking().counts);
    });
}

#[test]
fn jobs_behind_a_worker_that_is_away_go_to_the_other_dispatchers() {
    for least_busy in [false, true] {
        watched(move |ledger| {
            let slot: Own<u64, u64> = Arc::default();
            let inner = slot.clone();
            let mut builder = Pool::builder(handler_fn(move |n: u64| {
                if n == 0 {
                    own(&inner).ok_or("no pool")?.join_blocking();
                }
                Ok::<_, String>(n)
            }))
            .dispatchers(2)
            .workers_per_dispatcher(1);
            builder = if least_busy {
                builder.dispatcher(LeastBusy::new)
            } else {
                builder.dispatcher(RoundRobin::new)
            };
            let pool = builder.build().unwrap();
            ledger.watch(&pool);
            assert!(slot.set(pool.submitter().downgrade()).is_ok());
            let handles: Vec<_> = (0..20).map(|n| pool.submit_blocking(n).unwrap()).collect();
            for (n, handle) in (0..).zip(handles) {
                assert_eq!(handle.wait().unwrap(), n);
            }
            ledger.close_with_foreign_jobs(pool.shutdown_blocking().counts);
        });
    }
}
