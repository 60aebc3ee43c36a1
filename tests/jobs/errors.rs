//! Errors of jobs that nobody holds a handle of: which ones, how many are kept, who gets them, and when
//! there will be no more.

use crate::common::by_hand::ByHand;
use crate::common::{Door, Ledger, Payload, ended, poll_once, threads_named, watched};
use fanpool::{
    ErrorStream, JobError, JobFailure, Pool, PoolBuilder, Submitter, WeakSubmitter,
    async_handler_fn, handler_fn,
};
use futures_lite::StreamExt;
use futures_lite::future::block_on;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};

type Handler = fn(Payload) -> Result<(), String>;
type Jobs = PoolBuilder<Payload, fanpool::HandlerFn<Handler>>;

fn fail(job: Payload) -> Result<(), String> {
    job.run(|| Err(format!("no {}", job.id())))
}

fn failing(workers: usize) -> Jobs {
    Pool::builder(handler_fn(fail as Handler)).workers_per_dispatcher(workers)
}

/// What failed jobs said.
fn said(failure: JobFailure<String>) -> String {
    match failure.error {
        JobError::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

fn all_now(errors: &ErrorStream<String>) -> Vec<String> {
    std::iter::from_fn(|| errors.try_recv()).map(said).collect()
}

#[test]
fn only_jobs_without_a_handle_that_did_not_complete_are_told() {
    watched(|ledger| {
        let pool = Pool::builder(handler_fn(|job: Payload| {
            job.run(|| match job.id() % 3 {
                0 => Ok(()),
                1 => Err(format!("no {}", job.id())),
                _ => panic!("not {}", job.id()),
            })
        }))
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
        ledger.watch(&pool);
        for _ in 0..3 {
            pool.submit_blocking(ledger.job()).unwrap().wait().ok();
        }
        for _ in 0..3 {
            // A dropped handle was a handle.
            drop(pool.submit_blocking(ledger.job()).unwrap());
        }
        let group: Vec<_> = (0..3).map(|_| ledger.job()).collect();
        drop(pool.submit_all_blocking(group).unwrap().wait());
        for _ in 0..3 {
            pool.send_blocking(ledger.job()).unwrap();
        }
        for _ in 0..3 {
            let job = ledger.job();
            let label = format!("label {}", job.id());
            pool.job(job).label(label).send_blocking().unwrap();
        }
        for _ in 0..3 {
            pool.try_send(ledger.job()).unwrap();
            pool.join_blocking();
        }
        for _ in 0..3 {
            pool.reserve_blocking().unwrap().send(ledger.job()).unwrap();
        }
        let counts = ended(&pool);
        assert_eq!(
            (counts.completed, counts.failed, counts.panicked),
            (7, 7, 7)
        );
        let told: Vec<String> = std::iter::from_fn(|| pool.errors().recv_blocking())
            .map(|failure| failure.to_string())
            .collect();
        let expected: Vec<String> = (9..21)
            .filter(|id| id % 3 != 0)
            .map(|id| {
                // Numbers are from 1, in the order of acceptance.
                let number = id + 1;
                let label = match id {
                    12..15 => format!(" (label {id})"),
                    _ => String::new(),
                };
                match id % 3 {
                    1 => format!("job {number}{label}: job failed: no {id}"),
                    _ => format!("job {number}{label}: job panicked: not {id}"),
                }
            })
            .collect();
        assert_eq!(told, expected);
        assert_eq!(counts.errors_dropped, 0);
        ledger.close(counts);
    });
}

#[test]
fn jobs_that_were_handed_back_are_told() {
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
        pool.send_blocking(ledger.job()).unwrap();
        door.wait_for(1);
        pool.send_blocking(ledger.job()).unwrap();
        let told = pool.submit_blocking(ledger.job()).unwrap();
        pool.job(ledger.job())
            .label("last")
            .send_blocking()
            .unwrap();
        let mut ending = Box::pin(pool.shutdown_now());
        assert!(poll_once(&mut ending).is_pending());
        assert!(matches!(told.wait(), Err(JobError::HandedBack)));
        let errors = pool.errors();
        for (id, label) in [(2, None), (4, Some("last"))] {
            let failure = errors.try_recv().unwrap();
            assert_eq!((failure.id.get(), failure.label.as_deref()), (id, label));
            assert!(matches!(failure.error, JobError::HandedBack));
        }
        door.open();
        let report = block_on(ending);
        assert_eq!(report.unrun[2].label(), Some("last"), "the job keeps it");
        assert!(errors.recv_blocking().is_none());
        let counts = report.counts;
        drop(report.unrun);
        ledger.close(counts);
    });
}

