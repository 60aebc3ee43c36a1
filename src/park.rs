//! Drives a future on the calling thread: the blocking half of every waiting call.
//!
//! `foo_blocking()` is `block_on(foo())`, so each wait has one state machine, seen twice.

use crate::backoff::Backoff;
use crate::sync::atomic::{AtomicBool, Ordering::*};
use crate::sync::{Mutex, MutexGuard, local, lock, spin_loop, thread, try_lock};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// How a thread waits for a wake before it parks: a futex wake costs 5 to 20 µs, a pause some 25 ns.
const PAUSES: u32 = 10;
/// Then it lets others run: the one it waits for may need this very core.
const YIELDS: u32 = 20;
/// The same where others are in want of cores: together, they cost less than to sleep and be woken. (More were slower.)
const FEW_YIELDS: u32 = 5;
/// The same for a lock, whose holder is quick.
const LOCK_YIELDS: u32 = 40;

/// One that nobody else uses takes a fraction of this.
const QUICK_YIELD: Duration = Duration::from_micros(2);
/// Each may last long, where a hundred threads do the same: no more of them after this time.
const MOST_YIELDING: Duration = Duration::from_millis(1);

/// So many glances are left out at most after one in vain.
const MOST_LEFT_OUT: u8 = 31;
/// A glance that takes longer is given up, and in vain: on a busy machine, each yield may last milliseconds.
const SHORT_GLANCE: Duration = Duration::from_micros(50);
/// After as many in vain that the most are left out, one glance lasts as long as it takes to wake a thread that sleeps
/// on a core that sleeps: on a virtual machine that is more than a look-out, so two threads that sleep by turns would
/// go on so for ever.
const LONG_GLANCE: Duration = Duration::from_micros(100);
/// After so many glances in a row that were worth it, the executor is let run its other tasks: few, since it may
/// look for timers and input only once in some dozens of polls.
const MOST_IN_A_ROW: u32 = 8;

struct Parker {
    thread: thread::Thread,
    woken: AtomicBool,
}

impl Parker {
    /// Waits for a wake since the last one seen; a wake before the call counts.
    fn park(&self) {
        let mut lookout = if Patience::now() == Patience::Little {
            Patience::set(Patience::Short);
            Lookout::yielding(FEW_YIELDS)
        } else {
            Lookout::new()
        };
        lookout.until(|| self.woken.load(Relaxed));
        if self.woken.swap(false, Acquire) {
            return;
        }
        let asleep = Instant::now();
        loop {
            thread::park();
            if self.woken.swap(false, Acquire) {
                break;
            }
        }
        Patience::slept(asleep.elapsed());
    }
}

/// How long a thread looks out for work before it sleeps: longer, if its last sleep was hardly worth it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    Short,
    Long,
    /// It was long, and in vain.
    Spent,
    /// Hardly any, the next time that it parks.
    Little,
}

/// A sleep as short as this costs more than it saves: on a virtual machine, it takes half of it to be woken.
const SHORT_SLEEP: Duration = Duration::from_micros(80);
/// A long look-out.
const PATIENT: Duration = Duration::from_micros(50);

local! { static PATIENCE: Cell<Patience> = Cell::new(Patience::Short); }

impl Patience {
    fn now() -> Self {
        PATIENCE.try_with(Cell::get).unwrap_or(Patience::Short)
    }

    fn set(patience: Patience) {
        let _ = PATIENCE.try_with(|current| current.set(patience));
    }

    fn slept(time: Duration) {
        let short = time < SHORT_SLEEP && Patience::now() != Patience::Spent;
        Patience::set(if short {
            Patience::Long
        } else {
            Patience::Short
        });
    }
}

/// What this thread waits for next is worth a short look-out only.
pub(crate) fn sleep_soon() {
    Patience::set(Patience::Little);
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Release) {
            self.thread.unpark();
        }
    }
}

/// A look-out for something, without giving up the thread for long: some looks in quick succession, then
/// some between yields. It can be interrupted and taken up again until its turns are used up.
pub(crate) struct Lookout {
    pauses: u32,
    turns: u32,
}

impl Lookout {
    pub(crate) fn new() -> Self {
        Lookout::with(PAUSES, YIELDS)
    }

    /// After a look-out that was in vain, another one if the thread's last sleep was short.
    pub(crate) fn prolonged_until(happened: impl FnMut() -> bool) -> bool {
        if Patience::now() != Patience::Long {
            return false;
        }
        let yields = Lookout::yielding(u32::MAX);
        let happens = happens_within(PATIENT, yields, happened);
        if !happens {
            Patience::set(Patience::Spent);
        }
        happens
    }

