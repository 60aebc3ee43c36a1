//! Groups of jobs: one handle for many, in order, whole or in part, whatever becomes of each of them.

use crate::common::by_hand::ByHand;
use crate::common::{Door, Ledger, Payload, ended, poll_once, watched};
use fanpool::clock::ManualClock;
use fanpool::{
    BoxFuture, GroupHandle, Job, JobContext, JobError, KeyAffinity, Pool, RunError, Spawner,
    SubmitError, Submitter, Threads, WeakSubmitter, WorkerId, async_handler_fn, handler_fn,
    handler_fn_with,
};
use futures_lite::StreamExt;
use futures_lite::future::block_on;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

type Jobs = Submitter<Payload, u64, String>;

/// A pool on threads whose jobs do `act` and give their number.
fn pool(
    ledger: &Ledger,
    workers: usize,
    capacity: usize,
    act: impl Fn(&Payload, &JobContext) -> Result<(), String> + Clone + Send + Sync + 'static,
) -> Jobs {
    let run = move |job: Payload, cx: &JobContext| job.run(|| act(&job, cx)).map(|()| job.id());
    let pool = Pool::builder(handler_fn_with(run))
        .workers_per_dispatcher(workers)
        .queue_capacity(capacity)
        .build()
        .unwrap();
    ledger.watch(&pool);
    pool.submitter()
}

/// The same, each job behind a door of its own.
fn behind_doors(ledger: &Ledger, workers: usize, capacity: usize, doors: &[Door]) -> Jobs {
    let doors = doors.to_vec();
    pool(ledger, workers, capacity, move |job, _| {
        doors[job.id() as usize].pass();
        Ok(())
    })
}

fn doors(count: usize) -> Vec<Door> {
    (0..count).map(|_| Door::new()).collect()
}

fn jobs(ledger: &Ledger, count: usize) -> Vec<Payload> {
    (0..count).map(|_| ledger.job()).collect()
}

fn numbers<E: std::fmt::Debug>(outcomes: Vec<Result<u64, JobError<E>>>) -> Vec<u64> {
    outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap())
        .collect()
}

fn ids(jobs: Vec<Payload>) -> Vec<u64> {
    jobs.iter().map(Payload::id).collect()
}

#[test]
fn outcomes_are_in_order_whatever_order_the_jobs_end_in() {
    watched(|ledger| {
        let doors = doors(4);
        let pool = behind_doors(&ledger, 4, 8, &doors);
        let mut group = pool.submit_all_blocking(jobs(&ledger, 4)).unwrap();
        let numbered: Vec<_> = group.ids().collect();
        assert!(numbered.is_sorted() && numbered.len() == 4);
        doors.iter().for_each(|door| door.wait_for(1));
        for (ended, door) in doors.iter().rev().enumerate() {
            assert!(!group.is_finished());
            assert!(poll_once(&mut group).is_pending());
            door.open();
            while pool.metrics().completed <= ended as u64 {
                std::thread::yield_now();
            }
        }
        assert_eq!(numbers(group.wait()), [0, 1, 2, 3]);
        ledger.close(ended(&pool));
    });
}

#[test]
fn a_group_may_be_larger_than_the_queue() {
    watched(|ledger| {
        let most = Arc::new(AtomicUsize::new(0));
        let seen = most.clone();
        let own: Arc<OnceLock<WeakSubmitter<Payload, u64, String>>> = Arc::default();
        let inner = own.clone();
        let pool = pool(&ledger, 1, 3, move |_, _| {
            if let Some(pool) = inner.get().and_then(WeakSubmitter::upgrade) {
                seen.fetch_max(pool.metrics().waiting as usize, SeqCst);
            }
            Ok(())
        });
        assert!(own.set(pool.downgrade()).is_ok());
        let blocking = pool.submit_all_blocking(jobs(&ledger, 100)).unwrap();
        assert_eq!(numbers(blocking.wait()), (0..100).collect::<Vec<_>>());
        let polled = block_on(pool.submit_all(jobs(&ledger, 100))).unwrap();
        assert_eq!(polled.len(), 100);
        assert_eq!(numbers(block_on(polled)), (100..200).collect::<Vec<_>>());
        assert!(most.load(SeqCst) <= 3, "{most:?} waited");
        ledger.close(ended(&pool));
    });
}

#[test]
fn the_first_gap_of_an_iterator_that_goes_on_is_the_groups_end() {
    watched(|ledger| {
        let pool = pool(&ledger, 1, 100, |_, _| Ok(()));
        for group in 0..3 {
            // With cells that are new, and those of the group before.
            let mut before = jobs(&ledger, 40);
            let mut after = jobs(&ledger, 40);
            let first = group * 80;
            before.reverse();
            after.reverse();
            let mut gap = true;
            let unfused = std::iter::from_fn(move || match before.pop() {
                None if std::mem::take(&mut gap) => None,
                None => after.pop(),
                job => job,
            });
            let done = pool.submit_all_blocking(unfused).unwrap().wait();
            assert_eq!(numbers(done), (first..first + 40).collect::<Vec<_>>());
        }
        ended(&pool);
    });
}

#[test]
fn a_group_that_no_memory_could_hold_is_a_panic_and_costs_the_pool_nothing() {
    let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, String>(n)))
        .build()
        .unwrap();
    let endless = AssertUnwindSafe(|| pool.submit_all_blocking(std::iter::repeat(1)).is_ok());
    assert!(catch_unwind(endless).is_err());
    assert_eq!(pool.submit_all_blocking(0..3).unwrap().wait().len(), 3);
    assert_eq!(pool.shutdown_blocking().counts.submitted, 3);
}

