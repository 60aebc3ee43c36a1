//! A job in a worker's hands that the worker holds beside others.

use super::inbox::{Inbox, Owed, publish};
use crate::context::JobContext;
use crate::desk::seat::OwnSeat;
use crate::engine::Core;
use crate::handler::JobHandler;
use crate::id::JobId;
use crate::job::Job;
use crate::metrics::Finish;
use crate::outcome::JobError;
use crate::outcome::log::{ErrorLog, JobFailure};
use crate::sync::panics::{Panic, dispose};
use crate::wait::current::{self, Frame};
use std::fmt;
use std::sync::Arc;

/// A job that was [detached](super::Assigned::detach) from its inbox, so that its worker can take more jobs before it
/// completes this one.
///
/// It has started and is owed an outcome: [`complete`](Self::complete) it. If it is dropped before, it is recorded as
/// [`Abandoned`](JobError::Abandoned). It may be completed elsewhere, but its worker should not return from
/// [`run`](super::Worker::run) before: a shutdown waits for workers. If it is leaked (`mem::forget`), it never ends:
/// its handle and every later `join` wait for ever.
///
/// Detaching and completing take a short lock each.
#[must_use = "a job that is dropped is abandoned"]
pub struct Detached<J: Send + 'static, H: JobHandler<J>> {
    core: Arc<Core<J>>,
    seat: OwnSeat<J>,
    errors: Arc<ErrorLog<H::Error>>,
    cx: JobContext,
    job: Option<Job<J>>,
    owed: Owed,
}

impl<J: Send + 'static, H: JobHandler<J>> Detached<J, H> {
    pub(super) fn new(
        inbox: &Inbox<J, H>,
        cx: JobContext,
        job: Option<Job<J>>,
        owed: Owed,
    ) -> Self {
        inbox.seat().detach(cx.id());
        let (core, seat, errors) = inbox.parts();
        Detached {
            core,
            seat,
            errors,
            cx,
            job,
            owed,
        }
    }

    /// Returns the job's number.
    pub fn id(&self) -> JobId {
        self.cx.id()
    }

    /// Returns the job; `None` once it was taken out.
    pub fn job(&self) -> Option<&Job<J>> {
        self.job.as_ref()
    }

    /// Takes out the job. The outcome is still owed.
    pub fn take_job(&mut self) -> Option<Job<J>> {
        self.job.take()
    }

    /// Returns the job's context, which tells whether the job should stop. A clone is cheap and borrows nothing.
    pub fn context(&self) -> &JobContext {
        &self.cx
    }

    /// Returns whether it has its outcome.
    pub fn is_complete(&self) -> bool {
        matches!(self.owed, Owed::Nothing)
    }

    /// Records the job's outcome, and drops the job if it is still inside. Outcomes after the first are dropped.
    /// Returns whether this was the first.
    pub fn complete(&mut self, outcome: Result<H::Output, H::Error>) -> bool {
        match outcome {
            Ok(output) => self.settle(Finish::Completed, Ok(output)),
            Err(error) => self.settle(Finish::Failed, Err(JobError::Failed(error))),
        }
    }

    /// Like [`complete`](Self::complete), for a handler that panicked.
    pub(super) fn fail_by(&mut self, panic: Panic) {
        self.settle(Finish::Panicked, Err(JobError::Panicked(panic)));
    }

    fn settle(&mut self, how: Finish, outcome: Result<H::Output, JobError<H::Error>>) -> bool {
        let owed = std::mem::replace(&mut self.owed, Owed::Nothing);
        // Dropping an outcome that nobody takes runs foreign code, and is still part of the job.
        let _in_job = current::enter(Frame {
            pool: self.core.number,
            seat: self.seat.id,
            job: Some(self.cx.id()),
        });
        let first = match owed {
            Owed::Nothing => {
                dispose(outcome);
                return false;
            }
            owed => owed,
        };
        self.core.counts.detached_finished(how);
        match (first, outcome) {
            (Owed::Handle { .. }, outcome) => publish::<J, _, _>(&mut self.cx, false, outcome),
            (_, Ok(output)) => drop(dispose(output)),
            (Owed::Log(options), Err(error)) => {
                let failure = JobFailure::new(self.cx.id(), options, error);
                self.errors.record(failure);
            }
            (Owed::Nothing, Err(_)) => {}
        }
        dispose(self.job.take());
        self.seat.reattach(self.cx.id());
        self.core.joins.over(self.cx.id());
        true
    }
}

impl<J: Send + 'static, H: JobHandler<J>> Drop for Detached<J, H> {
    fn drop(&mut self) {
        if !self.is_complete() {
            self.settle(Finish::Abandoned, Err(JobError::Abandoned));
        }
    }
}

impl<J: Send + 'static, H: JobHandler<J>> fmt::Debug for Detached<J, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detached")
            .field("id", &self.id())
            .field("complete", &self.is_complete())
            .finish_non_exhaustive()
    }
}
