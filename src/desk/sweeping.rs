//! Bulk operations: take out, show, or clean up everything that waits.

use super::Desk;
use super::backlog::Ask;
use crate::desk::inboxes::Row;
use crate::queue::envelope::Queued;

impl<J: Send + 'static> Desk<J> {
    /// Takes out all waiting jobs, in the order in which they would have started.
    #[inline(never)]
    pub(crate) fn sweep(&mut self, swept: &mut Vec<Queued<J>>) {
        let mut bound = Row::default();
        for worker in 0..self.inboxes.len() {
            bound.merge(self.take_inbox(worker));
        }
        let mut routed = std::mem::take(&mut self.spare);
        routed.merge(std::mem::take(&mut self.returned));
        routed.merge(bound);
        while let Some((job, _)) = routed.pop() {
            swept.push(job);
        }
        while let Some(job) = self.pop() {
            swept.push(job);
        }
    }

    #[inline(never)]
    pub(crate) fn visit(&mut self, visit: &mut dyn FnMut(&Queued<J>)) {
        for waiting in self.inboxes.iter().chain([&self.spare, &self.returned]) {
            for job in waiting.jobs() {
                visit(job);
            }
        }
        self.ordered(Ask::Retain(&mut |job| {
            visit(job);
            true
        }));
    }

    /// Drops the envelopes of cancelled jobs. Returns how many there were.
    #[inline(never)]
    pub(crate) fn drop_tombstones(&mut self) -> usize {
        let mut dropped = 0;
        for worker in 0..self.inboxes.len() {
            let out = self.inboxes[worker].take_tombstones();
            self.left_inbox(worker, &out);
            dropped += out.len();
        }
        for waiting in [&mut self.spare, &mut self.returned] {
            dropped += waiting.take_tombstones().len();
        }
        let mut keyed = 0;
        self.ordered(Ask::Retain(&mut |job| {
            let keep = job.is_full();
            dropped += usize::from(!keep);
            keyed += usize::from(keep && job.stays_with_desk());
            keep
        }));
        // If the order broke, its replacement was counted already.
        self.keyed = keyed.min(self.waiting);
        dropped
    }
}
