//! The ways in. Every waiting call exists as a future and as a blocking twin that drives that future
//! on the calling thread.

use crate::core::Core;
use crate::envelope::Queued;
use crate::error::{RunError, SubmitError};
use crate::gate::{Refusal, Ticket};
use crate::job::{Job, JobId};
use crate::outcome::{Cell, JobHandle, first};
use crate::park::{Lookout, block_on};
use crate::pool::Submitter;
use crate::standstill::{For, unless_stuck};
use std::time::Duration;

/// Why there is no ticket.
enum NoTicket {
    Refused(Refusal),
    TimedOut,
    WouldDeadlock,
}

/// Whether waiting may help.
fn is_full(entered: &Result<Ticket, NoTicket>) -> bool {
    matches!(entered, Err(NoTicket::Refused(Refusal::Full)))
}

impl NoTicket {
    fn with<J>(self, job: J) -> SubmitError<J> {
        match self {
            NoTicket::Refused(Refusal::Full) => SubmitError::Full(job),
            NoTicket::Refused(Refusal::Closed) => SubmitError::Closed(job),
            NoTicket::TimedOut => SubmitError::TimedOut(job),
            NoTicket::WouldDeadlock => SubmitError::WouldDeadlock(job),
        }
    }
}

impl<J: Send + 'static> Core<J> {
    fn try_enter(&self) -> Result<Ticket, NoTicket> {
        self.gate.try_acquire(1).map_err(NoTicket::Refused)
    }

    async fn enter(&self) -> Result<Ticket, NoTicket> {
        let entered = self.try_enter();
        if !is_full(&entered) {
            return entered;
        }
        match unless_stuck(self.number, For::Progress, self.gate.acquire(1)).await {
            Ok(settled) => settled.map_err(NoTicket::Refused),
            Err(_) => Err(NoTicket::WouldDeadlock),
        }
    }

    async fn enter_in_time(&self, limit: Duration) -> Result<Ticket, NoTicket> {
        let entered = self.try_enter();
        if !is_full(&entered) {
            return entered;
        }
        match first(self.enter(), self.time.sleep(limit)).await {
            Some(settled) => settled,
            None => Err(NoTicket::TimedOut),
        }
    }

    /// Looks out for room for some microseconds before it sleeps.
    fn enter_blocking(&self) -> Result<Ticket, NoTicket> {
        let mut entered = self.try_enter();
        if is_full(&entered) {
            // Yields only: each try reads what the workers write for every job, and would slow them.
            Lookout::new(0).until(|| {
                entered = self.try_enter();
                !is_full(&entered)
            });
        }
        if is_full(&entered) {
            return block_on(self.enter());
        }
        entered
    }

    /// Sends the job on its way, or gives it back.
    fn send_with(&self, job: J, ticket: Result<Ticket, NoTicket>) -> Result<(), SubmitError<J>> {
        match ticket {
            Ok(ticket) => {
                let id = JobId::from_ticket(ticket);
                self.admit(Queued::plain(id, self.number, Job::new(job)));
                Ok(())
            }
            Err(why) => Err(self.refuse(why, job)),
        }
    }

    /// The same, with a handle for its outcome.
    fn submit_with<T, E>(
        &self,
        job: J,
        ticket: Result<Ticket, NoTicket>,
    ) -> Result<JobHandle<T, E>, SubmitError<J>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        match ticket {
            Ok(ticket) => {
                let id = JobId::from_ticket(ticket);
                let cell = Cell::new(id, self.number, Job::new(job));
                let handle = cell.handle();
                self.admit(Queued::tracked(id, cell));
                Ok(handle)
            }
            Err(why) => Err(self.refuse(why, job)),
        }
    }

    fn refuse(&self, why: NoTicket, job: J) -> SubmitError<J> {
        self.counts.refused();
        why.with(job)
    }
}

/// # Submitting jobs
///
/// | | waits for room | gives up after a time | never waits |
/// |---|---|---|---|
/// | with a handle | [`submit`](Self::submit) | [`submit_timeout`](Self::submit_timeout) | [`try_submit`](Self::try_submit) |
/// | without | [`send`](Self::send) | | [`try_send`](Self::try_send) |
/// | for its result | [`run`](Self::run) | | |
///
/// The waiting ones have a twin that ends in `_blocking`. A job without a handle costs no allocation,
/// one with a handle costs one.
///
/// Room is not handed out in turn: a newcomer that finds room takes it, whoever has been waiting. Those
/// who wait are woken as soon as room frees, one after the other while there is more.
///
/// # Errors
///
/// All of them give a refused job back in a [`SubmitError`]: `Closed` once the pool is closed, `Full`
/// from the calls that never wait, `TimedOut` from the timed ones, and `WouldDeadlock` from a waiting
/// call inside one of the pool's own jobs when no other worker is left to make room.
///
/// # Cancel safety
///
/// A future that is dropped while it waits for room drops its job with it and leaves nothing behind.
/// Once it is ready, the job is accepted.
///
/// # Blocking
///
/// The blocking twins park the calling thread. On an executor's thread that stops every task that
/// lives there, perhaps the workers: use the futures there.
impl<J, T, E> Submitter<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    /// Waits for room and gives a handle for the job's outcome.
    pub async fn submit(&self, job: J) -> Result<JobHandle<T, E>, SubmitError<J>> {
        let ticket = self.core().enter().await;
        self.core().submit_with(job, ticket)
    }

    /// Blocking twin of [`submit`](Self::submit).
    pub fn submit_blocking(&self, job: J) -> Result<JobHandle<T, E>, SubmitError<J>> {
        let ticket = self.core().enter_blocking();
        self.core().submit_with(job, ticket)
    }

    /// Waits for room, but no longer than `limit`. Works on any executor; the first timed wait of a
    /// pool that really has to wait starts its timekeeper thread.
    pub async fn submit_timeout(
        &self,
        job: J,
        limit: Duration,
    ) -> Result<JobHandle<T, E>, SubmitError<J>> {
        let ticket = self.core().enter_in_time(limit).await;
        self.core().submit_with(job, ticket)
    }

    /// Blocking twin of [`submit_timeout`](Self::submit_timeout).
    pub fn submit_timeout_blocking(
        &self,
        job: J,
        limit: Duration,
    ) -> Result<JobHandle<T, E>, SubmitError<J>> {
        let ticket = block_on(self.core().enter_in_time(limit));
        self.core().submit_with(job, ticket)
    }

    /// Submits if there is room now.
    pub fn try_submit(&self, job: J) -> Result<JobHandle<T, E>, SubmitError<J>> {
        let ticket = self.core().try_enter();
        self.core().submit_with(job, ticket)
    }

    /// Waits for room; the outcome goes unseen.
    pub async fn send(&self, job: J) -> Result<(), SubmitError<J>> {
        let ticket = self.core().enter().await;
        self.core().send_with(job, ticket)
    }

    /// Blocking twin of [`send`](Self::send).
    pub fn send_blocking(&self, job: J) -> Result<(), SubmitError<J>> {
        let ticket = self.core().enter_blocking();
        self.core().send_with(job, ticket)
    }

    /// Sends if there is room now.
    pub fn try_send(&self, job: J) -> Result<(), SubmitError<J>> {
        let ticket = self.core().try_enter();
        self.core().send_with(job, ticket)
    }

    /// Waits for room, then for the result.
    ///
    /// Dropped after the job was accepted, it detaches: the job still runs.
    ///
    /// # Errors
    ///
    /// [`RunError::Refused`] with the job, or [`RunError::Job`] with why it did not complete.
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
