//! The gate's protocols in every interleaving.

use super::{check, with_control};
use crate::gate::{Gate, Lane, Refusal, Want};
use crate::sync::fault::Fault;
use crate::sync::{Mutex, lock};
use crate::wait::park::block_on;
use loom::thread;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// A job is accepted or refused: what the close saw is all there will ever be.
fn close_against_acceptance() {
    let gate = Arc::new(Gate::new(2, 1));
    let submitters: Vec<_> = (0..2)
        .map(|_| {
            let gate = gate.clone();
            thread::spawn(move || gate.try_enter(Want::job(1)).is_ok())
        })
        .collect();
    gate.close();
    let seen = gate.issued();
    let accepted = submitters
        .into_iter()
        .filter_map(|submitter| submitter.join().unwrap().then_some(()))
        .count();
    assert_eq!(seen, accepted as u64, "accepted after the close");
    assert_eq!(gate.is_drained(), accepted == 0);
    (0..accepted).for_each(|n| assert_eq!(gate.release(1, Lane::COMMON), n + 1 == accepted));
}

#[test]
fn a_close_sees_every_acceptance() {
    with_control(Fault::ClosedApart, || check(close_against_acceptance));
}

#[test]
fn the_bound_is_never_exceeded_and_full_means_full() {
    check(|| {
        let gate = Arc::new(Gate::new(1, 1));
        let inside = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (gate, inside) = (gate.clone(), inside.clone());
                thread::spawn(move || match gate.try_enter(Want::job(1)) {
                    Ok(_) => {
                        let before = inside.fetch_add(1, loom::sync::atomic::Ordering::SeqCst);
                        assert_eq!(before, 0, "two inside a gate for one");
                        inside.fetch_sub(1, loom::sync::atomic::Ordering::SeqCst);
                        gate.release(1, Lane::COMMON);
                        1
                    }
                    Err(refusal) => {
                        assert_eq!(refusal, Refusal::Full);
                        0
                    }
                })
            })
            .collect();
        let accepted: u64 = threads.into_iter().map(|t| t.join().unwrap()).sum();
        assert!(accepted >= 1, "one of them finds room");
        assert_eq!(gate.accepted(), accepted);
        assert_eq!(gate.occupied(), 0);
    });
}

/// One waits for room, one makes it.
fn waiter_against_release() {
    let gate = Arc::new(Gate::new(1, 1));
    gate.try_enter(Want::job(1)).unwrap();
    let waiter = {
        let gate = gate.clone();
        thread::spawn(move || block_on(gate.enter(Want::job(1))).unwrap())
    };
    gate.release(1, Lane::COMMON);
    waiter.join().unwrap();
    assert_eq!(gate.occupied(), 1);
}

#[test]
fn a_waiter_is_woken_by_a_release_whenever_it_comes() {
    with_control(Fault::NoSecondLook, || check(waiter_against_release));
}

/// Two wait, and room for both comes at once.
fn two_waiters_one_release() {
    let gate = Arc::new(Gate::new(8, 1));
    gate.try_enter(Want::job(8)).unwrap();
    let waiter = {
        let gate = gate.clone();
        thread::spawn(move || block_on(gate.enter(Want::job(1))).unwrap())
    };
    let releaser = {
        let gate = gate.clone();
        thread::spawn(move || gate.release(2, Lane::of_worker(0)))
    };
    block_on(gate.enter(Want::job(1))).unwrap();
    waiter.join().unwrap();
    releaser.join().unwrap();
}

