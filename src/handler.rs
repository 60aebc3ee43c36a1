//! Handlers, which run jobs, one for each worker; and the factories that make them.

use crate::context::JobContext;
use crate::id::WorkerId;
use crate::sync::boxed::BoxError;
use std::error::Error;
use std::fmt;
use std::future::{Future, ready};
use std::sync::Arc;

/// Runs the jobs of one worker.
///
/// Each worker has a handler of its own, so `&mut self` state, such as a connection or a buffer, needs no lock.
/// Implementors write `async fn handle`, without any attribute. A `handle` that never awaits blocks its worker, which
/// is right on threads ([`Threads`](crate::Threads)) and wrong on an executor.
///
/// # Contract
///
/// A handler gets one job at a time. After a panic, or after its future was dropped half-way, it is dropped and
/// replaced by a new one, so it never sees a job in a state it did not choose.
///
/// ```
/// use fanpool::{JobContext, JobHandler};
///
/// struct Sum(u64);
///
/// impl JobHandler<u64> for Sum {
///     type Output = u64;
///     type Error = std::convert::Infallible;
///
///     async fn handle(&mut self, job: u64, _: &JobContext) -> Result<u64, Self::Error> {
///         self.0 += job;
///         Ok(self.0)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not run jobs of type `{J}`",
    note = "a handler is `Send`; closures become one through `handler_fn` or `async_handler_fn`"
)]
pub trait JobHandler<J>: Send + 'static {
    /// The result of a job.
    type Output: Send + 'static;
    /// The error of a failed job.
    type Error: Send + 'static;

    /// Runs one job.
    fn handle(
        &mut self,
        job: J,
        cx: &JobContext,
    ) -> impl Future<Output = Result<Self::Output, Self::Error>> + Send;
}

/// Makes a handler for each worker.
///
/// The worker itself calls it, before its first job and after it lost its handler. A factory that fails or panics is
/// called again after 10 ms, then after twice as long each time, up to 10 s. Meanwhile its worker takes no jobs, and
/// [`ready`](crate::Submitter::ready) reports the error. In a closed pool a failed factory is not called again.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not make handlers for jobs of type `{J}`",
    note = "closures become a factory through `handler_fn`, `async_handler_fn` (cloned for each worker: `Clone + Send + Sync`) or `handler_factory`",
    note = "a handler is not its own factory: `handler_factory(|_worker| Ok::<_, Infallible>(handler))` makes one for each worker"
)]
pub trait JobHandlerFactory<J>: Send + Sync + 'static {
    /// The handlers it makes.
    type Handler: JobHandler<J>;

    /// Makes the handler of `worker`. May connect, load or wait; the other workers go on meanwhile.
    fn create(
        &self,
        worker: WorkerId,
    ) -> impl Future<Output = Result<Self::Handler, BoxError>> + Send;
}

/// The error of a worker that could not get its handler. The pool tries again, with growing pauses.
#[derive(Debug, Clone)]
pub struct FactoryError {
    worker: WorkerId,
    source: Arc<dyn Error + Send + Sync>,
}

impl FactoryError {
    pub(crate) fn new(worker: WorkerId, source: BoxError) -> Self {
        FactoryError {
            worker,
            source: source.into(),
        }
    }

    /// The worker without a handler.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }
}

impl fmt::Display for FactoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "worker {} could not get its handler: {}",
            self.worker, self.source
        )
    }
}

impl Error for FactoryError {
    /// The cause of the factory's error, whose own text is already part of this error's.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}

macro_rules! closure_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name<F>(F);

