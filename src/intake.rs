//! Tier 1: where accepted jobs wait until a desk draws them.
//!
//! A queue behind a lock that is held for a few instructions, and never a place to wait: it has no bound (the gate is
//! the bound, and its ticket is taken first), so a push cannot fail: docs/decisions/0001.

use crate::envelope::Queued;
use crate::spinlock::SpinLock;
use crate::sync::Padded;
use crate::sync::atomic::{AtomicU64, Ordering::*};
use std::collections::VecDeque;

/// Buffers for more jobs than this are not kept when they are empty.
const KEPT_BUFFER: usize = 4096;

pub(crate) struct Intake<J> {
    /// On a line of its own, with the lock: it is what submitters and workers move to and fro.
    queue: Padded<SpinLock<VecDeque<Queued<J>>>>,
    drawn: Padded<AtomicU64>,
}

impl<J> Intake<J> {
    pub(crate) fn new() -> Self {
        Intake {
            queue: Padded(SpinLock::new(VecDeque::new())),
            drawn: Padded::default(),
        }
    }

    #[inline]
    pub(crate) fn push(&self, job: Queued<J>) {
        self.queue.lock().push_back(job);
    }

    /// All under one lock. The iterator is no foreign code.
    pub(crate) fn push_all(&self, jobs: impl ExactSizeIterator<Item = Queued<J>>) {
        self.queue.lock().extend(jobs);
    }

    pub(crate) fn pop(&self) -> Option<Queued<J>> {
        self.queue.lock().pop_front()
    }

    /// Moves the first `most` to the end of `to`.
    pub(crate) fn take(&self, most: usize, to: &mut VecDeque<Queued<J>>) {
        let mut queue = self.queue.lock();
        let most = most.min(queue.len());
        to.extend(queue.drain(..most));
        if queue.is_empty() && queue.capacity() > KEPT_BUFFER {
            *queue = VecDeque::new();
        }
    }

    /// Moves everything to the end of `to`: if that is empty, the two change their buffers.
    pub(crate) fn take_all(&self, to: &mut VecDeque<Queued<J>>) {
        if !to.is_empty() {
            return to.append(&mut self.queue.lock());
        }
        if to.capacity() > KEPT_BUFFER {
            *to = VecDeque::new();
        }
        std::mem::swap(to, &mut *self.queue.lock());
    }

    /// Looks under the lock: orders this look against every push.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.lock().is_empty()
    }

    /// Jobs were taken out: for a hint to those who look whether looking is worth it.
    pub(crate) fn note_drawn(&self, jobs: usize) {
        if jobs > 0 {
            self.drawn.fetch_add(jobs as u64, Relaxed);
        }
    }

    /// About how many are inside, given how many were ever accepted: a hint, and no lock.
    pub(crate) fn about(&self, accepted: u64) -> u64 {
        accepted.saturating_sub(self.drawn.load(Relaxed))
    }
}

/// An intake of one desk, for jobs with a key when there are several desks: so that the jobs of a key meet
/// at one desk, in the order in which they came.
pub(crate) struct KeyedIntake<J> {
    intake: Intake<J>,
    pushed: Padded<AtomicU64>,
}

impl<J> KeyedIntake<J> {
    pub(crate) fn new() -> Self {
        KeyedIntake {
            intake: Intake::new(),
            pushed: Padded::default(),
        }
    }

    pub(crate) fn push(&self, job: Queued<J>) {
        // First, and in one order with tickets and searchers: see station.rs, "Found".
        self.pushed.fetch_add(1, SeqCst);
        self.intake.push(job);
    }

    /// Moves all that is inside to the end of `to`. The caller holds the desk's lock.
    pub(crate) fn drain_to(&self, to: &mut VecDeque<Queued<J>>) {
        let before = to.len();
        self.intake.take_all(to);
        self.intake.note_drawn(to.len() - before);
    }

    /// Looks under the lock, as [`Intake::is_empty`].
    pub(crate) fn is_empty(&self) -> bool {
        self.intake.is_empty()
    }

    /// About how many are inside: no less than were pushed before and not drawn.
    pub(crate) fn about(&self) -> u64 {
        self.intake.about(self.pushed.load(SeqCst))
    }
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests {
    use super::*;
    use crate::job::{Job, JobId};
    use crate::registry::PoolNumber;
    use std::ops::Range;

    fn jobs(numbers: Range<usize>) -> impl ExactSizeIterator<Item = Queued<usize>> {
        numbers.map(|n| {
            let id = JobId::from_ticket(n as u64);
            Queued::plain(id, PoolNumber::MAX, Job::new(n))
        })
    }

    fn numbers(jobs: &VecDeque<Queued<usize>>) -> Vec<u64> {
        jobs.iter().map(|job| job.id().get() - 1).collect()
    }

    #[test]
    fn jobs_come_out_as_they_came_in_however_they_are_taken() {
        let (intake, mut out) = (Intake::new(), VecDeque::new());
        jobs(0..2).for_each(|job| intake.push(job));
        intake.push_all(jobs(2..9));
        out.extend(intake.pop());
        intake.take(3, &mut out);
        intake.take_all(&mut out);
        assert!(intake.is_empty());
        intake.push_all(jobs(9..12));
        intake.take(5, &mut out);
        assert_eq!(numbers(&out), (0..12).collect::<Vec<_>>());
        let mut empty = VecDeque::new();
        intake.push_all(jobs(12..15));
        intake.take_all(&mut empty);
        assert_eq!(numbers(&empty), [12, 13, 14]);
    }

    #[test]
    fn a_buffer_of_a_burst_is_not_kept() {
        let many = KEPT_BUFFER + 1;
        let capacity = |intake: &Intake<usize>| intake.queue.lock().capacity();
        // Taken some at a time.
        let (intake, mut out) = (Intake::new(), VecDeque::new());
        intake.push_all(jobs(0..many));
        intake.take(many - 1, &mut out);
        assert!(capacity(&intake) > KEPT_BUFFER, "a job is inside");
        intake.take(1, &mut out);
        assert_eq!(capacity(&intake), 0);
        // By a change of buffers.
        out.clear();
        intake.take_all(&mut out);
        assert_eq!(capacity(&intake), 0);
        let mut small = VecDeque::with_capacity(8);
        intake.take_all(&mut small);
        assert!(capacity(&intake) >= 8);
    }
}
