//! Many jobs submitted at once, with one handle for all.

use crate::engine::Core;
use crate::gate::{Ticket, Want};
use crate::job::Job;
use crate::outcome::cell::{CELL, Cell};
use crate::outcome::recycler::Recycler;
use crate::outcome::views::Reply;
use crate::queue::envelope::Queued;
use crate::submit::Submitter;
use crate::submit::error::SubmitError;
use crate::submit::group_handle::{GroupHandle, slot};
use crate::submit::room::NoRoom;
use crate::sync::panics::dispose;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

/// The error of a group that was accepted in part, or not at all: see [`submit_all`](crate::Submitter::submit_all).
#[non_exhaustive]
pub struct SubmitAllError<J, T, E> {
    /// The jobs that were accepted, from the first on; they run.
    pub accepted: GroupHandle<T, E>,
    /// Why it ended there, with all other jobs in order.
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

/// A group on its way in. Dropping it drops the jobs not let in yet, and detaches the others.
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

    /// Asks for as much room as there is, up to the rest of the group.
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
            // Otherwise a worker would drop the outcomes with the cell, uncontained.
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
    /// Submits all jobs, waiting for room as often as it takes, and returns one handle for all of them.
    ///
    /// The jobs are collected before the first is submitted; for more than memory should hold, use [`map`](Self::map).
    /// They need no room together: a group may be larger than the queue. The pool keeps memory for about a thousand
    /// jobs of earlier groups; beyond that, every 64 jobs cost two allocations.
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
    ///
    /// # Errors
    ///
    /// When a job is refused because the pool was closed meanwhile, it comes back with all jobs after it. The jobs
    /// before it are accepted and run, and the error has their handle.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, accepted jobs run and the others are dropped.
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
    /// Without room for all, returns [`SubmitError::Full`](crate::SubmitError::Full) with the rest, and the handle of
    /// the accepted jobs.
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
