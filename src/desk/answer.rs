//! The strategy's answer for one job, and the worker that takes jobs while the strategy is asked.

use crate::keys::holders::Slot;
use crate::queue::envelope::Queued;
use std::collections::VecDeque;

/// The strategy's answer for one job: the worker in the upper half, the key's slot in the lower half if the strategy
/// keeps the key's jobs together. A half with all bits set means none.
///
/// Packed into one word: a processor stalls when it reads as a whole what was written in parts, and this value is
/// passed on under the lock that all workers want.
#[derive(Clone, Copy)]
pub(super) struct Answer(u64);

impl Answer {
    const NONE: u32 = u32::MAX;

    #[inline]
    pub(super) fn new(worker: Option<usize>, key: Option<Slot>) -> Self {
        let worker = worker.map_or(Self::NONE, |worker| worker as u32);
        let key = key.map_or(Self::NONE, Slot::number);
        Answer(u64::from(worker) << 32 | u64::from(key))
    }

    #[inline]
    pub(super) fn worker(self) -> Option<usize> {
        let worker = (self.0 >> 32) as u32;
        (worker != Self::NONE).then_some(worker as usize)
    }

    #[inline]
    pub(super) fn key(self) -> Option<Slot> {
        let key = self.0 as u32;
        (key != Self::NONE).then(|| Slot::of_number(key))
    }
}

/// A worker that takes jobs while they are routed.
pub(super) struct Taker<'a, J> {
    pub(super) worker: usize,
    pub(super) most: usize,
    pub(super) tray: &'a mut VecDeque<Queued<J>>,
}

impl<J> Taker<'_, J> {
    pub(super) fn wanted(&self) -> usize {
        self.most.saturating_sub(self.tray.len())
    }
}
