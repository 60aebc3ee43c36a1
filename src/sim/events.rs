//! Virtual time, and the running jobs on it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Converts seconds to ticks of virtual time, which are nanoseconds; to the last tick if that is too far.
pub(crate) fn ticks(seconds: f64) -> u64 {
    // Saturates, as a cast does.
    (seconds * 1e9).round() as u64
}

pub(super) fn seconds(ticks: u64) -> f64 {
    ticks as f64 * 1e-9
}

/// Which worker's job ends next. Among jobs that end at the same time, the one that started first.
#[derive(Debug, Default)]
pub(super) struct Ends {
    heap: BinaryHeap<Reverse<(u64, u64, usize)>>,
    started: u64,
}

impl Ends {
    pub(super) fn push(&mut self, at: u64, worker: usize) {
        self.heap.push(Reverse((at, self.started, worker)));
        self.started += 1;
    }

    pub(super) fn next(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    pub(super) fn pop(&mut self) -> Option<usize> {
        self.heap.pop().map(|Reverse((.., worker))| worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_is_next_and_of_equals_the_one_that_started_first() {
        let mut ends = Ends::default();
        for (at, worker) in [(5, 0), (3, 4), (5, 3), (3, 1)] {
            ends.push(at, worker);
        }
        let order: Vec<_> = std::iter::from_fn(|| Some((ends.next()?, ends.pop()?))).collect();
        assert_eq!(order, [(3, 4), (3, 1), (5, 0), (5, 3)]);
    }

    #[test]
    fn what_is_too_far_is_the_last_tick() {
        assert_eq!(ticks(1.5), 1_500_000_000);
        assert_eq!(ticks(1e30), u64::MAX);
        assert_eq!(seconds(250_000_000), 0.25);
    }
}
