//! Maps: endless jobs through a pool in flat memory, in order or as they come, and what remains when
//! one ends early.

use crate::common::{Door, Ledger, Payload, ended, poll_once, watched};
use fanpool::{
    JobError, Map, Pool, RunError, SubmitError, Submitter, WeakSubmitter, async_handler_fn,
    handler_fn,
};
use futures_lite::StreamExt;
use futures_lite::future::block_on;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::sync::{Arc, OnceLock, mpsc};
use std::task::Poll;

/// Jobs whose outcome is the job itself, so that a job lives until its outcome is dropped.
type Jobs = Submitter<Payload, Payload, String>;

fn pool(
    ledger: &Ledger,
    workers: usize,
    capacity: usize,
    act: impl Fn(u64) + Clone + Send + Sync + 'static,
) -> Jobs {
    let pool = Pool::builder(handler_fn(move |job: Payload| {
        job.run(|| act(job.id()));
        Ok::<_, String>(job)
    }))
    .workers_per_dispatcher(workers)
    .queue_capacity(capacity)
    .build()
    .unwrap();
    ledger.watch(&pool);
    pool.submitter()
}

/// Makes jobs for ever.
fn endless(ledger: &Ledger) -> impl Iterator<Item = Payload> + Send + use<> {
    let ledger = ledger.clone();
    std::iter::repeat_with(move || ledger.job())
}

fn id<E: std::fmt::Debug>(outcome: Option<Result<Payload, E>>) -> u64 {
    outcome.expect("one more").unwrap().id()
}

fn map<I: Iterator<Item = Payload>>(
    pool: &Jobs,
    in_order: bool,
    jobs: I,
) -> Map<I, Payload, Payload, String> {
    if in_order {
        pool.map(jobs)
    } else {
        pool.map_unordered(jobs)
    }
}

#[test]
fn outcomes_are_in_order_whatever_order_the_jobs_end_in() {
    watched(|ledger| {
        for blocking in [true, false] {
            let doors: Arc<Vec<Door>> = Arc::new((0..4).map(|_| Door::new()).collect());
            let behind = doors.clone();
            let pool = pool(&ledger, 4, 8, move |id| behind[id as usize % 4].pass());
            let first = ledger.made() as u64;
            let (mapping, jobs) = (pool.clone(), endless(&ledger).take(4));
            let collecting = std::thread::spawn(move || -> Vec<u64> {
                if blocking {
                    mapping
                        .map_blocking(jobs)
                        .map(|job| id(Some(job)))
                        .collect()
                } else {
                    block_on(mapping.map(jobs).map(|job| id(Some(job))).collect())
                }
            });
            doors.iter().for_each(|door| door.wait_for(1));
            for (ended, door) in doors.iter().rev().enumerate() {
                door.open();
                while pool.metrics().completed <= ended as u64 {
                    std::thread::yield_now();
                }
            }
            let expected: Vec<u64> = (first..first + 4).collect();
            assert_eq!(collecting.join().unwrap(), expected);
            ended(&pool);
        }
        ledger.close_without_counts();
    });
}

#[test]
fn a_slow_job_holds_up_those_behind_it_only_where_order_is_asked_for() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let pool = pool(&ledger, 2, 8, move |id| {
            if id % 10 == 0 {
                behind.pass();
            }
        });
        // As they come: the nine quick ones overtake the slow one, and more than a window may.
        let mut any = pool
            .map_unordered_blocking(endless(&ledger).take(10))
            .window(3);
        let quick: BTreeSet<u64> = (0..9).map(|_| id(any.next())).collect();
        assert_eq!(quick, (1..10).collect());
        door.wait_for(1);
        door.see_one_through();
        assert_eq!(id(any.next()), 0);
        assert!(any.next().is_none() && any.next().is_none());
        // In order: no outcome, and no job beyond the window.
        let mut ordered = pool.map(endless(&ledger).take(10)).window(3);
        assert!(poll_once(&mut Box::pin(ordered.next())).is_pending());
        door.wait_for(1);
        while pool.metrics().completed < 12 {
            std::thread::yield_now();
        }
        assert!(poll_once(&mut Box::pin(ordered.next())).is_pending());
        assert_eq!(ledger.made(), 13);
        door.let_one();
        let all: Vec<u64> = ordered.into_iter().map(|job| id(Some(job))).collect();
        assert_eq!(all, (10..20).collect::<Vec<_>>());
        ledger.close(ended(&pool));
    });
}

