//! Two revisions of fanpool, `now` and `before`, measured in turns in one program.
//!
//! Each round runs both, and begins with the other one each time. What counts is the median of the ratios of the
//! rounds: what disturbs the machine for a while disturbs both.

use clap::{Parser, Subcommand};
use std::time::{Duration, Instant};

/// Jobs that may wait.
const CAPACITY: usize = 1024;

#[derive(Parser)]
#[command(about = "Measures two revisions of fanpool in turns")]
struct Arguments {
    #[command(subcommand)]
    workload: Workload,

    /// Rounds that count, after one that does not
    #[arg(long, global = true, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

#[derive(Subcommand, Clone, Copy)]
enum Workload {
    /// Counting jobs, sent as fast as they go in
    Send(Jobs),
    /// Jobs whose results are waited for, a thousand in flight
    Results(Jobs),
    /// Jobs submitted in groups of a thousand
    Bulk(Jobs),
    /// Counting jobs that a strategy binds in turn
    Routed(Jobs),
    /// One job at a time, submitted and waited for
    Pingpong(Jobs),
    /// The longest of many `try_send` while nobody runs anything; of the second pool of four million jobs in a process of its own
    Burst(Burst),
    /// One side of it
    #[command(hide = true)]
    BurstOf(BurstOf),
    /// What a pool holds after so many waiting jobs have run, in MiB of the process (this revision only)
    Memory(Burst),
}

#[derive(clap::Args, Clone, Copy)]
struct Jobs {
    /// Jobs in each round
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,
}

#[derive(clap::Args, Clone, Copy)]
struct Burst {
    /// Jobs that wait at once
    #[arg(long, default_value_t = 4_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,
}

#[derive(clap::Args, Clone, Copy)]
struct BurstOf {
    #[arg(long)]
    before: bool,
    #[arg(long)]
    jobs: u64,
}

/// The same code for each revision.
macro_rules! side {
    ($side:ident) => {
        mod $side {
            use super::{CAPACITY, rss_mib};
            use ::$side::{Pool, RoundRobin, handler_fn};
            use std::collections::VecDeque;
            use std::convert::Infallible;
            use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
            use std::sync::{Arc, Barrier};
            use std::thread;
            use std::time::{Duration, Instant};

            type Done = Arc<AtomicU64>;

            /// Waits as a sleeping thread would: whoever makes the count complete wakes it.
            fn until(done: &Done, jobs: u64) {
                while done.load(Acquire) < jobs {
                    thread::park_timeout(Duration::from_millis(10));
                }
            }

            pub(super) fn send(
                producers: usize,
                workers: usize,
                jobs: u64,
                bound: bool,
            ) -> Duration {
                let jobs = jobs / producers as u64 * producers as u64;
                let done = Done::default();
                let (count, waits) = (done.clone(), thread::current());
                let goal = Arc::new(AtomicU64::new(1000));
                let reached = goal.clone();
                let builder = Pool::builder(handler_fn(move |_: u64| {
                    if count.fetch_add(1, AcqRel) + 1 == reached.load(Relaxed) {
                        waits.unpark();
                    }
                    Ok::<_, Infallible>(())
                }))
                .workers_per_dispatcher(workers)
                .queue_capacity(CAPACITY);
                let builder = if bound {
                    builder.dispatcher(RoundRobin::new)
                } else {
                    builder
                };
                let pool = builder.build().expect("the settings are allowed");
                pool.ready_blocking().expect("the factory cannot fail");
                for job in 0..1000 {
                    pool.send_blocking(job).expect("open");
                }
                until(&done, 1000);
                goal.store(1000 + jobs, Relaxed);
                let ready = Barrier::new(producers);
                let began = thread::scope(|scope| {
                    let began: Vec<_> = (0..producers)
                        .map(|_| {
                            let (pool, ready) = (&pool, &ready);
                            scope.spawn(move || {
                                ready.wait();
                                let began = Instant::now();
                                for job in 0..jobs / producers as u64 {
                                    pool.send_blocking(job).expect("open");
                                }
                                began
                            })
                        })
                        .collect();
                    until(&done, 1000 + jobs);
                    let ended = Instant::now();
                    let began = began
                        .into_iter()
                        .map(|one| one.join().expect("no panic"))
                        .min();
                    ended - began.expect("there is a producer")
                });
                pool.shutdown_blocking();
                began
            }

            fn adds_one(workers: usize) -> impl Fn() -> ::$side::Submitter<u64, u64, Infallible> {
                move || {
                    let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, Infallible>(n + 1)))
                        .workers_per_dispatcher(workers)
                        .queue_capacity(CAPACITY)
                        .build()
                        .expect("the settings are allowed");
                    pool.ready_blocking().expect("the factory cannot fail");
                    pool.submitter()
                }
            }

            pub(super) fn results(workers: usize, jobs: u64) -> Duration {
                let pool = adds_one(workers)();
                let pump = |jobs: u64| {
                    let mut flying = VecDeque::with_capacity(1000);
                    let mut next = 0;
                    let mut check = |handle: ::$side::JobHandle<u64, Infallible>| {
                        next += 1;
                        assert_eq!(handle.wait().ok(), Some(next));
                    };
                    for job in 0..jobs {
                        if flying.len() == 1000 {
                            check(flying.pop_front().expect("a thousand"));
                        }
                        flying.push_back(pool.submit_blocking(job).expect("open"));
                    }
                    flying.into_iter().for_each(check);
                };
                pump(1000);
                let began = Instant::now();
                pump(jobs);
                let took = began.elapsed();
                pool.shutdown_blocking();
                took
            }

            pub(super) fn bulk(workers: usize, jobs: u64) -> Duration {
                let pool = adds_one(workers)();
                let group = |first: u64| {
                    let group = pool.submit_all_blocking(first..first + 1000).expect("open");
                    assert!(group.wait().into_iter().all(|one| one.is_ok()));
                };
                group(0);
                let began = Instant::now();
                (0..jobs).step_by(1000).for_each(group);
                let took = began.elapsed();
                pool.shutdown_blocking();
                took
            }

            pub(super) fn pingpong(workers: usize, jobs: u64) -> Duration {
                let pool = adds_one(workers)();
                let run = |job| assert_eq!(pool.run_blocking(job).ok(), Some(job + 1));
                (0..1000).for_each(run);
                let began = Instant::now();
                (0..jobs / 10).for_each(run);
                let took = began.elapsed();
                pool.shutdown_blocking();
                took
            }

            /// The longest `try_send`, all of them, and what the pool holds afterwards, in MiB; nobody runs
            /// anything meanwhile.
            pub(super) fn burst(jobs: u64) -> (Duration, Duration, f64) {
                let open = Arc::new(AtomicBool::new(false));
                let door = open.clone();
                let pool = Pool::builder(handler_fn(move |_: u64| {
                    while !door.load(Acquire) {
                        thread::park_timeout(Duration::from_millis(100));
                    }
                    Ok::<_, Infallible>(())
                }))
                .workers_per_dispatcher(1)
                .queue_capacity(jobs as usize + 1)
                .build()
                .expect("the settings are allowed");
                pool.ready_blocking().expect("the factory cannot fail");
                pool.send_blocking(0).expect("open");
                let before = rss_mib();
                let mut longest = Duration::ZERO;
                let began = Instant::now();
                for job in 0..jobs {
                    let began = Instant::now();
                    pool.try_send(job).expect("there is room");
                    longest = longest.max(began.elapsed());
                }
                let all = began.elapsed();
                open.store(true, Release);
                // Not by a join, which moves all that waits.
                while pool.metrics().completed < jobs + 1 {
                    thread::yield_now();
                }
                // Until the worker sleeps, which gives the last buffers back.
                thread::sleep(Duration::from_millis(100));
                let held = rss_mib() - before;
                pool.shutdown_blocking();
                (longest, all, held)
            }
        }
    };
}

