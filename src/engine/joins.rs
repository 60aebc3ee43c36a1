//! Waiting until every job accepted so far is over, while the pool goes on.
//!
//! A join collects the numbers of the jobs it waits for, and each job that ends strikes off its number. A job that ends
//! while nobody joins pays one load for this.
//!
//! 1. A join enters itself with its bound, the tickets issued so far, and raises `watermark` to it. From then on every
//!    job below the bound reports its end.
//! 2. It visits all jobs that wait or run, and collects the numbers below its bound.
//! 3. It strikes off what was reported meanwhile. When nothing is left, the join is over.
//!
//! No end is missed:
//!
//! - A job ends by leaving the place where a visit would find it (under the desk's or the cell's lock, or by clearing
//!   its worker's seat), and *then* reads `watermark`. If the visit still found it, the visit came before it left, and
//!   so did the raising of `watermark`: the job reports.
//! - A worker that goes on to the next job of its tray does not clear the seat; the next job takes it under the tray's
//!   lock. A visit has held that lock before it looks at the seat. If the visit held it first, the worker's lock makes
//!   the raised `watermark` known to the worker; if second, the visit finds the next job in the seat.
//!
//! No end is counted that was not collected: reports strike numbers, they do not count down.

use crate::id::JobId;
use crate::sync::atomic::{AtomicU64, Ordering::*};
use crate::sync::{Mutex, lock};
use crate::wait::signal::call;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::task::{Poll, Waker};

pub(crate) struct Joins {
    /// Numbers up to here are reported: the highest bound of the joins under way, else 0.
    watermark: AtomicU64,
    /// (In an `Arc`, so that its drop is compiled with this crate, and not again in each crate that has a pool.)
    state: Arc<Mutex<State>>,
}

struct State {
    next: u64,
    joins: BTreeMap<u64, Join>,
}

struct Join {
    last: u64,
    /// Jobs waited for; `None` until they are collected.
    open: Option<HashSet<u64>>,
    /// Jobs that ended before that.
    over: HashSet<u64>,
    waker: Option<Waker>,
}

impl Joins {
    pub(crate) fn new() -> Self {
        Joins {
            watermark: AtomicU64::new(0),
            state: Arc::new(Mutex::new(State {
                next: 0,
                joins: BTreeMap::new(),
            })),
        }
    }

    #[inline]
    pub(crate) fn over(&self, id: JobId) {
        if id.get() <= self.watermark.load(SeqCst) {
            self.strike(id.get());
        }
    }

    #[cold]
    fn strike(&self, id: u64) {
        let mut wakers = Vec::new();
        let mut state = lock(&self.state);
        for join in state.joins.values_mut().filter(|join| id <= join.last) {
            match &mut join.open {
                None => {
                    join.over.insert(id);
                }
                Some(open) => {
                    open.remove(&id);
                    // The few that are left may be exempt, which only the join itself can tell.
                    wakers.extend(join.waker.take());
                }
            }
        }
        drop(state);
        wakers.into_iter().for_each(call);
    }

    /// Steps 1 to 3. `issued` reads the tickets issued; `collect` visits all jobs.
    pub(crate) fn begin(
        &self,
        issued: impl FnOnce() -> u64,
        collect: impl FnOnce(&mut dyn FnMut(u64)),
    ) -> Joining<'_> {
        let (key, last) = {
            let mut state = lock(&self.state);
            let key = state.next;
            state.next += 1;
            let last = issued();
            let join = Join {
                last,
                open: None,
                over: HashSet::new(),
                waker: None,
            };
            state.joins.insert(key, join);
            self.watermark.fetch_max(last, SeqCst);
            (key, last)
        };
        let joining = Joining { joins: self, key };
        let mut open = HashSet::new();
        collect(&mut |id| {
            if id <= last {
                open.insert(id);
            }
        });
        if let Some(join) = lock(&self.state).joins.get_mut(&key) {
            join.over.drain().for_each(|id| {
                open.remove(&id);
            });
            join.open = Some(open);
        }
        joining
    }
}

/// A join under way; dropping it gives it up.
pub(crate) struct Joining<'a> {
    joins: &'a Joins,
    key: u64,
}

impl Joining<'_> {
    /// Ready when only `exempt` jobs are left.
    pub(crate) fn poll(&self, waker: &Waker, exempt: impl Fn(u64) -> bool) -> Poll<()> {
        let mut waker = Some(waker.clone());
        let mut state = lock(&self.joins.state);
        let Some(join) = state.joins.get_mut(&self.key) else {
            return Poll::Ready(());
        };
        let done = join
            .open
            .as_ref()
            .is_some_and(|open| open.iter().all(|&id| exempt(id)));
        std::mem::swap(&mut join.waker, &mut waker);
        drop(state);
        drop(waker);
        if done { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Joining<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.joins.state);
        let join = state.joins.remove(&self.key);
        let watermark = state.joins.values().map(|join| join.last).max();
        self.joins.watermark.store(watermark.unwrap_or(0), SeqCst);
        drop(state);
        drop(join);
    }
}
