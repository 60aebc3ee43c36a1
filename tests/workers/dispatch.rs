//! Who runs which job, and when: strategies, orders, several dispatchers, jobs taken ahead.
//!
//! Workers are driven to a known state, by jobs that are held until the test lets them go; where the
//! state depends on who looks first, the workers run by hand.

use crate::common::by_hand::ByHand;
use crate::common::{Ledger, Payload, poll_once, watched};
use fanpool::clock::Clock;
use fanpool::worker::{Inbox, Worker};
use fanpool::{
    BoxFuture, Cancellation, Job, JobContext, JobError, JobHandle, JobHandler, JobHandlerFactory,
    LeastBusy, Pool, PoolBuilder, QueueOrder, Queued, RoundRobin, SpawnError, Spawner, Submitter,
    Target, WorkerId, Workers, async_handler_fn_with, async_trait, handler_fn,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A job that stays with its worker until it is let go.
struct Visit {
    payload: Payload,
    hold: Option<oneshot::Receiver<()>>,
    /// For strategies.
    key: usize,
}

type Visits = Submitter<Visit, WorkerId, String>;
type Starts = mpsc::Receiver<(u64, WorkerId)>;

/// A job that ends at once.
fn quick(ledger: &Ledger) -> Visit {
    Visit {
        payload: ledger.job(),
        hold: None,
        key: 0,
    }
}

/// A job that ends when the sender is used, or dropped.
fn held(ledger: &Ledger) -> (Visit, oneshot::Sender<()>) {
    let (release, hold) = oneshot::channel();
    let mut job = quick(ledger);
    job.hold = Some(hold);
    (job, release)
}

/// A pool whose jobs say where they run and in which order they start.
fn visits() -> (
    PoolBuilder<
        Visit,
        impl JobHandlerFactory<Visit, Handler: JobHandler<Visit, Output = WorkerId, Error = String>>,
    >,
    Starts,
) {
    let (start, starts) = mpsc::channel();
    let builder = Pool::builder(async_handler_fn_with(
        move |mut job: Visit, cx: JobContext| {
            let start = start.clone();
            async move {
                job.payload.started();
                let _ = start.send((job.payload.id(), cx.worker()));
                if let Some(hold) = &mut job.hold {
                    let _ = hold.await;
                }
                job.payload.ended();
                Ok(cx.worker())
            }
        },
    ));
    (builder, starts)
}

/// A clock by which every job is tiny, so that workers take jobs ahead in any build.
struct Tiny {
    start: Instant,
    reads: AtomicU64,
}

impl Tiny {
    fn new() -> Self {
        Tiny {
            start: Instant::now(),
            reads: AtomicU64::new(0),
        }
    }
}

impl Clock for Tiny {
    fn now(&self) -> Instant {
        self.start + Duration::from_nanos(100) * self.reads.fetch_add(1, SeqCst) as u32
    }

    fn park_until(&self, _: Option<Instant>) {
        std::thread::park();
    }
}

fn numbers(starts: &Starts) -> Vec<u64> {
    starts.try_iter().map(|(id, _)| id).collect()
}

fn indices(starts: &Starts) -> Vec<usize> {
    starts
        .try_iter()
        .map(|(_, worker)| worker.index())
        .collect()
}

// ---- order --------------------------------------------------------------------------------------

#[test]
fn one_worker_starts_jobs_in_the_order_in_which_they_came() {
    for tiny in [false, true] {
        watched(move |ledger| {
            let (mut builder, starts) = visits();
            if tiny {
                builder = builder.clock(Tiny::new());
            }
            let pool = builder
                .workers_per_dispatcher(1)
                .queue_capacity(300)
                .build()
                .unwrap();
            ledger.watch(&pool);
            for _ in 0..5_000 {
                pool.send_blocking(quick(&ledger)).unwrap();
            }
            ledger.close(pool.shutdown_blocking().counts);
            assert_eq!(numbers(&starts), (0..5_000).collect::<Vec<_>>());
        });
    }
}

#[test]
fn one_worker_keeps_the_order_of_each_of_many_submitters() {
    for tiny in [false, true] {
        watched(move |ledger| {
            let (mut builder, starts) = visits();
            if tiny {
                builder = builder.clock(Tiny::new());
            }
            let pool = builder
                .workers_per_dispatcher(1)
                .queue_capacity(250)
                .build()
                .unwrap();
            ledger.watch(&pool);
            let submitters: Vec<_> = (0..4)
                .map(|_| {
                    let (pool, ledger) = (pool.clone(), ledger.clone());
                    std::thread::spawn(move || {
                        let mut sent = Vec::new();
                        for _ in 0..1_000 {
                            let job = quick(&ledger);
                            sent.push(job.payload.id());
                            pool.send_blocking(job).unwrap();
                        }
                        sent
                    })
                })
                .collect();
            let sent: Vec<_> = submitters.into_iter().map(|s| s.join().unwrap()).collect();
            ledger.close(pool.shutdown_blocking().counts);
            let started = numbers(&starts);
            for sent in sent {
                let own: BTreeSet<_> = sent.iter().copied().collect();
                let seen: Vec<_> = started
                    .iter()
                    .copied()
                    .filter(|id| own.contains(id))
                    .collect();
                assert_eq!(seen, sent);
            }
        });
    }
}

/// Newest first, or by a priority that is made of the job's number. Counts what it is given.
struct Ordered<J> {
    jobs: BTreeMap<(u64, u64), Queued<J>>,
    priority: fn(u64) -> u64,
    seen: Arc<AtomicUsize>,
}

impl<J: Send + 'static> QueueOrder<J> for Ordered<J> {
    fn push(&mut self, job: Queued<J>) {
        self.seen.fetch_add(1, SeqCst);
        let id = job.id().get();
        self.jobs.insert(((self.priority)(id), id), job);
    }

    fn pop(&mut self) -> Option<Queued<J>> {
        self.jobs.pop_first().map(|(_, job)| job)
    }

    fn len(&self) -> usize {
        self.jobs.len()
    }

    fn retain(&mut self, keep: &mut dyn FnMut(&Queued<J>) -> bool) {
        self.jobs.retain(|_, job| keep(job));
    }
}

