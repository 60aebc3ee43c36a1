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
//! [`Pool::builder`] takes the code that runs jobs; [`PoolBuilder`] lists every setting with its default. A [`Pool`] is
//! a cheap handle. So is a [`Submitter`], which does not name the handlers' type. When the last handle is dropped, the
//! pool closes and finishes the jobs it accepted.
//!
//! # Jobs in
//!
//! Every way in is a method of [`Submitter`]:
//!
//! - [`submit`](Submitter::submit) returns a handle, [`send`](Submitter::send) does without one, and
//!   [`run`](Submitter::run) returns the result. All wait for room and have a `_blocking` twin; the first two have a
//!   `try_` form that never waits.
//! - [`job`](Submitter::job) adds a priority, key, weight, deadline or label.
//! - [`reserve`](Submitter::reserve) holds room before there is a job.
//! - [`submit_all`](Submitter::submit_all) submits many jobs at once; [`map`](Submitter::map) runs an iterator of them,
//!   even an endless one.
//!
//! A refused job comes back in [`SubmitError`].
//!
//! # Outcomes
//!
//! A [`JobHandle`] is a future, and a plain thread can wait for it, too. It gives the handler's result, or a
//! [`JobError`] that says what became of the job. Dropping it detaches the job. [`errors`](Submitter::errors) receives
//! what goes wrong with jobs that have no handle.
//!
//! # Handlers
//!
//! A [`JobHandler`] runs jobs, one at a time, and belongs to one worker. A [`JobHandlerFactory`] makes one for each
//! worker. Closures serve as both: [`handler_fn`], [`async_handler_fn`], [`handler_factory`]. A [`JobContext`] tells a
//! handler which job it runs and whether the job was cancelled.
//!
//! # Where workers live
//!
//! On [`Threads`] of the pool's own, or wherever a closure takes their futures, as
//! `.spawner(|worker| { tokio::spawn(worker); })` does. See [`spawner`].
//!
//! # Strategies
//!
//! A pool has one or more dispatchers, each with its own workers. A [`Dispatcher`] chooses a worker for each job, a
//! [`QueueOrder`] chooses the next job, and a [`Worker`] decides how jobs are run. See [`dispatcher`], [`queue_order`]
//! and [`worker`].
//!
//! # The end
//!
//! [`shutdown`](Submitter::shutdown) runs every accepted job, [`shutdown_now`](Submitter::shutdown_now) hands back
//! those that have not started, and [`shutdown_timeout`](Submitter::shutdown_timeout) does the first and then the
//! second.
//!
//! # Features
//!
//! None is on by default, and none changes a pool.
//!
//! - `sim`: a simulator that runs a pool's own desks under virtual time, to choose a strategy by.
//! - `testing`: checks that a strategy or an order of your own keeps its contract.
//!
//! # Guides
//!
//! [`guide`] has longer texts on dispatchers, executors, workers of your own and moving from other pools.
#![cfg_attr(docsrs, feature(doc_cfg))]

// The journey of a job, from the door down: a module imports only from those after it (tests/layout.rs). `pool` stands
// above them all; it comes second so that the docs of `Submitter` begin with submitting.
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

/// The README's examples are tests. Those of the guides run where `guide` includes them.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
