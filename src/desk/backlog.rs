//! The backlog: jobs that are not routed yet, held by the queue order, which is foreign code.

use super::{Desk, count_keyed};
use crate::queue::envelope::Queued;
use crate::queue_order::{Fifo, QueueOrder};
use crate::sync::panics::{contain, dispose};
use std::collections::VecDeque;

pub(super) enum Ask<'a, J> {
    #[cfg(any(test, feature = "sim", feature = "testing"))]
    Push(&'a mut Option<Queued<J>>),
    Pop(&'a mut Option<Queued<J>>),
    PopMany(usize, &'a mut VecDeque<Queued<J>>),
    Append(&'a mut VecDeque<Queued<J>>),
    Retain(&'a mut dyn FnMut(&Queued<J>) -> bool),
}

impl<J: Send + 'static> Desk<J> {
    #[cfg(any(test, feature = "sim", feature = "testing"))]
    pub(crate) fn push(&mut self, job: Queued<J>) {
        self.keyed += usize::from(job.stays_with_desk());
        let mut job = Some(job);
        self.ordered(Ask::Push(&mut job));
    }

    #[inline(never)]
    pub(crate) fn append(&mut self, jobs: &mut VecDeque<Queued<J>>) {
        self.keyed += count_keyed(jobs, 0);
        if !self.ordered(Ask::Append(jobs)) {
            // The order panicked half way; its replacement takes the rest.
            self.ordered(Ask::Append(jobs));
        }
    }

    /// Returns how many jobs may go to any worker or are not routed yet.
    pub(crate) fn backlog(&self) -> usize {
        self.spare.len() + self.returned.len() + self.waiting
    }

    pub(super) fn pop(&mut self) -> Option<Queued<J>> {
        let mut job = None;
        self.ordered(Ask::Pop(&mut job));
        match &job {
            Some(job) => self.keyed = self.keyed.saturating_sub(job.stays_with_desk().into()),
            None if self.waiting > 0 => {
                // The order hides a job: a worker that asks again would ask for ever.
                self.quarantine();
                self.ordered(Ask::Pop(&mut job));
            }
            None => {}
        }
        job
    }

    /// Counts the jobs from `first` on as gone from the backlog.
    pub(super) fn note_popped(&mut self, jobs: &VecDeque<Queued<J>>, first: usize) {
        if self.keyed > 0 {
            self.keyed = self.keyed.saturating_sub(count_keyed(jobs, first));
        }
    }

    /// Returns whether the order did not panic.
    #[inline(never)]
    pub(super) fn ordered(&mut self, what: Ask<'_, J>) -> bool {
        let order = &mut **self.order;
        let acted = contain(|| match what {
            #[cfg(any(test, feature = "sim", feature = "testing"))]
            Ask::Push(job) => job.take().into_iter().for_each(|job| order.push(job)),
            Ask::Pop(job) => *job = order.pop(),
            Ask::PopMany(most, out) => order.pop_many(most, out),
            Ask::Append(jobs) => order.append(jobs),
            Ask::Retain(keep) => order.retain(keep),
        });
        // Contained separately, so that a panic here does not lose a job that was taken out.
        let counted = contain(|| order.len());
        match &counted {
            Ok(waiting) if acted.is_ok() => self.waiting = *waiting,
            _ => self.quarantine(),
        }
        if let Err(panic) = counted {
            dispose(panic);
        }
        acted.map_err(dispose).is_ok()
    }

    /// Replaces a queue order that broke its contract by a plain one. Jobs that the broken order does not give out are
    /// dropped with it, and so abandoned.
    #[cold]
    pub(super) fn quarantine(&mut self) {
        self.faults += 1;
        self.replace_order();
    }

    #[inline(never)]
    pub(crate) fn replace_order(&mut self) {
        let mut broken = std::mem::replace(&mut *self.order, Box::new(Fifo::new()));
        self.arrival_order = true;
        self.keyed = 0;
        while let Ok(Some(job)) = contain(|| broken.pop()) {
            self.keyed += usize::from(job.stays_with_desk());
            self.order.push(job);
        }
        self.waiting = self.order.len();
        dispose(broken);
    }
}