/// A caller that is slower than the workers finds several outcomes each time it asks.
#[test]
fn no_outcome_is_overtaken_for_ever_by_later_ones() {
    watched(|ledger| {
        let pool = pool(&ledger, 1, 8, |_| ());
        let mut any = pool.map_unordered(endless(&ledger)).window(3);
        let mut asked = Vec::new();
        for _ in 0..20 {
            let polled = poll_once(&mut Box::pin(any.next()));
            // All that was submitted is over before the next is asked for.
            pool.join_blocking();
            match polled {
                Poll::Ready(outcome) => asked.push(id(outcome)),
                Poll::Pending => asked.push(id(block_on(any.next()))),
            }
        }
        for id in 0..10 {
            assert!(asked.contains(&id), "job {id} was starved: {asked:?}");
        }
        drop(any);
        ledger.close(ended(&pool));
    });
}

/// Never more than the window of jobs alive, counted whenever the next is made.
#[test]
fn endless_jobs_take_flat_memory() {
    watched(|ledger| {
        for in_order in [true, false] {
            for (window, capacity) in [(1, 8), (3, 1), (3, 8), (16, 2)] {
                for blocking in [true, false] {
                    let pool = pool(&ledger, 2, capacity, |_| ());
                    let books = Ledger::new();
                    let (most, counted) = (Arc::new(AtomicUsize::new(0)), books.clone());
                    let seen = most.clone();
                    let jobs = endless(&books).inspect(move |_| {
                        seen.fetch_max(counted.made() - counted.dropped(), SeqCst);
                    });
                    let map = map(&pool, in_order, jobs).window(window);
                    let mut done: Vec<u64> = if blocking {
                        let outcomes = map.into_iter().take(100);
                        outcomes.map(|job| id(Some(job))).collect()
                    } else {
                        block_on(map.take(100).map(|job| id(Some(job))).collect())
                    };
                    let most = most.load(SeqCst);
                    assert!(most <= window, "{most} alive with a window of {window}");
                    assert!(books.made() <= 100 + window, "{} made", books.made());
                    if in_order {
                        assert!(done.is_sorted());
                    }
                    done.sort_unstable();
                    done.dedup();
                    assert_eq!(done.len(), 100);
                    books.close(ended(&pool));
                }
            }
        }
    });
}

#[test]
fn the_window_goes_by_the_workers_unless_it_is_set() {
    watched(|ledger| {
        for (workers, set, expected) in [
            (1, None, 16),
            (5, None, 20),
            (2, Some(0), 1),
            (2, Some(1), 1),
            (2, Some(40), 40),
        ] {
            for blocking in [true, false] {
                let door = Door::new();
                let behind = door.clone();
                let before = ledger.made();
                let first = before as u64;
                // The first one is not kept, where it is waited for: who comes through a door is not told.
                let pool = pool(&ledger, workers, 1000, move |id| {
                    if !blocking || id != first {
                        behind.pass();
                    }
                });
                let mut map = pool.map(endless(&ledger));
                if let (Some(set), false) = (set, blocking) {
                    map = map.window(set);
                }
                assert_eq!(
                    ledger.made(),
                    before,
                    "nothing happens before the first poll"
                );
                if blocking {
                    let mut map = map.into_iter();
                    if let Some(set) = set {
                        map = map.window(set);
                    }
                    id(map.next());
                } else {
                    assert!(poll_once(&mut map.next_boxed()).is_pending());
                }
                assert_eq!(ledger.made() - before, expected);
                door.open();
                ended(&pool);
            }
        }
        ledger.close_without_counts();
    });
}

/// `next`, to be polled by hand.
trait NextBoxed {
    type Item;
    fn next_boxed(&mut self) -> std::pin::Pin<Box<dyn Future<Output = Option<Self::Item>> + '_>>;
}

impl<I: Iterator<Item = Payload>> NextBoxed for Map<I, Payload, Payload, String> {
    type Item = Result<Payload, RunError<Payload, String>>;
    fn next_boxed(&mut self) -> std::pin::Pin<Box<dyn Future<Output = Option<Self::Item>> + '_>> {
        Box::pin(self.next())
    }
}

#[test]
fn no_jobs_give_no_outcomes_even_when_closed() {
    watched(|ledger| {
        let pool = pool(&ledger, 1, 1, |_| ());
        for closed in [false, true] {
            if closed {
                pool.close();
            }
            for in_order in [true, false] {
                let none = || std::iter::empty::<Payload>();
                assert!(map(&pool, in_order, none()).into_iter().next().is_none());
                let mut polled = map(&pool, in_order, none());
                assert!(block_on(polled.next()).is_none());
                assert!(block_on(polled.next()).is_none());
            }
        }
        let counts = ended(&pool);
        assert_eq!(counts.submitted, 0);
        ledger.close(counts);
    });
}