    /// With yields only, and so many.
    pub(crate) fn yielding(yields: u32) -> Self {
        Lookout::with(0, yields)
    }

    fn with(pauses: u32, yields: u32) -> Self {
        // A model checker explores the wait itself; looking out first would only add states.
        let turns = if cfg!(any(fanpool_loom, fanpool_shuttle)) {
            0
        } else {
            pauses + yields
        };
        Lookout { pauses, turns }
    }

    /// Whether `happened` came true before the turns were used up.
    pub(crate) fn until(&mut self, mut happened: impl FnMut() -> bool) -> bool {
        while self.turns > 0 {
            self.turns -= 1;
            if happened() {
                return true;
            }
            if self.pauses > 0 {
                self.pauses -= 1;
                spin_loop();
            } else {
                thread::yield_now();
            }
        }
        false
    }
}

/// How a thread that let others run came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Yielded {
    /// What it waited for has happened.
    InTime,
    /// It has not, but others ran, or are still to.
    InVain,
    /// It has not, and nobody wanted this core for as long as it takes to run something.
    Alone,
}

/// Lets others run a while for something to happen. By the real time, whatever the pool's clock: this is about a core
/// that others may not give back for long.
pub(crate) fn yield_until(happened: impl FnMut() -> bool) -> Yielded {
    yield_for(
        MOST_YIELDING,
        QUICK_YIELD,
        Lookout::yielding(YIELDS),
        happened,
    )
}

fn yield_for(
    longest: Duration,
    quick: Duration,
    lookout: Lookout,
    happened: impl FnMut() -> bool,
) -> Yielded {
    let (turns, begun) = (lookout.turns, Instant::now());
    if happens_within(longest, lookout, happened) {
        Yielded::InTime
    } else if begun.elapsed() < turns * quick {
        Yielded::Alone
    } else {
        Yielded::InVain
    }
}

/// Sleeps, and nobody is to wake it. By the real time, too. (A model has no time.)
pub(crate) fn nap(time: Duration) {
    if !cfg!(any(fanpool_loom, fanpool_shuttle)) {
        std::thread::sleep(time);
    }
}

/// Locks what is held for a microsecond or so and wanted by many: looks out for it first, since a thread that
/// sleeps for it costs both sides several times as much.
pub(crate) fn lock_soon<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    let mut guard = None;
    Lookout::with(PAUSES, LOCK_YIELDS).until(|| {
        guard = try_lock(mutex);
        guard.is_some()
    });
    guard.unwrap_or_else(|| lock(mutex))
}

#[derive(Clone, Copy)]
struct LastGlance {
    /// The task that waited last on this thread, by its waker.
    task: usize,
    /// When to take the next one.
    next: Backoff,
    /// How many in a row were worth it.
    in_a_row: u32,
}

local! {
    static LAST_GLANCE: Cell<LastGlance> = Cell::new(LastGlance {
        task: 0,
        next: Backoff::new(MOST_LEFT_OUT),
        in_a_row: 0,
    });
}

/// Looks out, on whatever thread this is, for what may well happen within microseconds: to sleep and be woken
/// costs as much as dozens of tiny jobs. Only for a task that waited here last, too, since others have no time
/// to lose; and if it was worth it lately: each glance in vain has twice as many left out after it.
///
/// That nobody else waits here does not say that nobody else is here. So a glance is short by the clock, too; and
/// now and then, instead of a glance, the task is called at once to be polled again, after others.
///
/// `soon` is asked before: if it will take longer, the thread may have others to run, and that is in vain, too.
pub(crate) fn glance(
    cx: &Context<'_>,
    soon: impl FnOnce() -> bool,
    happened: impl FnMut() -> bool,
) {
    if !cfg!(any(fanpool_loom, fanpool_shuttle)) {
        glance_for(SHORT_GLANCE, LONG_GLANCE, cx, soon, happened);
    }
}