#[test]
fn jobs_that_were_abandoned_are_told() {
    watched(|ledger| {
        let executor = ByHand::new();
        let pool = Pool::builder(async_handler_fn(|job: Payload| async move {
            job.started();
            std::future::pending::<()>().await;
            Ok::<_, String>(())
        }))
        .workers_per_dispatcher(1)
        .spawner(executor.clone())
        .build()
        .unwrap();
        ledger.watch(&pool);
        executor.refuse_replacements(|| true);
        for label in ["started", "waiting", "waiting"] {
            pool.job(ledger.job()).label(label).send_blocking().unwrap();
        }
        executor.run();
        let errors = pool.errors();
        assert!(errors.try_recv().is_none());
        let mut pending = Box::pin(errors.recv());
        assert!(poll_once(&mut pending).is_pending());
        for worker in executor.workers() {
            executor.abort(worker);
        }
        let first = block_on(pending).unwrap();
        assert_eq!(
            (first.id.get(), first.label.as_deref()),
            (1, Some("started"))
        );
        assert!(matches!(first.error, JobError::Abandoned));
        for id in 2..4 {
            let failure = errors.recv_blocking().unwrap();
            assert_eq!(
                (failure.id.get(), failure.label.as_deref()),
                (id, Some("waiting"))
            );
            assert!(matches!(failure.error, JobError::Abandoned));
        }
        assert!(errors.recv_blocking().is_none());
        let counts = ended(&pool);
        assert_eq!(counts.abandoned, 3);
        ledger.close(counts);
    });
}

#[test]
fn the_oldest_make_room_and_are_counted() {
    watched(|ledger| {
        for (capacity, kept) in [(0, 0), (1, 1), (2, 2), (4, 4), (5, 5), (6, 5)] {
            let pool = failing(1).error_capacity(capacity).build().unwrap();
            ledger.watch(&pool);
            let first = ledger.made();
            for _ in 0..5 {
                pool.send_blocking(ledger.job()).unwrap();
            }
            pool.join_blocking();
            let errors = pool.errors();
            assert_eq!(errors.dropped(), 5 - kept);
            assert_eq!(pool.metrics().errors_dropped, 5 - kept);
            let last: Vec<String> = (first + 5 - kept as usize..first + 5)
                .map(|id| format!("no {id}"))
                .collect();
            assert_eq!(all_now(&errors), last);
            // What was received makes room, too.
            pool.send_blocking(ledger.job()).unwrap();
            pool.join_blocking();
            assert_eq!(all_now(&errors).len(), 1.min(capacity));
            let counts = ended(&pool);
            assert!(errors.recv_blocking().is_none());
            assert_eq!(counts.errors_dropped, 5 - kept + u64::from(capacity == 0));
            assert_eq!(counts.failed, 6);
        }
        ledger.close_without_counts();
    });
}

#[test]
fn nobody_who_reads_keeps_no_worker_waiting() {
    watched(|ledger| {
        for capacity in [0, 3] {
            let pool = failing(2).error_capacity(capacity).build().unwrap();
            ledger.watch(&pool);
            // A receiver that listens and never comes.
            let mut deaf = Box::pin(next_of(pool.errors()));
            assert!(poll_once(&mut deaf).is_pending());
            for _ in 0..10_000 {
                pool.send_blocking(ledger.job()).unwrap();
            }
            let counts = ended(&pool);
            assert_eq!(counts.failed, 10_000);
            assert_eq!(counts.errors_dropped, 10_000 - capacity as u64);
            drop(deaf);
        }
        ledger.close_without_counts();
    });
}

/// An owned `recv`.
async fn next_of(errors: ErrorStream<String>) -> Option<JobFailure<String>> {
    errors.recv().await
}

#[test]
fn errors_from_before_anybody_asked_are_there() {
    watched(|ledger| {
        let pool = failing(1).build().unwrap();
        for _ in 0..5 {
            pool.send_blocking(ledger.job()).unwrap();
        }
        let counts = ended(&pool);
        let errors = pool.errors();
        drop(pool);
        // Without the pool, and after a clone was made.
        let clone = errors.clone();
        drop(errors);
        assert_eq!(block_on(clone.recv()).map(said).unwrap(), "no 0");
        assert_eq!(clone.recv_blocking().map(said).unwrap(), "no 1");
        let rest: Vec<String> = block_on(clone.clone().map(said).collect());
        assert_eq!(rest, ["no 2", "no 3", "no 4"]);
        assert!(clone.try_recv().is_none());
        assert!(block_on(clone.recv()).is_none() && clone.recv_blocking().is_none());
        assert!(block_on(clone.clone().next()).is_none());
        ledger.close(counts);
    });
}