#[test]
fn the_baton_reaches_the_second_waiter() {
    with_control(Fault::BatonDropped, || check(two_waiters_one_release));
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// One waiter is dropped, notified or not; the other must get the room.
fn a_waiter_is_dropped() {
    let gate = Arc::new(Gate::new(4, 1));
    gate.try_enter(Want::job(4)).unwrap();
    let dropped = {
        let gate = gate.clone();
        thread::spawn(move || {
            let mut waiting = pin!(gate.enter(Want::job(1)));
            if poll_once(waiting.as_mut()).is_ready() {
                gate.release(1, Lane::COMMON);
            }
        })
    };
    let releaser = {
        let gate = gate.clone();
        thread::spawn(move || gate.release(1, Lane::COMMON))
    };
    block_on(gate.enter(Want::job(1))).unwrap();
    dropped.join().unwrap();
    releaser.join().unwrap();
}

#[test]
fn a_waiter_that_is_dropped_passes_its_wake_up_on() {
    with_control(Fault::WakeSwallowed, || check(a_waiter_is_dropped));
}

/// One waiter is forgotten with the first notification; the other must get the room.
fn a_waiter_is_forgotten() {
    let gate = Arc::new(Gate::new(4, 1));
    gate.try_enter(Want::job(4)).unwrap();
    // Forgotten with its listener registered, so the first notification is its own.
    let forgotten = Box::leak(Box::new(gate.clone()));
    let mut waiting = Box::pin(forgotten.enter(Want::job(1)));
    assert!(poll_once(waiting.as_mut()).is_pending());
    std::mem::forget(waiting);
    let worker = {
        let gate = gate.clone();
        thread::spawn(move || {
            gate.release(1, Lane::COMMON);
            gate.wake_at_rest(std::time::Instant::now);
        })
    };
    block_on(gate.enter(Want::job(1))).unwrap();
    worker.join().unwrap();
}

#[test]
fn a_waiter_that_is_forgotten_keeps_nobody_waiting_once_a_worker_is_idle() {
    with_control(Fault::ForgottenUnhealed, || check(a_waiter_is_forgotten));
}

/// The same where nothing else happens: no worker comes to rest.
fn a_waiter_is_forgotten_at_the_only_slot() {
    let gate = Arc::new(Gate::new(1, 1));
    gate.try_enter(Want::job(1)).unwrap();
    let forgotten = Box::leak(Box::new(gate.clone()));
    let mut waiting = Box::pin(forgotten.enter(Want::job(1)));
    assert!(poll_once(waiting.as_mut()).is_pending());
    std::mem::forget(waiting);
    let worker = {
        let gate = gate.clone();
        thread::spawn(move || gate.release(1, Lane::COMMON))
    };
    block_on(gate.enter(Want::job(1))).unwrap();
    worker.join().unwrap();
}

#[test]
fn half_of_the_room_free_wakes_those_behind_a_forgotten_waiter() {
    with_control(Fault::ForgottenUnhealed, || {
        check(a_waiter_is_forgotten_at_the_only_slot);
    });
}

// ---- releases under a lock ----------------------------------------------------------------------

type Locks = Arc<Vec<Mutex<()>>>;

/// A gate whose workers count under locks.
fn counted_gate(capacity: u64, workers: usize) -> (Arc<Gate>, Locks) {
    let locks: Locks = Arc::new((0..workers).map(|_| Mutex::new(())).collect());
    let passed = locks.clone();
    let pass = move || passed.iter().for_each(|each| drop(lock(each)));
    let gate = Gate::new(capacity, workers).counted_under(Box::new(pass), workers);
    (Arc::new(gate), locks)
}

/// Returns whether that drained the gate.
fn release_under(gate: &Gate, locks: &Locks, worker: usize) -> bool {
    let lane = Lane::of_worker(worker);
    {
        let _tray = lock(&locks[worker]);
        gate.count(1, lane);
    }
    gate.counted(1, lane)
}

fn waiter_against_release_under_a_lock() {
    let (gate, locks) = counted_gate(1, 1);
    gate.try_enter(Want::job(1)).unwrap();
    let waiter = {
        let gate = gate.clone();
        thread::spawn(move || block_on(gate.enter(Want::job(1))).unwrap())
    };
    release_under(&gate, &locks, 0);
    waiter.join().unwrap();
    assert_eq!(gate.occupied(), 1);
}

#[test]
fn a_waiter_is_woken_by_a_release_under_a_lock() {
    with_control(Fault::LocksNotPassed, || {
        check(waiter_against_release_under_a_lock)
    });
}

/// In line, where the first waiter that comes forms the line.
fn heavy_waiter_against_release_under_a_lock() {
    let (gate, locks) = counted_gate(2, 1);
    gate.try_enter(Want::jobs(2)).unwrap();
    gate.release(1, Lane::COMMON);
    let waiter = {
        let gate = gate.clone();
        thread::spawn(move || block_on(gate.enter(Want::job(2))).unwrap())
    };
    release_under(&gate, &locks, 0);
    waiter.join().unwrap();
    assert_eq!(gate.occupied(), 2);
}

#[test]
fn a_heavy_waiter_is_called_by_a_release_under_a_lock() {
    with_control(Fault::LocksNotPassed, || {
        check(heavy_waiter_against_release_under_a_lock)
    });
}

/// The last one is told.
fn close_against_releases_under_locks() {
    let (gate, locks) = counted_gate(2, 2);
    gate.try_enter(Want::jobs(2)).unwrap();
    let others: Vec<_> = (0..2)
        .map(|worker| {
            let (gate, locks) = (gate.clone(), locks.clone());
            thread::spawn(move || release_under(&gate, &locks, worker))
        })
        .collect();
    let (_, mut told) = gate.close();
    for other in others {
        told |= other.join().unwrap();
    }
    assert!(told, "nobody was told that the gate is drained");
    assert!(gate.is_drained());
}

#[test]
fn the_last_release_under_a_lock_is_told_that_the_gate_is_drained() {
    with_control(Fault::LocksNotPassed, || {
        check(close_against_releases_under_locks)
    });
}

/// As `a_waiter_is_forgotten`, but no worker comes to rest, and half of the room is free in the end.
fn two_releases_under_locks_behind_a_forgotten_waiter() {
    let (gate, locks) = counted_gate(4, 2);
    gate.try_enter(Want::jobs(4)).unwrap();
    let forgotten = Box::leak(Box::new(gate.clone()));
    let mut waiting = Box::pin(forgotten.enter(Want::job(1)));
    assert!(poll_once(waiting.as_mut()).is_pending());
    std::mem::forget(waiting);
    let other = {
        let gate = gate.clone();
        let locks = locks.clone();
        // It waits until one of the workers wakes all.
        let mut waiting = Box::pin({
            let gate = gate.clone();
            async move { gate.enter(Want::job(1)).await.unwrap() }
        });
        assert!(poll_once(waiting.as_mut()).is_pending());
        thread::spawn(move || {
            release_under(&gate, &locks, 0);
            waiting
        })
    };
    release_under(&gate, &locks, 1);
    block_on(other.join().unwrap());
}

#[test]
fn two_releases_under_locks_see_together_that_half_of_the_room_is_free() {
    with_control(Fault::NotFenced, || {
        check(two_releases_under_locks_behind_a_forgotten_waiter);
    });
}

#[test]
fn a_close_wakes_every_waiter() {
    check(|| {
        let gate = Arc::new(Gate::new(1, 1));
        gate.try_enter(Want::job(1)).unwrap();
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let gate = gate.clone();
                thread::spawn(move || block_on(gate.enter(Want::job(1))))
            })
            .collect();
        gate.close();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), Err(Refusal::Closed));
        }
    });
}