/// One job of others behind the door and two that fill the queue.
fn full_of_others(ledger: &Ledger, door: &Door) -> Jobs {
    let behind = door.clone();
    let pool = pool(ledger, 1, 2, move |_| behind.pass());
    pool.send_blocking(ledger.job()).unwrap();
    door.wait_for(1);
    pool.try_send(ledger.job()).unwrap();
    pool.try_send(ledger.job()).unwrap();
    pool
}

#[test]
fn a_queue_full_of_others_jobs_is_waited_for() {
    watched(|ledger| {
        for in_order in [true, false] {
            let door = Door::new();
            let pool = full_of_others(&ledger, &door);
            let before = ledger.made();
            let mut map = map(&pool, in_order, endless(&ledger).take(5));
            // Given up again and again: no job is made, lost or sent twice for that.
            for _ in 0..3 {
                assert!(poll_once(&mut map.next_boxed()).is_pending());
                assert_eq!(ledger.made() - before, 1);
                assert_eq!(pool.metrics().waiting, 2);
            }
            door.see_one_through();
            door.wait_for(1);
            assert!(poll_once(&mut map.next_boxed()).is_pending());
            assert_eq!(pool.metrics().waiting, 2, "the room that freed is taken");
            door.open();
            let mut done: Vec<u64> = map.into_iter().map(|job| id(Some(job))).collect();
            done.sort_unstable();
            let before = before as u64;
            assert_eq!(done, (before..before + 5).collect::<Vec<_>>());
            let counts = ended(&pool);
            assert_eq!((counts.completed, counts.refused), (8, 0));
            assert_eq!((counts.occupied, counts.reserved), (0, 0));
        }
        ledger.close_without_counts();
    });
}

#[test]
fn a_map_that_waits_for_room_and_is_dropped_leaves_the_room_to_others() {
    watched(|ledger| {
        let door = Door::new();
        let pool = full_of_others(&ledger, &door);
        let mut jobs = endless(&ledger);
        let mut map = pool.map(jobs.by_ref());
        assert!(poll_once(&mut map.next_boxed()).is_pending());
        let mut other = Box::pin(pool.submit(ledger.job()));
        assert!(poll_once(&mut other).is_pending());
        door.see_one_through();
        door.wait_for(1);
        // Woken first, and gone before it came for it.
        drop(map);
        assert_eq!(ledger.dropped(), 2, "the one that it had taken out");
        let other = block_on(other).unwrap();
        door.open();
        drop(other.wait().unwrap());
        let counts = ended(&pool);
        assert_eq!(
            (counts.completed, counts.occupied, counts.reserved),
            (4, 0, 0)
        );
        ledger.close(counts);
    });
}

#[test]
fn what_was_submitted_runs_and_the_rest_stays_in_the_iterator() {
    watched(|ledger| {
        for in_order in [true, false] {
            let pool = pool(&ledger, 1, 100, |_| ());
            let made: Vec<Payload> = endless(&ledger).take(20).collect();
            let mut jobs = made.into_iter();
            let mut map = map(&pool, in_order, jobs.by_ref()).window(4);
            for _ in 0..3 {
                drop(block_on(map.next()).unwrap().unwrap());
            }
            drop(map);
            // Three outcomes were given, and the window was last filled before the third.
            assert_eq!(jobs.len(), 20 - 3 - 3);
            let counts = ended(&pool);
            assert_eq!(counts.completed, 6);
            drop(jobs);
        }
        ledger.close_without_counts();
    });
}

