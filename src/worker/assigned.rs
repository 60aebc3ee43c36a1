//! A job in a worker's hands.

use super::detached::Detached;
use super::inbox::{Inbox, Owed, frame_of};
use crate::context::JobContext;
use crate::handler::JobHandler;
use crate::id::JobId;
use crate::job::Job;
use crate::metrics::Finish;
use crate::outcome::JobError;
use crate::sync::panics::{contain_polls, dispose};
use crate::wait::current;
use std::fmt;

/// A job in a worker's hands: it has started, and this worker owes it an outcome.
///
/// [`run`](Self::run) it, or [`complete`](Self::complete) it by hand. A job that is dropped is recorded as
/// [`Abandoned`](JobError::Abandoned).
#[must_use = "a job that is dropped is abandoned"]
pub struct Assigned<'a, J: Send + 'static, H: JobHandler<J>> {
    pub(super) inbox: &'a mut Inbox<J, H>,
}

impl<J: Send + 'static, H: JobHandler<J>> Assigned<'_, J, H> {
    /// Returns the job's number.
    pub fn id(&self) -> JobId {
        self.inbox.cx.id()
    }

    /// Returns the job to be run.
    pub fn job(&self) -> &Job<J> {
        self.inbox.job.as_ref().expect("there until it is run")
    }

    /// Returns the context that the handler gets.
    pub fn context(&self) -> &JobContext {
        &self.inbox.cx
    }

    /// Runs the job with the handler, and records what became of it.
    ///
    /// A panic of the handler is contained and recorded. Dropping the future before it is ready abandons the job. In
    /// both cases the handler counts as broken, and the inbox gives no more jobs.
    pub async fn run(mut self, handler: &mut H) {
        self.settle_by(handler).await;
        self.inbox.leave_seat();
    }

    /// The same without leaving the seat, for a loop that asks for the next job at once: that leaves it, too, at less
    /// cost.
    #[inline]
    pub(super) fn settle_by(&mut self, handler: &mut H) -> impl Future<Output = ()> + Send {
        let inbox = &mut *self.inbox;
        async move {
            // Until it returns, the handler is in the middle of something.
            inbox.broken = true;
            let (outcome, in_job) = {
                let (core, cx) = (&*inbox.core, &inbox.cx);
                let mut start = Start {
                    handler,
                    job: &mut inbox.job,
                    cx,
                };
                let enter = || {
                    // Whatever it waited for, it goes on now. A wait that is not over enters itself anew.
                    core.end_waits(cx.worker());
                    current::enter(frame_of(core, cx))
                };
                contain_polls(|| start.handle(), enter).await
            };
            inbox.broken = outcome.is_err();
            let (how, outcome) = match outcome {
                Ok(Ok(output)) => (Finish::Completed, Ok(output)),
                Ok(Err(error)) => (Finish::Failed, Err(JobError::Failed(error))),
                Err(panic) => (Finish::Panicked, Err(JobError::Panicked(panic))),
            };
            inbox.settle_in_job(how, outcome);
            drop(in_job);
        }
    }

    /// Takes the job out of the inbox, which can then give the next one. This job's outcome is still owed.
    pub fn detach(self) -> Detached<J, H> {
        let inbox = &mut *self.inbox;
        let (job, id) = (inbox.job.take(), inbox.cx.id());
        let owed = std::mem::replace(&mut inbox.owed, Owed::Nothing);
        let cx = inbox.cx.clone();
        inbox.cx.turn_to(id, None);
        *inbox.cx.token() = None;
        let detached = Detached::new(inbox, cx, job, owed);
        inbox.seat.end();
        detached
    }

    /// Records an outcome that was reached without the handler, and drops the job.
    pub fn complete(self, outcome: Result<H::Output, H::Error>) {
        dispose(self.inbox.job.take());
        match outcome {
            Ok(output) => self.inbox.settle(Finish::Completed, Ok(output)),
            Err(error) => self
                .inbox
                .settle(Finish::Failed, Err(JobError::Failed(error))),
        }
        self.inbox.leave_seat();
    }
}

struct Start<'a, J, H> {
    handler: &'a mut H,
    job: &'a mut Option<Job<J>>,
    cx: &'a JobContext,
}

impl<J, H: JobHandler<J>> Start<'_, J, H> {
    #[inline]
    fn handle(&mut self) -> impl Future<Output = Result<H::Output, H::Error>> {
        let job = self.job.take().expect("an assigned job is run once");
        self.handler.handle(job.into_inner(), self.cx)
    }
}

impl<J: Send + 'static, H: JobHandler<J>> Drop for Assigned<'_, J, H> {
    #[inline]
    fn drop(&mut self) {
        if !matches!(self.inbox.owed, Owed::Nothing) {
            self.inbox.finish();
        }
    }
}

impl<J: Send + 'static, H: JobHandler<J>> fmt::Debug for Assigned<'_, J, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assigned")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