#[test]
fn an_empty_group_is_over_at_once() {
    watched(|ledger| {
        let pool = pool(&ledger, 1, 1, |_, _| Ok(()));
        let none = || std::iter::empty::<Payload>();
        for closed in [false, true] {
            if closed {
                pool.close();
            }
            let mut group = block_on(pool.submit_all(none())).unwrap();
            assert!(group.is_empty() && group.is_finished() && group.ids().next().is_none());
            assert_eq!(group.cancel(), Default::default());
            assert!(group.next_blocking().is_none());
            assert!(group.wait_timeout(Duration::ZERO).unwrap().is_empty());
            let group = pool.submit_all_blocking(none()).unwrap();
            assert!(group.into_iter().next().is_none());
            let group = pool.try_submit_all(none()).unwrap();
            assert!(block_on(group.into_stream().next()).is_none());
        }
        let counts = ended(&pool);
        assert_eq!(counts.submitted, 0);
        ledger.close(counts);
    });
}

#[test]
fn the_first_outcome_is_to_be_had_while_the_last_job_is_blocked() {
    watched(|ledger| {
        let doors = doors(6);
        let pool = behind_doors(&ledger, 1, 8, &doors);
        let submit = || pool.submit_all_blocking(jobs(&ledger, 2)).unwrap();

        let mut group = submit();
        doors[0].open();
        assert_eq!(group.next_blocking().unwrap().unwrap(), 0);
        assert_eq!(group.len(), 1);
        doors[1].wait_for(1);
        doors[1].open();
        assert_eq!(group.next_blocking().unwrap().unwrap(), 1);
        assert!(group.next_blocking().is_none());

        let mut iter = submit().into_iter();
        doors[2].open();
        assert_eq!(iter.next().unwrap().unwrap(), 2);
        assert_eq!(iter.len(), 1);
        doors[3].wait_for(1);
        doors[3].open();
        assert_eq!(iter.next().unwrap().unwrap(), 3);
        assert!(iter.next().is_none() && iter.next().is_none());

        let mut stream = submit().into_stream();
        block_on(async {
            doors[4].open();
            assert_eq!(stream.next().await.unwrap().unwrap(), 4);
            assert!(poll_once(&mut stream.next()).is_pending());
            doors[5].open();
            assert_eq!(stream.next().await.unwrap().unwrap(), 5);
            assert!(stream.next().await.is_none());
            assert!(stream.next().await.is_none());
        });
        ledger.close(ended(&pool));
    });
}

#[test]
fn outcomes_taken_one_by_one_are_not_given_again() {
    watched(|ledger| {
        let doors = doors(3);
        let pool = behind_doors(&ledger, 3, 8, &doors);
        let mut group = pool.submit_all_blocking(jobs(&ledger, 3)).unwrap();
        // The last one first, so that the wait for all has got half-way when it is given up.
        doors[2].open();
        while pool.metrics().completed < 1 {
            std::thread::yield_now();
        }
        assert!(poll_once(&mut group).is_pending());
        doors[0].open();
        assert_eq!(block_on(group.next()).unwrap().unwrap(), 0);
        {
            let mut given_up = Box::pin(group.next());
            assert!(poll_once(&mut given_up).is_pending());
        }
        assert!(poll_once(&mut group).is_pending());
        doors[1].open();
        assert_eq!(numbers(block_on(&mut group)), [1, 2]);
        assert!(group.is_empty());
        assert!(block_on(group.next()).is_none());
        assert!(group.wait().is_empty(), "a second wait has nothing left");
        ledger.close(ended(&pool));
    });
}

/// Counts how often it is woken, and wakes a thread.
struct Counting(AtomicUsize, std::thread::Thread);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
        self.1.unpark();
    }
}

#[test]
fn who_waits_for_all_is_not_woken_for_each() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let pool = pool(&ledger, 1, 200, move |_, _| {
            behind.pass();
            Ok(())
        });
        let mut group = pool.submit_all_blocking(jobs(&ledger, 200)).unwrap();
        let counting = Arc::new(Counting(AtomicUsize::new(0), std::thread::current()));
        let waker = Waker::from(counting.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut group).poll(&mut cx).is_pending());
        for ended in 1..=200 {
            assert_eq!(counting.0.load(SeqCst), 0, "{ended} of 200 are over");
            door.see_one_through();
            while pool.metrics().completed < ended {
                std::thread::yield_now();
            }
        }
        let outcomes = loop {
            std::thread::park();
            if let Poll::Ready(outcomes) = Pin::new(&mut group).poll(&mut cx) {
                break outcomes;
            }
        };
        assert_eq!(outcomes.len(), 200);
        assert_eq!(counting.0.load(SeqCst), 1, "one worker ends them in order");
        ledger.close(ended(&pool));
    });
}

#[test]
fn a_timed_wait_gives_the_group_back_and_loses_nothing() {
    watched(|ledger| {
        let clock = ManualClock::new();
        let door = Door::new();
        let behind = door.clone();
        let pool = Pool::builder(handler_fn(move |job: Payload| {
            job.run(|| {
                if job.id() > 0 {
                    behind.pass();
                }
            });
            Ok::<_, String>(job.id())
        }))
        .workers_per_dispatcher(1)
        .clock(clock.clone())
        .build()
        .unwrap();
        ledger.watch(&pool);
        let mut group = pool.submit_all_blocking(jobs(&ledger, 3)).unwrap();
        for _ in 0..3 {
            let waiter = std::thread::spawn(move || group.wait_timeout(Duration::from_secs(5)));
            while !waiter.is_finished() {
                clock.advance(Duration::from_secs(1));
                std::thread::yield_now();
            }
            group = waiter.join().unwrap().unwrap_err();
            assert_eq!(group.len(), 3);
        }
        assert_eq!(group.next_blocking().unwrap().unwrap(), 0);
        door.open();
        assert_eq!(numbers(group.wait_timeout(Duration::MAX).unwrap()), [1, 2]);
        let gone = pool.submit_all_blocking(jobs(&ledger, 2)).unwrap();
        let counts = ended(&pool);
        drop(pool);
        assert_eq!(numbers(gone.wait_timeout(Duration::ZERO).unwrap()), [3, 4]);
        ledger.close(counts);
    });
}

