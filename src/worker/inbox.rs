//! A worker's inbox gives it its jobs, and keeps the one in its hands.

use crate::context::JobContext;
use crate::desk::appetite::Hand;
use crate::desk::seat::{OwnSeat, Seat};
use crate::engine::Core;
use crate::handler::JobHandler;
use crate::id::{JobId, WorkerId};
use crate::job::{Job, Options};
use crate::metrics::Finish;
use crate::outcome::cell::Cell;
use crate::outcome::log::{AnyErrorLog, ErrorLog, JobFailure};
use crate::outcome::views::{At, Settle, Token};
use crate::outcome::{Ending, JobError};
use crate::queue::envelope::Claimed;
use crate::sync::panics::{Panic, contain_polls, dispose};
use crate::wait::current::{self, Frame};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Gives a worker its jobs.
pub struct Inbox<J, H: JobHandler<J>> {
    pub(super) core: Arc<Core<J>>,
    pub(super) seat: OwnSeat<J>,
    pub(super) errors: Arc<ErrorLog<H::Error>>,
    pub(super) hand: Hand,
    pub(super) cx: JobContext,
    /// The handler panicked or was dropped half-way.
    pub(super) broken: bool,
    pub(super) leaving: bool,
    pub(super) taken: u32,
    /// The job that `cx` is about, until it is run. It and what is owed to it are kept here and not in the `Assigned`,
    /// which a worker's loop might forget.
    pub(super) job: Option<Job<J>>,
    pub(super) owed: Owed,
    /// The last job has its outcome, and is still entered in the seat.
    pub(super) seated: bool,
}

/// The receiver of a job's outcome.
pub(super) enum Owed {
    /// There is no job, or it has its outcome.
    Nothing,
    /// Its handle, by the token in its context. The token stays there if the next job is in the same envelope.
    Handle { keep: bool },
    /// Only the log of errors, which needs the job's label. (A handle tells which job it was.)
    Log(Option<Arc<Options>>),
}