fn glance_for(
    longest: Duration,
    long: Duration,
    cx: &Context<'_>,
    soon: impl FnOnce() -> bool,
    happened: impl FnMut() -> bool,
) {
    let task = cx.waker().data().addr();
    let give_way = LAST_GLANCE.try_with(|last| {
        let LastGlance {
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
                happens_within(long, Lookout::with(PAUSES, u32::MAX - PAUSES), happened)
            } else {
                happens_within(longest, Lookout::new(), happened)
            };
            next.tried(in_time);
        }
        last.set(LastGlance {
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

/// Whether it happens in this time and these looks.
fn happens_within(
    longest: Duration,
    mut lookout: Lookout,
    mut happened: impl FnMut() -> bool,
) -> bool {
    // By the real time, whatever the pool's clock: this is about a thread that others need.
    let begun = Instant::now();
    let mut late = false;
    let over = lookout.until(|| {
        late = begun.elapsed() > longest;
        late || happened()
    });
    over && !late
}

local! {
    /// This thread's parker, unless a `block_on` further up the stack is using it.
    static PARKER: RefCell<Option<(Arc<Parker>, Waker)>> = RefCell::new(None);
}

/// Runs `future` to its end on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let (parker, waker) = PARKER
        .try_with(|spare| spare.borrow_mut().take())
        .ok()
        .flatten()
        .unwrap_or_else(|| {
            let parker = Arc::new(Parker {
                thread: thread::current(),
                woken: AtomicBool::new(false),
            });
            (parker.clone(), Waker::from(parker))
        });
    let mut cx = Context::from_waker(&waker);
    let output = loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            break output;
        }
        parker.park();
    };
    let _ = PARKER.try_with(|spare| *spare.borrow_mut() = Some((parker, waker)));
    output
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests {
    use super::*;
    use crate::sync::atomic::AtomicU32;

    struct Task;

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    /// How often it looks, in one wait of the task, however long that takes, if it happens by the `nth` look.
    fn looks_until(task: &Waker, nth: u32) -> u32 {
        let mut looks = 0;
        let (longest, long) = (Duration::MAX, Duration::from_millis(1));
        let soon = || true;
        glance_for(longest, long, &Context::from_waker(task), soon, || {
            looks += 1;
            looks == nth
        });
        looks
    }

    fn looks(task: &Waker, happens: bool) -> u32 {
        looks_until(task, u32::from(happens))
    }

    #[test]
    fn a_thread_that_yields_in_vain_learns_whether_others_wanted_its_core() {
        // However busy the machine is.
        let longest = Duration::MAX;
        let yielded = |quick, happens| yield_for(longest, quick, Lookout::yielding(3), || happens);
        let (any, none) = (Duration::from_secs(60), Duration::ZERO);
        assert_eq!(yielded(any, true), Yielded::InTime);
        assert_eq!(yielded(any, false), Yielded::Alone, "all yields were quick");
        assert_eq!(yielded(none, false), Yielded::InVain, "none was");
    }

    #[test]
    fn only_a_task_that_waits_alone_looks_out_and_less_often_when_in_vain() {
        // A thread of its own: glances are remembered by thread.
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
    fn only_after_a_short_sleep_a_thread_looks_out_longer_and_not_again_when_in_vain() {
        let test = std::thread::spawn(|| {
            let (short, long) = (SHORT_SLEEP / 2, SHORT_SLEEP);
            let looks_out = || Lookout::prolonged_until(|| true);
            assert!(!looks_out(), "it never slept");
            Patience::slept(long);
            assert!(!looks_out());
            Patience::slept(short);
            assert!(looks_out() && looks_out());
            assert!(!Lookout::prolonged_until(|| false));
            assert!(!looks_out(), "it was in vain");
            // So the whole wait was no short one.
            Patience::slept(short);
            assert!(!looks_out());
            Patience::slept(short);
            assert!(looks_out());
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
    fn a_glance_that_takes_long_is_given_up_and_in_vain() {
        let test = std::thread::spawn(|| {
            let task = Waker::from(Arc::new(Task));
            looks(&task, true);
            let begun = Instant::now();
            let mut looks_of_one = 0;
            glance(
                &Context::from_waker(&task),
                || true,
                || {
                    looks_of_one += 1;
                    while begun.elapsed() < 2 * SHORT_GLANCE {}
                    false
                },
            );
            assert_eq!(looks_of_one, 1);
            assert_eq!(looks(&task, true), 0, "it was not worth it");
        });
        test.join().unwrap();
    }

    #[test]
    fn a_task_whose_outcome_will_take_a_while_does_not_look_out() {
        let test = std::thread::spawn(|| {
            let task = Waker::from(Arc::new(Task));
            let cx = Context::from_waker(&task);
            looks(&task, true);
            let mut looks_of_one = 0;
            glance(
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

    #[test]
    fn a_thread_that_is_to_sleep_soon_does_so_once() {
        let test = std::thread::spawn(|| {
            let parker = Parker {
                thread: thread::current(),
                woken: AtomicBool::new(true),
            };
            sleep_soon();
            assert!(Patience::now() == Patience::Little);
            assert!(!Lookout::prolonged_until(|| true));
            parker.park();
            assert!(Patience::now() == Patience::Short);
        });
        test.join().unwrap();
    }
}
