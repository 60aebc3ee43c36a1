//! Jobs that take up more than one unit of room, and those who wait for as much.

use crate::common::by_hand::ByHand;
use crate::common::{Door, Flag, Ledger, Payload, assert_conserved, poll_once, until, watched};
use fanpool::clock::ManualClock;
use fanpool::{
    Cancellation, Job, JobError, Pool, RoundRobin, RunError, SubmitError, Submitter, handler_fn,
};
use futures_lite::future::block_on;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

type Own = Submitter<Payload, u64, String>;

/// One worker at the door, so that what is accepted waits.
fn busy(ledger: &Ledger, door: &Door, capacity: usize, clock: &ManualClock) -> Own {
    let behind = door.clone();
    let pool = Pool::builder(handler_fn(move |job: Payload| {
        job.run(|| behind.pass());
        Ok(job.id())
    }))
    .workers_per_dispatcher(1)
    .queue_capacity(capacity)
    .clock(clock.clone())
    .build()
    .unwrap();
    ledger.watch(&pool);
    pool.send_blocking(ledger.job()).unwrap();
    door.wait_for(1);
    pool.submitter()
}

/// Polled by the test, which knows when it was woken.
struct Waiter<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
    flag: Arc<Flag>,
}

impl<'a, T> Waiter<'a, T> {
    fn new(future: impl Future<Output = T> + 'a) -> Self {
        Waiter {
            future: Box::pin(future),
            flag: Arc::default(),
        }
    }

    /// From the beginning.
    fn waits(future: impl Future<Output = T> + 'a) -> Self {
        let mut waiter = Waiter::new(future);
        assert!(waiter.poll().is_none(), "there is no room, and it goes on");
        waiter
    }

