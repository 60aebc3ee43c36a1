//! The handle of a job: waits for its outcome, or cancels it.

pub(crate) mod errors;
pub(crate) mod spin;

use crate::engine::self_wait::{For, SelfWait, poll_unless_stuck};
use crate::handle::spin::spin_for_outcome;
use crate::id::{JobId, PoolNumber};
use crate::outcome::views::{At, Reply, Token};
use crate::outcome::{Cancellation, JobError, cells, registry};
use crate::time::timers::first;
use crate::wait::current;
use crate::wait::park::block_on;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Waits for one job's outcome.
///
/// It is a future for any executor; [`wait`](Self::wait) is its blocking twin. Dropping it detaches: the job still runs
/// and its outcome is dropped. A handle does not keep the pool open. When the pool goes, the outcome is whatever became
/// of the job, so a wait always ends.
///
/// A job that takes microseconds is over before a sleeping task could be woken. So a poll may spin for the outcome for
/// some 5 µs before it is pending, unless that was in vain lately on the same thread, or more than two jobs wait.
///
/// # Cancel safety
///
/// A handle polled through `&mut handle` (in a `select!`, say) loses nothing when the poll is given up.
///
/// # Panics
///
/// Like most futures, it panics when it is polled again after it gave its outcome.
#[must_use = "dropping a JobHandle lets the job run and its outcome go unseen; `send` says so without a handle"]
pub struct JobHandle<T, E> {
    /// `Some` until dropped.
    reply: Option<Arc<dyn Reply<T, E>>>,
    over: bool,
    /// Set while a job of the same pool waits here.
    self_wait: Option<SelfWait>,
}

impl<T, E> JobHandle<T, E> {
    pub(crate) fn new(reply: Arc<dyn Reply<T, E>>) -> Self {
        JobHandle {
            reply: Some(reply),
            over: false,
            self_wait: None,
        }
    }

    fn reply(&self) -> &Arc<dyn Reply<T, E>> {
        self.reply.as_ref().expect("there until dropped")
    }

    /// Polls without checking whether the wait would ever end: the caller checks.
    pub(crate) fn poll_outcome(&mut self, waker: &Waker) -> Poll<Result<T, JobError<E>>> {
        if is_own(&**self.reply(), 0) {
            return Poll::Ready(Err(JobError::WouldDeadlock));
        }
        self.poll_reply(waker)
    }

    /// Blocks the calling thread until the job has its outcome.
    ///
    /// Not for an executor's thread: there, `.await` the handle.
    ///
    /// # Errors
    ///
    /// Every [`JobError`]: why the job did not complete. Inside a job of the same pool, [`JobError::WouldDeadlock`]
    /// when no other worker is left to make progress; then, too, the job goes on and its outcome is dropped.
    pub fn wait(mut self) -> Result<T, JobError<E>> {
        // A caller with many jobs under way often finds the first of them over.
        if self.is_finished() {
            if let Poll::Ready(outcome) = self.poll_reply(Waker::noop()) {
                return outcome;
            }
        }
        block_on(self)
    }

    /// Asks the cell, whether or not this thread runs a job of the pool.
    #[inline]
    fn poll_reply(&mut self, waker: &Waker) -> Poll<Result<T, JobError<E>>> {
        let reply = self.reply.as_ref().expect("there until dropped");
        let polled = reply.poll(0, waker);
        self.over = polled.is_ready();
        polled
    }

    /// Blocks for at most `limit`, and returns the handle if the job is not over by then. The first timed wait of a
    /// pool starts its timekeeper thread.
    ///
    /// # Errors
    ///
    /// `Err(handle)`: the time is up. `Ok(Err(error))`: the job did not complete, as in [`wait`](Self::wait).
    pub fn wait_timeout(mut self, limit: Duration) -> Result<Result<T, JobError<E>>, Self> {
        // Without a pool nothing could finish the job later: it has its outcome.
        let Some(home) = registry::find(self.reply().pool()) else {
            return Ok(self.wait());
        };
        let time_up = home.time().sleep(limit);
        match block_on(first(&mut self, time_up)) {
            Some(outcome) => Ok(outcome),
            None => {
                self.self_wait = None;
                Err(self)
            }
        }
    }

    /// Takes the job back if it still waits, else asks it to stop.
    ///
    /// O(1), except for an occasional sweep of the queue when more than half of what waits there was cancelled. Takes
    /// the job's lock and, for the sweep, the desks'.
    pub fn cancel(&self) -> Cancellation {
        self.reply().cancel(0)
    }

    /// Returns a handle that can only cancel: to keep elsewhere while this one is waited for.
    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle {
            token: At {
                cell: self.reply().clone().into_token(),
                at: 0,
            },
        }
    }

    /// Returns the job's number.
    pub fn id(&self) -> JobId {
        self.reply().id(0)
    }

    /// Returns whether the outcome is there, so that a wait would not wait.
    pub fn is_finished(&self) -> bool {
        self.reply().is_finished(0)
    }
}

impl<T, E> Future for JobHandle<T, E> {
    type Output = Result<T, JobError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let finished = this.is_finished();
        if finished || current::is_outside(this.reply().pool()) {
            // There is nothing to wait for, or the wait keeps none of the pool's workers.
            this.self_wait = None;
            if !finished {
                spin_if_soon(cx, this.reply().pool(), &|| this.is_finished());
            }
            return this.poll_reply(cx.waker());
        }
        let mut self_wait = this.self_wait.take();
        let pool = this.reply().pool();
        let polled = poll_unless_stuck(pool, For::Progress, &mut self_wait, cx, |cx| {
            this.poll_outcome(cx.waker())
        });
        this.self_wait = self_wait;
        polled.map(|outcome| outcome.unwrap_or(Err(JobError::WouldDeadlock)))
    }
}

/// Does not depend on the outcome's type.
fn spin_if_soon(cx: &Context<'_>, pool: PoolNumber, is_finished: &dyn Fn() -> bool) {
    let soon = || registry::find(pool).is_some_and(|home| !home.has_queue());
    spin_for_outcome(cx, soon, is_finished);
}

impl<T, E> Drop for JobHandle<T, E> {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            if self.over {
                cells::put_down(reply.into_token());
            } else {
                reply.detach(0);
            }
        }
    }
}

impl<T, E> fmt::Debug for JobHandle<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle")
            .field("id", &self.id())
            .field("is_finished", &self.is_finished())
            .finish()
    }
}

/// Cancels one job. Cheap to clone, and without the outcome's type.
#[derive(Clone)]
pub struct CancelHandle {
    token: At<dyn Token>,
}

impl CancelHandle {
    /// Like [`JobHandle::cancel`].
    pub fn cancel(&self) -> Cancellation {
        self.token.cell.cancel(self.token.at)
    }

    /// Returns the job's number.
    pub fn id(&self) -> JobId {
        self.token.cell.id(self.token.at)
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CancelHandle").field(&self.id()).finish()
    }
}

/// Returns whether this is the asking job itself: then other workers cannot help.
pub(crate) fn is_own<T, E>(reply: &dyn Reply<T, E>, at: usize) -> bool {
    current::of(reply.pool()).is_some_and(|frame| match frame.job {
        Some(job) => job == reply.id(at),
        // Its worker may have several in its hands.
        None => registry::find(reply.pool())
            .is_some_and(|home| home.has_in_hands(frame.seat, reply.id(at))),
    })
}
