//! What must compile, and which types may go where. What must not compile is in `tests/misuse`.

use fanpool::clock::{ManualClock, SystemClock};
use fanpool::dispatcher::WorkerView;
use fanpool::worker::{Assigned, SerialWorker};
use fanpool::{
    Any, AsyncHandlerFn, AsyncHandlerFnWith, BuildError, CancelHandle, Cancellation, DrainGuard,
    FactoryError, FactoryFn, Fifo, HandlerFn, HandlerFnWith, Inbox, Job, JobContext, JobError,
    JobHandle, JobId, LeastBusy, Metrics, Panic, Pool, Queued, RoundRobin, RunError, RunningJob,
    ShutdownReport, SpawnError, SubmitError, Submitter, Target, Threads, WeakPool, WeakSubmitter,
    WorkerId, Workers,
};
use std::cell::Cell;
use std::error::Error;
use std::fmt::Debug;

mod dispatchers;
mod every_factory_in_tokio_spawn;
mod jobs_infer;
mod pools_in_structs;

#[test]
fn futures_of_every_kind_of_pool_live_in_tasks() {
    crate::common::watched(|_| every_factory_in_tokio_spawn::main());
}

#[test]
fn jobs_need_no_type_annotations() {
    crate::common::watched(|_| jobs_infer::main());
}

#[test]
fn strategies_are_closures_boxes_and_types() {
    crate::common::watched(|_| dispatchers::main());
}

#[test]
fn pools_live_in_structs_without_bounds() {
    crate::common::watched(|_| pools_in_structs::main());
}

// ---- auto traits --------------------------------------------------------------------------------

type Handler = HandlerFn<fn(OnlySend) -> Result<OnlySend, OnlySend>>;
/// May move between threads, but not be shared: what jobs, outcomes and errors need at least.
type OnlySend = Cell<u64>;

fn shared<T: Send + Sync + Unpin + Debug>() {}
fn moved<T: Send + Unpin + Debug>() {}
fn copied<T: Copy + Send + Sync + Unpin + Debug + 'static>() {}
fn error<T: Error + Send + Sync + 'static>() {}

#[test]
fn handles_of_pools_are_shared_whatever_the_jobs_are() {
    shared::<Pool<OnlySend, Handler>>();
    shared::<WeakPool<OnlySend, Handler>>();
    shared::<Submitter<OnlySend, OnlySend, OnlySend>>();
    shared::<WeakSubmitter<OnlySend, OnlySend, OnlySend>>();
    shared::<DrainGuard<OnlySend, OnlySend, OnlySend>>();
    shared::<JobHandle<OnlySend, OnlySend>>();
    shared::<CancelHandle>();
    shared::<JobContext>();
}

#[test]
fn values_are_shared_if_what_they_hold_is() {
    moved::<Job<OnlySend>>();
    shared::<Job<u64>>();
    moved::<ShutdownReport<OnlySend>>();
    shared::<ShutdownReport<u64>>();
    moved::<SubmitError<OnlySend>>();
    shared::<SubmitError<u64>>();
    moved::<RunError<OnlySend, OnlySend>>();
    shared::<RunError<u64, u64>>();
    moved::<JobError<OnlySend>>();
    shared::<JobError<u64>>();
    shared::<Queued<u64>>();
    moved::<Queued<OnlySend>>();
    moved::<Inbox<OnlySend, Handler>>();
    moved::<Assigned<'static, OnlySend, Handler>>();
    shared::<Threads>();
    shared::<Panic>();
    shared::<Workers<'static>>();
    shared::<WorkerView<'static>>();
    shared::<SystemClock>();
    shared::<ManualClock>();
    shared::<AsyncHandlerFn<fn()>>();
    shared::<AsyncHandlerFnWith<fn()>>();
    shared::<HandlerFnWith<fn()>>();
    shared::<FactoryFn<fn()>>();
    moved::<Fifo<OnlySend>>();
}

#[test]
fn small_things_are_copied() {
    copied::<WorkerId>();
    copied::<JobId>();
    copied::<Metrics>();
    copied::<RunningJob>();
    copied::<Cancellation>();
    copied::<Target>();
    copied::<Any>();
    copied::<RoundRobin>();
    copied::<LeastBusy>();
    copied::<SerialWorker>();
}

#[test]
fn errors_can_be_boxed_shared_and_sent() {
    error::<SubmitError<u64>>();
    error::<RunError<u64, std::io::Error>>();
    error::<JobError<std::io::Error>>();
    error::<BuildError>();
    error::<FactoryError>();
    error::<SpawnError>();
    fn anyhow_like<E: Into<Box<dyn Error + Send + Sync>>>() {}
    anyhow_like::<JobError<std::fmt::Error>>();
    anyhow_like::<RunError<String, std::fmt::Error>>();
}

#[test]
fn an_optional_job_id_costs_no_more_than_the_id() {
    assert_eq!(size_of::<Option<JobId>>(), size_of::<JobId>());
}
