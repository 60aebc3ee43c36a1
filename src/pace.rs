//! How fast room is made, as it was seen by those who waited for some: by it, a thread knows how long to sleep.
//!
//! A single wait tells little. It ends with the first unit that frees, and if that was because a worker had been busy
//! at the desk before, it was long for that one unit. So waits that follow each other are taken together, with what
//! lies between, until a good part of the queue was let go or some time has passed.
//!
//! By the real time, whatever the pool's clock, since it is about how long a thread sleeps.

use crate::sync::atomic::{AtomicU64, Ordering::*};
use crate::sync::{Mutex, try_lock};
use std::time::{Duration, Instant};

/// Long enough to tell from what was let go in this time, however little it was.
const TELLING: Duration = Duration::from_micros(500);
/// Who waits again after this time may have left the workers with nothing to do in between.
const PAUSE: Duration = Duration::from_micros(100);
/// A pace at most doubles, or becomes twice this: one slow job does not make the next thread sleep while the others
/// are over.
const QUICK: u64 = 1000;

pub(crate) struct Pace {
    /// In how many nanoseconds one unit was let go; 0: not known.
    each: AtomicU64,
    /// Those who find it locked leave it to others.
    spell: Mutex<Option<Spell>>,
}

/// Waits that follow each other.
struct Spell {
    begun: Instant,
    /// Units let go until then.
    released: u64,
    /// When the last wait that is over ended.
    seen: Instant,
}

impl Spell {
    fn begin(now: Instant, released: u64) -> Self {
        let (begun, seen) = (now, now);
        Spell {
            begun,
            released,
            seen,
        }
    }
}

impl Pace {
    pub(crate) fn new() -> Self {
        Pace {
            each: AtomicU64::new(0),
            spell: Mutex::new(None),
        }
    }

    /// In how long so many units are let go, if that is known.
    pub(crate) fn frees_in(&self, units: u64) -> Option<Duration> {
        match self.each.load(Relaxed) {
            0 => None,
            each => Some(Duration::from_nanos(each.saturating_mul(units))),
        }
    }

    /// Somebody begins to wait.
    pub(crate) fn begin(&self, now: Instant, released: u64) {
        let Some(mut spell) = try_lock(&self.spell) else {
            return;
        };
        let goes_on = |spell: &Spell| now.saturating_duration_since(spell.seen) <= PAUSE;
        if !spell.as_ref().is_some_and(goes_on) {
            *spell = Some(Spell::begin(now, released));
        }
    }

    /// Somebody is done with waiting. `telling`: so many units tell how fast they were let go. `idle`: so much is free
    /// that the workers may have had nothing to do.
    pub(crate) fn end(&self, now: Instant, released: u64, telling: u64, idle: bool) {
        let Some(mut spell) = try_lock(&self.spell) else {
            return;
        };
        let Some(current) = &mut *spell else {
            return;
        };
        if idle {
            *spell = None;
            return self.each.store(0, Relaxed);
        }
        let time = now.saturating_duration_since(current.begun);
        let units = released.saturating_sub(current.released);
        if units == 0 || units < telling && time < TELLING {
            current.seen = now;
            return;
        }
        let each = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) / units;
        let before = self.each.load(Relaxed);
        self.set(each.clamp(1, 2 * before.max(QUICK)));
        *spell = Some(Spell::begin(now, released));
    }

    pub(crate) fn set(&self, each: u64) {
        self.each.store(each, Relaxed);
    }
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests {
    use super::*;

    const TELLING_UNITS: u64 = 256;

    /// Waits, by how long after the last one they began, how long they took and how many units were let go before and
    /// meanwhile. Answers in how long one is let go then, in nanoseconds.
    fn after(waits: impl IntoIterator<Item = (u64, u64, u64, u64)>) -> Option<u64> {
        let pace = Pace::new();
        let (mut now, mut released) = (Instant::now(), 0);
        for (pause, micros, before, meanwhile) in waits {
            now += Duration::from_micros(pause);
            released += before;
            pace.begin(now, released);
            now += Duration::from_micros(micros);
            released += meanwhile;
            pace.end(now, released, TELLING_UNITS, false);
        }
        pace.frees_in(1).map(|each| each.as_nanos() as u64)
    }

    #[test]
    fn a_short_wait_for_the_first_unit_is_no_pace() {
        // 50 ns each, of which none is let go while somebody waits but the last.
        let short = (10, 50, 1000, 1);
        assert_eq!(after([short]), None);
        let each = after([short; 9]).expect("thousands were let go");
        assert!((50..=70).contains(&each), "{each}");
    }

    #[test]
    fn units_that_are_let_go_slowly_are_told_after_some_time_or_some_waits() {
        assert_eq!(after([(0, 600, 0, 0)]), None, "none was let go");
        assert_eq!(after([(0, 600, 0, 300)]), Some(2000));
        // By and by.
        let slow = (0, 5000, 0, 1);
        let each: Vec<_> = (1..5)
            .map(|n| after([slow; 4].into_iter().take(n)))
            .collect();
        assert_eq!(each, [2000, 4000, 8000, 16_000].map(Some));
        let many = (0, 100, 0, 40);
        assert_eq!(after([many; 4]), None);
        assert_eq!(after([many; 5]), Some(2000));
        // Down at once.
        let quick = (0, 100, 0, 1000);
        assert_eq!(after([slow, slow, slow, quick]), Some(100));
    }

    #[test]
    fn what_lies_between_waits_that_are_far_apart_tells_nothing() {
        let seldom = (10_000, 50, 500, 1);
        assert_eq!(after([seldom; 9]), None);
    }

    #[test]
    fn workers_that_may_have_been_idle_set_no_pace() {
        let (pace, now) = (Pace::new(), Instant::now());
        pace.set(3000);
        pace.begin(now, 0);
        pace.end(now + TELLING, 1000, TELLING_UNITS, true);
        assert_eq!(pace.frees_in(1), None);
    }
}
