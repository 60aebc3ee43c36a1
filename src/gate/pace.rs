//! How fast room is made, as measured by waiting threads. It tells a thread how long to sleep.
//!
//! A single wait tells little. It ends with the first unit that frees; if a worker had been busy at the desk before,
//! the wait was long for that one unit. So consecutive waits are measured together, with the time between them, until a
//! good part of the queue was released or some time has passed.
//!
//! Uses real time, whatever the pool's clock, because it is about how long a thread sleeps.

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering::*};
use crate::sync::{Mutex, try_lock};
use std::time::{Duration, Instant};

/// A measurement over this time tells enough, however little was released in it.
const TELLING: Duration = Duration::from_micros(500);
/// So does one over this many units, if they are no small part of the queue.
const TELLING_UNITS: u64 = 16;
/// A waiter that returns after a longer pause than this, and longer than its last wait, may have left the workers with
/// nothing to do.
const PAUSE: Duration = Duration::from_micros(100);
/// A measurement at most doubles the time per unit, or sets it to twice this many nanoseconds: one slow job does not
/// make the next thread sleep past the others.
const QUICK: u64 = 1000;

pub(crate) struct Pace {
    /// Nanoseconds per released unit; 0 if not known.
    each: AtomicU64,
    /// How many threads wait.
    waiting: AtomicUsize,
    /// A thread that finds it locked leaves the measuring to others.
    spell: Mutex<Option<Spell>>,
}

/// Waits that follow each other or overlap.
struct Spell {
    begun: Instant,
    /// Units released up to then.
    released: u64,
    /// When the last completed wait ended, and how long it took.
    seen: Instant,
    waited: Duration,
}

/// A snapshot of a gate: the time, the units released so far, the free units, and the capacity.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) now: Instant,
    pub(crate) released: u64,
    pub(crate) free: u64,
    pub(crate) capacity: u64,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Pace {
            each: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            spell: Mutex::new(None),
        }
    }

    /// Returns how soon this many units are released, if that is known.
    pub(crate) fn frees_in(&self, units: u64) -> Option<Duration> {
        match self.each.load(Relaxed) {
            0 => None,
            each => Some(Duration::from_nanos(each.saturating_mul(units))),
        }
    }

    /// Begins a wait, which lasts until the result is dropped.
    pub(crate) fn begin(&self, Seen { now, released, .. }: Seen) -> Wait<'_> {
        let first = self.waiting.fetch_add(1, Relaxed) == 0;
        let wait = Wait {
            pace: self,
            begun: now,
        };
        let Some(mut spell) = try_lock(&self.spell) else {
            return wait;
        };
        let goes_on =
            |spell: &Spell| now.saturating_duration_since(spell.seen) <= PAUSE.max(spell.waited);
        if spell.is_none() || first && !spell.as_ref().is_some_and(goes_on) {
            *spell = Some(Spell {
                begun: now,
                released,
                seen: now,
                waited: Duration::ZERO,
            });
        }
        wait
    }

    pub(crate) fn set(&self, each: u64) {
        self.each.store(each, Relaxed);
    }
}

pub(crate) struct Wait<'a> {
    pace: &'a Pace,
    begun: Instant,
}