impl<J: Send + 'static, H: JobHandler<J>> Inbox<J, H> {
    #[inline(never)]
    pub(crate) fn new(core: Arc<Core<J>>, worker: WorkerId) -> Self {
        let seat = core.desk(worker).own_seat(worker.index());
        Inbox {
            hand: Hand::new(),
            seat,
            cx: JobContext::new(worker, core.stop.clone()),
            errors: ErrorLog::of(&core.errors),
            core,
            job: None,
            owed: Owed::Nothing,
            seated: false,
            broken: false,
            leaving: false,
            taken: 0,
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.core.time.now()
    }

    /// Runs what a handler does with jobs in its hands. Its panic is contained, and breaks the handler.
    pub(super) async fn guarded<F: Future<Output = ()>>(&mut self, handle: F) -> Result<(), Panic> {
        // Until it returns, the handler is in the middle of something.
        self.broken = true;
        let frame = Frame {
            job: None,
            ..frame_of(&self.core, &self.cx)
        };
        let core = &self.core;
        let enter = || {
            core.end_waits(frame.seat);
            current::enter(frame)
        };
        let (ended, _) = contain_polls(|| handle, enter).await;
        self.core.end_waits(frame.seat);
        self.broken = ended.is_err();
        ended
    }

    pub(super) fn seat(&self) -> &Seat<J> {
        &self.seat
    }

    pub(super) fn parts(&self) -> (Arc<Core<J>>, OwnSeat<J>, Arc<ErrorLog<H::Error>>) {
        (self.core.clone(), self.seat.clone(), self.errors.clone())
    }

    pub(super) fn hold(&mut self, id: JobId, claimed: Claimed<J>) {
        drop(hold(
            &mut self.cx,
            &mut self.owed,
            &mut self.job,
            id,
            claimed,
        ));
        self.took_one();
    }

    #[inline(always)]
    pub(super) fn took_one(&mut self) {
        self.taken = self.taken.wrapping_add(1);
        self.hand.took_one(|| self.core.time.now());
    }

    pub(super) fn settle(&mut self, how: Finish, outcome: Result<H::Output, JobError<H::Error>>) {
        let _in_job = current::enter(frame_of(&self.core, &self.cx));
        self.settle_in_job(how, outcome);
    }

    /// Counts the current job's outcome and publishes it; leaving the seat is left to the caller. Dropping an outcome
    /// that nobody takes runs foreign code, and is still part of the job. Inlined all the way to the cell: see
    /// `Slot::take_job`.
    #[inline(always)]
    pub(super) fn settle_in_job(
        &mut self,
        how: Finish,
        outcome: Result<H::Output, JobError<H::Error>>,
    ) {
        let seat = &*self.seat;
        seat.vitals().counts.finished(how);
        self.seated = true;
        match std::mem::replace(&mut self.owed, Owed::Nothing) {
            Owed::Nothing => debug_assert!(false, "a job is settled once"),
            Owed::Handle { keep } => publish::<J, _, _>(&mut self.cx, keep, outcome),
            Owed::Log(options) => match outcome {
                Ok(output) => drop(dispose(output)),
                Err(error) => {
                    let failure = JobFailure::new(self.cx.id(), options, error);
                    self.errors.record(failure);
                }
            },
        }
        self.core.end_waits(seat.id);
    }

    /// Leaves the seat and reports the end of a job that has its outcome.
    #[inline]
    pub(super) fn leave_seat(&mut self) {
        if std::mem::take(&mut self.seated) {
            self.seat.end();
            self.core.joins.over(self.cx.id());
        }
    }

    #[inline]
    pub(super) fn abandon(&mut self) {
        if !matches!(self.owed, Owed::Nothing) {
            self.abandon_current();
        }
    }

    #[cold]
    pub(super) fn abandon_current(&mut self) {
        dispose(self.job.take());
        let _in_job = current::enter(frame_of(&self.core, &self.cx));
        self.seat.vitals().counts.finished(Finish::Abandoned);
        self.seated = true;
        match std::mem::replace(&mut self.owed, Owed::Nothing) {
            Owed::Nothing => debug_assert!(false, "a job is settled once"),
            Owed::Handle { keep } => {
                if let Some(At { cell, at }) = self.cx.token() {
                    let cell = cell.as_any().downcast_ref::<Cell<J, H::Output, H::Error>>();
                    cell.expect(TYPES).end(*at, Ending::Abandoned);
                }
                if !keep {
                    *self.cx.token() = None;
                }
            }
            Owed::Log(options) => self.errors.unrun(self.cx.id(), options, Ending::Abandoned),
        }
        self.core.end_waits(self.seat.id);
    }

    /// Settles and reports the last job, if any.
    #[inline(never)]
    pub(crate) fn finish(&mut self) {
        self.abandon();
        self.leave_seat();
        *self.cx.token() = None;
    }

    /// Returns the worker that this inbox belongs to.
    pub fn worker(&self) -> WorkerId {
        self.seat.id
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving
    }

    pub(crate) fn taken(&self) -> u32 {
        self.taken
    }

    pub(crate) fn mend(&mut self) {
        self.broken = false;
    }
}

/// Makes a claimed job the current one. Runs under a tray's lock: nothing of the last job is left by then, so nothing
/// foreign is dropped here. Returns a token kept from the job before, to be dropped elsewhere.
#[inline(always)]
pub(super) fn hold<J: Send + 'static>(
    cx: &mut JobContext,
    owed: &mut Owed,
    current: &mut Option<Job<J>>,
    id: JobId,
    Claimed { job, slot }: Claimed<J>,
) -> Option<At<dyn Token>> {
    debug_assert!(current.is_none() && matches!(owed, Owed::Nothing));
    cx.turn_to(id, job.deadline());
    let stale = match slot {
        None => {
            *owed = Owed::Log(job.share_options());
            cx.token().take()
        }
        Some(At { cell, at }) => {
            let cell = cell.into_token();
            *owed = Owed::Handle { keep: false };
            cx.token().replace(At { cell, at })
        }
    };
    *current = Some(job);
    stale
}

/// The frame of a thread that works on the job that `cx` is about.
#[inline]
pub(super) fn frame_of<J>(core: &Core<J>, cx: &JobContext) -> Frame {
    Frame {
        pool: core.number,
        seat: cx.worker(),
        job: Some(cx.id()),
    }
}

/// Tells the handle of the job that `cx` is about; keeps the token or not.
#[inline(always)]
pub(super) fn publish<J, T, E>(cx: &mut JobContext, keep: bool, outcome: Result<T, JobError<E>>)
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    if let Some(At { cell, at }) = cx.token() {
        let cell = cell.as_any().downcast_ref::<Cell<J, T, E>>();
        cell.expect(TYPES).finish(*at, outcome);
    }
    if !keep {
        *cx.token() = None;
    }
}

const TYPES: &str = "a pool's cells have its handlers' types";

impl<J, H: JobHandler<J>> fmt::Debug for Inbox<J, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("worker", &self.seat.id)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}
