//! Many jobs submitted at once, with one handle for all.

use crate::engine::Core;
use crate::engine::self_wait::{For, Stay, poll_unless_stuck};
use crate::gate::{Ticket, Want};
use crate::handle::is_own;
use crate::id::JobId;
use crate::job::Job;
use crate::outcome::cell::{CELL, Cell};
use crate::outcome::recycler::Recycler;
use crate::outcome::registry;
use crate::outcome::views::Reply;
use crate::outcome::{Cancellation, JobError};
use crate::queue::envelope::Queued;
use crate::submit::NoRoom;
use crate::submit::Submitter;
use crate::submit::error::SubmitError;
use crate::sync::panics::dispose;
use crate::time::clock::first;
use crate::wait::park::block_on;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::{Deref, Range};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Waits for the outcomes of a group of jobs: see [`Submitter::submit_all`].
///
/// As a future it gives all outcomes, in the order of the jobs; [`wait`](Self::wait) is its blocking
/// twin. To have each as soon as it and those before it are there, use [`next`](Self::next), iterate
/// over the handle (which blocks), or make it a [`Stream`](Self::into_stream). Outcomes that were taken
/// one by one are not given again.
///
/// Dropping it detaches: the jobs run all the same, and their outcomes are dropped. It does not keep the
/// pool open.
///
/// # Cancel safety
///
/// A handle polled through `&mut handle` loses nothing when the poll is given up.
#[must_use = "dropping a GroupHandle lets the jobs run and their outcomes go unseen"]
pub struct GroupHandle<T, E> {
    /// Of the jobs, [`CELL`] each. None once all outcomes were taken by one poll.
    cells: Vec<Arc<dyn Reply<T, E>>>,
    /// Outcomes that are still to be taken.
    open: Range<usize>,
    /// None of those from here to the end of `open` is waited for any more: they are there.
    there: usize,
    /// Set while a job of the same pool waits here.
    stay: Option<Stay>,
}

/// What became of a group that was cancelled: how many of its jobs met each [`Cancellation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct GroupCancellation {
    /// Never run: [`Cancellation::Removed`].
    pub removed: usize,
    /// Were asked to stop: [`Cancellation::Requested`].
    pub requested: usize,
    /// Had their outcome: [`Cancellation::TooLate`].
    pub too_late: usize,
}

impl<T, E> GroupHandle<T, E> {
    fn new(cells: Vec<Arc<dyn Reply<T, E>>>, jobs: usize) -> Self {
        GroupHandle {
            cells,
            open: 0..jobs,
            there: jobs,
            stay: None,
        }
    }

    /// Blocks until all jobs have their outcome, and gives those that were not taken yet, in order.
    ///
    /// Not for an executor's thread: there, `.await` the handle. Inside a job of the same pool, those
    /// that no other worker is left for give [`JobError::WouldDeadlock`].
    pub fn wait(self) -> Vec<Result<T, JobError<E>>> {
        block_on(self)
    }

