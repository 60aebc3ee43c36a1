//! Spinning: how a thread waits for what may happen within microseconds. It checks again and again, and lets other
//! threads run in between, before it does something slower, such as sleeping.

use crate::sync::backoff::Backoff;
use crate::sync::{Mutex, MutexGuard, local, lock, spin_loop, thread, try_lock};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// How often a thread checks in quick succession before it sleeps. Saves futex wake-ups: one costs 5 to 20 µs, a pause
/// some 25 ns.
pub(crate) const PAUSES: u32 = 10;
/// Then it yields this often, because the thread it waits for may need this very core.
pub(crate) const YIELDS: u32 = 20;
/// The same where others lack cores: together, these yields cost less than sleeping and being woken. (More were
/// slower.)
pub(crate) const FEW_YIELDS: u32 = 5;
/// The same for a lock, whose holder is quick.
const LOCK_YIELDS: u32 = 40;

/// A yield on a core that no other thread wants takes a fraction of this time.
const QUICK_YIELD: Duration = Duration::from_micros(2);
/// No more yields after this time: each may last long when a hundred threads yield.
const MOST_YIELDING: Duration = Duration::from_millis(1);
/// A worker whose yield takes this long shares its core with a crowd, or with a thread that does not give way. About
/// the longest time that waking a thread takes.
const LONG_YIELD: Duration = Duration::from_micros(100);
/// In a crowd, at most this many spins of a worker go without yields before one tries them again.
const MOST_WITHOUT: u8 = 31;

/// A spin: a few checks in quick succession, then some between yields, without giving up the thread for long. It can be
/// interrupted and resumed until its turns are used up.
pub(crate) struct Spin {
    pauses: u32,
    turns: u32,
    /// A yield that takes this long ends the spin.
    longest_yield: Option<Duration>,
    crowded: bool,
}

impl Spin {
    pub(crate) fn new() -> Self {
        Spin::with(PAUSES, YIELDS)
    }

    /// A spin for a worker on its own thread that has nothing to do: without yields in a crowd.
    pub(crate) fn of_worker() -> Self {
        Spin::heeding(LONG_YIELD)
    }

    fn heeding(longest_yield: Duration) -> Self {
        let crowded = !change_yielding(Backoff::is_due);
        let yields = if crowded { 0 } else { YIELDS };
        Spin {
            longest_yield: Some(longest_yield),
            crowded,
            ..Spin::with(PAUSES, yields)
        }
    }

    /// After a spin in vain, spins once more if the thread's last sleep was short.
    pub(crate) fn spin_longer_until(&mut self, happened: impl FnMut() -> bool) -> bool {
        if self.crowded || SpinLength::now() != SpinLength::Long {
            return false;
        }
        let mut yields = Spin {
            longest_yield: self.longest_yield,
            ..Spin::yielding(u32::MAX)
        };
        let happens = happens_within(PATIENT, &mut yields, happened);
        self.crowded = yields.crowded;
        if !happens {
            SpinLength::set(SpinLength::Spent);
        }
        happens
    }

    /// A spin for a thread that is about to sleep.
    pub(crate) fn before_sleep() -> Self {
        match SpinLength::now() {
            SpinLength::Yields(yields) => {
                SpinLength::set(SpinLength::Short);
                Spin::yielding(yields)
            }
            _ => Spin::new(),
        }
    }

    /// A spin with this many yields and no pauses.
    pub(crate) fn yielding(yields: u32) -> Self {
        Spin::with(0, yields)
    }

    pub(crate) fn with(pauses: u32, yields: u32) -> Self {
        // A model checker explores the wait itself; spinning first would only add states.
        let turns = if cfg!(any(fanpool_loom, fanpool_shuttle)) {
            0
        } else {
            pauses + yields
        };
        Spin {
            pauses,
            turns,
            longest_yield: None,
            crowded: false,
        }
    }

    /// Returns whether so many threads run before a yielding worker that it should sleep instead.
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// Returns whether `happened` came true before the turns were used up, or during a yield that took too long.
    pub(crate) fn until(&mut self, mut happened: impl FnMut() -> bool) -> bool {
        while self.turns > 0 {
            self.turns -= 1;
            if happened() {
                return true;
            }
            if self.pauses > 0 {
                self.pauses -= 1;
                spin_loop();
            } else if !self.give_way() {
                // Other threads ran for long. No further checks: the thread must sleep next.
                self.turns = 0;
                return happened();
            }
        }
        false
    }

