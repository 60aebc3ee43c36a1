//! The recycler: keeps used cells for later jobs, so that in steady state a job with a handle costs no allocation.
//!
//! A handle that gave its outcome puts its cell here, and a submission takes one: see cells.rs. A cell knows its
//! recycler, and the recycler holds cells; closing the recycler, when the pool goes, breaks this cycle.

use crate::id::PoolNumber;
use crate::sync::atomic::{AtomicUsize, Ordering::*};
use crate::sync::spin_lock::SpinLock;
use crate::sync::{Padded, local};
use std::any::Any;
use std::sync::{Arc, Weak};

/// Several stripes, so that threads seldom meet.
const STRIPES: usize = if cfg!(any(fanpool_loom, fanpool_shuttle)) {
    1
} else {
    4
};

/// A recycler without the outcomes' types.
pub(crate) trait AnyRecycler: Send + Sync {
    fn close(&self);
    fn as_any(&self) -> &dyn Any;
}

pub(crate) struct Recycler<C> {
    pub(super) pool: PoolNumber,
    /// Cells of one job each.
    pub(super) singles: Stripes<C>,
    /// Cells of many jobs of a group.
    pub(super) groups: Stripes<C>,
    pub(super) me: Weak<Self>,
}

pub(super) struct Stripes<C> {
    pub(super) stripes: [Padded<Stripe<C>>; STRIPES],
    /// How many cells a stripe keeps at most.
    most: usize,
}

pub(super) struct Stripe<C> {
    /// About how many cells there are. Written under the lock.
    about: AtomicUsize,
    /// The lock is only tried, never waited for: making or freeing a cell is quicker than sleeping. `None` means
    /// closed.
    pub(super) cells: SpinLock<Option<Vec<Arc<C>>>>,
}

local! { static OWN: std::cell::Cell<usize> = std::cell::Cell::new(usize::MAX); }

/// Returns the stripe that the current thread tries first.
fn own_stripe() -> usize {
    // A plain counter even under a model checker: the numbers mean nothing.
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
    /// Keeps up to about `most` cells.
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

    /// Keeps a cell that is still shared, to be used after the others.
    #[cold]
    pub(super) fn put_below(&self, cell: Arc<C>) {
        self.keep(cell, true);
    }

    /// Keeps a cell, or drops it if there is no place.
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
