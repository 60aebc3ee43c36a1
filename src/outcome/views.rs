//! A cell as each of those sees it who have a share in it: its envelope, its handle, the job that runs.

use super::{Cancellation, Ending, JobError};
use crate::id::{JobId, PoolNumber};
use crate::job::{Job, Options};
use crate::wait::signal::Listener;
use std::any::Any;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Poll, Waker};

/// One slot of a cell, seen from whichever side `C` is.
pub(crate) struct At<C: ?Sized> {
    pub(crate) cell: Arc<C>,
    pub(crate) at: usize,
}

impl<C: ?Sized> Clone for At<C> {
    fn clone(&self) -> Self {
        At {
            cell: self.cell.clone(),
            at: self.at,
        }
    }
}

/// A cell as its envelopes see it, which know the job's type but not the outcome's.
pub(crate) trait Tracked<J>: Send + Sync {
    fn is_waiting(&self, at: usize) -> bool;
    /// Whether the outcome is there.
    fn is_over(&self, at: usize) -> bool;
    /// Takes the job out for good.
    fn claim(&self, at: usize) -> Option<Job<J>>;
    /// Takes the job out for a look.
    fn lend(&self, at: usize) -> Option<Job<J>>;
    /// Ends the look. A job that comes back was cancelled meanwhile.
    fn put_back(&self, at: usize, job: Job<J>) -> Option<Job<J>>;
    fn options(&self, at: usize) -> Option<&Options>;
    fn pool(&self) -> PoolNumber;
    fn into_ending(self: Arc<Self>) -> Arc<dyn Settle>;
    /// For the job that runs, and its worker.
    fn into_token(self: Arc<Self>) -> Arc<dyn Token>;
}

/// A cell with a job that was claimed, by somebody who knows no types.
pub(crate) trait Settle: Send + Sync {
    fn end(&self, at: usize, why: Ending);
}

/// A cell as its handle sees it, which knows the outcomes' types but not the jobs'.
pub(crate) trait Reply<T, E>: Send + Sync {
    /// Takes the outcome, or sees to it that `waker` is woken when it is there.
    fn poll(&self, at: usize, waker: &Waker) -> Poll<Result<T, JobError<E>>>;
    /// The same without taking it.
    fn watch(&self, at: usize, waker: &Waker) -> Poll<()>;
    fn is_finished(&self, at: usize) -> bool;
    /// How many of these slots there are up to the last one without an outcome.
    fn unfinished(&self, slots: Range<usize>) -> usize;
    fn detach(&self, at: usize);
    fn id(&self, at: usize) -> JobId;
    fn pool(&self) -> PoolNumber;
    fn cancel(&self, at: usize) -> Cancellation;
    /// Takes the outcomes of all these slots, in order, when nobody else knows the cell: without a lock.
    /// The job of a slot without one is not waited for any more.
    fn take_all(&mut self, slots: Range<usize>, to: &mut Vec<Result<T, JobError<E>>>);
    fn into_token(self: Arc<Self>) -> Arc<dyn Token>;
}

/// A cell without types: a way to ask a job to stop, and to be asked; and when the job is over, to be kept.
pub(crate) trait Token: Send + Sync {
    fn id(&self, at: usize) -> JobId;
    fn cancel(&self, at: usize) -> Cancellation;
    fn is_cancelled(&self, at: usize) -> bool;
    fn listen(&self, at: usize) -> Listener;
    fn pool(&self) -> PoolNumber;
    /// Puts a cell whose jobs are over where it is used again, if there is such a place.
    fn recycle(self: Arc<Self>);
    /// For the worker and the recycler, who know the outcome's type.
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
    fn as_any(&self) -> &dyn Any;
}
