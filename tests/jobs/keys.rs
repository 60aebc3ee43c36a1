//! Jobs that belong to a key: how many of one may wait, and where they go.

use crate::common::{Door, Ledger, Payload, ended, lock, poll_once, until, watched};
use fanpool::queue_order::FairShare;
use fanpool::{
    Any, BuildError, Cancellation, Job, KeyAffinity, Pool, SubmitError, Submitter, WeakSubmitter,
    handler_fn,
};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Barrier, Mutex};
use std::task::Poll;
use std::time::Duration;

type Own = Submitter<Payload, (), String>;

/// One worker at the door, so that what is accepted waits; two jobs of a key may.
fn busy(ledger: &Ledger, door: &Door) -> Own {
    let behind = door.clone();
    let pool = Pool::builder(handler_fn(move |job: Payload| {
        job.run(|| behind.pass());
        Ok(())
    }))
    .workers_per_dispatcher(1)
    .queue_capacity(16)
    .queue_order(|| FairShare::new().key_bound(2))
    .build()
    .unwrap();
    ledger.watch(&pool);
    pool.send_blocking(ledger.job()).unwrap();
    door.wait_for(1);
    pool.submitter()
}

#[test]
fn a_full_key_is_refused_by_name_at_once_by_every_call_and_others_are_not() {
    watched(|ledger| {
        let door = Door::new();
        let pool = busy(&ledger, &door);
        (0..2).for_each(|_| pool.job(ledger.job()).key(42).send_blocking().unwrap());
        let full = |refused: SubmitError<fanpool::Job<Payload>>| {
            assert!(refused.is_full());
            assert_eq!(refused.to_string(), "the pool's queue is full for key 42");
            assert!(matches!(refused, SubmitError::KeyFull { key: 42, .. }));
            assert_eq!(refused.into_job().key(), Some(42), "options are kept");
        };
        let job = || pool.job(ledger.job()).key(42);
        full(job().try_send().unwrap_err());
        full(job().try_submit().map(drop).unwrap_err());
        full(job().send_blocking().unwrap_err());
        full(job().submit_blocking().map(drop).unwrap_err());
        full(
            job()
                .submit_timeout_blocking(Duration::MAX)
                .map(drop)
                .unwrap_err(),
        );
        let Poll::Ready(Err(refused)) = poll_once(&mut pin!(job().send())) else {
            panic!("told at once");
        };
        full(refused);
        pool.job(ledger.job()).key(7).try_send().unwrap();
        pool.try_send(ledger.job()).unwrap();
        assert_eq!(pool.metrics().refused, 6);
        door.open();
        ledger.close(ended(&pool));
    });
}

#[test]
fn whoever_leaves_the_queue_leaves_its_place_to_another_of_the_key() {
    watched(|ledger| {
        let door = Door::new();
        let pool = busy(&ledger, &door);
        let job = || pool.job(ledger.job()).key(42);
        let first = job().submit_blocking().unwrap();
        job().send_blocking().unwrap();
        assert!(job().try_send().is_err());
        // Cancelled.
        assert_eq!(first.cancel(), Cancellation::Removed);
        job().try_send().unwrap();
        assert!(job().try_send().is_err());
        // Started.
        door.see_one_through();
        door.wait_for(1);
        job().try_send().unwrap();
        assert!(job().try_send().is_err());
        // Handed back.
        pool.close();
        let stops = pool.clone();
        let stopping = std::thread::spawn(move || stops.shutdown_now_blocking());
        until(|| pool.metrics().waiting == 0);
        door.open();
        let report = stopping.join().unwrap();
        assert!(report.unrun.iter().any(|job| job.key() == Some(42)));
        let counts = report.counts;
        drop(report);
        ledger.close(counts);
    });
}

#[test]
fn a_submission_that_is_given_up_while_it_waits_gives_its_place_back() {
    watched(|ledger| {
        let door = Door::new();
        let pool = busy(&ledger, &door);
        let job = || pool.job(ledger.job()).key(42);
        job().send_blocking().unwrap();
        (0..15).for_each(|_| pool.send_blocking(ledger.job()).unwrap());
        let mut waits = Box::pin(job().send());
        assert!(poll_once(&mut waits).is_pending(), "the queue is full");
        assert!(matches!(job().try_send(), Err(SubmitError::KeyFull { .. })));
        drop(waits);
        assert!(matches!(job().try_send(), Err(SubmitError::Full(_))));
        door.open();
        ledger.close(ended(&pool));
    });
}

