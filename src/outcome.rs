//! What becomes of a job, and the handle that tells.
//!
//! A job that was submitted with a handle lives in a *cell*, shared by its envelope and its handle.
//! The cell's stage says who owns the job now:
//!
//! ```text
//! Waiting(job) ──claim──▶ Claimed ──finish──▶ Done(outcome) ──▶ Taken
//!      │  ▲                  ▲
//!     lend put_back          │ cancel
//!      ▼  │                  │
//!      Lent ─────────────────┘
//! ```
//!
//! *Claim* is the one step that decides: a worker that starts the job, a cancel, a shutdown that
//! hands it back and an envelope that is dropped all claim, under the cell's lock, and exactly one
//! of them finds the job. That one settles the outcome: it counts it first and finishes the cell
//! last, so whoever sees the outcome sees it counted.
//!
//! While a strategy looks at the job, the job is out of the cell (`Lent`), because foreign code must
//! not run under the cell's lock. A cancel that comes meanwhile claims without the job; the borrower
//! finds out when it puts the job back, and drops it.

use crate::clock::Sleep;
use crate::fault::{Fault, seeded};
use crate::frame;
use crate::job::{Job, JobId};
use crate::park::block_on;
use crate::registry::{self, PoolNumber};
use crate::signal::{Listener, Signal, call};
use crate::standstill::{For, Stay, poll_unless_stuck};
use crate::sync::atomic::{AtomicBool, Ordering::*};
use crate::sync::{Mutex, lock};
use crate::unwind::{Panic, dispose};
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Why an accepted job did not complete.
#[derive(Debug)]
#[non_exhaustive]
pub enum JobError<E> {
    /// The handler ran it and returned this error.
    Failed(E),
    /// The handler panicked while it ran it.
    Panicked(Panic),
    /// It was cancelled before it started, and never ran.
    Cancelled,
    /// Its time ran out before it started.
    Expired,
    /// It was given up to relieve an overloaded pool.
    Shed,
    /// A shutdown gave it back to the caller, unrun: see
    /// [`ShutdownReport::unrun`](crate::ShutdownReport::unrun).
    HandedBack,
    /// Nobody was left to run it, or to finish it: its worker was dropped half-way, its executor is
    /// gone, or a queue order threw it away.
    Abandoned,
    /// Waiting would never have ended: the call came from inside a job of the same pool, and no
    /// other worker was left to make progress. The job that was waited for is not affected.
    WouldDeadlock,
}

impl<E: fmt::Display> fmt::Display for JobError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobError::Failed(error) => write!(f, "job failed: {error}"),
            JobError::Panicked(panic) => write!(f, "job panicked: {panic}"),
            JobError::Cancelled => f.write_str("job cancelled before it started"),
            JobError::Expired => f.write_str("job expired before it started"),
            JobError::Shed => f.write_str("job shed by an overloaded pool"),
            JobError::HandedBack => f.write_str("job handed back by a shutdown before it started"),
            JobError::Abandoned => f.write_str("job abandoned: nobody was left to finish it"),
            JobError::WouldDeadlock => f.write_str(
                "waiting for the job inside its own pool would deadlock: no worker left",
            ),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for JobError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            JobError::Failed(error) => Some(error),
            _ => None,
        }
    }
}

/// What a cancel achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a job that was only requested to stop still runs"]
pub enum Cancellation {
    /// The job was still waiting: it never runs, it is dropped, and its room is free already.
    Removed,
    /// The job runs (or is just being taken out of the queue): it was asked to stop, and sees so in
    /// [`JobContext::is_cancelled`](crate::JobContext::is_cancelled). Its outcome is whatever its
    /// handler makes of it.
    Requested,
    /// The job has its outcome already.
    TooLate,
}

/// How a job can end without having run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Cancelled,
    HandedBack,
    Abandoned,
}

impl<E> From<Ending> for JobError<E> {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Cancelled => JobError::Cancelled,
            Ending::HandedBack => JobError::HandedBack,
            Ending::Abandoned => JobError::Abandoned,
        }
    }
}

