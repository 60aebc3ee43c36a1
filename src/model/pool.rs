//! Whole pools under random schedules.

use super::{check, with_control};
use crate::sync::fault::Fault;
use crate::wait::park::block_on;
use crate::{
    Cancellation, Job, JobError, Metrics, Pool, PoolBuilder, RunError, SubmitError, Target,
    Workers, handler_fn, handler_fn_with,
};
use shuttle::sync::Mutex;
use shuttle::thread;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

type Numbers = crate::HandlerFn<fn(u64) -> Result<u64, String>>;

fn double(n: u64) -> Result<u64, String> {
    Ok(2 * n)
}

/// A pool whose workers are the checker's threads.
fn pool(workers: usize, capacity: usize) -> PoolBuilder<u64, Numbers> {
    on_checked_threads(Pool::builder(handler_fn(double as fn(u64) -> _)))
        .workers_per_dispatcher(workers)
        .queue_capacity(capacity)
}

fn on_checked_threads<J, H>(builder: PoolBuilder<J, H>) -> PoolBuilder<J, H>
where
    J: Send + 'static,
    H: crate::JobHandlerFactory<J>,
{
    builder.spawner(|worker| {
        thread::spawn(move || block_on(worker));
    })
}

fn assert_closed_books(counts: Metrics) {
    assert_eq!(counts.submitted, counts.accepted + counts.refused);
    let over = counts.completed
        + counts.failed
        + counts.panicked
        + counts.cancelled
        + counts.handed_back
        + counts.abandoned;
    assert_eq!(counts.accepted, over, "{counts}");
    assert_eq!(counts.waiting + counts.running, 0, "{counts}");
}

fn a_job_meets_a_worker_that_falls_asleep() {
    let pool = pool(1, 4).build().unwrap();
    // One at a time: a later push would wake the worker for the earlier job, too.
    for n in 0..3 {
        assert_eq!(pool.run_blocking(n).unwrap(), 2 * n);
    }
    assert_closed_books(pool.shutdown_blocking().counts);
}

#[test]
fn no_job_is_left_with_a_worker_asleep() {
    with_control(Fault::NoLastLook, || {
        check(a_job_meets_a_worker_that_falls_asleep);
    });
}

#[test]
fn no_submitter_is_left_with_room_free() {
    check(|| {
        let pool = pool(2, 1).build().unwrap();
        let senders: Vec<_> = (0..3)
            .map(|n| {
                let pool = pool.clone();
                thread::spawn(move || {
                    pool.send_blocking(n).unwrap();
                    pool.send_blocking(n).unwrap();
                })
            })
            .collect();
        senders
            .into_iter()
            .for_each(|sender| sender.join().unwrap());
        let report = pool.shutdown_blocking();
        assert_eq!(report.counts.completed, 6);
        assert_closed_books(report.counts);
    });
}

fn submissions_race_a_shutdown() {
    let pool = pool(1, 2).build().unwrap();
    let submitters: Vec<_> = (0..2)
        .map(|n| {
            let pool = pool.clone();
            thread::spawn(move || match pool.submit_blocking(n) {
                Ok(handle) => assert_eq!(handle.wait().unwrap(), 2 * n),
                Err(refused) => assert!(matches!(refused, SubmitError::Closed(job) if job == n)),
            })
        })
        .collect();
    let report = pool.shutdown_blocking();
    submitters
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    assert!(report.unrun.is_empty());
    assert_closed_books(pool.metrics());
}

#[test]
fn accepted_during_a_shutdown_runs_and_refused_comes_back() {
    with_control(Fault::ClosedApart, || check(submissions_race_a_shutdown));
}