/// One job behind the door, and room for two more.
fn busy(ledger: &Ledger, door: &Door) -> Jobs {
    let behind = door.clone();
    let pool = pool(ledger, 1, 2, move |_, _| {
        behind.pass();
        Ok(())
    });
    pool.send_blocking(ledger.job()).unwrap();
    door.wait_for(1);
    pool
}

#[test]
fn a_close_hands_the_jobs_back_that_had_no_room_yet() {
    watched(|ledger| {
        for blocking in [true, false] {
            let door = Door::new();
            let pool = busy(&ledger, &door);
            let group = jobs(&ledger, 5);
            let first = group[0].id();
            let error = if blocking {
                let submitter = pool.clone();
                let submitting = std::thread::spawn(move || submitter.submit_all_blocking(group));
                while pool.metrics().waiting < 2 {
                    std::thread::yield_now();
                }
                pool.close();
                submitting.join().unwrap().unwrap_err()
            } else {
                let mut submitting = Box::pin(pool.submit_all(group));
                assert!(poll_once(&mut submitting).is_pending());
                assert_eq!(pool.metrics().waiting, 2);
                pool.close();
                block_on(submitting).unwrap_err()
            };
            assert_eq!(
                error.to_string(),
                "2 of the jobs were accepted, then the pool is closed"
            );
            assert!(matches!(error.refused, SubmitError::Closed(_)));
            assert_eq!(
                ids(error.refused.into_job()),
                [first + 2, first + 3, first + 4]
            );
            door.open();
            assert_eq!(numbers(error.accepted.wait()), [first, first + 1]);
            let counts = ended(&pool);
            assert_eq!((counts.completed, counts.refused), (3, 3));
        }
        ledger.close_without_counts();
    });
}

#[test]
fn who_does_not_wait_gets_the_tail_back() {
    watched(|ledger| {
        let door = Door::new();
        let pool = busy(&ledger, &door);
        let error = pool.try_submit_all(jobs(&ledger, 5)).unwrap_err();
        assert!(error.refused.is_full());
        assert_eq!(ids(error.refused.into_job()), [3, 4, 5]);
        let none = pool.try_submit_all(jobs(&ledger, 2)).unwrap_err();
        assert!(none.accepted.is_empty() && none.refused.is_full());
        assert_eq!(ids(none.refused.into_job()), [6, 7]);
        door.open();
        assert_eq!(numbers(error.accepted.wait()), [1, 2]);
        let whole = pool.try_submit_all(jobs(&ledger, 2)).unwrap();
        assert_eq!(numbers(whole.wait()), [8, 9]);
        pool.close();
        let closed = pool.try_submit_all(jobs(&ledger, 2)).unwrap_err();
        assert!(closed.accepted.is_empty() && closed.refused.is_closed());
        assert_eq!(ids(closed.refused.into_job()), [10, 11]);
        let counts = ended(&pool);
        assert_eq!((counts.completed, counts.refused), (5, 7));
        ledger.close(counts);
    });
}

#[test]
fn a_group_that_is_given_up_on_its_way_in_runs_as_far_as_it_came() {
    watched(|ledger| {
        let door = Door::new();
        let pool = busy(&ledger, &door);
        let mut submitting = Box::pin(pool.submit_all(jobs(&ledger, 5)));
        assert!(poll_once(&mut submitting).is_pending());
        assert_eq!(ledger.dropped(), 0);
        drop(submitting);
        assert_eq!(ledger.dropped(), 3, "the rest is dropped with the future");
        // One that was never polled had nothing accepted.
        drop(pool.submit_all(jobs(&ledger, 2)));
        assert_eq!(ledger.dropped(), 5);
        assert_eq!(pool.metrics().waiting, 2);
        door.open();
        let counts = ended(&pool);
        assert_eq!((counts.accepted, counts.completed), (3, 3), "{counts}");
        ledger.close(counts);
    });
}

#[test]
fn dropped_and_forgotten_groups_detach() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let pool = pool(&ledger, 2, 100, move |_, _| {
            behind.pass();
            Ok(())
        });
        drop(pool.submit_all_blocking(jobs(&ledger, 5)).unwrap());
        std::mem::forget(pool.submit_all_blocking(jobs(&ledger, 5)).unwrap());
        let mut polled = pool.submit_all_blocking(jobs(&ledger, 5)).unwrap();
        assert!(poll_once(&mut polled).is_pending());
        drop(polled);
        let mut in_part = pool.submit_all_blocking(jobs(&ledger, 5)).unwrap();
        door.open();
        in_part.next_blocking().unwrap().unwrap();
        drop(in_part.into_stream());
        let counts = ended(&pool);
        assert_eq!(counts.completed, 20);
        ledger.close(counts);
    });
}

