//! Views of a cell: what its envelope, its handle and the running job see of it.

use super::{Cancellation, Ending, JobError};
use crate::id::{JobId, PoolNumber};
use crate::job::{Job, Options};
use crate::wait::signal::Listener;
use std::any::Any;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Poll, Waker};

/// One slot of a cell, through the view `C`.
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

/// The envelope's view, which knows the job's type but not the outcome's.
pub(crate) trait Tracked<J>: Send + Sync {
    fn is_waiting(&self, at: usize) -> bool;
    /// Returns whether the outcome is there.
    fn is_over(&self, at: usize) -> bool;
    /// Takes the job out for good.
    fn claim(&self, at: usize) -> Option<Job<J>>;
    /// Takes the job out for a look.
    fn lend(&self, at: usize) -> Option<Job<J>>;
    /// Ends the look. Returns the job if it was cancelled meanwhile.
    fn put_back(&self, at: usize, job: Job<J>) -> Option<Job<J>>;
    fn options(&self, at: usize) -> Option<&Options>;
    fn pool(&self) -> PoolNumber;
    fn into_ending(self: Arc<Self>) -> Arc<dyn Settle>;
    /// For the running job and its worker.
    fn into_token(self: Arc<Self>) -> Arc<dyn Token>;
}

/// The view for settling a claimed job without knowing any types.
pub(crate) trait Settle: Send + Sync {
    fn end(&self, at: usize, why: Ending);
}

/// The handle's view, which knows the outcome's types but not the job's.
pub(crate) trait Reply<T, E>: Send + Sync {
    /// Takes the outcome, or registers `waker` to be woken when it is there.
    fn poll(&self, at: usize, waker: &Waker) -> Poll<Result<T, JobError<E>>>;
    /// Does the same without taking the outcome.
    fn watch(&self, at: usize, waker: &Waker) -> Poll<()>;
    fn is_finished(&self, at: usize) -> bool;
    /// Returns how many of these slots there are up to the last one without an outcome.
    fn unfinished(&self, slots: Range<usize>) -> usize;
    fn detach(&self, at: usize);
    fn id(&self, at: usize) -> JobId;
    fn pool(&self) -> PoolNumber;
    fn cancel(&self, at: usize) -> Cancellation;
    /// Takes the outcomes of all these slots, in order and without a lock; nobody else may know the cell. A slot
    /// without an outcome is detached: its job is no longer waited for.
    fn take_all(&mut self, slots: Range<usize>, to: &mut Vec<Result<T, JobError<E>>>);
    fn into_token(self: Arc<Self>) -> Arc<dyn Token>;
}

/// The view without types: to ask a job to stop, to see whether it was asked, and to keep the cell once the job is
/// over.
pub(crate) trait Token: Send + Sync {
    fn id(&self, at: usize) -> JobId;
    fn cancel(&self, at: usize) -> Cancellation;
    fn is_cancelled(&self, at: usize) -> bool;
    fn listen(&self, at: usize) -> Listener;
    fn pool(&self) -> PoolNumber;
    /// Offers a cell whose jobs are over for reuse, if there is a place for it.
    fn recycle(self: Arc<Self>);
    /// For the worker and the recycler, which know the outcome's type.
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
    fn as_any(&self) -> &dyn Any;
}