#[test]
fn a_close_hands_one_job_back_at_the_end_and_leaves_the_rest() {
    watched(|ledger| {
        for in_order in [true, false] {
            for blocking in [true, false] {
                let pool = pool(&ledger, 1, 100, |_| ());
                let first = ledger.made() as u64;
                let made: Vec<Payload> = endless(&ledger).take(20).collect();
                let mut jobs = made.into_iter();
                let map = map(&pool, in_order, jobs.by_ref()).window(4);
                let mut outcomes = Vec::new();
                let close_after_two = |given: usize| {
                    if given == 2 {
                        pool.close();
                    }
                };
                if blocking {
                    let mut map = map.into_iter();
                    for outcome in map.by_ref() {
                        outcomes.push(outcome);
                        close_after_two(outcomes.len());
                    }
                    assert!(map.next().is_none() && map.next().is_none());
                } else {
                    let mut map = map;
                    while let Some(outcome) = block_on(StreamExt::next(&mut map)) {
                        outcomes.push(outcome);
                        close_after_two(outcomes.len());
                    }
                    assert!(block_on(map.next()).is_none() && block_on(map.next()).is_none());
                }
                // Five were submitted until then; the sixth was refused.
                match outcomes.pop() {
                    Some(Err(RunError::Refused(SubmitError::Closed(job)))) => {
                        assert_eq!(job.id(), first + 5);
                    }
                    other => panic!("{other:?}"),
                }
                let done: BTreeSet<u64> = outcomes.into_iter().map(|job| id(Some(job))).collect();
                assert_eq!(done, (first..first + 5).collect());
                assert_eq!(jobs.next().unwrap().id(), first + 6);
                assert_eq!(jobs.len(), 13);
                let counts = ended(&pool);
                assert_eq!((counts.completed, counts.refused), (5, 1));
            }
        }
        ledger.close_without_counts();
    });
}

#[test]
fn a_close_while_a_map_waits_for_room_hands_its_job_back() {
    watched(|ledger| {
        for in_order in [true, false] {
            let door = Door::new();
            let pool = full_of_others(&ledger, &door);
            let first = ledger.made() as u64;
            let mut map = map(&pool, in_order, endless(&ledger));
            assert!(poll_once(&mut map.next_boxed()).is_pending());
            pool.close();
            match block_on(map.next()) {
                Some(Err(RunError::Refused(SubmitError::Closed(job)))) => {
                    assert_eq!(job.id(), first);
                }
                other => panic!("{other:?}"),
            }
            assert!(block_on(map.next()).is_none());
            assert!(block_on(map.next()).is_none());
            assert_eq!(ledger.made() as u64, first + 1);
            door.open();
            assert_eq!(ended(&pool).refused, 1);
        }
        ledger.close_without_counts();
    });
}

#[test]
fn an_iterator_that_panics_may_be_gone_on_with() {
    watched(|ledger| {
        for in_order in [true, false] {
            let pool = pool(&ledger, 1, 8, |_| ());
            let first = ledger.made() as u64;
            let books = ledger.clone();
            let jobs = (0..6).map(move |n| {
                assert!(n != 3, "half-way");
                books.job()
            });
            let mut map = map(&pool, in_order, jobs);
            let panic = catch_unwind(AssertUnwindSafe(|| block_on(map.next()))).unwrap_err();
            assert_eq!(panic.downcast_ref::<&str>(), Some(&"half-way"));
            let done: BTreeSet<u64> = map.into_iter().map(|job| id(Some(job))).collect();
            assert_eq!(done, (first..first + 5).collect());
            ended(&pool);
        }
        ledger.close_without_counts();
    });
}

#[test]
fn waits_that_are_given_up_lose_no_outcome_and_no_job() {
    watched(|ledger| {
        for in_order in [true, false] {
            let door = Door::new();
            let behind = door.clone();
            let pool = pool(&ledger, 2, 2, move |_| behind.pass());
            let first = ledger.made() as u64;
            let mut map = map(&pool, in_order, endless(&ledger).take(30)).window(5);
            let mut done = Vec::new();
            while done.len() < 30 {
                // Gives up after each poll, and begins anew.
                loop {
                    door.let_one();
                    if let Poll::Ready(outcome) = poll_once(&mut map.next_boxed()) {
                        done.push(id(outcome));
                        break;
                    }
                    std::thread::yield_now();
                }
            }
            assert!(block_on(map.next()).is_none());
            done.sort_unstable();
            assert_eq!(done, (first..first + 30).collect::<Vec<_>>());
            let counts = ended(&pool);
            assert_eq!((counts.completed, counts.reserved), (30, 0));
        }
        ledger.close_without_counts();
    });
}

