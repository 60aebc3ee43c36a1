//! Waits inside a job on the job's own pool, and the one that would never end.
//!
//! A job that waits for room in its own pool, or for another job's outcome, keeps its worker. If
//! every worker is kept so, nobody is left to make what they wait for. Each such wait enters itself
//! here; the one that would take the last worker is refused (`WouldDeadlock`).
//!
//! A wait is seen when it is polled on the thread that polls the handler: blocking calls always, and
//! futures that the handler awaits itself. A task that the handler spawned elsewhere is not seen.

use crate::frame::{self, Frame};
use crate::job::JobId;
use crate::registry::{self, Home, PoolNumber};
use crate::signal::call;
use crate::sync::atomic::{AtomicUsize, Ordering::*};
use crate::sync::{Mutex, lock};
use crate::worker::WorkerId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What a job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// Room in the queue, or another job's outcome.
    Progress,
    /// The end of all other jobs: `join` or a shutdown. Two jobs that wait so do not wait for each
    /// other.
    TheRest,
}

/// The wait would never end.
#[derive(Debug)]
pub(crate) struct NobodyLeft;

pub(crate) struct Standstill {
    /// Workers that have not left: changed by the roster.
    live: AtomicUsize,
    /// How many waits are entered: for those who only ask whether there are any.
    entered: AtomicUsize,
    /// (An `Arc` for the sake of its drop, as in joins.rs.)
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

impl Standstill {
    pub(crate) fn new(live: usize) -> Self {
        Standstill {
            live: AtomicUsize::new(live),
            entered: AtomicUsize::new(0),
            waits: Arc::new(Mutex::new(Waits {
                next: 0,
                entries: BTreeMap::new(),
            })),
        }
    }

    pub(crate) fn set_live(&self, live: usize) {
        // Two that leave at once may come here in either order.
        if live < self.live.fetch_min(live, SeqCst) {
            self.wake(|_| true);
        }
    }

    #[inline]
    pub(crate) fn has_waits(&self) -> bool {
        self.entered.load(Relaxed) > 0
    }

    /// A worker's job is over, and with it its waits, even those that it forgot. Answers whether there
    /// were any.
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

    /// Jobs that wait for all others, by worker.
    pub(crate) fn waiting_for_the_rest(&self) -> BTreeMap<WorkerId, Option<JobId>> {
        lock(&self.waits)
            .entries
            .values()
            .filter(|wait| wait.what == For::TheRest)
            .map(|wait| (wait.seat, wait.job))
            .collect()
    }

    fn wake(&self, which: impl Fn(&Wait) -> bool) {
        // Taken out and not cloned, which would be foreign code under the lock; the next poll of the
        // wait leaves a new one.
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
    /// Is there a worker that no wait keeps?
    fn anybody_left(&self, live: usize) -> bool {
        let kept: BTreeSet<WorkerId> = self.entries.values().map(|wait| wait.seat).collect();
        kept.len() < live
    }
}

/// One wait that is entered; dropping it takes it out. It may outlive the wait: a handle that was polled in
/// one job may be kept, and polled in another.
///
/// In a box, because few waits ever have one, and what may have one is moved for each job.
pub(crate) struct Stay(Box<Place>);

struct Place {
    home: Arc<dyn Home>,
    token: u64,
    seat: WorkerId,
    job: Option<JobId>,
}

impl Stay {
    fn begin(
        home: Arc<dyn Home>,
        frame: Frame,
        what: For,
        waker: Waker,
    ) -> Result<Stay, NobodyLeft> {
        let standstill = home.standstill();
        let token = {
            let mut waits = lock(&standstill.waits);
            // Read under the lock: a worker that leaves changes it first and then wakes all entries.
            let live = standstill.live.load(SeqCst);
            let token = waits.next;
            waits.next += 1;
            let wait = Wait {
                seat: frame.seat,
                job: frame.job,
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
            standstill.entered.store(waits.entries.len(), Relaxed);
            token
        };
        home.set_away(frame.seat, true);
        if what == For::TheRest {
            standstill.wake(|wait| wait.what == For::TheRest && wait.seat != frame.seat);
        }
        Ok(Stay(Box::new(Place {
            home,
            token,
            seat: frame.seat,
            job: frame.job,
        })))
    }

    /// Whether it is about a wait in this job, and still entered.
    fn is_of(&self, frame: Frame) -> bool {
        let waits = lock(&self.0.home.standstill().waits);
        (self.0.seat, self.0.job) == (frame.seat, frame.job)
            && waits.entries.contains_key(&self.0.token)
    }

    fn go_on(&self, waker: &Waker) -> Result<(), NobodyLeft> {
        let standstill = self.0.home.standstill();
        let fresh = waker.clone();
        let mut waits = lock(&standstill.waits);
        let live = standstill.live.load(SeqCst);
        let left = waits.anybody_left(live);
        let old = waits
            .entries
            .get_mut(&self.0.token)
            .map(|wait| std::mem::replace(&mut wait.waker, fresh));
        drop(waits);
        drop(old);
        if left { Ok(()) } else { Err(NobodyLeft) }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let standstill = self.0.home.standstill();
        let mut waits = lock(&standstill.waits);
        let wait = waits.entries.remove(&self.0.token);
        standstill.entered.store(waits.entries.len(), Relaxed);
        let still_kept = waits.entries.values().any(|wait| wait.seat == self.0.seat);
        drop(waits);
        // One that ended with its job has nobody to call back: the worker may be gone since.
        let entered = wait.is_some();
        drop(wait);
        if entered && !still_kept {
            self.0.home.set_away(self.0.seat, false);
        }
    }
}

/// Asked by a wait on `pool` that is about to stay pending.
fn may_wait(
    pool: PoolNumber,
    what: For,
    stay: &mut Option<Stay>,
    cx: &Context<'_>,
) -> Result<(), NobodyLeft> {
    if frame::in_desk() {
        return Err(NobodyLeft);
    }
    let Some(frame) = frame::current(pool) else {
        *stay = None;
        return Ok(());
    };
    match stay {
        Some(stay) if stay.is_of(frame) => stay.go_on(cx.waker()),
        _ => {
            *stay = None;
            if let Some(home) = registry::find(pool) {
                *stay = Some(Stay::begin(home, frame, what, cx.waker().clone())?);
            }
            Ok(())
        }
    }
}

/// `future`, unless it would wait for ever.
pub(crate) async fn unless_stuck<F: Future>(
    pool: PoolNumber,
    what: For,
    future: F,
) -> Result<F::Output, NobodyLeft> {
    let mut future = std::pin::pin!(future);
    let mut stay = None;
    std::future::poll_fn(move |cx| {
        poll_unless_stuck(pool, what, &mut stay, cx, |cx| future.as_mut().poll(cx))
    })
    .await
}

/// One poll of a wait on `pool`. Looks again before it gives up: the others may have made what this
/// one waits for, just before the last of them began to wait.
pub(crate) fn poll_unless_stuck<T>(
    pool: PoolNumber,
    what: For,
    stay: &mut Option<Stay>,
    cx: &mut Context<'_>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<Result<T, NobodyLeft>> {
    if let Poll::Ready(output) = poll(cx) {
        *stay = None;
        return Poll::Ready(Ok(output));
    }
    let Err(nobody) = may_wait(pool, what, stay, cx) else {
        return Poll::Pending;
    };
    *stay = None;
    match poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => Poll::Ready(Err(nobody)),
    }
}
