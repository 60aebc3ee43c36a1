//! An envelope: an accepted job on its way. The owner of the envelope owns the job. An envelope dropped with a job
//! inside records the outcome `Abandoned`.
//!
//! - A job sent without a handle travels in the envelope itself.
//! - A job with a handle stays in the cell that it shares with the handle (outcome/cell.rs), so that a cancel can take
//!   it out at once. The envelope only points there, and may arrive empty: a *tombstone*.
//! - Jobs of a group that lie side by side in a cell travel in one envelope, as a *bundle*, until they are wanted one
//!   by one: see queue/block.rs.
//!
//! Envelopes neither keep the pool alive nor cost a reference count on it: an envelope knows its pool by number, and
//! asks the registry in the rare case that it is dropped full.

use crate::id::{JobId, PoolNumber};
use crate::job::{self, Job, Options};
use crate::outcome::views::{At, Token, Tracked};
use crate::outcome::{Ending, registry};
use crate::sync::panics::dispose;
use crate::wait::current;
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::time::Instant;

/// A waiting job, as a [`QueueOrder`](crate::QueueOrder) keeps it.
///
/// A queue order can inspect, move and drop it, but neither create it nor take it apart, so an order cannot run a job
/// twice or invent one. If it is dropped, the job counts as [`Abandoned`](crate::JobError::Abandoned), and its handle
/// returns that error.
pub struct Queued<J> {
    /// The job's number, with [`STAYS`] set or not.
    number: u64,
    body: Body<J>,
}

/// Set in the number of a job whose key belongs to one of several desks. (Job numbers stay below this bit.)
const STAYS: u64 = 1 << 63;

/// The tag is a whole word. With a smaller tag, the rest is moved in parts that do not match those read next, and the
/// processor waits at each move: 40 bytes are faster than 32.
#[repr(u64)]
enum Body<J> {
    Plain {
        pool: PoolNumber,
        job: Job<J>,
    },
    Tracked {
        cell: Arc<dyn Tracked<J>>,
        slots: Span,
    },
    Gone,
}

/// A range of slots of a cell: the first slot in the lower half, the number of further slots in the upper. One word,
/// because it is moved and read as one.
#[derive(Clone, Copy)]
struct Span(u64);

impl Span {
    const ANOTHER: u64 = 1 << 32;

    #[inline]
    fn first(self) -> usize {
        self.0 as u32 as usize
    }

    #[inline]
    fn others(self) -> usize {
        (self.0 / Self::ANOTHER) as usize
    }

