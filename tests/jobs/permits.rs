//! Room that is held for a job that does not exist yet: kept, used, dropped, forgotten.

use crate::common::by_hand::ByHand;
use crate::common::{
    Door, Flag, Ledger, Payload, assert_conserved, lock, poll_once, until, watched,
};
use fanpool::{
    Job, JobError, Metrics, Permit, Pool, ShutdownReport, SubmitError, Submitter, Target,
    WeakSubmitter, Workers, async_handler_fn, handler_fn,
};
use futures_lite::future::block_on;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::sync::{Arc, Barrier, Mutex, OnceLock, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

type Own = Submitter<Payload, u64, String>;

/// One worker, whose jobs wait behind a door.
fn behind(ledger: &Ledger, door: &Door, capacity: usize) -> Own {
    let door = door.clone();
    let pool = Pool::builder(handler_fn(move |job: Payload| {
        job.run(|| door.pass());
        Ok(job.id())
    }))
    .workers_per_dispatcher(1)
    .queue_capacity(capacity)
    .build()
    .unwrap();
    ledger.watch(&pool);
    pool.submitter()
}

/// The same with the worker at the door, so that what is accepted waits.
fn busy(ledger: &Ledger, door: &Door, capacity: usize) -> Own {
    let pool = behind(ledger, door, capacity);
    pool.send_blocking(ledger.job()).unwrap();
    door.wait_for(1);
    pool
}

/// What waits, what is held.
fn room(pool: &Own) -> (u64, u64) {
    let counts = pool.metrics();
    (counts.occupied, counts.reserved)
}

/// How many jobs fit in: they go in, or with permits, out again.
fn fits(pool: &Own) -> u64 {
    let mut permits = Vec::new();
    while let Ok(permit) = pool.try_reserve() {
        permits.push(permit);
    }
    permits.len() as u64
}

type End = fn(&Own) -> ShutdownReport<Payload>;

const ENDS: [End; 4] = [
    |pool| pool.shutdown_blocking(),
    |pool| pool.shutdown_now_blocking(),
    |pool| pool.shutdown_timeout_blocking(Duration::from_secs(3600)),
    |pool| {
        pool.join_blocking();
        pool.close();
        pool.shutdown_blocking()
    },
];

#[test]
fn a_kept_permit_keeps_no_end_waiting_and_is_refused_after_it() {
    watched(|_| {
        for end in ENDS {
            let ledger = Ledger::new();
            let door = Door::new();
            let pool = busy(&ledger, &door, 8);
            let kept = pool.reserve_blocking().unwrap();
            let heavy = pool.try_reserve_weight(3).unwrap();
            let mut many = pool.try_reserve_many(2).unwrap();
            let queued = pool.try_submit(ledger.job()).unwrap();
            assert_eq!(room(&pool), (1, 6));
            door.open();
            let report = end(&pool);
            let back = report.unrun.len();
            drop(report);
            match queued.wait() {
                Ok(_) => assert_eq!(back, 0),
                Err(JobError::HandedBack) => assert_eq!(back, 1),
                Err(other) => panic!("{other:?}"),
            }
            assert_eq!(room(&pool), (0, 6), "permits are still held");

            let before = pool.metrics();
            let late = ledger.job();
            let id = late.id();
            match kept.submit(late) {
                Err(SubmitError::Closed(job)) => assert_eq!(job.id(), id),
                other => panic!("{other:?}"),
            }
            match heavy.job(ledger.job()).label("late").key(7).send() {
                Err(SubmitError::Closed(job)) => {
                    assert_eq!((job.label(), job.key()), (Some("late"), Some(7)));
                    assert_eq!(job.data().id(), id + 1);
                }
                other => panic!("{other:?}"),
            }
            let refused = many.next().unwrap().send(ledger.job()).unwrap_err();
            assert!(refused.is_closed());
            assert_eq!(pool.metrics().refused, before.refused + 3);
            assert_eq!(pool.metrics().accepted, before.accepted);
            assert_eq!(pool.metrics().reserved, 1);
            drop((refused, many));
            assert_eq!(room(&pool), (0, 0));
            ledger.close(pool.metrics());
        }
    });
}

#[test]
fn a_forgotten_permit_keeps_no_end_waiting() {
    watched(|_| {
        for end in ENDS {
            let ledger = Ledger::new();
            let door = Door::new();
            let pool = busy(&ledger, &door, 5);
            std::mem::forget(pool.reserve_blocking().unwrap());
            std::mem::forget(pool.try_reserve_weight(2).unwrap());
            std::mem::forget(pool.try_reserve_owned().unwrap());
            let last = pool.try_submit(ledger.job()).unwrap();
            assert!(pool.try_reserve().unwrap_err().is_full());
            door.open();
            drop(end(&pool));
            assert!(last.is_finished());
            // What was forgotten is lost, and nothing else.
            assert_eq!(room(&pool), (0, 4));
            ledger.close(pool.metrics());
        }
    });
}

/// A pool that says when it is gone: with its workers' handlers.
fn mortal(ledger: &Ledger, capacity: usize) -> (Own, mpsc::Receiver<()>) {
    let (alive, gone) = mpsc::channel::<()>();
    let pool = Pool::builder(handler_fn(move |job: Payload| {
        let _ = &alive;
        job.run(|| ());
        Ok(job.id())
    }))
    .workers_per_dispatcher(2)
    .queue_capacity(capacity)
    .build()
    .unwrap();
    ledger.watch(&pool);
    (pool.submitter(), gone)
}

#[test]
fn a_forgotten_permit_does_not_outlive_the_last_handle() {
    watched(|ledger| {
        let (pool, gone) = mortal(&ledger, 4);
        std::mem::forget(pool.reserve_blocking().unwrap());
        std::mem::forget(pool.try_reserve_many(2).unwrap());
        let handle = pool.try_submit(ledger.job()).unwrap();
        drop(pool);
        assert_eq!(handle.wait().unwrap(), 0);
        assert_eq!(gone.recv(), Err(mpsc::RecvError), "the pool is gone");
        ledger.close_without_counts();
    });
}

#[test]
fn an_owned_permit_keeps_the_pool_open_until_it_is_used_or_dropped() {
    struct Keeper {
        permit: Option<Permit<'static, Payload, u64, String>>,
    }
    watched(|ledger| {
        // Used on another thread, when nobody else has a handle any more.
        let (pool, gone) = mortal(&ledger, 2);
        let mut keeper = Keeper {
            permit: Some(pool.reserve_owned_blocking().unwrap()),
        };
        let weak = pool.downgrade();
        drop(pool);
        assert!(!weak.upgrade().unwrap().is_closed());
        let job = ledger.job();
        let used = std::thread::spawn(move || keeper.permit.take().unwrap().submit(job).unwrap());
        assert_eq!(used.join().unwrap().wait().unwrap(), 0);
        assert!(weak.upgrade().is_none());
        assert_eq!(gone.recv(), Err(mpsc::RecvError));

        // Dropped by another task.
        let (pool, gone) = mortal(&ledger, 1);
        let keeper = Keeper {
            permit: Some(block_on(pool.reserve_owned()).unwrap()),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        let waits = {
            let (pool, job) = (pool.clone(), ledger.job());
            runtime.spawn(async move { pool.run(job).await.unwrap() })
        };
        let weak = pool.downgrade();
        drop(pool);
        runtime
            .block_on(runtime.spawn(async move { drop(keeper) }))
            .unwrap();
        assert_eq!(runtime.block_on(waits).unwrap(), 1);
        until(|| weak.upgrade().is_none());
        assert_eq!(gone.recv(), Err(mpsc::RecvError));
        ledger.close_without_counts();
    });
}

#[test]
fn an_owned_permit_may_be_dropped_long_after_the_end() {
    watched(|ledger| {
        let (pool, gone) = mortal(&ledger, 3);
        let kept = pool.try_reserve_owned().unwrap();
        let used = pool.try_reserve_owned().unwrap();
        let counts = pool.shutdown_blocking().counts;
        assert_eq!(counts.reserved, 2);
        drop(pool);
        let refused = used.send(ledger.job()).unwrap_err();
        assert!(refused.is_closed());
        drop((refused, kept));
        assert_eq!(gone.recv(), Err(mpsc::RecvError));
        ledger.close(counts);
    });
}

#[test]
fn a_dropped_permit_wakes_everybody_who_waits_for_its_room() {
    watched(|ledger| {
        // The worker is idle: nobody else could wake them.
        let pool = behind(&ledger, &Door::new(), 2);
        let mut held = Some(pool.try_reserve_weight(2).unwrap());

        let flags: Vec<_> = (0..3).map(|_| Arc::new(Flag::default())).collect();
        let wakers: Vec<_> = flags.iter().cloned().map(Waker::from).collect();
        let mut futures: Vec<_> = (0..3).map(|_| Box::pin(pool.reserve())).collect();
        for (future, waker) in futures.iter_mut().zip(&wakers) {
            assert!(
                future
                    .as_mut()
                    .poll(&mut Context::from_waker(waker))
                    .is_pending()
            );
        }
        drop(held.take());
        // Two units for three of them; each permit that is dropped in turn lets the next one in.
        let mut served = 0;
        while served < 3 {
            for (at, flag) in flags.iter().enumerate() {
                if flag.take() {
                    let mut cx = Context::from_waker(&wakers[at]);
                    if let Poll::Ready(permit) = futures[at].as_mut().poll(&mut cx) {
                        drop(permit.unwrap());
                        served += 1;
                    }
                }
            }
        }
        drop(futures);
        assert_eq!(fits(&pool), 2);
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_dropped_permit_wakes_threads_and_tasks_of_every_kind() {
    watched(|ledger| {
        let door = Door::new();
        door.open();
        let pool = behind(&ledger, &door, 3);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        for round in 0..50 {
            let held = pool.reserve_weight_blocking(3).unwrap();
            let barrier = Arc::new(Barrier::new(7));
            let mut threads = Vec::new();
            for kind in 0..6 {
                let (pool, job, barrier) = (pool.clone(), ledger.job(), barrier.clone());
                threads.push(std::thread::spawn(move || {
                    barrier.wait();
                    match kind {
                        0 => pool.send_blocking(job).unwrap(),
                        1 => drop(pool.submit_blocking(job).unwrap()),
                        2 => pool.reserve_blocking().unwrap().send(job).unwrap(),
                        3 => pool.reserve_weight_blocking(3).unwrap().send(job).unwrap(),
                        4 => {
                            let mut many = pool.reserve_many_blocking(3).unwrap();
                            many.next().unwrap().send(job).unwrap();
                        }
                        _ => drop(pool.reserve_owned_blocking().unwrap()),
                    }
                }));
            }
            let tasks: Vec<_> = (0..6)
                .map(|kind| {
                    let (pool, job) = (pool.clone(), ledger.job());
                    runtime.spawn(async move {
                        match kind {
                            0 => pool.send(job).await.unwrap(),
                            1 => assert!(pool.run(job).await.is_ok()),
                            2 => pool.reserve().await.unwrap().send(job).unwrap(),
                            3 => pool.reserve_weight(2).await.unwrap().send(job).unwrap(),
                            4 => drop(pool.reserve_many(2).await.unwrap()),
                            _ => pool.reserve_owned().await.unwrap().send(job).unwrap(),
                        }
                    })
                })
                .collect();
            barrier.wait();
            if round % 2 == 0 {
                drop(held);
            } else {
                held.job(ledger.job()).weight(1).send().unwrap();
            }
            threads
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
            for task in tasks {
                runtime.block_on(task).unwrap();
            }
            pool.join_blocking();
            until(|| room(&pool) == (0, 0));
        }
        assert_eq!(fits(&pool), 3);
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_permit_is_used_without_waiting_whoever_else_waits() {
    watched(|ledger| {
        let door = Door::new();
        let pool = busy(&ledger, &door, 4);
        let first = pool.try_reserve().unwrap();
        let second = pool.try_reserve().unwrap();
        let third = pool.try_reserve_weight(2).unwrap();
        let mut light = Box::pin(pool.reserve());
        let mut heavy = Box::pin(pool.reserve_weight(4));
        assert!(poll_once(&mut light).is_pending());
        assert!(poll_once(&mut heavy).is_pending());
        assert!(pool.try_reserve().unwrap_err().is_full());
        let handle = first.submit(ledger.job()).unwrap();
        second.send(ledger.job()).unwrap();
        let job = third.job(ledger.job()).priority(3).submit().unwrap();
        assert_eq!(room(&pool), (4, 0));
        assert_eq!(pool.metrics().waiting, 3);
        drop((light, heavy));
        door.open();
        assert_eq!((handle.wait().unwrap(), job.wait().unwrap()), (1, 3));
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn many_permits_are_at_least_one_and_at_most_what_is_free() {
    watched(|ledger| {
        let door = Door::new();
        let pool = busy(&ledger, &door, 5);
        assert_eq!(pool.try_reserve_many(3).unwrap().len(), 3);
        assert_eq!(pool.reserve_many_blocking(usize::MAX).unwrap().len(), 5);
        assert_eq!(room(&pool), (0, 0), "dropped at once");
        let four = pool.try_reserve_weight(4).unwrap();
        let one = block_on(pool.reserve_many(3)).unwrap();
        assert_eq!(one.len(), 1);
        assert!(pool.try_reserve_many(3).unwrap_err().is_full());
        // None, at once, even if there is no room.
        assert_eq!(pool.try_reserve_many(0).unwrap().len(), 0);
        assert_eq!(pool.reserve_many_blocking(0).unwrap().len(), 0);
        assert_eq!(block_on(pool.reserve_many(0)).unwrap().count(), 0);

        let flag = Arc::new(Flag::default());
        let waker = Waker::from(flag.clone());
        let mut cx = Context::from_waker(&waker);
        let mut waits = Box::pin(pool.reserve_many(3));
        assert!(waits.as_mut().poll(&mut cx).is_pending());
        drop(one);
        flag.wait();
        let Poll::Ready(Ok(mut got)) = waits.as_mut().poll(&mut cx) else {
            panic!("one is free")
        };
        drop(waits);
        assert_eq!((got.len(), room(&pool)), (1, (0, 5)));
        got.next().unwrap().send(ledger.job()).unwrap();
        assert!(got.next().is_none());
        assert_eq!(room(&pool), (1, 4));
        drop((got, four));

        // What is not used goes back; what is left over is not counted as used.
        let mut permits = pool.reserve_many_blocking(4).unwrap();
        assert_eq!(permits.len(), 4);
        permits.next().unwrap().send(ledger.job()).unwrap();
        drop(permits.next().unwrap());
        assert_eq!((permits.len(), room(&pool)), (2, (2, 2)));
        let kept = permits.next().unwrap();
        drop(permits);
        assert_eq!((room(&pool), fits(&pool)), ((2, 1), 2));
        std::mem::forget(kept);
        assert_eq!(fits(&pool), 2);
        pool.close();
        assert_eq!(pool.try_reserve_many(0).unwrap().len(), 0);
        assert!(pool.try_reserve_many(1).unwrap_err().is_closed());
        door.open();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_storm_of_reservations_fills_exactly_the_capacity() {
    watched(|ledger| {
        const CAPACITY: u64 = 23;
        let door = Door::new();
        let pool = busy(&ledger, &door, CAPACITY as usize);
        let keep: Mutex<Vec<Permit<'static, _, _, _>>> = Mutex::new(Vec::new());
        for round in 0..200 {
            let barrier = Barrier::new(8);
            let units = AtomicU64::new(0);
            std::thread::scope(|scope| {
                let (pool, keep, barrier, units) = (&pool, &keep, &barrier, &units);
                let mut held = Vec::new();
                for n in 0..8 {
                    held.push(scope.spawn(move || {
                        let (mut one, mut many) = (Vec::new(), Vec::new());
                        barrier.wait();
                        for turn in 0..20 {
                            match (n + turn + round) % 4 {
                                0 => one.extend(pool.try_reserve()),
                                1 => one.extend(pool.try_reserve_weight(3)),
                                2 => many.extend(pool.try_reserve_many(2)),
                                _ => lock(keep).extend(pool.try_reserve_owned()),
                            }
                        }
                        let of_one: u64 = one.iter().map(Permit::weight).sum();
                        let of_many: u64 = many.iter().map(|many| many.len() as u64).sum();
                        units.fetch_add(of_one + of_many, SeqCst);
                        (one, many)
                    }));
                }
                let held: Vec<_> = held.into_iter().map(|h| h.join().unwrap()).collect();
                let owned = lock(keep).len() as u64;
                assert_eq!(units.load(SeqCst) + owned, CAPACITY);
                assert_eq!(room(pool), (0, CAPACITY));
                assert!(pool.try_reserve().unwrap_err().is_full());
                // On the threads of others, at once.
                for held in held {
                    scope.spawn(move || drop(held));
                }
                scope.spawn(move || lock(keep).clear());
            });
            assert_eq!(room(&pool), (0, 0));
        }
        // And with jobs.
        let permits: Vec<_> = (0..CAPACITY).map(|_| pool.try_reserve().unwrap()).collect();
        for permit in permits {
            permit.send(ledger.job()).unwrap();
        }
        assert_eq!(room(&pool), (CAPACITY, 0));
        assert!(pool.try_send(ledger.job()).unwrap_err().is_full());
        door.open();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn abandoned_reservations_leak_no_room() {
    watched(|ledger| {
        const CAPACITY: usize = 4;
        let door = Door::new();
        let pool = busy(&ledger, &door, CAPACITY);
        let mut held = pool.try_reserve_weight(CAPACITY as u64).ok();
        for turn in 0..100_000 {
            match turn % 4 {
                0 => assert!(poll_once(&mut Box::pin(pool.reserve())).is_pending()),
                1 => assert!(poll_once(&mut Box::pin(pool.reserve_weight(3))).is_pending()),
                2 => assert!(poll_once(&mut Box::pin(pool.reserve_many(3))).is_pending()),
                _ => assert!(poll_once(&mut Box::pin(pool.reserve_owned())).is_pending()),
            }
            if turn % 1000 == 0 {
                // Some are let in meanwhile, and dropped unseen.
                let mut notified = Box::pin(pool.reserve_weight(2));
                assert!(poll_once(&mut notified).is_pending());
                held = None;
                drop(notified);
                held.replace(pool.try_reserve_weight(CAPACITY as u64).unwrap());
            }
        }
        assert_eq!(room(&pool), (0, CAPACITY as u64));
        drop(held);
        for _ in 0..CAPACITY {
            pool.try_send(ledger.job()).unwrap();
        }
        assert!(pool.try_send(ledger.job()).unwrap_err().is_full());
        assert!(pool.try_reserve().unwrap_err().is_full());
        door.open();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn forgotten_reservations_leak_no_room() {
    watched(|ledger| {
        const CAPACITY: usize = 4;
        let door = Door::new();
        let pool = busy(&ledger, &door, CAPACITY);
        let held = pool.try_reserve_weight(CAPACITY as u64).unwrap();
        for turn in 0..1_000 {
            let mut pending = Box::pin(pool.reserve_weight(1 + turn % 4));
            assert!(poll_once(&mut pending).is_pending());
            std::mem::forget(pending);
        }
        drop(held);
        let blocked: Vec<_> = (0..3)
            .map(|_| {
                let (pool, job) = (pool.clone(), ledger.job());
                std::thread::spawn(move || pool.send_blocking(job).unwrap())
            })
            .collect();
        door.open();
        blocked.into_iter().for_each(|b| b.join().unwrap());
        pool.join_blocking();
        until(|| fits(&pool) == CAPACITY as u64);
        ledger.close(pool.shutdown_blocking().counts);
    });
}

/// The workers sleep already, so none will see on its way to sleep that somebody was forgotten.
#[test]
fn a_forgotten_waiter_does_not_keep_a_permits_room_from_the_others() {
    watched(|_| {
        for need in 1..=4 {
            for dropped in 1..=4 {
                let ledger = Ledger::new();
                let by_hand = ByHand::new();
                let pool = Pool::builder(handler_fn(|job: Payload| {
                    job.run(|| ());
                    Ok::<_, String>(job.id())
                }))
                .spawner(by_hand.clone())
                .workers_per_dispatcher(1)
                .queue_capacity(4)
                .build()
                .unwrap();
                ledger.watch(&pool);
                by_hand.run();
                let kept = (dropped < 4).then(|| pool.try_reserve_weight(4 - dropped).unwrap());
                let held = pool.try_reserve_weight(dropped).unwrap();
                let mut forgotten = Box::pin(pool.reserve_weight(need));
                assert!(poll_once(&mut forgotten).is_pending());
                std::mem::forget(forgotten);
                let flag = Arc::new(Flag::default());
                let waker = Waker::from(flag.clone());
                let mut cx = Context::from_waker(&waker);
                let mut waits = Box::pin(pool.submit(ledger.job()));
                assert!(waits.as_mut().poll(&mut cx).is_pending());
                drop(held);
                let handle = loop {
                    by_hand.run();
                    assert!(flag.take(), "{dropped} free, {need} forgotten, never woken");
                    if let Poll::Ready(handle) = waits.as_mut().poll(&mut cx) {
                        break handle.unwrap();
                    }
                };
                by_hand.run();
                assert_eq!(handle.wait().unwrap(), 0);
                drop((waits, kept));
                pool.close();
                by_hand.run();
                ledger.close(pool.shutdown_blocking().counts);
            }
        }
    });
}

#[test]
fn a_reservation_that_only_its_own_worker_could_serve_is_refused() {
    watched(|ledger| {
        type Answers = Vec<Result<u64, SubmitError<()>>>;
        let own: Arc<OnceLock<WeakSubmitter<u64, Answers, String>>> = Arc::default();
        let inner = own.clone();
        let pool = Pool::builder(handler_fn(move |_: u64| {
            let pool = inner
                .get()
                .and_then(WeakSubmitter::upgrade)
                .ok_or("no pool")?;
            let first = pool
                .reserve_blocking()
                .map_err(|refused| refused.to_string())?;
            // What it holds itself it waits for just as much in vain.
            let rest = pool
                .reserve_many_blocking(9)
                .map_err(|refused| refused.to_string())?;
            let answers = vec![
                Ok(first.weight() + rest.len() as u64),
                pool.reserve_blocking().map(|permit| permit.weight()),
                pool.reserve_weight_blocking(3)
                    .map(|permit| permit.weight()),
                pool.reserve_many_blocking(2).map(|many| many.len() as u64),
                pool.reserve_owned_blocking().map(|permit| permit.weight()),
                block_on(pool.reserve()).map(|permit| permit.weight()),
                pool.reserve_weight_blocking(4)
                    .map(|permit| permit.weight()),
                pool.try_reserve().map(|permit| permit.weight()),
            ];
            drop(rest);
            first.send(0).map_err(|refused| refused.to_string())?;
            Ok(answers)
        }))
        .workers_per_dispatcher(1)
        .queue_capacity(3)
        .build()
        .unwrap();
        ledger.watch(&pool);
        assert!(own.set(pool.submitter().downgrade()).is_ok());
        let answers = pool.run_blocking(0).unwrap();
        let [all, waits @ .., heavy, full] = &answers[..] else {
            panic!()
        };
        assert_eq!(*all, Ok(3));
        assert!(
            waits
                .iter()
                .all(|answer| *answer == Err(SubmitError::WouldDeadlock(())))
        );
        assert_eq!(*heavy, Err(SubmitError::TooHeavy(())));
        assert_eq!(*full, Err(SubmitError::Full(())));
        // Each job sends the next: it is never over by itself.
        let counts = pool.shutdown_blocking().counts;
        assert_eq!(counts.reserved, 0);
        ledger.close_with_foreign_jobs(counts);
    });
}

#[test]
fn every_snapshot_is_conserved_while_permits_weights_and_plain_jobs_storm() {
    watched(|ledger| {
        const CAPACITY: u64 = 9;
        let pool = Pool::builder(handler_fn(|job: Payload| {
            job.run(|| ());
            Ok::<_, String>(job.id())
        }))
        .dispatchers(2)
        .workers_per_dispatcher(2)
        .queue_capacity(CAPACITY as usize)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let pool = pool.submitter();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let inspector = scope.spawn(|| {
                let mut last = pool.metrics();
                let mut looks = 0_u64;
                while !stop.load(SeqCst) {
                    let now = pool.metrics();
                    assert_conserved(now);
                    assert_grown(last, now);
                    assert!(now.waiting <= CAPACITY, "{now}");
                    assert!(
                        now.occupied + now.reserved <= CAPACITY,
                        "{} wait, {} are held",
                        now.occupied,
                        now.reserved
                    );
                    last = now;
                    looks += 1;
                }
                looks
            });
            let submitters: Vec<_> = (0..4_u64)
                .map(|n| {
                    let (pool, ledger) = (&pool, &ledger);
                    scope.spawn(move || {
                        for turn in 0..3_000 {
                            let job = ledger.job();
                            let refused = match (n + turn) % 9 {
                                0 => pool.try_send(job).err(),
                                1 => pool.send_blocking(job).err(),
                                2 => pool.reserve_blocking().unwrap().send(job).err(),
                                3 => pool.reserve_weight_blocking(4).unwrap().send(job).err(),
                                4 => {
                                    let permit = pool.reserve_weight_blocking(5).unwrap();
                                    let sent = permit.job(job).weight(1 + turn % 5).send();
                                    sent.err().map(|refused| refused.map(Job::into_inner))
                                }
                                5 => {
                                    let mut many = pool.reserve_many_blocking(3).unwrap();
                                    many.next().unwrap().send(job).err()
                                }
                                6 => {
                                    let sent = pool.job(job).weight(turn % 10).send_blocking();
                                    sent.err().map(|refused| refused.map(Job::into_inner))
                                }
                                7 => {
                                    let handle = pool.submit_blocking(job).unwrap();
                                    let _ = handle.cancel();
                                    None
                                }
                                _ => {
                                    drop(pool.try_reserve_weight(2));
                                    let permit = pool.reserve_blocking().unwrap();
                                    let refused = permit.job(job).weight(2).send().unwrap_err();
                                    assert!(matches!(refused, SubmitError::TooHeavy(_)));
                                    None
                                }
                            };
                            assert!(refused.is_none_or(|refused| refused.is_full()));
                        }
                    })
                })
                .collect();
            submitters.into_iter().for_each(|s| s.join().unwrap());
            stop.store(true, SeqCst);
            assert!(inspector.join().unwrap() > 0);
        });
        pool.join_blocking();
        until(|| room(&pool) == (0, 0));
        assert_eq!(fits(&pool), CAPACITY);
        ledger.close(pool.shutdown_blocking().counts);
    });
}

/// No counter runs backwards.
fn assert_grown(last: Metrics, now: Metrics) {
    assert!(now.accepted >= last.accepted, "{last}\n{now}");
    assert!(now.submitted >= last.submitted, "{last}\n{now}");
    assert!(now.refused >= last.refused, "{last}\n{now}");
    assert!(now.completed >= last.completed, "{last}\n{now}");
    assert!(now.cancelled >= last.cancelled, "{last}\n{now}");
}

#[test]
fn a_permit_used_against_a_close_is_in_or_back() {
    watched(|ledger| {
        for round in 0..100 {
            let books = Ledger::new();
            let door = Door::new();
            door.open();
            let pool = behind(&books, &door, 8);
            let barrier = Barrier::new(5);
            let accepted = AtomicU64::new(0);
            std::thread::scope(|scope| {
                for n in 0..4 {
                    let (pool, barrier, books) = (&pool, &barrier, &books);
                    let accepted = &accepted;
                    let permit = pool.try_reserve_weight(2).unwrap();
                    scope.spawn(move || {
                        barrier.wait();
                        if n == 3 {
                            return drop(permit);
                        }
                        match permit.job(books.job()).weight(1 + n % 2).submit() {
                            Ok(handle) => {
                                accepted.fetch_add(1, SeqCst);
                                match handle.wait() {
                                    Ok(_) | Err(JobError::HandedBack) => {}
                                    Err(other) => panic!("{other:?}"),
                                }
                            }
                            Err(refused) => assert!(refused.is_closed()),
                        }
                    });
                }
                barrier.wait();
                if round % 2 == 0 {
                    drop(pool.shutdown_blocking());
                } else {
                    drop(pool.shutdown_now_blocking());
                }
            });
            let counts = pool.metrics();
            assert_eq!(counts.accepted, accepted.load(SeqCst));
            assert_eq!(counts.submitted, 3);
            assert_eq!((counts.occupied, counts.reserved), (0, 0));
            books.close(counts);
        }
        ledger.close_without_counts();
    });
}

#[test]
fn permits_survive_the_death_of_the_executor() {
    watched(|ledger| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        let started = Door::new();
        let starting = started.clone();
        let pool = Pool::builder(async_handler_fn(move |job: Payload| {
            starting.let_one();
            async move {
                job.started();
                std::future::pending::<()>().await;
                Ok::<_, String>(job.id())
            }
        }))
        .spawner({
            let handle = runtime.handle().clone();
            move |task| {
                handle.spawn(task);
            }
        })
        .workers_per_dispatcher(2)
        .queue_capacity(6)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let pool = pool.submitter();
        let running: Vec<_> = (0..2)
            .map(|_| {
                let handle = pool.submit_blocking(ledger.job()).unwrap();
                started.pass();
                handle
            })
            .collect();
        let kept = pool.try_reserve().unwrap();
        let owned = pool.try_reserve_owned().unwrap();
        std::mem::forget(pool.try_reserve().unwrap());
        let used = pool
            .try_reserve_weight(2)
            .unwrap()
            .submit(ledger.job())
            .unwrap();
        let dropped = pool.try_reserve().unwrap();
        let mut light = Box::pin(pool.reserve());
        let mut heavy = Box::pin(pool.reserve_weight(5));
        assert!(poll_once(&mut light).is_pending());
        assert!(poll_once(&mut heavy).is_pending());

        drop(runtime);

        for handle in running.into_iter().chain([used]) {
            assert!(matches!(handle.wait(), Err(JobError::Abandoned)));
        }
        assert!(block_on(light).unwrap_err().is_closed());
        assert!(block_on(heavy).unwrap_err().is_closed());
        let refused = kept.submit(ledger.job()).unwrap_err();
        assert!(refused.is_closed());
        let late = std::thread::spawn({
            let job = ledger.job();
            move || owned.send(job).unwrap_err().is_closed()
        });
        assert!(late.join().unwrap());
        drop((dropped, refused));
        let counts = pool.shutdown_blocking().counts;
        assert_eq!((counts.abandoned, counts.refused), (3, 2));
        assert_eq!((counts.occupied, counts.reserved), (0, 1));
        ledger.close(counts);
    });
}

/// A waker that says whether it was called from inside the strategy.
#[derive(Default)]
struct Witness {
    choosing: AtomicBool,
    called_while_choosing: AtomicBool,
    woken: Flag,
}

impl Wake for Witness {
    fn wake(self: Arc<Self>) {
        let choosing = self.choosing.load(SeqCst);
        self.called_while_choosing.fetch_or(choosing, SeqCst);
        self.woken.raise();
    }
}

#[test]
fn a_strategy_may_use_permits_and_drop_them() {
    watched(|ledger| {
        let own: Arc<OnceLock<WeakSubmitter<Payload, u64, String>>> = Arc::default();
        let witness = Arc::new(Witness::default());
        let (door, chooses) = (Door::new(), Door::new());
        let pool = {
            let (own, witness, books) = (own.clone(), witness.clone(), ledger.clone());
            let (door, chooses) = (door.clone(), chooses.clone());
            Pool::builder(handler_fn(move |job: Payload| {
                job.run(|| door.pass());
                Ok(job.id())
            }))
            .dispatcher(move || {
                let (own, books) = (own.clone(), books.clone());
                let (witness, chooses) = (witness.clone(), chooses.clone());
                move |job: &Job<Payload>, workers: &Workers<'_>| {
                    if job.key() == Some(1) {
                        let pool = own.get().and_then(WeakSubmitter::upgrade).unwrap();
                        let used = pool.try_reserve().unwrap();
                        let dropped = pool.try_reserve_weight(2).unwrap();
                        chooses.pass();
                        assert!(matches!(
                            pool.reserve_blocking(),
                            Err(SubmitError::WouldDeadlock(()))
                        ));
                        witness.choosing.store(true, SeqCst);
                        drop(dropped);
                        used.send(books.job()).unwrap();
                        witness.choosing.store(false, SeqCst);
                    }
                    Target::Worker(workers.iter().next().unwrap().id())
                }
            })
            .workers_per_dispatcher(1)
            .queue_capacity(4)
            .build()
            .unwrap()
        };
        ledger.watch(&pool);
        let pool = pool.submitter();
        assert!(own.set(pool.downgrade()).is_ok());
        let asks = {
            let (pool, job) = (pool.clone(), ledger.job());
            std::thread::spawn(move || pool.job(job).key(1).submit_blocking().unwrap())
        };
        // The strategy holds three units, and its job one.
        chooses.wait_for(1);
        let waker = Waker::from(witness.clone());
        let mut cx = Context::from_waker(&waker);
        let mut waits = Box::pin(pool.reserve_weight(2));
        assert!(waits.as_mut().poll(&mut cx).is_pending());
        chooses.open();
        witness.woken.wait();
        let Poll::Ready(Ok(permit)) = waits.as_mut().poll(&mut cx) else {
            panic!("two are free")
        };
        drop(waits);
        assert!(
            !witness.called_while_choosing.load(SeqCst),
            "a waker was called under the desk's lock"
        );
        let last = permit.submit(ledger.job()).unwrap();
        door.open();
        asks.join().unwrap().wait().unwrap();
        last.wait().unwrap();
        let counts = pool.shutdown_blocking().counts;
        assert_eq!((counts.faults, counts.completed), (0, 3), "{counts}");
        assert_eq!(counts.reserved, 0);
        ledger.close(counts);
    });
}

#[test]
fn a_lighter_job_gives_back_what_it_does_not_need() {
    watched(|ledger| {
        let door = Door::new();
        let pool = busy(&ledger, &door, 5);
        let permit = pool.try_reserve_weight(5).unwrap();
        let flag = Arc::new(Flag::default());
        let waker = Waker::from(flag.clone());
        let mut cx = Context::from_waker(&waker);
        let mut waits = Box::pin(pool.reserve_weight(3));
        assert!(waits.as_mut().poll(&mut cx).is_pending());
        let handle = permit
            .job(ledger.job())
            .weight(2)
            .label("two")
            .submit()
            .unwrap();
        assert_eq!(room(&pool), (2, 0));
        assert!(flag.take(), "told that there is room");
        let Poll::Ready(Ok(three)) = waits.as_mut().poll(&mut cx) else {
            panic!("three are free")
        };
        drop(waits);
        assert_eq!(room(&pool), (2, 3));
        // Without a word about its weight, a job takes up all of it; 0 counts as 1.
        three.send(ledger.job()).unwrap();
        assert_eq!(room(&pool), (5, 0));
        assert_eq!(handle.cancel(), fanpool::Cancellation::Removed);
        assert_eq!(room(&pool), (3, 0));
        let two = pool.try_reserve_weight(2).unwrap();
        two.job(ledger.job()).weight(0).send().unwrap();
        assert_eq!((room(&pool), fits(&pool)), ((4, 0), 1));
        door.open();
        pool.join_blocking();
        until(|| room(&pool) == (0, 0));
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_job_heavier_than_its_permit_comes_back_and_so_does_the_room() {
    watched(|ledger| {
        let door = Door::new();
        let pool = busy(&ledger, &door, 3);
        let permit = pool.try_reserve_weight(3).unwrap();
        let flag = Arc::new(Flag::default());
        let waker = Waker::from(flag.clone());
        let mut cx = Context::from_waker(&waker);
        let mut waits = Box::pin(pool.submit(ledger.job()));
        assert!(waits.as_mut().poll(&mut cx).is_pending());
        let heavy = permit
            .job(ledger.job())
            .weight(4)
            .priority(-2)
            .key(9)
            .label("too much");
        let Err(SubmitError::TooHeavy(job)) = heavy.submit() else {
            panic!("four in the room of three")
        };
        assert_eq!((job.weight(), job.priority()), (4, -2));
        assert_eq!((job.key(), job.label()), (Some(9), Some("too much")));
        flag.wait();
        assert!(waits.as_mut().poll(&mut cx).is_ready());
        drop(waits);
        assert_eq!((room(&pool), pool.metrics().refused), ((1, 0), 1));
        assert!(matches!(
            pool.reserve_weight_blocking(4),
            Err(SubmitError::TooHeavy(()))
        ));
        // Resubmitted with less weight, it keeps the rest.
        let permit = pool.try_reserve_weight(2).unwrap();
        permit.job(job).weight(2).send().unwrap();
        assert_eq!(room(&pool), (3, 0));
        let report = {
            let shutdown = std::thread::spawn({
                let pool = pool.clone();
                move || pool.shutdown_now_blocking()
            });
            until(|| pool.metrics().handed_back == 2);
            door.open();
            shutdown.join().unwrap()
        };
        let last = &report.unrun[1];
        assert_eq!((last.key(), last.weight()), (Some(9), 2));
        let counts = report.counts;
        drop(report);
        ledger.close(counts);
    });
}