        impl<F> fmt::Debug for $name<F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

closure_type!(
    /// A blocking closure as a handler and its factory: see [`handler_fn`].
    HandlerFn
);
closure_type!(
    /// A blocking closure that takes the job's context: see [`handler_fn_with`].
    HandlerFnWith
);
closure_type!(
    /// An async closure as a handler and its factory: see [`async_handler_fn`].
    AsyncHandlerFn
);
closure_type!(
    /// An async closure that takes the job's context: see [`async_handler_fn_with`].
    AsyncHandlerFnWith
);
closure_type!(
    /// A closure as a factory: see [`handler_factory`].
    FactoryFn
);
closure_type!(
    /// An async closure as a factory: see [`async_handler_factory`].
    AsyncFactoryFn
);

/// Makes a handler from a blocking closure.
///
/// As a factory, it clones itself for each worker. If the closure cannot be cloned, say because it owns a connection, a
/// [`handler_factory`] can make one for each worker.
///
/// ```
/// use fanpool::{Pool, handler_fn};
///
/// let pool = Pool::builder(handler_fn(|text: String| text.parse::<i32>())).build()?;
/// assert_eq!(pool.run_blocking("42".into())?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn handler_fn<J, T, E, F>(handle: F) -> HandlerFn<F>
where
    F: FnMut(J) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    HandlerFn(handle)
}

/// Like [`handler_fn`], for a closure that also takes the job's [`JobContext`].
pub fn handler_fn_with<J, T, E, F>(handle: F) -> HandlerFnWith<F>
where
    F: FnMut(J, &JobContext) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    HandlerFnWith(handle)
}

/// Makes a handler from a closure that returns a future. It is cloned for each worker.
///
/// A worker runs one job at a time, even while that job waits. For jobs that mostly wait, take as many workers as jobs
/// should be under way. A future that needs a runtime, such as a tokio socket or timer, needs workers that live there:
/// see [`PoolBuilder::spawner`](crate::PoolBuilder::spawner).
///
/// ```
/// use fanpool::{Pool, async_handler_fn};
///
/// let pool = Pool::builder(async_handler_fn(|n: u64| async move {
///     Ok::<_, std::io::Error>(n * 2)
/// }))
/// .build()?;
/// assert_eq!(pool.run_blocking(21)?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn async_handler_fn<J, T, E, Fut, F>(handle: F) -> AsyncHandlerFn<F>
where
    F: FnMut(J) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, E>> + Send,
    T: Send + 'static,
    E: Send + 'static,
{
    AsyncHandlerFn(handle)
}

/// Like [`async_handler_fn`], for a closure that also takes the job's [`JobContext`], by value.
pub fn async_handler_fn_with<J, T, E, Fut, F>(handle: F) -> AsyncHandlerFnWith<F>
where
    F: FnMut(J, JobContext) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, E>> + Send,
    T: Send + 'static,
    E: Send + 'static,
{
    AsyncHandlerFnWith(handle)
}

/// Makes a factory from a closure that makes a handler for a worker, or fails.
///
/// ```
/// use fanpool::{JobContext, JobHandler, Pool, handler_factory};
///
/// struct Greeter { name: String }
///
/// impl JobHandler<&'static str> for Greeter {
///     type Output = String;
///     type Error = std::convert::Infallible;
///
///     async fn handle(&mut self, greeting: &'static str, _: &JobContext) -> Result<String, Self::Error> {
///         Ok(format!("{greeting}, {}!", self.name))
///     }
/// }
///
/// let pool = Pool::builder(handler_factory(|worker| {
///     Ok::<_, std::io::Error>(Greeter { name: format!("from worker {worker}") })
/// }))
/// .workers_per_dispatcher(1)
/// .build()?;
/// assert_eq!(pool.run_blocking("Hello")?, "Hello, from worker 0.0!");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn handler_factory<H, E, F>(create: F) -> FactoryFn<F>
where
    F: Fn(WorkerId) -> Result<H, E> + Send + Sync + 'static,
    H: Send + 'static,
    E: Into<BoxError>,
{
    FactoryFn(create)
}

/// Like [`handler_factory`], for a closure that returns a future: to connect somewhere first, say.
///
/// ```
/// use fanpool::{Pool, async_handler_factory, handler_fn};
///
/// # async fn connect() -> std::io::Result<u64> { Ok(40) }
/// let pool = Pool::builder(async_handler_factory(|_worker| async move {
///     let connection = connect().await?;
///     Ok::<_, std::io::Error>(handler_fn(move |n: u64| Ok::<_, std::io::Error>(connection + n)))
/// }))
/// .build()?;
/// assert_eq!(pool.run_blocking(2)?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn async_handler_factory<H, E, Fut, F>(create: F) -> AsyncFactoryFn<F>
where
    F: Fn(WorkerId) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<H, E>> + Send,
    H: Send + 'static,
    E: Into<BoxError>,
{
    AsyncFactoryFn(create)
}