impl Wait<'_> {
    pub(crate) fn end(self, seen: Seen) {
        let quarter = seen.capacity / 4;
        let Some(mut spell) = try_lock(&self.pace.spell) else {
            return;
        };
        // The workers may have had nothing to do.
        if seen.free > 3 * quarter {
            *spell = None;
            return self.pace.set(0);
        }
        let Some(current) = &mut *spell else {
            return;
        };
        current.seen = seen.now;
        current.waited = seen.now.saturating_duration_since(self.begun);
        let time = seen.now.saturating_duration_since(current.begun);
        let units = seen.released.saturating_sub(current.released);
        if units == 0 || units < quarter.max(TELLING_UNITS) && time < TELLING {
            return;
        }
        let each = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) / units;
        let before = self.pace.each.load(Relaxed);
        self.pace.set(each.clamp(1, 2 * before.max(QUICK)));
        current.begun = seen.now;
        current.released = seen.released;
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.pace.waiting.fetch_sub(1, Relaxed);
    }
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests {
    use super::*;

    /// A snapshot of a queue of a thousand, of which little is free.
    fn seen(now: Instant, released: u64) -> Seen {
        Seen {
            now,
            released,
            free: 1,
            capacity: 1000,
        }
    }

    fn each(pace: &Pace) -> Option<u64> {
        pace.frees_in(1).map(|each| each.as_nanos() as u64)
    }

    /// Simulates waits, each given by the pause before it, its length, and the units released before and during it.
    /// Returns the resulting nanoseconds per unit.
    fn after(waits: impl IntoIterator<Item = (u64, u64, u64, u64)>) -> Option<u64> {
        let pace = Pace::new();
        let (mut now, mut released) = (Instant::now(), 0);
        for (pause, micros, before, meanwhile) in waits {
            now += Duration::from_micros(pause);
            released += before;
            let wait = pace.begin(seen(now, released));
            now += Duration::from_micros(micros);
            released += meanwhile;
            wait.end(seen(now, released));
        }
        each(&pace)
    }

    #[test]
    fn a_short_wait_for_the_first_unit_is_no_pace() {
        // 50 ns per unit, but only the last one is released while a thread waits.
        let short = (10, 50, 1000, 1);
        assert_eq!(after([short]), None);
        let each = after([short; 9]).expect("thousands were let go");
        assert!((50..=70).contains(&each), "{each}");
    }

    #[test]
    fn units_that_are_let_go_slowly_are_told_after_some_time_or_some_waits() {
        assert_eq!(after([(0, 600, 0, 0)]), None, "none was let go");
        assert_eq!(after([(0, 600, 0, 300)]), Some(2000));
        // Slows down step by step.
        let slow = (0, 5000, 0, 1);
        let each: Vec<_> = (1..5)
            .map(|n| after([slow; 4].into_iter().take(n)))
            .collect();
        assert_eq!(each, [2000, 4000, 8000, 16_000].map(Some));
        let many = (0, 100, 0, 40);
        assert_eq!(after([many; 4]), None);
        assert_eq!(after([many; 5]), Some(2000));
        // Speeds up at once.
        let quick = (0, 100, 0, 1000);
        assert_eq!(after([slow, slow, slow, quick]), Some(100));
    }

    #[test]
    fn a_submitter_that_takes_its_time_is_told_if_it_waits_as_long() {
        // One unit per 300 µs.
        let of = |pause| after([(pause, 300 - pause, 0, 1); 20]);
        assert!(
            [10, 90, 150]
                .map(of)
                .iter()
                .all(|each| *each == Some(300_000))
        );
        assert_eq!(of(250), None, "it hardly waits");
        // Seldom comes back.
        assert_eq!(after([(10_000, 50, 500, 1); 9]), None);
    }

    #[test]
    fn waits_that_overlap_are_one_spell() {
        let (pace, begun) = (Pace::new(), Instant::now());
        let at = |micros| begun + Duration::from_micros(micros);
        let long = pace.begin(seen(at(0), 0));
        let other = pace.begin(seen(at(300), 60));
        long.end(seen(at(400), 80));
        let third = pace.begin(seen(at(520), 104));
        other.end(seen(at(600), 120));
        assert_eq!(each(&pace), Some(2000), "5000, but it at most doubles");
        drop(third);
        assert_eq!(pace.waiting.load(Relaxed), 0);
    }

    #[test]
    fn workers_that_may_have_been_idle_set_no_pace() {
        for (capacity, free, known) in [
            (1000, 750, true),
            (1000, 751, false),
            (8, 6, true),
            (8, 7, false),
        ] {
            let (pace, now) = (Pace::new(), Instant::now());
            pace.set(3000);
            let seen = Seen {
                now,
                released: 0,
                free,
                capacity,
            };
            let wait = pace.begin(seen);
            wait.end(Seen {
                now: now + TELLING,
                released: 1000,
                ..seen
            });
            assert_eq!(pace.frees_in(1).is_some(), known, "{free} of {capacity}");
        }
    }
}
