//! The handles of a pool.

use crate::desk::Strategy;
use crate::dispatcher::Dispatcher;
use crate::engine::Core;
use crate::handle::errors::ErrorStream;
use crate::handler::{JobHandler, JobHandlerFactory};
use crate::metrics::Metrics;
use crate::outcome::log::ErrorLog;
use crate::submit::{Submitter, WeakSubmitter};
use crate::wait::current;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

pub(crate) type OutputOf<J, H> = <<H as JobHandlerFactory<J>>::Handler as JobHandler<J>>::Output;
pub(crate) type ErrorOf<J, H> = <<H as JobHandlerFactory<J>>::Handler as JobHandler<J>>::Error;

/// A pool of workers behind one bounded queue.
///
/// A `Pool` is a handle: cheap to clone, and every clone is the same pool. Its methods are those of its [`Submitter`],
/// which it dereferences to; they are also listed below under *Methods from Deref*. Keep a `Submitter` where the
/// factory's type `H` cannot be named.
///
/// When the last handle is dropped, the pool closes; accepted jobs still run, in the background. Use
/// [`shutdown`](Submitter::shutdown) or [`drain_on_drop`](Submitter::drain_on_drop) to wait for them.
pub struct Pool<J, H: JobHandlerFactory<J>> {
    submitter: Submitter<J, OutputOf<J, H>, ErrorOf<J, H>>,
}

impl<J, H: JobHandlerFactory<J>> Pool<J, H> {
    pub(crate) fn new(core: Arc<Core<J>>) -> Self {
        Pool {
            submitter: Submitter::new(core),
        }
    }

    /// Returns the same pool without its factory's type.
    pub fn submitter(&self) -> Submitter<J, OutputOf<J, H>, ErrorOf<J, H>> {
        self.submitter.clone()
    }

    /// Returns a reference that does not keep the pool open, for handlers that submit to their own pool.
    ///
    /// A closure that is (part of) the factory `H` cannot hold a `WeakPool` of its own pool, whose type would contain
    /// itself. It takes a [`WeakSubmitter`].
    ///
    /// ```
    /// use fanpool::{Pool, WeakSubmitter, handler_fn};
    /// use std::convert::Infallible;
    /// use std::sync::{Arc, OnceLock};
    ///
    /// let own: Arc<OnceLock<WeakSubmitter<u64, (), Infallible>>> = Arc::default();
    /// let pool = Pool::builder(handler_fn({
    ///     let own = own.clone();
    ///     move |n: u64| {
    ///         if let Some(pool) = own.get().and_then(WeakSubmitter::upgrade).filter(|_| n > 0) {
    ///             let _ = pool.try_send(n - 1);
    ///         }
    ///         Ok(())
    ///     }
    /// }))
    /// .build()?;
    /// let _ = own.set(pool.submitter().downgrade());
    /// # pool.run_blocking(2)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn downgrade(&self) -> WeakPool<J, H> {
        WeakPool {
            submitter: self.submitter.downgrade(),
        }
    }
}

impl<J, H: JobHandlerFactory<J>> Deref for Pool<J, H> {
    type Target = Submitter<J, OutputOf<J, H>, ErrorOf<J, H>>;

    fn deref(&self) -> &Self::Target {
        &self.submitter
    }
}

impl<J, H: JobHandlerFactory<J>> Clone for Pool<J, H> {
    fn clone(&self) -> Self {
        Pool {
            submitter: self.submitter.clone(),
        }
    }
}

impl<J, H: JobHandlerFactory<J>> fmt::Debug for Pool<J, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.submitter.describe("Pool", f)
    }
}

/// # Looking at the pool
impl<J, T, E> Submitter<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    /// Returns the counters as one consistent snapshot. Takes a few short locks and reads some words for each worker.
    pub fn metrics(&self) -> Metrics {
        self.core().metrics()
    }

    /// Returns how many dispatchers have workers. [`metrics`](Self::metrics) counts the workers and the jobs.
    pub fn size(&self) -> usize {
        self.core().roster.dispatchers()
    }

    /// Returns how much the queue holds: [`queue_capacity`](crate::PoolBuilder::queue_capacity).
    pub fn queue_capacity(&self) -> usize {
        self.core().gate.capacity() as usize
    }

    /// Returns whether new jobs are refused for good.
    pub fn is_closed(&self) -> bool {
        self.core().gate.is_closed()
    }
}

/// # Errors of jobs without a handle
impl<J, T, E> Submitter<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    /// Receives what went wrong with jobs sent without a handle: each that did not complete, with its number and why.
    ///
    /// The pool keeps errors from its start, up to [`error_capacity`](crate::PoolBuilder::error_capacity). No worker
    /// ever waits for a receiver: beyond that, the oldest is dropped and counted
    /// ([`Metrics::errors_dropped`](crate::Metrics::errors_dropped)).
    ///
    /// ```
    /// use fanpool::{Pool, handler_fn};
    ///
    /// let pool = Pool::builder(handler_fn(|n: u32| n.checked_sub(1).ok_or("below zero"))).build()?;
    /// pool.send_blocking(0)?;
    /// let failure = pool.errors().recv_blocking().expect("one job failed");
    /// assert_eq!(failure.to_string(), "job 1: job failed: below zero");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn errors(&self) -> ErrorStream<E> {
        ErrorStream::new(ErrorLog::of(&self.core().errors), self.core().number)
    }
}

/// # Changing the pool
impl<J, T, E> Submitter<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    /// Swaps the strategy of the running pool. `make` is called once for each dispatcher.
    ///
    /// Nothing is lost or reordered: bound jobs stay bound, and the new strategy chooses for those that wait. But a
    /// strategy without [affinity](crate::Dispatcher::affinity) makes the pool forget which worker holds which key. The
    /// dispatchers switch one after the other. When a strategy itself calls this, it takes effect once that strategy
    /// has answered.
    ///
    /// ```
    /// use fanpool::{LeastBusy, Pool, handler_fn};
    ///
    /// let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, std::io::Error>(n))).build()?;
    /// pool.set_dispatcher(LeastBusy::new);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// When `make` panics, or a new strategy that is asked about itself. Then nothing changes.
    pub fn set_dispatcher<D: Dispatcher<J>>(&self, make: impl Fn() -> D) {
        let core = self.core().clone();
        // Made and asked here, where a panic is the caller's and changes nothing.
        let make = |_| Strategy::new(Box::new(make()));
        let strategies: Vec<_> = core.desks.iter().map(make).collect();
        current::outside_desk(move || core.set_strategies(strategies));
    }
}

/// A reference to a [`Pool`] that does not keep it open.
pub struct WeakPool<J, H: JobHandlerFactory<J>> {
    submitter: WeakSubmitter<J, OutputOf<J, H>, ErrorOf<J, H>>,
}

impl<J, H: JobHandlerFactory<J>> WeakPool<J, H> {
    /// Returns the pool, as long as another handle is left.
    pub fn upgrade(&self) -> Option<Pool<J, H>> {
        Some(Pool {
            submitter: self.submitter.upgrade()?,
        })
    }
}

impl<J, H: JobHandlerFactory<J>> Clone for WeakPool<J, H> {
    fn clone(&self) -> Self {
        WeakPool {
            submitter: self.submitter.clone(),
        }
    }
}

impl<J, H: JobHandlerFactory<J>> fmt::Debug for WeakPool<J, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(WeakPool)")
    }
}

pub(crate) mod builder;
pub(crate) mod shutdown;