#[test]
fn a_cancel_takes_back_what_waits_asks_what_runs_and_counts_what_is_over() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let pool = pool(&ledger, 1, 3, move |job, cx| {
            if job.id() == 1 {
                assert!(!cx.is_cancelled());
                behind.pass();
                if cx.is_cancelled() {
                    return Err("stopped half-way".to_owned());
                }
            }
            assert!(!cx.is_cancelled(), "job {} was not asked", job.id());
            Ok(())
        });
        let group = pool.submit_all_blocking(jobs(&ledger, 5)).unwrap();
        door.wait_for(1);
        assert_eq!(pool.metrics().waiting, 3);
        let first = group.cancel();
        assert_eq!(
            (first.removed, first.requested, first.too_late),
            (3, 1, 1),
            "{first:?}"
        );
        // Their room is free and they are gone, although the worker has not moved.
        assert_eq!(pool.metrics().waiting, 0);
        assert_eq!(ledger.dropped(), 4);
        let others = pool.try_submit_all(jobs(&ledger, 3)).unwrap();
        let again = group.cancel();
        assert_eq!((again.removed, again.requested, again.too_late), (0, 1, 4));
        assert!(!group.is_finished());
        door.open();
        let mut outcomes = group.into_iter();
        assert_eq!(outcomes.next().unwrap().unwrap(), 0);
        let asked = outcomes.next().unwrap();
        assert!(matches!(asked, Err(JobError::Failed(e)) if e == "stopped half-way"));
        for _ in 0..3 {
            assert!(matches!(outcomes.next(), Some(Err(JobError::Cancelled))));
        }
        assert!(outcomes.next().is_none());
        assert_eq!(numbers(others.wait()), [5, 6, 7]);
        let counts = ended(&pool);
        assert_eq!(
            (counts.cancelled, counts.failed, counts.completed),
            (3, 1, 4)
        );
        ledger.close(counts);
    });
}

#[test]
fn a_cancel_leaves_those_alone_whose_outcomes_were_taken() {
    watched(|ledger| {
        let pool = pool(&ledger, 1, 8, |_, _| Ok(()));
        let mut group = pool.submit_all_blocking(jobs(&ledger, 3)).unwrap();
        group.next_blocking().unwrap().unwrap();
        pool.join_blocking();
        let cancelled = group.cancel();
        assert_eq!((cancelled.removed, cancelled.requested), (0, 0));
        assert_eq!(cancelled.too_late, 2);
        assert_eq!(numbers(group.wait()), [1, 2]);
        ledger.close(ended(&pool));
    });
}

#[test]
fn a_job_that_panics_or_fails_hurts_no_other_of_its_group() {
    watched(|ledger| {
        let pool = pool(&ledger, 2, 4, |job, _| match job.id() % 3 {
            0 => panic!("job {} of the test", job.id()),
            1 => Err(format!("no {}", job.id())),
            _ => Ok(()),
        });
        let group = pool.submit_all_blocking(jobs(&ledger, 60)).unwrap();
        for (id, outcome) in (0..).zip(group.wait()) {
            match (id % 3, outcome) {
                (0, Err(JobError::Panicked(panic))) => {
                    assert_eq!(panic.to_string(), format!("job {id} of the test"));
                }
                (1, Err(JobError::Failed(error))) => assert_eq!(error, format!("no {id}")),
                (_, outcome) => assert_eq!(outcome.unwrap(), id),
            }
        }
        let counts = ended(&pool);
        assert_eq!(
            (counts.panicked, counts.failed, counts.completed),
            (20, 20, 20)
        );
        assert!(pool.errors().try_recv().is_none(), "these have a handle");
        ledger.close(counts);
    });
}

/// Panics when it is dropped, unless it was defused; says so to whoever counts.
#[derive(Debug)]
struct Bomb(&'static str, Arc<AtomicUsize>);

impl Drop for Bomb {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            self.1.fetch_add(1, SeqCst);
            if !std::thread::panicking() {
                panic!("drop of a {}", self.0);
            }
        }
    }
}

/// Each job gives what it says: a result or an error that explodes.
fn exploding(door: &Door) -> Submitter<Bomb, Bomb, Bomb> {
    let behind = door.clone();
    Pool::builder(handler_fn(move |mut job: Bomb| {
        behind.pass();
        let what = std::mem::take(&mut job.0);
        match what {
            "result" => Ok(Bomb("result", job.1.clone())),
            "error" => Err(Bomb("error", job.1.clone())),
            other => panic!("{other}"),
        }
    }))
    .workers_per_dispatcher(1)
    .queue_capacity(3)
    .build()
    .unwrap()
    .submitter()
}