    /// Splits off the first `count` slots and returns them.
    fn take_first(&mut self, count: usize) -> Span {
        let (first, count) = (self.0 as u32, count as u64);
        let split = Span(u64::from(first) + (count - 1) * Self::ANOTHER);
        self.0 = self.0 + count - count * Self::ANOTHER;
        split
    }
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
        Queued::bundle(id, cell, at..at + 1)
    }

    /// An envelope for the jobs in these slots, whose numbers are consecutive. `id` is the number of the first.
    pub(crate) fn bundle(id: JobId, cell: Arc<dyn Tracked<J>>, slots: Range<usize>) -> Self {
        let (first, others) = (slots.start as u64, slots.len() as u64 - 1);
        let slots = Span(first + others * Span::ANOTHER);
        Queued {
            number: id.get(),
            body: Body::Tracked { cell, slots },
        }
    }

    /// Returns how many further jobs are in this envelope.
    #[inline]
    pub(crate) fn others(&self) -> usize {
        match &self.body {
            Body::Tracked { slots, .. } => slots.others(),
            _ => 0,
        }
    }

    /// Takes the first `count` jobs out, in an envelope of their own. `count` must be less than the number of jobs.
    pub(crate) fn take_first(&mut self, count: usize) -> Queued<J> {
        debug_assert!(0 < count && count <= self.others());
        let number = self.number;
        self.number += count as u64;
        let body = match &mut self.body {
            Body::Tracked { cell, slots } => Body::Tracked {
                cell: cell.clone(),
                slots: slots.take_first(count),
            },
            _ => unreachable!("only a cell has several jobs"),
        };
        Queued { number, body }
    }

    /// Takes the envelope and leaves an empty one in its place. (Taken out of a deque as an option, it would be moved
    /// in parts.)
    #[inline]
    pub(crate) fn take(&mut self) -> Queued<J> {
        let gone = Queued {
            number: self.number,
            body: Body::Gone,
        };
        std::mem::replace(self, gone)
    }

    /// Returns the job's number. Jobs with lower numbers were accepted earlier.
    pub fn id(&self) -> JobId {
        JobId::from_ticket((self.number & !STAYS) - 1)
    }

    /// Marks the job as one for the workers of one desk: see [`KeyedIntake`](crate::queue::intake::KeyedIntake).
    pub(crate) fn stay_with_desk(&mut self) {
        self.number |= STAYS;
    }

    pub(crate) fn stays_with_desk(&self) -> bool {
        self.number & STAYS != 0
    }

    /// Returns the job's priority, as [`Job::priority`].
    pub fn priority(&self) -> i32 {
        self.options().map_or(0, |options| options.priority)
    }

    /// Returns the job's key, as [`Job::key`].
    pub fn key(&self) -> Option<u64> {
        self.options().and_then(|options| options.key)
    }

    /// Returns the job's weight, as [`Job::weight`].
    pub fn weight(&self) -> u64 {
        job::weight(self.options())
    }

    /// Returns the job's deadline, as [`Job::deadline`].
    pub fn deadline(&self) -> Option<Instant> {
        self.options().and_then(|options| options.deadline)
    }

    /// Returns the job's label, as [`Job::label`].
    pub fn label(&self) -> Option<&str> {
        self.options().and_then(|options| options.label.as_deref())
    }

    #[inline]
    fn options(&self) -> Option<&Options> {
        match &self.body {
            Body::Plain { job, .. } => job.options(),
            Body::Tracked { cell, slots } => cell.options(slots.first()),
            Body::Gone => None,
        }
    }

    /// Returns whether a job is still inside. It may have been cancelled since.
    pub(crate) fn is_full(&self) -> bool {
        match &self.body {
            Body::Plain { .. } => true,
            Body::Tracked { cell, slots } => cell.is_waiting(slots.first()),
            Body::Gone => false,
        }
    }

    /// Returns whether the job has its outcome. While it is being cancelled, it is neither full nor over.
    pub(crate) fn is_over(&self) -> bool {
        match &self.body {
            Body::Plain { .. } => false,
            Body::Tracked { cell, slots } => cell.is_over(slots.first()),
            Body::Gone => true,
        }
    }

    /// Lends the job for a look without a lock. `None` means a tombstone.
    #[inline]
    pub(crate) fn borrow(&self) -> Option<Borrowed<'_, J>> {
        match &self.body {
            Body::Plain { job, .. } => Some(Borrowed::Plain(job)),
            Body::Tracked { cell, slots } => cell.lend(slots.first()).map(Borrowed::Lent),
            Body::Gone => None,
        }
    }

    /// Ends the look. Returns `false` if the job was cancelled meanwhile.
    #[inline]
    pub(crate) fn put_back(&self, borrowed: Borrowed<'_, J>) -> bool {
        match (borrowed, &self.body) {
            (Borrowed::Lent(job), Body::Tracked { cell, slots }) => {
                let cancelled_meanwhile = cell.put_back(slots.first(), job);
                !cancelled_meanwhile.is_some_and(|job| {
                    dispose(job);
                    true
                })
            }
            _ => true,
        }
    }

    /// Does the same as [`claim`](Self::claim), out of line, for paths where one more call makes no difference.
    #[inline(never)]
    pub(crate) fn claim_unrun(&mut self) -> Option<Claimed<J>> {
        self.claim()
    }

    /// Takes the job out: the caller now owns it and must settle its outcome. `None` means a tombstone.
    #[inline(always)]
    pub(crate) fn claim(&mut self) -> Option<Claimed<J>> {
        debug_assert_eq!(self.others(), 0);
        match std::mem::replace(&mut self.body, Body::Gone) {
            Body::Plain { job, .. } => Some(Claimed { job, slot: None }),
            Body::Tracked { cell, slots } => match cell.claim(slots.first()) {
                Some(job) => {
                    let at = slots.first();
                    let slot = Some(At { cell, at });
                    Some(Claimed { job, slot })
                }
                None => {
                    self.body = Body::Tracked { cell, slots };
                    None
                }
            },
            Body::Gone => None,
        }
    }

    /// Takes out the first of several jobs. `token` is the token of an earlier job, or none, and becomes this job's. If
    /// both jobs are in the same cell, no reference count changes; otherwise `stale` receives the old token.
    pub(crate) fn claim_first(
        &mut self,
        token: &mut Option<At<dyn Token>>,
        stale: &mut Option<At<dyn Token>>,
    ) -> Option<Job<J>> {
        let Body::Tracked { cell, slots } = &mut self.body else {
            return None;
        };
        let at = slots.first();
        let job = cell.claim(at)?;
        match token {
            Some(token) if is_same(&token.cell, cell) => token.at = at,
            _ => {
                let cell = cell.clone().into_token();
                *stale = token.replace(At { cell, at });
            }
        }
        slots.take_first(1);
        self.number += 1;
        Some(job)
    }

    /// Shows the numbers of the jobs that have no outcome.
    pub(crate) fn for_each_waiting(&self, each: &mut dyn FnMut(JobId)) {
        for other in 0..=self.others() {
            let over = match &self.body {
                Body::Tracked { cell, slots } => cell.is_over(slots.first() + other),
                _ => self.is_over(),
            };
            if !over {
                each(JobId::from_ticket(self.id().get() - 1 + other as u64));
            }
        }
    }
}

/// A lent job. A job in a cell is taken out of its slot meanwhile.
pub(crate) enum Borrowed<'a, J> {
    Plain(&'a Job<J>),
    Lent(Job<J>),
}

impl<J> Deref for Borrowed<'_, J> {
    type Target = Job<J>;

    #[inline]
    fn deref(&self) -> &Job<J> {
        match self {
            Borrowed::Plain(job) => job,
            Borrowed::Lent(job) => job,
        }
    }
}

fn is_same<J>(token: &Arc<dyn Token>, cell: &Arc<dyn Tracked<J>>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(token), Arc::as_ptr(cell))
}

/// A job taken out of its envelope, and the slot that waits for its outcome, if any.
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
    #[inline(never)]
    fn abandon(&mut self) {
        while self.others() > 0 {
            drop(self.take_first(1));
        }
        let (pool, job, slot) = match std::mem::replace(&mut self.body, Body::Gone) {
            Body::Plain { pool, job } => (pool, job, None),
            Body::Tracked { cell, slots } => match cell.claim(slots.first()) {
                Some(job) => (cell.pool(), job, Some((cell.into_ending(), slots.first()))),
                None => return,
            },
            Body::Gone => return,
        };
        let id = self.id();
        let options = job.share_options();
        // A queue order may drop envelopes, and it does so under the desk's lock.
        current::outside_desk(move || {
            let home = registry::find(pool);
            match (slot, &home) {
                (Some((cell, at)), home) => {
                    if let Some(home) = home {
                        home.unrun(options.as_deref(), Ending::Abandoned);
                    }
                    cell.end(at, Ending::Abandoned);
                }
                (None, Some(home)) => home.unrun_without_handle(id, options, Ending::Abandoned),
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