#[test]
fn jobs_that_panic_are_outcomes_like_others() {
    watched(|ledger| {
        for in_order in [true, false] {
            let pool = pool(&ledger, 2, 3, |id| assert!(id % 3 != 0, "every third"));
            let first = ledger.made() as u64;
            let (mut panicked, mut done) = (0, 0);
            for outcome in map(&pool, in_order, endless(&ledger).take(60)).into_iter() {
                match outcome {
                    Err(RunError::Job(JobError::Panicked(panic))) => {
                        assert_eq!(panic.to_string(), "every third");
                        panicked += 1;
                    }
                    outcome => {
                        assert_ne!(outcome.unwrap().id() % 3, 0);
                        done += 1;
                    }
                }
            }
            assert_eq!((panicked, done), (20, 40), "from {first}");
            let counts = ended(&pool);
            assert_eq!((counts.panicked, counts.completed), (20, 40));
        }
        ledger.close_without_counts();
    });
}

#[test]
fn a_shutdown_ends_a_map_with_what_became_of_each() {
    watched(|ledger| {
        for in_order in [true, false] {
            let door = Door::new();
            let behind = door.clone();
            let pool = pool(&ledger, 1, 8, move |_| behind.pass());
            let mut map = map(&pool, in_order, endless(&ledger)).window(3);
            assert!(poll_once(&mut map.next_boxed()).is_pending());
            door.wait_for(1);
            let mut ending = Box::pin(pool.shutdown_now());
            assert!(poll_once(&mut ending).is_pending());
            door.open();
            let report = block_on(ending);
            assert_eq!(report.unrun.len(), 2);
            let (mut done, mut handed_back, mut refused) = (0, 0, 0);
            for outcome in map {
                match outcome {
                    Ok(_) => done += 1,
                    Err(RunError::Job(JobError::HandedBack)) => handed_back += 1,
                    Err(RunError::Refused(SubmitError::Closed(_))) => refused += 1,
                    Err(other) => panic!("{other:?}"),
                }
            }
            assert_eq!((done, handed_back, refused), (1, 2, 1));
        }
        ledger.close_without_counts();
    });
}

type Own = Arc<OnceLock<WeakSubmitter<u64, Vec<String>, String>>>;

/// Job n maps n jobs through its own pool.
fn nesting(workers: usize, capacity: usize, in_order: bool) -> Submitter<u64, Vec<String>, String> {
    let own: Own = Arc::default();
    let inner = own.clone();
    let pool = Pool::builder(handler_fn(move |n: u64| {
        let pool = inner.get().and_then(WeakSubmitter::upgrade);
        let (Some(pool), true) = (pool, n > 0) else {
            return Ok(Vec::new());
        };
        let jobs = (0..n).map(|_| 0);
        let map = if in_order {
            pool.map(jobs)
        } else {
            pool.map_unordered(jobs)
        };
        let told = map.into_iter().map(|outcome| match outcome {
            Ok(_) => "ok".to_owned(),
            Err(error) => format!("{error:?}"),
        });
        Ok::<Vec<String>, String>(told.collect())
    }))
    .workers_per_dispatcher(workers)
    .queue_capacity(capacity)
    .build()
    .unwrap();
    assert!(own.set(pool.submitter().downgrade()).is_ok());
    pool.submitter()
}

#[test]
fn a_job_that_maps_on_its_own_only_worker_is_told() {
    watched(|ledger| {
        for in_order in [true, false] {
            let pool = nesting(1, 3, in_order);
            ledger.watch(&pool);
            let told = pool.run_blocking(10).unwrap();
            // Three have room and are given up on one by one; the fourth never gets any.
            assert_eq!(
                told,
                [
                    "Job(WouldDeadlock)",
                    "Job(WouldDeadlock)",
                    "Job(WouldDeadlock)",
                    "Refused(WouldDeadlock(..))"
                ]
            );
            assert!(pool.run_blocking(0).unwrap().is_empty());
            let counts = ended(&pool);
            assert_eq!((counts.completed, counts.refused), (5, 1));
            ledger.close_with_foreign_jobs(counts);
        }
    });
}

#[test]
fn a_job_maps_on_another_worker_of_its_pool() {
    watched(|ledger| {
        for in_order in [true, false] {
            for capacity in [1, 100] {
                let pool = nesting(2, capacity, in_order);
                ledger.watch(&pool);
                for _ in 0..10 {
                    assert_eq!(pool.run_blocking(30).unwrap(), vec!["ok"; 30]);
                }
                ledger.close_with_foreign_jobs(ended(&pool));
            }
        }
    });
}

