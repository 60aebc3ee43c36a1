//! Cells that are over, kept for the jobs to come: so a job with a handle costs no allocation once the pool
//! is in its stride.
//!
//! A handle that gave its outcome puts its cell here, and a submission takes one: cells.rs. A cell knows its recycler, and
//! that holds cells; this circle is broken when the pool goes, which closes the recycler.

use crate::id::PoolNumber;
use crate::sync::atomic::{AtomicUsize, Ordering::*};
use crate::sync::spin_lock::SpinLock;
use crate::sync::{Padded, local};
use std::any::Any;
use std::sync::{Arc, Weak};

/// So that threads seldom meet.
const STRIPES: usize = if cfg!(any(fanpool_loom, fanpool_shuttle)) {
    1
} else {
    4
};

/// A recycler, for those who do not know the outcomes' types.
pub(crate) trait AnyRecycler: Send + Sync {
    fn close(&self);
    fn as_any(&self) -> &dyn Any;
}

pub(crate) struct Recycler<C> {
    pub(super) pool: PoolNumber,
    /// Of one job each.
    pub(super) singles: Stripes<C>,
    /// Of many jobs of a group.
    pub(super) groups: Stripes<C>,
    pub(super) me: Weak<Self>,
}

pub(super) struct Stripes<C> {
    pub(super) stripes: [Padded<Stripe<C>>; STRIPES],
    /// How many cells a stripe keeps at most.
    most: usize,
}

pub(super) struct Stripe<C> {
    /// About how many there are: written under the lock.
    about: AtomicUsize,
    /// Only tried, never waited for: to make a cell, or free it, is quicker than to sleep. `None`: closed.
    pub(super) cells: SpinLock<Option<Vec<Arc<C>>>>,
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

impl<C> Stripes<C> {
    /// For up to about `most` cells.
    pub(super) fn new(most: usize) -> Self {
        let stripe = |_| Stripe {
            about: AtomicUsize::new(0),
            cells: SpinLock::new(Some(Vec::new())),
        };
        Stripes {
            stripes: std::array::from_fn(|at| Padded(stripe(at))),
            most: most.div_ceil(STRIPES),
        }
    }

    pub(super) fn take(&self) -> Option<Arc<C>> {
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

    pub(super) fn put(&self, cell: Arc<C>) {
        self.keep(cell, false);
    }

    /// Keeps one that somebody has a share in: its turn is after the others'.
    #[cold]
    pub(super) fn put_below(&self, cell: Arc<C>) {
        self.keep(cell, true);
    }

    /// One that finds no place is dropped.
    fn keep(&self, cell: Arc<C>, below: bool) {
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

impl<C> Stripe<C> {
    fn take(&self) -> Option<Arc<C>> {
        let mut cells = self.cells.try_lock()?;
        let cells = cells.as_mut()?;
        let cell = cells.pop();
        self.about.store(cells.len(), Relaxed);
        cell
    }

    fn keep(&self, cell: Arc<C>, below: bool) {
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

impl<C: Send + Sync + 'static> AnyRecycler for Recycler<C> {
    fn close(&self) {
        self.singles.close();
        self.groups.close();
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