#[test]
fn a_key_bound_of_zero_is_a_build_error_that_says_what_is_allowed() {
    let built = Pool::builder(handler_fn(|_: u64| Ok::<_, String>(())))
        .queue_order(|| FairShare::new().key_bound(0))
        .build();
    let error = built.map(drop).unwrap_err();
    assert!(matches!(error, BuildError::Setting { .. }));
    let text = error.to_string();
    assert!(
        text.contains("key_bound") && text.contains("0") && text.contains("1 or more"),
        "{text}"
    );
}

#[test]
fn with_several_dispatchers_all_jobs_of_a_key_go_to_one() {
    watched(|ledger| {
        let seen: Arc<Mutex<BTreeMap<u64, Vec<usize>>>> = Arc::default();
        let sees = seen.clone();
        let pool = Pool::builder(fanpool::handler_fn_with(
            move |(key, job): (u64, Payload), cx: &fanpool::JobContext| {
                job.run(|| {
                    lock(&sees)
                        .entry(key)
                        .or_default()
                        .push(cx.worker().dispatcher())
                });
                Ok::<_, String>(())
            },
        ))
        .dispatchers(3)
        .workers_per_dispatcher(2)
        .queue_capacity(64)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let together = Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    together.wait();
                    for round in 0..200 {
                        let key = round % 20;
                        pool.job((key, ledger.job()))
                            .key(key)
                            .send_blocking()
                            .unwrap();
                        pool.send_blocking((99, ledger.job())).unwrap();
                    }
                });
            }
        });
        pool.join_blocking();
        let mut seen = lock(&seen);
        let unkeyed = seen.remove(&99).unwrap();
        assert_eq!(unkeyed.len(), 800);
        let mut used = [false; 3];
        for (key, dispatchers) in seen.iter() {
            assert_eq!(dispatchers.len(), 40);
            assert!(
                dispatchers.iter().all(|one| one == &dispatchers[0]),
                "key {key}: {dispatchers:?}"
            );
            used[dispatchers[0]] = true;
        }
        assert_eq!(used, [true; 3], "twenty keys are spread over three");
        drop(seen);
        ledger.close(ended(&pool));
    });
}

#[test]
fn a_closures_keys_keep_their_order_with_several_dispatchers_also_after_a_swap() {
    const KEYS: u64 = 8;
    for swapped in [false, true] {
        watched(move |ledger| {
            let runs: Arc<[Mutex<Vec<u64>>; KEYS as usize]> = Arc::default();
            let sees = runs.clone();
            let pool = Pool::builder(handler_fn(move |(number, job): (u64, Payload)| {
                job.run(|| {
                    let mut run = sees[(number % KEYS) as usize]
                        .try_lock()
                        .expect("never two of a key at once");
                    run.push(number);
                });
                Ok::<_, String>(())
            }))
            .dispatchers(3)
            .workers_per_dispatcher(2)
            .queue_capacity(32)
            .dispatcher(Any::new);
            let by_closure = || KeyAffinity::by(|job: &Job<(u64, Payload)>| job.data().0 % KEYS);
            let pool = if swapped {
                let pool = pool.build().unwrap();
                pool.set_dispatcher(by_closure);
                pool
            } else {
                pool.dispatcher(by_closure).build().unwrap()
            };
            ledger.watch(&pool);
            let together = Barrier::new(4);
            std::thread::scope(|scope| {
                for producer in 0..4 {
                    let (pool, ledger, together) = (&pool, &ledger, &together);
                    scope.spawn(move || {
                        together.wait();
                        // Two keys each, so what one sends is in order.
                        for number in (0..4000).filter(|number| number % 4 == producer) {
                            let job = (number, ledger.job());
                            match number % 3 {
                                0 => drop(pool.submit_blocking(job).unwrap()),
                                1 => pool.send_blocking(job).unwrap(),
                                _ => pool.job(job).priority(1).send_blocking().unwrap(),
                            }
                        }
                    });
                }
            });
            pool.join_blocking();
            for (key, run) in (0..).zip(&*runs) {
                let run = lock(run);
                assert!(run.iter().copied().eq((key..4000).step_by(KEYS as usize)));
            }
            ledger.close(ended(&pool));
        });
    }
}

