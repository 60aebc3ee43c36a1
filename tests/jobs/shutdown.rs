//! Every way to end a pool, against everything that may be going on.

use crate::common::{Door, Payload, poll_once, watched};
use fanpool::clock::ManualClock;
use fanpool::{JobContext, JobError, Pool, SubmitError, handler_fn, handler_fn_with};
use std::collections::BTreeSet;
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

#[test]
fn a_shutdown_runs_what_was_accepted() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let pool = Pool::builder(handler_fn(move |job: Payload| {
            job.run(|| behind.pass());
            Ok::<_, String>(job.id())
        }))
        .workers_per_dispatcher(2)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let handles: Vec<_> = (0..50)
            .map(|_| pool.submit_blocking(ledger.job()).unwrap())
            .collect();
        door.wait_for(2);
        let mut ending = Box::pin(pool.shutdown());
        assert!(poll_once(&mut ending).is_pending());
        assert!(pool.is_closed());
        door.open();
        let report = futures_lite::future::block_on(ending);
        assert!(report.unrun.is_empty() && report.still_running.is_empty());
        assert_eq!(report.counts.completed, 50);
        assert_eq!(report.counts.workers, 0);
        assert_eq!(pool.size(), 0);
        for (n, handle) in (0..).zip(handles) {
            assert!(handle.is_finished());
            assert_eq!(handle.wait().unwrap(), n);
        }
        // A second one finds nothing to do.
        assert_eq!(pool.shutdown_now_blocking().counts, report.counts);
        ledger.close(report.counts);
    });
}

#[test]
fn shutdown_now_hands_back_by_value_and_asks_the_running_to_stop() {
    watched(|ledger| {
        let (started, running) = mpsc::channel();
        let pool = Pool::builder(handler_fn_with(move |job: Payload, cx: &JobContext| {
            job.run(|| {
                started.send(()).unwrap();
                futures_lite::future::block_on(cx.cancelled());
            });
            Ok::<_, String>(job.id())
        }))
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let mut handles: Vec<_> = (0..5)
            .map(|_| pool.submit_blocking(ledger.job()).unwrap())
            .collect();
        pool.send_blocking(ledger.job()).unwrap();
        running.recv().unwrap();
        let report = pool.shutdown_now_blocking();
        let unrun: Vec<u64> = report.unrun.iter().map(|job| job.data().id()).collect();
        assert_eq!(unrun, [1, 2, 3, 4, 5], "in queue order");
        assert_eq!((report.counts.completed, report.counts.handed_back), (1, 5));
        assert_eq!(handles.remove(0).wait().unwrap(), 0);
        for handle in handles {
            assert!(matches!(handle.wait(), Err(JobError::HandedBack)));
        }
        let counts = report.counts;
        drop(report);
        ledger.close(counts);
    });
}

#[test]
fn a_timed_shutdown_hands_back_what_it_did_not_come_to() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let clock = ManualClock::new();
        let pool = Pool::builder(handler_fn(move |job: Payload| {
            job.run(|| behind.pass());
            Ok::<_, String>(())
        }))
        .workers_per_dispatcher(2)
        .clock(clock.clone())
        .build()
        .unwrap();
        ledger.watch(&pool);
        for _ in 0..10 {
            pool.send_blocking(ledger.job()).unwrap();
        }
        door.wait_for(2);
        door.see_one_through();
        door.wait_for(2);
        let (ended, end) = mpsc::channel();
        let ending = {
            let pool = pool.clone();
            std::thread::spawn(move || {
                let report = pool.shutdown_timeout_blocking(Duration::from_secs(3));
                ended.send(()).unwrap();
                report
            })
        };
        while end.try_recv().is_err() {
            clock.advance(Duration::from_secs(1));
            std::thread::yield_now();
        }
        let report = ending.join().unwrap();
        assert_eq!(report.still_running.len(), 2);
        let workers: BTreeSet<_> = report.still_running.iter().map(|job| job.worker).collect();
        assert_eq!(workers.len(), 2);
        assert_eq!(report.unrun.len(), 7);
        drop(report);
        door.open();
        // The rest can be waited for.
        let report = pool.shutdown_blocking();
        assert!(report.unrun.is_empty() && report.still_running.is_empty());
        assert_eq!((report.counts.completed, report.counts.handed_back), (3, 7));
        ledger.close(report.counts);
    });
}

