//! Cells that are over, kept for the jobs to come: so a job with a handle costs no allocation once the pool
//! is in its stride.
//!
//! A handle that gave its outcome puts its cell here, and a submission takes one; the last cell that a thread
//! put down stays at hand there, without any lock. The worker that published
//! the outcome may still be about to let go of the cell, and whoever keeps a
//! [`CancelHandle`](crate::CancelHandle) or a [`JobContext`](crate::JobContext) of that job has a share in it,
//! too. So a cell is used again only when the shelf has the sole share (`Arc::get_mut`): then nobody is
//! left who could take the new job for the old one.
//!
//! A cell knows its shelf and the shelf holds cells; this circle is broken when the pool goes, which closes
//! the shelf. What is at a thread's hand then stays there, empty, until the thread puts down another one.

use crate::cell::{CELL, Cell, Token};
use crate::core::Core;
use crate::fault::{Fault, seeded};
use crate::job::Job;
use crate::registry::PoolNumber;
use crate::spinlock::SpinLock;
use crate::sync::atomic::{AtomicUsize, Ordering::*};
use crate::sync::{Padded, local};
use std::any::Any;
use std::cell::RefCell;
use std::sync::{Arc, Weak};

/// So that threads seldom meet.
const STRIPES: usize = if cfg!(any(fanpool_loom, fanpool_shuttle)) {
    1
} else {
    4
};

/// For so many jobs of groups, cells are kept at most: a group may be larger than the queue.
const GROUPED: usize = 1024;

/// A shelf, for those who do not know the outcomes' types.
pub(crate) trait Shelved: Send + Sync {
    fn close(&self);
    fn as_any(&self) -> &dyn Any;
}

pub(crate) struct Shelf<J, T, E> {
    pool: PoolNumber,
    /// Of one job each.
    singles: Stripes<J, T, E>,
    /// Of [`CELL`] jobs of a group.
    groups: Stripes<J, T, E>,
    me: Weak<Self>,
}

struct Stripes<J, T, E> {
    stripes: [Padded<Stripe<J, T, E>>; STRIPES],
    /// How many cells a stripe keeps at most.
    most: usize,
}

struct Stripe<J, T, E> {
    /// About how many there are: written under the lock.
    about: AtomicUsize,
    /// Only tried, never waited for: to make a cell, or free it, is quicker than to sleep. `None`: closed.
    cells: SpinLock<Option<Vec<Arc<Cell<J, T, E>>>>>,
}

local! { static AT_HAND: RefCell<Option<Arc<dyn Token>>> = RefCell::new(None); }

/// The outcome of the cell's job was taken, and its handle goes. The thread may go on with another pool's.
pub(crate) fn put_down(cell: Arc<dyn Token>) {
    let mut cell = Some(cell);
    let _ = AT_HAND.try_with(|at_hand| {
        let last = std::mem::replace(&mut *at_hand.borrow_mut(), cell.take());
        cell = last;
    });
    if let Some(last) = cell {
        last.shelve();
    }
}

local! { static OWN: std::cell::Cell<usize> = std::cell::Cell::new(usize::MAX); }

/// The stripe that the current thread looks at first.
fn own_stripe() -> usize {
    // A plain counter, whatever the model checker: the numbers mean nothing.
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    OWN.try_with(|own| {
        if own.get() == usize::MAX {
            own.set(NEXT.fetch_add(1, Relaxed) % STRIPES);
        }
        own.get()
    })
    .unwrap_or(0)
}

impl<J, T, E> Shelf<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    /// For up to about so many jobs that have cells of their own.
    pub(crate) fn new(pool: PoolNumber, most: usize) -> Arc<Self> {
        Arc::new_cyclic(|me| Shelf {
            pool,
            singles: Stripes::new(most),
            groups: Stripes::new(GROUPED / CELL),
            me: me.clone(),
        })
    }

    /// The shelf of a pool whose cells are known to be of these types.
    pub(crate) fn of(core: &Core<J>) -> &Self {
        let shelf = core.shelf.as_any().downcast_ref();
        shelf.expect("a pool's cells have its handlers' types")
    }

    /// A cell with this job: one that is over, or a new one.
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

    /// Cells with these jobs, [`CELL`] in each but the last, and how many jobs there are.
    pub(crate) fn cells(&self, jobs: impl Iterator<Item = J>) -> (Vec<Arc<Cell<J, T, E>>>, usize) {
        // What no memory could hold is a panic, as with any collection, and not the process's end.
        let mut cells = Vec::new();
        let reserved = cells.try_reserve(jobs.size_hint().0.div_ceil(CELL));
        reserved.expect("a group of so many jobs does not fit into memory");
        let mut count = 0;
        let jobs = jobs.map(Job::new).inspect(|_| count += 1);
        // Fused: the first that is missing is the end, also of an iterator that would go on after it.
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
        cell.shelve();
        None
    }

    /// Keeps a cell that is over, if there is room for it.
    pub(crate) fn put(&self, cell: Arc<Cell<J, T, E>>) {
        match cell.len() {
            1 => self.singles.put(cell),
            CELL => self.groups.put(cell),
            // The rest of a group.
            _ => {}
        }
    }
}

impl<J, T, E> Stripes<J, T, E> {
    /// For up to about `most` cells.
    fn new(most: usize) -> Self {
        let stripe = |_| Stripe {
            about: AtomicUsize::new(0),
            cells: SpinLock::new(Some(Vec::new())),
        };
        Stripes {
            stripes: std::array::from_fn(|at| Padded(stripe(at))),
            most: most.div_ceil(STRIPES),
        }
    }