    fn poll(&mut self) -> Option<T> {
        let waker = Waker::from(self.flag.clone());
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// As an executor would: only if it was woken.
    fn poll_if_woken(&mut self) -> Option<T> {
        if self.flag.take() { self.poll() } else { None }
    }
}

#[test]
fn the_bound_counts_weights_exactly_in_a_storm() {
    watched(|ledger| {
        const CAPACITY: u64 = 17;
        const SUBMITTERS: u64 = 6;
        const WORKERS: u64 = 4;
        const HEAVIEST: u64 = 9;
        let inside = Arc::new(AtomicU64::new(0));
        let gauge = inside.clone();
        let pool = Pool::builder(handler_fn(move |(job, weight): (Payload, u64)| {
            gauge.fetch_sub(weight, SeqCst);
            job.run(|| ());
            Ok::<_, String>(())
        }))
        .dispatchers(2)
        .workers_per_dispatcher(2)
        .queue_capacity(CAPACITY as usize)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let submitters: Vec<_> = (0..SUBMITTERS)
            .map(|n| {
                let (pool, ledger, inside) = (pool.clone(), ledger.clone(), inside.clone());
                std::thread::spawn(move || {
                    for turn in 0..2_000 {
                        let weight = 1 + (n * 7 + turn * 5) % HEAVIEST;
                        let job = pool.job((ledger.job(), weight)).weight(weight);
                        // Counted after it is in, so that what waits is never counted twice; a worker
                        // that is quicker takes it off first.
                        let sent = if turn % 3 == 0 {
                            job.try_send()
                        } else {
                            job.send_blocking()
                        };
                        match sent {
                            Ok(()) => {
                                inside.fetch_add(weight, SeqCst);
                            }
                            Err(refused) => assert!(refused.is_full()),
                        }
                        // Each worker may hold a job that it has not taken off yet, and a job that a
                        // worker takes off before it was counted only makes it less.
                        let now = inside.load(SeqCst) as i64;
                        assert!(now <= (CAPACITY + WORKERS * HEAVIEST) as i64, "{now}");
                    }
                })
            })
            .collect();
        submitters.into_iter().for_each(|s| s.join().unwrap());
        let counts = pool.shutdown_blocking().counts;
        assert_eq!((inside.load(SeqCst), counts.occupied), (0, 0));
        ledger.close(counts);
    });
}

#[test]
fn a_storm_of_weights_is_let_in_to_no_more_than_the_capacity() {
    watched(|ledger| {
        const CAPACITY: u64 = 31;
        let door = Door::new();
        let pool = busy(&ledger, &door, CAPACITY as usize, &ManualClock::new());
        for round in 0..50 {
            // The worker is held, so what is accepted stays: the sum of its weights is exact.
            let barrier = Barrier::new(8);
            let accepted = Mutex::new(Vec::new());
            std::thread::scope(|scope| {
                for n in 0..8 {
                    let (pool, ledger, barrier, accepted) = (&pool, &ledger, &barrier, &accepted);
                    scope.spawn(move || {
                        barrier.wait();
                        for turn in 0..12 {
                            let weight = (n + turn * 3 + round) % 8;
                            let tried = pool.job(ledger.job()).weight(weight).try_submit();
                            if let Ok(handle) = tried {
                                crate::common::lock(accepted).push((weight.max(1), handle));
                            }
                        }
                        while let Ok(handle) = pool.try_submit(ledger.job()) {
                            crate::common::lock(accepted).push((1, handle));
                        }
                    });
                }
            });
            let accepted = accepted.into_inner().unwrap();
            let inside: u64 = accepted.iter().map(|(weight, _)| weight).sum();
            assert_eq!(inside, CAPACITY, "full to the last unit");
            let counts = pool.metrics();
            assert_eq!(counts.occupied, CAPACITY);
            assert_eq!(counts.waiting, accepted.len() as u64);
            for (at, (weight, handle)) in accepted.iter().enumerate() {
                let before = pool.metrics().occupied;
                if at % 2 == 0 {
                    assert_eq!(handle.cancel(), Cancellation::Removed);
                    assert_eq!(pool.metrics().occupied, before - weight);
                }
            }
            for (_, handle) in &accepted {
                let _ = handle.cancel();
            }
            assert_eq!(pool.metrics().occupied, 0);
        }
        door.open();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn no_weight_counts_as_one_and_too_much_is_told_at_once() {
    watched(|ledger| {
        let door = Door::new();
        let clock = ManualClock::new();
        let pool = busy(&ledger, &door, 2, &clock);
        assert_eq!(pool.job(ledger.job()).weight(0).into_job().weight(), 1);
        for _ in 0..2 {
            pool.job(ledger.job()).weight(0).try_send().unwrap();
        }
        assert!(
            pool.job(ledger.job())
                .weight(0)
                .try_send()
                .unwrap_err()
                .is_full()
        );
        assert_eq!(pool.metrics().occupied, 2);

        // Full, and in a line: no wait would help.
        let line = Waiter::waits(pool.reserve_weight(2));
        for weight in [3, 1 << 62, (1 << 63) - 1, 1 << 63, u64::MAX - 1, u64::MAX] {
            let job = || {
                pool.job(ledger.job())
                    .weight(weight)
                    .key(weight)
                    .label("whale")
            };
            let too_heavy = |refused: SubmitError<Job<Payload>>| match refused {
                SubmitError::TooHeavy(job) => {
                    assert_eq!((job.weight(), job.key()), (weight, Some(weight)));
                    assert_eq!(job.label(), Some("whale"));
                }
                other => panic!("{other:?}"),
            };
            too_heavy(job().try_send().unwrap_err());
            too_heavy(job().try_submit().unwrap_err());
            too_heavy(job().send_blocking().unwrap_err());
            too_heavy(job().submit_blocking().unwrap_err());
            too_heavy(job().submit_timeout_blocking(Duration::MAX).unwrap_err());
            too_heavy(block_on(job().send()).unwrap_err());
            too_heavy(block_on(job().submit()).unwrap_err());
            too_heavy(block_on(job().submit_timeout(Duration::ZERO)).unwrap_err());
            match job().run_blocking() {
                Err(RunError::Refused(refused)) => too_heavy(refused),
                _ => panic!("it ran"),
            }
            match block_on(job().run()) {
                Err(RunError::Refused(refused)) => too_heavy(refused),
                _ => panic!("it ran"),
            }
        }
        let refused = pool.metrics().refused;
        assert_eq!(refused, 1 + 6 * 10);
        drop(line);
        door.open();
        pool.join_blocking();
        // In an empty queue, also in one that was never full.
        let (books, shut) = (Ledger::new(), Door::new());
        let fresh = busy(&books, &shut, 2, &clock);
        for weight in [3, u64::MAX] {
            let refused = fresh.job(books.job()).weight(weight).send_blocking();
            assert!(matches!(refused, Err(SubmitError::TooHeavy(_))));
            assert!(matches!(
                fresh.try_reserve_weight(weight),
                Err(SubmitError::TooHeavy(()))
            ));
        }
        shut.open();
        books.close(fresh.shutdown_blocking().counts);
        // Nor in one that was.
        for weight in [3, u64::MAX] {
            let refused = pool.job(ledger.job()).weight(weight).send_blocking();
            assert!(matches!(refused, Err(SubmitError::TooHeavy(_))));
        }
        pool.job(ledger.job()).weight(2).run_blocking().unwrap();
        // Closed: it comes back at once, too.
        pool.close();
        for weight in [3, u64::MAX] {
            let refused = pool
                .job(ledger.job())
                .weight(weight)
                .send_blocking()
                .unwrap_err();
            assert!(matches!(
                refused,
                SubmitError::TooHeavy(_) | SubmitError::Closed(_)
            ));
            assert_eq!(refused.into_job().weight(), weight);
        }
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_heavy_waiter_is_not_starved_by_light_newcomers() {
    watched(|ledger| {
        const CAPACITY: u64 = 8;
        let pool = Pool::builder(handler_fn(|job: Payload| {
            job.run(|| ());
            Ok::<_, String>(job.id())
        }))
        .workers_per_dispatcher(1)
        .queue_capacity(CAPACITY as usize)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let pool = pool.submitter();
        // A unit that is held, so that a heavy one has to wait, whatever the worker does.
        let held = Mutex::new(Some(pool.try_reserve().unwrap()));
        let (stop, lights) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for n in 0..8 {
                let (pool, stop, lights) = (&pool, &stop, &lights);
                scope.spawn(move || {
                    // Too many for the test's own ledger.
                    let foreign = Ledger::new();
                    while !stop.load(SeqCst) {
                        let sent = if n % 2 == 0 {
                            pool.send_blocking(foreign.job())
                        } else {
                            pool.try_send(foreign.job())
                        };
                        if sent.is_ok() {
                            lights.fetch_add(1, SeqCst);
                        } else {
                            std::thread::yield_now();
                        }
                    }
                });
            }
            let mut passed = Vec::new();
            for round in 0..20 {
                until(|| lights.load(SeqCst) > 100 * round);
                let mut heavy = Waiter::new(pool.job(ledger.job()).weight(CAPACITY).submit());
                assert!(heavy.poll().is_none(), "a unit is held");
                // While it waits for a unit that a permit holds, the light ones may go on or not.
                (0..200).for_each(|_| std::thread::yield_now());
                let before = lights.load(SeqCst);
                drop(crate::common::lock(&held).take());
                let handle = loop {
                    heavy.flag.wait();
                    if let Some(handle) = heavy.poll() {
                        break handle.unwrap();
                    }
                };
                passed.push(lights.load(SeqCst) - before);
                handle.wait().unwrap();
                *crate::common::lock(&held) = Some(pool.reserve_blocking().unwrap());
            }
            stop.store(true, SeqCst);
            // None or a few, but for a round in which this thread got no turn for a while. A queue without a
            // line lets thousands pass.
            passed.sort_unstable();
            assert!(passed[15] <= 64, "light ones that passed: {passed:?}");
        });
        drop(held);
        let counts = pool.shutdown_blocking().counts;
        assert_conserved(counts);
        ledger.close_without_counts();
    });
}

#[test]
fn light_ones_behind_a_heavy_one_are_served_as_soon_as_it_is() {
    watched(|ledger| {
        let door = Door::new();
        let pool = busy(&ledger, &door, 6, &ManualClock::new());
        let mut held: Vec<_> = (0..6).map(|_| pool.try_reserve().unwrap()).collect();
        let job = |weight| pool.job(ledger.job()).weight(weight);
        let mut heavy = Waiter::waits(job(4).submit());
        let mut first = Waiter::waits(pool.submit(ledger.job()));
        let mut second = Waiter::waits(pool.reserve());
        let mut middle = Waiter::waits(job(2).submit());
        let mut third = Waiter::waits(pool.reserve_many(9));
        // As room frees, unit by unit: nobody behind the heavy one takes it, nor does a newcomer.
        for free in 1..4 {
            drop(held.pop());
            assert!(heavy.poll_if_woken().is_none());
            assert!(first.poll_if_woken().is_none() && first.poll().is_none());
            assert!(middle.poll_if_woken().is_none() && middle.poll().is_none());
            assert!(second.poll().is_none() && third.poll().is_none());
            assert!(pool.try_send(ledger.job()).unwrap_err().is_full());
            assert!(pool.try_reserve().unwrap_err().is_full(), "{free} free");
            assert!(pool.try_reserve_weight(2).unwrap_err().is_full());
            assert!(pool.try_reserve_many(2).unwrap_err().is_full());
        }
        drop(held.pop());
        let whale = heavy.poll_if_woken().expect("four are free").unwrap();
        drop(held.pop());
        let first = first
            .poll_if_woken()
            .expect("the next unit is its")
            .unwrap();
        assert!(second.poll_if_woken().is_none() && middle.poll_if_woken().is_none());
        drop(held.pop());
        let second = second
            .poll_if_woken()
            .expect("the last unit is its")
            .unwrap();
        assert_eq!(pool.metrics().occupied, 5);
        assert!(middle.poll_if_woken().is_none() && third.poll_if_woken().is_none());
        // All of the heavy one's room at once lets in several.
        assert_eq!(whale.cancel(), Cancellation::Removed);
        let middle = middle.poll_if_woken().expect("four are free").unwrap();
        let third = third.poll_if_woken().expect("two are free").unwrap();
        assert!((1..=2).contains(&third.len()));
        drop((second, third));
        assert_eq!(pool.metrics().occupied, 3);
        let filled: Vec<_> = (0..3).map(|_| pool.try_reserve().unwrap()).collect();
        assert!(pool.try_reserve().unwrap_err().is_full());
        drop(filled);
        door.open();
        first.wait().unwrap();
        middle.wait().unwrap();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn one_who_came_later_takes_no_more_than_is_left_by_those_before() {
    watched(|ledger| {
        let door = Door::new();
        let pool = busy(&ledger, &door, 4, &ManualClock::new());
        let held = pool.try_reserve_weight(4).unwrap();
        let mut heavy = Waiter::waits(pool.reserve_weight(3));
        let mut many = Waiter::waits(pool.reserve_many(4));
        drop(held);
        // Both are called, and the later one is quicker.
        let later = many.poll_if_woken().expect("one unit is its").unwrap();
        let heavy = heavy.poll_if_woken().expect("three units are its").unwrap();
        assert_eq!((later.len(), heavy.weight()), (1, 3));
        drop((later, heavy));
        door.open();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

/// How a heavy waiter may leave without its room.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Leaving {
    Dropped,
    DroppedAfterItWasCalled,
    TimedOut,
    Forgotten,
}

#[test]
fn a_heavy_waiter_that_leaves_stands_in_nobodys_way() {
    watched(|_| {
        use Leaving::*;
        for leaving in [Dropped, DroppedAfterItWasCalled, TimedOut, Forgotten] {
            let ledger = Ledger::new();
            let foreign = Ledger::new();
            let door = Door::new();
            let clock = ManualClock::new();
            let pool = busy(&ledger, &door, 4, &clock);
            let kept = pool.try_reserve_weight(2).unwrap();
            let held = pool.try_reserve_weight(2).unwrap();
            let books = if leaving == Forgotten {
                &foreign
            } else {
                &ledger
            };
            let job = pool.job(books.job()).weight(4).label("heavy");
            let hour = Duration::from_secs(3600);
            let mut heavy = Waiter::waits(job.submit_timeout(hour));
            let mut lights: Vec<_> = (0..2)
                .map(|_| Waiter::waits(pool.send(ledger.job())))
                .collect();
            drop(held);
            let mut timed = Waiter::waits(
                pool.job(ledger.job())
                    .weight(2)
                    .submit_timeout(Duration::MAX),
            );
            assert!(
                lights
                    .iter_mut()
                    .all(|light| light.poll_if_woken().is_none())
            );
            match leaving {
                Dropped => drop(heavy),
                DroppedAfterItWasCalled => {
                    drop(kept);
                    assert!(heavy.flag.take(), "all four are free");
                    drop(heavy);
                }
                TimedOut => {
                    clock.advance(hour);
                    let refused = loop {
                        heavy.flag.wait();
                        if let Some(answer) = heavy.poll() {
                            break answer.unwrap_err();
                        }
                    };
                    let SubmitError::TimedOut(job) = refused else {
                        panic!("{refused:?}")
                    };
                    assert_eq!((job.label(), job.weight()), (Some("heavy"), 4));
                }
                Forgotten => {
                    std::mem::forget(heavy);
                    // Nobody can know that it will not come, until it was called and did not.
                    drop(kept);
                    door.see_one_through();
                }
            }
            for mut light in lights {
                let sent = loop {
                    light.flag.wait();
                    if let Some(sent) = light.poll() {
                        break sent;
                    }
                };
                sent.unwrap();
            }
            door.open();
            timed.flag.wait();
            until(|| timed.poll().is_some_and(|handle| handle.is_ok()));
            drop(timed);
            pool.join_blocking();
            until(|| pool.metrics().occupied == 0);
            let kept = if matches!(leaving, Dropped | TimedOut) {
                2
            } else {
                0
            };
            assert_eq!(pool.metrics().reserved, kept, "{leaving:?}");
            assert_eq!(
                pool.reserve_many_blocking(9).unwrap().len() as u64,
                4 - kept
            );
            ledger.close(pool.shutdown_blocking().counts);
        }
    });
}

/// The worker sleeps, all room is free, and two who will never come stand in line.
#[test]
fn forgotten_heavy_waiters_do_not_bar_an_idle_pool() {
    watched(|_| {
        for tries in [false, true] {
            let (ledger, foreign) = (Ledger::new(), Ledger::new());
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
            pool.job(ledger.job()).weight(4).try_send().unwrap();
            for _ in 0..3 {
                let job = pool.job(foreign.job()).weight(3);
                std::mem::forget(Waiter::waits(job.submit()));
            }
            by_hand.run();
            assert_eq!((pool.metrics().occupied, pool.metrics().completed), (0, 1));
            if tries {
                let refused = (0..9).take_while(|_| {
                    let refused = pool.try_send(ledger.job()).is_err();
                    by_hand.run();
                    refused
                });
                assert!(refused.count() < 9, "for ever full");
            } else {
                let mut light = Waiter::new(pool.send(ledger.job()));
                let mut sent = light.poll();
                for _ in 0..9 {
                    by_hand.run();
                    sent = sent.or_else(|| light.poll_if_woken());
                }
                sent.expect("all is free, and nobody else comes").unwrap();
            }
            pool.close();
            by_hand.run();
            ledger.close(pool.shutdown_blocking().counts);
        }
    });
}

#[test]
fn one_who_was_late_once_is_spared_but_not_for_ever() {
    watched(|ledger| {
        let clock = ManualClock::new();
        let pool = Pool::builder(handler_fn(|job: Payload| {
            job.run(|| ());
            Ok::<_, String>(())
        }))
        .workers_per_dispatcher(1)
        .queue_capacity(2)
        .clock(clock.clone())
        .build()
        .unwrap();
        ledger.watch(&pool);
        pool.run_blocking(ledger.job()).unwrap();
        until(|| pool.metrics().busy_workers == 0);
        // Leaked with the wait that is forgotten.
        let leaked = Box::leak(Box::new(pool.submitter()));
        let all = pool.try_reserve_weight(2).unwrap();
        let mut heavy = Box::pin(leaked.reserve_weight(2));
        assert!(poll_once(&mut heavy).is_pending());
        // Called, and passed over at once: somebody else is quicker.
        drop(all);
        let all = pool.try_reserve_weight(2).expect("nobody is in the way");
        assert!(poll_once(&mut heavy).is_pending());
        drop(all);
        // It has shown that it is alive, so now it is spared. It is forgotten all the same.
        assert!(pool.try_reserve().is_err_and(|refused| refused.is_full()));
        std::mem::forget(heavy);
        let mut newcomer = Box::pin(pool.reserve());
        assert!(poll_once(&mut newcomer).is_pending());
        clock.advance(Duration::from_secs(10));
        drop(block_on(newcomer).unwrap());
        pool.run_blocking(ledger.job()).unwrap();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn units_are_let_in_up_to_what_can_be_counted_and_no_further() {
    watched(|ledger| {
        let pool = Pool::builder(handler_fn(|job: Payload| {
            job.run(|| ());
            Ok::<_, String>(())
        }))
        .workers_per_dispatcher(1)
        .queue_capacity(1 << 48)
        .build()
        .unwrap();
        ledger.watch(&pool);
        for _ in 0..1 << 13 {
            pool.job(ledger.job())
                .weight(1 << 48)
                .run_blocking()
                .unwrap();
        }
        assert!(pool.try_reserve().is_err_and(|refused| refused.is_closed()));
        let refused = pool.try_send(ledger.job()).unwrap_err();
        assert!(refused.is_closed());
        drop(refused);
        let counts = pool.shutdown_blocking().counts;
        assert_eq!((counts.completed, counts.refused), (1 << 13, 1));
        ledger.close(counts);
    });
}

#[test]
fn a_close_refuses_heavy_waiters_and_those_behind_them() {
    watched(|ledger| {
        let door = Door::new();
        let pool = busy(&ledger, &door, 5, &ManualClock::new());
        let held = pool.try_reserve_weight(2).unwrap();
        let options = |weight| {
            pool.job(ledger.job())
                .weight(weight)
                .key(weight)
                .priority(-1)
        };
        let mut first = Waiter::waits(options(5).submit());
        let mut second = Waiter::waits(options(4).send());
        let mut light = Waiter::waits(pool.send(ledger.job()));
        let mut permit = Waiter::waits(pool.reserve_weight(5));
        std::thread::scope(|scope| {
            let blocked: Vec<_> = (1..=5)
                .map(|weight| {
                    let job = options(weight);
                    scope.spawn(move || job.submit_blocking().unwrap_err())
                })
                .collect();
            pool.close();
            for (weight, blocked) in (1..).zip(blocked) {
                match blocked.join().unwrap() {
                    SubmitError::Closed(job) => {
                        assert_eq!((job.weight(), job.key()), (weight, Some(weight)));
                        assert_eq!(job.priority(), -1);
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
        match first.poll_if_woken() {
            Some(Err(SubmitError::Closed(job))) => {
                assert_eq!((job.weight(), job.key(), job.priority()), (5, Some(5), -1));
            }
            _ => panic!("not told"),
        }
        let second = second.poll_if_woken().expect("told").unwrap_err();
        assert!(second.is_closed() && second.into_job().weight() == 4);
        assert!(
            light
                .poll_if_woken()
                .expect("told")
                .unwrap_err()
                .is_closed()
        );
        assert!(
            permit
                .poll_if_woken()
                .expect("told")
                .unwrap_err()
                .is_closed()
        );
        let counts = pool.metrics();
        assert_eq!((counts.refused, counts.accepted), (8, 1));
        drop(held);
        door.open();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn cancelling_a_heavy_job_frees_all_its_room_at_once() {
    watched(|ledger| {
        let door = Door::new();
        let pool = busy(&ledger, &door, 9, &ManualClock::new());
        for handle_dropped in [false, true] {
            let heavy = pool.job(ledger.job()).weight(8).try_submit().unwrap();
            let last = pool.try_submit(ledger.job()).unwrap();
            let mut lights: Vec<_> = (0..8)
                .map(|_| Waiter::waits(pool.submit(ledger.job())))
                .collect();
            let canceller = heavy.cancel_handle();
            if handle_dropped {
                drop(heavy);
            } else {
                let heavy = std::thread::spawn(move || heavy.wait());
                assert_eq!(canceller.cancel(), Cancellation::Removed);
                assert!(matches!(heavy.join().unwrap(), Err(JobError::Cancelled)));
            }
            if handle_dropped {
                assert_eq!(canceller.cancel(), Cancellation::Removed);
            }
            assert_eq!(canceller.cancel(), Cancellation::TooLate);
            let woken = lights.iter().filter(|light| light.flag.take()).count();
            assert_eq!(woken, 8, "half of the room is free: all are told");
            let handles: Vec<_> = lights
                .iter_mut()
                .map(|light| light.poll().expect("eight are free").unwrap())
                .collect();
            assert_eq!(pool.metrics().occupied, 9);
            assert!(pool.try_send(ledger.job()).unwrap_err().is_full());
            for handle in handles.iter().chain([&last]) {
                assert_eq!(handle.cancel(), Cancellation::Removed);
            }
            assert_eq!((pool.metrics().occupied, pool.metrics().waiting), (0, 0));
        }
        door.open();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_shutdown_hands_heavy_jobs_back_with_all_that_was_said_about_them() {
    watched(|_| {
        (1..=3).for_each(|dispatchers| hand_back(dispatchers, false));
        // With more dispatchers, jobs would be bound to busy workers while others sleep.
        hand_back(1, true);
    });
}

fn hand_back(dispatchers: usize, round_robin: bool) {
    let ledger = Ledger::new();
    let door = Door::new();
    let behind = door.clone();
    let builder = Pool::builder(handler_fn(move |job: Payload| {
        job.run(|| behind.pass());
        Ok::<_, String>(job.id())
    }))
    .dispatchers(dispatchers)
    .workers_per_dispatcher(2)
    .queue_capacity(40);
    let builder = if round_robin {
        builder.dispatcher(RoundRobin::new)
    } else {
        builder
    };
    let pool = builder.build().unwrap();
    ledger.watch(&pool);
    // Or both of a desk's jobs may be bound to the worker that was there first.
    pool.ready_blocking().unwrap();
    for _ in 0..2 * dispatchers {
        pool.send_blocking(ledger.job()).unwrap();
    }
    door.wait_for(2 * dispatchers);
    let mut expected = Vec::new();
    for weight in 1..=8 {
        let job = ledger.job();
        let id = job.id();
        let job = pool
            .job(job)
            .weight(weight)
            .priority(-(weight as i32))
            .label(id.to_string());
        let sent = if weight % 2 == 0 {
            job.try_send()
        } else {
            job.key(id).try_submit().map(drop)
        };
        sent.unwrap();
        expected.push((
            id,
            weight,
            -(weight as i32),
            (weight % 2 == 1).then_some(id),
        ));
    }
    assert_eq!((pool.metrics().occupied, pool.metrics().waiting), (36, 8));
    let mut heavy = Waiter::waits(pool.job(ledger.job()).weight(5).send());
    let kept = pool.downgrade();
    let report = std::thread::scope(|scope| {
        let shutdown = scope.spawn(|| pool.shutdown_now_blocking());
        until(|| pool.metrics().handed_back == 8 && pool.metrics().occupied == 0);
        door.open();
        shutdown.join().unwrap()
    });
    assert!(
        heavy
            .poll_if_woken()
            .expect("told")
            .unwrap_err()
            .is_closed()
    );
    let mut back: Vec<_> = report
        .unrun
        .iter()
        .map(|job| {
            assert_eq!(job.label(), Some(&*job.data().id().to_string()));
            (job.data().id(), job.weight(), job.priority(), job.key())
        })
        .collect();
    back.sort_unstable();
    assert_eq!(back, expected);
    drop((report.unrun, heavy, kept));
    ledger.close(report.counts);
}

#[test]
fn a_refused_job_keeps_every_option_until_it_is_in() {
    watched(|ledger| {
        let door = Door::new();
        let clock = ManualClock::new();
        let pool = busy(&ledger, &door, 4, &clock);
        let told = |job: &Job<Payload>| {
            let label = job.label().map(str::to_owned);
            (
                job.data().id(),
                job.weight(),
                job.priority(),
                job.key(),
                label,
            )
        };
        let held = pool.try_reserve_weight(2).unwrap();
        let job = pool
            .job(ledger.job())
            .weight(3)
            .priority(7)
            .key(42)
            .label("once")
            .into_job();
        let mut said = (1, 3, 7, Some(42), Some("once".to_owned()));
        assert_eq!(told(&job), said);
        let job = pool.job(job).try_send().unwrap_err().into_job();
        assert_eq!(told(&job), said);
        let job = pool.job(job).try_submit().unwrap_err().into_job();
        assert_eq!(told(&job), said);
        let refused = block_on(pool.job(job).submit_timeout(Duration::ZERO)).unwrap_err();
        assert!(matches!(refused, SubmitError::TimedOut(_)));
        let job = refused.into_job();
        assert_eq!(told(&job), said);
        let other = pool.try_reserve().unwrap();
        let job = other.job(job).submit().unwrap_err();
        assert!(matches!(job, SubmitError::TooHeavy(_)));
        let job = job.into_job();
        assert_eq!(told(&job), said);
        // One option anew, over what is there.
        let job = pool
            .job(job)
            .label("twice")
            .priority(8)
            .try_send()
            .unwrap_err()
            .into_job();
        (said.2, said.4) = (8, Some("twice".to_owned()));
        assert_eq!(told(&job), said);
        drop(held);
        let (accepted, answer) = mpsc::channel();
        std::thread::scope(|scope| {
            let shutdown = scope.spawn(|| {
                accepted
                    .send(pool.job(job).send_blocking().is_ok())
                    .unwrap();
                pool.shutdown_now_blocking()
            });
            assert!(answer.recv().unwrap());
            until(|| pool.metrics().handed_back == 1);
            door.open();
            let report = shutdown.join().unwrap();
            // As it was, from hand to hand; the closed pool gives it back once more.
            let job = report.unrun.into_iter().next().unwrap();
            assert_eq!(told(&job), said);
            let refused = pool.job(job).send_blocking().unwrap_err();
            assert!(refused.is_closed());
            assert_eq!(told(&refused.into_job()), said);
        });
        ledger.close(pool.metrics());
    });
}

#[test]
fn heavy_jobs_of_several_dispatchers_share_one_bound() {
    watched(|ledger| {
        for round_robin in [false, true] {
            let books = Ledger::new();
            let builder = Pool::builder(handler_fn(|job: Payload| {
                job.run(|| ());
                Ok::<_, String>(job.id())
            }))
            .dispatchers(3)
            .workers_per_dispatcher(2)
            .queue_capacity(10);
            let builder = if round_robin {
                builder.dispatcher(RoundRobin::new)
            } else {
                builder
            };
            let pool = builder.build().unwrap();
            books.watch(&pool);
            std::thread::scope(|scope| {
                for n in 0..6_u64 {
                    let (pool, books) = (&pool, &books);
                    scope.spawn(move || {
                        for turn in 0..300 {
                            let job = pool.job(books.job()).weight(1 + (n + turn) % 10);
                            match turn % 3 {
                                0 => job.key(turn % 4).send_blocking().unwrap(),
                                1 => assert!(block_on(job.run()).is_ok()),
                                _ => {
                                    let handle = block_on(job.submit()).unwrap();
                                    let _ = handle.cancel();
                                }
                            }
                            let counts = pool.metrics();
                            assert_conserved(counts);
                            assert!(counts.occupied <= 10, "{}", counts.occupied);
                        }
                    });
                }
            });
            let counts = pool.shutdown_blocking().counts;
            assert_eq!((counts.occupied, counts.accepted), (0, 1800));
            books.close(counts);
        }
        ledger.close_without_counts();
    });
}
