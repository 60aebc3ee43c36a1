//! The handle of a group: waits for all outcomes, or takes them one by one.

use crate::engine::self_wait::{For, SelfWait, poll_unless_stuck};
use crate::handle::is_own;
use crate::id::JobId;
use crate::outcome::cell::CELL;
use crate::outcome::views::Reply;
use crate::outcome::{Cancellation, JobError, registry};
use crate::time::timers::first;
use crate::wait::park::block_on;
use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::{Deref, Range};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Waits for the outcomes of a group of jobs: see [`submit_all`](crate::Submitter::submit_all).
///
/// As a future it gives all outcomes, in the order of the jobs; [`wait`](Self::wait) is its blocking twin. To get each
/// outcome as soon as it and those before it are there, call [`next`](Self::next), iterate over the handle (which
/// blocks), or make it a [`Stream`](Self::into_stream). Outcomes taken one by one are not given again.
///
/// Dropping it detaches: the jobs still run, and their outcomes are dropped. It does not keep the pool open.
///
/// # Cancel safety
///
/// A handle polled through `&mut handle` loses nothing when the poll is given up.
#[must_use = "dropping a GroupHandle lets the jobs run and their outcomes go unseen"]
pub struct GroupHandle<T, E> {
    /// The jobs' cells, [`CELL`] jobs each. Empty once one poll took all outcomes.
    cells: Vec<Arc<dyn Reply<T, E>>>,
    /// Outcomes still to be taken.
    open: Range<usize>,
    /// The outcomes from here to the end of `open` are there, and no longer waited for.
    there: usize,
    /// Set while a job of the same pool waits here.
    self_wait: Option<SelfWait>,
}

/// Counts how many jobs of a cancelled group met each [`Cancellation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct GroupCancellation {
    /// Jobs that never run: [`Cancellation::Removed`].
    pub removed: usize,
    /// Jobs that were asked to stop: [`Cancellation::Requested`].
    pub requested: usize,
    /// Jobs that had their outcome: [`Cancellation::TooLate`].
    pub too_late: usize,
}

impl<T, E> GroupHandle<T, E> {
    pub(super) fn new(cells: Vec<Arc<dyn Reply<T, E>>>, jobs: usize) -> Self {
        GroupHandle {
            cells,
            open: 0..jobs,
            there: jobs,
            self_wait: None,
        }
    }

    /// Blocks until all jobs have their outcome, and returns the outcomes not taken yet, in order.
    ///
    /// Not for an executor's thread: there, `.await` the handle. Inside a job of the same pool, jobs that no other
    /// worker is left to run give [`JobError::WouldDeadlock`].
    pub fn wait(self) -> Vec<Result<T, JobError<E>>> {
        block_on(self)
    }

    /// Blocks for at most `limit`, and returns the handle if not all jobs are over by then.
    ///
    /// # Errors
    ///
    /// `Err(handle)`: the time is up.
    pub fn wait_timeout(mut self, limit: Duration) -> Result<Vec<Result<T, JobError<E>>>, Self> {
        // Without a pool nothing could finish a job later: all have their outcome.
        let pool = self.cells.first().map(|cell| cell.pool());
        let Some(home) = pool.and_then(registry::find) else {
            return Ok(self.wait());
        };
        let time_up = home.time().sleep(limit);
        match block_on(first(&mut self, time_up)) {
            Some(outcomes) => Ok(outcomes),
            None => {
                self.self_wait = None;
                Err(self)
            }
        }
    }

    /// Waits for the next outcome, in the order of the jobs; `None` when all were taken.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no outcome.
    pub async fn next(&mut self) -> Option<Result<T, JobError<E>>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Blocking twin of [`next`](Self::next).
    pub fn next_blocking(&mut self) -> Option<Result<T, JobError<E>>> {
        block_on(self.next())
    }

    /// Returns the outcomes as a [`Stream`](futures_core::Stream), in the order of the jobs.
    pub fn into_stream(self) -> GroupStream<T, E> {
        GroupStream(self)
    }

    /// Takes back all jobs that still wait, and asks the running ones to stop.
    ///
    /// The handle still gives their outcomes; a job that was taken back reads [`JobError::Cancelled`]. Takes each job's
    /// lock.
    pub fn cancel(&self) -> GroupCancellation {
        let mut all = GroupCancellation::default();
        // Backwards, so that no worker reaches one while those behind it are being cancelled.
        for at in self.open.clone().rev() {
            let (cell, at) = slot(&self.cells, at);
            match cell.cancel(at) {
                Cancellation::Removed => all.removed += 1,
                Cancellation::Requested => all.requested += 1,
                Cancellation::TooLate => all.too_late += 1,
            }
        }
        all
    }

