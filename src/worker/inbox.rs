//! Where a worker gets its jobs from, and a job in a worker's hands.

use super::Detached;
use super::search::{give_way, poll_for_job};
use crate::context::JobContext;
use crate::desk::appetite::Hand;
use crate::desk::seat::{OwnSeat, Seat};
use crate::engine::Core;
use crate::handler::JobHandler;
use crate::id::JobId;
use crate::id::WorkerId;
use crate::job::{self, Job, Options};
use crate::metrics::Finish;
use crate::outcome::cell::Cell;
use crate::outcome::log::ErrorLog;
use crate::outcome::log::JobFailure;
use crate::outcome::log::Untold;
use crate::outcome::views::{At, Settle, Token};
use crate::outcome::{Ending, JobError};
use crate::queue::envelope::{Claimed, Queued};
use crate::sync::fault::{Fault, seeded};
use crate::sync::panics::{Panic, contain_polls, dispose};
use crate::time::clock::first;
use crate::wait::current::{self, Frame};
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

/// On an executor, a worker lets other tasks run after this many jobs.
const TURN: u32 = 64;

/// Gives a worker its jobs.
pub struct Inbox<J, H: JobHandler<J>> {
    core: Arc<Core<J>>,
    seat: OwnSeat<J>,
    /// For jobs without a handle.
    errors: Arc<ErrorLog<H::Error>>,
    hand: Hand,
    cx: JobContext,
    /// The handler panicked or was dropped half-way.
    broken: bool,
    /// The pool is over.
    leaving: bool,
    taken: u32,
    /// The job that `cx` is about, until it is run. It is kept here, as is what is owed to it, and not in
    /// the `Assigned`, which a worker's loop might forget.
    job: Option<Job<J>>,
    owed: Owed,
    /// The last job has its outcome, and is still entered in the seat.
    seated: bool,
}

/// Whom to tell of a job's outcome.
pub(super) enum Owed {
    /// There is no job, or it has its outcome.
    Nothing,
    /// Its handle, by the token in its context. That stays there, if the next job is in the same envelope.
    Handle { keep: bool },
    /// Nobody, but the log of errors, which needs the job's label. A handle tells which job it was.
    Log(Option<Arc<Options>>),
}

