use super::Queued;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt;

/// Jobs by a rank that they keep while they wait: the lowest rank leaves first, and among equals the job that came
/// first. A heap, so O(log n) per job.
pub(super) struct Ranked<R, J> {
    heap: BinaryHeap<Entry<R, J>>,
    /// How many jobs came so far.
    came: u64,
}

struct Entry<R, J> {
    rank: R,
    /// How many jobs came before it.
    arrival: u64,
    job: Queued<J>,
}

impl<R: Ord, J> Ranked<R, J> {
    pub(super) fn new() -> Self {
        Ranked {
            heap: BinaryHeap::new(),
            came: 0,
        }
    }

    /// Adds jobs in their order; `rank` is told how many came before each.
    pub(super) fn extend(
        &mut self,
        jobs: impl Iterator<Item = Queued<J>>,
        rank: impl Fn(&Queued<J>, u64) -> R,
    ) {
        let came = &mut self.came;
        self.heap.extend(jobs.map(|job| {
            let arrival = *came;
            *came += 1;
            let rank = rank(&job, arrival);
            Entry { rank, arrival, job }
        }));
    }

    pub(super) fn pop(&mut self) -> Option<Queued<J>> {
        self.heap.pop().map(|entry| entry.job)
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(super) fn retain(&mut self, keep: &mut dyn FnMut(&Queued<J>) -> bool) {
        self.heap.retain(|entry| keep(&entry.job));
    }
}

impl<R, J> fmt::Debug for Ranked<R, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let jobs = self.heap.iter().map(|entry| &entry.job);
        f.debug_list().entries(jobs).finish()
    }
}

impl<R: Ord, J> Ord for Entry<R, J> {
    /// Reversed, because the heap gives its greatest element first.
    fn cmp(&self, other: &Self) -> Ordering {
        (&other.rank, other.arrival).cmp(&(&self.rank, self.arrival))
    }
}

impl<R: Ord, J> PartialOrd for Entry<R, J> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<R: Ord, J> PartialEq for Entry<R, J> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<R: Ord, J> Eq for Entry<R, J> {}
