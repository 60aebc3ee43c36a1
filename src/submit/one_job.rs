//! One job: submitted, sent, or run to its result. Each call is a future, with a blocking twin that drives that future
//! on the calling thread.

use super::Submitter;
use super::error::{RunError, SubmitError};
use crate::gate::Want;
use crate::handle::JobHandle;
use crate::wait::park::block_on;
use std::time::Duration;

/// # Submitting jobs
///
/// | | waits for room | gives up after a time | never waits |
/// |---|---|---|---|
/// | with a handle | [`submit`](Self::submit) | [`submit_timeout`](Self::submit_timeout) | [`try_submit`](Self::try_submit) |
/// | without | [`send`](Self::send) | | [`try_send`](Self::try_send) |
/// | for its result | [`run`](Self::run) | | |
///
/// The waiting calls have a twin that ends in `_blocking`. A job without a handle costs no allocation. Neither does one
/// with a handle, while outcomes are taken as jobs come in.
///
/// Room is not handed out in turn: a newcomer that finds room takes it, however long others have waited. Waiters wake
/// as soon as room frees, one after the other while there is more. But while a call waits for more than one unit
/// ([`weight`](crate::JobBuilder::weight), [`reserve_weight`](Self::reserve_weight)), newcomers wait in line behind it,
/// and calls that never wait return `Full`.
///
/// # Errors
///
/// All of them give a refused job back in a [`SubmitError`]:
///
/// - `Closed` once the pool is closed.
/// - `Full` from the calls that never wait.
/// - `TimedOut` from the timed calls.
/// - `WouldDeadlock` from a waiting call inside one of the pool's own jobs, when no other worker is left to make room.
///
/// # Cancel safety
///
/// A future dropped while it waits for room drops its job and leaves nothing behind. Once it is ready, the job is
/// accepted. To keep the job meanwhile, [`reserve`](Self::reserve) room first.
///
/// # Blocking
///
/// The blocking twins park the calling thread. On an executor's thread that stops every task that lives there, perhaps
/// the workers: use the futures there.
///
/// In front of a full queue, a blocking call first yields to other threads, for about a millisecond at most. It naps
/// instead if, judging by how fast room was made before, a quarter of the queue takes half a millisecond or more to
/// free. It then naps for that time, 10 ms at most; neither room nor a close wakes it earlier. From 50 µs on (500 µs on
/// Windows), it also naps after it has yielded, if nothing else wants its core. The futures and the timed calls never
/// nap.
impl<J, T, E> Submitter<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    /// Waits for room and returns a handle for the job's outcome.
    pub async fn submit(&self, job: J) -> Result<JobHandle<T, E>, SubmitError<J>> {
        let entered = self.core().enter(Want::job(1)).await;
        self.core().submit_with(job, entered)
    }

    /// Blocking twin of [`submit`](Self::submit).
    pub fn submit_blocking(&self, job: J) -> Result<JobHandle<T, E>, SubmitError<J>> {
        let entered = self.core().enter_blocking(Want::job(1));
        self.core().submit_with(job, entered)
    }

    /// Waits for room, but no longer than `limit`. Works on any executor. The first timed wait of a pool that really
    /// has to wait starts its timekeeper thread.
    pub async fn submit_timeout(
        &self,
        job: J,
        limit: Duration,
    ) -> Result<JobHandle<T, E>, SubmitError<J>> {
        let entered = self.core().enter_in_time(Want::job(1), limit).await;
        self.core().submit_with(job, entered)
    }

    /// Blocking twin of [`submit_timeout`](Self::submit_timeout).
    pub fn submit_timeout_blocking(
        &self,
        job: J,
        limit: Duration,
    ) -> Result<JobHandle<T, E>, SubmitError<J>> {
        let entered = block_on(self.core().enter_in_time(Want::job(1), limit));
        self.core().submit_with(job, entered)
    }

    /// Submits the job if there is room now.
    pub fn try_submit(&self, job: J) -> Result<JobHandle<T, E>, SubmitError<J>> {
        let entered = self.core().try_enter(Want::job(1));
        self.core().submit_with(job, entered)
    }

    /// Waits for room and sends the job; its outcome goes unseen.
    pub async fn send(&self, job: J) -> Result<(), SubmitError<J>> {
        let entered = self.core().enter(Want::job(1)).await;
        self.core().send_with(job, entered)
    }

    /// Blocking twin of [`send`](Self::send).
    pub fn send_blocking(&self, job: J) -> Result<(), SubmitError<J>> {
        let entered = self.core().enter_blocking(Want::job(1));
        self.core().send_with(job, entered)
    }

    /// Sends the job if there is room now.
    pub fn try_send(&self, job: J) -> Result<(), SubmitError<J>> {
        let entered = self.core().try_enter(Want::job(1));
        self.core().send_with(job, entered)
    }

    /// Waits for room, then for the result.
    ///
    /// Dropping the future after the job was accepted detaches it: the job still runs.
    ///
    /// # Errors
    ///
    /// [`RunError::Refused`] has the job; [`RunError::Job`] says why the job did not complete.
    pub async fn run(&self, job: J) -> Result<T, RunError<J, E>> {
        let handle = self.submit(job).await.map_err(RunError::Refused)?;
        handle.await.map_err(RunError::Job)
    }

    /// Blocking twin of [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_blocking(&self, job: J) -> Result<T, RunError<J, E>> {
        let handle = self.submit_blocking(job).map_err(RunError::Refused)?;
        handle.wait().map_err(RunError::Job)
    }
}
