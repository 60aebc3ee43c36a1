//! The ways in. A [`Submitter`](crate::Submitter) holds the pool; each group of its methods has a file.

// The docs keep this order: one job comes first.
mod one_job;
pub(crate) mod job_builder;
pub(crate) mod permit;
pub(crate) mod group;
pub(crate) mod map;
pub(crate) mod group_handle;
pub(crate) mod error;
pub(crate) mod room;

use crate::engine::{Common, Core};
use crate::gate::Ticket;
use crate::handle::JobHandle;
use crate::id::JobId;
use crate::job::Job;
use crate::outcome::recycler::Recycler;
use crate::outcome::registry;
use crate::queue::envelope::Queued;
use crate::submit::error::SubmitError;
use crate::submit::room::{Entered, NoRoom};
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Weak};

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
    /// Sends the job, or gives it back. `X` is the job with or without its options.
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

    /// The same, with a handle.
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

/// A pool without the type of its handlers: to keep in a struct.
///
/// Like the [`Pool`](crate::Pool) it came from, it is a handle that keeps the pool open.
pub struct Submitter<J, T, E> {
    handle: Arc<Handle<J>>,
    _outcome: PhantomData<fn() -> (T, E)>,
}

/// Shared by all handles of a pool; dropping the last one closes it.
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

    /// Returns a reference that does not keep the pool open.
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

/// A [`Submitter`] that does not keep its pool open.
///
/// It is for closures that submit to the pool they run in: the pool's own type `H` would have to name the closure
/// itself.
pub struct WeakSubmitter<J, T, E> {
    handle: Weak<Handle<J>>,
    _outcome: PhantomData<fn() -> (T, E)>,
}

impl<J, T, E> WeakSubmitter<J, T, E> {
    /// Returns the pool, as long as another handle is left.
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
