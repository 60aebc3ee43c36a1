//! Jobs that wait for their own pool: told, never left hanging.

use crate::common::{Ledger, Payload, watched};
use fanpool::{JobError, Pool, RunError, SubmitError, WeakSubmitter, async_handler_fn, handler_fn};
use std::sync::{Arc, Barrier, OnceLock, mpsc};

type Own = Arc<OnceLock<WeakSubmitter<Step, u64, String>>>;

/// What a job does before it ends.
enum Step {
    /// Runs another job and waits for it.
    Run(Box<Step>),
    /// Sends jobs until one is refused, waiting for room.
    Fill(Arc<std::sync::Mutex<Vec<Step>>>),
    Meet(Arc<Barrier>, Box<Step>),
    Join,
    Shutdown,
    Nothing,
}

fn act(own: &Own, step: Step) -> Result<u64, String> {
    let pool = own
        .get()
        .and_then(WeakSubmitter::upgrade)
        .ok_or("no pool")?;
    match step {
        Step::Nothing => Ok(0),
        Step::Run(inner) => match pool.run_blocking(*inner) {
            Ok(depth) => Ok(depth + 1),
            Err(RunError::Job(JobError::WouldDeadlock)) => Err("would deadlock".into()),
            Err(RunError::Refused(SubmitError::WouldDeadlock(_))) => Err("would deadlock".into()),
            Err(other) => Err(other.to_string()),
        },
        Step::Fill(jobs) => {
            let mut sent = 0;
            loop {
                let Some(job) = crate::common::lock(&jobs).pop() else {
                    return Ok(sent);
                };
                match pool.send_blocking(job) {
                    Ok(()) => sent += 1,
                    Err(SubmitError::WouldDeadlock(job)) => {
                        crate::common::lock(&jobs).push(job);
                        return Err(format!("would deadlock after {sent}"));
                    }
                    Err(other) => return Err(other.to_string()),
                }
            }
        }
        Step::Meet(barrier, then) => {
            barrier.wait();
            act(own, *then)
        }
        Step::Join => {
            pool.join_blocking();
            Ok(0)
        }
        Step::Shutdown => {
            let report = pool.shutdown_blocking();
            assert!(report.unrun.is_empty());
            Ok(report.still_running.len() as u64)
        }
    }
}

fn pool(ledger: &Ledger, workers: usize, capacity: usize) -> fanpool::Submitter<Step, u64, String> {
    let own: Own = Arc::default();
    let inner = own.clone();
    let pool = Pool::builder(handler_fn(move |step| act(&inner, step)))
        .workers_per_dispatcher(workers)
        .queue_capacity(capacity)
        .build()
        .unwrap();
    ledger.watch(&pool);
    assert!(own.set(pool.submitter().downgrade()).is_ok());
    pool.submitter()
}

#[test]
fn a_job_that_waits_for_its_own_only_worker_is_told() {
    watched(|ledger| {
        let pool = pool(&ledger, 1, 4);
        let error = pool
            .run_blocking(Step::Run(Box::new(Step::Nothing)))
            .unwrap_err();
        assert!(matches!(error, RunError::Job(JobError::Failed(e)) if e == "would deadlock"));
        // The inner job was accepted, and runs once the worker is free.
        let counts = pool.shutdown_blocking().counts;
        assert_eq!((counts.completed, counts.failed), (1, 1));
        ledger.close_with_foreign_jobs(counts);
    });
}

#[test]
fn nesting_goes_as_deep_as_there_are_workers() {
    watched(|ledger| {
        let pool = pool(&ledger, 3, 4);
        let nested = |depth| (0..depth).fold(Step::Nothing, |step, _| Step::Run(Box::new(step)));
        assert_eq!(pool.run_blocking(nested(2)).unwrap(), 2);
        let error = pool.run_blocking(nested(3)).unwrap_err();
        assert!(matches!(error, RunError::Job(JobError::Failed(_))));
        assert_eq!(pool.run_blocking(nested(2)).unwrap(), 2);
        ledger.close_with_foreign_jobs(pool.shutdown_blocking().counts);
    });
}

#[test]
fn waiting_for_room_that_only_this_worker_could_make_is_refused() {
    watched(|ledger| {
        let pool = pool(&ledger, 1, 3);
        let jobs = Arc::new(std::sync::Mutex::new(
            (0..5).map(|_| Step::Nothing).collect::<Vec<_>>(),
        ));
        let error = pool.run_blocking(Step::Fill(jobs.clone())).unwrap_err();
        assert!(
            matches!(error, RunError::Job(JobError::Failed(e)) if e == "would deadlock after 3")
        );
        assert_eq!(
            crate::common::lock(&jobs).len(),
            2,
            "refused jobs came back"
        );
        ledger.close_with_foreign_jobs(pool.shutdown_blocking().counts);
    });
}

