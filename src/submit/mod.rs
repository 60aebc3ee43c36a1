//! The ways in. Every waiting call exists as a future and as a blocking twin that drives that future
//! on the calling thread.

pub(crate) mod error;
pub(crate) mod group;
pub(crate) mod group_handle;
pub(crate) mod job_builder;
pub(crate) mod map;
pub(crate) mod permit;
pub(crate) mod room;

use crate::engine::{Common, Core};
use crate::gate::{Ticket, Want};
use crate::handle::JobHandle;
use crate::id::JobId;
use crate::job::Job;
use crate::outcome::recycler::Recycler;
use crate::outcome::registry;
use crate::queue::envelope::Queued;
use crate::submit::error::{RunError, SubmitError};
use crate::submit::room::{Entered, NoRoom};
use crate::wait::park::block_on;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Weak};
use std::time::Duration;

impl NoRoom {
    pub(crate) fn with<X>(self, job: X) -> SubmitError<X> {
        match self {
            NoRoom::Full => SubmitError::Full(job),
            NoRoom::Closed => SubmitError::Closed(job),
            NoRoom::TimedOut => SubmitError::TimedOut(job),
            NoRoom::TooHeavy => SubmitError::TooHeavy(job),
            NoRoom::WouldDeadlock => SubmitError::WouldDeadlock(job),
            NoRoom::KeyFull(key) => SubmitError::KeyFull { job, key },
        }
    }
}

impl Common {
    pub(crate) fn refuse<X>(&self, why: NoRoom, job: X) -> SubmitError<X> {
        self.counts.refused(1);
        why.with(job)
    }
}

impl<J: Send + 'static> Core<J> {
    /// Sends the job on its way, or gives it back. `X` is the job with or without its options.
    #[inline]
    pub(crate) fn send_with<X>(&self, job: X, entered: Entered) -> Result<(), SubmitError<X>>
    where
        X: Into<Job<J>>,
    {
        match entered {
            Ok(tickets) => {
                self.send_off(job.into(), tickets.start);
                Ok(())
            }
            Err(why) => Err(self.refuse(why, job)),
        }
    }

    /// The same, with a handle for its outcome.
    #[inline]
    pub(crate) fn submit_with<X, T, E>(
        &self,
        job: X,
        entered: Entered,
    ) -> Result<JobHandle<T, E>, SubmitError<X>>
    where
        X: Into<Job<J>>,
        T: Send + 'static,
        E: Send + 'static,
    {
        match entered {
            Ok(tickets) => Ok(self.submit_off(job.into(), tickets.start)),
            Err(why) => Err(self.refuse(why, job)),
        }
    }

    #[inline]
    pub(crate) fn send_off(&self, job: Job<J>, ticket: Ticket) {
        let id = JobId::from_ticket(ticket);
        self.admit(Queued::plain(id, self.number, job));
    }

    pub(crate) fn submit_off<T, E>(&self, job: Job<J>, ticket: Ticket) -> JobHandle<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let cell = Recycler::of(&*self.recycler).cell(job);
        let id = cell.number(0, ticket);
        let handle = JobHandle::new(cell.clone());
        self.admit(Queued::tracked(id, cell, 0));
        handle
    }
}

/// A pool, without the type of its handlers: to keep in a struct.
///
/// As good a handle as the [`Pool`] it came from: it keeps the pool open.
pub struct Submitter<J, T, E> {
    handle: Arc<Handle<J>>,
    _outcome: PhantomData<fn() -> (T, E)>,
}

/// Shared by all handles of a pool; the last one to go closes it.
struct Handle<J> {
    core: Arc<Core<J>>,
}

impl<J> Drop for Handle<J> {
    fn drop(&mut self) {
        if let Some(home) = registry::find(self.core.number) {
            home.close();
        }
    }
}

impl<J, T, E> Submitter<J, T, E> {
    pub(crate) fn new(core: Arc<Core<J>>) -> Self {
        Submitter {
            handle: Arc::new(Handle { core }),
            _outcome: PhantomData,
        }
    }

    pub(crate) fn core(&self) -> &Arc<Core<J>> {
        &self.handle.core
    }

    /// A reference that does not keep the pool open.
    pub fn downgrade(&self) -> WeakSubmitter<J, T, E> {
        WeakSubmitter {
            handle: Arc::downgrade(&self.handle),
            _outcome: PhantomData,
        }
    }
}