/// A cell as its envelope sees it, which knows the job's type but not the outcome's.
pub(crate) trait Tracked<J>: Send + Sync {
    fn is_waiting(&self) -> bool;
    /// Whether the outcome is there.
    fn is_over(&self) -> bool;
    /// Takes the job out for good.
    fn claim(&self) -> Option<Job<J>>;
    /// Takes the job out for a look.
    fn lend(&self) -> Option<Job<J>>;
    /// Ends the look. A job that comes back was cancelled meanwhile.
    fn put_back(&self, job: Job<J>) -> Option<Job<J>>;
    fn pool(&self) -> PoolNumber;
    fn into_ending(self: Arc<Self>) -> Arc<dyn Settle>;
    /// For the worker, who knows the outcome's type, too.
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// A cell whose job was claimed, by somebody who knows no types.
pub(crate) trait Settle: Send + Sync {
    fn end(&self, why: Ending);
}

/// A cell as its handle sees it, which knows the outcome's types but not the job's.
trait Reply<T, E>: Send + Sync {
    fn poll(&self, waker: &Waker) -> Poll<Result<T, JobError<E>>>;
    fn is_finished(&self) -> bool;
    fn detach(&self);
    fn id(&self) -> JobId;
    fn pool(&self) -> PoolNumber;
    fn cancel(&self) -> Cancellation;
    fn into_token(self: Arc<Self>) -> Arc<dyn Token>;
}

/// A cell as a way to ask the job to stop, and to be asked.
pub(crate) trait Token: Send + Sync {
    fn id(&self) -> JobId;
    fn cancel(&self) -> Cancellation;
    fn is_cancelled(&self) -> bool;
    fn listen(&self) -> Listener;
}

pub(crate) struct Cell<J, T, E> {
    id: JobId,
    pool: PoolNumber,
    units: u64,
    asked_to_stop: AtomicBool,
    stop: Signal,
    state: Mutex<State<J, T, E>>,
}

struct State<J, T, E> {
    stage: Stage<J, T, E>,
    /// Who polls the handle.
    waiter: Option<Waker>,
    /// The handle is gone: nobody will take the outcome.
    detached: bool,
}

enum Stage<J, T, E> {
    Waiting(Job<J>),
    Lent,
    Claimed,
    Done(Result<T, JobError<E>>),
    Taken,
}

impl<J, T, E> Cell<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    pub(crate) fn new(id: JobId, pool: PoolNumber, job: Job<J>) -> Arc<Self> {
        Arc::new(Cell {
            id,
            pool,
            units: job.units(),
            asked_to_stop: AtomicBool::new(false),
            stop: Signal::new(),
            state: Mutex::new(State {
                stage: Stage::Waiting(job),
                waiter: None,
                detached: false,
            }),
        })
    }

    pub(crate) fn handle(self: &Arc<Self>) -> JobHandle<T, E> {
        JobHandle {
            reply: self.clone(),
            stay: None,
        }
    }

    /// Publishes the outcome. Only the one who claimed the job calls this, once.
    pub(crate) fn finish(&self, outcome: Result<T, JobError<E>>) {
        let (unwanted, waiter) = {
            let mut state = lock(&self.state);
            debug_assert!(matches!(state.stage, Stage::Claimed), "finished unclaimed");
            let unwanted = if state.detached {
                state.stage = Stage::Taken;
                Some(outcome)
            } else {
                state.stage = Stage::Done(outcome);
                None
            };
            (unwanted, state.waiter.take())
        };
        if let Some(waiter) = waiter {
            call(waiter);
        }
        if let Some(outcome) = unwanted {
            dispose(outcome);
        }
    }