impl<J: Send + 'static, H: JobHandler<J>> Inbox<J, H> {
    #[inline(never)]
    pub(crate) fn new(core: Arc<Core<J>>, worker: WorkerId) -> Self {
        let seat = core.station(worker).own_seat(worker.index());
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

    /// Waits for the next job. `None`: return from [`Worker::run`](super::Worker::run).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a job leaves the queue only with the answer.
    pub async fn next(&mut self) -> Option<Assigned<'_, J, H>> {
        self.abandon();
        if self.broken {
            self.leave_seat();
            return None;
        }
        if !self.core.dedicated && self.taken % TURN == TURN - 1 {
            self.leave_seat();
            give_way().await;
        }
        if self.take_at_hand() || self.look_for_one().await {
            Some(Assigned { inbox: self })
        } else {
            None
        }
    }

    /// The next job if there is one now. `None` also when there will be no more, which only
    /// [`next`](Self::next) tells apart.
    pub fn try_next(&mut self) -> Option<Assigned<'_, J, H>> {
        self.abandon();
        if self.broken {
            self.leave_seat();
            return None;
        }
        if !self.take_at_hand() {
            let found = self.core.next_job(&self.seat, &mut self.hand);
            let (id, claimed) = found.or_else(|| self.core.last_resort(&self.seat))?;
            self.hold(id, claimed);
        }
        Some(Assigned { inbox: self })
    }

    /// The pool's time.
    pub(super) fn now(&self) -> Instant {
        self.core.time.now()
    }

    /// The next job, if it comes before `due`.
    pub(super) async fn next_until(&mut self, due: Instant) -> Option<Detached<J, H>> {
        let left = due.saturating_duration_since(self.now());
        if left.is_zero() {
            return None;
        }
        let sleep = self.core.time.sleep(left);
        let next = async { self.next().await.map(Assigned::detach) };
        first(next, sleep).await.flatten()
    }

    /// Runs what a handler does with jobs in its hands; its panic is contained, and breaks it.
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

    /// Takes the next of the jobs that the worker took ahead, unless others were quicker, or it was cancelled.
    #[inline(always)]
    fn take_at_hand(&mut self) -> bool {
        if self.hand.ahead == 0 {
            self.leave_seat();
            return false;
        }
        let last = self.cx.id();
        if seeded(Fault::SeatKept) && self.seated {
            self.core.joins.over(last);
            self.seated = false;
        }
        let (cx, owed, current) = (&mut self.cx, &mut self.owed, &mut self.job);
        let mut stale = None;
        let claim = |envelope: &mut Queued<J>| {
            let id = envelope.id();
            if envelope.others() > 0 {
                let job = envelope.claim_first(cx.token(), &mut stale)?;
                cx.turn_to(id, job.deadline());
                *owed = Owed::Handle { keep: true };
                *current = Some(job);
            } else {
                let claimed = envelope.claim()?;
                stale = hold(cx, owed, current, id, claimed);
            }
            Some(job::weight(current.as_ref().and_then(Job::options)))
        };
        let seat = &*self.seat;
        let started = self.core.start_in_hand(seat, &mut self.hand, claim);
        // Not under the tray's lock.
        drop(stale);
        if started && seeded(Fault::RoomKept) {
            self.core.joins.over(last);
        }
        if started {
            // Before any waker is called, which may wait for the room.
            let options = self.job.as_ref().and_then(Job::options);
            self.core.started_in_hand(seat, options);
            self.took_one();
        }
        // That look was under the tray's lock, and a job that was started has the seat: see joins.rs.
        if std::mem::take(&mut self.seated) {
            if !started {
                self.seat.end();
            }
            self.core.joins.over(last);
        }
        if !started {
            *self.cx.token() = None;
        }
        started
    }

    /// Waits for a job that the worker has not taken ahead. Answers whether there is one: if not, the pool
    /// is over.
    #[expect(clippy::manual_async_fn, reason = "it would keep its arguments twice")]
    fn look_for_one(&mut self) -> impl Future<Output = bool> + Send {
        async move {
            let found = {
                let mut search = None;
                let (core, seat, hand) = (&*self.core, &*self.seat, &mut self.hand);
                poll_fn(|cx| poll_for_job(core, seat, hand, &mut search, cx)).await
            };
            match found {
                Some((id, claimed)) => self.hold(id, claimed),
                None => self.leaving = true,
            }
            !self.leaving
        }
    }

    fn hold(&mut self, id: JobId, claimed: Claimed<J>) {
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
    fn took_one(&mut self) {
        self.taken = self.taken.wrapping_add(1);
        self.hand.took_one(|| self.core.time.now());
    }

    fn settle(&mut self, how: Finish, outcome: Result<H::Output, JobError<H::Error>>) {
        let _in_job = current::enter(frame_of(&self.core, &self.cx));
        self.settle_in_job(how, outcome);
    }

    /// Counts the current job's outcome and publishes it. What is left is to leave the seat. Dropping what nobody takes
    /// is foreign code, and still part of the job. Inlined all the way to the cell: see `Slot::take_job`.
    #[inline(always)]
    fn settle_in_job(&mut self, how: Finish, outcome: Result<H::Output, JobError<H::Error>>) {
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

    /// Reports the end of a job that has its outcome.
    #[inline]
    fn leave_seat(&mut self) {
        if std::mem::take(&mut self.seated) {
            self.seat.end();
            self.core.joins.over(self.cx.id());
        }
    }

    /// Settles a job that was not settled.
    #[inline]
    fn abandon(&mut self) {
        if !matches!(self.owed, Owed::Nothing) {
            self.abandon_current();
        }
    }

    #[cold]
    fn abandon_current(&mut self) {
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

    /// Owes nothing more to the job it had last, if any.
    #[inline(never)]
    pub(crate) fn finish(&mut self) {
        self.abandon();
        self.leave_seat();
        *self.cx.token() = None;
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

/// Makes a job that was claimed the current one. Under a tray's lock: nothing of the last job is left by then, so
/// nothing foreign is dropped here. Answers a token that was kept from the job before, to be dropped elsewhere.
#[inline(always)]
fn hold<J: Send + 'static>(
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

/// What a thread is in the middle of while it is about the job that `cx` is about.
#[inline]
fn frame_of<J>(core: &Core<J>, cx: &JobContext) -> Frame {
    Frame {
        pool: core.number,
        seat: cx.worker(),
        job: Some(cx.id()),
    }
}

/// Tells the handle of the job that `cx` is about, and keeps the token or not.
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

/// A job in a worker's hands: it has started, and this worker owes it an outcome.
///
/// [`run`](Self::run) it, or [`complete`](Self::complete) it by hand. One that is dropped is recorded
/// as [`Abandoned`](JobError::Abandoned).
#[must_use = "a job that is dropped is abandoned"]
pub struct Assigned<'a, J: Send + 'static, H: JobHandler<J>> {
    inbox: &'a mut Inbox<J, H>,
}

impl<J: Send + 'static, H: JobHandler<J>> Assigned<'_, J, H> {
    /// The job's number.
    pub fn id(&self) -> JobId {
        self.inbox.cx.id()
    }

    /// What is to be run.
    pub fn job(&self) -> &Job<J> {
        self.inbox.job.as_ref().expect("there until it is run")
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
        self.settle_by(handler).await;
        self.inbox.leave_seat();
    }

    /// The same without leaving the seat: for a loop that asks for the next job at once, which does that, too, at
    /// less cost.
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
                    // Whatever it waited for, it goes on now. What it waits for still, it enters anew.
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

    /// Takes the job out of the inbox, which then gives the next one, while this one's outcome is still owed.
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

    /// Records an outcome that was come by without the handler, and drops the job.
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

/// What a job is started with.
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