#[test]
fn a_timed_shutdown_that_is_in_time_is_a_shutdown() {
    watched(|ledger| {
        let pool = Pool::builder(handler_fn(|job: Payload| {
            job.run(|| ());
            Ok::<_, String>(())
        }))
        .clock(ManualClock::new())
        .build()
        .unwrap();
        for _ in 0..100 {
            pool.send_blocking(ledger.job()).unwrap();
        }
        let report = pool.shutdown_timeout_blocking(Duration::from_secs(1));
        assert_eq!(report.counts.completed, 100);
        assert_eq!(report.counts.workers, 0);
        ledger.close(report.counts);
    });
}

#[test]
fn a_dropped_shutdown_loses_no_job() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let pool = Pool::builder(handler_fn(move |job: Payload| {
            job.run(|| behind.pass());
            Ok::<_, String>(())
        }))
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
        ledger.watch(&pool);
        for _ in 0..4 {
            pool.send_blocking(ledger.job()).unwrap();
        }
        door.wait_for(1);
        let mut ending = Box::pin(pool.shutdown_now());
        assert!(poll_once(&mut ending).is_pending());
        drop(ending);
        door.open();
        let report = pool.shutdown_blocking();
        assert_eq!(report.unrun.len(), 3);
        let counts = report.counts;
        drop(report);
        ledger.close(counts);
    });
}

#[test]
fn concurrent_shutdowns_all_return_and_share_the_jobs_out() {
    for _ in 0..50 {
        watched(|ledger| {
            let door = Door::new();
            let behind = door.clone();
            let pool = Pool::builder(handler_fn(move |job: Payload| {
                job.run(|| behind.pass());
                Ok::<_, String>(())
            }))
            .dispatchers(2)
            .workers_per_dispatcher(1)
            .build()
            .unwrap();
            ledger.watch(&pool);
            for _ in 0..20 {
                pool.send_blocking(ledger.job()).unwrap();
            }
            door.wait_for(2);
            let barrier = Arc::new(Barrier::new(4));
            let enders: Vec<_> = (0..4)
                .map(|n| {
                    let (pool, barrier, door) = (pool.clone(), barrier.clone(), door.clone());
                    std::thread::spawn(move || {
                        barrier.wait();
                        if n == 3 {
                            door.open();
                        }
                        match n {
                            0 | 1 => pool.shutdown_now_blocking(),
                            2 => pool.shutdown_blocking(),
                            _ => pool.shutdown_timeout_blocking(Duration::from_secs(20)),
                        }
                    })
                })
                .collect();
            let mut back = BTreeSet::new();
            for ender in enders {
                for job in ender.join().unwrap().unrun {
                    assert!(back.insert(job.data().id()), "handed back twice");
                }
            }
            let counts = pool.metrics();
            assert_eq!(back.len() as u64, counts.handed_back);
            ledger.close(counts);
        });
    }
}

#[test]
fn ok_means_an_outcome_and_err_means_the_job() {
    for round in 0..40 {
        watched(move |ledger| {
            let pool = Pool::builder(handler_fn(|job: Payload| {
                job.run(|| ());
                Ok::<_, String>(job.id())
            }))
            .dispatchers(1 + round % 2)
            .workers_per_dispatcher(2)
            .queue_capacity(4)
            .build()
            .unwrap();
            ledger.watch(&pool);
            let barrier = Arc::new(Barrier::new(5));
            let submitters: Vec<_> = (0..4)
                .map(|n| {
                    let (pool, barrier, ledger) = (pool.clone(), barrier.clone(), ledger.clone());
                    std::thread::spawn(move || {
                        barrier.wait();
                        loop {
                            let job = ledger.job();
                            let id = job.id();
                            let submitted = match n {
                                0 => pool.submit_blocking(job),
                                1 => futures_lite::future::block_on(pool.submit(job)),
                                2 => pool.submit_timeout_blocking(job, Duration::from_secs(20)),
                                _ => pool.try_submit(job),
                            };
                            match submitted {
                                Ok(handle) => match handle.wait() {
                                    Ok(ran) => ledger.outcome(id, ran),
                                    Err(JobError::HandedBack) => ledger.outcome(id, "back"),
                                    Err(other) => panic!("{other:?}"),
                                },
                                Err(SubmitError::Full(job)) => assert_eq!(job.id(), id),
                                Err(SubmitError::Closed(job)) => {
                                    assert_eq!(job.id(), id);
                                    return;
                                }
                                Err(other) => panic!("{other:?}"),
                            }
                        }
                    })
                })
                .collect();
            barrier.wait();
            std::thread::yield_now();
            let report = match round % 3 {
                0 => pool.shutdown_blocking(),
                1 => pool.shutdown_now_blocking(),
                _ => pool.shutdown_timeout_blocking(Duration::ZERO),
            };
            drop(report);
            submitters.into_iter().for_each(|s| s.join().unwrap());
            ledger.close(pool.shutdown_blocking().counts);
        });
    }
}

