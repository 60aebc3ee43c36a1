//! Which trays of a desk's workers may hold jobs that others may take.
//!
//! - A worker's mark is set and cleared under its tray's lock.
//! - It is set when a job for others goes in, and stays set when the tray runs empty, which will soon be filled again.
//! - A worker that looks into the tray in vain clears the mark: the owner before it sleeps, or another worker.
//! - `count` changes after a mark is set and before a mark is cleared. So a worker that sees by `count` that a tray may
//!   be loaded finds a mark, unless the tray has been emptied since.

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering::*};

pub(crate) struct LoadedTrays {
    count: AtomicUsize,
    /// One bit per worker: a desk may have thousands, of which few are awake.
    marks: Box<[AtomicU64]>,
}

impl LoadedTrays {
    pub(crate) fn new(workers: usize) -> Self {
        LoadedTrays {
            count: AtomicUsize::new(0),
            marks: (0..workers.div_ceil(64))
                .map(|_| AtomicU64::new(0))
                .collect(),
        }
    }

    /// Mostly finds the mark already set, which costs no other worker a cache line. Called once for many jobs, so kept
    /// out of line.
    #[inline(never)]
    pub(crate) fn set(&self, worker: usize) {
        let (word, bit) = self.mark(worker);
        if word.load(Relaxed) & bit == 0 {
            word.fetch_or(bit, Relaxed);
            self.count.fetch_add(1, SeqCst);
        }
    }

    #[inline(never)]
    pub(crate) fn clear(&self, worker: usize) {
        let (word, bit) = self.mark(worker);
        if word.load(Relaxed) & bit != 0 {
            self.count.fetch_sub(1, SeqCst);
            word.fetch_and(!bit, Relaxed);
        }
    }

    fn mark(&self, worker: usize) -> (&AtomicU64, u64) {
        (&self.marks[worker / 64], 1 << (worker % 64))
    }

    pub(crate) fn any(&self) -> bool {
        self.count.load(SeqCst) > 0
    }

    /// Returns the workers whose mark is set, from `start` on and around to it.
    pub(crate) fn from(&self, start: usize) -> Round<'_> {
        let words = self.marks.len();
        let (first, below) = (start / 64 % words, (1 << (start % 64)) - 1);
        Round {
            loaded: self,
            first,
            below,
            step: 0,
            marks: self.marks[first].load(Relaxed) & !below,
        }
    }
}

pub(crate) struct Round<'a> {
    loaded: &'a LoadedTrays,
    /// The word in which the round begins, and the bits in it that come last.
    first: usize,
    below: u64,
    /// How many words the round is beyond the first.
    step: usize,
    /// The marks of the current word not yet visited.
    marks: u64,
}

impl Round<'_> {
    pub(crate) fn next(&mut self) -> Option<usize> {
        let words = self.loaded.marks.len();
        while self.marks == 0 {
            if self.step == words {
                return None;
            }
            self.step += 1;
            self.marks = self.loaded.marks[self.word()].load(Relaxed);
            if self.step == words {
                self.marks &= self.below;
            }
        }
        let bit = self.marks.trailing_zeros() as usize;
        self.marks &= self.marks - 1;
        Some(self.word() * 64 + bit)
    }

    fn word(&self) -> usize {
        (self.first + self.step) % self.loaded.marks.len()
    }
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn every_mark_is_found_once_from_wherever_one_starts() {
        for workers in [1, 5, 63, 64, 65, 128, 300] {
            let loaded = LoadedTrays::new(workers);
            let marked: Vec<usize> = (0..workers).filter(|w| w % 7 % 3 == 0).collect();
            for _ in 0..2 {
                marked.iter().for_each(|&worker| loaded.set(worker));
            }
            for start in 0..=workers {
                let mut round = loaded.from(start);
                let found: Vec<usize> = std::iter::from_fn(|| round.next()).collect();
                let (before, after): (Vec<usize>, _) =
                    marked.iter().partition(|&&worker| worker < start);
                let expected = if start == workers && workers % 64 == 0 {
                    marked.clone()
                } else {
                    [after, before].concat()
                };
                assert_eq!(found, expected, "of {workers} from {start}");
            }
            assert!(loaded.any());
            for _ in 0..2 {
                marked.iter().for_each(|&worker| loaded.clear(worker));
            }
            assert!(!loaded.any() && loaded.from(0).next().is_none());
        }
    }
}