    fn try_cancel(&self) -> Cancellation {
        let seen_before = seeded(Fault::ClaimTwice) && self.is_waiting();
        let job = {
            let mut state = lock(&self.state);
            match std::mem::replace(&mut state.stage, Stage::Claimed) {
                Stage::Waiting(job) => Some(job),
                Stage::Lent => None,
                Stage::Claimed if seen_before => None,
                Stage::Claimed => {
                    drop(state);
                    self.asked_to_stop.store(true, Release);
                    self.stop.notify_all();
                    return Cancellation::Requested;
                }
                over => {
                    state.stage = over;
                    return Cancellation::TooLate;
                }
            }
        };
        let home = registry::find(self.pool);
        if let Some(home) = &home {
            home.unrun(self.units, Ending::Cancelled);
        }
        self.finish(Err(JobError::Cancelled));
        if let Some(home) = home {
            home.over(self.id);
            home.buried();
        }
        // Last: its drop is foreign code, and may wait for the pool, which must not wait for it.
        dispose(job);
        Cancellation::Removed
    }
}

impl<J, T, E> Tracked<J> for Cell<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn is_waiting(&self) -> bool {
        matches!(lock(&self.state).stage, Stage::Waiting(_) | Stage::Lent)
    }

    fn is_over(&self) -> bool {
        Reply::is_finished(self)
    }

    fn claim(&self) -> Option<Job<J>> {
        let mut state = lock(&self.state);
        match std::mem::replace(&mut state.stage, Stage::Claimed) {
            Stage::Waiting(job) => Some(job),
            other => {
                state.stage = other;
                None
            }
        }
    }

    fn lend(&self) -> Option<Job<J>> {
        let mut state = lock(&self.state);
        match std::mem::replace(&mut state.stage, Stage::Lent) {
            Stage::Waiting(job) => Some(job),
            other => {
                state.stage = other;
                None
            }
        }
    }

    fn put_back(&self, job: Job<J>) -> Option<Job<J>> {
        let mut state = lock(&self.state);
        match state.stage {
            Stage::Lent => {
                state.stage = Stage::Waiting(job);
                None
            }
            _ => Some(job),
        }
    }

    fn pool(&self) -> PoolNumber {
        self.pool
    }

    fn into_ending(self: Arc<Self>) -> Arc<dyn Settle> {
        self
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl<J, T, E> Settle for Cell<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn end(&self, why: Ending) {
        self.finish(Err(why.into()));
    }
}

impl<J, T, E> Reply<T, E> for Cell<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn poll(&self, waker: &Waker) -> Poll<Result<T, JobError<E>>> {
        // Cloning and dropping wakers is foreign code: not under the lock.
        let mut waker = Some(waker.clone());
        let polled = {
            let mut state = lock(&self.state);
            match std::mem::replace(&mut state.stage, Stage::Taken) {
                Stage::Done(outcome) => Poll::Ready(outcome),
                Stage::Taken => {
                    drop(state);
                    panic!("a JobHandle was polled after it had given its outcome");
                }
                pending => {
                    state.stage = pending;
                    std::mem::swap(&mut state.waiter, &mut waker);
                    Poll::Pending
                }
            }
        };
        drop(waker);
        polled
    }

    fn is_finished(&self) -> bool {
        matches!(lock(&self.state).stage, Stage::Done(_) | Stage::Taken)
    }

    fn detach(&self) {
        let (outcome, waiter) = {
            let mut state = lock(&self.state);
            state.detached = true;
            let outcome = match std::mem::replace(&mut state.stage, Stage::Taken) {
                Stage::Done(outcome) => Some(outcome),
                other => {
                    state.stage = other;
                    None
                }
            };
            (outcome, state.waiter.take())
        };
        drop(waiter);
        if let Some(outcome) = outcome {
            dispose(outcome);
        }
    }

    fn id(&self) -> JobId {
        self.id
    }

    fn pool(&self) -> PoolNumber {
        self.pool
    }

    fn cancel(&self) -> Cancellation {
        self.try_cancel()
    }

    fn into_token(self: Arc<Self>) -> Arc<dyn Token> {
        self
    }
}

impl<J, T, E> Token for Cell<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn id(&self) -> JobId {
        self.id
    }

    fn cancel(&self) -> Cancellation {
        self.try_cancel()
    }

    fn is_cancelled(&self) -> bool {
        self.asked_to_stop.load(Acquire)
    }

    fn listen(&self) -> Listener {
        self.stop.listen()
    }
}

