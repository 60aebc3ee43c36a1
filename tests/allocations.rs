//! What a job costs in allocations, counted over all threads. One test in a program of its own, so that nothing else
//! allocates.

use fanpool::{Pool, Queued, handler_fn};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::{Arc, Mutex};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations and reallocations for each of `jobs` jobs that `work` submits.
fn each(jobs: usize, work: impl FnOnce()) -> f64 {
    let region = Region::new(COUNTED);
    work();
    let change = region.change();
    (change.allocations + change.reallocations) as f64 / jobs as f64
}

/// What each job of a group of a thousand costs: to submit, to wait for all, to take one by one.
fn groups(workers: usize, capacity: usize) -> (f64, f64, f64) {
    const JOBS: usize = 1000;
    const GROUPS: usize = 50;
    let pool = Pool::builder(handler_fn(|n: usize| Ok::<_, std::io::Error>(n)))
        .workers_per_dispatcher(workers)
        .queue_capacity(capacity)
        .build()
        .unwrap();
    let submit_group = || pool.submit_all_blocking(0..JOBS).unwrap();
    // The first ones grow the queues.
    for _ in 0..10 {
        assert_eq!(submit_group().wait().len(), JOBS);
    }
    let (mut submit, mut wait, mut take) = (0.0, 0.0, 0.0);
    for round in 0..2 * GROUPS {
        let mut group = None;
        submit += each(2 * GROUPS * JOBS, || group = Some(submit_group()));
        let group = group.unwrap();
        let mut outcomes = 0;
        if round % 2 == 0 {
            wait += each(GROUPS * JOBS, || outcomes = group.wait().len());
        } else {
            take += each(GROUPS * JOBS, || outcomes = group.into_iter().count());
        }
        assert_eq!(outcomes, JOBS);
    }
    drop(pool.shutdown_blocking());
    (submit, wait, take)
}

/// What each job with a key costs where there are several desks, sent one after the other.
fn keyed() -> f64 {
    const JOBS: u64 = 50_000;
    let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, std::io::Error>(n)))
        .dispatchers(2)
        .workers_per_dispatcher(1)
        .queue_capacity(64)
        .build()
        .unwrap();
    let send = || {
        for n in 0..JOBS {
            pool.job(n).key(n % 8).send_blocking().unwrap();
        }
        pool.join_blocking();
    };
    send();
    let each = each(JOBS as usize, send);
    drop(pool.shutdown_blocking());
    each
}

/// Bytes that a pool holds after a burst has run, beyond what it held before.
fn held_after_a_burst() -> isize {
    const JOBS: u64 = 300_000;
    let door = Arc::new(Mutex::new(()));
    let handler = {
        let door = door.clone();
        move |n: u64| {
            drop(door.lock());
            Ok::<_, std::io::Error>(n)
        }
    };
    let pool = Pool::builder(handler_fn(handler))
        .workers_per_dispatcher(2)
        .queue_capacity(JOBS as usize)
        .build()
        .unwrap();
    pool.run_blocking(0).unwrap();
    let region = Region::new(COUNTED);
    let closed = door.lock().unwrap();
    (0..JOBS).for_each(|n| pool.send_blocking(n).unwrap());
    let live = || {
        let change = region.change();
        change.bytes_allocated as isize - change.bytes_deallocated as isize
    };
    assert!(
        live() > JOBS as isize * 32,
        "the burst waits: {} bytes",
        live()
    );
    drop(closed);
    pool.join_blocking();
    let held = live();
    drop(pool.shutdown_blocking());
    held
}

#[test]
fn jobs_cost_few_allocations() {
    println!(
        "a waiting job of a u64 takes {} bytes",
        size_of::<Queued<u64>>()
    );
    assert!(size_of::<Queued<u64>>() <= 48);
    for workers in [1, 2, 4] {
        let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, std::io::Error>(n)))
            .workers_per_dispatcher(workers)
            .build()
            .unwrap();
        pool.ready_blocking().unwrap();
        let burst = |bursts, size| {
            for _ in 0..bursts {
                (0..size).for_each(|n| pool.send_blocking(n).unwrap());
                while pool.metrics().waiting + pool.metrics().running > 0 {
                    std::thread::yield_now();
                }
            }
        };
        let one_by_one = |jobs| {
            for n in 0..jobs {
                assert_eq!(pool.submit_blocking(n).unwrap().wait().unwrap(), n);
            }
        };
        let in_flight = |rounds: u64| {
            for _ in 0..rounds {
                let handles: [_; 100] =
                    std::array::from_fn(|n| pool.submit_blocking(n as u64).unwrap());
                handles
                    .into_iter()
                    .for_each(|handle| assert!(handle.wait().is_ok()));
            }
        };
        // The first jobs grow the queues.
        burst(20, 1000);
        one_by_one(1000);
        in_flight(10);
        for size in [10, 100, 500, 2000] {
            let cost = each(200 * size as usize, || burst(200, size));
            println!("{workers} workers, bursts of {size}: {cost:.4} a send");
            assert!(cost <= 0.05, "{cost} allocations a send");
        }
        let cost = each(10_000, || one_by_one(10_000));
        println!("{workers} workers, submit and wait: {cost:.4} a job");
        assert!(cost <= 0.05, "{cost} allocations a submit");
        let cost = each(20_000, || in_flight(200));
        println!("{workers} workers, 100 in flight: {cost:.4} a job");
        assert!(cost <= 0.05, "{cost} allocations a submit");
        drop(pool.shutdown_blocking());
        for capacity in [100, 1000] {
            // A submitter that sleeps for room pays two allocations, and how often it does is up to the machine:
            // so of three tries, the one with the fewest.
            let tries = (0..3).map(|_| groups(workers, capacity));
            let fewest = tries.min_by(|one, other| one.0.total_cmp(&other.0));
            let (submit, wait, take) = fewest.unwrap();
            println!(
                "{workers} workers, groups of 1000 through a queue of {capacity}: {submit:.4} a job to \
                 submit, {wait:.4} to wait for all, {take:.4} to take one by one"
            );
            assert!(submit <= 0.01, "{submit} allocations a submit");
            assert!(wait <= 0.01, "{wait} allocations a wait");
            assert!(take <= 0.01, "{take} allocations a take");
        }
    }
    let keyed = keyed();
    println!("a job with a key and two desks: {keyed:.3}");
    assert!(keyed < 1.1, "beside the options, which are one: {keyed}");
    let held = held_after_a_burst();
    println!("after a burst, {held} bytes more are held");
    assert!(held < 256 * 1024, "{held} bytes are held after a burst");
}
