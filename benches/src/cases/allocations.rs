//! How often a job allocates when the queues have grown.

use crate::ALLOCATOR;
use crate::say::say;
use clap::Args;
use fanpool::{Pool, Submitter, handler_fn};
use stats_alloc::Region;
use std::convert::Infallible;
use std::thread;

#[derive(Args)]
pub struct Arguments {
    /// Jobs for each figure
    #[arg(long, default_value_t = 200_000)]
    jobs: u64,
}

const WORKERS: [usize; 3] = [1, 2, 4];
const BURSTS: [u64; 4] = [10, 100, 500, 2000];
const IN_FLIGHT: [u64; 3] = [1, 100, 1000];

pub fn measure(arguments: &Arguments) {
    let jobs = arguments.jobs;
    for workers in WORKERS {
        let pool = Pool::builder(handler_fn(|job: u64| Ok(job)))
            .workers_per_dispatcher(workers)
            .build()
            .expect("the settings are allowed");
        pool.ready_blocking().expect("the factory cannot fail");
        for size in BURSTS {
            bursts(&pool, 20_000, size);
            let each = allocations(jobs, || bursts(&pool, jobs, size));
            say("send", &[workers as f64, size as f64, each]);
        }
        for in_flight in IN_FLIGHT {
            submit(&pool, 20_000, in_flight);
            let each = allocations(jobs, || submit(&pool, jobs, in_flight));
            say("submit", &[workers as f64, in_flight as f64, each]);
        }
        drop(pool.shutdown_blocking());
    }
}

/// For each job, over all threads.
fn allocations(jobs: u64, work: impl FnOnce()) -> f64 {
    let region = Region::new(ALLOCATOR);
    work();
    let change = region.change();
    (change.allocations + change.reallocations) as f64 / jobs as f64
}

/// Jobs without a handle, so many at once, and then none until these are over.
fn bursts(pool: &Submitter<u64, u64, Infallible>, jobs: u64, size: u64) {
    for _ in 0..jobs / size {
        for job in 0..size {
            pool.send_blocking(job).expect("the pool is open");
        }
        // `join_blocking` would allocate its listener.
        while pool.metrics().waiting + pool.metrics().running > 0 {
            thread::yield_now();
        }
    }
}

/// Jobs with a handle, of which so many are out at once.
fn submit(pool: &Submitter<u64, u64, Infallible>, jobs: u64, in_flight: u64) {
    let mut list = Vec::with_capacity(in_flight as usize);
    for _ in 0..jobs / in_flight {
        let submit = |job| pool.submit_blocking(job).expect("the pool is open");
        list.extend((0..in_flight).map(submit));
        for (job, handle) in list.drain(..).enumerate() {
            assert_eq!(handle.wait().expect("the job completes"), job as u64);
        }
    }
}