#[test]
fn an_order_of_ones_own_sees_every_job_and_is_kept() {
    let newest = |id: u64| u64::MAX - id;
    let by_class = |id: u64| id % 3;
    for priority in [newest, by_class] {
        watched(move |ledger| {
            let seen = Arc::new(AtomicUsize::new(0));
            let (builder, starts) = visits();
            let counted = seen.clone();
            let pool = builder
                .workers_per_dispatcher(1)
                .clock(Tiny::new())
                .queue_order(move || Ordered {
                    jobs: BTreeMap::new(),
                    priority,
                    seen: counted.clone(),
                })
                .build()
                .unwrap();
            ledger.watch(&pool);
            for _ in 0..100 {
                pool.send_blocking(quick(&ledger)).unwrap();
            }
            pool.join_blocking();
            let _ = numbers(&starts);
            let (first, release) = held(&ledger);
            pool.send_blocking(first).unwrap();
            starts.recv().unwrap();
            // Some with a handle, some without: an order sees them all alike.
            let handles: Vec<_> = (0..30)
                .filter_map(|n| {
                    if n % 2 == 0 {
                        return Some(pool.submit_blocking(quick(&ledger)).unwrap());
                    }
                    pool.send_blocking(quick(&ledger)).unwrap();
                    None
                })
                .collect();
            release.send(()).unwrap();
            for handle in handles {
                handle.wait().unwrap();
            }
            let report = pool.shutdown_blocking();
            assert_eq!(seen.load(SeqCst), 131);
            // The ledger counts from 0, and the pool from 1.
            let mut expected: Vec<u64> = (101..131).collect();
            expected.sort_by_key(|id| (priority(id + 1), *id));
            assert_eq!(numbers(&starts), expected);
            assert_eq!(report.counts.faults, 0);
            ledger.close(report.counts);
        });
    }
}

/// Panics the n-th time it is asked how much it holds.
struct CannotCount<J> {
    jobs: Vec<Queued<J>>,
    asked: AtomicUsize,
    panics_at: usize,
}

impl<J: Send + 'static> QueueOrder<J> for CannotCount<J> {
    fn push(&mut self, job: Queued<J>) {
        self.jobs.push(job);
    }

    fn pop(&mut self) -> Option<Queued<J>> {
        self.jobs.pop()
    }

    fn len(&self) -> usize {
        if self.asked.fetch_add(1, SeqCst) + 1 == self.panics_at {
            std::panic::resume_unwind(Box::new("cannot count"));
        }
        self.jobs.len()
    }

    fn retain(&mut self, keep: &mut dyn FnMut(&Queued<J>) -> bool) {
        self.jobs.retain(keep);
    }
}

#[test]
fn an_order_that_panics_when_it_is_counted_is_replaced_whoever_asks() {
    for binds in [false, true] {
        for panics_at in 1..40 {
            watched(move |ledger| {
                let by_hand = ByHand::new();
                let (mut builder, starts) = visits();
                if binds {
                    builder = builder.dispatcher(RoundRobin::new);
                }
                let pool = builder
                    .dispatchers(2)
                    .workers_per_dispatcher(1)
                    .spawner(by_hand.clone())
                    .queue_order(move || CannotCount {
                        jobs: Vec::new(),
                        asked: AtomicUsize::new(0),
                        panics_at,
                    })
                    .build()
                    .unwrap();
                ledger.watch(&pool);
                // No panic comes out of here: not where workers sleep, nor where submitters call them.
                by_hand.run();
                for _ in 0..10 {
                    pool.try_send(quick(&ledger)).unwrap();
                    pool.try_send(quick(&ledger)).unwrap();
                    by_hand.run();
                }
                assert_eq!(numbers(&starts).len(), 20);
                pool.close();
                by_hand.run();
                let counts = pool.shutdown_blocking().counts;
                assert!(counts.faults <= 2, "{}", counts.faults);
                ledger.close(counts);
            });
        }
    }
}

// ---- strategies ---------------------------------------------------------------------------------

#[test]
fn with_any_no_job_waits_while_a_worker_is_idle() {
    for dispatchers in [1, 2, 3] {
        watched(move |ledger| {
            const WORKERS: usize = 3;
            let (builder, starts) = visits();
            let pool = builder
                .dispatchers(dispatchers)
                .workers_per_dispatcher(WORKERS)
                .build()
                .unwrap();
            ledger.watch(&pool);
            let mut busy = BTreeMap::new();
            for _ in 0..dispatchers * WORKERS {
                let (job, release) = held(&ledger);
                pool.send_blocking(job).unwrap();
                let (_, worker) = starts.recv().unwrap();
                assert!(busy.insert(worker, release).is_none());
            }
            assert_eq!(pool.metrics().waiting, 0);
            // Whoever becomes idle gets the next one, and nobody else.
            for turn in 0..100 {
                let at = turn * 7 % busy.len();
                let worker = *busy.keys().nth(at).unwrap();
                let (job, release) = held(&ledger);
                pool.send_blocking(job).unwrap();
                assert_eq!(pool.metrics().waiting, 1);
                drop(busy.insert(worker, release));
                assert_eq!(starts.recv().unwrap().1, worker);
            }
            busy.clear();
            ledger.close(pool.shutdown_blocking().counts);
        });
    }
}