#[test]
fn drops_of_a_groups_jobs_results_and_errors_may_panic() {
    watched(|ledger| {
        let exploded = Arc::new(AtomicUsize::new(0));
        let group = |what: &[&'static str]| {
            what.iter()
                .map(|what| Bomb(what, exploded.clone()))
                .collect()
        };
        let make = |what: &[&'static str]| -> Vec<Bomb> { group(what) };
        let door = Door::new();
        let pool = exploding(&door);
        ledger.watch(&pool);
        // The handle goes before the jobs end, and after.
        let before = pool
            .submit_all_blocking(make(&["result", "error"]))
            .unwrap();
        drop(before);
        door.let_one();
        door.let_one();
        pool.join_blocking();
        assert_eq!(exploded.load(SeqCst), 2);
        let after = pool
            .submit_all_blocking(make(&["result", "error"]))
            .unwrap();
        door.let_one();
        door.let_one();
        pool.join_blocking();
        assert!(after.is_finished());
        drop(after);
        assert_eq!(exploded.load(SeqCst), 4);
        // Cancelled.
        let cancelled = pool.submit_all_blocking(make(&["result"; 3])).unwrap();
        door.wait_for(1);
        assert_eq!(cancelled.cancel().removed, 2);
        assert_eq!(exploded.load(SeqCst), 6);
        // Given up on the way in: two have room.
        let mut given_up = Box::pin(pool.submit_all(make(&["error"; 6])));
        assert!(poll_once(&mut given_up).is_pending());
        drop(given_up);
        assert_eq!(exploded.load(SeqCst), 9);
        drop(cancelled);
        door.open();
        let counts = ended(&pool);
        assert_eq!(exploded.load(SeqCst), 13);
        assert_eq!((counts.completed, counts.failed), (3, 5), "{counts}");
        assert_eq!((counts.cancelled, counts.panicked), (2, 0), "{counts}");
        ledger.close_with_foreign_jobs(counts);
    });
}

/// Two results that explode, and nobody to take them: with a second panic in the clean-up after the
/// first, the process would end.
#[test]
fn outcomes_that_explode_have_no_taker_when_a_group_was_given_up_on_its_way_in() {
    watched(|ledger| {
        let exploded = Arc::new(AtomicUsize::new(0));
        let started = Arc::new(AtomicUsize::new(0));
        let counter = started.clone();
        let door = Door::new();
        let behind = door.clone();
        let bombs = exploded.clone();
        let pool = Pool::builder(fanpool::handler_factory(move |_: fanpool::WorkerId| {
            counter.fetch_add(1, SeqCst);
            let (behind, bombs) = (behind.clone(), bombs.clone());
            Ok::<_, String>(handler_fn(move |job: Payload| {
                job.run(|| behind.pass());
                Ok::<_, String>(Bomb("result", bombs.clone()))
            }))
        }))
        .workers_per_dispatcher(1)
        .queue_capacity(2)
        .build();
        let pool = pool.unwrap();
        ledger.watch(&pool);
        drop(pool.submit_blocking(ledger.job()).unwrap());
        door.wait_for(1);
        let mut given_up = Box::pin(pool.submit_all(jobs(&ledger, 4)));
        assert!(poll_once(&mut given_up).is_pending());
        drop(given_up);
        for seen in 0..3 {
            door.see_one_through();
            while pool.metrics().completed <= seen {
                std::thread::yield_now();
            }
        }
        pool.join_blocking();
        assert_eq!(exploded.load(SeqCst), 3, "outcomes are kept for nobody");
        assert_eq!(started.load(SeqCst), 1, "the worker was not hurt");
        ledger.close(ended(&pool));
    });
}

#[test]
fn an_iterator_that_panics_half_way_has_nothing_accepted() {
    watched(|ledger| {
        let pool = pool(&ledger, 1, 8, |_, _| Ok(()));
        let breaks = || {
            let books = ledger.clone();
            (0..5).map(move |n| {
                assert!(n < 3, "half-way");
                books.job()
            })
        };
        let ways: [&dyn Fn(); 3] = [
            &|| drop(pool.submit_all(breaks())),
            &|| drop(pool.submit_all_blocking(breaks())),
            &|| drop(pool.try_submit_all(breaks())),
        ];
        for (tried, way) in (1..).zip(ways) {
            let panic = catch_unwind(AssertUnwindSafe(way)).unwrap_err();
            assert_eq!(panic.downcast_ref::<&str>(), Some(&"half-way"));
            assert_eq!(ledger.dropped(), 3 * tried);
        }
        let whole = pool.submit_all_blocking(jobs(&ledger, 2)).unwrap();
        assert_eq!(numbers(whole.wait()), [9, 10]);
        let counts = ended(&pool);
        assert_eq!((counts.submitted, counts.completed), (2, 2));
        ledger.close(counts);
    });
}

#[test]
fn an_iterator_may_use_the_pool_it_submits_to() {
    watched(|ledger| {
        let pool = pool(&ledger, 1, 1, |_, _| Ok(()));
        let jobs = (0..10).map(|_| {
            let inner = pool.submit_all_blocking(jobs(&ledger, 3)).unwrap();
            assert_eq!(numbers(inner.wait()).len(), 3);
            ledger.job()
        });
        let outer = pool.submit_all_blocking(jobs).unwrap();
        assert_eq!(
            numbers(outer.wait()),
            (3..).step_by(4).take(10).collect::<Vec<_>>()
        );
        let counts = ended(&pool);
        assert_eq!(counts.completed, 40);
        ledger.close(counts);
    });
}

#[test]
fn a_shutdown_hands_the_jobs_of_a_group_back() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let pool = pool(&ledger, 1, 8, move |_, cx| {
            behind.pass();
            if cx.is_cancelled() {
                return Err("asked".to_owned());
            }
            Ok(())
        });
        let mut group = pool.submit_all_blocking(jobs(&ledger, 4)).unwrap();
        door.wait_for(1);
        let mut ending = Box::pin(pool.shutdown_now());
        assert!(poll_once(&mut ending).is_pending());
        assert!(!group.is_finished());
        assert!(poll_once(&mut group).is_pending());
        assert_eq!(group.cancel().too_late, 3);
        door.open();
        let report = block_on(ending);
        let unrun: Vec<u64> = report.unrun.iter().map(|job| job.data().id()).collect();
        assert_eq!(unrun, [1, 2, 3]);
        let outcomes = group.wait();
        assert!(matches!(&outcomes[0], Err(JobError::Failed(e)) if e == "asked"));
        for outcome in &outcomes[1..] {
            assert!(matches!(outcome, Err(JobError::HandedBack)));
        }
        let counts = report.counts;
        assert_eq!((counts.failed, counts.handed_back), (1, 3));
        drop(report.unrun);
        ledger.close(counts);
    });
}

#[test]
fn each_job_of_a_group_is_abandoned_when_its_executor_dies() {
    watched(|ledger| {
        let executor = ByHand::new();
        let pool = Pool::builder(async_handler_fn(|job: Payload| async move {
            job.started();
            if job.id() > 0 {
                std::future::pending::<()>().await;
            }
            job.ended();
            Ok::<_, String>(job.id())
        }))
        .workers_per_dispatcher(1)
        .queue_capacity(4)
        .spawner(executor.clone())
        .build()
        .unwrap();
        ledger.watch(&pool);
        executor.refuse_replacements(|| true);
        let mut group = pool.submit_all_blocking(jobs(&ledger, 4)).unwrap();
        executor.run();
        let mut pending = Box::pin(pool.submit_all(jobs(&ledger, 4)));
        assert!(poll_once(&mut pending).is_pending());
        assert!(poll_once(&mut group).is_pending());
        let waiter = std::thread::spawn(move || group.wait());
        for worker in executor.workers() {
            executor.abort(worker);
        }
        let outcomes = waiter.join().unwrap();
        assert_eq!(outcomes.len(), 4);
        assert_eq!(*outcomes[0].as_ref().unwrap(), 0);
        for outcome in &outcomes[1..] {
            assert!(matches!(outcome, Err(JobError::Abandoned)));
        }
        let error = block_on(pending).unwrap_err();
        for outcome in error.accepted {
            assert!(matches!(outcome, Err(JobError::Abandoned)));
        }
        assert_eq!(ids(error.refused.into_job()), [6, 7]);
        let counts = ended(&pool);
        assert_eq!(
            (counts.completed, counts.abandoned, counts.refused),
            (1, 5, 2)
        );
        ledger.close(counts);
    });
}

