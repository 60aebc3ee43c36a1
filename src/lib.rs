//! A bounded worker pool for typed jobs, for blocking and async callers alike, on any executor or none.
//!
//! ```
//! use fanpool::{Pool, handler_fn};
//!
//! let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, std::io::Error>(n + 1))).build()?;
//! assert_eq!(pool.run_blocking(41)?, 42);
//! pool.shutdown_blocking();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A pool
//!
//! [`Pool::builder`] takes what runs jobs and gives a [`PoolBuilder`]; its table lists every setting and
//! default. A [`Pool`] is a cheap handle, and so is a [`Submitter`], which does not name the type of the
//! handlers. When the last handle goes, the pool closes and finishes what it accepted.
//!
//! # Jobs in
//!
//! Every way in is a method of [`Submitter`]: [`submit`](Submitter::submit) for a handle,
//! [`send`](Submitter::send) without one, [`run`](Submitter::run) for the result. Each waits for room;
//! each has a twin that blocks, and one that does not wait. A refused job comes back in
//! [`SubmitError`]. More can be said about a job ([`job`](Submitter::job): priority, key, weight,
//! deadline, label),
//! room can be [reserved](Submitter::reserve) before there is a job, many jobs can be submitted
//! [at once](Submitter::submit_all), and endlessly many be [mapped](Submitter::map).
//!
//! # Outcomes
//!
//! A [`JobHandle`] is a future and can be waited for on a plain thread; it gives the handler's result or
//! a [`JobError`] that says what became of the job. Dropping it detaches. What goes wrong with jobs
//! without a handle is to be had from [`errors`](Submitter::errors).
//!
//! # Handlers
//!
//! A [`JobHandler`] runs jobs, one at a time, and belongs to one worker; a [`JobHandlerFactory`] makes
//! one for each. Closures serve for both: [`handler_fn`], [`async_handler_fn`], [`handler_factory`].
//! Handlers hear from a [`JobContext`] which job they run and whether it was cancelled.
//!
//! # Where workers live
//!
//! On [`Threads`] of the pool's own, or wherever a closure takes their futures:
//! `.spawner(|worker| { tokio::spawn(worker); })`. See [`spawner`].
//!
//! # Strategies
//!
//! A pool has one or more dispatchers, each with its own workers. A [`Dispatcher`] chooses a worker for
//! each job, a [`QueueOrder`] which job is next, a [`Worker`] how jobs are run. See [`dispatcher`],
//! [`queue_order`] and [`worker`].
//!
//! # The end
//!
//! [`shutdown`](Submitter::shutdown) runs what was accepted, [`shutdown_now`](Submitter::shutdown_now)
//! hands it back, [`shutdown_timeout`](Submitter::shutdown_timeout) does the one and then the other.
//!
//! # Features
//!
//! None is on by default, and none changes a pool. `sim`: a simulator that runs a pool's own desks under
//! virtual time, to choose a strategy by. `testing`: what shows whether a strategy or an order of your own
//! keeps its contract.
//!
//! # Guides
//!
//! Longer texts on dispatchers, executors, workers of your own and moving from other pools are in [`guide`].
#![cfg_attr(docsrs, feature(doc_cfg))]

// The journey of a job, from the door down: a module imports only from those after it (tests/layout.rs). The pool stands
// above them all, and comes second here so that the docs of `Submitter` begin with submitting.
mod submit;
mod pool;
mod handle;
pub mod worker;
mod engine;
mod desk;
pub mod dispatcher;
pub mod queue_order;
mod keys;
mod handler;
mod context;
mod queue;
mod gate;
mod metrics;
mod outcome;
mod job;
mod error;
pub mod spawner;
mod time;
mod wait;
mod id;
mod sync;

// Beside the journey.
pub mod guide;
#[cfg(any(fanpool_loom, fanpool_shuttle))]
mod model;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(all(feature = "testing", not(any(fanpool_loom, fanpool_shuttle))))]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;

pub use async_trait::async_trait;
pub use context::JobContext;
pub use dispatcher::{
    Affinity, Any, Dispatcher, KeyAffinity, LeastBusy, Random, RoundRobin, Steer, Target,
    TwoChoices, Weighted, Workers,
};
pub use error::BuildError;
pub use handle::errors::ErrorStream;
pub use handle::{CancelHandle, JobHandle};
pub use handler::{
    AsyncFactoryFn, AsyncHandlerFn, AsyncHandlerFnWith, FactoryError, FactoryFn, HandlerFn,
    HandlerFnWith, JobHandler, JobHandlerFactory, async_handler_factory, async_handler_fn,
    async_handler_fn_with, handler_factory, handler_fn, handler_fn_with,
};
pub use id::{JobId, WorkerId};
pub use job::Job;
pub use metrics::Metrics;
pub use outcome::log::JobFailure;
pub use outcome::{Cancellation, JobError};
pub use pool::builder::PoolBuilder;
pub use pool::shutdown::{DrainGuard, RunningJob, ShutdownReport};
pub use pool::{Pool, WeakPool};
pub use queue_order::{
    AdaptiveLifo, EarliestDeadline, FairShare, Fifo, Lifo, Priority, QueueOrder, Queued,
};
pub use spawner::{SpawnError, Spawner, Threads};
pub use submit::error::{RunError, SubmitError};
pub use submit::group::SubmitAllError;
pub use submit::group_handle::{GroupCancellation, GroupHandle, GroupIter, GroupStream};
pub use submit::job_builder::JobBuilder;
pub use submit::map::{Map, MapBlocking};
pub use submit::permit::{Permit, Permits};
pub use submit::{Submitter, WeakSubmitter};
pub use sync::boxed::{BoxError, BoxFuture};
pub use sync::panics::Panic;
pub use time::clock;
pub use worker::{BatchHandler, BatchWorker, Inbox, SerialWorker, Worker};

/// The README's examples are tests; those of the guides run where the guides are included, in `guide`.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
