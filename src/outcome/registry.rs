//! Finds a live pool by its number, for the rare cases in which an envelope, a cell or a handle needs
//! its pool: dropped by foreign code, cancelled, waited for with a time limit.
//!
//! The alternative, a reference to the pool in every envelope, was measured as the dearest part of a
//! whole pool: all threads would count up and down on one word for each job.

use crate::id::JobId;
use crate::job::Options;
use crate::outcome::Ending;
use crate::time::timers::Timekeeper;
use crate::wait::self_waits::SelfWaits;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::id::{NO_POOL, PoolNumber};

/// What a pool offers to those who only know its number.
pub(crate) trait Home: Send + Sync {
    /// A job with a handle ends without having run: counts it and frees its room.
    fn unrun(&self, options: Option<&Options>, why: Ending);
    /// The same for a job without a handle, which is entered among the errors before its room is free.
    fn unrun_without_handle(&self, id: JobId, options: Option<Arc<Options>>, why: Ending);
    /// Somebody may wait for room that is there.
    fn see_to_waiters(&self);
    /// Units that a permit held are free again.
    fn give_back(&self, held: u64);
    /// A job's outcome is known: tells who joins.
    fn over(&self, id: JobId);
    /// A cancelled job left an empty envelope in the queue.
    fn left_tombstone(&self);
    fn close(&self);
    /// Whether more jobs wait than a few. Sums up what the workers let go.
    fn has_queue(&self) -> bool;
    fn self_waits(&self) -> &SelfWaits;
    fn time(&self) -> &Timekeeper;
    /// A worker can serve nobody until its running job goes on (`away`), or can again.
    fn set_away(&self, seat: crate::id::WorkerId, away: bool);
    /// Whether a worker has this job in its hands, beside others.
    fn has_in_hands(&self, seat: crate::id::WorkerId, id: JobId) -> bool;
    /// What was put off while this thread held the desk's lock.
    fn catch_up(&self);
}

struct Registry {
    last: u32,
    /// `None` while a pool is built.
    pools: BTreeMap<PoolNumber, Option<Weak<dyn Home>>>,
}

// Never held while anything else is locked or called, so a plain mutex is right under the model
// checkers, too.
static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    last: 0,
    pools: BTreeMap::new(),
});

/// A number for a new pool, which is to be [entered](enter).
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