    fn take(&self) -> Option<Arc<Cell<J, T, E>>> {
        let own = own_stripe();
        for at in own..own + STRIPES {
            let stripe = &self.stripes[at % STRIPES];
            if stripe.about.load(Relaxed) > 0 {
                let cell = stripe.take();
                if cell.is_some() {
                    return cell;
                }
            }
        }
        None
    }

    fn put(&self, cell: Arc<Cell<J, T, E>>) {
        self.keep(cell, false);
    }

    /// Keeps one that somebody has a share in: its turn is after the others'.
    #[cold]
    fn put_below(&self, cell: Arc<Cell<J, T, E>>) {
        self.keep(cell, true);
    }

    /// One that finds no place is dropped.
    fn keep(&self, cell: Arc<Cell<J, T, E>>, below: bool) {
        let own = own_stripe();
        for at in own..own + STRIPES {
            let stripe = &self.stripes[at % STRIPES];
            if stripe.about.load(Relaxed) < self.most {
                return stripe.keep(cell, below);
            }
        }
    }

    fn close(&self) {
        for stripe in &self.stripes {
            let cells = stripe.cells.lock().take();
            drop(cells);
        }
    }
}

impl<J, T, E> Stripe<J, T, E> {
    fn take(&self) -> Option<Arc<Cell<J, T, E>>> {
        let mut cells = self.cells.try_lock()?;
        let cells = cells.as_mut()?;
        let cell = cells.pop();
        self.about.store(cells.len(), Relaxed);
        cell
    }

    fn keep(&self, cell: Arc<Cell<J, T, E>>, below: bool) {
        let Some(mut cells) = self.cells.try_lock() else {
            return;
        };
        if let Some(cells) = &mut *cells {
            let last = cells.len();
            cells.push(cell);
            if below {
                cells.swap(0, last);
            }
            self.about.store(cells.len(), Relaxed);
        }
    }
}

impl<J, T, E> Shelved for Shelf<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn close(&self) {
        self.singles.close();
        self.groups.close();
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests {
    use super::*;
    use crate::outcome::JobError;
    use std::task::Waker;

    type Kept = Arc<Cell<u64, u64, String>>;

    /// Has run its job, and the outcome was taken.
    fn over(cell: Kept) -> Kept {
        use crate::cell::{Reply, Tracked};
        assert!(cell.claim(0).is_some());
        cell.finish(0, Ok::<_, JobError<String>>(1));
        assert!(Reply::poll(&*cell, 0, Waker::noop()).is_ready());
        cell
    }

    fn kept(shelf: &Shelf<u64, u64, String>) -> usize {
        let kept = |stripe: &Padded<Stripe<_, _, _>>| stripe.cells.lock().as_ref().map(Vec::len);
        let stripes = shelf.singles.stripes.iter().chain(&shelf.groups.stripes);
        stripes.filter_map(kept).sum()
    }

    #[test]
    fn as_many_cells_are_kept_as_was_said_and_none_once_the_pool_has_gone() {
        let shelf = Shelf::<u64, u64, String>::new(PoolNumber::MIN, 8);
        let cells: Vec<_> = (0..100).map(|n| over(shelf.cell(Job::new(n)))).collect();
        cells.into_iter().for_each(|cell| put_down(cell));
        assert_eq!(kept(&shelf), 8, "and one at hand");
        let again: Vec<_> = (0..9).map(|n| shelf.cell(Job::new(n))).collect();
        assert_eq!(kept(&shelf), 0);
        shelf.close();
        again.into_iter().for_each(|cell| over(cell).shelve());
        assert_eq!(kept(&shelf), 0);
    }

    #[test]
    fn a_cell_that_somebody_shares_waits_until_it_is_shared_no_more() {
        let shelf = Shelf::<u64, u64, String>::new(PoolNumber::MIN, 8);
        let shared = over(shelf.cell(Job::new(1)));
        put_down(shared.clone());
        let other = shelf.cell(Job::new(2));
        assert!(!Arc::ptr_eq(&shared, &other));
        assert_eq!(kept(&shelf), 1, "for later");
        let place = Arc::as_ptr(&shared);
        drop(shared);
        assert_eq!(Arc::as_ptr(&shelf.cell(Job::new(3))), place);
    }

    #[test]
    fn a_groups_full_cells_are_used_again_but_not_while_somebody_shares_them() {
        use crate::cell::{Reply, Tracked};
        let shelf = Shelf::<u64, u64, String>::new(PoolNumber::MIN, 8);
        let jobs = CELL as u64 + 1;
        let over = |cell: &Kept| {
            for at in 0..cell.len() {
                assert!(cell.claim(at).is_some());
                cell.finish(at, Ok(1));
                assert!(Reply::poll(&**cell, at, Waker::noop()).is_ready());
            }
        };
        let (cells, count) = shelf.cells(0..jobs);
        assert_eq!((cells.len(), count), (2, CELL + 1));
        cells.iter().for_each(over);
        let shared = cells[0].clone();
        cells.into_iter().for_each(|cell| cell.shelve());
        let (other, _) = shelf.cells(0..jobs);
        assert!(!Arc::ptr_eq(&shared, &other[0]));
        let place = Arc::as_ptr(&shared);
        drop(shared);
        // A group that fills only some of the slots.
        let (again, count) = shelf.cells(0..3);
        assert_eq!((Arc::as_ptr(&again[0]), count), (place, 3));
        assert!(again[0].claim(2).is_some() && again[0].claim(3).is_none());
    }
}
