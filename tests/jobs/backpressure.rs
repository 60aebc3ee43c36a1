//! The bound, and everybody who waits for room under it.

use crate::common::{Door, Flag, Ledger, Payload, assert_conserved, poll_once, watched};
use fanpool::clock::ManualClock;
use fanpool::{JobHandler, JobHandlerFactory, Pool, PoolBuilder, SubmitError, handler_fn};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A pool whose jobs wait behind a door.
fn behind(
    door: &Door,
) -> PoolBuilder<
    Payload,
    impl JobHandlerFactory<Payload, Handler: JobHandler<Payload, Output = u64, Error = String>> + use<>,
> {
    let door = door.clone();
    Pool::builder(handler_fn(move |job: Payload| {
        job.run(|| door.pass());
        Ok(job.id())
    }))
}

/// One worker that is busy, and a queue of `capacity` that is full.
fn full(
    ledger: &Ledger,
    door: &Door,
    capacity: usize,
) -> Pool<
    Payload,
    impl JobHandlerFactory<Payload, Handler: JobHandler<Payload, Output = u64, Error = String>> + use<>,
> {
    let pool = behind(door)
        .workers_per_dispatcher(1)
        .queue_capacity(capacity)
        .build()
        .unwrap();
    ledger.watch(&pool);
    pool.send_blocking(ledger.job()).unwrap();
    door.wait_for(1);
    for _ in 0..capacity {
        pool.try_send(ledger.job()).unwrap();
    }
    pool
}

