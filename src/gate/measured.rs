//! How fast room is made, as told by those that wait for it.

use super::Gate;
use super::pace::Seen;
use std::time::{Duration, Instant};

impl Gate {
    /// Returns whether so much is free that a submitter will not be back at once.
    pub(crate) fn has_half_free(&self) -> bool {
        self.free() >= self.capacity.div_ceil(2)
    }

    /// Returns how soon a quarter will be free, at the pace at which room was made when a submitter last waited.
    pub(crate) fn quarter_frees_in(&self) -> Option<Duration> {
        self.pace.frees_in(self.capacity / 4)
    }

    #[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
    pub(crate) fn set_pace(&self, each: Duration) {
        self.pace.set(each.as_nanos() as u64);
    }

    /// Runs a wait for room and records how fast room was made. (A model has no time.)
    pub(crate) fn measure_pace<R>(&self, wait_for: impl FnOnce() -> R) -> R {
        if cfg!(any(fanpool_loom, fanpool_shuttle)) {
            return wait_for();
        }
        let wait = self.pace.begin(self.seen());
        let waited = wait_for();
        wait.end(self.seen());
        waited
    }

    pub(super) fn seen(&self) -> Seen {
        let capacity = self.capacity;
        // Sums the lanes once, because workers write them for every job.
        let (now, released) = (Instant::now(), self.released());
        let occupied = self.issued() - released;
        Seen {
            now,
            released,
            free: capacity.saturating_sub(occupied),
            capacity,
        }
    }
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests {
    use super::*;
    use crate::gate::{Lane, Want};

    #[test]
    fn how_fast_room_is_made_is_measured_where_it_is_let_go() {
        let gate = Gate::new(1000, 1);
        let frees_while_waiting = |units: u64| {
            gate.try_enter(Want::jobs(1000)).ok();
            gate.measure_pace(|| gate.release(units, Lane::of_worker(0)));
            gate.quarter_frees_in()
        };
        assert_eq!(frees_while_waiting(0), None, "nothing was let go");
        assert_eq!(frees_while_waiting(249), None, "too few to tell");
        assert!(frees_while_waiting(250).is_some_and(|time| time > Duration::ZERO));
        assert!(frees_while_waiting(750).is_some());
        assert_eq!(frees_while_waiting(751), None, "they may have been idle");
    }
}
