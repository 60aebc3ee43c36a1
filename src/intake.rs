//! Tier 1: where accepted jobs wait until a desk draws them.
//!
//! A queue behind a lock that is held for a few instructions, and never a place to wait: it has no bound (the gate is
//! the bound, and its ticket is taken first), so a push cannot fail: docs/decisions/0001.

use crate::envelope::Queued;
use crate::envelopes::Envelopes;
use crate::spinlock::SpinLock;
use crate::sync::Padded;
use crate::sync::atomic::{AtomicU64, Ordering::*};

pub(crate) struct Intake<J> {
    /// On a line of its own, with the lock: it is what submitters and workers move to and fro.
    queue: Padded<SpinLock<Envelopes<J>>>,
    drawn: Padded<AtomicU64>,
}

impl<J> Intake<J> {
    pub(crate) fn new() -> Self {
        Intake {
            queue: Padded(SpinLock::new(Envelopes::default())),
            drawn: Padded::default(),
        }
    }

    #[inline]
    pub(crate) fn push(&self, job: Queued<J>) {
        self.queue.lock().push(job);
    }

    /// Several jobs in one envelope.
    pub(crate) fn push_bundle(&self, jobs: Queued<J>) {
        self.queue.lock().push_bundle(jobs);
    }

    pub(crate) fn pop(&self) -> Option<Queued<J>> {
        self.queue.lock().pop()
    }

    /// Moves the first `most` jobs to the end of `to`.
    pub(crate) fn take(&self, most: usize, to: &mut Envelopes<J>) {
        let mut queue = self.queue.lock();
        queue.move_to(most, to);
        queue.forget_burst();
    }

    /// Moves everything to the end of `to`: if that is empty, the two change their buffers.
    pub(crate) fn take_all(&self, to: &mut Envelopes<J>) {
        if !to.is_empty() {
            return self.queue.lock().append_to(to);
        }
        to.forget_burst();
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
    pub(crate) fn drain_to(&self, to: &mut Envelopes<J>) {
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
    use crate::envelopes::tests::{jobs, numbers};

    #[test]
    fn jobs_come_out_as_they_came_in_however_they_are_taken() {
        let (intake, mut out) = (Intake::new(), Envelopes::default());
        jobs(0..9).for_each(|job| intake.push(job));
        intake.pop().into_iter().for_each(|job| out.push(job));
        intake.take(3, &mut out);
        intake.take_all(&mut out);
        assert!(intake.is_empty());
        jobs(9..12).for_each(|job| intake.push(job));
        intake.take(5, &mut out);
        assert_eq!(numbers(&mut out), (0..12).collect::<Vec<_>>());
        let mut empty = Envelopes::default();
        jobs(12..15).for_each(|job| intake.push(job));
        intake.take_all(&mut empty);
        assert_eq!(numbers(&mut empty), [12, 13, 14]);
    }

    #[test]
    fn a_buffer_of_a_burst_is_not_kept() {
        let many = 5000;
        let capacity = |intake: &Intake<usize>| intake.queue.lock().capacity();
        // Taken some at a time.
        let (intake, mut out) = (Intake::new(), Envelopes::default());
        jobs(0..many).for_each(|job| intake.push(job));
        intake.take(many - 1, &mut out);
        assert!(capacity(&intake) >= many, "a job is inside");
        intake.take(1, &mut out);
        assert_eq!(capacity(&intake), 0);
        // By a change of buffers.
        while out.pop().is_some() {}
        intake.take_all(&mut out);
        assert_eq!(capacity(&intake), 0);
        let mut small = Envelopes::default();
        jobs(0..8).for_each(|job| small.push(job));
        while small.pop().is_some() {}
        intake.take_all(&mut small);
        assert!(capacity(&intake) >= 8);
    }
}
