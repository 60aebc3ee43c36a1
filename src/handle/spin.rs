//! A task that awaits an outcome spins for it before it is pending: docs/decisions/0012.

use crate::sync::backoff::Backoff;
use crate::sync::local;
use crate::wait::spin::{PAUSES, Spin, happens_within};
use std::cell::Cell;
use std::task::Context;
use std::time::Duration;

/// How many spins are left out at most after one in vain.
const MOST_LEFT_OUT: u8 = 31;
/// A spin that takes longer is given up, and in vain: on a busy machine, each yield may last milliseconds.
const SHORT_SPIN: Duration = Duration::from_micros(50);
/// Once the most are left out, one spin lasts as long as it takes to wake a thread that sleeps on a core that sleeps.
/// On a virtual machine that takes longer than a short spin, so two threads that sleep by turns would go on like that
/// for ever.
const LONG_SPIN: Duration = Duration::from_micros(100);
/// After this many spins in a row that paid, the executor may run its other tasks. Few, since it may look for timers
/// and input only once in some dozens of polls.
const MOST_IN_A_ROW: u32 = 8;

#[derive(Clone, Copy)]
struct LastSpin {
    /// The task that waited last on this thread, by its waker.
    task: usize,
    /// When to spin next.
    next: Backoff,
    /// How many in a row paid.
    in_a_row: u32,
}

local! {
    static LAST_SPIN: Cell<LastSpin> = Cell::new(LastSpin {
        task: 0,
        next: Backoff::new(MOST_LEFT_OUT),
        in_a_row: 0,
    });
}

/// Spins, on the calling thread, for something that may well happen within microseconds: to sleep and be woken costs as
/// much as dozens of tiny jobs.
///
/// - Only a task that also waited here last spins, since others have no time to lose.
/// - It spins only if that paid lately: after each spin in vain, twice as many are left out.
/// - That no other task waits here does not mean that no other task is here. So a spin is short by the clock, too; and
///   now and then, instead of a spin, the task is woken at once, to be polled again after others.
/// - `soon` is asked before. If the outcome will take longer, the thread may have others to run; that counts as in
///   vain, too.
pub(crate) fn spin_for_outcome(
    cx: &Context<'_>,
    soon: impl FnOnce() -> bool,
    happened: impl FnMut() -> bool,
) {
    if !cfg!(any(fanpool_loom, fanpool_shuttle)) {
        spin_for(SHORT_SPIN, LONG_SPIN, cx, soon, happened);
    }
}

fn spin_for(
    longest: Duration,
    long: Duration,
    cx: &Context<'_>,
    soon: impl FnOnce() -> bool,
    happened: impl FnMut() -> bool,
) {
    let task = cx.waker().data().addr();
    let give_way = LAST_SPIN.try_with(|last| {
        let LastSpin {
            task: before,
            mut next,
            in_a_row,
        } = last.get();
        let looks = next.is_due() && task == before;
        let give_way = looks && in_a_row == MOST_IN_A_ROW;
        let mut in_time = false;
        if looks && !give_way {
            in_time = if !soon() {
                false
            } else if next.is_at_most() {
                {
                    let mut looks = Spin::with(PAUSES, u32::MAX - PAUSES);
                    happens_within(long, &mut looks, happened)
                }
            } else {
                happens_within(longest, &mut Spin::new(), happened)
            };
            next.tried(in_time);
        }
        last.set(LastSpin {
            task,
            next,
            in_a_row: if in_time { in_a_row + 1 } else { 0 },
        });
        give_way
    });
    if give_way.unwrap_or(false) {
        cx.waker().wake_by_ref();
    }
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests {
    use super::*;
    use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use crate::wait::spin::YIELDS;
    use std::sync::Arc;
    use std::task::{Wake, Waker};
    use std::time::Instant;

    struct Task;

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    /// How often it looks in one wait of the task, however long that takes, if it happens by the `nth` look.
    fn looks_until(task: &Waker, nth: u32) -> u32 {
        let mut looks = 0;
        // A spin in vain has to end at some time; no other is given up, however busy the machine is.
        let longest = Duration::MAX;
        let long = if nth > 0 {
            longest
        } else {
            Duration::from_millis(1)
        };
        let soon = || true;
        spin_for(longest, long, &Context::from_waker(task), soon, || {
            looks += 1;
            looks == nth
        });
        looks
    }

    fn looks(task: &Waker, happens: bool) -> u32 {
        looks_until(task, u32::from(happens))
    }

    #[test]
    fn only_a_task_that_waits_alone_looks_out_and_less_often_when_in_vain() {
        // A thread of its own: spins are remembered by thread.
        let test = std::thread::spawn(|| {
            let (one, other) = (Waker::from(Arc::new(Task)), Waker::from(Arc::new(Task)));
            for _ in 0..10 {
                assert_eq!((looks(&one, true), looks(&other, true)), (0, 0));
            }
            looks(&one, true);
            for _ in 1..MOST_IN_A_ROW {
                assert_eq!(looks(&one, true), 1);
            }
            let all = PAUSES + YIELDS;
            let in_vain: Vec<u32> = (0..12).map(|_| looks(&one, false) / all).collect();
            assert_eq!(in_vain, [1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
            let many = (0..1000).filter(|_| looks(&one, false) > 0).count();
            assert!((31..=34).contains(&many), "one in 32 at least: {many}");
            while looks_until(&one, all + 2) == 0 {}
            assert_eq!(
                looks(&one, true),
                1,
                "as soon as one is worth it, which then is a long one"
            );
        });
        test.join().unwrap();
    }

    #[test]
    fn a_task_that_always_finds_its_outcome_lets_others_run_now_and_then() {
        struct Called(AtomicU32);
        impl Wake for Called {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Relaxed);
            }
        }
        let test = std::thread::spawn(|| {
            let called = Arc::new(Called(AtomicU32::new(0)));
            let task = Waker::from(called.clone());
            looks(&task, true);
            let left_out = (0..900).filter(|_| looks(&task, true) == 0).count();
            assert_eq!(left_out, 100);
            assert_eq!(called.0.load(Relaxed), 100, "it does not sleep then");
        });
        test.join().unwrap();
    }

    #[test]
    fn a_spin_that_takes_long_is_given_up_and_in_vain() {
        let test = std::thread::spawn(|| {
            let task = Waker::from(Arc::new(Task));
            looks(&task, true);
            let begun = Instant::now();
            let mut looks_of_one = 0;
            spin_for_outcome(
                &Context::from_waker(&task),
                || true,
                || {
                    looks_of_one += 1;
                    while begun.elapsed() < 2 * SHORT_SPIN {}
                    false
                },
            );
            assert_eq!(looks_of_one, 1);
            assert_eq!(looks(&task, true), 0, "it was not worth it");
        });
        test.join().unwrap();
    }

    #[test]
    fn a_task_whose_outcome_will_take_a_while_does_not_spin() {
        let test = std::thread::spawn(|| {
            let task = Waker::from(Arc::new(Task));
            let cx = Context::from_waker(&task);
            looks(&task, true);
            let mut looks_of_one = 0;
            spin_for_outcome(
                &cx,
                || false,
                || {
                    looks_of_one += 1;
                    true
                },
            );
            assert_eq!(looks_of_one, 0);
            assert_eq!(looks(&task, true), 0, "it counts as one in vain");
            assert_eq!(looks(&task, true), 1);
        });
        test.join().unwrap();
    }
}