// ---- in line ------------------------------------------------------------------------------------

/// One needs all the room, which comes bit by bit.
fn a_heavy_waiter_against_releases() {
    let gate = Arc::new(Gate::new(2, 1));
    gate.try_enter(Want::job(2)).unwrap();
    let releaser = {
        let gate = gate.clone();
        thread::spawn(move || {
            gate.release(1, Lane::COMMON);
            gate.release(1, Lane::of_worker(0));
        })
    };
    block_on(gate.enter(Want::job(2))).unwrap();
    releaser.join().unwrap();
    assert_eq!(gate.occupied(), 2);
    assert_eq!(gate.accepted(), 2);
}

#[test]
fn a_heavy_waiter_is_called_when_the_room_is_enough() {
    with_control(Fault::NoSecondLook, || {
        check(a_heavy_waiter_against_releases)
    });
}

#[test]
fn newcomers_do_not_take_what_a_heavy_waiter_needs() {
    check(|| {
        let gate = Arc::new(Gate::new(2, 1));
        gate.try_enter(Want::job(2)).unwrap();
        let leaked = gate.clone();
        let mut heavy = Box::pin(async move { leaked.enter(Want::job(2)).await });
        assert!(poll_once(heavy.as_mut()).is_pending());
        let newcomer = {
            let gate = gate.clone();
            thread::spawn(move || {
                let early = gate.try_enter(Want::job(1));
                assert!(early.is_err(), "a newcomer overtook");
            })
        };
        gate.release(1, Lane::COMMON);
        gate.release(1, Lane::COMMON);
        newcomer.join().unwrap();
        assert!(poll_once(heavy.as_mut()).is_ready());
    });
}

/// A heavy and a light waiter; in the end there is room for both.
fn a_light_waiter_behind_a_heavy_one() {
    let gate = Arc::new(Gate::new(3, 1));
    gate.try_enter(Want::job(3)).unwrap();
    let light = {
        let gate = gate.clone();
        thread::spawn(move || block_on(gate.enter(Want::job(1))).unwrap())
    };
    let releaser = {
        let gate = gate.clone();
        thread::spawn(move || gate.release(3, Lane::of_worker(0)))
    };
    block_on(gate.enter(Want::job(2))).unwrap();
    light.join().unwrap();
    releaser.join().unwrap();
    assert_eq!(gate.occupied(), 3);
}

#[test]
fn who_waits_behind_a_heavy_one_is_served_after_it() {
    with_control(Fault::NotCalledOn, || {
        check(a_light_waiter_behind_a_heavy_one)
    });
}