#[test]
fn a_closure_that_breaks_or_turns_on_its_pool_where_jobs_come_in_hurts_no_job() {
    type Weak = WeakSubmitter<u64, u64, String>;
    watched(|ledger| {
        let own: Arc<std::sync::OnceLock<Weak>> = Arc::default();
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let (asks, sees) = (own.clone(), told.clone());
        let key_of = move |job: &Job<u64>| {
            let number = *job.data();
            let pool = asks.get().and_then(|pool| pool.upgrade());
            match (number, pool) {
                (3, _) => std::panic::resume_unwind(Box::new("as planned")),
                (5, Some(pool)) => {
                    let answer = pool.run_blocking(100);
                    lock(&sees).push(format!("{answer:?}"));
                }
                (7, Some(pool)) => drop(pool.shutdown_now_blocking()),
                _ => {}
            }
            number % 4
        };
        let pool = Pool::builder(handler_fn(|number: u64| Ok::<_, String>(number)))
            .dispatchers(2)
            .workers_per_dispatcher(1)
            .dispatcher({
                let key_of = Arc::new(key_of);
                move || {
                    let key_of = key_of.clone();
                    KeyAffinity::by(move |job: &Job<u64>| key_of(job))
                }
            })
            .build()
            .unwrap();
        ledger.watch(&pool);
        assert!(own.set(pool.submitter().downgrade()).is_ok());
        let handles: Vec<_> = (0..8)
            .map(|number| pool.submit_blocking(number).unwrap())
            .collect();
        for (number, handle) in (0..).zip(handles) {
            let result = handle.wait();
            assert!(
                number == 7 || matches!(result, Ok(same) if same == number),
                "{number}: {result:?}"
            );
        }
        assert_eq!(lock(&told)[0], "Err(Job(WouldDeadlock))");
        assert!(
            pool.metrics().faults >= 2,
            "where it came in, and where it went"
        );
        assert!(pool.submit_blocking(9).is_err(), "the closure closed it");
        ledger.close_with_foreign_jobs(ended(&pool));
    });
}

#[test]
fn a_job_that_waits_for_a_key_of_its_own_desk_is_helped_by_another_desk() {
    watched(|ledger| {
        let own: Arc<std::sync::OnceLock<Submitter<(bool, Payload), (), String>>> = Arc::default();
        let (sees, books) = (own.clone(), ledger.clone());
        let pool = Pool::builder(handler_fn(move |(waits, job): (bool, Payload)| {
            job.run(|| {
                let pool = sees.get().expect("set before the first job");
                if waits {
                    let inner = pool.job((false, books.job())).key(1);
                    inner.run_blocking().map_err(|error| error.to_string())?;
                }
                Ok(())
            })
        }))
        .dispatchers(2)
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
        ledger.watch(&pool);
        assert!(own.set(pool.submitter()).is_ok());
        pool.ready_blocking().unwrap();
        for _ in 0..50 {
            // On the only worker of the desk that the key belongs to.
            pool.job((true, ledger.job()))
                .key(1)
                .run_blocking()
                .unwrap();
        }
        ledger.close(ended(&pool));
    });
}

/// Its drop waits until the test lets it go.
struct SlowToGo(Door);

impl Drop for SlowToGo {
    fn drop(&mut self) {
        self.0.pass();
    }
}

#[test]
fn a_keys_jobs_wait_for_their_desk_while_its_only_worker_gets_a_new_handler() {
    watched(|ledger| {
        let door = Door::new();
        let (behind, seen) = (door.clone(), Arc::<Mutex<Vec<usize>>>::default());
        let sees = seen.clone();
        let pool = Pool::builder(fanpool::handler_factory(move |_| {
            let (going, sees) = (SlowToGo(behind.clone()), sees.clone());
            Ok::<_, String>(fanpool::handler_fn_with(
                move |(breaks, job): (bool, Payload), cx: &fanpool::JobContext| {
                    let _ = &going;
                    job.run(|| lock(&sees).push(cx.worker().dispatcher()));
                    assert!(!breaks, "as planned");
                    Ok::<_, String>(())
                },
            ))
        }))
        .dispatchers(2)
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
        ledger.watch(&pool);
        pool.ready_blocking().unwrap();
        let job = |breaks| pool.job((breaks, ledger.job())).key(1);
        assert!(job(true).run_blocking().is_err());
        door.wait_for(1);
        let handles: Vec<_> = (0..3)
            .map(|_| job(false).submit_blocking().unwrap())
            .collect();
        // The other desk's worker is free, and looks for more than once.
        for _ in 0..20 {
            pool.run_blocking((false, ledger.job())).unwrap();
        }
        assert!(handles.iter().all(|handle| !handle.is_finished()));
        door.open();
        for handle in handles {
            handle.wait().unwrap();
        }
        pool.join_blocking();
        ledger.close(ended(&pool));
    });
}
