//! The order in which waiting jobs leave a dispatcher's queue.

mod fifo;

pub use fifo::Fifo;

use std::collections::VecDeque;

pub use crate::envelope::Queued;

/// The backlog of one dispatcher: jobs go in as they come, and leave in this order's order.
///
/// # Contract
///
/// An implementation keeps what it is given until `pop` or `retain` lets it go: a [`Queued`] that it
/// drops is lost to everybody, and its handle reads [`Abandoned`](crate::JobError::Abandoned). It may
/// rely on calls from one thread at a time, under the dispatcher's lock, so it does not wait and does
/// no I/O. An order that panics, or that gives nothing although `len` is above zero, is replaced by
/// [`Fifo`]; [`Metrics::faults`](crate::Metrics::faults) counts it.
///
/// An order holds within one dispatcher; with several, each orders its own share.
///
/// # Example
///
/// Newest first:
///
/// ```
/// use fanpool::queue_order::{QueueOrder, Queued};
///
/// struct Newest<J>(Vec<Queued<J>>);
///
/// impl<J: Send + 'static> QueueOrder<J> for Newest<J> {
///     fn push(&mut self, job: Queued<J>) {
///         self.0.push(job);
///     }
///     fn pop(&mut self) -> Option<Queued<J>> {
///         self.0.pop()
///     }
///     fn len(&self) -> usize {
///         self.0.len()
///     }
///     fn retain(&mut self, keep: &mut dyn FnMut(&Queued<J>) -> bool) {
///         self.0.retain(keep);
///     }
/// }
/// ```
pub trait QueueOrder<J>: Send + 'static {
    /// Adds a job.
    fn push(&mut self, job: Queued<J>);

    /// Takes the next job out; `None` only when empty.
    fn pop(&mut self) -> Option<Queued<J>>;

    /// How many are inside.
    fn len(&self) -> usize;

    /// Shows every job once to `keep`, in any order, and drops those that it refuses.
    fn retain(&mut self, keep: &mut dyn FnMut(&Queued<J>) -> bool);

    /// Adds many jobs, in their order, and leaves `jobs` empty. Override it where that is cheaper than
    /// one by one.
    fn append(&mut self, jobs: &mut VecDeque<Queued<J>>) {
        while let Some(job) = jobs.pop_front() {
            self.push(job);
        }
    }

    /// Takes up to `most` jobs out, as `pop` would one by one, and adds them to `out`.
    fn pop_many(&mut self, most: usize, out: &mut VecDeque<Queued<J>>) {
        out.extend(std::iter::from_fn(|| self.pop()).take(most));
    }

    /// Whether nothing is inside.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether jobs leave in the order in which they came. Then the pool need not bring all that waits
    /// here before it takes the next one.
    fn in_arrival_order(&self) -> bool {
        false
    }
}

impl<J: 'static> QueueOrder<J> for Box<dyn QueueOrder<J>> {
    fn push(&mut self, job: Queued<J>) {
        (**self).push(job);
    }

    fn pop(&mut self) -> Option<Queued<J>> {
        (**self).pop()
    }

    fn len(&self) -> usize {
        (**self).len()
    }

    fn retain(&mut self, keep: &mut dyn FnMut(&Queued<J>) -> bool) {
        (**self).retain(keep);
    }

    fn append(&mut self, jobs: &mut VecDeque<Queued<J>>) {
        (**self).append(jobs);
    }

    fn pop_many(&mut self, most: usize, out: &mut VecDeque<Queued<J>>) {
        (**self).pop_many(most, out);
    }

    fn is_empty(&self) -> bool {
        (**self).is_empty()
    }

    fn in_arrival_order(&self) -> bool {
        (**self).in_arrival_order()
    }
}
