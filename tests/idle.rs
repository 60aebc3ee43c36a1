//! An idle pool costs nothing.
//!
//! The one file whose tests sleep: what is measured is the absence of work over a stretch of real time,
//! and no event ends that stretch. The sleep is the experiment, not a way to wait for something: a
//! machine under load makes the workers idle later, which the time before the measurement allows for,
//! and processor time that other threads use is not counted. A program of its own, so that no other test
//! keeps the machine busy meanwhile.
#![cfg(target_os = "linux")]

mod common;

use common::watched;
use fanpool::{Pool, handler_fn};
use std::time::Duration;

/// Processor time so far of all threads whose name starts with `prefix`, and how many there are.
///
/// The first number in a thread's `schedstat` is its time on a processor, in nanoseconds.
fn processor_time(prefix: &str) -> (Duration, usize) {
    let mut sum = Duration::ZERO;
    let mut threads = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let read = |file| std::fs::read_to_string(task.path().join(file));
        // Threads of other tests may end between the two.
        let (Ok(name), Ok(stat)) = (read("comm"), read("schedstat")) else {
            continue;
        };
        if name.starts_with(prefix) {
            let first = stat.split_whitespace().next();
            let nanos = first.expect("a time").parse().expect("a number");
            sum += Duration::from_nanos(nanos);
            threads += 1;
        }
    }
    (sum, threads)
}

fn an_idle_pool_uses_no_time(workers: usize) {
    watched(move |_| {
        let name = format!("idle{workers}");
        let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, String>(n)))
            .name(name.clone())
            .workers_per_dispatcher(workers)
            .build()
            .unwrap();
        pool.ready_blocking().unwrap();
        for n in 0..10_000 {
            pool.send_blocking(n).unwrap();
        }
        pool.join_blocking();
        std::thread::sleep(Duration::from_millis(100));
        let prefix = format!("{name}-");
        let (before, threads) = processor_time(&prefix);
        assert_eq!(threads, workers);
        assert!(
            before > Duration::ZERO,
            "this kernel keeps no times of threads"
        );
        std::thread::sleep(Duration::from_secs(2));
        let (after, threads) = processor_time(&prefix);
        assert_eq!(threads, workers);
        let used = after - before;
        println!("{workers} idle workers: {used:?} in two seconds");
        assert!(used < Duration::from_millis(1), "{used:?}");
        // It was asleep, not dead.
        assert_eq!(pool.run_blocking(7).unwrap(), 7);
        let counts = pool.shutdown_blocking().counts;
        assert_eq!(counts.completed, 10_001);
    });
}

#[test]
fn one_idle_worker_uses_no_time() {
    an_idle_pool_uses_no_time(1);
}

#[test]
fn eight_idle_workers_use_no_time() {
    an_idle_pool_uses_no_time(8);
}

#[test]
fn sixty_four_idle_workers_use_no_time() {
    an_idle_pool_uses_no_time(64);
}
