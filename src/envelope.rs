//! An accepted job on its way: whoever holds the envelope owns the job, and an envelope that is
//! dropped with a job inside records the outcome `Abandoned`.
//!
//! Two forms. A job sent without a handle travels in the envelope itself. A job with a handle stays
//! in the cell it shares with the handle (cell.rs), so that a cancel can take it out at once; the
//! envelope then only points there, and may arrive empty: a *tombstone*.
//!
//! Jobs of a group that lie side by side in a cell come in together, as a [`Bundle`].
//!
//! Neither form keeps the pool alive or costs a reference count on it: an envelope knows its pool by
//! number and asks the registry in the rare case that it is dropped full.

use crate::cell::{At, Tracked};
use crate::frame;
use crate::job::{self, Job, JobId, Options};
use crate::outcome::Ending;
use crate::registry::{self, PoolNumber};
use crate::unwind::dispose;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// A waiting job, as a [`QueueOrder`](crate::QueueOrder) keeps it.
///
/// It can be looked at, moved and dropped, but neither made nor taken apart by an order: so an order
/// cannot run a job twice or invent one. One that is dropped counts as
/// [`Abandoned`](crate::JobError::Abandoned), and its handle says so.
pub struct Queued<J> {
    /// The job's number, and [`STAYS`] or not.
    number: u64,
    body: Body<J>,
}

/// Set in the number of a job whose key belongs to one of several desks. (Numbers are below a gate's last.)
const STAYS: u64 = 1 << 63;

/// Told apart by a whole word. With a smaller mark, the rest is moved in parts that do not match those that
/// are read next, and the processor waits at each move: 40 bytes are quicker than 32.
#[repr(u64)]
enum Body<J> {
    Plain {
        pool: PoolNumber,
        job: Job<J>,
    },
    Tracked {
        cell: Arc<dyn Tracked<J>>,
        at: usize,
    },
    Gone,
}

impl<J> Queued<J> {
    #[inline]
    pub(crate) fn plain(id: JobId, pool: PoolNumber, job: Job<J>) -> Self {
        Queued {
            number: id.get(),
            body: Body::Plain { pool, job },
        }
    }

    pub(crate) fn tracked(id: JobId, cell: Arc<dyn Tracked<J>>, at: usize) -> Self {
        Queued {
            number: id.get(),
            body: Body::Tracked { cell, at },
        }
    }

    /// The number of the job: a lower one was let in earlier.
    pub fn id(&self) -> JobId {
        JobId::from_ticket((self.number & !STAYS) - 1)
    }

    /// The job is for the workers of one desk: see [`KeyedIntake`](crate::intake::KeyedIntake).
    pub(crate) fn stay_with_desk(&mut self) {
        self.number |= STAYS;
    }

    pub(crate) fn stays_with_desk(&self) -> bool {
        self.number & STAYS != 0
    }

    /// As [`Job::priority`].
    pub fn priority(&self) -> i32 {
        self.options().map_or(0, |options| options.priority)
    }

    /// As [`Job::key`].
    pub fn key(&self) -> Option<u64> {
        self.options().and_then(|options| options.key)
    }

    /// As [`Job::weight`].
    pub fn weight(&self) -> u64 {
        job::weight(self.options())
    }

    /// As [`Job::deadline`].
    pub fn deadline(&self) -> Option<Instant> {
        self.options().and_then(|options| options.deadline)
    }

    /// As [`Job::label`].
    pub fn label(&self) -> Option<&str> {
        self.options().and_then(|options| options.label.as_deref())
    }

    #[inline]
    fn options(&self) -> Option<&Options> {
        match &self.body {
            Body::Plain { job, .. } => job.options(),
            Body::Tracked { cell, at } => cell.options(*at),
            Body::Gone => None,
        }
    }

    /// Whether a job is still inside: it may have been cancelled since.
    pub(crate) fn is_full(&self) -> bool {
        match &self.body {
            Body::Plain { .. } => true,
            Body::Tracked { cell, at } => cell.is_waiting(*at),
            Body::Gone => false,
        }
    }

    /// Whether the job has its outcome. One that is being cancelled is neither full nor over.
    pub(crate) fn is_over(&self) -> bool {
        match &self.body {
            Body::Plain { .. } => false,
            Body::Tracked { cell, at } => cell.is_over(*at),
            Body::Gone => true,
        }
    }