#[test]
fn dropping_the_last_handle_finishes_the_jobs_in_the_background() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let (ran, order) = mpsc::channel();
        let pool = Pool::builder(handler_fn(move |job: Payload| {
            job.run(|| behind.pass());
            ran.send(job.id()).unwrap();
            Ok::<_, String>(())
        }))
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
        let submitter = pool.submitter();
        let weak = pool.downgrade();
        let handle = pool.submit_blocking(ledger.job()).unwrap();
        for _ in 0..9 {
            pool.send_blocking(ledger.job()).unwrap();
        }
        drop(pool);
        assert!(!submitter.is_closed(), "a submitter is a handle, too");
        assert!(weak.upgrade().is_some());
        drop(submitter);
        assert!(weak.upgrade().is_none());
        door.open();
        handle.wait().unwrap();
        assert_eq!(
            order.iter().collect::<Vec<_>>(),
            (0..10).collect::<Vec<_>>()
        );
    });
}

#[test]
fn a_guard_drains_at_the_end_of_its_scope_even_in_a_panic() {
    watched(|ledger| {
        let pool = Pool::builder(handler_fn(|job: Payload| {
            job.run(|| ());
            Ok::<_, String>(())
        }))
        .build()
        .unwrap();
        let scope = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _guard = pool.drain_on_drop();
            for _ in 0..100 {
                pool.send_blocking(ledger.job()).unwrap();
            }
            panic!("the end of the scope");
        }));
        assert!(scope.is_err());
        assert_eq!(pool.metrics().completed, 100);
        ledger.close(pool.metrics());
    });
}

#[test]
fn a_join_waits_for_what_came_before_and_leaves_the_pool_open() {
    watched(|ledger| {
        let early = Door::new();
        let late = Door::new();
        let doors = [early.clone(), late.clone()];
        let pool = Pool::builder(handler_fn(move |(job, door): (Payload, usize)| {
            job.run(|| doors[door].pass());
            Ok::<_, String>(())
        }))
        .workers_per_dispatcher(2)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let slow = pool.submit_blocking((ledger.job(), 0)).unwrap();
        early.wait_for(1);
        let mut joining = Box::pin(pool.join());
        assert!(poll_once(&mut joining).is_pending());
        // Later jobs run to their end, and others stay: neither matters.
        late.let_one();
        pool.run_blocking((ledger.job(), 1)).unwrap();
        assert!(poll_once(&mut joining).is_pending());
        let later = pool.submit_blocking((ledger.job(), 1)).unwrap();
        late.wait_for(1);
        early.open();
        futures_lite::future::block_on(joining);
        assert!(slow.is_finished() && !later.is_finished());
        // Cancelled jobs count as over.
        let waiting: Vec<_> = (0..3)
            .map(|_| pool.submit_blocking((ledger.job(), 1)).unwrap())
            .collect();
        late.open();
        for handle in &waiting {
            let _ = handle.cancel();
        }
        pool.join_blocking();
        assert!(waiting.iter().all(fanpool::JobHandle::is_finished));
        drop((slow, later, waiting));
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn joins_under_a_stream_of_jobs_return() {
    watched(|ledger| {
        let pool = Pool::builder(handler_fn(|job: Payload| {
            job.run(|| ());
            Ok::<_, String>(())
        }))
        .dispatchers(2)
        .workers_per_dispatcher(1)
        .queue_capacity(8)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stream = {
            let (pool, ledger, stop) = (pool.clone(), ledger.clone(), stop.clone());
            std::thread::spawn(move || {
                while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                    pool.send_blocking(ledger.job()).unwrap();
                }
            })
        };
        for _ in 0..200 {
            let handle = pool.submit_blocking(ledger.job()).unwrap();
            pool.join_blocking();
            assert!(handle.is_finished());
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        stream.join().unwrap();
        ledger.close(pool.shutdown_blocking().counts);
    });
}
