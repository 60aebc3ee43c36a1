//! The simulator beside a live pool: the same trace gives the same decisions in the same order, and in real
//! time about the same figures.

use crate::common::by_hand::ByHand;
use crate::common::{lock, watched};
use fanpool::clock::ManualClock;
use fanpool::queue_order::QueueOrder;
use fanpool::sim::{Arrivals, Depth, Recorded, Service, SimJob, Simulation, Trace};
use fanpool::{
    AdaptiveLifo, Any, Dispatcher, EarliestDeadline, FairShare, Fifo, JobContext, KeyAffinity,
    LeastBusy, Lifo, Pool, Priority, RoundRobin, TwoChoices, async_handler_fn_with, handler_fn,
};
use proptest::test_runner::{RngAlgorithm, TestRng};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Exponential times at a load of 0.8 of three workers; some jobs have one of five keys.
fn trace(jobs: usize, seed: u8, mean: f64, load: f64) -> Trace {
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut uniform = move || {
        use proptest::prelude::RngCore;
        (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut now = 0.0;
    let recorded = (0..jobs).map(|_| {
        now += -(1.0 - uniform()).ln() * mean / (3.0 * load);
        let mut job = Recorded::new(now, -(1.0 - uniform()).ln() * mean);
        job.key = (uniform() < 0.7).then(|| (uniform() * 5.0) as u64);
        job
    });
    Trace::new(recorded.collect::<Vec<_>>()).unwrap()
}

/// The same with some urgency: three priorities, and deadlines for two of three jobs.
fn urgent(trace: &Trace) -> Trace {
    let jobs = trace.jobs().iter().enumerate().map(|(number, job)| {
        let mut job = job.clone();
        job.priority = (number * 7 % 5) as i32 % 3;
        job.deadline = (number % 3 != 0).then_some((number * 11 % 17) as f64);
        job
    });
    Trace::new(jobs).unwrap()
}

/// Which worker started which job, in order.
type Starts = Vec<(u64, usize)>;

fn simulated<D: Dispatcher<SimJob>, Q: QueueOrder<SimJob>>(
    trace: &Trace,
    depth: usize,
    make: impl Fn() -> D + 'static,
    order: impl Fn() -> Q + 'static,
) -> Starts {
    let report = Simulation::new()
        .workers(3)
        .depth(Depth::Jobs(depth))
        .arrivals(Arrivals::trace(trace))
        .dispatcher(make)
        .queue_order(order)
        .warm_up(0)
        .log_starts(true)
        .run()
        .unwrap();
    let starts = report.starts.iter();
    starts.map(|start| (start.job, start.worker)).collect()
}

/// Plays the trace with a live pool: time stands still while its workers are polled.
fn live<D: Dispatcher<u64>, Q: QueueOrder<u64>>(
    trace: &Trace,
    depth: usize,
    make: impl Fn() -> D + 'static,
    order: impl Fn() -> Q + 'static,
) -> Starts {
    type Started = Vec<(u64, usize, oneshot::Sender<()>)>;
    let hand = ByHand::new();
    let started: Arc<Mutex<Started>> = Arc::default();
    let starts = started.clone();
    let pool = Pool::builder(async_handler_fn_with(move |_: u64, cx: JobContext| {
        let (done, over) = oneshot::channel();
        let start = (cx.id().get(), cx.worker().index(), done);
        lock(&starts).push(start);
        async move {
            let _ = over.await;
            Ok::<_, String>(())
        }
    }))
    .workers_per_dispatcher(3)
    .queue_capacity(trace.len())
    .inbox_depth(depth)
    .dispatcher(make)
    .queue_order(order)
    .spawner(hand.clone())
    .clock(ManualClock::new())
    .build()
    .unwrap();
    hand.run();

    let jobs = trace.jobs();
    let nanos = |seconds: f64| (seconds * 1e9).round() as u64;
    let mut ends = BinaryHeap::new();
    let mut running = BTreeMap::new();
    let mut order = Starts::new();
    let mut arrivals = jobs.iter().enumerate().peekable();
    loop {
        let end = ends.peek().map(|Reverse((at, _))| *at);
        let arrival = arrivals.peek().map(|(_, job)| nanos(job.arrival));
        let now = match (arrival, end) {
            (None, None) => break,
            (Some(arrival), end) if end.is_none_or(|end| arrival < end) => {
                let (number, job) = arrivals.next().unwrap();
                let mut builder = pool.job(number as u64).priority(job.priority);
                if let Some(key) = job.key {
                    builder = builder.key(key);
                }
                if let Some(deadline) = job.deadline {
                    // From the beginning, where time stands still.
                    let due = Duration::from_nanos(arrival + nanos(deadline));
                    builder = builder.expires_in(due);
                }
                builder.try_send().unwrap();
                arrival
            }
            (_, end) => {
                let Reverse((_, job)) = ends.pop().unwrap();
                drop(running.remove(&job));
                end.unwrap()
            }
        };
        hand.run();
        for (job, worker, done) in lock(&started).drain(..) {
            order.push((job, worker));
            ends.push(Reverse((now + nanos(jobs[job as usize - 1].service), job)));
            running.insert(job, done);
        }
    }
    pool.close();
    hand.run();
    order
}

fn same<S, L>(
    name: &str,
    sim: impl Fn() -> S + Clone + 'static,
    pool: impl Fn() -> L + Clone + 'static,
) where
    S: Dispatcher<SimJob>,
    L: Dispatcher<u64>,
{
    for seed in 0..4 {
        for depth in [1, 2, 4] {
            let trace = trace(400, seed, 1.0, 0.8);
            let simulated = simulated(&trace, depth, sim.clone(), Fifo::new);
            let live = live(&trace, depth, pool.clone(), Fifo::new);
            alike(
                &format!("{name}, seed {seed}, depth {depth}"),
                &simulated,
                &live,
            );
        }
    }
}

fn same_order<S, L>(
    name: &str,
    sim: impl Fn() -> S + Clone + 'static,
    pool: impl Fn() -> L + Clone + 'static,
) where
    S: QueueOrder<SimJob>,
    L: QueueOrder<u64>,
{
    for seed in 0..4 {
        // Busy enough for some to wait.
        let trace = urgent(&trace(400, seed, 1.0, 1.2));
        let what = format!("{name}, seed {seed}");
        let simulated = simulated(&trace, 4, Any::new, sim.clone());
        alike(&what, &simulated, &live(&trace, 4, Any::new, pool.clone()));
        let simulated = self::simulated(&trace, 2, LeastBusy::new, sim.clone());
        let live = live(&trace, 2, LeastBusy::new, pool.clone());
        alike(&format!("{what}, bound ahead"), &simulated, &live);
    }
}

fn alike(what: &str, simulated: &Starts, live: &Starts) {
    assert_eq!(simulated.len(), 400, "{what}");
    let differ = simulated
        .iter()
        .zip(live)
        .position(|(sim, live)| sim != live);
    assert_eq!(differ, None, "{what}: first difference");
    assert_eq!(simulated, live);
}

#[test]
fn the_same_trace_gives_the_same_decisions_in_the_same_order() {
    watched(|_| {
        same("any", Any::new, Any::new);
        same("round-robin", RoundRobin::new, RoundRobin::new);
        same("least-busy", LeastBusy::new, LeastBusy::new);
        same("two-choices", || TwoChoices::new(5), || TwoChoices::new(5));
        same("key-affinity", KeyAffinity::new, KeyAffinity::new);
    });
}

#[test]
fn the_same_trace_leaves_every_order_in_the_same_order() {
    watched(|_| {
        same_order("fifo", Fifo::new, Fifo::new);
        same_order("lifo", Lifo::new, Lifo::new);
        same_order("adaptive", || AdaptiveLifo::new(9), || AdaptiveLifo::new(9));
        same_order("fair", FairShare::new, FairShare::new);
        same_order("priority", Priority::new, Priority::new);
        same_order(
            "ageing",
            || Priority::new().ageing(9),
            || Priority::new().ageing(9),
        );
        same_order("deadline", EarliestDeadline::new, EarliestDeadline::new);
    });
}

/// The only test here that takes real time: that is what it is about. A wait takes longer than it should on a
/// machine with other work, so the simulator gets the arrivals and services as they turned out. What comes on
/// top is the pool's own, and that of whoever else uses the machine, so it has three tries.
#[test]
fn in_real_time_the_median_is_what_the_simulator_says() {
    watched(|_| {
        let trace = trace(100, 9, 0.050, 0.5);
        let mut medians = Vec::new();
        for _ in 0..3 {
            let (median, taken) = measured(&trace);
            let report = Simulation::new()
                .workers(3)
                .arrivals(Arrivals::trace(&taken))
                .service(Service::trace(&taken))
                .dispatcher(LeastBusy::new)
                .warm_up(0)
                .run()
                .unwrap();
            let expected = report.sojourn.percentile(50.0);
            medians.push((median, expected));
            if (median / expected - 1.0).abs() < 0.10 {
                return;
            }
        }
        panic!("p50 live and in the simulator: {medians:?}");
    });
}

/// The median sojourn, and the trace as it turned out.
fn measured(trace: &Trace) -> (f64, Trace) {
    let begun = Instant::now();
    let taken: Arc<Mutex<Vec<(Recorded, f64)>>> = Arc::default();
    let notes = taken.clone();
    let pool = Pool::builder(handler_fn(
        move |(arrived, service): (Instant, Duration)| {
            let started = Instant::now();
            std::thread::sleep(service);
            let arrival = (arrived - begun).as_secs_f64();
            let job = Recorded::new(arrival, started.elapsed().as_secs_f64());
            lock(&notes).push((job, arrived.elapsed().as_secs_f64()));
            Ok::<_, String>(())
        },
    ))
    .workers_per_dispatcher(3)
    .dispatcher(LeastBusy::new)
    .build()
    .unwrap();
    pool.ready_blocking().unwrap();
    let first = Instant::now();
    for job in trace.jobs() {
        let due = first + Duration::from_secs_f64(job.arrival);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let service = Duration::from_secs_f64(job.service);
        pool.send_blocking((Instant::now(), service)).unwrap();
    }
    pool.shutdown_blocking();
    let mut taken = lock(&taken).clone();
    assert_eq!(taken.len(), trace.len());
    taken.sort_by(|(one, _), (other, _)| one.arrival.total_cmp(&other.arrival));
    let recorded: Vec<_> = taken.iter().map(|(job, _)| job.clone()).collect();
    taken.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    (taken[taken.len() / 2].1, Trace::new(recorded).unwrap())
}