    /// Shows the job to `look`, under no lock. `None`: a tombstone.
    #[inline]
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Job<J>) -> R) -> Option<R> {
        match &self.body {
            Body::Plain { job, .. } => Some(look(job)),
            Body::Tracked { cell, at } => {
                let job = cell.lend(*at)?;
                let seen = look(&job);
                if let Some(cancelled_meanwhile) = cell.put_back(*at, job) {
                    dispose(cancelled_meanwhile);
                    return None;
                }
                Some(seen)
            }
            Body::Gone => None,
        }
    }

    /// Takes the job out: the caller owns it now, and must settle its outcome. `None`: a tombstone.
    #[inline(always)]
    pub(crate) fn claim(&mut self) -> Option<Claimed<J>> {
        match std::mem::replace(&mut self.body, Body::Gone) {
            Body::Plain { job, .. } => Some(Claimed { job, slot: None }),
            Body::Tracked { cell, at } => match cell.claim(at) {
                Some(job) => {
                    let slot = Some(At { cell, at });
                    Some(Claimed { job, slot })
                }
                None => {
                    self.body = Body::Tracked { cell, at };
                    None
                }
            },
            Body::Gone => None,
        }
    }
}

/// Accepted jobs whose slots and numbers follow one another: an iterator of their envelopes. One that is dropped
/// drops those that are left.
pub(crate) struct Bundle<J> {
    cell: Arc<dyn Tracked<J>>,
    slots: Range<u32>,
    first: JobId,
}

impl<J> Bundle<J> {
    /// `first` is the number of the job in the first of these slots.
    pub(crate) fn new(cell: Arc<dyn Tracked<J>>, slots: Range<usize>, first: JobId) -> Self {
        let slots = slots.start as u32..slots.end as u32;
        Bundle { cell, slots, first }
    }
}

impl<J> Iterator for Bundle<J> {
    type Item = Queued<J>;

    fn next(&mut self) -> Option<Queued<J>> {
        let at = self.slots.next()?;
        let id = self.first;
        self.first = JobId::from_ticket(id.get());
        Some(Queued::tracked(id, self.cell.clone(), at as usize))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.slots.size_hint()
    }
}

impl<J> ExactSizeIterator for Bundle<J> {}

impl<J> Drop for Bundle<J> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

/// A job that was taken out of its envelope, and the slot that waits for its outcome, if any.
pub(crate) struct Claimed<J> {
    pub(crate) job: Job<J>,
    pub(crate) slot: Option<At<dyn Tracked<J>>>,
}

impl<J> Drop for Queued<J> {
    #[inline]
    fn drop(&mut self) {
        if !matches!(self.body, Body::Gone) {
            self.abandon();
        }
    }
}

impl<J> Queued<J> {
    #[cold]
    fn abandon(&mut self) {
        let (pool, job, slot) = match std::mem::replace(&mut self.body, Body::Gone) {
            Body::Plain { pool, job } => (pool, job, None),
            Body::Tracked { cell, at } => match cell.claim(at) {
                Some(job) => (cell.pool(), job, Some((cell.into_ending(), at))),
                None => return,
            },
            Body::Gone => return,
        };
        let id = self.id();
        let options = job.share_options();
        // A queue order may drop envelopes, and it does so under the desk's lock.
        frame::outside_desk(move || {
            let home = registry::find(pool);
            match (slot, &home) {
                (Some((cell, at)), home) => {
                    if let Some(home) = home {
                        home.unrun(options.as_deref(), Ending::Abandoned);
                    }
                    cell.end(at, Ending::Abandoned);
                }
                (None, Some(home)) => home.untold(id, options, Ending::Abandoned),
                (None, None) => {}
            }
            if let Some(home) = home {
                home.over(id);
            }
        });
        dispose(job);
    }
}

impl<J> fmt::Debug for Queued<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queued")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_moves_few_bytes() {
        assert!(size_of::<Queued<u64>>() <= 40);
        // A bigger job costs its own size and no more.
        assert!(size_of::<Queued<[u64; 8]>>() <= 40 + 56);
    }
}
