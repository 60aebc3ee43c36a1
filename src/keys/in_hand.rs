//! Keys of the jobs that workers have taken.

use super::holders::{Holders, Mark, Slot};
use crate::id::JobId;
use std::collections::VecDeque;

/// For each worker, the keys of the jobs that it took and that are not known to be over. Empty without affinity: not
/// even the workers are entered.
///
/// (A type of its own, because code that does not depend on the job's type should not be compiled for each.)
#[derive(Default)]
pub(crate) struct InHand(Vec<Vec<(JobId, Slot)>>);

impl InHand {
    pub(crate) fn make_room(&mut self, workers: usize) {
        self.0.resize_with(workers, Vec::new);
    }

    #[inline]
    pub(crate) fn push(&mut self, worker: usize, id: JobId, key: Slot) {
        self.0[worker].push((id, key));
    }

    /// Releases the keys of the jobs that `worker` had taken, except those still in its hands.
    #[inline]
    pub(crate) fn release(
        &mut self,
        worker: usize,
        in_hands: &dyn Fn(JobId) -> bool,
        holders: &mut Holders,
    ) {
        if !self.0.is_empty() {
            self.release_all_but(worker, in_hands, holders);
        }
    }

    fn release_all_but(
        &mut self,
        worker: usize,
        in_hands: &dyn Fn(JobId) -> bool,
        holders: &mut Holders,
    ) {
        self.0[worker].retain(|&(job, key)| {
            let keep = in_hands(job);
            if !keep {
                holders.release(key);
            }
            keep
        });
    }

    /// Releases the key of a job that the worker gives back.
    pub(crate) fn take_back(&mut self, worker: usize, job: JobId, holders: &mut Holders) {
        let Some(in_hand) = self.0.get_mut(worker) else {
            return;
        };
        if let Some(at) = in_hand.iter().position(|&(id, _)| id == job) {
            let (_, key) = in_hand.swap_remove(at);
            holders.release(key);
        }
    }

    /// Enters the first `count` jobs. Their keys are held until the jobs are known to be over.
    #[inline]
    pub(crate) fn take(&mut self, worker: usize, marks: &VecDeque<Mark>, count: usize) {
        if !self.0.is_empty() {
            self.take_marked(worker, marks, count);
        }
    }

    fn take_marked(&mut self, worker: usize, marks: &VecDeque<Mark>, count: usize) {
        let keyed = marks.iter().take(count);
        self.0[worker].extend(keyed.filter_map(|mark| Some((mark.id, mark.key?))));
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn keys_of(&self, worker: usize) -> Vec<Slot> {
        let in_hand = self.0.get(worker).into_iter().flatten();
        in_hand.map(|&(_, key)| key).collect()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }
}
