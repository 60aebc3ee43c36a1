//! The handles of a pool: what a user holds.

use crate::builder::PoolBuilder;
use crate::core::Core;
use crate::desk::Strategy;
use crate::dispatcher::Dispatcher;
use crate::frame;
use crate::handler::{JobHandler, JobHandlerFactory};
use crate::metrics::Metrics;
use crate::registry;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::{Arc, Weak};

/// What jobs of a pool with the factory `H` give.
pub(crate) type OutputOf<J, H> = <<H as JobHandlerFactory<J>>::Handler as JobHandler<J>>::Output;
/// How jobs of a pool with the factory `H` fail.
pub(crate) type ErrorOf<J, H> = <<H as JobHandlerFactory<J>>::Handler as JobHandler<J>>::Error;

/// A pool of workers behind one bounded queue.
///
/// A handle: cheap to clone, and every clone is the same pool. All that can be asked of a pool is asked
/// of its [`Submitter`], which a pool dereferences to; the methods are listed there, and below under
/// *Methods from Deref*. Keep a `Submitter` where the factory's type `H` cannot be named.
///
/// When the last handle is dropped, the pool closes; jobs that were accepted still run, in the
/// background. Use [`shutdown`](Submitter::shutdown) or
/// [`drain_on_drop`](Submitter::drain_on_drop) to wait for them.
pub struct Pool<J, H: JobHandlerFactory<J>> {
    submitter: Submitter<J, OutputOf<J, H>, ErrorOf<J, H>>,
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

impl<J: Send + 'static, H: JobHandlerFactory<J>> Pool<J, H> {
    /// Starts building a pool whose workers get their handlers from `factory`:
    /// [`handler_fn`](crate::handler_fn) and its like, [`handler_factory`](crate::handler_factory), or
    /// your own [`JobHandlerFactory`].
    pub fn builder(factory: H) -> PoolBuilder<J, H> {
        PoolBuilder::new(factory)
    }
}

impl<J, H: JobHandlerFactory<J>> Pool<J, H> {
    pub(crate) fn new(core: Arc<Core<J>>) -> Self {
        Pool {
            submitter: Submitter {
                handle: Arc::new(Handle { core }),
                _outcome: PhantomData,
            },
        }
    }

    /// The same pool, without its factory's type.
    pub fn submitter(&self) -> Submitter<J, OutputOf<J, H>, ErrorOf<J, H>> {
        self.submitter.clone()
    }

    /// A reference that does not keep the pool open, for handlers that submit to their own pool.
    ///
    /// A closure that is (part of) the factory `H` cannot hold a `WeakPool` of its own pool, whose type
    /// would contain itself: it takes a [`WeakSubmitter`].
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
        self.submitter.handle.describe("Pool", f)
    }
}

impl<J, T, E> Submitter<J, T, E> {
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

/// # Looking at the pool
impl<J, T, E> Submitter<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    /// The counters, as one consistent snapshot. Takes a few short locks, and reads some words for each
    /// worker.
    pub fn metrics(&self) -> Metrics {
        self.core().metrics()
    }

    /// How many dispatchers have workers. (How many workers there are, and jobs, is in
    /// [`metrics`](Self::metrics).)
    pub fn size(&self) -> usize {
        self.core().roster.dispatchers()
    }

    /// How much the queue holds: [`queue_capacity`](PoolBuilder::queue_capacity).
    pub fn queue_capacity(&self) -> usize {
        self.core().gate.capacity() as usize
    }

    /// Whether new jobs are refused for good.
    pub fn is_closed(&self) -> bool {
        self.core().gate.is_closed()
    }
}

/// # Changing the pool
impl<J, T, E> Submitter<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    /// Swaps the strategy of the running pool: `make` is called once for each dispatcher.
    ///
    /// Nothing is lost or reordered: what was bound to a worker stays bound, and what waits is for the new
    /// strategy to choose for. (But with a strategy that keeps no
    /// [affinity](crate::Dispatcher::affinity), it is forgotten who holds which key.) The dispatchers
    /// get their new strategies one after the other. Called by a strategy itself, it takes effect once that
    /// has answered.
    ///
    /// ```
    /// use fanpool::{LeastBusy, Pool, handler_fn};
    ///
    /// let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, std::io::Error>(n))).build()?;
    /// pool.set_dispatcher(LeastBusy::new);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_dispatcher<D: Dispatcher<J>>(&self, make: impl Fn() -> D) {
        let core = self.core().clone();
        // Made and asked here, where a panic is the caller's and changes nothing.
        let make = |_| Strategy::new(Box::new(make()));
        let strategies: Vec<_> = core.stations.iter().map(make).collect();
        frame::outside_desk(move || core.set_strategies(strategies));
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
        self.handle.describe("Submitter", f)
    }
}

impl<J> Handle<J> {
    fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("name", &self.core.name)
            .field("closed", &self.core.gate.is_closed())
            .field("capacity", &self.core.gate.capacity())
            .field("occupied", &self.core.gate.occupied())
            .finish_non_exhaustive()
    }
}

/// A [`Pool`] that it does not keep open.
pub struct WeakPool<J, H: JobHandlerFactory<J>> {
    submitter: WeakSubmitter<J, OutputOf<J, H>, ErrorOf<J, H>>,
}

impl<J, H: JobHandlerFactory<J>> WeakPool<J, H> {
    /// The pool, while any other handle is left.
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