/// A job that got an outcome and works on, with others of its map still under way, is not waiting:
/// another that waits meanwhile is not the last one.
#[test]
fn a_job_that_works_between_two_outcomes_is_nobody_who_waits() {
    watched(|ledger| {
        const MAPS: u64 = 0;
        const QUICK: u64 = 1;
        const WAITS: u64 = 2;
        const NOTHING: u64 = 3;
        for in_order in [true, false] {
            let own: Arc<OnceLock<WeakSubmitter<u64, (), String>>> = Arc::default();
            let inner = own.clone();
            let (quick, begin) = (Door::new(), Door::new());
            let (tell, told) = mpsc::channel();
            let (got, go_on) = (Door::new(), Door::new());
            let (saw, opened) = (got.clone(), go_on.clone());
            let starts = begin.clone();
            let pool = Pool::builder(handler_fn(move |n: u64| {
                let pool = inner.get().and_then(WeakSubmitter::upgrade);
                match (n, pool) {
                    (MAPS, Some(pool)) => {
                        let jobs = [QUICK, WAITS];
                        let mut map = if in_order {
                            pool.map(jobs)
                        } else {
                            pool.map_unordered(jobs)
                        };
                        assert!(poll_once(&mut Box::pin(map.next())).is_pending());
                        quick.open();
                        let mut outcomes = map.into_iter();
                        outcomes.next().unwrap().unwrap_or(());
                        got.pass();
                        drop(outcomes);
                    }
                    (QUICK, _) => quick.pass(),
                    (WAITS, Some(pool)) => {
                        begin.pass();
                        let mut handle = pool.try_submit(NOTHING).unwrap();
                        let polled = poll_once(&mut handle);
                        tell.send(format!("{polled:?}")).unwrap();
                        go_on.pass();
                    }
                    _ => {}
                }
                Ok::<_, String>(())
            }))
            .workers_per_dispatcher(2)
            .build()
            .unwrap();
            ledger.watch(&pool);
            assert!(own.set(pool.submitter().downgrade()).is_ok());
            pool.send_blocking(MAPS).unwrap();
            saw.wait_for(1);
            starts.open();
            assert_eq!(told.recv().unwrap(), "Pending");
            saw.open();
            opened.open();
            ledger.close_with_foreign_jobs(ended(&pool));
        }
    });
}

#[test]
fn maps_and_groups_live_in_tasks_that_change_threads() {
    watched(|ledger| {
        let runtimes = [
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .build()
                .unwrap(),
            // The workers on the one thread of the caller.
            tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap(),
        ];
        for runtime in runtimes {
            let handle = runtime.handle().clone();
            let pool = Pool::builder(async_handler_fn(|job: Payload| async move {
                job.started();
                futures_lite::future::yield_now().await;
                job.ended();
                Ok::<_, String>(job)
            }))
            .workers_per_dispatcher(2)
            .queue_capacity(3)
            .spawner(move |worker| {
                handle.spawn(worker);
            })
            .build()
            .unwrap();
            ledger.watch(&pool);
            let (books, submitter) = (ledger.clone(), pool.submitter());
            let body = runtime.spawn(async move {
                for in_order in [true, false] {
                    let mut map = map(&submitter, in_order, endless(&books));
                    for _ in 0..100 {
                        map.next().await.unwrap().unwrap();
                    }
                    let rest = map.take(50).map(|job| id(Some(job)));
                    assert_eq!(rest.collect::<Vec<_>>().await.len(), 50);
                }
                let group = submitter.submit_all(endless(&books).take(20));
                let mut group = group.await.unwrap();
                let mut ended = 0;
                while let Some(outcome) = group.next().await {
                    outcome.unwrap();
                    ended += 1;
                }
                assert_eq!(ended, 20);
            });
            runtime.block_on(body).unwrap();
            let report = runtime.block_on(pool.shutdown());
            drop(report);
        }
        ledger.close_without_counts();
    });
}

/// The iterator of a group is used up when the call returns, so it need not be `Send`.
#[test]
fn the_future_of_a_group_is_send_although_its_iterator_is_not() {
    fn send<F: Future + Send>(future: F) -> F {
        future
    }
    watched(|ledger| {
        let pool = pool(&ledger, 1, 8, |_| ());
        let (books, count) = (ledger.clone(), Rc::new(3));
        let jobs = (0..*count.clone()).map(|_| {
            let _not_send = Rc::clone(&count);
            books.job()
        });
        let group = block_on(send(pool.submit_all(jobs))).unwrap();
        assert_eq!(send(group).wait().len(), 3);
        let mut map = pool.map(endless(&ledger).take(3));
        drop(block_on(send(map.next())));
        let errors = pool.errors();
        drop(send(errors.recv()));
        drop(map);
        ledger.close(ended(&pool));
    });
}