#[test]
fn round_robin_goes_round_exactly() {
    watched(|ledger| {
        let (builder, starts) = visits();
        let pool = builder
            .workers_per_dispatcher(4)
            .dispatcher(RoundRobin::new)
            .build()
            .unwrap();
        ledger.watch(&pool);
        pool.ready_blocking().unwrap();
        // One by one.
        for turn in 0..40 {
            let worker = pool.run_blocking(quick(&ledger)).unwrap();
            assert_eq!(worker.index(), turn % 4);
        }
        let _ = numbers(&starts);
        // All at once: four run, the others wait for the worker whose turn it was.
        let (handles, releases): (Vec<_>, Vec<_>) = (0..16)
            .map(|_| {
                let (job, release) = held(&ledger);
                (pool.submit_blocking(job).unwrap(), release)
            })
            .unzip();
        drop(releases);
        for (turn, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.wait().unwrap().index(), turn % 4);
        }
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn least_busy_takes_the_worker_that_was_idle_longest() {
    watched(|ledger| {
        let by_hand = ByHand::new();
        let (builder, starts) = visits();
        let pool = builder
            .workers_per_dispatcher(3)
            .dispatcher(LeastBusy::new)
            .spawner(by_hand.clone())
            .build()
            .unwrap();
        ledger.watch(&pool);
        by_hand.run(); // idle in the order 0, 1, 2
        let go = |release: Option<oneshot::Sender<()>>| {
            drop(release);
            by_hand.run();
        };
        let mut releases: Vec<_> = (0..3)
            .map(|_| {
                let (job, release) = held(&ledger);
                pool.try_send(job).unwrap();
                by_hand.run();
                Some(release)
            })
            .collect();
        assert_eq!(indices(&starts), [0, 1, 2]);
        // Idle ones before busy ones, and of these the one idle longest.
        go(releases[1].take());
        go(releases[0].take());
        for _ in 0..2 {
            let (job, release) = held(&ledger);
            pool.try_send(job).unwrap();
            by_hand.run();
            releases.push(Some(release));
        }
        assert_eq!(indices(&starts), [1, 0]);
        // All are busy: the fewest jobs, and of several the one that was last idle longest ago.
        for _ in 0..6 {
            pool.try_send(quick(&ledger)).unwrap();
            by_hand.run();
        }
        assert_eq!(pool.metrics().waiting, 6);
        go(releases[2].take());
        assert_eq!(indices(&starts), [2, 2]);
        go(releases[3].take());
        assert_eq!(indices(&starts), [1, 1]);
        go(releases[4].take());
        assert_eq!(indices(&starts), [0, 0]);
        pool.close();
        by_hand.run();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn jobs_that_are_bound_wait_for_their_worker_and_keep_their_order() {
    watched(|ledger| {
        let strategy = |job: &Job<Visit>, workers: &Workers<'_>| {
            let index = job.data().key;
            workers
                .get(index)
                .map_or(Target::Any, |worker| Target::Worker(worker.id()))
        };
        let (builder, starts) = visits();
        let pool = builder
            .workers_per_dispatcher(4)
            .dispatcher(move || strategy)
            .build()
            .unwrap();
        ledger.watch(&pool);
        pool.ready_blocking().unwrap();
        let to = |key: usize, mut job: Visit| {
            job.key = key;
            pool.submit_blocking(job).unwrap()
        };
        let (job, release) = held(&ledger);
        let mut handles = vec![(2, to(2, job))];
        assert_eq!(starts.recv().unwrap().1.index(), 2);
        // Two wait for the busy worker; the others are idle and may not have them.
        handles.extend((0..2).map(|_| (2, to(2, quick(&ledger)))));
        for key in [0, 1, 3, 0, 1, 3] {
            let handle = to(key, quick(&ledger));
            assert_eq!(handle.wait().unwrap().index(), key);
        }
        assert_eq!(pool.metrics().waiting, 2);
        let _ = numbers(&starts);
        release.send(()).unwrap();
        for (key, handle) in handles {
            assert_eq!(handle.wait().unwrap().index(), key);
        }
        assert_eq!(numbers(&starts), [1, 2]);
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn jobs_for_anyone_wait_in_the_queues_order_not_behind_it() {
    watched(|ledger| {
        let (builder, starts) = visits();
        let pool = builder
            .workers_per_dispatcher(1)
            .dispatcher(|| |_: &Job<Visit>, _: &Workers<'_>| Target::Any)
            .queue_order(|| Ordered {
                jobs: BTreeMap::new(),
                priority: |id| u64::MAX - id,
                seen: Arc::default(),
            })
            .build()
            .unwrap();
        ledger.watch(&pool);
        let (first, release) = held(&ledger);
        pool.send_blocking(first).unwrap();
        starts.recv().unwrap();
        for _ in 1..5 {
            pool.send_blocking(quick(&ledger)).unwrap();
        }
        let (newest, release_newest) = held(&ledger);
        pool.send_blocking(newest).unwrap();
        release.send(()).unwrap();
        assert_eq!(starts.recv().unwrap().0, 5, "the newest of those that wait");
        // Newer still than those that the strategy could have been asked about by now.
        for _ in 6..9 {
            pool.send_blocking(quick(&ledger)).unwrap();
        }
        release_newest.send(()).unwrap();
        ledger.close(pool.shutdown_blocking().counts);
        assert_eq!(numbers(&starts), [8, 7, 6, 4, 3, 2, 1]);
    });
}

#[test]
fn bound_jobs_and_jobs_for_anyone_do_not_pass_each_other() {
    watched(|ledger| {
        let every_other = |job: &Job<Visit>, workers: &Workers<'_>| match job.data().key {
            0 => Target::Any,
            _ => workers
                .get(0)
                .map_or(Target::Any, |worker| Target::Worker(worker.id())),
        };
        let (builder, starts) = visits();
        let pool = builder
            .workers_per_dispatcher(1)
            .dispatcher(move || every_other)
            .build()
            .unwrap();
        ledger.watch(&pool);
        pool.ready_blocking().unwrap();
        for key in [0, 1, 1, 0].into_iter().cycle().take(400) {
            let mut job = quick(&ledger);
            job.key = key;
            pool.send_blocking(job).unwrap();
        }
        ledger.close(pool.shutdown_blocking().counts);
        assert_eq!(numbers(&starts), (0..400).collect::<Vec<_>>());
    });
}

#[test]
fn a_sleeper_is_called_for_a_job_bound_behind_one_for_anyone() {
    watched(|ledger| {
        let to_the_last = |job: &Job<Visit>, workers: &Workers<'_>| match job.data().key {
            0 => Target::Any,
            key => workers
                .get(key)
                .map_or(Target::Any, |worker| Target::Worker(worker.id())),
        };
        let (builder, starts) = visits();
        let pool = builder
            .workers_per_dispatcher(3)
            .dispatcher(move || to_the_last)
            .build()
            .unwrap();
        ledger.watch(&pool);
        pool.ready_blocking().unwrap();
        for _ in 0..200 {
            let (anyones, release) = held(&ledger);
            pool.send_blocking(anyones).unwrap();
            let busy = starts.recv().unwrap().1.index();
            let mut handles = Vec::new();
            for key in [0, 1, 0, 2] {
                let mut job = quick(&ledger);
                job.key = key;
                handles.push((key, pool.submit_blocking(job).unwrap()));
            }
            // All but those that are bound to the one that is held up.
            for (key, handle) in handles {
                if key == 0 || key != busy {
                    handle.wait().unwrap();
                }
            }
            drop(release);
            pool.join_blocking();
            let _ = numbers(&starts);
        }
        ledger.close(pool.shutdown_blocking().counts);
    });
}

/// An executor by hand that passes for threads of the pool's own: there, one searcher is enough for any
/// number of jobs.
struct LikeThreads(ByHand);

impl Spawner for LikeThreads {
    fn spawn(&self, worker: WorkerId, task: BoxFuture<'static, ()>) -> Result<(), SpawnError> {
        self.0.spawn(worker, task)
    }

    fn is_dedicated(&self) -> bool {
        true
    }
}

fn to_its_own(job: &Job<Visit>, workers: &Workers<'_>) -> Target {
    let worker = workers.get(job.data().key);
    worker.map_or(Target::Any, |worker| Target::Worker(worker.id()))
}

/// While a called worker is on its way, a burst comes in: more for it than there is room for in all inboxes,
/// and behind that one job for the other, who sleeps. Nobody else comes to see to that one.
#[test]
fn a_sleeper_is_called_for_a_job_far_behind_others_jobs() {
    watched(|ledger| {
        let (builder, starts) = visits();
        let hand = ByHand::new();
        let pool = builder
            .workers_per_dispatcher(2)
            .queue_capacity(100)
            .spawner(LikeThreads(hand.clone()))
            .dispatcher(|| to_its_own)
            .build()
            .unwrap();
        ledger.watch(&pool);
        hand.run();
        let [first, second] = hand.workers()[..] else {
            panic!("two workers");
        };
        let (long, release) = held(&ledger);
        let mut jobs: Vec<Visit> = (0..60).map(|_| quick(&ledger)).collect();
        jobs.insert(0, long);
        jobs.push(Visit {
            key: 1,
            ..quick(&ledger)
        });
        let group = pool.submit_all_blocking(jobs).unwrap();
        hand.run_only(first);
        hand.run_only(second);
        let started: Vec<_> = starts.try_iter().collect();
        assert_eq!(started, [(0, first), (61, second)]);
        drop(release);
        pool.close();
        hand.run();
        assert_eq!(group.wait().len(), 62);
        ledger.close(pool.shutdown_blocking().counts);
    });
}

/// The same with jobs that were cancelled before the live one.
#[test]
fn a_sleeper_is_called_for_a_job_far_behind_cancelled_ones() {
    watched(|ledger| {
        let (builder, starts) = visits();
        let hand = ByHand::new();
        let pool = builder
            .workers_per_dispatcher(2)
            .queue_capacity(100)
            .spawner(LikeThreads(hand.clone()))
            .dispatcher(|| to_its_own)
            .build()
            .unwrap();
        ledger.watch(&pool);
        hand.run();
        let [first, second] = hand.workers()[..] else {
            panic!("two workers");
        };
        let (long, release) = held(&ledger);
        pool.send_blocking(long).unwrap();
        for _ in 0..30 {
            let job = pool.submit_blocking(quick(&ledger)).unwrap();
            assert_eq!(job.cancel(), Cancellation::Removed);
        }
        let last = Visit {
            key: 1,
            ..quick(&ledger)
        };
        pool.send_blocking(last).unwrap();
        hand.run_only(first);
        hand.run_only(second);
        let started: Vec<_> = starts.try_iter().collect();
        assert_eq!(started, [(0, first), (31, second)]);
        drop(release);
        pool.close();
        hand.run();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

/// A worker of a pool with `dispatchers` times `workers`, the last one.
fn foreign_worker(dispatchers: usize, workers: usize) -> WorkerId {
    let by_hand = ByHand::new();
    let pool = Pool::builder(handler_fn(Ok::<u64, String>))
        .dispatchers(dispatchers)
        .workers_per_dispatcher(workers)
        .spawner(by_hand.clone())
        .build()
        .unwrap();
    let last = by_hand.workers().pop().unwrap();
    pool.close();
    by_hand.run();
    last
}

#[test]
fn a_target_that_is_not_here_goes_to_anybody() {
    let of_another_dispatcher = foreign_worker(6, 1);
    let beyond_the_last = foreign_worker(1, 9);
    for target in [of_another_dispatcher, beyond_the_last] {
        watched(move |ledger| {
            let strategy = move |_: &Job<Visit>, _: &Workers<'_>| Target::Worker(target);
            let (builder, starts) = visits();
            let pool = builder
                .workers_per_dispatcher(2)
                .dispatcher(move || strategy)
                .build()
                .unwrap();
            ledger.watch(&pool);
            let (first, release) = held(&ledger);
            pool.send_blocking(first).unwrap();
            let (_, busy) = starts.recv().unwrap();
            for _ in 0..10 {
                assert_ne!(pool.run_blocking(quick(&ledger)).unwrap(), busy);
            }
            release.send(()).unwrap();
            let counts = pool.shutdown_blocking().counts;
            assert_eq!(counts.faults, 0);
            ledger.close(counts);
        });
    }
}

#[test]
fn a_target_that_has_left_goes_to_anybody() {
    watched(|ledger| {
        let by_hand = ByHand::new();
        let (builder, starts) = visits();
        let strategy = |_: &Job<Visit>, workers: &Workers<'_>| {
            // Kept from the first call on, as one should not.
            static FIRST: std::sync::OnceLock<WorkerId> = std::sync::OnceLock::new();
            let last = workers.iter().last().map(|worker| worker.id());
            Target::Worker(*FIRST.get_or_init(|| last.unwrap()))
        };
        let pool = builder
            .workers_per_dispatcher(2)
            .dispatcher(move || strategy)
            .spawner(by_hand.clone())
            .build()
            .unwrap();
        ledger.watch(&pool);
        by_hand.run();
        let workers = by_hand.workers();
        pool.try_send(quick(&ledger)).unwrap();
        by_hand.run();
        let (job, release) = held(&ledger);
        let lost = pool.try_submit(job).unwrap();
        by_hand.run();
        // Two are bound to it; then it is gone, and its replacement is refused.
        let bound: Vec<_> = (0..2)
            .map(|_| pool.try_submit(quick(&ledger)).unwrap())
            .collect();
        by_hand.run();
        assert_eq!(indices(&starts), [1, 1]);
        by_hand.refuse_replacements(|| true);
        by_hand.abort(workers[1]);
        let later = pool.try_submit(quick(&ledger)).unwrap();
        by_hand.run();
        assert!(matches!(lost.wait(), Err(JobError::Abandoned)));
        for handle in bound.into_iter().chain([later]) {
            assert_eq!(handle.wait().unwrap(), workers[0]);
        }
        drop(release);
        pool.close();
        by_hand.run();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

// ---- several dispatchers ------------------------------------------------------------------------

#[test]
fn a_desk_whose_workers_are_all_busy_is_relieved_by_its_siblings() {
    watched(|ledger| {
        let by_hand = ByHand::new();
        let seen = Arc::new(AtomicUsize::new(0));
        let (builder, starts) = visits();
        let pool = builder
            .dispatchers(3)
            .workers_per_dispatcher(2)
            .spawner(by_hand.clone())
            // So that whoever comes first draws all jobs to its own desk.
            .queue_order(move || Ordered {
                jobs: BTreeMap::new(),
                priority: |id| id,
                seen: seen.clone(),
            })
            .build()
            .unwrap();
        ledger.watch(&pool);
        let workers = by_hand.workers();
        // Asleep, but for those of the first desk.
        workers[2..]
            .iter()
            .for_each(|worker| by_hand.run_only(*worker));
        let (jobs, mut releases): (Vec<_>, Vec<_>) = (0..8).map(|_| held(&ledger)).unzip();
        for job in jobs {
            pool.try_send(job).unwrap();
        }
        workers[..2]
            .iter()
            .for_each(|worker| by_hand.run_only(*worker));
        let started: Vec<_> = starts.try_iter().collect();
        assert_eq!(started, [(0, workers[0]), (1, workers[1])]);
        by_hand.run();
        // Every worker has one, the oldest first, and the rest waits.
        assert_eq!(numbers(&starts), [2, 3, 4, 5]);
        assert_eq!(pool.metrics().waiting, 2);
        // The first desk's workers still do not move: a sibling that is free comes again.
        drop(releases.remove(3));
        by_hand.run();
        assert_eq!(numbers(&starts), [6]);
        releases.clear();
        pool.close();
        by_hand.run();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn siblings_do_not_take_jobs_that_are_bound() {
    watched(|ledger| {
        let by_hand = ByHand::new();
        let (builder, starts) = visits();
        let pool = builder
            .dispatchers(2)
            .workers_per_dispatcher(1)
            .dispatcher(RoundRobin::new)
            .spawner(by_hand.clone())
            .build()
            .unwrap();
        ledger.watch(&pool);
        let workers = by_hand.workers();
        let (job, release) = held(&ledger);
        pool.try_send(job).unwrap();
        for _ in 0..3 {
            pool.try_send(quick(&ledger)).unwrap();
        }
        // It draws all of them, and they are bound to it.
        by_hand.run_only(workers[0]);
        by_hand.run();
        assert_eq!(numbers(&starts), [0]);
        assert_eq!(pool.metrics().waiting, 3);
        // The sibling is there for later ones.
        pool.try_send(quick(&ledger)).unwrap();
        by_hand.run();
        assert_eq!(starts.try_iter().collect::<Vec<_>>(), [(4, workers[1])]);
        release.send(()).unwrap();
        by_hand.run();
        let started: Vec<_> = starts.try_iter().collect();
        assert_eq!(started, [1, 2, 3].map(|id| (id, workers[0])));
        pool.close();
        by_hand.run();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

/// Two desks with one worker each, and a strategy that binds: the first is busy and has two jobs in its
/// inbox, the second sleeps.
fn bound_behind_one(ledger: &Ledger) -> (ByHand, Visits, Starts, oneshot::Sender<()>) {
    let by_hand = ByHand::new();
    let (builder, starts) = visits();
    let pool = builder
        .dispatchers(2)
        .workers_per_dispatcher(1)
        .dispatcher(RoundRobin::new)
        .spawner(by_hand.clone())
        .build()
        .unwrap()
        .submitter();
    ledger.watch(&pool);
    let (job, release) = held(ledger);
    pool.try_send(job).unwrap();
    for _ in 0..2 {
        pool.try_send(quick(ledger)).unwrap();
    }
    by_hand.run_only(by_hand.workers()[0]);
    by_hand.run();
    assert_eq!(numbers(&starts), [0]);
    (by_hand, pool, starts, release)
}

#[test]
fn a_sleeping_sibling_is_called_for_jobs_that_were_bound_to_a_lost_worker() {
    watched(|ledger| {
        let (by_hand, pool, starts, release) = bound_behind_one(&ledger);
        by_hand.refuse_replacements(|| true);
        by_hand.abort(by_hand.workers()[0]);
        by_hand.run();
        assert_eq!(numbers(&starts), [1, 2]);
        drop(release);
        pool.close();
        by_hand.run();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn jobs_that_wait_to_be_bound_on_a_desk_without_workers_go_to_its_siblings() {
    watched(|ledger| {
        let by_hand = ByHand::new();
        let (builder, starts) = visits();
        let pool = builder
            .dispatchers(2)
            .workers_per_dispatcher(1)
            .dispatcher(RoundRobin::new)
            .spawner(by_hand.clone())
            .build()
            .unwrap();
        ledger.watch(&pool);
        let workers = by_hand.workers();
        by_hand.refuse_replacements(|| true);
        by_hand.run_only(workers[0]);
        by_hand.abort(workers[0]);
        let (job, release) = held(&ledger);
        pool.try_send(job).unwrap();
        by_hand.run();
        pool.try_send(quick(&ledger)).unwrap();
        // It looks at every job, and to do so it draws the second to the first desk.
        let mut joining = Box::pin(pool.join());
        assert!(poll_once(&mut joining).is_pending());
        release.send(()).unwrap();
        by_hand.run();
        assert_eq!(numbers(&starts), [0, 1]);
        assert!(poll_once(&mut joining).is_ready());
        drop(joining);
        pool.close();
        by_hand.run();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_join_inside_a_job_leaves_the_waiting_jobs_to_the_siblings() {
    watched(|ledger| {
        let by_hand = ByHand::new();
        let (start, starts) = mpsc::channel();
        let own = Arc::new(std::sync::OnceLock::<
            fanpool::WeakSubmitter<Visit, (), String>,
        >::new());
        let inner = own.clone();
        let pool = Pool::builder(async_handler_fn_with(
            move |mut job: Visit, _: JobContext| {
                let (start, pool) = (start.clone(), inner.get().and_then(|pool| pool.upgrade()));
                async move {
                    job.payload.started();
                    let _ = start.send(job.payload.id());
                    if let Some(hold) = &mut job.hold {
                        let _ = hold.await;
                    }
                    if let (1, Some(pool)) = (job.key, pool) {
                        pool.join().await;
                    }
                    job.payload.ended();
                    Ok::<_, String>(())
                }
            },
        ))
        .dispatchers(2)
        .workers_per_dispatcher(1)
        .dispatcher(RoundRobin::new)
        .spawner(by_hand.clone())
        .build()
        .unwrap();
        ledger.watch(&pool);
        own.set(pool.submitter().downgrade()).unwrap();
        let workers = by_hand.workers();
        let ((mut joins, lets_join), (other, lets_end)) = (held(&ledger), held(&ledger));
        joins.key = 1;
        pool.try_send(joins).unwrap();
        by_hand.run_only(workers[0]);
        pool.try_send(other).unwrap();
        by_hand.run_only(workers[1]);
        pool.try_send(quick(&ledger)).unwrap();
        lets_join.send(()).unwrap();
        by_hand.run();
        lets_end.send(()).unwrap();
        by_hand.run();
        assert_eq!(starts.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(pool.metrics().completed, 3);
        pool.close();
        by_hand.run();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn on_threads_no_unbound_job_waits_while_a_worker_of_any_desk_is_idle() {
    for round in 0..30 {
        watched(move |ledger| {
            let seen = Arc::new(AtomicUsize::new(0));
            let (mut builder, starts) = visits();
            match round % 3 {
                0 => {}
                1 => {
                    builder = builder.dispatcher(|| |_: &Job<Visit>, _: &Workers<'_>| Target::Any);
                }
                _ => {
                    builder = builder.queue_order(move || Ordered {
                        jobs: BTreeMap::new(),
                        priority: |id| u64::MAX - id,
                        seen: seen.clone(),
                    });
                }
            }
            let pool = builder
                .dispatchers(3)
                .workers_per_dispatcher(2)
                .clock(Tiny::new())
                .build()
                .unwrap();
            ledger.watch(&pool);
            for _ in 0..50 * (round / 3 % 3) {
                pool.send_blocking(quick(&ledger)).unwrap();
            }
            let (jobs, releases): (Vec<_>, Vec<_>) = (0..6).map(|_| held(&ledger)).unzip();
            let first = jobs[0].payload.id();
            for job in jobs {
                pool.send_blocking(job).unwrap();
            }
            // All of them run at once, or this hangs.
            let at: BTreeSet<_> = starts
                .iter()
                .filter(|(id, _)| *id >= first)
                .map(|(_, worker)| worker)
                .take(6)
                .collect();
            assert_eq!(at.len(), 6);
            drop(releases);
            ledger.close(pool.shutdown_blocking().counts);
        });
    }
}

// ---- workers of one's own -----------------------------------------------------------------------

/// Runs a job, ends it by hand, or drops it.
struct Picky(u64);

#[async_trait]
impl<H: JobHandler<Visit, Output = WorkerId, Error = String>> Worker<Visit, H> for Picky {
    async fn run(&mut self, inbox: &mut Inbox<Visit, H>, handler: &mut H) {
        let own = inbox.worker();
        while let Some(assigned) = inbox.next().await {
            self.0 += 1;
            assert_eq!(assigned.id(), assigned.context().id());
            let worker = assigned.context().worker();
            match assigned.job().data().key {
                0 => assigned.run(handler).await,
                1 => {
                    assigned.job().data().payload.started();
                    assigned.complete(Ok(worker));
                }
                2 => {
                    assigned.job().data().payload.started();
                    assigned.complete(Err(format!("the {}th", self.0)));
                }
                _ => drop(assigned),
            }
            assert_eq!(own, worker);
        }
    }
}

#[test]
fn a_worker_of_ones_own_decides_what_becomes_of_each_job() {
    watched(|ledger| {
        let (builder, starts) = visits();
        let pool = builder
            .workers_per_dispatcher(1)
            .worker(|| Picky(0))
            .build()
            .unwrap();
        ledger.watch(&pool);
        let handles: Vec<_> = (0..40)
            .map(|n| {
                let mut job = quick(&ledger);
                job.key = n % 4;
                // With a handle or without, nothing is lost.
                if n < 20 {
                    Some(pool.submit_blocking(job).unwrap())
                } else {
                    pool.send_blocking(job).unwrap();
                    None
                }
            })
            .collect();
        for (n, handle) in handles.into_iter().flatten().enumerate() {
            let outcome = handle.wait();
            match n % 4 {
                0 | 1 => assert_eq!(outcome.unwrap().index(), 0),
                2 => assert!(
                    matches!(&outcome, Err(JobError::Failed(what)) if *what == format!("the {}th", n + 1)),
                    "{outcome:?}"
                ),
                _ => assert!(matches!(outcome, Err(JobError::Abandoned))),
            }
        }
        let counts = pool.shutdown_blocking().counts;
        assert_eq!(
            (counts.completed, counts.failed, counts.abandoned),
            (20, 10, 10)
        );
        assert_eq!(
            numbers(&starts),
            (0..40).filter(|n| n % 4 == 0).collect::<Vec<_>>(),
            "only the first kind was run by the handler"
        );
        ledger.close(counts);
    });
}

// ---- jobs taken ahead ---------------------------------------------------------------------------

/// Who else is there when a worker with jobs in its tray is held up.
#[derive(Clone, Copy, PartialEq)]
enum Neighbour {
    /// Not yet at work.
    New,
    Asleep,
    /// Busy, until it is let go.
    Busy,
}

/// A worker that took jobs ahead and is held up by the third job of a burst.
struct Loaded {
    by_hand: ByHand,
    pool: Visits,
    workers: Vec<WorkerId>,
    starts: Starts,
    /// Of the burst.
    handles: Vec<JobHandle<WorkerId, String>>,
    first: u64,
    release: oneshot::Sender<()>,
    keeps_neighbour: Option<oneshot::Sender<()>>,
}

const HELD: usize = 2;

fn loaded(ledger: &Ledger, burst: usize, dispatchers: usize, neighbour: Neighbour) -> Loaded {
    let by_hand = ByHand::new();
    let (builder, starts) = visits();
    let pool = builder
        .dispatchers(dispatchers)
        .workers_per_dispatcher(2 / dispatchers)
        .queue_capacity(burst)
        .clock(Tiny::new())
        .spawner(by_hand.clone())
        .build()
        .unwrap()
        .submitter();
    ledger.watch(&pool);
    let workers = by_hand.workers();
    // Only the first works, and learns that jobs are tiny.
    by_hand.run_only(workers[0]);
    for _ in 0..50 {
        pool.try_send(quick(ledger)).unwrap();
    }
    by_hand.run_only(workers[0]);
    assert_eq!(pool.metrics().completed, 50);
    let mut keeps_neighbour = None;
    match neighbour {
        Neighbour::New => {}
        Neighbour::Asleep | Neighbour::Busy => {
            // The second lies down first, so that the first is called first.
            let (job, release) = held(ledger);
            pool.try_send(job).unwrap();
            by_hand.run_only(workers[0]);
            by_hand.run_only(workers[1]);
            if neighbour == Neighbour::Busy {
                let (job, release) = held(ledger);
                pool.try_send(job).unwrap();
                by_hand.run_only(workers[1]);
                keeps_neighbour = Some(release);
            }
            drop(release);
            by_hand.run_only(workers[0]);
        }
    }
    let (job, release) = held(ledger);
    let mut job = Some(job);
    let jobs: Vec<_> = (0..burst)
        .map(|n| match n {
            HELD => job.take().unwrap(),
            _ => quick(ledger),
        })
        .collect();
    // The ledger numbered the held one first.
    let first = jobs[HELD].payload.id();
    let handles = jobs
        .into_iter()
        .map(|job| pool.try_submit(job).unwrap())
        .collect();
    let _ = numbers(&starts);
    by_hand.run_only(workers[0]);
    assert_eq!(numbers(&starts), [first + 1, first + 2, first]);
    Loaded {
        by_hand,
        pool,
        workers,
        starts,
        handles,
        first,
        release,
        keeps_neighbour,
    }
}

impl Loaded {
    /// Lets the neighbour work, the first worker still being held up.
    fn let_neighbour_work(&mut self) {
        drop(self.keeps_neighbour.take());
        self.by_hand.run_only(self.workers[1]);
    }

    /// Lets everybody work to the end.
    fn end(mut self, ledger: &Ledger) {
        drop(self.release);
        drop(self.keeps_neighbour.take());
        self.pool.close();
        self.by_hand.run();
        ledger.close(self.pool.shutdown_blocking().counts);
    }
}

/// From the intake, and from the desk.
const BURSTS: [usize; 2] = [100, 400];

fn every_tray(test: impl Fn(&Ledger, usize, Loaded) + Send + Clone + 'static) {
    for burst in BURSTS {
        for dispatchers in [1, 2] {
            for neighbour in [Neighbour::New, Neighbour::Asleep, Neighbour::Busy] {
                let test = test.clone();
                watched(move |ledger| {
                    let tray = loaded(&ledger, burst, dispatchers, neighbour);
                    test(&ledger, burst, tray);
                });
            }
        }
    }
}

#[test]
fn jobs_taken_ahead_are_run_by_others_when_their_worker_is_held_up() {
    every_tray(|ledger, burst, mut tray| {
        tray.let_neighbour_work();
        for (n, handle) in tray.handles.iter().enumerate() {
            assert_eq!(handle.is_finished(), n != HELD, "job {n} of the burst");
        }
        assert_eq!(numbers(&tray.starts).len(), burst - HELD - 1);
        tray.end(ledger);
    });
}

#[test]
fn jobs_taken_ahead_count_as_waiting_and_take_up_room() {
    every_tray(|ledger, burst, tray| {
        let counts = tray.pool.metrics();
        assert_eq!(counts.waiting, (burst - HELD - 1) as u64, "{counts}");
        assert_eq!(
            counts.running,
            1 + u64::from(tray.keeps_neighbour.is_some())
        );
        crate::common::assert_conserved(counts);
        for _ in 0..=HELD {
            tray.pool.try_send(quick(ledger)).unwrap();
        }
        assert!(
            tray.pool
                .try_send(quick(ledger))
                .is_err_and(|refused| refused.is_full())
        );
        tray.end(ledger);
    });
}

#[test]
fn a_job_taken_ahead_can_be_cancelled() {
    every_tray(|ledger, burst, mut tray| {
        let before = tray.pool.metrics();
        // Next in the tray, further behind, and at the end of the queue.
        let gone = [HELD + 1, HELD + 5, burst - 1];
        for n in gone {
            assert_eq!(tray.handles[n].cancel(), Cancellation::Removed);
            assert!(tray.handles[n].is_finished());
            assert_eq!(tray.handles[n].cancel(), Cancellation::TooLate);
        }
        assert_eq!(tray.handles[HELD].cancel(), Cancellation::Requested);
        assert_eq!(tray.pool.metrics().waiting, before.waiting - 3);
        tray.let_neighbour_work();
        assert_eq!(tray.pool.metrics().waiting, 0);
        let started = numbers(&tray.starts);
        assert_eq!(started.len(), burst - HELD - 1 - 3);
        for n in gone {
            assert!(!started.contains(&(tray.first + n as u64)));
        }
        tray.end(ledger);
    });
}

#[test]
fn a_whole_tray_of_cancelled_jobs_holds_nobody_up() {
    every_tray(|ledger, burst, mut tray| {
        for handle in &tray.handles[HELD + 1..] {
            assert_eq!(handle.cancel(), Cancellation::Removed);
        }
        tray.let_neighbour_work();
        assert_eq!(tray.pool.metrics().cancelled, (burst - HELD - 1) as u64);
        assert_eq!(tray.pool.metrics().waiting, 0);
        let again = tray.pool.try_submit(quick(ledger)).unwrap();
        tray.let_neighbour_work();
        assert!(again.is_finished());
        tray.end(ledger);
    });
}

#[test]
fn a_join_waits_for_jobs_taken_ahead() {
    every_tray(|ledger, _, mut tray| {
        let pool = tray.pool.clone();
        let mut joining = Box::pin(pool.join());
        assert!(poll_once(&mut joining).is_pending());
        // Not the neighbour, but the worker itself goes on.
        let handles = std::mem::take(&mut tray.handles);
        let (release, other) = oneshot::channel();
        drop(std::mem::replace(&mut tray.release, release));
        drop(tray.keeps_neighbour.take());
        tray.by_hand.run_only(tray.workers[0]);
        assert!(handles.iter().all(JobHandle::is_finished));
        tray.by_hand.run();
        assert!(poll_once(&mut joining).is_ready());
        drop((joining, other));
        tray.end(ledger);
    });
    every_tray(|ledger, _, mut tray| {
        let pool = tray.pool.clone();
        let mut joining = Box::pin(pool.join());
        assert!(poll_once(&mut joining).is_pending());
        tray.let_neighbour_work();
        assert!(poll_once(&mut joining).is_pending(), "one is held up");
        let (release, other) = oneshot::channel();
        drop(std::mem::replace(&mut tray.release, release));
        tray.by_hand.run();
        assert!(poll_once(&mut joining).is_ready());
        drop((joining, other));
        tray.end(ledger);
    });
}

#[test]
fn a_join_waits_for_jobs_that_were_in_a_tray_when_it_began() {
    every_tray(|ledger, _, mut tray| {
        // What is left of the burst is in the tray, but for the job that is held.
        let left = HELD + 1..HELD + 10;
        for handle in &tray.handles[left.end..] {
            assert_eq!(handle.cancel(), Cancellation::Removed);
        }
        let pool = tray.pool.clone();
        let mut joining = Box::pin(pool.join());
        assert!(poll_once(&mut joining).is_pending());
        tray.by_hand.abort(tray.workers[0]);
        drop(tray.keeps_neighbour.take());
        assert!(tray.handles[HELD].is_finished());
        assert!(!tray.handles[left.start].is_finished());
        assert!(poll_once(&mut joining).is_pending());
        tray.by_hand.run();
        assert!(tray.handles[left].iter().all(JobHandle::is_finished));
        assert!(poll_once(&mut joining).is_ready());
        drop(joining);
        tray.end(ledger);
    });
}

#[test]
fn a_shutdown_now_hands_back_jobs_taken_ahead_first() {
    every_tray(|ledger, burst, mut tray| {
        let pool = tray.pool.clone();
        let mut ending = Box::pin(pool.shutdown_now());
        assert!(poll_once(&mut ending).is_pending());
        for handle in tray.handles.drain(HELD + 1..) {
            assert!(matches!(handle.wait(), Err(JobError::HandedBack)));
        }
        let counts = pool.metrics();
        assert_eq!(counts.handed_back, (burst - HELD - 1) as u64);
        assert_eq!(counts.waiting, 0);
        let (release, other) = oneshot::channel();
        drop(std::mem::replace(&mut tray.release, release));
        drop(tray.keeps_neighbour.take());
        tray.by_hand.run();
        let report = futures_lite::future::block_on(ending);
        let unrun: Vec<_> = report
            .unrun
            .iter()
            .map(|job| job.data().payload.id())
            .collect();
        let last = tray.first + burst as u64;
        let expected: Vec<_> = (tray.first + HELD as u64 + 1..last).collect();
        assert_eq!(unrun, expected, "in queue order");
        drop((report, other));
        tray.end(ledger);
    });
}

#[test]
fn a_worker_that_is_lost_leaves_what_it_took_ahead_to_the_others() {
    every_tray(|ledger, burst, mut tray| {
        tray.by_hand.abort(tray.workers[0]);
        // Its replacement is not polled.
        tray.let_neighbour_work();
        let handles = std::mem::take(&mut tray.handles);
        assert!(handles.iter().all(JobHandle::is_finished));
        for (n, handle) in handles.into_iter().enumerate() {
            match handle.wait() {
                Ok(worker) => assert_eq!(worker, tray.workers[usize::from(n > HELD)]),
                Err(JobError::Abandoned) => assert_eq!(n, HELD),
                Err(other) => panic!("{other:?}"),
            }
        }
        let mut started = numbers(&tray.starts);
        if tray.workers[1].dispatcher() == 1 {
            // It has a queue of its own, which came first.
            started.sort_unstable();
        }
        let last = tray.first + burst as u64;
        let expected: Vec<_> = (tray.first + HELD as u64 + 1..last).collect();
        assert_eq!(started, expected, "in queue order");
        tray.end(ledger);
    });
}

/// Other workers look into a tray when they would have to sleep otherwise, and now and then when not: so
/// somebody comes for the jobs behind one that blocks although the queue is never empty.
#[test]
fn jobs_taken_ahead_do_not_wait_for_ever_behind_a_stream_of_later_ones() {
    watched(|ledger| {
        let tray = loaded(&ledger, 100, 1, Neighbour::Asleep);
        let mut turns = 0;
        while !tray.handles[HELD + 1].is_finished() {
            while tray.pool.try_send(quick(&ledger)).is_ok() {}
            // 64 jobs, then it lets others run: the queue is not empty in between.
            tray.by_hand.poll(tray.workers[1]);
            turns += 1;
            assert!(turns < 1_000, "{}", tray.pool.metrics());
        }
        tray.end(&ledger);
    });
}

#[test]
fn on_threads_the_rest_of_a_burst_completes_while_one_of_its_jobs_blocks() {
    for (dispatchers, workers) in [(1, 2), (1, 4), (2, 1), (2, 2)] {
        watched(move |ledger| {
            let (builder, _starts) = visits();
            let pool = builder
                .dispatchers(dispatchers)
                .workers_per_dispatcher(workers)
                .clock(Tiny::new())
                .build()
                .unwrap();
            ledger.watch(&pool);
            for _ in 0..500 {
                pool.send_blocking(quick(&ledger)).unwrap();
            }
            for round in 0..150 {
                let burst = [20, 100, 400][round % 3];
                let at = round * 31 % burst;
                let mut blocked = None;
                let mut rest = Vec::new();
                for n in 0..burst {
                    if n == at {
                        let (job, release) = held(&ledger);
                        blocked = Some((pool.submit_blocking(job).unwrap(), release));
                    } else {
                        rest.push(pool.submit_blocking(quick(&ledger)).unwrap());
                    }
                }
                // Whoever took them ahead: if one needs the blocked worker, this hangs.
                for handle in rest {
                    handle.wait().unwrap();
                }
                let (handle, release) = blocked.unwrap();
                assert!(!handle.is_finished());
                release.send(()).unwrap();
                handle.wait().unwrap();
            }
            ledger.close(pool.shutdown_blocking().counts);
        });
    }
}
