//! A bounded worker pool for typed jobs, for blocking and async callers alike.
#![cfg_attr(docsrs, feature(doc_auto_cfg))]

mod builder;
pub mod clock;
mod context;
mod core;
mod desk;
pub mod dispatcher;
mod envelope;
mod error;
mod fault;
mod frame;
mod gate;
mod handler;
mod intake;
mod job;
mod joins;
mod lifecycle;
mod metrics;
#[cfg(any(fanpool_loom, fanpool_shuttle))]
mod model;
mod outcome;
mod park;
mod pool;
pub mod queue_order;
mod registry;
mod roster;
mod signal;
pub mod spawner;
mod standstill;
mod station;
mod submit;
mod sync;
mod unwind;
pub mod worker;

pub use async_trait::async_trait;
pub use builder::PoolBuilder;
pub use context::JobContext;
pub use dispatcher::{Any, Dispatcher, LeastBusy, RoundRobin, Target, Workers};
pub use error::{BoxError, BuildError, FactoryError, RunError, SubmitError};
pub use handler::{
    AsyncHandlerFn, AsyncHandlerFnWith, FactoryFn, HandlerFn, HandlerFnWith, JobHandler,
    JobHandlerFactory, async_handler_fn, async_handler_fn_with, handler_factory, handler_fn,
    handler_fn_with,
};
pub use job::{Job, JobId};
pub use lifecycle::{DrainGuard, RunningJob, ShutdownReport};
pub use metrics::Metrics;
pub use outcome::{CancelHandle, Cancellation, JobError, JobHandle};
pub use pool::{Pool, Submitter, WeakPool, WeakSubmitter};
pub use queue_order::{Fifo, QueueOrder, Queued};
pub use spawner::{BoxFuture, SpawnError, Spawner, Threads};
pub use unwind::Panic;
pub use worker::{Inbox, SerialWorker, Worker, WorkerId};
