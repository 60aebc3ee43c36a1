//! The memory of jobs that wait: behind one worker that is held up.

use crate::ALLOCATOR;
use crate::process::resident;
use crate::say::say;
use clap::Args;
use fanpool::{Pool, handler_fn};
use stats_alloc::Region;
use std::convert::Infallible;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

#[derive(Args)]
pub struct Arguments {
    jobs: u64,

    /// Submitted, with a handle for each, instead of sent
    #[arg(long)]
    handles: bool,
}

/// Job 0 says that it runs and waits until it may end.
const FIRST: u64 = 0;

pub fn measure(arguments: &Arguments) {
    let &Arguments { jobs, handles } = arguments;
    let (running, runs) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let pool = Pool::builder(handler_fn(move |job: u64| {
        if job == FIRST {
            running.send(()).expect("it is waited for");
            let released = released.lock().expect("nobody panics under it");
            released.recv().expect("it is released");
        }
        Ok::<_, Infallible>(job)
    }))
    .workers_per_dispatcher(1)
    .queue_capacity(jobs as usize)
    .build()
    .expect("the settings are allowed");
    pool.send_blocking(FIRST).expect("the pool is open");
    runs.recv().expect("the first job runs");

    // The list itself is the caller's affair.
    let mut list = Vec::with_capacity(if handles { jobs as usize } else { 0 });
    let region = Region::new(ALLOCATOR);
    let resident_before = resident();
    for job in 1..=jobs {
        if handles {
            list.push(pool.try_submit(job).expect("there is room"));
        } else {
            pool.try_send(job).expect("there is room");
        }
    }
    let change = region.change();
    let bytes = change.bytes_allocated as f64 - change.bytes_deallocated as f64;
    let resident = resident() as f64 - resident_before as f64;
    assert_eq!(pool.metrics().waiting, jobs);
    let each = jobs as f64;
    say("bytes", &[bytes / each, resident / each]);

    release.send(()).expect("the first job waits");
    drop(list);
    assert_eq!(pool.shutdown_blocking().counts.completed, jobs + 1);
}
