//! What a job costs when there are more jobs, workers or producers.

use super::send::{Shape, turn};
use super::{Workload, awaited};
use crate::case;
use crate::clock::{Moment, Span};
use crate::contender::awaited::FanpoolAsync;
use crate::contender::{CAPACITY, Contender, Fanpool, Sends};
use crate::plot::{Chart, Plot};
use crate::report::Reading;
use crate::report::{Grid, is_doubtful};
use crate::rounds::{self, Lane, Measured, Options, Table};
use crate::runtime::{Runtime, Tokio};
use crate::section::{Bar, Limit, Section};
use crate::stats::Quartiles;
use crate::work::{Count, TALLY, Work};
use clap::{Args, ValueEnum};
use fanpool::{Pool, async_handler_fn};
use std::convert::Infallible;

/// The dearest size is to cost at most so many times what the cheapest does.
const SPREAD_BAR: f64 = 1.5;

/// Bytes of an idle worker on tokio.
const WORKER_BAR: f64 = 1.2 * 1024.0;

/// Workers, where their number is not what grows.
const WORKERS: usize = 2;

/// Tasks that await results.
const CLIENTS: u32 = 64;

/// So many jobs at least go through a new pool before the clock starts.
const WARM_UP: u64 = 1000;

/// And so many for each of many workers: they have been asleep, and are known to the processor.
const WARM_UP_EACH: u64 = 10;

const METHOD: &str = "\
The total of jobs is the same at all sizes, and each job counts as in `send`; the table compares with the smallest \
size. *Jobs in a run*: one producer sends so many jobs, waits until they are done, and starts over, until the total \
is reached. *Workers*: so many of them on tokio (two threads), after ten jobs for each, for one producer thread that sends; \
and for 64 tasks there that await each result. *Producers*: so many threads that send to two workers, eight times as \
many jobs, since the start of the threads is in the time. *An idle worker* takes what a process of its own allocates for a \
pool on tokio over the number of its workers, after ten jobs for each of them; \
*resident* is what became resident meanwhile.";

#[derive(Args)]
pub struct Arguments {
    /// What grows
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "jobs,sending,awaiting,producers,idle"
    )]
    what: Vec<What>,

    /// Jobs in a run
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..), default_value = "1000,10000,100000,1000000,10000000")]
    jobs: Vec<u64>,

    /// Workers on tokio
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..), default_value = "1,10,100,1000,10000")]
    workers: Vec<u64>,

    /// Threads that send
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..), default_value = "1,10,100,1000")]
    producers: Vec<u64>,

    /// Jobs in each round for each number of workers; producers send eight times as many
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    total: u64,

    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum What {
    /// Jobs in a run
    Jobs,
    /// Workers on tokio, while a thread sends
    Sending,
    /// Workers on tokio, while tasks await results
    Awaiting,
    /// Threads that send
    Producers,
    /// Workers on tokio, for their memory
    Idle,
}

impl Workload for Arguments {
    fn measure(&self) -> Section {
        let mut section = Section::new("Growth", METHOD);
        let mut lines = Vec::new();
        for &what in &self.what {
            let (name, sizes, lane): (_, _, fn(u64, u64) -> Lane) = match what {
                What::Jobs => ("jobs in a run", &self.jobs, run_lane),
                What::Sending => ("workers on tokio, sending", &self.workers, send_lane),
                What::Awaiting => ("workers on tokio, awaiting", &self.workers, await_lane),
                What::Producers => ("producers", &self.producers, producer_lane),
                What::Idle => {
                    idle_workers(&self.workers, &mut section);
                    continue;
                }
            };
            let total = match sizes.iter().max() {
                Some(&most) if what == What::Jobs => most,
                // To start a thousand threads takes as long as to run some hundred thousand jobs.
                _ if what == What::Producers => 8 * self.total,
                _ => self.total,
            };
            let lanes = sizes.iter().map(|&size| lane(size, total)).collect();
            let table = rounds::measure(lanes, total, &self.options);
            let rounds = self.options.rounds;
            let title = format!("growth, {name}; {total} jobs, {rounds} rounds");
            section.table(title, &table);
            section.bars.push(bar(name, &table));
            lines.push((name.to_owned(), points(sizes, &table)));
        }
        section.plots.push(Plot {
            name: "growth".to_owned(),
            title: "growth: time per job".to_owned(),
            chart: Chart::Lines {
                x: "jobs, workers or producers".to_owned(),
                y: "ns per job".to_owned(),
                series: lines,
            },
        });
        section
    }

    fn shrink(&mut self) {
        self.jobs = vec![100, 5000];
        self.workers = vec![1, 1000];
        self.producers = vec![1, 20];
        self.total = 5000;
        self.options.shrink();
    }
}

fn run_lane(size: u64, total: u64) -> Lane {
    lane(size, move || {
        let runs = (total / size).max(1);
        let pool = Fanpool::<Count>::build(WORKERS);
        let sender = pool.sender();
        let mut sum = Span::default();
        // The first one is not counted.
        for run in 0..=runs {
            let span = send(size, |job| Fanpool::<Count>::send(&sender, job));
            if run > 0 {
                sum.wall += span.wall;
                sum.cpu += span.cpu;
            }
        }
        pool.shut_down();
        sum
    })
}