type Own = Arc<OnceLock<WeakSubmitter<u64, Vec<String>, String>>>;

/// Job n submits a group of n jobs to its own pool, and waits for it.
fn nesting(workers: usize, capacity: usize, wait: Wait) -> Submitter<u64, Vec<String>, String> {
    let own: Own = Arc::default();
    let inner = own.clone();
    let pool = Pool::builder(handler_fn(move |n: u64| {
        let pool = inner.get().and_then(WeakSubmitter::upgrade);
        let (Some(pool), true) = (pool, n > 0) else {
            return Ok(Vec::new());
        };
        let mut told = Vec::new();
        let group = match pool.submit_all_blocking((0..n).map(|_| 0)) {
            Ok(group) => group,
            Err(error) => {
                told.push(format!("{:?}", error.refused));
                told.push(error.refused.into_job().len().to_string());
                error.accepted
            }
        };
        told.extend(wait(group).into_iter().map(|outcome| match outcome {
            Ok(_) => "ok".to_owned(),
            Err(error) => format!("{error:?}"),
        }));
        Ok(told)
    }))
    .workers_per_dispatcher(workers)
    .queue_capacity(capacity)
    .build()
    .unwrap();
    assert!(own.set(pool.submitter().downgrade()).is_ok());
    pool.submitter()
}

type Wait = fn(GroupHandle<Vec<String>, String>) -> Vec<Result<Vec<String>, JobError<String>>>;

const WAYS: [Wait; 4] = [
    |group| group.wait(),
    |group| group.into_iter().collect(),
    |group| block_on(group),
    |group| block_on(group.into_stream().collect()),
];

#[test]
fn a_job_that_waits_for_a_group_on_its_own_only_worker_is_told() {
    watched(|ledger| {
        for wait in WAYS {
            let pool = nesting(1, 4, wait);
            ledger.watch(&pool);
            assert_eq!(pool.run_blocking(3).unwrap(), ["WouldDeadlock"; 3]);
            // Nothing was left behind that would make the next one believe it is alone.
            assert_eq!(pool.run_blocking(0).unwrap(), [""; 0]);
            let counts = ended(&pool);
            assert_eq!(counts.completed, 5, "the jobs ran all the same");
            ledger.close_with_foreign_jobs(counts);
        }
    });
}

#[test]
fn a_group_for_which_no_worker_makes_room_comes_back() {
    watched(|ledger| {
        for wait in WAYS {
            let pool = nesting(1, 2, wait);
            ledger.watch(&pool);
            assert_eq!(
                pool.run_blocking(5).unwrap(),
                ["WouldDeadlock(..)", "3", "WouldDeadlock", "WouldDeadlock"]
            );
            let counts = ended(&pool);
            assert_eq!((counts.completed, counts.refused), (3, 3));
            ledger.close_with_foreign_jobs(counts);
        }
    });
}

#[test]
fn a_job_waits_for_a_group_that_another_worker_runs() {
    watched(|ledger| {
        for wait in WAYS {
            let pool = nesting(2, 2, wait);
            ledger.watch(&pool);
            for _ in 0..20 {
                assert_eq!(pool.run_blocking(7).unwrap(), ["ok"; 7]);
            }
            ledger.close_with_foreign_jobs(ended(&pool));
        }
    });
}

#[test]
fn two_jobs_that_wait_for_groups_on_two_workers_are_not_left_hanging() {
    watched(|ledger| {
        for wait in WAYS {
            let pool = nesting(2, 2, wait);
            ledger.watch(&pool);
            for _ in 0..20 {
                let both = [5, 5].map(|n| pool.submit_blocking(n).unwrap());
                let told = both.map(|handle| handle.wait().unwrap());
                // At most one of them was the last to wait.
                let ok = |told: &Vec<String>| told.iter().all(|told| told == "ok");
                assert!(told.iter().any(ok), "{told:?}");
            }
            ledger.close_with_foreign_jobs(ended(&pool));
        }
    });
}

#[test]
fn a_job_that_waits_for_the_group_it_belongs_to_is_told_about_itself_alone() {
    watched(|ledger| {
        type Slot = Arc<Mutex<Option<GroupHandle<u64, String>>>>;
        for one_by_one in [false, true] {
            let slot: Slot = Arc::default();
            let (own, door) = (slot.clone(), Door::new());
            let behind = door.clone();
            let (told, hear) = mpsc::channel();
            let pool = Pool::builder(handler_fn(move |n: u64| {
                if n == 1 {
                    behind.pass();
                    let group = crate::common::lock(&own).take().unwrap();
                    told.send(if one_by_one {
                        group.into_iter().collect()
                    } else {
                        group.wait()
                    })
                    .unwrap();
                }
                Ok::<_, String>(n)
            }))
            .workers_per_dispatcher(2)
            .build()
            .unwrap();
            ledger.watch(&pool);
            *crate::common::lock(&slot) = Some(pool.submit_all_blocking(0..4).unwrap());
            door.open();
            let outcomes: Vec<_> = hear.recv().unwrap();
            for (n, outcome) in (0..).zip(outcomes) {
                match outcome {
                    Err(JobError::WouldDeadlock) => assert_eq!(n, 1),
                    outcome => assert_eq!(outcome.unwrap(), n),
                }
            }
            let counts = ended(&pool);
            assert_eq!(counts.completed, 4);
            ledger.close_with_foreign_jobs(counts);
        }
    });
}