fn permits_race_a_shutdown() {
    let pool = pool(1, 2).build().unwrap();
    let kept = pool.try_reserve().unwrap();
    let users: Vec<_> = (0..2)
        .map(|n| {
            let pool = pool.clone();
            thread::spawn(move || {
                let Ok(permit) = pool.reserve_blocking() else {
                    return;
                };
                match permit.submit(n) {
                    Ok(handle) => assert_eq!(handle.wait().unwrap(), 2 * n),
                    Err(refused) => {
                        assert!(matches!(refused, SubmitError::Closed(job) if job == n));
                    }
                }
            })
        })
        .collect();
    let report = pool.shutdown_blocking();
    assert!(report.unrun.is_empty());
    assert!(kept.send(7).is_err_and(|refused| refused.is_closed()));
    users.into_iter().for_each(|user| user.join().unwrap());
    assert_closed_books(pool.metrics());
    assert_eq!(pool.metrics().reserved, 0);
}

#[test]
fn a_permit_is_used_before_a_shutdown_or_gives_its_job_back() {
    with_control(Fault::PermitApart, || check(permits_race_a_shutdown));
}

#[test]
fn heavy_and_light_submitters_are_all_served() {
    check(|| {
        let pool = pool(1, 2).build().unwrap();
        let submitters: Vec<_> = [2, 1, 1]
            .into_iter()
            .map(|weight| {
                let pool = pool.clone();
                thread::spawn(move || {
                    for _ in 0..2 {
                        pool.job(weight).weight(weight).send_blocking().unwrap();
                    }
                })
            })
            .collect();
        submitters
            .into_iter()
            .for_each(|submitter| submitter.join().unwrap());
        let report = pool.shutdown_blocking();
        assert_eq!(report.counts.completed, 6);
        assert_closed_books(report.counts);
    });
}

/// A permit makes room while the worker rests or goes to rest, and the first in line is forgotten.
fn a_permit_goes_back_while_the_worker_rests() {
    let pool = pool(1, 2).build().unwrap();
    let other = pool.clone();
    let all = other.try_reserve_weight(2).unwrap();
    // Leaks the future and what it borrows.
    let leaked: &'static Pool<u64, Numbers> = Box::leak(Box::new(pool.clone()));
    let mut forgotten = Box::pin(leaked.reserve_weight(2));
    let polled = forgotten
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    std::mem::forget(forgotten);
    let sender = {
        let pool = pool.clone();
        thread::spawn(move || pool.send_blocking(1).unwrap())
    };
    drop(all);
    sender.join().unwrap();
    assert_closed_books(pool.shutdown_blocking().counts);
}

#[test]
fn a_forgotten_waiter_is_passed_over_while_all_workers_rest() {
    with_control(Fault::ForgottenUnhealed, || {
        check(a_permit_goes_back_while_the_worker_rests);
    });
}

