//! Waits inside a job on the job's own pool, and the one that would never end.
//!
//! A job that waits for room in its own pool, or for another job's outcome, keeps its worker. If every worker is kept
//! so, none is left to make progress. Each such wait enters itself here; the one that would take the last worker is
//! refused (`WouldDeadlock`).
//!
//! Only a wait polled on the thread that polls the handler is seen: blocking calls, and futures that the handler awaits
//! itself. A task that the handler spawned elsewhere is not.

use crate::id::{JobId, PoolNumber, WorkerId};
use crate::outcome::registry::{self, Home};
use crate::wait::current::{self, Frame};
use crate::wait::self_waits::NobodyLeft;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

pub(crate) use crate::wait::self_waits::For;

/// One entered wait; dropping it takes it out. It may outlive the wait: a handle polled in one job may be kept and
/// polled in another. Boxed, because few waits have one, and what may have one is moved for each job.
pub(crate) struct SelfWait(Box<Place>);

struct Place {
    home: Arc<dyn Home>,
    token: u64,
    seat: WorkerId,
    job: Option<JobId>,
}

impl SelfWait {
    fn begin(
        home: Arc<dyn Home>,
        Frame { seat, job, .. }: Frame,
        what: For,
        waker: Waker,
    ) -> Result<SelfWait, NobodyLeft> {
        let token = home.self_waits().enter(seat, job, what, waker)?;
        home.set_away(seat, true);
        if what == For::TheRest {
            home.self_waits().wake_those_for_the_rest(seat);
        }
        Ok(SelfWait(Box::new(Place {
            home,
            token,
            seat,
            job,
        })))
    }

    /// Returns whether it is about a wait in this job, and still entered.
    fn is_of(&self, frame: Frame) -> bool {
        (self.0.seat, self.0.job) == (frame.seat, frame.job)
            && self.0.home.self_waits().is_entered(self.0.token)
    }

    fn go_on(&self, waker: &Waker) -> Result<(), NobodyLeft> {
        self.0.home.self_waits().go_on(self.0.token, waker)
    }
}

impl Drop for SelfWait {
    fn drop(&mut self) {
        let Place {
            home, token, seat, ..
        } = &*self.0;
        if home.self_waits().leave(*token, *seat) {
            home.set_away(*seat, false);
        }
    }
}

/// Asked by a wait on `pool` that is about to stay pending.
fn may_wait(
    pool: PoolNumber,
    what: For,
    self_wait: &mut Option<SelfWait>,
    cx: &Context<'_>,
) -> Result<(), NobodyLeft> {
    if current::in_desk() {
        return Err(NobodyLeft);
    }
    let Some(frame) = current::of(pool) else {
        *self_wait = None;
        return Ok(());
    };
    match self_wait {
        Some(self_wait) if self_wait.is_of(frame) => self_wait.go_on(cx.waker()),
        _ => {
            *self_wait = None;
            if let Some(home) = registry::find(pool) {
                *self_wait = Some(SelfWait::begin(home, frame, what, cx.waker().clone())?);
            }
            Ok(())
        }
    }
}

/// Runs `future`, unless it would wait for ever.
pub(crate) async fn unless_stuck<F: Future>(
    pool: PoolNumber,
    what: For,
    future: F,
) -> Result<F::Output, NobodyLeft> {
    let mut future = std::pin::pin!(future);
    let mut self_wait = None;
    std::future::poll_fn(move |cx| {
        poll_unless_stuck(pool, what, &mut self_wait, cx, |cx| {
            future.as_mut().poll(cx)
        })
    })
    .await
}

/// Polls a wait on `pool` once, and again before it gives up: the other workers may have made what it needs just before
/// the last of them began to wait.
pub(crate) fn poll_unless_stuck<T>(
    pool: PoolNumber,
    what: For,
    self_wait: &mut Option<SelfWait>,
    cx: &mut Context<'_>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<Result<T, NobodyLeft>> {
    if let Poll::Ready(output) = poll(cx) {
        *self_wait = None;
        return Poll::Ready(Ok(output));
    }
    let Err(nobody) = may_wait(pool, what, self_wait, cx) else {
        return Poll::Pending;
    };
    *self_wait = None;
    match poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => Poll::Ready(Err(nobody)),
    }
}
