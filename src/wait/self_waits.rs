//! Jobs that wait for their own pool, by worker: see engine/self_wait.rs for the purpose.

use super::signal::call;
use crate::id::{JobId, WorkerId};
use crate::sync::atomic::{AtomicUsize, Ordering::*};
use crate::sync::{Mutex, lock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Waker;

/// What a job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// Room in the queue, or another job's outcome.
    Progress,
    /// The end of all other jobs: `join` or a shutdown. Two jobs that wait like this do not wait for each other.
    TheRest,
}

/// The wait would never end.
#[derive(Debug)]
pub(crate) struct NobodyLeft;

pub(crate) struct SelfWaits {
    /// Workers that have not left. Changed by the roster.
    live: AtomicUsize,
    /// How many waits are entered. Read without the lock to see whether there are any.
    entered: AtomicUsize,
    /// (An `Arc` because of its drop, as in engine/joins.rs.)
    waits: Arc<Mutex<Waits>>,
}

struct Waits {
    next: u64,
    entries: BTreeMap<u64, Wait>,
}

struct Wait {
    seat: WorkerId,
    job: Option<JobId>,
    what: For,
    waker: Waker,
}

impl SelfWaits {
    pub(crate) fn new(live: usize) -> Self {
        SelfWaits {
            live: AtomicUsize::new(live),
            entered: AtomicUsize::new(0),
            waits: Arc::new(Mutex::new(Waits {
                next: 0,
                entries: BTreeMap::new(),
            })),
        }
    }

    pub(crate) fn set_live(&self, live: usize) {
        // Two workers that leave at once may get here in either order.
        if live < self.live.fetch_min(live, SeqCst) {
            self.wake(|_| true);
        }
    }

    #[inline]
    pub(crate) fn has_waits(&self) -> bool {
        self.entered.load(Relaxed) > 0
    }

    /// Removes the waits of a worker whose job is over, even those that the job forgot. Returns whether there were any.
    pub(crate) fn end(&self, seat: WorkerId) -> bool {
        let mut waits = lock(&self.waits);
        let ended: Vec<u64> = waits
            .entries
            .iter()
            .filter_map(|(&token, wait)| (wait.seat == seat).then_some(token))
            .collect();
        let wakers: Vec<_> = ended
            .iter()
            .filter_map(|token| waits.entries.remove(token))
            .collect();
        self.entered.store(waits.entries.len(), Relaxed);
        drop(waits);
        !wakers.is_empty()
    }

    /// Returns the jobs that wait for all others, by worker.
    pub(crate) fn waiting_for_the_rest(&self) -> BTreeMap<WorkerId, Option<JobId>> {
        lock(&self.waits)
            .entries
            .values()
            .filter(|wait| wait.what == For::TheRest)
            .map(|wait| (wait.seat, wait.job))
            .collect()
    }

    /// Enters a wait of a worker's job, unless it would take the last worker.
    pub(crate) fn enter(
        &self,
        seat: WorkerId,
        job: Option<JobId>,
        what: For,
        waker: Waker,
    ) -> Result<u64, NobodyLeft> {
        let mut waits = lock(&self.waits);
        // Read under the lock: a worker that leaves first changes it, then wakes all entries.
        let live = self.live.load(SeqCst);
        let token = waits.next;
        waits.next += 1;
        let wait = Wait {
            seat,
            job,
            what,
            waker,
        };
        waits.entries.insert(token, wait);
        if !waits.anybody_left(live) {
            let wait = waits.entries.remove(&token);
            drop(waits);
            drop(wait);
            return Err(NobodyLeft);
        }
        self.entered.store(waits.entries.len(), Relaxed);
        Ok(token)
    }

    pub(crate) fn is_entered(&self, token: u64) -> bool {
        lock(&self.waits).entries.contains_key(&token)
    }

    /// Continues an entered wait, which `waker` wakes from now on.
    pub(crate) fn go_on(&self, token: u64, waker: &Waker) -> Result<(), NobodyLeft> {
        let fresh = waker.clone();
        let mut waits = lock(&self.waits);
        let live = self.live.load(SeqCst);
        let left = waits.anybody_left(live);
        let old = waits
            .entries
            .get_mut(&token)
            .map(|wait| std::mem::replace(&mut wait.waker, fresh));
        drop(waits);
        drop(old);
        if left { Ok(()) } else { Err(NobodyLeft) }
    }

    /// Removes a wait. Returns whether it was entered and no other wait keeps its worker.
    pub(crate) fn leave(&self, token: u64, seat: WorkerId) -> bool {
        let mut waits = lock(&self.waits);
        let wait = waits.entries.remove(&token);
        self.entered.store(waits.entries.len(), Relaxed);
        let still_kept = waits.entries.values().any(|wait| wait.seat == seat);
        drop(waits);
        // A wait that ended with its job has no worker to call back, which may be gone since.
        let entered = wait.is_some();
        drop(wait);
        entered && !still_kept
    }

    /// Wakes the other jobs that wait for all others, because they may now wait only for each other.
    pub(crate) fn wake_those_for_the_rest(&self, but: WorkerId) {
        self.wake(|wait| wait.what == For::TheRest && wait.seat != but);
    }

    fn wake(&self, which: impl Fn(&Wait) -> bool) {
        // Wakers are taken, not cloned, which would be foreign code under the lock. The next poll of the wait leaves a
        // new one.
        let wakers: Vec<Waker> = lock(&self.waits)
            .entries
            .values_mut()
            .filter(|wait| which(wait))
            .map(|wait| std::mem::replace(&mut wait.waker, Waker::noop().clone()))
            .collect();
        wakers.into_iter().for_each(call);
    }
}

impl Waits {
    /// Returns whether some worker is not kept by a wait.
    fn anybody_left(&self, live: usize) -> bool {
        let kept: BTreeSet<WorkerId> = self.entries.values().map(|wait| wait.seat).collect();
        kept.len() < live
    }
}
