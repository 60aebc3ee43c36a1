//! Where a worker gets its jobs from, and a job in a worker's hands.

use super::WorkerId;
use super::hand::Hand;
use super::search::{Search, give_way};
use crate::cell::{At, Cell};
use crate::context::JobContext;
use crate::core::Core;
use crate::errors::{ErrorLog, JobFailure};
use crate::frame::{self, Frame};
use crate::handler::JobHandler;
use crate::job::{Job, JobId, Options};
use crate::metrics::Finish;
use crate::outcome::JobError;
use crate::station::Seat;
use crate::unwind::{contain_polls, dispose};
use std::fmt;
use std::sync::Arc;

/// On an executor, a worker lets other tasks run after this many jobs.
const TURN: u32 = 64;

/// Gives a worker its jobs.
pub struct Inbox<J, H: JobHandler<J>> {
    core: Arc<Core<J>>,
    seat: Arc<Seat<J>>,
    /// For jobs without a handle.
    errors: Arc<ErrorLog<H::Error>>,
    hand: Hand,
    cx: JobContext,
    /// The handler panicked or was dropped half-way.
    broken: bool,
    /// The pool is over.
    leaving: bool,
    taken: u32,
    /// The job that this worker owes an outcome. Kept here and not in the `Assigned`, which a worker's
    /// loop might forget.
    current: Option<Current<J, H>>,
}

struct Current<J, H: JobHandler<J>> {
    id: JobId,
    /// The slot of its handle.
    slot: Option<At<Cell<J, H::Output, H::Error>>>,
    options: Option<Arc<Options>>,
}

impl<J: Send + 'static, H: JobHandler<J>> Inbox<J, H> {
    pub(crate) fn new(core: Arc<Core<J>>, worker: WorkerId) -> Self {
        Inbox {
            seat: core.seat(worker).clone(),
            cx: JobContext::new(worker, core.stop.clone()),
            errors: ErrorLog::of(&core),
            core,
            hand: Hand::new(),
            current: None,
            broken: false,
            leaving: false,
            taken: 0,
        }
    }

    /// Waits for the next job. `None`: return from [`Worker::run`](super::Worker::run).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a job leaves the queue only with the answer.
    pub async fn next(&mut self) -> Option<Assigned<'_, J, H>> {
        self.abandon();
        if self.broken {
            return None;
        }
        if !self.core.dedicated && self.taken % TURN == TURN - 1 {
            give_way().await;
        }
        let (core, seat, hand) = (&*self.core, &*self.seat, &mut self.hand);
        let mut search = None;
        let (id, claimed) = loop {
            if let Some(found) = core.next_job(seat, hand) {
                break found;
            }
            if core.is_over() {
                self.leaving = true;
                return None;
            }
            hand.pause(|| core.time.now());
            let search = search.get_or_insert_with(|| Search::begin(core, seat));
            if !search.look_out().await {
                if let Some(found) = core.last_resort(seat) {
                    break found;
                }
                search.sleep().await;
            }
        };
        drop(search);
        self.taken = self.taken.wrapping_add(1);
        let slot = claimed.slot.map(|At { cell, at }| {
            let cell = cell.into_any().downcast::<Cell<J, H::Output, H::Error>>();
            let cell = cell.expect("a pool's cells have its handlers' types");
            At { cell, at }
        });
        let token = slot.as_ref().map(|slot| At {
            cell: slot.cell.clone() as _,
            at: slot.at,
        });
        self.cx.turn_to(id, token);
        // A handle tells which job it was; a job without one needs its label.
        let options = if slot.is_none() {
            claimed.job.share_options()
        } else {
            None
        };
        self.current = Some(Current { id, slot, options });
        self.hand.took_one(|| self.core.time.now());
        Some(Assigned {
            inbox: self,
            job: Some(claimed.job),
        })
    }

    /// Counts the current job's outcome, publishes it, then reports the job's end.
    fn settle(&mut self, how: Finish, outcome: Result<H::Output, JobError<H::Error>>) {
        let Some(Current { id, slot, options }) = self.current.take() else {
            return;
        };
        // Dropping what nobody takes is foreign code, and still part of the job.
        let _in_job = frame::enter(Frame {
            pool: self.core.number,
            seat: self.seat.id,
            job: Some(id),
        });
        self.seat.counts.finished(how);
        self.cx.turn_to(id, None);
        match (slot, outcome) {
            (Some(slot), outcome) => slot.cell.finish(slot.at, outcome),
            (None, Ok(output)) => drop(dispose(output)),
            (None, Err(error)) => self.errors.record(JobFailure::new(id, options, error)),
        }
        self.core.leave_seat(&self.seat, id);
    }

    /// Settles a job that was not settled.
    pub(crate) fn abandon(&mut self) {
        if self.current.is_some() {
            self.settle(Finish::Abandoned, Err(JobError::Abandoned));
        }
    }

    /// The worker that this inbox belongs to.
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

    /// There is a new handler.
    pub(crate) fn mend(&mut self) {
        self.broken = false;
    }
}

