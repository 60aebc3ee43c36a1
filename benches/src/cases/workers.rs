//! The memory of a worker with nothing to do, on tokio.

use crate::ALLOCATOR;
use crate::process::resident;
use crate::say::say;
use clap::Args;
use fanpool::{Pool, async_handler_fn};
use stats_alloc::Region;
use std::convert::Infallible;
use tokio::runtime::{Builder, Runtime};

/// Jobs for each worker between the two looks.
const JOBS: u64 = 10;

#[derive(Args)]
pub struct Arguments {
    workers: usize,
}

/// Looks when all have their handlers, and again when all are idle after work.
pub fn measure(arguments: &Arguments) {
    let workers = arguments.workers;
    let runtime = runtime(2);
    // What the runtime allocates when it is first used is not the pool's.
    let task = runtime.spawn(async {});
    runtime.block_on(task).expect("the task ends");

    let region = Region::new(ALLOCATOR);
    let resident_before = resident();
    let look = |name: &str| {
        let change = region.change();
        let bytes = change.bytes_allocated as f64 - change.bytes_deallocated as f64;
        let resident = resident() as f64 - resident_before as f64;
        let each = workers as f64;
        say(name, &[bytes / each, resident / each]);
    };
    let handle = runtime.handle().clone();
    let pool = Pool::builder(async_handler_fn(|job: u64| async move {
        Ok::<_, Infallible>(job)
    }))
    .workers_per_dispatcher(workers)
    .spawner(move |worker| {
        handle.spawn(worker);
    })
    .build()
    .expect("the settings are allowed");
    pool.ready_blocking().expect("the factory cannot fail");
    look("new");
    let jobs = workers as u64 * JOBS;
    for job in 0..jobs {
        pool.send_blocking(job).expect("the pool is open");
    }
    pool.join_blocking();
    look("idle");
    assert_eq!(pool.shutdown_blocking().counts.completed, jobs);
}

pub fn runtime(threads: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_time()
        .build()
        .expect("the system has threads")
}