    /// Blocks for at most `limit`; gives the handle back when not all jobs are over by then.
    ///
    /// # Errors
    ///
    /// `Err(handle)`: the time is up.
    pub fn wait_timeout(mut self, limit: Duration) -> Result<Vec<Result<T, JobError<E>>>, Self> {
        // Without a pool there is nobody left who could finish a job later: all have their outcome.
        let pool = self.cells.first().map(|cell| cell.pool());
        let Some(home) = pool.and_then(registry::find) else {
            return Ok(self.wait());
        };
        let time_up = home.time().sleep(limit);
        match block_on(first(&mut self, time_up)) {
            Some(outcomes) => Ok(outcomes),
            None => {
                self.stay = None;
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

    /// The outcomes as a [`Stream`](futures_core::Stream), in the order of the jobs.
    pub fn into_stream(self) -> GroupStream<T, E> {
        GroupStream(self)
    }

    /// Takes back all jobs that still wait, and asks those that run to stop.
    ///
    /// Takes each job's lock. Outcomes are to be had as before: jobs that were taken back read
    /// [`JobError::Cancelled`].
    pub fn cancel(&self) -> GroupCancellation {
        let mut all = GroupCancellation::default();
        // Backwards, so that no worker comes upon one while those behind it are being cancelled.
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

    /// How many outcomes are still to be taken.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether all outcomes were taken, or there never was a job.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The numbers of the jobs whose outcomes are still to be taken.
    pub fn ids(&self) -> impl Iterator<Item = JobId> + '_ {
        self.open.clone().map(|at| {
            let (cell, at) = slot(&self.cells, at);
            cell.id(at)
        })
    }

    /// Whether all jobs have their outcome, so that a wait would not wait.
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
        let next = poll_unless_stuck(cell.pool(), For::Progress, &mut self.stay, cx, |cx| {
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

    /// Ready when all are there. Looks from the end, because jobs end about in order: so it is woken
    /// once or twice and not for each.
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
            group.stay = None;
            return Poll::Ready(Vec::new());
        }
        let (cells, open, there) = (&*group.cells, &group.open, &mut group.there);
        let pool = cells[0].pool();
        let all = poll_unless_stuck(pool, For::Progress, &mut group.stay, cx, |cx| {
            Self::poll_all(cells, open, there, cx.waker())
        });
        if all.is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(group.take_all())
    }
}

impl<T, E> GroupHandle<T, E> {
    /// Takes all outcomes. When the wait would never end, those that are not there stay untold.
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

    /// All outcomes were taken.
    fn recycle(&mut self) {
        self.cells
            .drain(..)
            .for_each(|cell| cell.into_token().recycle());
    }
}

/// The cell of a group's job, and the job's slot there.
fn slot<C>(cells: &[C], at: usize) -> (&C::Target, usize)
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

    /// Blocks for each outcome, in the order of the jobs.
    fn into_iter(self) -> GroupIter<T, E> {
        GroupIter(self)
    }
}

/// The outcomes of a group, in the order of its jobs; blocks for each.
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

/// The outcomes of a group as a stream, in the order of its jobs: see [`GroupHandle::into_stream`].
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

/// A group of jobs that was accepted in part, or not at all: see
/// [`submit_all`](crate::Submitter::submit_all).
#[non_exhaustive]
pub struct SubmitAllError<J, T, E> {
    /// The jobs that were accepted, from the first on; they run.
    pub accepted: GroupHandle<T, E>,
    /// Why it ended there, with all other jobs, in order.
    pub refused: SubmitError<Vec<J>>,
}

impl<J, T, E> fmt::Display for SubmitAllError<J, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of the jobs were accepted, then {}",
            self.accepted.len(),
            self.refused
        )
    }
}

impl<J, T, E> fmt::Debug for SubmitAllError<J, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubmitAllError")
            .field("accepted", &self.accepted.len())
            .field("refused", &self.refused)
            .finish()
    }
}

impl<J, T, E> Error for SubmitAllError<J, T, E> {}

/// A group on its way in. Dropping it drops the jobs that were not let in yet, and detaches the others.
struct Entry<'a, J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    core: &'a Core<J>,
    cells: Vec<Arc<Cell<J, T, E>>>,
    /// How many jobs were let in, until there is a handle for them.
    accepted: usize,
    /// Jobs that are still to be let in.
    rest: Range<usize>,
}

impl<'a, J, T, E> Entry<'a, J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn new(core: &'a Core<J>, jobs: impl IntoIterator<Item = J>) -> Self {
        let (cells, jobs) = Recycler::of(&*core.recycler).cells(jobs.into_iter());
        Entry {
            core,
            cells,
            accepted: 0,
            rest: 0..jobs,
        }
    }

    /// For as many as there is room for.
    fn want(&self) -> Want {
        Want::jobs(self.rest.len() as u64)
    }

    fn admit(&mut self, tickets: Range<Ticket>) {
        let mut ticket = tickets.start;
        let bundles = std::iter::from_fn(|| {
            let left = (tickets.end - ticket) as usize;
            let (cell, first) = (self.rest.start / CELL, self.rest.start % CELL);
            let slots = first..(first + left).min(CELL);
            let cell = self.cells.get(cell).filter(|_| left > 0)?;
            let id = cell.number_all(slots.clone(), ticket);
            ticket += slots.len() as u64;
            self.accepted += slots.len();
            self.rest.start += slots.len();
            Some(Queued::bundle(id, cell.clone(), slots))
        });
        self.core.admit_all(bundles);
    }

    /// Takes a job back that was not let in.
    fn withdraw(&self, at: usize) -> Option<Job<J>> {
        let (cell, at) = slot(&self.cells, at);
        cell.withdraw(at)
    }

    fn accepted(&mut self) -> GroupHandle<T, E> {
        let reply = |cell: &Arc<_>| -> Arc<dyn Reply<T, E>> { Arc::<Cell<J, T, E>>::clone(cell) };
        let cells = self.cells.iter().map(reply).collect();
        GroupHandle::new(cells, std::mem::take(&mut self.accepted))
    }

    fn refused(&mut self, why: NoRoom) -> SubmitAllError<J, T, E> {
        let accepted = self.accepted();
        self.core.counts.refused(self.rest.len() as u64);
        let jobs = self.rest.clone().filter_map(|at| self.withdraw(at));
        let jobs = jobs.map(Job::into_inner).collect();
        self.rest.start = self.rest.end;
        SubmitAllError {
            accepted,
            refused: why.with(jobs),
        }
    }
}