#[test]
fn a_full_queue_refuses_and_gives_the_job_back() {
    watched(|ledger| {
        let door = Door::new();
        let pool = full(&ledger, &door, 3);
        let refused = ledger.job();
        let id = refused.id();
        match pool.try_send(refused) {
            Err(SubmitError::Full(job)) => assert_eq!(job.id(), id),
            other => panic!("{other:?}"),
        }
        match pool.try_submit(ledger.job()) {
            Err(refused) => assert!(refused.is_full() && refused.into_job().id() == id + 1),
            Ok(handle) => panic!("{handle:?}"),
        }
        let counts = pool.metrics();
        assert_eq!((counts.waiting, counts.running, counts.refused), (3, 1, 2));
        door.open();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_storm_of_submitters_is_let_in_to_exactly_the_capacity() {
    watched(|ledger| {
        const CAPACITY: usize = 7;
        const WORKERS: usize = 3;
        let door = Door::new();
        let pool = behind(&door)
            .workers_per_dispatcher(WORKERS)
            .queue_capacity(CAPACITY)
            .build()
            .unwrap();
        ledger.watch(&pool);
        for _ in 0..WORKERS {
            pool.send_blocking(ledger.job()).unwrap();
        }
        door.wait_for(WORKERS);
        // Every worker is held, so what is accepted waits: no more and no less than there is room for.
        let storm = |room: u64| {
            let barrier = Arc::new(Barrier::new(8));
            let submitters: Vec<_> = (0..8)
                .map(|_| {
                    let (pool, ledger, barrier) = (pool.clone(), ledger.clone(), barrier.clone());
                    std::thread::spawn(move || {
                        barrier.wait();
                        (0..20)
                            .filter(|_| pool.try_send(ledger.job()).is_ok())
                            .count() as u64
                    })
                })
                .collect();
            let accepted: u64 = submitters.into_iter().map(|s| s.join().unwrap()).sum();
            assert_eq!(accepted, room);
            assert_eq!(pool.metrics().waiting, CAPACITY as u64);
        };
        storm(CAPACITY as u64);
        for _ in 0..20 {
            // One job more is started, so one is let in.
            door.see_one_through();
            door.wait_for(WORKERS);
            storm(1);
        }
        door.open();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn the_bound_holds_in_a_storm_of_submitters() {
    watched(|ledger| {
        const CAPACITY: u64 = 7;
        let waiting = Arc::new(AtomicUsize::new(0));
        let gauge = waiting.clone();
        let pool = Pool::builder(handler_fn(move |job: Payload| {
            gauge.fetch_sub(1, SeqCst);
            job.run(|| ());
            Ok::<_, String>(())
        }))
        .dispatchers(2)
        .workers_per_dispatcher(2)
        .queue_capacity(CAPACITY as usize)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let stop = Arc::new(AtomicBool::new(false));
        let inspector = {
            let (pool, stop) = (pool.clone(), stop.clone());
            std::thread::spawn(move || {
                let mut last = pool.metrics();
                while !stop.load(SeqCst) {
                    let now = pool.metrics();
                    assert_conserved(now);
                    assert!(now.waiting <= CAPACITY, "{now}");
                    assert!(now.running <= 4, "{now}");
                    assert!(now.accepted >= last.accepted && now.completed >= last.completed);
                    assert!(now.submitted >= last.submitted && now.refused >= last.refused);
                    last = now;
                }
            })
        };
        let submitters: Vec<_> = (0..4)
            .map(|n| {
                let (pool, ledger, waiting) = (pool.clone(), ledger.clone(), waiting.clone());
                std::thread::spawn(move || {
                    for turn in 0..5_000 {
                        waiting.fetch_add(1, SeqCst);
                        let sent = if (n + turn) % 3 == 0 {
                            pool.try_send(ledger.job())
                        } else {
                            pool.send_blocking(ledger.job())
                        };
                        match sent {
                            Ok(()) => {}
                            Err(SubmitError::Full(_)) => {
                                waiting.fetch_sub(1, SeqCst);
                            }
                            Err(other) => panic!("{other:?}"),
                        }
                        // Each submitter may count one job that is not in yet, each worker one that
                        // is out already.
                        assert!(waiting.load(SeqCst) <= CAPACITY as usize + 4 + 4);
                    }
                })
            })
            .collect();
        submitters.into_iter().for_each(|s| s.join().unwrap());
        stop.store(true, SeqCst);
        inspector.join().unwrap();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_waiting_submission_goes_on_when_room_frees() {
    watched(|ledger| {
        let door = Door::new();
        let pool = full(&ledger, &door, 1);
        let (submitted, seen) = mpsc::channel();
        let blocked = {
            let (pool, job) = (pool.clone(), ledger.job());
            std::thread::spawn(move || {
                let handle = pool.submit_blocking(job).unwrap();
                submitted.send(()).unwrap();
                handle.wait().unwrap()
            })
        };
        let mut pending = Box::pin(pool.submit(ledger.job()));
        assert!(poll_once(&mut pending).is_pending());
        assert!(seen.try_recv().is_err(), "accepted beyond the bound");
        door.let_one();
        door.let_one();
        seen.recv().unwrap();
        door.open();
        assert_eq!(blocked.join().unwrap(), 2);
        let handle = futures_lite::future::block_on(pending).unwrap();
        assert_eq!(handle.wait().unwrap(), 3);
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn abandoned_submissions_leak_no_room() {
    watched(|ledger| {
        const CAPACITY: usize = 4;
        let door = Door::new();
        let pool = full(&ledger, &door, CAPACITY);
        for _ in 0..100_000 {
            let mut pending = Box::pin(pool.submit(ledger.job()));
            assert!(poll_once(&mut pending).is_pending());
        }
        assert_eq!(pool.metrics().accepted, 1 + CAPACITY as u64);
        door.open();
        pool.join_blocking();
        // Exactly the capacity fits again.
        let closed = Door::new();
        let again = full(&Ledger::new(), &closed, CAPACITY);
        closed.open();
        drop(again.shutdown_blocking());
        assert_eq!(pool.metrics().waiting, 0);
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_notified_submission_that_is_dropped_passes_its_room_on() {
    watched(|ledger| {
        let door = Door::new();
        let pool = full(&ledger, &door, 1);
        let mut first = Box::pin(pool.submit(ledger.job()));
        let mut second = Box::pin(pool.submit(ledger.job()));
        let woken = Arc::new(Flag::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(poll_once(&mut first).is_pending());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        door.see_one_through();
        door.wait_for(1); // the queued job runs: its room is free, and the first was notified
        drop(first);
        woken.wait();
        let Poll::Ready(Ok(handle)) = second.as_mut().poll(&mut cx) else {
            panic!("room is free, and nobody else waits")
        };
        drop(second);
        door.open();
        handle.wait().unwrap();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_forgotten_submission_starves_nobody() {
    watched(|ledger| {
        let door = Door::new();
        let pool = full(&ledger, &door, 1);
        // Its job is leaked with it, so it is none of the ledger's.
        let foreign = Ledger::new();
        let mut forgotten = Box::pin(pool.submit(foreign.job()));
        assert!(poll_once(&mut forgotten).is_pending());
        std::mem::forget(forgotten);
        let blocked: Vec<_> = (0..3)
            .map(|_| {
                let (pool, job) = (pool.clone(), ledger.job());
                std::thread::spawn(move || pool.submit_blocking(job).unwrap().wait().unwrap())
            })
            .collect();
        door.open();
        assert_eq!(
            blocked
                .into_iter()
                .map(|b| b.join())
                .filter(Result::is_ok)
                .count(),
            3
        );
        // The pool's handle that the future holds is a borrow, so the pool still ends.
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_timed_submission_gives_up_in_time_with_its_job() {
    watched(|ledger| {
        let door = Door::new();
        let clock = ManualClock::new();
        let pool = behind(&door)
            .workers_per_dispatcher(1)
            .queue_capacity(1)
            .clock(clock.clone())
            .build()
            .unwrap();
        ledger.watch(&pool);
        pool.send_blocking(ledger.job()).unwrap();
        door.wait_for(1);
        pool.try_send(ledger.job()).unwrap();

        let minute = Duration::from_secs(60);
        let woken = Arc::new(Flag::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let late = ledger.job();
        let id = late.id();
        let mut pending = Box::pin(pool.submit_timeout(late, minute));
        assert!(pending.as_mut().poll(&mut cx).is_pending());
        clock.advance(minute - Duration::from_nanos(1));
        assert!(pending.as_mut().poll(&mut cx).is_pending());
        clock.advance(Duration::from_nanos(1));
        woken.wait();
        match pending.as_mut().poll(&mut cx) {
            Poll::Ready(Err(SubmitError::TimedOut(job))) => assert_eq!(job.id(), id),
            other => panic!("{other:?}"),
        }
        drop(pending);

        // Room in time is used; with no room the blocking twin gives up just so.
        let (started, starting) = mpsc::channel();
        let blocked = {
            let (pool, job) = (pool.clone(), ledger.job());
            std::thread::spawn(move || {
                started.send(()).unwrap();
                pool.submit_timeout_blocking(job, minute)
            })
        };
        starting.recv().unwrap();
        while !blocked.is_finished() {
            clock.advance(minute);
            std::thread::yield_now();
        }
        assert!(matches!(
            blocked.join().unwrap(),
            Err(SubmitError::TimedOut(_))
        ));
        door.open();
        pool.join_blocking();
        let handle = pool.submit_timeout_blocking(ledger.job(), minute).unwrap();
        handle.wait().unwrap();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_close_refuses_everybody_who_waits() {
    watched(|ledger| {
        let door = Door::new();
        let pool = full(&ledger, &door, 1);
        let mut pending = Box::pin(pool.send(ledger.job()));
        assert!(poll_once(&mut pending).is_pending());
        let blocked: Vec<_> = (0..4)
            .map(|_| {
                let (pool, job) = (pool.clone(), ledger.job());
                std::thread::spawn(move || pool.submit_blocking(job).map(drop))
            })
            .collect();
        pool.close();
        for blocked in blocked {
            assert!(matches!(
                blocked.join().unwrap(),
                Err(SubmitError::Closed(_))
            ));
        }
        assert!(matches!(
            futures_lite::future::block_on(pending),
            Err(SubmitError::Closed(_))
        ));
        assert!(pool.is_closed());
        assert!(
            pool.try_send(ledger.job())
                .is_err_and(|refused| refused.is_closed())
        );
        door.open();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_thousand_submitters_share_one_slot() {
    watched(|ledger| {
        let pool = Pool::builder(handler_fn(|job: Payload| {
            job.run(|| ());
            Ok::<_, String>(())
        }))
        .workers_per_dispatcher(1)
        .queue_capacity(1)
        .build()
        .unwrap();
        ledger.watch(&pool);
        futures_lite::future::block_on(async {
            let executor = smol::LocalExecutor::new();
            let tasks: Vec<_> = (0..1000)
                .map(|_| {
                    let (pool, job) = (pool.clone(), ledger.job());
                    executor.spawn(async move { pool.run(job).await.unwrap() })
                })
                .collect();
            executor
                .run(async {
                    for task in tasks {
                        task.await;
                    }
                })
                .await;
        });
        ledger.close(pool.shutdown_blocking().counts);
    });
}
