//! Jobs that are run several at once, and jobs that a worker holds beside others.

use crate::common::by_hand::ByHand;
use crate::common::{Door, Ledger, Payload, assert_conserved, ended, until, watched};
use fanpool::clock::ManualClock;
use fanpool::worker::{Batch, BatchHandler, BatchWorker, Detached, Inbox, Worker};
use fanpool::{
    Cancellation, JobContext, JobError, JobHandler, Pool, PoolBuilder, Submitter, async_trait,
    handler_factory,
};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

type Act = dyn FnMut(&mut Batch<Payload, Script>) + Send;

/// A handler that does what the test says with each batch.
struct Script {
    act: Arc<Mutex<Box<Act>>>,
}

impl JobHandler<Payload> for Script {
    type Output = u64;
    type Error = String;

    async fn handle(&mut self, _: Payload, _: &JobContext) -> Result<u64, String> {
        unreachable!("a batch worker gives it batches")
    }
}

impl BatchHandler<Payload> for Script {
    async fn handle_batch(&mut self, batch: &mut Batch<Payload, Self>) {
        for item in &*batch {
            item.job().expect("fresh").data().started();
        }
        let mut act = crate::common::lock(&self.act);
        act(batch);
    }
}

fn script<F>(act: F) -> impl Fn() -> Script + Send + Sync + 'static
where
    F: FnMut(&mut Batch<Payload, Script>) + Send + 'static,
{
    let act: Arc<Mutex<Box<Act>>> = Arc::new(Mutex::new(Box::new(act)));
    move || Script { act: act.clone() }
}

/// One worker, polled by the test, that takes batches of up to four.
fn by_hand<F>(
    ledger: &Ledger,
    hand: &ByHand,
    set: impl FnOnce(Builder) -> Builder,
    act: F,
) -> Submitter<Payload, u64, String>
where
    F: FnMut(&mut Batch<Payload, Script>) + Send + 'static,
{
    let make = script(act);
    let builder = Pool::builder(handler_factory(Box::new(move |_| Ok(make())) as Box<Make>));
    let pool = set(builder
        .workers_per_dispatcher(1)
        .worker(|| BatchWorker::new(4))
        .spawner(hand.clone()))
    .build()
    .unwrap();
    ledger.watch(&pool);
    hand.run();
    pool.submitter()
}

type Make = dyn Fn(fanpool::WorkerId) -> Result<Script, Infallible> + Send + Sync;
type Builder = PoolBuilder<Payload, fanpool::FactoryFn<Box<Make>>>;

fn complete_all(batch: &mut Batch<Payload, Script>) {
    for item in batch {
        let job = item.take_job().expect("fresh").into_inner();
        item.complete(Ok(job.id()));
    }
}

#[test]
fn a_batch_takes_what_waits_up_to_its_size_and_in_order() {
    watched(|ledger| {
        let hand = ByHand::new();
        let (sizes, seen) = mpsc::channel();
        let pool = by_hand(
            &ledger,
            &hand,
            |pool| pool,
            move |batch| {
                let ids: Vec<_> = batch
                    .iter()
                    .map(|item| item.job().unwrap().data().id())
                    .collect();
                sizes.send(ids).unwrap();
                complete_all(batch);
            },
        );
        let handles: Vec<_> = (0..6)
            .map(|_| pool.submit_blocking(ledger.job()).unwrap())
            .collect();
        hand.run();
        assert_eq!(
            seen.try_iter().collect::<Vec<_>>(),
            [vec![0, 1, 2, 3], vec![4, 5]]
        );
        for (id, handle) in handles.into_iter().enumerate() {
            ledger.outcome(id as u64, handle.wait().unwrap());
        }
        let metrics = pool.metrics();
        assert_eq!((metrics.completed, metrics.running), (6, 0));
        pool.close();
        hand.run();
        ledger.close(ended(&pool));
    });
}

#[test]
fn results_given_before_a_panic_stand_and_the_rest_is_told_of_it() {
    watched(|ledger| {
        let hand = ByHand::new();
        let mut batches = 0;
        let pool = by_hand(
            &ledger,
            &hand,
            |pool| pool,
            move |batch| {
                batches += 1;
                if batches > 1 {
                    return complete_all(batch);
                }
                let mut items = batch.iter_mut();
                items.next().unwrap().complete(Ok(10));
                items.next().unwrap().complete(Err("no".to_owned()));
                panic!("in the middle");
            },
        );
        let handles: Vec<_> = (0..5)
            .map(|_| pool.submit_blocking(ledger.job()).unwrap())
            .collect();
        hand.run();
        let outcomes: Vec<_> = handles.into_iter().map(|handle| handle.wait()).collect();
        assert!(matches!(outcomes[0], Ok(10)), "{outcomes:?}");
        assert!(matches!(&outcomes[1], Err(JobError::Failed(no)) if no == "no"));
        for outcome in &outcomes[2..4] {
            assert!(
                matches!(outcome, Err(JobError::Panicked(panic)) if panic.message() == "in the middle"),
                "{outcome:?}"
            );
        }
        assert!(
            matches!(outcomes[4], Ok(4)),
            "a new handler goes on: {outcomes:?}"
        );
        let metrics = pool.metrics();
        assert_eq!(
            (metrics.completed, metrics.failed, metrics.panicked),
            (2, 1, 2)
        );
        pool.close();
        hand.run();
        ledger.close(ended(&pool));
    });
}