    /// Returns how many outcomes are still to be taken.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Returns whether all outcomes were taken, or there never was a job.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Returns the numbers of the jobs whose outcomes are still to be taken.
    pub fn ids(&self) -> impl Iterator<Item = JobId> + '_ {
        self.open.clone().map(|at| {
            let (cell, at) = slot(&self.cells, at);
            cell.id(at)
        })
    }

    /// Returns whether all jobs have their outcome, so that a wait would not wait.
    pub fn is_finished(&self) -> bool {
        self.open.clone().rev().all(|at| {
            let (cell, at) = slot(&self.cells, at);
            cell.is_finished(at)
        })
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JobError<E>>>> {
        if self.open.is_empty() {
            return Poll::Ready(None);
        }
        let (cell, at) = slot(&self.cells, self.open.start);
        if is_own(cell, at) {
            cell.detach(at);
            self.open.start += 1;
            return Poll::Ready(Some(Err(JobError::WouldDeadlock)));
        }
        let next = poll_unless_stuck(cell.pool(), For::Progress, &mut self.self_wait, cx, |cx| {
            cell.poll(at, cx.waker())
        });
        next.map(|outcome| {
            self.open.start += 1;
            if outcome.is_err() {
                cell.detach(at);
            }
            Some(outcome.unwrap_or(Err(JobError::WouldDeadlock)))
        })
    }

    /// Ready when all outcomes are there. Starts from the end, since jobs end about in order: so it wakes once or
    /// twice, and not for each job.
    fn poll_all(
        cells: &[Arc<dyn Reply<T, E>>],
        open: &Range<usize>,
        there: &mut usize,
        waker: &Waker,
    ) -> Poll<()> {
        while *there > open.start {
            let (cell, last) = slot(cells, *there - 1);
            let slots = last.saturating_sub(*there - 1 - open.start)..last + 1;
            let finished = slots.len() - cell.unfinished(slots.clone());
            *there -= finished;
            if finished == slots.len() {
                continue;
            }
            let last = last - finished;
            if !is_own(cell, last) && cell.watch(last, waker).is_pending() {
                return Poll::Pending;
            }
            *there -= 1;
        }
        Poll::Ready(())
    }
}

impl<T, E> Future for GroupHandle<T, E> {
    type Output = Vec<Result<T, JobError<E>>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let group = self.get_mut();
        if group.open.is_empty() {
            group.self_wait = None;
            return Poll::Ready(Vec::new());
        }
        let (cells, open, there) = (&*group.cells, &group.open, &mut group.there);
        let pool = cells[0].pool();
        let all = poll_unless_stuck(pool, For::Progress, &mut group.self_wait, cx, |cx| {
            Self::poll_all(cells, open, there, cx.waker())
        });
        if all.is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(group.take_all())
    }
}

impl<T, E> GroupHandle<T, E> {
    /// Takes all outcomes. When the wait would never end, the missing ones read `WouldDeadlock`.
    fn take_all(&mut self) -> Vec<Result<T, JobError<E>>> {
        let mut outcomes = Vec::with_capacity(self.open.len());
        while !self.open.is_empty() {
            let first = self.open.start;
            let end = self.open.end.min((first / CELL + 1) * CELL);
            let slots = first % CELL..first % CELL + (end - first);
            let cell = &mut self.cells[first / CELL];
            if let Some(own) = Arc::get_mut(cell) {
                own.take_all(slots, &mut outcomes);
            } else {
                outcomes.extend(slots.map(|at| match cell.poll(at, Waker::noop()) {
                    Poll::Ready(outcome) => outcome,
                    Poll::Pending => {
                        cell.detach(at);
                        Err(JobError::WouldDeadlock)
                    }
                }));
            }
            self.open.start = end;
        }
        self.recycle();
        outcomes
    }

    /// Called when all outcomes were taken.
    fn recycle(&mut self) {
        self.cells
            .drain(..)
            .for_each(|cell| cell.into_token().recycle());
    }
}

/// The cell of a group's job, and the job's slot there.
pub(super) fn slot<C>(cells: &[C], at: usize) -> (&C::Target, usize)
where
    C: Deref,
{
    (&cells[at / CELL], at % CELL)
}

impl<T, E> Drop for GroupHandle<T, E> {
    fn drop(&mut self) {
        for at in self.open.clone() {
            let (cell, at) = slot(&self.cells, at);
            cell.detach(at);
        }
        if self.open.is_empty() {
            self.recycle();
        }
    }
}

impl<T, E> fmt::Debug for GroupHandle<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupHandle")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl<T, E> IntoIterator for GroupHandle<T, E> {
    type Item = Result<T, JobError<E>>;
    type IntoIter = GroupIter<T, E>;

    /// Returns an iterator that blocks for each outcome, in the order of the jobs.
    fn into_iter(self) -> GroupIter<T, E> {
        GroupIter(self)
    }
}

/// Gives the outcomes of a group in the order of its jobs, and blocks for each.
#[derive(Debug)]
pub struct GroupIter<T, E>(GroupHandle<T, E>);

impl<T, E> Iterator for GroupIter<T, E> {
    type Item = Result<T, JobError<E>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next_blocking()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl<T, E> ExactSizeIterator for GroupIter<T, E> {}

/// Gives the outcomes of a group as a stream, in the order of its jobs: see [`GroupHandle::into_stream`].
#[derive(Debug)]
pub struct GroupStream<T, E>(GroupHandle<T, E>);

impl<T, E> futures_core::Stream for GroupStream<T, E> {
    type Item = Result<T, JobError<E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().0.poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}
