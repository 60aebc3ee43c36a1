//! How a thread waits for what may well happen within microseconds: it looks again and again, and lets others run in
//! between, before it does what lasts longer.

use crate::sync::backoff::Backoff;
use crate::sync::{Mutex, MutexGuard, local, lock, spin_loop, thread, try_lock};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// How often a thread looks before it sleeps, in quick succession: a futex wake costs 5 to 20 µs, a pause some 25 ns.
pub(crate) const PAUSES: u32 = 10;
/// Then it lets others run: the one it waits for may need this very core.
pub(crate) const YIELDS: u32 = 20;
/// The same where others are in want of cores: together, they cost less than to sleep and be woken. (More were slower.)
pub(crate) const FEW_YIELDS: u32 = 5;
/// The same for a lock, whose holder is quick.
const LOCK_YIELDS: u32 = 40;

/// One that nobody else uses takes a fraction of this.
const QUICK_YIELD: Duration = Duration::from_micros(2);
/// Each may last long, where a hundred threads do the same: no more of them after this time.
const MOST_YIELDING: Duration = Duration::from_millis(1);
/// A worker that comes back only after this long shares its core with a crowd, or with one that does not give way. About
/// as long as it takes at most to be woken.
const LONG_YIELD: Duration = Duration::from_micros(100);
/// In a crowd, so many look-outs of a worker are without yields at most, until one has some again.
const MOST_WITHOUT: u8 = 31;

/// A look-out for something, without giving up the thread for long: some looks in quick succession, then
/// some between yields. It can be interrupted and taken up again until its turns are used up.
pub(crate) struct Spin {
    pauses: u32,
    turns: u32,
    /// It ends with a yield that takes so long.
    longest_yield: Option<Duration>,
    crowded: bool,
}

impl Spin {
    pub(crate) fn new() -> Self {
        Spin::with(PAUSES, YIELDS)
    }

    /// For a worker, on a thread of its own, that has nothing to do: without yields in a crowd.
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

    /// After it was in vain, another one if the thread's last sleep was short.
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

    /// For a thread that is about to sleep.
    pub(crate) fn before_sleep() -> Self {
        match SpinLength::now() {
            SpinLength::Yields(yields) => {
                SpinLength::set(SpinLength::Short);
                Spin::yielding(yields)
            }
            _ => Spin::new(),
        }
    }

    /// With yields only, and so many.
    pub(crate) fn yielding(yields: u32) -> Self {
        Spin::with(0, yields)
    }

    pub(crate) fn with(pauses: u32, yields: u32) -> Self {
        // A model checker explores the wait itself; looking out first would only add states.
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

    /// Whether a worker that yields has so many others before it that it better sleeps.
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// Whether `happened` came true before the turns were used up, or during a yield that was too long.
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
                // Others ran for long. No further looks: whoever asks again is to sleep.
                self.turns = 0;
                return happened();
            }
        }
        false
    }

    /// `false`: in a crowd.
    fn give_way(&mut self) -> bool {
        match self.longest_yield {
            None => thread::yield_now(),
            Some(longest) => self.crowded = !yield_within(longest),
        }
        !self.crowded
    }
}

local! {
    /// When a worker on this thread is to yield.
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

/// Whether a worker is to let others run.
///
/// Not in a crowd. Who yields comes back after all others that want its core, which may be hundreds of submitters in
/// front of a full queue; who sleeps and is called is put before those that have just run.
pub(crate) fn yields_pay() -> bool {
    change_yielding(|yielding| yielding.leaves_none_out())
}

/// Lets others run, for a worker. `false`: there is a crowd.
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

/// Whether it happens in this time and these looks.
pub(crate) fn happens_within(
    longest: Duration,
    spin: &mut Spin,
    mut happened: impl FnMut() -> bool,
) -> bool {
    // By the real time, whatever the pool's clock: this is about a thread that others need.
    let begun = Instant::now();
    let mut late = false;
    let over = spin.until(|| {
        late = begun.elapsed() > longest;
        late || happened()
    });
    over && !late
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

/// Sleeps, and nobody is to wake it. By the real time, too. (A model has no time.)
pub(crate) fn nap(time: Duration) {
    if !cfg!(any(fanpool_loom, fanpool_shuttle)) {
        std::thread::sleep(time);
    }
}

/// Locks what is held for a microsecond or so and wanted by many: looks out for it first, since a thread that
/// sleeps for it costs both sides several times as much.
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

/// How long a thread looks out for work before it sleeps: longer, if its last sleep was hardly worth it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpinLength {
    Short,
    Long,
    /// It was long, and in vain.
    Spent,
    /// So many yields only, the next time that it parks.
    Yields(u32),
}

/// A sleep as short as this costs more than it saves: on a virtual machine, it takes half of it to be woken.
const SHORT_SLEEP: Duration = Duration::from_micros(80);
/// A long look-out.
const PATIENT: Duration = Duration::from_micros(50);

local! { static SPIN_LENGTH: Cell<SpinLength> = Cell::new(SpinLength::Short); }

impl SpinLength {
    fn now() -> Self {
        SPIN_LENGTH.try_with(Cell::get).unwrap_or(SpinLength::Short)
    }

    fn set(patience: SpinLength) {
        let _ = SPIN_LENGTH.try_with(|current| current.set(patience));
    }

    /// It slept so long until it was woken.
    pub(crate) fn slept(time: Duration) {
        let short = time < SHORT_SLEEP && SpinLength::now() != SpinLength::Spent;
        SpinLength::set(if short {
            SpinLength::Long
        } else {
            SpinLength::Short
        });
    }
}

/// What this thread waits for next is worth so many yields only.
pub(crate) fn sleep_soon(yields: u32) {
    SpinLength::set(SpinLength::Yields(yields));
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
pub(crate) mod tests {
    use super::*;

    /// Has this thread's next look-out as a worker be one in a crowd.
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
            // So the whole wait was no short one.
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
            // It may be for others, and never for the worker that looks: that one has to come to sleep.
            assert!(spin.is_crowded() && !spin.until(|| true));
            assert!(!yields_pay());
            let mut without = Spin::heeding(Duration::ZERO);
            assert!(without.is_crowded() && !without.until(|| false) && !without.until(|| true));
        });
        test.join().unwrap();
    }

    #[test]
    fn a_crowd_that_is_met_in_a_longer_look_out_is_remembered() {
        let test = std::thread::spawn(|| {
            let mut spin = Spin::heeding(Duration::ZERO);
            SpinLength::slept(SHORT_SLEEP / 2);
            assert!(!spin.spin_longer_until(|| false));
            assert!(spin.is_crowded() && !yields_pay());
        });
        test.join().unwrap();
    }
}