side!(now);
side!(before);

/// Of this process, resident.
fn rss_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

fn main() {
    let Arguments { workload, rounds } = Arguments::parse();
    let per_job = |jobs: u64| move |took: Duration| took.as_nanos() as f64 / jobs as f64;
    match workload {
        Workload::Send(Jobs { jobs }) => {
            for (producers, workers) in [(1, 2), (2, 2), (4, 4), (8, 2)] {
                let now = || now::send(producers, workers, jobs, false);
                let before = || before::send(producers, workers, jobs, false);
                turns(
                    &format!("send {producers}x{workers}, ns"),
                    rounds,
                    per_job(jobs),
                    now,
                    before,
                );
            }
        }
        Workload::Routed(Jobs { jobs }) => {
            for (producers, workers) in [(1, 2), (4, 4), (2, 8)] {
                let now = || now::send(producers, workers, jobs, true);
                let before = || before::send(producers, workers, jobs, true);
                turns(
                    &format!("RoundRobin {producers}x{workers}, ns"),
                    rounds,
                    per_job(jobs),
                    now,
                    before,
                );
            }
        }
        Workload::Results(Jobs { jobs }) => {
            for workers in [2, 4] {
                let (now, before) = (
                    || now::results(workers, jobs),
                    || before::results(workers, jobs),
                );
                turns(
                    &format!("results, {workers} workers, ns"),
                    rounds,
                    per_job(jobs),
                    now,
                    before,
                );
            }
        }
        Workload::Bulk(Jobs { jobs }) => {
            for workers in [2, 4] {
                let (now, before) = (|| now::bulk(workers, jobs), || before::bulk(workers, jobs));
                turns(
                    &format!("groups, {workers} workers, ns"),
                    rounds,
                    per_job(jobs),
                    now,
                    before,
                );
            }
        }
        Workload::Pingpong(Jobs { jobs }) => {
            for workers in [1, 4] {
                let (now, before) = (
                    || now::pingpong(workers, jobs),
                    || before::pingpong(workers, jobs),
                );
                turns(
                    &format!("one at a time, {workers} workers, ns"),
                    rounds,
                    per_job(jobs / 10),
                    now,
                    before,
                );
            }
        }
        Workload::Burst(Burst { jobs }) => {
            let micros = |took: Duration| took.as_nanos() as f64 / 1000.0;
            let (now, before) = (|| burst_of(false, jobs), || burst_of(true, jobs));
            turns(
                &format!("longest of {jobs} try_send, µs"),
                rounds,
                micros,
                now,
                before,
            );
        }
        Workload::BurstOf(BurstOf { before, jobs }) => {
            let burst = if before { before::burst } else { now::burst };
            // The first one waits for the system's pages more than for anything else.
            let (_, longest) = (burst(jobs), burst(jobs).0);
            println!("{}", longest.as_nanos());
        }
        Workload::Memory(Burst { jobs }) => {
            let (longest, all, held) = now::burst(jobs);
            println!(
                "{jobs} jobs waited and have run: the pool holds {held:.1} MiB more than before them"
            );
            println!("sent in {all:.1?}, the longest try_send took {longest:.1?}");
        }
    }
}