#[test]
fn the_last_of_several_to_wait_is_told_and_the_others_go_on() {
    watched(|ledger| {
        let pool = pool(&ledger, 2, 8);
        let barrier = Arc::new(Barrier::new(2));
        let meet = || {
            let run = Step::Run(Box::new(Step::Nothing));
            pool.submit_blocking(Step::Meet(barrier.clone(), Box::new(run)))
                .unwrap()
        };
        let outcomes: Vec<_> = [meet(), meet()]
            .into_iter()
            .map(|handle| handle.wait())
            .collect();
        let told = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        assert!(told <= 1, "{outcomes:?}");
        ledger.close_with_foreign_jobs(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_job_that_waits_for_itself_is_told_although_others_are_free() {
    watched(|ledger| {
        let slot: Arc<std::sync::Mutex<Option<fanpool::JobHandle<u64, String>>>> = Arc::default();
        let (own, filled) = (slot.clone(), Arc::new(Barrier::new(2)));
        let meet = filled.clone();
        let pool = Pool::builder(handler_fn(move |job: Payload| {
            job.run(|| {
                meet.wait();
                let handle = crate::common::lock(&own).take().unwrap();
                assert!(matches!(handle.wait(), Err(JobError::WouldDeadlock)));
                Ok::<u64, String>(0)
            })
        }))
        .workers_per_dispatcher(4)
        .build()
        .unwrap();
        let handle = pool.submit_blocking(ledger.job()).unwrap();
        *crate::common::lock(&slot) = Some(handle);
        filled.wait();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn an_async_job_that_awaits_its_own_only_worker_is_told() {
    watched(|ledger| {
        let own: Arc<OnceLock<WeakSubmitter<u64, u64, String>>> = Arc::default();
        let inner = own.clone();
        let pool = Pool::builder(async_handler_fn(move |n: u64| {
            let pool = inner.get().and_then(WeakSubmitter::upgrade);
            async move {
                match pool {
                    Some(pool) if n > 0 => match pool.run(n - 1).await {
                        Err(RunError::Job(JobError::WouldDeadlock)) => Err("told".to_owned()),
                        other => other.map_err(|error| error.to_string()),
                    },
                    _ => Ok(n),
                }
            }
        }))
        .workers_per_dispatcher(1)
        .spawner(|worker| {
            std::thread::spawn(move || futures_lite::future::block_on(worker));
        })
        .build()
        .unwrap();
        assert!(own.set(pool.submitter().downgrade()).is_ok());
        let error = pool.run_blocking(1).unwrap_err();
        assert!(matches!(error, RunError::Job(JobError::Failed(e)) if e == "told"));
        ledger.close_with_foreign_jobs(pool.shutdown_blocking().counts);
    });
}

#[test]
fn jobs_that_join_do_not_wait_for_each_other() {
    watched(|ledger| {
        let pool = pool(&ledger, 3, 8);
        let barrier = Arc::new(Barrier::new(2));
        let handles: Vec<_> = (0..2)
            .map(|_| {
                pool.submit_blocking(Step::Meet(barrier.clone(), Box::new(Step::Join)))
                    .unwrap()
            })
            .collect();
        for handle in handles {
            handle.wait().unwrap();
        }
        pool.run_blocking(Step::Join).unwrap();
        ledger.close_with_foreign_jobs(pool.shutdown_blocking().counts);
    });
}

#[test]
fn jobs_that_shut_down_do_not_wait_for_each_other() {
    for workers in [1, 2, 4] {
        watched(move |ledger| {
            let pool = pool(&ledger, workers, 8);
            let handles: Vec<_> = (0..workers)
                .filter_map(|_| pool.submit_blocking(Step::Shutdown).ok())
                .collect();
            assert!(!handles.is_empty());
            for handle in handles {
                assert!(
                    handle.wait().unwrap() >= 1,
                    "a job that shuts down still runs"
                );
            }
            ledger.close_with_foreign_jobs(pool.shutdown_blocking().counts);
        });
    }
}

#[test]
fn a_worker_that_waits_gives_up_the_jobs_bound_to_it() {
    watched(|ledger| {
        let own: Own = Arc::default();
        let inner = own.clone();
        // Everything goes to worker 0, which waits for what was bound to it.
        let first = |_: &fanpool::Job<Step>, workers: &fanpool::Workers<'_>| {
            workers.get(0).map_or(fanpool::Target::Any, |worker| {
                fanpool::Target::Worker(worker.id())
            })
        };
        let pool = Pool::builder(handler_fn(move |step| act(&inner, step)))
            .workers_per_dispatcher(2)
            .dispatcher(move || first)
            .build()
            .unwrap();
        ledger.watch(&pool);
        assert!(own.set(pool.submitter().downgrade()).is_ok());
        pool.ready_blocking().unwrap();
        for _ in 0..100 {
            assert_eq!(
                pool.run_blocking(Step::Run(Box::new(Step::Nothing)))
                    .unwrap(),
                1
            );
        }
        ledger.close_with_foreign_jobs(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_strategy_that_waits_for_its_pool_is_told() {
    watched(|ledger| {
        let own: Arc<OnceLock<WeakSubmitter<u64, (), String>>> = Arc::default();
        let inner = own.clone();
        let (told, hear) = mpsc::channel();
        let strategy = move || {
            let (own, told) = (inner.clone(), told.clone());
            move |job: &fanpool::Job<u64>, _: &fanpool::Workers<'_>| {
                if let Some(pool) = own.get().and_then(WeakSubmitter::upgrade) {
                    if *job.data() == 1 {
                        // Allowed: submissions that do not wait, and metrics.
                        pool.try_send(2).unwrap();
                        assert!(pool.metrics().accepted >= 1);
                        // Waiting is not.
                        told.send(matches!(
                            pool.run_blocking(3),
                            Err(RunError::Job(JobError::WouldDeadlock))
                        ))
                        .unwrap();
                        pool.join_blocking();
                        pool.close();
                        drop(pool.shutdown_now_blocking());
                    }
                }
                fanpool::Target::Any
            }
        };
        let pool = Pool::builder(handler_fn(|_: u64| Ok::<_, String>(())))
            .workers_per_dispatcher(1)
            .dispatcher(strategy)
            .build()
            .unwrap();
        assert!(own.set(pool.submitter().downgrade()).is_ok());
        pool.run_blocking(1).unwrap();
        assert!(hear.recv().unwrap());
        let counts = pool.shutdown_blocking().counts;
        assert_eq!((counts.completed, counts.faults), (3, 0), "{counts}");
        ledger.close_with_foreign_jobs(counts);
    });
}

type Kept = Arc<std::sync::Mutex<Option<fanpool::JobHandle<u64, String>>>>;

/// A handle is polled in one job, kept, and waited for in another: that is a wait like any other.
#[test]
fn a_wait_that_began_in_an_earlier_job_is_seen_in_the_later_one() {
    watched(|_| {
        let own: Arc<OnceLock<WeakSubmitter<&'static str, u64, String>>> = Arc::default();
        let kept: Kept = Arc::default();
        let both = Arc::new(Barrier::new(2));
        let door = crate::common::Door::new();
        let (inner, keeps, meet, behind) = (own.clone(), kept, both, door.clone());
        let pool = Pool::builder(async_handler_fn(move |what: &'static str| {
            let pool = inner.get().unwrap().upgrade().unwrap();
            let (keeps, meet, behind) = (keeps.clone(), meet.clone(), behind.clone());
            async move {
                match what {
                    "keeps" => {
                        let mut handle = pool.submit("child").await.unwrap();
                        assert!(crate::common::poll_once(&mut handle).is_pending());
                        *crate::common::lock(&keeps) = Some(handle);
                        Ok(0)
                    }
                    "waits for what was kept" => {
                        meet.wait();
                        let handle = crate::common::lock(&keeps).take().unwrap();
                        handle.await.map_err(|error| error.to_string())
                    }
                    "waits for its own" => {
                        meet.wait();
                        let handle = pool.submit("child").await.unwrap();
                        handle.await.map_err(|error| error.to_string())
                    }
                    "busy" => {
                        behind.pass();
                        Ok(0)
                    }
                    _ => Ok(7),
                }
            }
        }))
        .workers_per_dispatcher(2)
        .build()
        .unwrap();
        assert!(own.set(pool.submitter().downgrade()).is_ok());
        // So that the child waits: the other worker is busy, and these come before it.
        let busy = pool.submit_blocking("busy").unwrap();
        door.wait_for(1);
        let last = pool
            .submit_all_blocking(["keeps", "waits for what was kept", "waits for its own"])
            .unwrap();
        door.open();
        busy.wait().unwrap();
        let told = last.wait().into_iter().skip(1);
        let stuck = told.filter(
            |told| matches!(told, Err(JobError::Failed(why)) if why.contains("would deadlock")),
        );
        assert_eq!(stuck.count(), 1, "one is told, and the other served");
        pool.shutdown_blocking();
    });
}
