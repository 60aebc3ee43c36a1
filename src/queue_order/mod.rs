//! Queue orders: in which order waiting jobs leave a dispatcher's queue.
//!
//! | order | next is | cost | bad at |
//! |---|---|---|---|
//! | [`Fifo`] | the oldest (the default) | O(1) | overload: every job is late |
//! | [`Lifo`] | the newest | O(1) | old jobs, which never run while new ones keep coming |
//! | [`AdaptiveLifo`] | the oldest; while too many wait, the newest | O(1) | old jobs, while it is overloaded |
//! | [`Priority`] | the most urgent; with [ageing](Priority::ageing), long waits count | O(log n) | without ageing, less urgent jobs |
//! | [`EarliestDeadline`] | the one with the earliest deadline | O(log n) | overload: all may miss their deadlines |
//! | [`FairShare`] | one of the key whose turn it is | O(log keys) | age and urgency, which it ignores |
//! | yours | an implementation of [`QueueOrder`] | | |
//!
//! Ties (between equals of `Priority` and `EarliestDeadline`, and within a key of `FairShare`) go to the job that came
//! first.
//!
//! # What holds, and where
//!
//! An order applies to the jobs that wait in one dispatcher's backlog, and says in which order they *start*; with
//! several workers they may end in another.
//!
//! A job that has left the backlog is not overtaken by later jobs:
//!
//! - Jobs that a [strategy](crate::dispatcher) bound to a worker: per worker as many as
//!   [`inbox_depth`](crate::PoolBuilder::inbox_depth) says, and none with [`Any`](crate::Any).
//! - Jobs that a worker took at once from its inbox: as many as it runs in 50 µs.
//! - With `Any`, jobs taken several at once. This happens only to jobs in their order of arrival, if they take less
//!   than some 100 µs: as many as run in 200 µs, up to 64.
//!
//! Several dispatchers have an order each, made by its own call of the closure given to
//! [`queue_order`](crate::PoolBuilder::queue_order). New jobs go to the dispatcher that looks first, and a worker whose
//! own dispatcher has nothing takes the next job of another. So nothing is promised across dispatchers:
//!
//! - The most urgent job of one may start after a less urgent job of another.
//! - `AdaptiveLifo` counts what waits in its own dispatcher, and `Priority` ages by what came to it.
//! - A key of `FairShare` has its share in each dispatcher.
//!
//! Only [`key_bound`](QueueOrder::key_bound) applies to the whole pool. Where the order matters more than the cost of a
//! single dispatcher, use a single dispatcher.

mod adaptive_lifo;
mod earliest_deadline;
mod fair_share;
mod fifo;
mod lifo;
mod priority;
mod ranked;
#[cfg(test)]
mod tests;

pub use adaptive_lifo::AdaptiveLifo;
pub use earliest_deadline::EarliestDeadline;
pub use fair_share::FairShare;
pub use fifo::Fifo;
pub use lifo::Lifo;
pub use priority::Priority;

use crate::error::BuildError;
use std::collections::VecDeque;

pub use crate::queue::envelope::Queued;

/// The backlog of one dispatcher: jobs go in as they come, and leave in this order.
///
/// # Contract
///
/// - An implementation keeps each job until `pop` or `retain` releases it. A [`Queued`] that it drops is lost, and its
///   handle returns [`Abandoned`](crate::JobError::Abandoned).
/// - It is called by one thread at a time, under the dispatcher's lock, so it must not wait and must do no I/O.
/// - An order that panics, or that returns no job although `len` is above zero, is replaced by [`Fifo`];
///   [`Metrics::faults`](crate::Metrics::faults) counts it.
///
/// An order applies within one dispatcher; with several, each orders its own share: see
/// [`queue_order`](crate::queue_order#what-holds-and-where).
///
/// # Example
///
/// The lightest job first, and the oldest among equals:
///
/// ```
/// use fanpool::queue_order::{QueueOrder, Queued};
/// use fanpool::{JobId, Pool, handler_fn};
/// use std::collections::BTreeMap;
///
/// struct Lightest<J>(BTreeMap<(u64, JobId), Queued<J>>);
///
/// impl<J: Send + 'static> QueueOrder<J> for Lightest<J> {
///     fn push(&mut self, job: Queued<J>) {
///         self.0.insert((job.weight(), job.id()), job);
///     }
///     fn pop(&mut self) -> Option<Queued<J>> {
///         self.0.pop_first().map(|(_, job)| job)
///     }
///     fn len(&self) -> usize {
///         self.0.len()
///     }
///     fn retain(&mut self, keep: &mut dyn FnMut(&Queued<J>) -> bool) {
///         self.0.retain(|_, job| keep(job));
///     }
/// }
///
/// let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, std::io::Error>(n + 1)))
///     .queue_order(|| Lightest(BTreeMap::new()))
///     .build()?;
/// assert_eq!(pool.run_blocking(41)?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait QueueOrder<J>: Send + 'static {
    /// Adds a job.
    fn push(&mut self, job: Queued<J>);

    /// Takes the next job out. Returns `None` only when empty.
    fn pop(&mut self) -> Option<Queued<J>>;

    /// Returns how many jobs are inside.
    fn len(&self) -> usize;

    /// Shows every job once to `keep`, in any order, and drops those that it refuses.
    fn retain(&mut self, keep: &mut dyn FnMut(&Queued<J>) -> bool);

    /// Adds many jobs, in their order, and leaves `jobs` empty. Override it where this is cheaper than adding one by
    /// one.
    fn append(&mut self, jobs: &mut VecDeque<Queued<J>>) {
        while let Some(job) = jobs.pop_front() {
            self.push(job);
        }
    }

    /// Takes up to `most` jobs out, as repeated `pop` would, and appends them to `out`.
    fn pop_many(&mut self, most: usize, out: &mut VecDeque<Queued<J>>) {
        for _ in 0..most {
            let Some(job) = self.pop() else { break };
            out.push_back(job);
        }
    }

    /// Returns whether no job is inside.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether jobs leave in the order in which they came. If so, the pool need not add all waiting jobs before
    /// it takes the next one.
    fn in_arrival_order(&self) -> bool {
        false
    }

    /// Returns how many jobs of one [key](crate::JobBuilder::key) may wait; `None` means any number. Called once, when
    /// the pool is built; the pool refuses more jobs at submission.
    fn key_bound(&self) -> Option<usize> {
        None
    }

    /// Checks the order's settings. Called once, when the pool is built; [`build`](crate::PoolBuilder::build) returns
    /// the error.
    ///
    /// # Errors
    ///
    /// Returns [`BuildError::Setting`] with the setting, its value and what is allowed.
    fn check(&self) -> Result<(), BuildError> {
        Ok(())
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

    fn key_bound(&self) -> Option<usize> {
        (**self).key_bound()
    }

    fn check(&self) -> Result<(), BuildError> {
        (**self).check()
    }
}

/// Returns the error of `check` for a setting.
fn out_of_range(
    setting: &'static str,
    value: impl Into<String>,
    allowed: impl Into<String>,
) -> Result<(), BuildError> {
    Err(BuildError::Setting {
        setting,
        value: value.into(),
        allowed: allowed.into(),
    })
}