/// In a process of its own, since an allocator moves a growing buffer in another way once it has given one back.
fn burst_of(before: bool, jobs: u64) -> Duration {
    let program = std::env::current_exe().expect("a program knows its path");
    let mut command = std::process::Command::new(program);
    command.args(["burst-of", "--jobs", &jobs.to_string()]);
    if before {
        command.arg("--before");
    }
    let output = command.output().expect("it runs");
    let nanos = String::from_utf8_lossy(&output.stdout).trim().parse();
    Duration::from_nanos(nanos.expect("it prints the nanoseconds"))
}

/// Runs both in turns and prints the medians, and the median of the ratios with its quartiles.
fn turns(
    what: &str,
    rounds: u32,
    reading: impl Fn(Duration) -> f64,
    now: impl Fn() -> Duration,
    before: impl Fn() -> Duration,
) {
    let (mut news, mut olds, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let began = Instant::now();
    for round in 0..=rounds {
        let (new, old);
        if round % 2 == 0 {
            new = reading(now());
            old = reading(before());
        } else {
            old = reading(before());
            new = reading(now());
        }
        if round > 0 {
            news.push(new);
            olds.push(old);
            ratios.push(new / old);
        }
    }
    let (now, before) = (quantile(&mut news, 0.5), quantile(&mut olds, 0.5));
    let ratio = quantile(&mut ratios, 0.5);
    let (low, high) = (quantile(&mut ratios, 0.25), quantile(&mut ratios, 0.75));
    println!(
        "{what}: now {now:.1}, before {before:.1}; ratio {ratio:.3} ({low:.3} to {high:.3}), {rounds} rounds in {:.0?}",
        began.elapsed()
    );
}

fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * q).round() as usize]
}