/// Many threads that submit groups, cancel some, drop some, and wait for some.
#[test]
fn a_storm_of_groups_loses_nothing() {
    watched(|ledger| {
        let pool = pool(&ledger, 3, 7, |job, _| {
            if job.id() % 17 == 0 {
                panic!("now and then");
            }
            Ok(())
        });
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (pool, ledger) = (pool.clone(), ledger.clone());
                std::thread::spawn(move || {
                    for round in 0..60 {
                        let jobs = jobs(&ledger, (thread * 7 + round) % 23);
                        let expected: Vec<u64> = jobs.iter().map(Payload::id).collect();
                        let count = jobs.len();
                        let group = match round % 3 {
                            0 => pool.submit_all_blocking(jobs).unwrap(),
                            1 => block_on(pool.submit_all(jobs)).unwrap(),
                            _ => match pool.try_submit_all(jobs) {
                                Ok(group) => group,
                                Err(error) => {
                                    let back = error.refused.into_job();
                                    assert_eq!(error.accepted.len() + back.len(), count);
                                    error.accepted
                                }
                            },
                        };
                        let mut removed = 0;
                        match round % 5 {
                            0 => removed = group.cancel().removed,
                            1 => {
                                drop(group);
                                continue;
                            }
                            _ => {}
                        }
                        let mut cancelled = 0;
                        for (id, outcome) in expected.into_iter().zip(group) {
                            match outcome {
                                Ok(done) => assert_eq!(done, id),
                                Err(JobError::Panicked(_)) => assert_eq!(id % 17, 0),
                                Err(JobError::Cancelled) => cancelled += 1,
                                Err(other) => panic!("{other:?}"),
                            }
                        }
                        assert_eq!(cancelled, removed);
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        ledger.close(ended(&pool));
    });
}

/// Tiny jobs, so that workers take several of those to come at once.
fn warm_up(ledger: &Ledger, pool: &Jobs) {
    let group = pool.submit_all_blocking(jobs(ledger, 200)).unwrap();
    assert_eq!(group.wait().len(), 200);
}

/// Its jobs travel together, up to the tray of the worker that runs the first of them. (On an executor, a worker that is
/// alone takes all of them.)
#[test]
fn a_join_waits_for_each_job_of_a_group_in_a_tray() {
    watched(|ledger| {
        let held = [200, 202, 240].map(|id| (id, Door::new()));
        let [first, second, last] = held.each_ref().map(|(_, door)| door.clone());
        // Jobs of a microsecond, whatever the machine.
        let clock = ManualClock::new();
        let time = clock.clone();
        let run = move |job: Payload| {
            time.advance(Duration::from_micros(1));
            let door = held.iter().find(|(id, _)| *id == job.id());
            let pass = || door.iter().for_each(|(_, door)| door.pass());
            job.run(pass);
            Ok::<u64, String>(job.id())
        };
        let pool = Pool::builder(handler_fn(run))
            .clock(clock)
            .workers_per_dispatcher(1)
            .spawner(|worker| drop(std::thread::spawn(move || block_on(worker))))
            .build()
            .unwrap();
        ledger.watch(&pool);
        let pool = pool.submitter();
        warm_up(&ledger, &pool);
        pool.send_blocking(ledger.job()).unwrap();
        first.wait_for(1);
        let group = pool.submit_all_blocking(jobs(&ledger, 40)).unwrap();
        first.open();
        second.wait_for(1);
        let mut join = Box::pin(pool.join());
        assert!(poll_once(&mut join).is_pending());
        second.open();
        last.wait_for(1);
        assert!(poll_once(&mut join).is_pending(), "the last job runs");
        last.open();
        block_on(join);
        assert!(group.is_finished());
        assert_eq!(numbers(group.wait()), (201..241).collect::<Vec<_>>());
        ledger.close(ended(&pool));
    });
}

/// Whoever looks at all that waits while a worker is in the middle of it: jobs start as they came.
#[test]
fn jobs_of_groups_and_others_keep_their_order_whoever_looks_between() {
    watched(|ledger| {
        let doors: Vec<(u64, Door)> = [200, 230, 400, 401, 640]
            .map(|id| (id, Door::new()))
            .to_vec();
        let started: Arc<Mutex<Vec<u64>>> = Arc::default();
        let (order, held) = (started.clone(), doors.clone());
        let pool = pool(&ledger, 1, 1000, move |job, _| {
            order.lock().unwrap().push(job.id());
            if let Some((_, door)) = held.iter().find(|(id, _)| *id == job.id()) {
                door.pass();
            }
            Ok(())
        });
        warm_up(&ledger, &pool);
        for _ in 0..30 {
            pool.send_blocking(ledger.job()).unwrap();
        }
        doors[0].1.wait_for(1);
        let mut groups = Vec::new();
        for count in [100, 1, 65, 3, 200] {
            groups.push(pool.submit_all_blocking(jobs(&ledger, count)).unwrap());
            for _ in 0..10 {
                pool.send_blocking(ledger.job()).unwrap();
            }
        }
        for (_, door) in &doors {
            door.wait_for(1);
            assert!(poll_once(&mut Box::pin(pool.join())).is_pending());
            door.open();
        }
        let sizes: Vec<usize> = groups.into_iter().map(|group| group.wait().len()).collect();
        assert_eq!(sizes, [100, 1, 65, 3, 200]);
        pool.join_blocking();
        let all = 200 + 30 + 369 + 50;
        assert_eq!(*started.lock().unwrap(), (0..all).collect::<Vec<_>>());
        ledger.close(ended(&pool));
    });
}

/// A strategy may look at what a job is: then each goes to its own key's desk, and in order.
#[test]
fn a_group_is_spread_over_the_desks_of_its_jobs_keys() {
    watched(|ledger| {
        let seen: Arc<Mutex<Vec<(u64, WorkerId)>>> = Arc::default();
        let account = seen.clone();
        let run = move |job: Payload, cx: &JobContext| {
            account.lock().unwrap().push((job.id(), cx.worker()));
            job.run(|| Ok::<(), String>(())).map(|()| job.id())
        };
        let pool = Pool::builder(handler_fn_with(run))
            .dispatchers(3)
            .workers_per_dispatcher(2)
            .dispatcher(|| KeyAffinity::by(|job: &Job<Payload>| job.data().id() % 7))
            .build()
            .unwrap();
        ledger.watch(&pool);
        let pool = pool.submitter();
        for round in 0..5 {
            let group = pool.submit_all_blocking(jobs(&ledger, 150)).unwrap();
            let results = numbers(group.wait());
            assert_eq!(
                results,
                (150 * round..150 * (round + 1)).collect::<Vec<_>>()
            );
        }
        let seen = seen.lock().unwrap().clone();
        for key in 0..7 {
            let of_key = seen.iter().filter(|(id, _)| id % 7 == key);
            let (ids, workers): (Vec<u64>, Vec<WorkerId>) = of_key.copied().unzip();
            assert!(ids.is_sorted(), "key {key}: {ids:?}");
            let desk = workers[0].dispatcher();
            assert!(workers.iter().all(|worker| worker.dispatcher() == desk));
        }
        ledger.close(ended(&pool));
    });
}

/// On each kind of executor: groups from several tasks, one of them given up on its way in.
fn on(spawner: impl Spawner, drive: impl FnOnce(BoxFuture<'static, ()>) + Send + 'static) {
    watched(move |ledger| {
        let pool = Pool::builder(async_handler_fn(|job: Payload| async move {
            job.started();
            futures_lite::future::yield_now().await;
            job.ended();
            Ok::<_, String>(job.id())
        }))
        .workers_per_dispatcher(2)
        .queue_capacity(4)
        .spawner(spawner)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let books = ledger.clone();
        let submitter = pool.submitter();
        drive(Box::pin(async move {
            let group = submitter.submit_all(jobs(&books, 50)).await.unwrap();
            assert_eq!(numbers(group.await), (0..50).collect::<Vec<_>>());
            let mut given_up = Box::pin(submitter.submit_all(jobs(&books, 50)));
            // Pending, unless the workers are quicker than this task.
            drop(futures_lite::future::poll_once(given_up.as_mut()).await);
            drop(given_up);
            let group = submitter.submit_all(jobs(&books, 10)).await.unwrap();
            let mut stream = group.into_stream();
            for expected in 100..110 {
                assert_eq!(stream.next().await.unwrap().unwrap(), expected);
            }
            assert!(stream.next().await.is_none());
            match submitter.run(books.job()).await {
                Err(RunError::Job(error)) => panic!("{error}"),
                other => assert_eq!(other.unwrap(), 110),
            }
            let _ = submitter.shutdown().await;
        }));
        ledger.close(pool.metrics());
    });
}

#[test]
fn groups_on_threads() {
    on(Threads::new(), block_on);
}

#[test]
fn groups_on_tokio() {
    for threads in [1, 2] {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .build()
            .unwrap();
        let handle = runtime.handle().clone();
        on(
            move |worker: BoxFuture<'static, ()>| {
                handle.spawn(worker);
            },
            move |body| runtime.block_on(runtime.spawn(body)).unwrap(),
        );
    }
}

#[test]
fn groups_on_smol() {
    on(
        |worker: BoxFuture<'static, ()>| smol::spawn(worker).detach(),
        |body| smol::block_on(smol::spawn(body)),
    );
}

/// A worker that is polled inside its wake-up.
struct InlineTask {
    future: Mutex<Option<BoxFuture<'static, ()>>>,
    woken: std::sync::atomic::AtomicBool,
}

impl Wake for InlineTask {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, SeqCst);
        while self.woken.swap(false, SeqCst) {
            let Ok(mut future) = self.future.try_lock() else {
                // It is being polled further up, and will be again.
                self.woken.store(true, SeqCst);
                return;
            };
            let Some(running) = &mut *future else { return };
            let waker = Waker::from(self.clone());
            if running
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready()
            {
                *future = None;
            }
        }
    }
}

#[test]
fn a_job_that_is_run_by_its_own_submission_may_shut_the_pool_down() {
    watched(|ledger| {
        let own: Arc<OnceLock<WeakSubmitter<Payload, u64, String>>> = Arc::default();
        let inner = own.clone();
        let back = Arc::new(AtomicUsize::new(0));
        let counts_back = back.clone();
        let pool = Pool::builder(handler_fn(move |job: Payload| {
            job.run(|| {
                let pool = inner.get().unwrap().upgrade().unwrap();
                let report = pool.shutdown_now_blocking();
                counts_back.fetch_add(report.unrun.len(), SeqCst);
            });
            Ok(job.id())
        }))
        .workers_per_dispatcher(1)
        .spawner(|task| {
            let task = InlineTask {
                future: Mutex::new(Some(task)),
                woken: Default::default(),
            };
            Arc::new(task).wake();
        })
        .build()
        .unwrap();
        ledger.watch(&pool);
        assert!(own.set(pool.submitter().downgrade()).is_ok());
        let jobs: Vec<_> = (0..3).map(|_| ledger.job()).collect();
        let outcomes = pool.submit_all_blocking(jobs).unwrap().wait();
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert_eq!(back.load(SeqCst), 2);
        ledger.close(pool.shutdown_blocking().counts);
    });
}
