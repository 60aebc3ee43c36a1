//! A running pool gets another strategy: nothing is lost, and nothing passes by what waits.

use crate::common::by_hand::ByHand;
use crate::common::{Door, Ledger, Payload, ended, lock, watched};
use fanpool::clock::ManualClock;
use fanpool::{
    Any, Dispatcher, Job, JobContext, KeyAffinity, LeastBusy, Pool, Random, RoundRobin, Submitter,
    Target, TwoChoices, Workers, handler_fn, handler_fn_with,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::*};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

type Own = Submitter<Payload, (), String>;
type Ran = Arc<Mutex<Vec<(u64, usize)>>>;

/// Workers polled by the test; tells who ran what, in order.
fn by_hand<D: Dispatcher<Payload>>(
    ledger: &Ledger,
    workers: usize,
    depth: usize,
    make: impl Fn() -> D + 'static,
) -> (Own, ByHand, Ran) {
    let (hand, ran) = (ByHand::new(), Ran::default());
    let runs = ran.clone();
    let pool = Pool::builder(handler_fn_with(move |job: Payload, cx: &JobContext| {
        job.run(|| lock(&runs).push((job.id(), cx.worker().index())));
        Ok(())
    }))
    .workers_per_dispatcher(workers)
    .queue_capacity(64)
    .inbox_depth(depth)
    .dispatcher(make)
    .spawner(hand.clone())
    .build()
    .unwrap();
    ledger.watch(&pool);
    hand.run();
    (pool.submitter(), hand, ran)
}

fn close(ledger: &Ledger, pool: &Own, hand: &ByHand) {
    pool.close();
    hand.run();
    ledger.close(ended(pool));
}

fn to_second(_: &Job<Payload>, workers: &Workers<'_>) -> Target {
    let second = workers.get(1);
    second.map_or(Target::Any, |worker| Target::Worker(worker.id()))
}

#[test]
fn what_is_bound_stays_and_what_waits_is_for_the_new_strategy() {
    watched(|ledger| {
        let to_first = |_: &Job<Payload>, workers: &Workers<'_>| {
            let first = workers.get(0).filter(|worker| worker.has_room());
            first.map_or(Target::Any, |worker| Target::Worker(worker.id()))
        };
        let (pool, hand, ran) = by_hand(&ledger, 2, 2, move || to_first);
        // Bound to the first worker: 0 and 1. Then nobody may pass 2, which goes to anyone.
        (0..6).for_each(|_| pool.send_blocking(ledger.job()).unwrap());
        pool.set_dispatcher(|| to_second);
        hand.run();
        let ran = lock(&ran);
        let by: BTreeMap<u64, usize> = ran.iter().copied().collect();
        assert_eq!(by.len(), 6, "{ran:?}");
        assert_eq!((by[&0], by[&1]), (0, 0), "bound before the swap: {ran:?}");
        assert!(
            (3..6).all(|job| by[&job] == 1),
            "the new strategy's: {ran:?}"
        );
        let order: Vec<u64> = ran
            .iter()
            .filter(|(_, worker)| *worker == 1)
            .map(|(job, _)| *job)
            .collect();
        assert!(order.is_sorted(), "{order:?}");
        drop(ran);
        close(&ledger, &pool, &hand);
    });
}

/// Jobs leave the backlog in bulk to be routed, and those behind one that may go to anyone are not bound yet.
#[test]
fn what_waits_behind_a_job_for_anyone_is_for_the_new_strategy() {
    watched(|ledger| {
        let to_anyone = |_: &Job<Payload>, _: &Workers<'_>| Target::Any;
        let (pool, hand, ran) = by_hand(&ledger, 2, 4, move || to_anyone);
        let jobs: Vec<Payload> = (0..4).map(|_| ledger.job()).collect();
        let group = pool.submit_all_blocking(jobs).unwrap();
        pool.set_dispatcher(|| to_second);
        hand.run();
        let by: BTreeMap<u64, usize> = lock(&ran).iter().copied().collect();
        assert!(
            (1..4).all(|job| by[&job] == 1),
            "the new strategy's: {by:?}"
        );
        assert_eq!(group.wait().len(), 4);
        close(&ledger, &pool, &hand);
    });
}