#[test]
fn what_a_batch_leaves_incomplete_is_abandoned_and_what_comes_second_is_dropped() {
    watched(|ledger| {
        let hand = ByHand::new();
        let pool = by_hand(
            &ledger,
            &hand,
            |pool| pool,
            |batch| {
                let first = batch.iter_mut().next().unwrap();
                assert!(first.complete(Ok(1)), "the first outcome counts");
                assert!(!first.complete(Ok(2)), "the second one does not");
            },
        );
        let first = pool.submit_blocking(ledger.job()).unwrap();
        let second = pool.submit_blocking(ledger.job()).unwrap();
        hand.run();
        assert!(matches!(first.wait(), Ok(1)));
        assert!(matches!(second.wait(), Err(JobError::Abandoned)));
        pool.close();
        hand.run();
        ledger.close(ended(&pool));
    });
}

#[test]
fn a_batch_that_is_not_full_waits_for_more_as_long_as_it_may() {
    watched(|ledger| {
        let hand = ByHand::new();
        let clock = ManualClock::new();
        let (sizes, seen) = mpsc::channel();
        let linger = Duration::from_millis(5);
        let set = |pool: Builder| {
            pool.worker(move || BatchWorker::new(3).linger(linger))
                .clock(clock.clone())
        };
        let pool = by_hand(&ledger, &hand, set, move |batch| {
            sizes.send(batch.len()).unwrap();
            complete_all(batch);
        });
        // Full: nobody waits.
        (0..3).for_each(|_| pool.send_blocking(ledger.job()).unwrap());
        hand.run();
        assert_eq!(seen.try_recv(), Ok(3));
        // One comes later, and the time is not up.
        pool.send_blocking(ledger.job()).unwrap();
        hand.run();
        clock.advance(linger - Duration::from_millis(1));
        pool.send_blocking(ledger.job()).unwrap();
        hand.run();
        assert!(seen.try_recv().is_err(), "there are two, and a millisecond");
        assert_eq!(pool.metrics().running, 2, "what is in a batch has started");
        clock.advance(Duration::from_millis(1));
        let mut size = None;
        until(|| {
            hand.run();
            size = seen.try_recv().ok();
            size.is_some()
        });
        assert_eq!(size, Some(2));
        pool.close();
        hand.run();
        ledger.close(ended(&pool));
    });
}

#[test]
fn a_shutdown_does_not_wait_for_a_batch_to_fill() {
    watched(|ledger| {
        let hand = ByHand::new();
        let set = |pool: Builder| {
            pool.worker(|| BatchWorker::new(3).linger(Duration::from_secs(3600)))
                .clock(ManualClock::new())
        };
        let pool = by_hand(&ledger, &hand, set, complete_all);
        let handle = pool.submit_blocking(ledger.job()).unwrap();
        hand.run();
        assert!(!handle.is_finished());
        pool.close();
        hand.run();
        assert!(matches!(handle.wait(), Ok(0)));
        ledger.close(ended(&pool));
    });
}

#[test]
fn a_job_in_a_batch_is_listed_as_running_and_asked_to_stop() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let make = script(move |batch| {
            behind.pass();
            for item in &mut *batch {
                if item.context().is_cancelled() {
                    item.complete(Err("stopped".to_owned()));
                }
            }
            behind.pass();
            for item in batch {
                item.complete(Ok(7));
            }
        });
        let hand = ByHand::new();
        let pool = Pool::builder(handler_factory(move |_| Ok::<_, Infallible>(make())))
            .workers_per_dispatcher(1)
            .worker(|| BatchWorker::new(4))
            .spawner(hand.clone())
            .build()
            .unwrap();
        ledger.watch(&pool);
        let handles: Vec<_> = (0..2)
            .map(|_| pool.submit_blocking(ledger.job()).unwrap())
            .collect();
        let executor = hand.clone();
        let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let until_over = over.clone();
        let thread = std::thread::spawn(move || executor.serve(&until_over));
        door.wait_for(1);
        assert_eq!(handles[1].cancel(), Cancellation::Requested);
        door.see_one_through();
        door.wait_for(1);
        let report = pool.shutdown_timeout_blocking(Duration::ZERO);
        let running: Vec<_> = report.still_running.iter().map(|job| job.id).collect();
        assert_eq!(running, [handles[0].id()], "the other one was complete");
        assert_eq!(report.counts.running, 1);
        door.open();
        let outcomes: Vec<_> = handles.into_iter().map(|handle| handle.wait()).collect();
        assert!(matches!(outcomes[0], Ok(7)), "{outcomes:?}");
        assert!(matches!(&outcomes[1], Err(JobError::Failed(why)) if why == "stopped"));
        hand.end(&over);
        thread.join().unwrap();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