/// The heavy waiter gives up, at any moment; the light one behind it must get the room.
fn a_heavy_waiter_is_dropped() {
    let gate = Arc::new(Gate::new(2, 1));
    gate.try_enter(Want::job(2)).unwrap();
    let heavy = {
        let gate = gate.clone();
        thread::spawn(move || {
            let mut heavy = pin!(gate.enter(Want::job(2)));
            assert!(
                poll_once(heavy.as_mut()).is_pending(),
                "one unit is missing"
            );
        })
    };
    let releaser = {
        let gate = gate.clone();
        thread::spawn(move || gate.release(1, Lane::COMMON))
    };
    block_on(gate.enter(Want::job(1))).unwrap();
    heavy.join().unwrap();
    releaser.join().unwrap();
}

#[test]
fn a_heavy_waiter_that_is_dropped_stands_in_nobodys_way() {
    with_control(Fault::NotCalledOn, || check(a_heavy_waiter_is_dropped));
}

/// The heavy waiter is called and forgotten; the light one behind it must get the room.
fn a_heavy_waiter_is_forgotten() {
    let gate = Arc::new(Gate::new(2, 1));
    gate.try_enter(Want::job(2)).unwrap();
    let forgotten = Box::leak(Box::new(gate.clone()));
    let mut heavy = Box::pin(forgotten.enter(Want::job(2)));
    assert!(poll_once(heavy.as_mut()).is_pending());
    std::mem::forget(heavy);
    let worker = {
        let gate = gate.clone();
        thread::spawn(move || {
            gate.release(2, Lane::COMMON);
            gate.wake_at_rest(std::time::Instant::now);
        })
    };
    block_on(gate.enter(Want::job(1))).unwrap();
    worker.join().unwrap();
}

#[test]
fn a_heavy_waiter_that_is_forgotten_is_passed_over_once_a_worker_is_idle() {
    with_control(Fault::ForgottenUnhealed, || {
        check(a_heavy_waiter_is_forgotten)
    });
}

#[test]
fn a_close_ends_every_wait_in_line() {
    check(|| {
        let gate = Arc::new(Gate::new(2, 1));
        gate.try_enter(Want::job(2)).unwrap();
        let waiters: Vec<_> = [2, 1]
            .into_iter()
            .map(|weight| {
                let gate = gate.clone();
                thread::spawn(move || block_on(gate.enter(Want::job(weight))))
            })
            .collect();
        gate.close();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), Err(Refusal::Closed));
        }
    });
}

// ---- permits ------------------------------------------------------------------------------------

/// Used before the close and counted by it, or refused.
fn a_permit_against_close() {
    let gate = Arc::new(Gate::new(2, 1));
    gate.try_enter(Want::permit(1)).unwrap();
    let user = {
        let gate = gate.clone();
        thread::spawn(move || match gate.redeem(1) {
            Ok(()) => true,
            Err(_) => {
                gate.give_back(1);
                false
            }
        })
    };
    gate.close();
    // What a shutdown sees now must stay true for ever.
    let drained = gate.is_drained();
    let used = user.join().unwrap();
    assert!(!(drained && used), "drained, and then a job came");
    assert_eq!(gate.accepted(), u64::from(used));
    assert_eq!(gate.is_drained(), !used);
    assert_eq!(gate.waiting(), u64::from(used));
    if used {
        assert!(gate.release(1, Lane::COMMON));
    }
}

#[test]
fn a_close_sees_every_permit_that_was_used() {
    with_control(Fault::PermitApart, || check(a_permit_against_close));
}

fn a_permit_goes_back_while_a_job_waits() {
    let gate = Arc::new(Gate::new(2, 1));
    gate.try_enter(Want::permit(1)).unwrap();
    gate.try_enter(Want::job(1)).unwrap();
    let dropper = {
        let gate = gate.clone();
        thread::spawn(move || gate.give_back(1))
    };
    gate.close();
    assert!(!gate.is_drained(), "a job waits");
    let early = dropper.join().unwrap();
    assert!(!early && gate.release(1, Lane::COMMON));
}

#[test]
fn a_permit_that_goes_back_hides_no_job() {
    with_control(Fault::HeldTooLong, || {
        check(a_permit_goes_back_while_a_job_waits)
    });
}

#[test]
fn a_permit_that_is_kept_keeps_no_gate_from_being_drained() {
    check(|| {
        let gate = Arc::new(Gate::new(3, 1));
        gate.try_enter(Want::permit(2)).unwrap();
        gate.try_enter(Want::job(1)).unwrap();
        let worker = {
            let gate = gate.clone();
            thread::spawn(move || gate.release(1, Lane::of_worker(0)))
        };
        let (_, drained) = gate.close();
        let told = worker.join().unwrap();
        assert!(drained || told, "nobody was told");
        assert!(gate.is_drained());
    });
}