/// A strategy that is no good: it panics when it is asked what it is.
struct Unaskable;

impl Dispatcher<Payload> for Unaskable {
    fn dispatch(&mut self, _: &Job<Payload>, _: &Workers<'_>) -> Target {
        Target::Any
    }

    fn late_binding(&self) -> bool {
        panic!("do not ask")
    }
}

#[test]
fn a_strategy_that_swaps_itself_for_one_that_panics_keeps_no_worker_asleep() {
    watched(|ledger| {
        let own: Arc<OnceLock<Own>> = Arc::default();
        let pool = own.clone();
        let swaps = move |_: &Job<Payload>, workers: &Workers<'_>| {
            if let Some(pool) = pool.get() {
                pool.set_dispatcher(|| Unaskable);
            }
            workers
                .get(0)
                .map_or(Target::Any, |worker| Target::Worker(worker.id()))
        };
        let (pool, hand, ran) = by_hand(&ledger, 2, 4, move || swaps.clone());
        own.set(pool.clone()).unwrap();
        pool.send_blocking(ledger.job()).unwrap();
        hand.run();
        // The panic is the caller's, and that is the strategy: so it chose nobody, and whoever asks gets the job.
        assert_eq!(lock(&ran).len(), 1);
        assert!(pool.metrics().faults > 0);
        close(&ledger, &pool, &hand);
    });
}

#[test]
fn one_worker_keeps_the_order_under_every_swap() {
    watched(|ledger| {
        let (pool, hand, ran) = by_hand(&ledger, 1, 3, Any::new);
        let mut submitted = 0;
        for round in 0..60 {
            for _ in 0..round % 7 {
                pool.send_blocking(ledger.job()).unwrap();
                submitted += 1;
            }
            match round % 6 {
                0 => pool.set_dispatcher(RoundRobin::new),
                1 => pool.set_dispatcher(KeyAffinity::new),
                2 => pool.set_dispatcher(Any::new),
                3 => pool.set_dispatcher(LeastBusy::new),
                4 => pool.set_dispatcher(|| TwoChoices::new(1)),
                _ => pool.set_dispatcher(|| Random::new(1)),
            }
            if round % 3 == 0 {
                hand.run();
            }
        }
        hand.run();
        let order: Vec<u64> = lock(&ran).iter().map(|(job, _)| *job).collect();
        assert_eq!(order, (0..submitted).collect::<Vec<_>>());
        close(&ledger, &pool, &hand);
    });
}

/// A worker of tiny jobs takes several at once: of what is bound to it first, however much else waits.
#[test]
fn what_is_bound_is_not_passed_by_in_bulk_after_a_swap_to_a_strategy_that_binds_nothing() {
    watched(|ledger| {
        let (first, second) = (Door::new(), Door::new());
        let (clock, ran) = (ManualClock::new(), Arc::new(Mutex::new(Vec::new())));
        let (time, runs) = (clock.clone(), ran.clone());
        let doors = [(200, first.clone()), (240, second.clone())];
        let run = move |job: Payload| {
            // Tiny jobs, whatever the machine.
            time.advance(Duration::from_nanos(500));
            lock(&runs).push(job.id());
            let door = doors.iter().find(|(id, _)| *id == job.id());
            job.run(|| door.iter().for_each(|(_, door)| door.pass()));
            Ok::<(), String>(())
        };
        let pool = Pool::builder(handler_fn(run))
            .clock(clock)
            .workers_per_dispatcher(1)
            .inbox_depth(150)
            .dispatcher(RoundRobin::new)
            .build()
            .unwrap();
        ledger.watch(&pool);
        for _ in 0..201 {
            pool.send_blocking(ledger.job()).unwrap();
        }
        first.wait_for(1);
        for _ in 0..600 {
            pool.send_blocking(ledger.job()).unwrap();
        }
        first.open();
        second.wait_for(1);
        pool.set_dispatcher(|| Any);
        second.open();
        pool.join_blocking();
        assert_eq!(*lock(&ran), (0..801).collect::<Vec<_>>());
        ledger.close(ended(&pool));
    });
}

