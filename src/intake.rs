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

    /// Has jobs taken out, under the lock: in a few instructions. Counts them.
    pub(crate) fn draw<R>(&self, take_out: impl FnOnce(&mut Envelopes<J>) -> R) -> R {
        let (result, drawn) = {
            let mut queue = self.queue.lock();
            let before = queue.len();
            (take_out(&mut queue), before - queue.len())
        };
        self.note_drawn(drawn);
        result
    }

    /// Looks under the lock: orders this look against every push.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.lock().is_empty()
    }

    /// Jobs were taken out, or went elsewhere: for a hint to those who look whether looking is worth it.
    pub(crate) fn note_drawn(&self, jobs: usize) {
        if jobs > 0 {
            self.drawn.fetch_add(jobs as u64, Relaxed);
        }
    }

    #[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
    pub(crate) fn capacity(&self) -> usize {
        self.queue.lock().capacity()
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
        self.intake.draw(|queue| queue.append_to(to));
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
        let first = intake.draw(Envelopes::pop);
        first.into_iter().for_each(|job| out.push(job));
        intake.draw(|queue| queue.move_to(3, &mut out));
        intake.draw(|queue| queue.append_to(&mut out));
        assert!(intake.is_empty());
        jobs(9..12).for_each(|job| intake.push(job));
        intake.draw(|queue| queue.move_to(5, &mut out));
        assert_eq!(numbers(&mut out), (0..12).collect::<Vec<_>>());
        let mut empty = Envelopes::default();
        jobs(12..15).for_each(|job| intake.push(job));
        assert_eq!(intake.about(15), 3);
        intake.draw(|queue| queue.append_to(&mut empty));
        assert_eq!(intake.about(15), 0);
        assert_eq!(numbers(&mut empty), [12, 13, 14]);
    }
}