#[test]
fn each_error_goes_to_one_of_many_receivers() {
    watched(|ledger| {
        const JOBS: usize = 600;
        let pool = failing(2).error_capacity(JOBS).build().unwrap();
        ledger.watch(&pool);
        let receivers: Vec<_> = (0..6)
            .map(|kind| {
                let errors = pool.errors();
                std::thread::spawn(move || -> Vec<String> {
                    match kind % 3 {
                        0 => std::iter::from_fn(|| errors.recv_blocking())
                            .map(said)
                            .collect(),
                        1 => block_on(errors.map(said).collect()),
                        _ => std::iter::from_fn(|| block_on(errors.recv()))
                            .map(said)
                            .collect(),
                    }
                })
            })
            .collect();
        for _ in 0..JOBS {
            pool.send_blocking(ledger.job()).unwrap();
        }
        let counts = ended(&pool);
        let mut heard: Vec<String> = receivers
            .into_iter()
            .flat_map(|receiver| receiver.join().unwrap())
            .collect();
        assert_eq!(heard.len(), JOBS);
        heard.sort_unstable();
        heard.dedup();
        assert_eq!(heard.len(), JOBS, "no error went to two");
        assert_eq!(counts.errors_dropped, 0);
        ledger.close(counts);
    });
}

#[test]
fn receivers_that_wait_are_told_when_the_pool_ends() {
    watched(|ledger| {
        for by_drop in [true, false] {
            let pool = failing(2).build().unwrap();
            let blocked: Vec<_> = (0..3)
                .map(|_| {
                    let errors = pool.errors();
                    std::thread::spawn(move || errors.recv_blocking().map(said))
                })
                .collect();
            let errors = pool.errors();
            let mut polled = Box::pin(errors.recv());
            let mut stream = pool.errors();
            assert!(poll_once(&mut polled).is_pending());
            assert!(poll_once(&mut stream.next()).is_pending());
            if by_drop {
                // Receivers do not keep the pool open.
                drop(pool);
            } else {
                ended(&pool);
            }
            assert!(block_on(polled).is_none());
            assert!(block_on(stream.next()).is_none());
            for thread in blocked {
                assert_eq!(thread.join().unwrap(), None);
            }
        }
        ledger.close_without_counts();
    });
}

#[test]
fn receivers_that_are_dropped_or_forgotten_starve_nobody() {
    watched(|ledger| {
        let pool = failing(1).build().unwrap();
        ledger.watch(&pool);
        for round in 0..50_u64 {
            let forgotten = pool.errors();
            let mut waiting = Box::pin(next_of(forgotten));
            assert!(poll_once(&mut waiting).is_pending());
            let mut stream = pool.errors();
            assert!(poll_once(&mut stream.next()).is_pending());
            let errors = pool.errors();
            let mut dropped = Box::pin(errors.recv());
            assert!(poll_once(&mut dropped).is_pending());
            let mut served = Box::pin(errors.recv());
            assert!(poll_once(&mut served).is_pending());
            std::mem::forget((waiting, stream));
            pool.send_blocking(ledger.job()).unwrap();
            if round % 2 == 0 {
                pool.join_blocking();
            }
            // Perhaps woken already, and gone before it came for it.
            drop(dropped);
            assert_eq!(block_on(served).map(said).unwrap(), format!("no {round}"));
        }
        let counts = ended(&pool);
        assert_eq!(counts.errors_dropped, 0);
        ledger.close(counts);
    });
}

type Own = Arc<OnceLock<WeakSubmitter<u64, u64, String>>>;

/// Job 0 fails. Others submit as many that fail, and receive until they are told that no more will come.
fn receiving(workers: usize, receive: Receive) -> Submitter<u64, u64, String> {
    let own: Own = Arc::default();
    let inner = own.clone();
    let pool = Pool::builder(handler_fn(move |n: u64| {
        let pool = inner.get().and_then(WeakSubmitter::upgrade);
        let Some(pool) = pool.filter(|_| n > 0) else {
            return Err("no".to_owned());
        };
        let errors = pool.errors();
        for _ in 0..n {
            pool.send_blocking(0).unwrap();
        }
        let most = if pool.metrics().workers > 1 {
            n
        } else {
            u64::MAX
        };
        let mut heard = 0;
        while heard < most && receive(&errors).is_some() {
            heard += 1;
        }
        Ok(heard)
    }))
    .workers_per_dispatcher(workers)
    .build()
    .unwrap();
    assert!(own.set(pool.submitter().downgrade()).is_ok());
    pool.submitter()
}

