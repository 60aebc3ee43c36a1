//! Cells for new jobs: a used cell if there is one, else a new one.
//!
//! - Each thread keeps the last cell it put down *at hand*, without any lock.
//! - Others may still share that cell: the worker that published the outcome and is about to let go of it, and the
//!   owner of a [`CancelHandle`](crate::CancelHandle) or [`JobContext`](crate::JobContext) of the old job. So a cell is
//!   reused only when nobody else has a share (`Arc::get_mut`): then nobody is left who could take the new job for the
//!   old one.
//! - The cell that a thread has at hand when its pool goes stays there, empty, until the thread puts down another.

use super::cell::{CELL, Cell};
use super::recycler::{AnyRecycler, Recycler, Stripes};
use super::views::Token;
use crate::id::PoolNumber;
use crate::job::Job;
use crate::sync::fault::{Fault, seeded};
use crate::sync::local;
use std::cell::RefCell;
use std::sync::Arc;

/// Cells are kept for at most this many jobs of groups, because a group may be larger than the queue.
const GROUPED: usize = 1024;

local! { static AT_HAND: RefCell<Option<Arc<dyn Token>>> = RefCell::new(None); }

/// Keeps the cell of a job whose outcome was taken. The thread may go on with another pool's cells.
pub(crate) fn put_down(cell: Arc<dyn Token>) {
    let mut cell = Some(cell);
    let _ = AT_HAND.try_with(|at_hand| {
        let last = std::mem::replace(&mut *at_hand.borrow_mut(), cell.take());
        cell = last;
    });
    if let Some(last) = cell {
        last.recycle();
    }
}