impl<J, H: JobHandler<J>> fmt::Debug for Inbox<J, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("worker", &self.seat.id)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

/// A job in a worker's hands: it has started, and this worker owes it an outcome.
///
/// [`run`](Self::run) it, or [`complete`](Self::complete) it by hand. One that is dropped is recorded
/// as [`Abandoned`](JobError::Abandoned).
#[must_use = "a job that is dropped is abandoned"]
pub struct Assigned<'a, J: Send + 'static, H: JobHandler<J>> {
    inbox: &'a mut Inbox<J, H>,
    job: Option<Job<J>>,
}

impl<J: Send + 'static, H: JobHandler<J>> Assigned<'_, J, H> {
    /// The job's number.
    pub fn id(&self) -> JobId {
        self.inbox.cx.id()
    }

    /// What is to be run.
    pub fn job(&self) -> &Job<J> {
        self.job.as_ref().expect("there until it is run")
    }

    /// What the handler is told.
    pub fn context(&self) -> &JobContext {
        &self.inbox.cx
    }

    /// Has the handler run the job, and records what became of it.
    ///
    /// A panic of the handler is contained and recorded. Dropping the future before it is ready
    /// abandons the job. In both cases the handler counts as broken, and the inbox gives no more jobs.
    pub async fn run(mut self, handler: &mut H) {
        let Some(job) = self.job.take() else { return };
        let frame = Frame {
            pool: self.inbox.core.number,
            seat: self.inbox.seat.id,
            job: Some(self.id()),
        };
        // Until it returns, the handler is in the middle of something.
        self.inbox.broken = true;
        let cx = &self.inbox.cx;
        let start = || handler.handle(job.into_inner(), cx);
        let core = &self.inbox.core;
        let enter = || {
            // Whatever it waited for, it goes on now. What it waits for still, it enters anew.
            core.end_waits(frame.seat);
            frame::enter(frame)
        };
        let outcome = contain_polls(start, enter).await;
        self.inbox.broken = outcome.is_err();
        match outcome {
            Ok(Ok(output)) => self.inbox.settle(Finish::Completed, Ok(output)),
            Ok(Err(error)) => self
                .inbox
                .settle(Finish::Failed, Err(JobError::Failed(error))),
            Err(panic) => self
                .inbox
                .settle(Finish::Panicked, Err(JobError::Panicked(panic))),
        }
    }

    /// Records an outcome that was come by without the handler, and drops the job.
    pub fn complete(mut self, outcome: Result<H::Output, H::Error>) {
        dispose(self.job.take());
        match outcome {
            Ok(output) => self.inbox.settle(Finish::Completed, Ok(output)),
            Err(error) => self
                .inbox
                .settle(Finish::Failed, Err(JobError::Failed(error))),
        }
    }
}

impl<J: Send + 'static, H: JobHandler<J>> Drop for Assigned<'_, J, H> {
    fn drop(&mut self) {
        dispose(self.job.take());
        self.inbox.abandon();
    }
}

impl<J: Send + 'static, H: JobHandler<J>> fmt::Debug for Assigned<'_, J, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assigned")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