#[test]
fn swaps_in_the_middle_of_a_flood_lose_nothing() {
    watched(|ledger| {
        let pool = Pool::builder(handler_fn_with(|job: Payload, _: &JobContext| {
            job.run(|| ());
            Ok::<_, String>(())
        }))
        .dispatchers(2)
        .workers_per_dispatcher(2)
        .queue_capacity(32)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let senders: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        for n in 0..3_000 {
                            let job = pool.job(ledger.job());
                            let job = if n % 3 == 0 { job.key(n % 11) } else { job };
                            job.send_blocking().unwrap();
                        }
                    })
                })
                .collect();
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    pool.set_dispatcher(RoundRobin::new);
                    pool.set_dispatcher(KeyAffinity::new);
                    pool.set_dispatcher(Any::new);
                    pool.set_dispatcher(LeastBusy::new);
                }
            });
            senders
                .into_iter()
                .for_each(|sender| sender.join().unwrap());
            over.store(true, SeqCst);
        });
        ledger.close(ended(&pool));
    });
}

#[test]
fn a_strategy_may_replace_itself() {
    watched(|ledger| {
        let own: Arc<OnceLock<Own>> = Arc::default();
        let sees = own.clone();
        let swaps = move |_: &Job<Payload>, _: &Workers<'_>| {
            if let Some(pool) = sees.get() {
                pool.set_dispatcher(RoundRobin::new);
            }
            Target::Any
        };
        let (pool, hand, ran) = by_hand(&ledger, 2, 4, move || swaps.clone());
        assert!(own.set(pool.clone()).is_ok());
        (0..5).for_each(|_| pool.send_blocking(ledger.job()).unwrap());
        hand.run();
        assert_eq!(lock(&ran).len(), 5);
        let both = lock(&ran)
            .iter()
            .map(|(_, worker)| 1 << worker)
            .fold(0, |a, b: u8| a | b);
        assert_eq!(both, 3, "the new strategy uses both workers");
        close(&ledger, &pool, &hand);
    });
}

#[test]
fn as_many_jobs_are_bound_as_the_inbox_is_deep() {
    watched(|ledger| {
        for depth in [1, 4, 9] {
            let most = Arc::new(Mutex::new(0));
            let sees = most.clone();
            let deepest = move |_: &Job<Payload>, workers: &Workers<'_>| {
                let first = workers.get(0).filter(|worker| worker.has_room());
                first.map_or(Target::Any, |worker| {
                    assert_eq!(worker.depth(), depth);
                    let mut most = lock(&sees);
                    *most = (*most).max(worker.queued() + 1);
                    Target::Worker(worker.id())
                })
            };
            let (pool, hand, _) = by_hand(&ledger, 1, depth, move || deepest.clone());
            (0..20).for_each(|_| pool.send_blocking(ledger.job()).unwrap());
            hand.run();
            assert_eq!(*lock(&most), depth);
            pool.close();
            hand.run();
            ended(&pool);
        }
        ledger.close_without_counts();
    });
}

#[test]
fn what_is_bound_is_run_after_a_swap_to_a_strategy_that_binds_nothing() {
    watched(|ledger| {
        let (pool, hand, ran) = by_hand(&ledger, 2, 4, RoundRobin::new);
        (0..4).for_each(|_| pool.send_blocking(ledger.job()).unwrap());
        pool.set_dispatcher(Any::new);
        // Not until all are idle: they never were, and looked for jobs without end inside one poll.
        for _ in 0..1_000 {
            hand.workers().into_iter().for_each(|worker| {
                hand.poll(worker);
            });
        }
        assert_eq!(lock(&ran).len(), 4, "what was bound waits for ever");
        close(&ledger, &pool, &hand);
    });
}