impl<J, T, E> Recycler<Cell<J, T, E>>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    /// Keeps up to about `most` cells of single jobs.
    pub(crate) fn new(pool: PoolNumber, most: usize) -> Arc<Self> {
        Arc::new_cyclic(|me| Recycler {
            pool,
            singles: Stripes::new(most),
            groups: Stripes::new(GROUPED / CELL),
            me: me.clone(),
        })
    }

    /// Returns the recycler of a pool whose cells are known to have these types.
    pub(crate) fn of(recycler: &dyn AnyRecycler) -> &Self {
        let recycler = recycler.as_any().downcast_ref();
        recycler.expect("a pool's cells have its handlers' types")
    }

    /// Returns a cell with this job: a used one, or a new one.
    pub(crate) fn cell(&self, job: Job<J>) -> Arc<Cell<J, T, E>> {
        let kept = match self.take_at_hand() {
            None => self.singles.take(),
            cell => cell,
        };
        match kept {
            Some(mut cell) => match Arc::get_mut(&mut cell) {
                Some(own) => {
                    own.use_again(job);
                    cell
                }
                None if seeded(Fault::SharedAgain) => {
                    cell.use_shared(job);
                    cell
                }
                None => {
                    self.singles.put_below(cell);
                    self.make(job)
                }
            },
            None => self.make(job),
        }
    }

    #[cold]
    fn make(&self, job: Job<J>) -> Arc<Cell<J, T, E>> {
        Cell::new(self.pool, job, self.me.upgrade())
    }

    /// Returns cells with these jobs, [`CELL`] in each but the last, and the number of jobs.
    pub(crate) fn cells(&self, jobs: impl Iterator<Item = J>) -> (Vec<Arc<Cell<J, T, E>>>, usize) {
        // A group that no memory could hold panics, as with any collection, instead of aborting the process.
        let mut cells = Vec::new();
        let reserved = cells.try_reserve(jobs.size_hint().0.div_ceil(CELL));
        reserved.expect("a group of so many jobs does not fit into memory");
        let mut count = 0;
        let jobs = jobs.map(Job::new).inspect(|_| count += 1);
        // Fused: the first missing job is the end, even if the iterator would go on after it.
        let mut jobs = jobs.fuse().peekable();
        while jobs.peek().is_some() {
            cells.push(self.cell_of_some(jobs.by_ref().take(CELL)));
        }
        drop(jobs);
        (cells, count)
    }

    fn cell_of_some(&self, jobs: impl Iterator<Item = Job<J>>) -> Arc<Cell<J, T, E>> {
        if let Some(mut cell) = self.groups.take() {
            if let Some(own) = Arc::get_mut(&mut cell) {
                own.use_again_for_some(jobs);
                return cell;
            }
            self.groups.put_below(cell);
        }
        Cell::group(self.pool, jobs, self.me.upgrade())
    }

    fn take_at_hand(&self) -> Option<Arc<Cell<J, T, E>>> {
        let cell = AT_HAND.try_with(|at_hand| at_hand.borrow_mut().take());
        let cell = cell.ok().flatten()?;
        if cell.pool() == self.pool {
            return cell.into_any().downcast().ok();
        }
        cell.recycle();
        None
    }
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests {
    use super::*;
    use crate::outcome::JobError;
    use crate::outcome::recycler::Stripe;
    use crate::sync::Padded;
    use std::task::Waker;

    type Kept = Arc<Cell<u64, u64, String>>;

    /// A cell whose job has run and whose outcome was taken.
    fn over(cell: Kept) -> Kept {
        use crate::outcome::views::{Reply, Tracked};
        assert!(cell.claim(0).is_some());
        cell.finish(0, Ok::<_, JobError<String>>(1));
        assert!(Reply::poll(&*cell, 0, Waker::noop()).is_ready());
        cell
    }

    fn kept(recycler: &Recycler<Cell<u64, u64, String>>) -> usize {
        let kept = |stripe: &Padded<Stripe<_>>| stripe.cells.lock().as_ref().map(Vec::len);
        let stripes = recycler
            .singles
            .stripes
            .iter()
            .chain(&recycler.groups.stripes);
        stripes.filter_map(kept).sum()
    }

    #[test]
    fn as_many_cells_are_kept_as_was_said_and_none_once_the_pool_has_gone() {
        let recycler = Recycler::<Cell<u64, u64, String>>::new(PoolNumber::MIN, 8);
        let cells: Vec<_> = (0..100).map(|n| over(recycler.cell(Job::new(n)))).collect();
        cells.into_iter().for_each(|cell| put_down(cell));
        assert_eq!(kept(&recycler), 8, "and one at hand");
        let again: Vec<_> = (0..9).map(|n| recycler.cell(Job::new(n))).collect();
        assert_eq!(kept(&recycler), 0);
        recycler.close();
        again.into_iter().for_each(|cell| over(cell).recycle());
        assert_eq!(kept(&recycler), 0);
    }

    #[test]
    fn a_cell_that_somebody_shares_waits_until_it_is_shared_no_more() {
        let recycler = Recycler::<Cell<u64, u64, String>>::new(PoolNumber::MIN, 8);
        let shared = over(recycler.cell(Job::new(1)));
        put_down(shared.clone());
        let other = recycler.cell(Job::new(2));
        assert!(!Arc::ptr_eq(&shared, &other));
        assert_eq!(kept(&recycler), 1, "for later");
        let place = Arc::as_ptr(&shared);
        drop(shared);
        assert_eq!(Arc::as_ptr(&recycler.cell(Job::new(3))), place);
    }

    #[test]
    fn a_groups_full_cells_are_used_again_but_not_while_somebody_shares_them() {
        use crate::outcome::views::{Reply, Tracked};
        let recycler = Recycler::<Cell<u64, u64, String>>::new(PoolNumber::MIN, 8);
        let jobs = CELL as u64 + 1;
        let over = |cell: &Kept| {
            for at in 0..cell.len() {
                assert!(cell.claim(at).is_some());
                cell.finish(at, Ok(1));
                assert!(Reply::poll(&**cell, at, Waker::noop()).is_ready());
            }
        };
        let (cells, count) = recycler.cells(0..jobs);
        assert_eq!((cells.len(), count), (2, CELL + 1));
        cells.iter().for_each(over);
        let shared = cells[0].clone();
        cells.into_iter().for_each(|cell| cell.recycle());
        let (other, _) = recycler.cells(0..jobs);
        assert!(!Arc::ptr_eq(&shared, &other[0]));
        let place = Arc::as_ptr(&shared);
        drop(shared);
        // A group that fills only some of the slots.
        let (again, count) = recycler.cells(0..3);
        assert_eq!((Arc::as_ptr(&again[0]), count), (place, 3));
        assert!(again[0].claim(2).is_some() && again[0].claim(3).is_none());
    }
}