/// Keeps each job, and gives it away to be completed elsewhere.
struct GivesAway<J: Send + 'static, H: JobHandler<J>>(mpsc::Sender<Detached<J, H>>);

#[async_trait]
impl<J: Send + 'static, H: JobHandler<J>> Worker<J, H> for GivesAway<J, H> {
    async fn run(&mut self, inbox: &mut Inbox<J, H>, _: &mut H) {
        while let Some(job) = inbox.next().await {
            self.0.send(job.detach()).unwrap();
        }
    }
}

#[test]
fn a_detached_job_is_completed_on_another_thread_and_joined() {
    watched(|ledger| {
        let make = script(complete_all);
        let (away, given) = mpsc::channel();
        let pool = Pool::builder(handler_factory(move |_| Ok::<_, Infallible>(make())))
            .workers_per_dispatcher(2)
            .worker(move || GivesAway(away.clone()))
            .build()
            .unwrap();
        ledger.watch(&pool);
        let handles: Vec<_> = (0..8)
            .map(|_| pool.submit_blocking(ledger.job()).unwrap())
            .collect();
        let taken: Vec<Detached<Payload, Script>> = given.iter().take(8).collect();
        until(|| pool.metrics().running == 8);
        assert_conserved(pool.metrics());
        let joins = pool.clone();
        let (joined, over) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            joins.join_blocking();
            joined.send(()).unwrap();
        });
        for (at, mut item) in taken.into_iter().enumerate() {
            assert!(over.try_recv().is_err(), "joined with jobs in hands");
            let id = item.job().unwrap().data().id();
            item.take_job().unwrap().data().run(|| ());
            if at == 5 {
                drop(item);
            } else {
                item.complete(Ok(id));
            }
        }
        over.recv().unwrap();
        thread.join().unwrap();
        let outcomes: Vec<_> = handles.into_iter().map(|handle| handle.wait()).collect();
        let abandoned = |outcome: &&Result<_, _>| matches!(outcome, Err(JobError::Abandoned));
        assert_eq!(outcomes.iter().filter(abandoned).count(), 1);
        ledger.close(ended(&pool));
    });
}

#[test]
fn a_batch_that_waits_for_one_of_its_own_jobs_is_told() {
    watched(|ledger| {
        let (handles, own) = mpsc::channel::<fanpool::JobHandle<u64, String>>();
        let (told, tells) = mpsc::channel();
        let make = script(move |batch| {
            let handle = own.recv().unwrap();
            told.send(matches!(handle.wait(), Err(JobError::WouldDeadlock)))
                .unwrap();
            complete_all(batch);
        });
        // The other worker is idle, and could not help.
        let pool = Pool::builder(handler_factory(move |_| Ok::<_, Infallible>(make())))
            .workers_per_dispatcher(2)
            .worker(|| BatchWorker::new(4))
            .build()
            .unwrap();
        ledger.watch(&pool);
        handles
            .send(pool.submit_blocking(ledger.job()).unwrap())
            .unwrap();
        assert!(tells.recv().unwrap());
        ledger.close(ended(&pool));
    });
}

#[test]
fn a_batch_that_joins_does_not_wait_for_itself() {
    watched(|ledger| {
        let (pools, own) = mpsc::channel::<Submitter<Payload, u64, String>>();
        let make = script(move |batch| {
            own.recv().unwrap().join_blocking();
            complete_all(batch);
        });
        let pool = Pool::builder(handler_factory(move |_| Ok::<_, Infallible>(make())))
            .workers_per_dispatcher(2)
            .worker(|| BatchWorker::new(4))
            .build()
            .unwrap();
        ledger.watch(&pool);
        let handle = pool.submit_blocking(ledger.job()).unwrap();
        pools.send(pool.submitter()).unwrap();
        assert!(matches!(handle.wait(), Ok(0)));
        ledger.close(ended(&pool));
    });
}

#[test]
fn a_worker_that_is_dropped_with_a_batch_in_its_hands_abandons_it() {
    watched(|ledger| {
        let hand = ByHand::new();
        let clock = ManualClock::new();
        let set = |pool: Builder| {
            pool.worker(|| BatchWorker::new(3).linger(Duration::from_secs(1)))
                .clock(clock)
        };
        let pool = by_hand(&ledger, &hand, set, complete_all);
        let handle = pool.submit_blocking(ledger.job()).unwrap();
        hand.run();
        hand.abort(hand.workers()[0]);
        assert!(matches!(handle.wait(), Err(JobError::Abandoned)));
        hand.run();
        let next: Vec<_> = (0..3)
            .map(|_| pool.submit_blocking(ledger.job()).unwrap())
            .collect();
        hand.run();
        assert!(next.into_iter().all(|handle| handle.wait().is_ok()));
        pool.close();
        hand.run();
        ledger.close(ended(&pool));
    });
}
