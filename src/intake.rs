//! Tier 1: where accepted jobs wait until a desk draws them. The only file that names flume.
//!
//! The channel is used as a locked queue and never as a place to wait: it is unbounded (the gate is
//! the bound, and its ticket is taken first), nobody calls `recv`, and the pool keeps one sender and
//! one receiver for its whole life, so a push cannot fail. docs/decisions/0001 has the reasons.
//!
//! Under a model checker a `Mutex<VecDeque>` stands in for the channel, which is what remains of it
//! under these rules.

use crate::envelope::Queued;

#[cfg(not(any(fanpool_loom, fanpool_shuttle)))]
pub(crate) struct Intake<J> {
    sender: flume::Sender<Queued<J>>,
    receiver: flume::Receiver<Queued<J>>,
}

#[cfg(not(any(fanpool_loom, fanpool_shuttle)))]
impl<J> Intake<J> {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = flume::unbounded();
        Intake { sender, receiver }
    }

    pub(crate) fn push(&self, job: Queued<J>) {
        let pushed = self.sender.try_send(job);
        debug_assert!(pushed.is_ok(), "the intake keeps a receiver and no bound");
    }

    /// One lock, no allocation.
    pub(crate) fn pop(&self) -> Option<Queued<J>> {
        self.receiver.try_recv().ok()
    }

    /// Everything, under one lock. The channel gives its buffer away, so each call costs the
    /// channel the allocation of a new one: worth it for many jobs only.
    pub(crate) fn drain(&self) -> impl Iterator<Item = Queued<J>> {
        self.receiver.drain()
    }

    /// Looks under the lock: orders this look against every push.
    pub(crate) fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }
}

#[cfg(any(fanpool_loom, fanpool_shuttle))]
pub(crate) struct Intake<J>(crate::sync::Mutex<std::collections::VecDeque<Queued<J>>>);

#[cfg(any(fanpool_loom, fanpool_shuttle))]
impl<J> Intake<J> {
    pub(crate) fn new() -> Self {
        Intake(crate::sync::Mutex::new(std::collections::VecDeque::new()))
    }

    pub(crate) fn push(&self, job: Queued<J>) {
        crate::sync::lock(&self.0).push_back(job);
    }

    pub(crate) fn pop(&self) -> Option<Queued<J>> {
        crate::sync::lock(&self.0).pop_front()
    }

    pub(crate) fn drain(&self) -> impl Iterator<Item = Queued<J>> {
        std::mem::take(&mut *crate::sync::lock(&self.0)).into_iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        crate::sync::lock(&self.0).is_empty()
    }
}