fn send_lane(workers: u64, total: u64) -> Lane {
    lane(workers, move || {
        let (runtime, running) = Tokio::start(awaited::THREADS);
        let pool = Pool::builder(async_handler_fn(|job: u64| async move {
            Count::run(job);
            Ok::<_, Infallible>(())
        }))
        .workers_per_dispatcher(workers as usize)
        .queue_capacity(CAPACITY)
        .spawner(move |worker| runtime.detach(worker))
        .build()
        .expect("the settings are allowed");
        pool.ready_blocking().expect("the factory cannot fail");
        let send_one = |job| pool.send_blocking(job).expect("the pool is open");
        send(WARM_UP.max(WARM_UP_EACH * workers), send_one);
        let span = send(total, send_one);
        drop(pool.shutdown_blocking());
        running.end();
        span
    })
}

fn await_lane(workers: u64, total: u64) -> Lane {
    lane(workers, move || {
        let shape = awaited::Shape::new(CLIENTS, workers as usize, total);
        awaited::turn::<Tokio, FanpoolAsync>(shape)
    })
}

fn producer_lane(producers: u64, total: u64) -> Lane {
    lane(producers, move || {
        let pool = Fanpool::<Count>::build(WORKERS);
        let shape = Shape::new(producers as usize, WORKERS);
        turn(pool, Fanpool::<Count>::NAME, shape, total, |_| 1)
    })
}

fn lane(size: u64, turn: impl Fn() -> Span + 'static) -> Lane {
    Lane::bare(size.to_string(), &[], turn)
}

/// From the first send to the moment the last job was counted.
fn send(jobs: u64, send: impl Fn(u64)) -> Span {
    TALLY.expect(jobs);
    let begun = Moment::now();
    for _ in 0..jobs {
        send(1);
    }
    TALLY.wait(Fanpool::<Count>::NAME).since(begun)
}

/// The median time at each size.
fn points(sizes: &[u64], table: &Table) -> Vec<(f64, f64)> {
    sizes
        .iter()
        .filter_map(|size| {
            let name = size.to_string();
            let row = table.rows.iter().find(|row| row.name == name)?;
            Some((*size as f64, Quartiles::of(&row.ns_per_job).median))
        })
        .collect()
}

/// The median ratio of the dearest size to the cheapest one.
fn bar(what: &str, table: &Table) -> Bar {
    let median = |row: &&Measured| Quartiles::of(&row.ns_per_job).median;
    let by_time = |a: &&Measured, b: &&Measured| median(a).total_cmp(&median(b));
    let dearest = table.rows.iter().max_by(by_time);
    let cheapest = table.rows.iter().min_by(by_time);
    Bar {
        what: format!(
            "growth, {what}: cost of a job at the dearest size, over that at the cheapest"
        ),
        limit: Limit::AtMost(SPREAD_BAR),
        unit: "x",
        reading: dearest.zip(cheapest).map(|(dearest, cheapest)| Reading {
            figure: Quartiles::of_ratios(&dearest.ns_per_job, &cheapest.ns_per_job).median,
            against: format!("{} over {}", dearest.name, cheapest.name),
            doubtful: is_doubtful(table),
        }),
    }
}

fn idle_workers(sizes: &[u64], section: &mut Section) {
    let columns = ["workers on tokio", "allocated, bytes", "resident, bytes"];
    let mut grid = Grid::new("an idle worker, each", &columns);
    let mut of_most = None;
    // A few workers are not worth telling from the pool.
    for size in sizes.iter().filter(|size| **size >= 1000) {
        let text = size.to_string();
        let [allocated, resident] = case::run(&["workers", &text]).one("idle");
        of_most = Some(allocated.max(resident));
        grid.rows.push(vec![
            text,
            format!("{allocated:.0}"),
            format!("{resident:.0}"),
        ]);
    }
    section.grids.push(grid);
    section.bars.push(Bar::plain(
        "an idle worker on tokio, where there are most",
        Limit::AtMost(WORKER_BAR),
        " bytes",
        of_most,
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::record;

    #[test]
    fn every_size_runs_the_same_jobs() {
        let _alone = record::alone();
        for lane in [run_lane, send_lane, await_lane, producer_lane] {
            for size in [1, 30] {
                let span = lane(size, 3000).turn();
                assert!(span.wall > std::time::Duration::ZERO);
            }
        }
    }

    #[test]
    fn the_spread_is_from_the_cheapest_to_the_dearest() {
        let row = |name: &str, ns_per_job: [f64; 3]| Measured {
            name: name.to_owned(),
            notes: &[],
            ns_per_job: ns_per_job.to_vec(),
            cores: vec![1.0; 3],
        };
        let table = Table {
            rows: vec![
                row("1", [20.0, 22.0, 40.0]),
                row("10", [10.0, 11.0, 20.0]),
                row("100", [12.0, 12.0, 30.0]),
            ],
            base: "1".to_owned(),
            others: None,
        };
        let reading = bar("workers", &table).reading.expect("there are rows");
        assert_eq!((reading.figure, &*reading.against), (2.0, "1 over 10"));
    }
}
