//! The processor time of a pool with nothing to do.

use crate::process::processor_time;
use crate::say::say;
use clap::Args;
use fanpool::{Pool, Submitter, async_handler_fn, handler_fn};
use std::convert::Infallible;
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Jobs that went through before.
const JOBS: u64 = 10_000;

/// From the last job on.
const SETTLE: Duration = Duration::from_millis(100);

#[derive(Args)]
pub struct Arguments {
    workers: usize,

    /// On tokio instead of threads of their own
    #[arg(long)]
    tokio: bool,

    /// For how long to look on
    #[arg(long, default_value_t = 2000)]
    milliseconds: u64,
}

pub fn measure(arguments: &Arguments) {
    let &Arguments {
        workers,
        tokio,
        milliseconds,
    } = arguments;
    let runtime = tokio.then(|| super::workers::runtime(2));
    let pool = build(workers, runtime.as_ref());
    pool.ready_blocking().expect("the factory cannot fail");
    for job in 0..JOBS {
        pool.send_blocking(job).expect("the pool is open");
    }
    pool.join_blocking();

    thread::sleep(SETTLE);
    let before = processor_time();
    thread::sleep(Duration::from_millis(milliseconds));
    let used = processor_time() - before;
    say("nanoseconds", &[used.as_nanos() as f64]);

    // They were asleep, and not dead.
    assert_eq!(pool.run_blocking(7).expect("the job completes"), 7);
    let counts = pool.shutdown_blocking().counts;
    assert_eq!(counts.completed, JOBS + 1);
}

fn build(workers: usize, runtime: Option<&Runtime>) -> Submitter<u64, u64, Infallible> {
    match runtime {
        Some(runtime) => {
            let handle = runtime.handle().clone();
            Pool::builder(async_handler_fn(|job: u64| async move { Ok(job) }))
                .workers_per_dispatcher(workers)
                .spawner(move |worker| {
                    handle.spawn(worker);
                })
                .build()
                .expect("the settings are allowed")
                .submitter()
        }
        None => Pool::builder(handler_fn(|job: u64| Ok(job)))
            .workers_per_dispatcher(workers)
            .build()
            .expect("the settings are allowed")
            .submitter(),
    }
}
