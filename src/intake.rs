//! Tier 1: where accepted jobs wait until a desk draws them. The only file that names flume.
//!
//! The channel is used as a locked queue and never as a place to wait: it is unbounded (the gate is
//! the bound, and its ticket is taken first), nobody calls `recv`, and the pool keeps one sender and
//! one receiver for its whole life, so a push cannot fail. docs/decisions/0001 has the reasons.
//!
//! Under a model checker a `Mutex<VecDeque>` stands in for the channel, which is what remains of it
//! under these rules.

use crate::envelope::{Parcel, Queued};
use crate::sync::Padded;
use crate::sync::atomic::{AtomicU64, Ordering::*};
use std::collections::VecDeque;

#[cfg(not(any(fanpool_loom, fanpool_shuttle)))]
pub(crate) struct Intake<J> {
    sender: flume::Sender<Parcel<J>>,
    receiver: flume::Receiver<Parcel<J>>,
    drawn: Padded<AtomicU64>,
}

#[cfg(not(any(fanpool_loom, fanpool_shuttle)))]
impl<J> Intake<J> {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = flume::unbounded();
        Intake {
            sender,
            receiver,
            drawn: Padded::default(),
        }
    }

    #[inline]
    pub(crate) fn push(&self, parcel: Parcel<J>) {
        let pushed = self.sender.try_send(parcel);
        debug_assert!(pushed.is_ok(), "the intake keeps a receiver and no bound");
    }

    /// One lock, no allocation.
    pub(crate) fn pop(&self) -> Option<Parcel<J>> {
        self.receiver.try_recv().ok()
    }

    /// Everything, under one lock. The channel gives its buffer away, so each call costs the
    /// channel the allocation of a new one: worth it for many jobs only.
    pub(crate) fn drain(&self) -> impl Iterator<Item = Parcel<J>> {
        self.receiver.drain()
    }

    /// Looks under the lock: orders this look against every push.
    pub(crate) fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }
}

#[cfg(any(fanpool_loom, fanpool_shuttle))]
pub(crate) struct Intake<J> {
    queue: crate::sync::Mutex<std::collections::VecDeque<Parcel<J>>>,
    drawn: Padded<AtomicU64>,
}

#[cfg(any(fanpool_loom, fanpool_shuttle))]
impl<J> Intake<J> {
    pub(crate) fn new() -> Self {
        Intake {
            queue: Default::default(),
            drawn: Padded::default(),
        }
    }

    pub(crate) fn push(&self, parcel: Parcel<J>) {
        crate::sync::lock(&self.queue).push_back(parcel);
    }

    pub(crate) fn pop(&self) -> Option<Parcel<J>> {
        crate::sync::lock(&self.queue).pop_front()
    }

    pub(crate) fn drain(&self) -> impl Iterator<Item = Parcel<J>> {
        std::mem::take(&mut *crate::sync::lock(&self.queue)).into_iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        crate::sync::lock(&self.queue).is_empty()
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
        self.intake.push(Parcel::One(job));
    }

    /// Moves all that is inside to the end of `to`. The caller holds the desk's lock.
    pub(crate) fn drain_to(&self, to: &mut VecDeque<Queued<J>>) {
        let before = to.len();
        let parcels = std::iter::from_fn(|| self.intake.pop());
        parcels.for_each(|parcel| parcel.unpack(to));
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

impl<J> Intake<J> {
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