impl<J, T, E, F> JobHandler<J> for HandlerFn<F>
where
    F: FnMut(J) -> Result<T, E> + Send + 'static,
    J: Send,
    T: Send + 'static,
    E: Send + 'static,
{
    type Output = T;
    type Error = E;

    async fn handle(&mut self, job: J, _: &JobContext) -> Result<T, E> {
        (self.0)(job)
    }
}

impl<J, T, E, F> JobHandler<J> for HandlerFnWith<F>
where
    F: FnMut(J, &JobContext) -> Result<T, E> + Send + 'static,
    J: Send,
    T: Send + 'static,
    E: Send + 'static,
{
    type Output = T;
    type Error = E;

    async fn handle(&mut self, job: J, cx: &JobContext) -> Result<T, E> {
        (self.0)(job, cx)
    }
}

impl<J, T, E, Fut, F> JobHandler<J> for AsyncHandlerFn<F>
where
    F: FnMut(J) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, E>> + Send,
    T: Send + 'static,
    E: Send + 'static,
{
    type Output = T;
    type Error = E;

    fn handle(&mut self, job: J, _: &JobContext) -> impl Future<Output = Result<T, E>> + Send {
        (self.0)(job)
    }
}

impl<J, T, E, Fut, F> JobHandler<J> for AsyncHandlerFnWith<F>
where
    F: FnMut(J, JobContext) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, E>> + Send,
    T: Send + 'static,
    E: Send + 'static,
{
    type Output = T;
    type Error = E;

    fn handle(&mut self, job: J, cx: &JobContext) -> impl Future<Output = Result<T, E>> + Send {
        (self.0)(job, cx.clone())
    }
}

macro_rules! clones_itself {
    ($name:ident, ($($bound:tt)*) $(, $extra:ident: $extra_bound:path)*) => {
        impl<J, T, E, $($extra,)* F> JobHandlerFactory<J> for $name<F>
        where
            F: $($bound)* + Clone + Send + Sync + 'static,
            $($extra: $extra_bound,)*
            $name<F>: JobHandler<J, Output = T, Error = E>,
        {
            type Handler = Self;

            fn create(&self, _: WorkerId) -> impl Future<Output = Result<Self, BoxError>> + Send {
                ready(Ok($name(self.0.clone())))
            }
        }
    };
}

clones_itself!(HandlerFn, (FnMut(J) -> Result<T, E>));
clones_itself!(HandlerFnWith, (FnMut(J, &JobContext) -> Result<T, E>));
clones_itself!(AsyncHandlerFn, (FnMut(J) -> Fut), Fut: Future);
clones_itself!(AsyncHandlerFnWith, (FnMut(J, JobContext) -> Fut), Fut: Future);

impl<J, H, E, F> JobHandlerFactory<J> for FactoryFn<F>
where
    F: Fn(WorkerId) -> Result<H, E> + Send + Sync + 'static,
    H: JobHandler<J>,
    E: Into<BoxError>,
{
    type Handler = H;

    fn create(&self, worker: WorkerId) -> impl Future<Output = Result<H, BoxError>> + Send {
        ready((self.0)(worker).map_err(Into::into))
    }
}

impl<J, H, E, Fut, F> JobHandlerFactory<J> for AsyncFactoryFn<F>
where
    F: Fn(WorkerId) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<H, E>> + Send,
    H: JobHandler<J>,
    E: Into<BoxError>,
{
    type Handler = H;

    fn create(&self, worker: WorkerId) -> impl Future<Output = Result<H, BoxError>> + Send {
        let handler = (self.0)(worker);
        async move { handler.await.map_err(Into::into) }
    }
}