type Receive = fn(&ErrorStream<String>) -> Option<JobFailure<String>>;

const WAYS: [Receive; 3] = [
    |errors| errors.recv_blocking(),
    |errors| block_on(errors.recv()),
    |errors| block_on(errors.clone().next()),
];

#[test]
fn a_job_that_receives_on_its_own_only_worker_is_told() {
    watched(|ledger| {
        for receive in WAYS {
            let pool = receiving(1, receive);
            ledger.watch(&pool);
            pool.send_blocking(0).unwrap();
            // The error from before is there; the three have to wait for this very worker.
            assert_eq!(pool.run_blocking(3).unwrap(), 1);
            pool.join_blocking();
            assert_eq!(all_now(&pool.errors()).len(), 3);
            ledger.close_with_foreign_jobs(ended(&pool));
        }
    });
}

#[test]
fn a_job_receives_what_another_worker_fails_at() {
    watched(|ledger| {
        for receive in WAYS {
            let pool = receiving(2, receive);
            ledger.watch(&pool);
            for _ in 0..20 {
                assert_eq!(pool.run_blocking(5).unwrap(), 5);
            }
            ledger.close_with_foreign_jobs(ended(&pool));
        }
    });
}

/// An error whose `Drop` panics, and counts.
struct Bomb(Arc<AtomicUsize>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        if !std::thread::panicking() {
            panic!("drop of an error");
        }
    }
}

#[test]
fn errors_that_explode_hurt_neither_workers_nor_the_pools_end() {
    watched(|ledger| {
        for capacity in [0, 2, 100] {
            let (exploded, made) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (bombs, handlers) = (exploded.clone(), made.clone());
            let pool = Pool::builder(fanpool::handler_factory(move |_: fanpool::WorkerId| {
                handlers.fetch_add(1, SeqCst);
                let bombs = bombs.clone();
                Ok::<_, String>(handler_fn(move |job: Payload| {
                    job.run(|| Err::<(), _>(Bomb(bombs.clone())))
                }))
            }))
            .workers_per_dispatcher(1)
            .error_capacity(capacity)
            .name(format!("bombs-{capacity}"))
            .build()
            .unwrap();
            ledger.watch(&pool);
            for _ in 0..10 {
                pool.send_blocking(ledger.job()).unwrap();
            }
            pool.join_blocking();
            assert_eq!(exploded.load(SeqCst), 10 - capacity.min(10));
            assert_eq!(made.load(SeqCst), 1, "the worker was not hurt");
            let counts = ended(&pool);
            assert_eq!((counts.failed, counts.faults), (10, 0));
            let errors = pool.errors();
            drop(pool);
            while threads_named(&format!("bombs-{capacity}")) > 0 {
                std::thread::yield_now();
            }
            drop(errors);
            assert_eq!(exploded.load(SeqCst), 10, "each is dropped once");
        }
        ledger.close_without_counts();
    });
}

#[test]
fn a_join_sees_all_errors_of_what_it_waited_for() {
    watched(|ledger| {
        let pool = failing(3).error_capacity(100).build().unwrap();
        ledger.watch(&pool);
        let errors = pool.errors();
        for jobs in 0..100 {
            for _ in 0..jobs {
                pool.send_blocking(ledger.job()).unwrap();
            }
            pool.join_blocking();
            assert_eq!(all_now(&errors).len(), jobs);
        }
        let counts = ended(&pool);
        assert_eq!(counts.errors_dropped, 0);
        ledger.close(counts);
    });
}

#[test]
fn an_error_that_is_seen_is_counted() {
    watched(|ledger| {
        let pool = failing(2).build().unwrap();
        let errors = pool.errors();
        for seen in 1..300 {
            pool.send_blocking(ledger.job()).unwrap();
            errors.recv_blocking().unwrap();
            assert_eq!(pool.metrics().failed, seen);
        }
        ledger.close(ended(&pool));
    });
}

struct Act(Box<dyn Fn() + Send + Sync>);

