//! The registry: finds a live pool by its number, for the rare cases in which an envelope, a cell or a handle needs its
//! pool: it is dropped by foreign code, cancelled, or waited for with a time limit.
//!
//! The alternative, a reference to the pool in every envelope, was measured as the dearest part of a whole pool: all
//! threads would count up and down on one word for each job.

use crate::id::JobId;
use crate::job::Options;
use crate::outcome::Ending;
use crate::time::timers::Timekeeper;
use crate::wait::self_waits::SelfWaits;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::id::{NO_POOL, PoolNumber};

/// What a pool offers to code that knows only its number.
pub(crate) trait Home: Send + Sync {
    /// Counts a job with a handle that ends without having run, and frees its room.
    fn unrun(&self, options: Option<&Options>, why: Ending);
    /// Does the same for a job without a handle, which is entered in the error log before its room is free.
    fn unrun_without_handle(&self, id: JobId, options: Option<Arc<Options>>, why: Ending);
    /// Checks whether a submitter waits although there is room.
    fn see_to_waiters(&self);
    /// Frees units that a permit held.
    fn give_back(&self, held: u64);
    /// Notes that a job's outcome is known, and tells those that join.
    fn over(&self, id: JobId);
    /// Notes that a cancelled job left an empty envelope in the queue.
    fn left_tombstone(&self);
    fn close(&self);
    /// Returns whether more than a few jobs wait. Sums up the lanes that workers write.
    fn has_queue(&self) -> bool;
    fn self_waits(&self) -> &SelfWaits;
    fn time(&self) -> &Timekeeper;
    /// Sets whether a worker is away: it takes no jobs until its running job goes on.
    fn set_away(&self, seat: crate::id::WorkerId, away: bool);
    /// Returns whether a worker has this job in its hands, beside others.
    fn has_in_hands(&self, seat: crate::id::WorkerId, id: JobId) -> bool;
    /// Does what was put off while this thread held the desk's lock.
    fn catch_up(&self);
}

struct Registry {
    last: u32,
    /// `None` while a pool is being built.
    pools: BTreeMap<PoolNumber, Option<Weak<dyn Home>>>,
}

// Never held while anything else is locked or called, so a plain mutex is right under the model checkers, too.
static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    last: 0,
    pools: BTreeMap::new(),
});

/// Reserves a number for a new pool, which must then be [entered](enter).
pub(crate) fn reserve() -> PoolNumber {
    let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        registry.last = registry.last.wrapping_add(1);
        let number = NonZeroU32::new(registry.last).filter(|number| *number != NO_POOL);
        if let Some(number) = number.filter(|number| !registry.pools.contains_key(number)) {
            registry.pools.insert(number, None);
            return number;
        }
    }
}

pub(crate) fn enter(number: PoolNumber, pool: Weak<dyn Home>) {
    REGISTRY
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .pools
        .insert(number, Some(pool));
}

pub(crate) fn leave(number: PoolNumber) {
    REGISTRY
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .pools
        .remove(&number);
}

pub(crate) fn find(number: PoolNumber) -> Option<Arc<dyn Home>> {
    REGISTRY
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .pools
        .get(&number)?
        .as_ref()
        .and_then(Weak::upgrade)
}