    /// Returns `false` in a crowd.
    fn give_way(&mut self) -> bool {
        match self.longest_yield {
            None => thread::yield_now(),
            Some(longest) => self.crowded = !yield_within(longest),
        }
        !self.crowded
    }
}

local! {
    /// When a worker on this thread should yield.
    static YIELDING: Cell<Backoff> = Cell::new(Backoff::new(MOST_WITHOUT));
}

fn change_yielding(change: impl FnOnce(&mut Backoff) -> bool) -> bool {
    let changed = YIELDING.try_with(|yielding| {
        let mut backoff = yielding.get();
        let answer = change(&mut backoff);
        yielding.set(backoff);
        answer
    });
    changed.unwrap_or(true)
}

/// Returns whether a worker should yield to other threads.
///
/// Not in a crowd. A thread that yields runs again only after all others that want its core, which may be hundreds of
/// submitters in front of a full queue. A thread that sleeps and is woken is scheduled before those that have just run.
pub(crate) fn yields_pay() -> bool {
    change_yielding(|yielding| yielding.leaves_none_out())
}

/// Yields, for a worker. Returns `false` if there is a crowd.
pub(crate) fn yield_to_others() -> bool {
    yield_within(LONG_YIELD)
}

fn yield_within(longest: Duration) -> bool {
    let begun = Instant::now();
    thread::yield_now();
    let soon = begun.elapsed() < longest;
    change_yielding(|yielding| {
        yielding.tried(soon);
        soon
    })
}

/// Returns whether it happens within this time and these turns.
pub(crate) fn happens_within(
    longest: Duration,
    spin: &mut Spin,
    mut happened: impl FnMut() -> bool,
) -> bool {
    // Real time, whatever the pool's clock: this is about a thread that others need.
    let begun = Instant::now();
    let mut late = false;
    let over = spin.until(|| {
        late = begun.elapsed() > longest;
        late || happened()
    });
    over && !late
}

/// How a thread returned from yielding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Yielded {
    /// What it waited for has happened.
    InTime,
    /// It has not, but other threads ran or are about to.
    InVain,
    /// It has not, and no other thread wanted this core for as long as it takes to run something.
    Alone,
}

/// Yields for a while until something happens. Real time, whatever the pool's clock: this is about a core that others
/// may keep for long.
pub(crate) fn yield_until(happened: impl FnMut() -> bool) -> Yielded {
    yield_for(MOST_YIELDING, QUICK_YIELD, Spin::yielding(YIELDS), happened)
}

fn yield_for(
    longest: Duration,
    quick: Duration,
    mut spin: Spin,
    happened: impl FnMut() -> bool,
) -> Yielded {
    let (turns, begun) = (spin.turns, Instant::now());
    if happens_within(longest, &mut spin, happened) {
        Yielded::InTime
    } else if begun.elapsed() < turns * quick {
        Yielded::Alone
    } else {
        Yielded::InVain
    }
}

/// Sleeps without being woken. In real time, too. (A model has no time.)
pub(crate) fn nap(time: Duration) {
    if !cfg!(any(fanpool_loom, fanpool_shuttle)) {
        std::thread::sleep(time);
    }
}

/// Locks a mutex that is held for a microsecond or so and wanted by many. Spins first, because sleeping for it costs
/// both sides several times as much.
#[inline]
pub(crate) fn lock_soon<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    try_lock(mutex).unwrap_or_else(|| lock_contended(mutex))
}

#[cold]
#[inline(never)]
fn lock_contended<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    let mut guard = None;
    Spin::with(PAUSES, LOCK_YIELDS).until(|| {
        guard = try_lock(mutex);
        guard.is_some()
    });
    guard.unwrap_or_else(|| lock(mutex))
}

/// How long a thread spins for work before it sleeps: longer if its last sleep was hardly worth it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpinLength {
    Short,
    Long,
    /// The spin was long, and in vain.
    Spent,
    /// This many yields only, the next time that it parks.
    Yields(u32),
}

/// A sleep as short as this costs more than it saves: on a virtual machine, waking takes half of it.
const SHORT_SLEEP: Duration = Duration::from_micros(80);
/// The length of a long spin.
const PATIENT: Duration = Duration::from_micros(50);

local! { static SPIN_LENGTH: Cell<SpinLength> = Cell::new(SpinLength::Short); }

impl SpinLength {
    fn now() -> Self {
        SPIN_LENGTH.try_with(Cell::get).unwrap_or(SpinLength::Short)
    }

    fn set(patience: SpinLength) {
        let _ = SPIN_LENGTH.try_with(|current| current.set(patience));
    }