#[test]
fn two_shutdowns_hand_back_each_job_once() {
    check(|| {
        let pool = pool(1, 4).build().unwrap();
        let handles: Vec<_> = (0..3).map(|n| pool.submit_blocking(n).unwrap()).collect();
        let other = pool.clone();
        let second = thread::spawn(move || other.shutdown_now_blocking().unrun);
        let mut unrun = pool.shutdown_now_blocking().unrun;
        unrun.extend(second.join().unwrap());
        let mut unrun: Vec<u64> = unrun.into_iter().map(Job::into_inner).collect();
        unrun.sort_unstable();
        let mut told: Vec<u64> = Vec::new();
        for (n, handle) in (0..).zip(handles) {
            match handle.wait() {
                Ok(doubled) => assert_eq!(doubled, 2 * n),
                Err(JobError::HandedBack) => told.push(n),
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(unrun, told);
        assert_closed_books(pool.metrics());
    });
}

/// The only worker never gets a handler, and has left before the waiting job is handed back.
fn a_shutdown_comes_while_the_last_worker_leaves() {
    let no_handler = crate::handler_factory(|_| Err::<Numbers, _>("no handler"));
    let pool = on_checked_threads(Pool::builder(no_handler))
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
    let handle = pool.try_submit(7_u64).unwrap();
    let report = pool.shutdown_blocking();
    assert_closed_books(report.counts);
    let unrun: Vec<u64> = report.unrun.into_iter().map(Job::into_inner).collect();
    assert_eq!(unrun, [7]);
    assert!(matches!(handle.wait(), Err(JobError::HandedBack)));
}

#[test]
fn a_shutdown_is_not_over_before_the_last_job_is_handed_back() {
    with_control(Fault::LeftUnswept, || {
        check(a_shutdown_comes_while_the_last_worker_leaves);
    });
}

/// Polls inline, when it is woken, a future that takes back all waiting jobs.
struct TakesBack(crate::WeakSubmitter<u64, u64, String>);

impl std::task::Wake for TakesBack {
    fn wake(self: Arc<Self>) {
        if let Some(pool) = self.0.upgrade() {
            let mut ending = Box::pin(pool.shutdown_now());
            let _ = ending
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

fn a_join_is_told_while_the_next_job_is_started() {
    let pool = pool(1, 4).build().unwrap();
    pool.send_blocking(0).unwrap();
    pool.send_blocking(1).unwrap();
    let waker = Waker::from(Arc::new(TakesBack(pool.submitter().downgrade())));
    let mut joining = Box::pin(pool.join());
    let _ = joining.as_mut().poll(&mut Context::from_waker(&waker));
    // These may be refused once the others are over.
    let _ = pool.try_send(2);
    let _ = pool.try_send(3);
    drop(pool.shutdown_blocking());
    assert_closed_books(pool.metrics());
}

#[test]
fn who_is_told_by_a_join_finds_no_room_kept_for_a_job_that_started() {
    with_control(Fault::RoomKept, || {
        check(a_join_is_told_while_the_next_job_is_started);
    });
}

fn a_cancel_races_the_worker() {
    let pool = pool(1, 2).build().unwrap();
    let handle = pool.submit_blocking(1).unwrap();
    let cancel = handle.cancel_handle();
    let canceller = thread::spawn(move || cancel.cancel());
    let outcome = handle.wait();
    match canceller.join().unwrap() {
        Cancellation::Removed => assert!(matches!(outcome, Err(JobError::Cancelled))),
        Cancellation::Requested | Cancellation::TooLate => assert_eq!(outcome.unwrap(), 2),
    }
    assert_closed_books(pool.shutdown_blocking().counts);
}

#[test]
fn one_of_cancel_and_worker_gets_the_job() {
    with_control(Fault::ClaimTwice, || check(a_cancel_races_the_worker));
}

/// Outcomes keep their own account: each is dropped once, whether or not it is taken.
struct Outcome(u64, Arc<Mutex<Vec<u64>>>);

impl Drop for Outcome {
    fn drop(&mut self) {
        self.1.lock().unwrap().push(self.0);
    }
}

/// Three jobs and one beside them. With room for two, the group is on its way in while its first job runs; with more,
/// its worker takes two of its jobs in one envelope. Then the group is cancelled, and its handle dropped, waited for,
/// or taken from one by one.
fn a_group_meets_worker_cancel_and_drop(capacity: usize, then: u32) {
    let dropped: Arc<Mutex<Vec<u64>>> = Arc::default();
    let account = dropped.clone();
    let run = move |n: u64| Ok::<_, String>(Outcome(n, account.clone()));
    let pool = on_checked_threads(Pool::builder(handler_fn(run)))
        .workers_per_dispatcher(1)
        .queue_capacity(capacity)
        .build()
        .unwrap();
    let other = pool.clone();
    let beside = thread::spawn(move || other.send_blocking(9).unwrap());
    let mut group = pool.submit_all_blocking(0..3).unwrap();
    let cancelled = group.cancel();
    assert_eq!(
        cancelled.removed + cancelled.requested + cancelled.too_late,
        3
    );
    let mut done = Vec::new();
    let mut take = |at: u64, outcome: Result<Outcome, JobError<String>>| match outcome {
        Ok(outcome) => {
            assert_eq!(outcome.0, at);
            done.push(at);
        }
        Err(JobError::Cancelled) => {}
        Err(other) => panic!("{other:?}"),
    };
    match then {
        0 => drop(group),
        1 => {
            take(0, group.next_blocking().unwrap());
            drop(group);
        }
        2 => {
            take(0, group.next_blocking().unwrap());
            let rest = group.wait();
            assert_eq!(rest.len(), 2);
            (1..).zip(rest).for_each(|(at, outcome)| take(at, outcome));
            assert_eq!(done.len(), 3 - cancelled.removed);
        }
        _ => {
            let all = group.wait();
            assert_eq!(all.len(), 3);
            (0..).zip(all).for_each(|(at, outcome)| take(at, outcome));
            assert_eq!(done.len(), 3 - cancelled.removed);
        }
    }
    beside.join().unwrap();
    let counts = pool.shutdown_blocking().counts;
    assert_eq!(counts.cancelled, cancelled.removed as u64);
    assert_eq!(counts.completed, 4 - cancelled.removed as u64);
    assert_closed_books(counts);
    let mut dropped = dropped.lock().unwrap().clone();
    assert_eq!(dropped.len() as u64, counts.completed, "{dropped:?}");
    dropped.sort_unstable();
    dropped.dedup();
    assert_eq!(dropped.len() as u64, counts.completed, "dropped twice");
}

#[test]
fn each_job_of_a_group_ends_once_whoever_gets_it() {
    with_control(Fault::ClaimTwice, || {
        for capacity in [2, 4] {
            for then in 0..4 {
                check(move || a_group_meets_worker_cancel_and_drop(capacity, then));
            }
        }
    });
}

#[test]
fn a_group_given_up_on_its_way_in_runs_as_far_as_it_came() {
    check(|| {
        let dropped: Arc<Mutex<Vec<u64>>> = Arc::default();
        let account = dropped.clone();
        let run = move |n: u64| Ok::<_, String>(Outcome(n, account.clone()));
        let pool = on_checked_threads(Pool::builder(handler_fn(run)))
            .workers_per_dispatcher(1)
            .queue_capacity(1)
            .build()
            .unwrap();
        let mut submitting = Box::pin(pool.submit_all(0..3));
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..2 {
            if submitting.as_mut().poll(&mut cx).is_ready() {
                break;
            }
            thread::yield_now();
        }
        // While the worker is at it: outcomes from here on have no taker.
        drop(submitting);
        let counts = pool.shutdown_blocking().counts;
        assert!(counts.accepted >= 1, "{counts}");
        assert_closed_books(counts);
        assert_eq!(dropped.lock().unwrap().len() as u64, counts.completed);
    });
}

#[test]
fn a_close_meets_a_group_on_its_way_in() {
    check(|| {
        let pool = pool(1, 1).build().unwrap();
        let other = pool.clone();
        let closing = thread::spawn(move || other.close());
        match pool.submit_all_blocking(0..3) {
            Ok(group) => assert_eq!(group.wait().len(), 3),
            Err(error) => {
                let accepted = error.accepted.len() as u64;
                assert!(error.refused.is_closed());
                let rest: Vec<u64> = (accepted..3).collect();
                assert_eq!(error.refused.into_job(), rest);
                let done = error.accepted.wait();
                for (n, outcome) in (0..).zip(done) {
                    assert_eq!(outcome.unwrap(), 2 * n);
                }
            }
        }
        closing.join().unwrap();
        assert_closed_books(pool.shutdown_blocking().counts);
    });
}

/// A taker of the errors gets all of them before the end, while a shutdown hands jobs back.
#[test]
fn errors_do_not_end_before_the_last_job() {
    check(|| {
        let pool = pool(1, 4).build().unwrap();
        for n in 0..3 {
            pool.send_blocking(n).unwrap();
        }
        let errors = pool.errors();
        let receiver = thread::spawn(move || {
            let mut received = 0;
            while errors.recv_blocking().is_some() {
                received += 1;
            }
            received
        });
        let report = pool.shutdown_now_blocking();
        assert_eq!(receiver.join().unwrap(), report.unrun.len());
        assert_closed_books(report.counts);
    });
}

#[test]
fn a_dropped_handle_races_the_outcome() {
    check(|| {
        let pool = pool(1, 2).build().unwrap();
        let kept = Arc::new(());
        let handle = {
            let handle = pool.submit_blocking(1).unwrap();
            let cancel = handle.cancel_handle();
            let kept = kept.clone();
            thread::spawn(move || {
                drop((handle, kept));
                let _ = cancel.cancel();
            })
        };
        handle.join().unwrap();
        assert_closed_books(pool.shutdown_blocking().counts);
        assert_eq!(Arc::strong_count(&kept), 1);
    });
}

fn a_cancel_comes_when_the_next_job_is_under_way() {
    let pool = pool(1, 2).build().unwrap();
    let first = pool.submit_blocking(1).unwrap();
    let cancel = first.cancel_handle();
    assert_eq!(first.wait().unwrap(), 2);
    let late = thread::spawn(move || assert_eq!(cancel.cancel(), Cancellation::TooLate));
    for n in 2..5 {
        assert_eq!(pool.run_blocking(n).unwrap(), 2 * n);
    }
    late.join().unwrap();
    let report = pool.shutdown_blocking();
    assert_eq!(report.counts.completed, 4);
    assert_closed_books(report.counts);
}

#[test]
fn a_cell_has_no_next_job_while_somebody_has_a_share_in_the_last() {
    with_control(Fault::SharedAgain, || {
        check(a_cancel_comes_when_the_next_job_is_under_way);
    });
}

#[test]
fn tombstones_free_their_room_at_once() {
    check(|| {
        let pool = pool(1, 1).build().unwrap();
        let canceller = {
            let pool = pool.clone();
            thread::spawn(move || {
                for n in 0..3 {
                    let _ = pool.submit_blocking(n).unwrap().cancel();
                }
            })
        };
        pool.send_blocking(9).unwrap();
        canceller.join().unwrap();
        assert_closed_books(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_join_waits_for_all_before_it_and_not_for_what_comes_after() {
    check(|| {
        let pool = pool(2, 4).build().unwrap();
        let handles: Vec<_> = (0..3).map(|n| pool.submit_blocking(n).unwrap()).collect();
        let other = pool.clone();
        let more = thread::spawn(move || other.send_blocking(7).unwrap());
        pool.join_blocking();
        for handle in &handles {
            assert!(handle.is_finished());
        }
        more.join().unwrap();
        assert_closed_books(pool.shutdown_blocking().counts);
    });
}

/// The worker leaves the seat of one job by taking the next out of its tray.
fn a_join_comes_while_a_worker_goes_from_job_to_job() {
    let pool = pool(1, 8).build().unwrap();
    (0..4).for_each(|n| pool.send_blocking(n).unwrap());
    let joiners: Vec<_> = (0..4)
        .map(|_| {
            let pool = pool.clone();
            thread::spawn(move || (0..2).for_each(|_| pool.join_blocking()))
        })
        .collect();
    joiners
        .into_iter()
        .for_each(|joiner| joiner.join().unwrap());
    assert_closed_books(pool.shutdown_blocking().counts);
}

#[test]
fn a_join_hears_of_a_job_whose_worker_went_on_to_the_next() {
    with_control(Fault::SeatKept, || {
        check(a_join_comes_while_a_worker_goes_from_job_to_job)
    });
}

#[test]
fn desks_do_not_sleep_while_a_sibling_has_work() {
    check(|| {
        let pool = pool(1, 8).dispatchers(2).build().unwrap();
        let senders: Vec<_> = (0..2)
            .map(|n| {
                let pool = pool.clone();
                thread::spawn(move || (0..2).for_each(|m| pool.send_blocking(n + m).unwrap()))
            })
            .collect();
        senders
            .into_iter()
            .for_each(|sender| sender.join().unwrap());
        pool.join_blocking();
        assert_closed_books(pool.shutdown_blocking().counts);
    });
}

/// Each key's jobs go to one of the desks, and workers of other desks may not run them.
fn jobs_with_keys_come_to_two_desks() {
    let pool = pool(1, 8).dispatchers(2).build().unwrap();
    let senders: Vec<_> = (0..2)
        .map(|key| {
            let pool = pool.clone();
            thread::spawn(move || {
                let handle = pool.job(1).key(key).submit_blocking().unwrap();
                assert_eq!(handle.wait().unwrap(), 2);
            })
        })
        .collect();
    senders
        .into_iter()
        .for_each(|sender| sender.join().unwrap());
    assert_closed_books(pool.shutdown_blocking().counts);
}

#[test]
fn no_job_with_a_key_is_left_with_its_desk_asleep() {
    with_control(Fault::KeyedUnseen, || {
        check(jobs_with_keys_come_to_two_desks)
    });
}

/// The first job ends only when the second has run. Its worker may have taken the second ahead, by itself or in one
/// envelope with the first.
fn a_job_lies_in_the_tray_of_a_busy_worker(in_one_envelope: bool) {
    let second_ran = Arc::new((Mutex::new(false), shuttle::sync::Condvar::new()));
    let shared = second_ran.clone();
    let run = move |n: u64| -> Result<u64, String> {
        let (ran, changed) = &*shared;
        let mut ran = ran.lock().unwrap();
        if n == 2 {
            *ran = true;
            changed.notify_all();
        }
        while n == 1 && !*ran {
            ran = changed.wait(ran).unwrap();
        }
        Ok(n)
    };
    let pool = on_checked_threads(Pool::builder(handler_fn(run)))
        .workers_per_dispatcher(2)
        .queue_capacity(4)
        .build()
        .unwrap();
    pool.send_blocking(0).unwrap();
    // A close would wake all workers, and hide a sleeper that was not woken.
    if in_one_envelope {
        let both = pool.submit_all_blocking(1..=2).unwrap();
        let results: Result<Vec<u64>, _> = both.wait().into_iter().collect();
        assert_eq!(results.unwrap(), [1, 2]);
    } else {
        let first = pool.submit_blocking(1).unwrap();
        pool.send_blocking(2).unwrap();
        assert_eq!(first.wait().unwrap(), 1);
    }
    assert_closed_books(pool.shutdown_blocking().counts);
}

#[test]
fn no_job_is_left_in_a_tray_with_a_worker_asleep() {
    with_control(Fault::TrayUnseen, || {
        check(|| a_job_lies_in_the_tray_of_a_busy_worker(false));
    });
}

#[test]
fn no_job_is_left_in_anothers_envelope_with_a_worker_asleep() {
    with_control(Fault::TrayUnseen, || {
        check(|| a_job_lies_in_the_tray_of_a_busy_worker(true));
    });
}

#[test]
fn bound_jobs_reach_their_worker() {
    check(|| {
        let to_the_last = |_: &Job<u64>, workers: &Workers<'_>| {
            workers
                .iter()
                .last()
                .map_or(Target::Any, |worker| Target::Worker(worker.id()))
        };
        let pool = pool(2, 4).dispatcher(move || to_the_last).build().unwrap();
        let other = pool.clone();
        let sender = thread::spawn(move || other.send_blocking(1).unwrap());
        assert_eq!(pool.run_blocking(2).unwrap(), 4);
        sender.join().unwrap();
        pool.join_blocking();
        assert_closed_books(pool.shutdown_blocking().counts);
    });
}

#[test]
fn jobs_that_wait_for_their_own_pool_are_told() {
    check(|| {
        let slot: Arc<Mutex<Option<crate::WeakSubmitter<u64, u64, String>>>> = Arc::default();
        let own = slot.clone();
        let nested = move |n: u64, _: &crate::JobContext| -> Result<u64, String> {
            if n == 0 {
                return Ok(0);
            }
            let pool = own.lock().unwrap().as_ref().and_then(|weak| weak.upgrade());
            let Some(pool) = pool else { return Ok(1) };
            match pool.run_blocking(n - 1) {
                Ok(below) => Ok(below + 1),
                Err(RunError::Refused(SubmitError::WouldDeadlock(_)))
                | Err(RunError::Job(JobError::WouldDeadlock)) => Err("deadlock".to_owned()),
                Err(other) => Err(format!("{other:?}")),
            }
        };
        let pool = on_checked_threads(Pool::builder(handler_fn_with(nested)))
            .workers_per_dispatcher(2)
            .queue_capacity(1)
            .build()
            .unwrap();
        *slot.lock().unwrap() = Some(pool.submitter().downgrade());
        let other = pool.clone();
        let second = thread::spawn(move || other.run_blocking(1).map_err(drop));
        let _ = pool.run_blocking(2).map_err(drop);
        let _ = second.join().unwrap();
        assert_closed_books(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_shutdown_inside_a_job_returns() {
    check(|| {
        let slot: Arc<Mutex<Option<crate::WeakSubmitter<u64, (), String>>>> = Arc::default();
        let own = slot.clone();
        let close_all = move |_: u64, _: &crate::JobContext| -> Result<(), String> {
            let pool = own.lock().unwrap().as_ref().and_then(|weak| weak.upgrade());
            if let Some(pool) = pool {
                drop(pool.shutdown_blocking());
            }
            Ok(())
        };
        let pool = on_checked_threads(Pool::builder(handler_fn_with(close_all)))
            .workers_per_dispatcher(2)
            .queue_capacity(2)
            .build()
            .unwrap();
        *slot.lock().unwrap() = Some(pool.submitter().downgrade());
        pool.send_blocking(1).unwrap();
        let _ = pool.send_blocking(2);
        assert_closed_books(pool.shutdown_blocking().counts);
    });
}

/// The test's own executor: it keeps tasks until they are told to go.
type Tasks = Arc<Mutex<Vec<Option<crate::BoxFuture<'static, ()>>>>>;

fn a_called_worker_is_dropped() {
    let tasks: Tasks = Arc::default();
    let spawned = tasks.clone();
    struct Two(Tasks);
    impl crate::Spawner for Two {
        fn spawn(
            &self,
            _: crate::WorkerId,
            task: crate::BoxFuture<'static, ()>,
        ) -> Result<(), crate::SpawnError> {
            let mut tasks = self.0.lock().unwrap();
            if tasks.len() == 2 {
                return Err(crate::SpawnError::new("only two"));
            }
            tasks.push(Some(task));
            Ok(())
        }
    }
    let pool = Pool::builder(handler_fn(double as fn(u64) -> _))
        .workers_per_dispatcher(2)
        .spawner(Two(spawned))
        .build()
        .unwrap();
    let mut first = tasks.lock().unwrap()[0].take().unwrap();
    let second = tasks.lock().unwrap()[1].take().unwrap();
    let stays = thread::spawn(move || block_on(second));
    let mut cx = Context::from_waker(Waker::noop());
    // Falls asleep. Whether or not the submission below wakes it, it is dropped without another poll.
    for _ in 0..2 {
        let _ = Pin::as_mut(&mut first).poll(&mut cx);
    }
    let other = pool.clone();
    let sender = thread::spawn(move || other.run_blocking(1).unwrap());
    drop(first);
    assert_eq!(sender.join().unwrap(), 2_u64);
    assert_closed_books(pool.shutdown_blocking().counts);
    stays.join().unwrap();
}

#[test]
fn a_worker_that_is_dropped_after_it_was_called_calls_another() {
    with_control(Fault::CallSwallowed, || check(a_called_worker_is_dropped));
}