impl Wake for Act {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

#[test]
fn a_job_is_not_over_for_joins_before_its_error_is_told() {
    watched(|ledger| {
        let (door, met) = (Door::new(), Door::new());
        let behind = door.clone();
        let pool = Pool::builder(handler_fn(move |job: Payload| {
            job.run(|| behind.pass());
            Err::<(), _>("no".to_owned())
        }))
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
        ledger.watch(&pool);
        pool.send_blocking(ledger.job()).unwrap();
        door.wait_for(1);
        let errors = pool.errors();
        let mut receiving = Box::pin(errors.recv());
        let meets = met.clone();
        let waker = Waker::from(Arc::new(Act(Box::new(move || meets.pass()))));
        let mut cx = Context::from_waker(&waker);
        assert!(receiving.as_mut().poll(&mut cx).is_pending());
        let mut joining = Box::pin(pool.join());
        assert!(poll_once(&mut joining).is_pending());
        door.open();
        // The worker is telling the receiver.
        met.wait_for(1);
        assert!(poll_once(&mut joining).is_pending());
        met.open();
        block_on(joining);
        assert_eq!(block_on(receiving).map(said).unwrap(), "no");
        ledger.close(ended(&pool));
    });
}

/// A shutdown tells the handle of one job, whose waker waits until the last worker has left: by then the next job is
/// handed back, too, and its error is there before the errors end.
#[test]
fn who_is_told_of_a_shutdown_finds_the_errors_of_all_jobs_that_it_handed_back() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let pool = Pool::builder(handler_fn(move |job: Payload| {
            job.run(|| behind.pass());
            Ok::<_, String>(())
        }))
        .name("late-errors")
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
        ledger.watch(&pool);
        pool.send_blocking(ledger.job()).unwrap();
        door.wait_for(1);
        let mut told = pool.submit_blocking(ledger.job()).unwrap();
        pool.send_blocking(ledger.job()).unwrap();
        let errors = pool.errors();
        let early = Arc::new(Mutex::new(None));
        let (saw, opened) = (early.clone(), door.clone());
        let receiver = errors.clone();
        let waker = Waker::from(Arc::new(Act(Box::new(move || {
            opened.open();
            while threads_named("late-errors") > 0 {
                std::thread::yield_now();
            }
            let polled = poll_once(&mut Box::pin(receiver.recv()));
            *crate::common::lock(&saw) = Some(polled);
        }))));
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut told).poll(&mut cx).is_pending());
        let report = pool.shutdown_now_blocking();
        match crate::common::lock(&early).take() {
            Some(Poll::Ready(Some(failure))) => {
                assert!(matches!(failure.error, JobError::HandedBack));
            }
            other => panic!("it found {other:?}"),
        }
        assert!(errors.recv_blocking().is_none());
        drop(told);
        let counts = report.counts;
        assert_eq!(counts.handed_back, 2);
        drop(report.unrun);
        ledger.close(counts);
    });
}

/// Senders, receivers that come and go, and a capacity that is too small for them.
#[test]
fn a_storm_of_errors_is_received_or_counted() {
    watched(|ledger: Ledger| {
        let pool = failing(2).error_capacity(4).build().unwrap();
        ledger.watch(&pool);
        let heard = Arc::new(AtomicUsize::new(0));
        let receivers: Vec<_> = (0..2)
            .map(|_| {
                let (pool, heard) = (pool.errors(), heard.clone());
                std::thread::spawn(move || {
                    loop {
                        // Each wait on a stream of its own, some of them given up.
                        let errors = pool.clone();
                        match poll_once(&mut Box::pin(errors.recv())) {
                            Poll::Ready(None) => return,
                            Poll::Ready(Some(_)) => heard.fetch_add(1, SeqCst),
                            Poll::Pending => match errors.recv_blocking() {
                                None => return,
                                Some(_) => heard.fetch_add(1, SeqCst),
                            },
                        };
                    }
                })
            })
            .collect();
        let senders: Vec<_> = (0..3)
            .map(|_| {
                let (pool, ledger) = (pool.clone(), ledger.clone());
                std::thread::spawn(move || {
                    for _ in 0..500 {
                        pool.send_blocking(ledger.job()).unwrap();
                    }
                })
            })
            .collect();
        senders
            .into_iter()
            .for_each(|sender| sender.join().unwrap());
        let counts = ended(&pool);
        receivers
            .into_iter()
            .for_each(|receiver| receiver.join().unwrap());
        let heard = heard.load(SeqCst) as u64;
        assert_eq!(heard + counts.errors_dropped, 1500);
        ledger.close(counts);
    });
}