impl<J, T, E> Drop for Entry<'_, J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn drop(&mut self) {
        if self.accepted > 0 {
            // Or the outcomes would be dropped with the cell, by a worker, uncontained.
            drop(self.accepted());
        }
        for at in self.rest.clone() {
            dispose(self.withdraw(at));
        }
    }
}

/// # Many jobs at once
impl<J, T, E> Submitter<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    /// Submits all jobs, waiting for room as often as it takes, and gives one handle for all of them.
    ///
    /// The jobs are collected before the first is submitted; for more than memory should hold, use
    /// [`map`](Self::map). They need no room together: a group may be larger than the queue. Memory
    /// for about a thousand jobs of groups stays with the pool once they were there; beyond, each 64 jobs cost two
    /// allocations.
    ///
    /// # Errors
    ///
    /// When one is refused (the pool was closed meanwhile), it comes back with all after it; those before
    /// it are accepted and run, and the error has their handle.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, jobs that were accepted run, and the others are dropped.
    ///
    /// ```
    /// use fanpool::{Pool, handler_fn};
    ///
    /// let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, std::io::Error>(n * n))).build()?;
    /// let squares = pool.submit_all_blocking(1..=3)?;
    /// let squares: Result<Vec<u64>, _> = squares.wait().into_iter().collect();
    /// assert_eq!(squares?, [1, 4, 9]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn submit_all<I>(
        &self,
        jobs: I,
    ) -> impl Future<Output = Result<GroupHandle<T, E>, SubmitAllError<J, T, E>>>
    where
        I: IntoIterator<Item = J>,
    {
        let mut group = Entry::new(self.core(), jobs);
        async move {
            while !group.rest.is_empty() {
                match group.core.enter(group.want()).await {
                    Ok(tickets) => group.admit(tickets),
                    Err(why) => return Err(group.refused(why)),
                }
            }
            Ok(group.accepted())
        }
    }

    /// Blocking twin of [`submit_all`](Self::submit_all).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn submit_all_blocking(
        &self,
        jobs: impl IntoIterator<Item = J>,
    ) -> Result<GroupHandle<T, E>, SubmitAllError<J, T, E>> {
        let mut group = Entry::new(self.core(), jobs);
        while !group.rest.is_empty() {
            match group.core.enter_blocking(group.want()) {
                Ok(tickets) => group.admit(tickets),
                Err(why) => return Err(group.refused(why)),
            }
        }
        Ok(group.accepted())
    }

    /// Submits as many of the jobs as there is room for now.
    ///
    /// # Errors
    ///
    /// When there is not room for all: [`SubmitError::Full`](crate::SubmitError::Full) with the rest,
    /// and the handle of those that were accepted.
    pub fn try_submit_all(
        &self,
        jobs: impl IntoIterator<Item = J>,
    ) -> Result<GroupHandle<T, E>, SubmitAllError<J, T, E>> {
        let mut group = Entry::new(self.core(), jobs);
        while !group.rest.is_empty() {
            match group.core.try_enter(group.want()) {
                Ok(tickets) => group.admit(tickets),
                Err(why) => return Err(group.refused(why)),
            }
        }
        Ok(group.accepted())
    }
}