impl<J, T, E> Clone for Submitter<J, T, E> {
    fn clone(&self) -> Self {
        Submitter {
            handle: self.handle.clone(),
            _outcome: PhantomData,
        }
    }
}

impl<J, T, E> fmt::Debug for Submitter<J, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe("Submitter", f)
    }
}

impl<J, T, E> Submitter<J, T, E> {
    pub(crate) fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = self.core();
        f.debug_struct(name)
            .field("name", &core.name)
            .field("closed", &core.gate.is_closed())
            .field("capacity", &core.gate.capacity())
            .field("occupied", &core.gate.occupied())
            .finish_non_exhaustive()
    }
}

/// A [`Submitter`] that does not keep its pool open: for closures that submit to the pool they run in,
/// whose own type `H` would have to name itself.
pub struct WeakSubmitter<J, T, E> {
    handle: Weak<Handle<J>>,
    _outcome: PhantomData<fn() -> (T, E)>,
}

impl<J, T, E> WeakSubmitter<J, T, E> {
    /// The pool, while any other handle is left.
    pub fn upgrade(&self) -> Option<Submitter<J, T, E>> {
        Some(Submitter {
            handle: self.handle.upgrade()?,
            _outcome: PhantomData,
        })
    }
}

impl<J, T, E> Clone for WeakSubmitter<J, T, E> {
    fn clone(&self) -> Self {
        WeakSubmitter {
            handle: self.handle.clone(),
            _outcome: PhantomData,
        }
    }
}

impl<J, T, E> fmt::Debug for WeakSubmitter<J, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(WeakSubmitter)")
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
/// nor does one with a handle while outcomes are taken as jobs come in.
///
/// Room is not handed out in turn: a newcomer that finds room takes it, whoever has been waiting. Those
/// who wait are woken as soon as room frees, one after the other while there is more. But while somebody
/// waits for more than one unit ([`weight`](crate::JobBuilder::weight),
/// [`reserve_weight`](Self::reserve_weight)), newcomers wait in line behind, and calls that never wait
/// answer `Full`.
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
/// Once it is ready, the job is accepted. [`reserve`](Self::reserve) first, to keep the job meanwhile.
///
/// # Blocking
///
/// The blocking twins park the calling thread. On an executor's thread that stops every task that
/// lives there, perhaps the workers: use the futures there.
///
/// In front of a full queue, a thread lets others run, for about a millisecond at most. If by how fast room was made before
/// it takes half a millisecond and more until a quarter of the queue is free, it sleeps so long instead, and 10 ms at most:
/// until then neither room nor a close wakes it. So it does from 50 µs on, if nobody else wants its core. The futures and
/// the timed calls do not.
impl<J, T, E> Submitter<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    /// Waits for room and gives a handle for the job's outcome.
    pub async fn submit(&self, job: J) -> Result<JobHandle<T, E>, SubmitError<J>> {
        let entered = self.core().enter(Want::job(1)).await;
        self.core().submit_with(job, entered)
    }

    /// Blocking twin of [`submit`](Self::submit).
    pub fn submit_blocking(&self, job: J) -> Result<JobHandle<T, E>, SubmitError<J>> {
        let entered = self.core().enter_blocking(Want::job(1));
        self.core().submit_with(job, entered)
    }

    /// Waits for room, but no longer than `limit`. Works on any executor; the first timed wait of a
    /// pool that really has to wait starts its timekeeper thread.
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

    /// Submits if there is room now.
    pub fn try_submit(&self, job: J) -> Result<JobHandle<T, E>, SubmitError<J>> {
        let entered = self.core().try_enter(Want::job(1));
        self.core().submit_with(job, entered)
    }

    /// Waits for room; the outcome goes unseen.
    pub async fn send(&self, job: J) -> Result<(), SubmitError<J>> {
        let entered = self.core().enter(Want::job(1)).await;
        self.core().send_with(job, entered)
    }

    /// Blocking twin of [`send`](Self::send).
    pub fn send_blocking(&self, job: J) -> Result<(), SubmitError<J>> {
        let entered = self.core().enter_blocking(Want::job(1));
        self.core().send_with(job, entered)
    }

    /// Sends if there is room now.
    pub fn try_send(&self, job: J) -> Result<(), SubmitError<J>> {
        let entered = self.core().try_enter(Want::job(1));
        self.core().send_with(job, entered)
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