    /// Records how long the thread slept until it was woken.
    pub(crate) fn slept(time: Duration) {
        let short = time < SHORT_SLEEP && SpinLength::now() != SpinLength::Spent;
        SpinLength::set(if short {
            SpinLength::Long
        } else {
            SpinLength::Short
        });
    }
}

/// Limits this thread's next spin to this many yields: what it waits for next is not worth more.
pub(crate) fn sleep_soon(yields: u32) {
    SpinLength::set(SpinLength::Yields(yields));
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
pub(crate) mod tests {
    use super::*;

    /// Makes this thread's next spin as a worker one in a crowd.
    pub(crate) fn meet_a_crowd() {
        yield_within(Duration::ZERO);
    }

    #[test]
    fn a_thread_that_yields_in_vain_learns_whether_others_wanted_its_core() {
        // However busy the machine is.
        let longest = Duration::MAX;
        let yielded = |quick, happens| yield_for(longest, quick, Spin::yielding(3), || happens);
        let (any, none) = (Duration::from_secs(60), Duration::ZERO);
        assert_eq!(yielded(any, true), Yielded::InTime);
        assert_eq!(yielded(any, false), Yielded::Alone, "all yields were quick");
        assert_eq!(yielded(none, false), Yielded::InVain, "none was");
    }

    #[test]
    fn only_after_a_short_sleep_a_thread_looks_out_longer_and_not_again_when_in_vain() {
        let test = std::thread::spawn(|| {
            let (short, long) = (SHORT_SLEEP / 2, SHORT_SLEEP);
            let spins = || Spin::of_worker().spin_longer_until(|| true);
            assert!(!spins(), "it never slept");
            SpinLength::slept(long);
            assert!(!spins());
            SpinLength::slept(short);
            assert!(spins() && spins());
            assert!(!Spin::of_worker().spin_longer_until(|| false));
            assert!(!spins(), "it was in vain");
            // The whole wait was not a short one.
            SpinLength::slept(short);
            assert!(!spins());
            SpinLength::slept(short);
            assert!(spins());
        });
        test.join().unwrap();
    }

    #[test]
    fn a_thread_that_is_to_sleep_soon_does_so_once() {
        let test = std::thread::spawn(|| {
            sleep_soon(3);
            assert!(!Spin::of_worker().spin_longer_until(|| true));
            let looks = || {
                let mut looks = 0;
                Spin::before_sleep().until(|| {
                    looks += 1;
                    false
                });
                looks
            };
            assert_eq!(looks(), 3);
            assert_eq!(looks(), PAUSES + YIELDS);
        });
        test.join().unwrap();
    }

    #[test]
    fn a_worker_that_yields_in_a_crowd_stops_and_seldom_tries_again() {
        let test = std::thread::spawn(|| {
            let yields = |longest| {
                let mut looks = 0;
                let mut spin = Spin::heeding(longest);
                spin.until(|| {
                    looks += 1;
                    false
                });
                looks - PAUSES
            };
            let (any, none) = (Duration::MAX, Duration::ZERO);
            assert_eq!(yields(any), YIELDS);
            // Before the yield, and after it.
            let crowded = [2, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2];
            assert_eq!(crowded.map(|_| yields(none)), crowded);
            let without = (0..).find(|_| yields(any) > 0);
            assert_eq!(without, Some(15));
            assert_eq!(yields(any), YIELDS, "there is no crowd any more");
        });
        test.join().unwrap();
    }

    #[test]
    fn what_happens_while_a_crowd_runs_is_seen_and_nothing_after_it() {
        let test = std::thread::spawn(|| {
            let mut spin = Spin::heeding(Duration::ZERO);
            let mut looks = 0;
            assert!(spin.until(|| {
                looks += 1;
                looks == PAUSES + 2
            }));
            // It may be for others, and never for the worker that checks: that one must get to sleep.
            assert!(spin.is_crowded() && !spin.until(|| true));
            assert!(!yields_pay());
            let mut without = Spin::heeding(Duration::ZERO);
            assert!(without.is_crowded() && !without.until(|| false) && !without.until(|| true));
        });
        test.join().unwrap();
    }

    #[test]
    fn a_crowd_that_is_met_in_a_longer_spin_is_remembered() {
        let test = std::thread::spawn(|| {
            let mut spin = Spin::heeding(Duration::ZERO);
            SpinLength::slept(SHORT_SLEEP / 2);
            assert!(!spin.spin_longer_until(|| false));
            assert!(spin.is_crowded() && !yields_pay());
        });
        test.join().unwrap();
    }
}