/// Waits for one job's outcome.
///
/// It is a future, for any executor; [`wait`](Self::wait) is its blocking twin. Dropping it detaches:
/// the job runs all the same and its outcome is dropped. A handle does not keep the pool open; when
/// the pool goes, the outcome is whatever became of the job, so a wait always ends.
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
    reply: Arc<dyn Reply<T, E>>,
    /// Set while a job of the same pool waits here.
    stay: Option<Stay>,
}

impl<T, E> JobHandle<T, E> {
    /// Blocks the calling thread until the job has its outcome.
    ///
    /// Not for an executor's thread: there, `.await` the handle. Inside a job of the same pool this
    /// gives [`JobError::WouldDeadlock`] when no other worker is left to make progress; then, too,
    /// the job goes on and its outcome is dropped.
    ///
    /// # Errors
    ///
    /// Every [`JobError`]: why the job did not complete.
    pub fn wait(self) -> Result<T, JobError<E>> {
        block_on(self)
    }

    /// Blocks for at most `limit`; gives the handle back when the job is not over by then.
    ///
    /// The first timed wait of a pool starts its timekeeper thread.
    ///
    /// # Errors
    ///
    /// `Err(handle)`: the time is up. `Ok(Err(error))`: the job did not complete, as in
    /// [`wait`](Self::wait).
    pub fn wait_timeout(mut self, limit: Duration) -> Result<Result<T, JobError<E>>, Self> {
        // Without a pool there is nobody left who could finish the job later: it has its outcome.
        let Some(home) = registry::find(self.reply.pool()) else {
            return Ok(self.wait());
        };
        let time_up = home.time().sleep(limit);
        match block_on(first(&mut self, time_up)) {
            Some(outcome) => Ok(outcome),
            None => {
                self.stay = None;
                Err(self)
            }
        }
    }

    /// Takes the job back if it is still waiting, else asks it to stop.
    ///
    /// O(1) but for now and then a sweep of the queue, when more than half of what waits there was
    /// cancelled. Takes the job's lock, and for the sweep the desks'.
    pub fn cancel(&self) -> Cancellation {
        self.reply.cancel()
    }

    /// A handle that can only cancel: to keep elsewhere while this one is waited for.
    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle {
            token: self.reply.clone().into_token(),
        }
    }

    /// The job's number.
    pub fn id(&self) -> JobId {
        self.reply.id()
    }

    /// Whether the outcome is there, so that a wait would not wait.
    pub fn is_finished(&self) -> bool {
        self.reply.is_finished()
    }
}

impl<T, E> Future for JobHandle<T, E> {
    type Output = Result<T, JobError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let handle = self.get_mut();
        let pool = handle.reply.pool();
        // A job that waits for itself: other workers cannot help.
        if frame::current(pool).is_some_and(|frame| frame.job == Some(handle.reply.id())) {
            return Poll::Ready(Err(JobError::WouldDeadlock));
        }
        let reply = &handle.reply;
        poll_unless_stuck(pool, For::Progress, &mut handle.stay, cx, |cx| {
            reply.poll(cx.waker())
        })
        .map(|outcome| outcome.unwrap_or(Err(JobError::WouldDeadlock)))
    }
}

impl<T, E> Drop for JobHandle<T, E> {
    fn drop(&mut self) {
        self.reply.detach();
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

/// Cancels one job; cheap to clone, and without the outcome's type.
#[derive(Clone)]
pub struct CancelHandle {
    token: Arc<dyn Token>,
}

impl CancelHandle {
    /// As [`JobHandle::cancel`].
    pub fn cancel(&self) -> Cancellation {
        self.token.cancel()
    }

    /// The job's number.
    pub fn id(&self) -> JobId {
        self.token.id()
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CancelHandle").field(&self.id()).finish()
    }
}

/// The future's output, or `None` when the time is up first.
pub(crate) async fn first<F: Future>(future: F, time_up: Sleep) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut time_up = std::pin::pin!(time_up);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        time_up.as_mut().poll(cx).map(|()| None)
    })
    .await
}
