//! Jobs whose results are awaited by many tasks, each of which has one job out at a time.

use super::Workload;
use crate::clock::{Moment, Span};
use crate::contender::awaited::{
    Awaited, Channel, Factory, FanpoolAsync, FanpoolThreads, Spawn, Tower, TowerLimited,
};
use crate::contender::{About, Note};
use crate::plot::Plot;
use crate::report::{Grid, compared, fastest};
use crate::rounds::{self, Lane, Options, Table};
use crate::runtime::{Runtime, Smol, Tokio};
use crate::section::{Bar, Limit, Section};
use clap::{Args, ValueEnum};

/// Jobs of each client that go through before the clock starts.
const WARM_UP: u64 = 10;

/// With so many clients, fanpool is to take at most so many times as long as the executor's own tasks.
const SPAWN_BARS: [(u32, f64); 2] = [(64, 1.2), (1024, 1.0)];

const SPAWN: &str = <Spawn<Tokio> as Awaited<Tokio>>::ABOUT.name;

const METHOD: &str = "\
Tasks on an executor with two threads submit a job, await its result, and submit the next one. The clock \
runs from the start of the tasks to the end of the last one. Every result is checked. *spawn* is the \
executor alone, with a task for each job.";

#[derive(Args)]
pub struct Arguments {
    /// Jobs in each round, of all clients together
    #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,

    /// The executors
    #[arg(long = "on", value_delimiter = ',', default_value = "tokio,smol")]
    executors: Vec<Executor>,

    /// Tasks that submit
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..), default_value = "64,1024")]
    clients: Vec<u32>,

    /// Workers, where there are any
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    workers: u32,

    /// Threads of the executor
    #[arg(long, default_value_t = THREADS as u32, value_parser = clap::value_parser!(u32).range(1..))]
    threads: u32,

    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, ValueEnum)]
enum Executor {
    Tokio,
    Smol,
}

/// Threads of the executor, by default.
pub(super) const THREADS: usize = 2;

/// Of one table.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    clients: u32,
    workers: usize,
    threads: usize,
    /// Of each client.
    jobs: u64,
}

impl Workload for Arguments {
    fn measure(&self) -> Section {
        let mut section = Section::new("Awaiting results in tasks", METHOD);
        section.grids.push(Grid::contenders(&abouts()));
        let mut tables = Vec::new();
        for &executor in &self.executors {
            let (runtime, lanes): (_, fn(Shape) -> Vec<Lane>) = match executor {
                Executor::Tokio => (Tokio::NAME, tokio_lanes),
                Executor::Smol => (Smol::NAME, smol_lanes),
            };
            for &clients in &self.clients {
                let shape = self.shape(clients);
                let jobs = shape.jobs * u64::from(clients);
                let table = rounds::measure(lanes(shape), jobs, &self.options);
                let title = format!(
                    "async on {runtime}, {clients} clients, {} workers, {jobs} jobs, {} rounds",
                    self.workers, self.options.rounds
                );
                section.table(title, &table);
                section.bars.extend(bars(runtime, clients, &table));
                tables.push((format!("{runtime}, {clients}"), table));
            }
        }
        section.plots.push(Plot::of_tables(
            "async",
            "async: time per job, by executor and number of clients",
            &tables,
        ));
        section
    }

    fn shrink(&mut self) {
        self.jobs = 5000;
        self.options.shrink();
    }
}

impl Arguments {
    fn shape(&self, clients: u32) -> Shape {
        Shape {
            threads: self.threads as usize,
            ..Shape::new(clients, self.workers as usize, self.jobs)
        }
    }
}

impl Shape {
    /// For about so many jobs of all clients together.
    pub(super) fn new(clients: u32, workers: usize, jobs: u64) -> Self {
        Shape {
            clients,
            workers,
            threads: THREADS,
            jobs: jobs.div_ceil(clients.into()),
        }
    }
}

fn bars(runtime: &str, clients: u32, table: &Table) -> Vec<Bar> {
    let mut bars = vec![Bar {
        what: format!("async on {runtime}, {clients} clients: times as fast as the fastest pool"),
        limit: Limit::AtLeast(1.0),
        unit: "x",
        reading: fastest(table, |one| {
            let own = one.name.starts_with("fanpool");
            !own && one.name != SPAWN && !one.has(Note::Floor)
        }),
    }];
    if let Some((_, most)) = SPAWN_BARS.into_iter().find(|bar| bar.0 == clients) {
        bars.push(Bar {
            what: format!(
                "async on {runtime}, {clients} clients: times as long as its own spawn and join"
            ),
            limit: Limit::AtMost(most),
            unit: "x",
            reading: compared(table, &table.base, SPAWN),
        });
    }
    bars
}

fn abouts() -> [About; 8] {
    fn one<R: Runtime, C: Awaited<R>>() -> About {
        C::ABOUT
    }
    [
        one::<Tokio, FanpoolAsync>(),
        one::<Tokio, FanpoolThreads>(),
        one::<Tokio, Spawn<Tokio>>(),
        one::<Smol, Spawn<Smol>>(),
        one::<Tokio, Channel>(),
        one::<Tokio, Tower>(),
        one::<Tokio, TowerLimited>(),
        one::<Tokio, Factory>(),
    ]
}

fn tokio_lanes(shape: Shape) -> Vec<Lane> {
    let mut lanes = lanes::<Tokio>(shape);
    lanes.push(lane::<Tokio, Factory>(shape));
    lanes
}

fn smol_lanes(shape: Shape) -> Vec<Lane> {
    lanes::<Smol>(shape)
}

/// Of those that live on any executor.
fn lanes<R: Runtime>(shape: Shape) -> Vec<Lane> {
    vec![
        lane::<R, FanpoolAsync>(shape),
        lane::<R, FanpoolThreads>(shape),
        lane::<R, Spawn<R>>(shape),
        lane::<R, Channel>(shape),
        lane::<R, Tower>(shape),
        lane::<R, TowerLimited>(shape),
    ]
}

fn lane<R: Runtime, C: Awaited<R>>(shape: Shape) -> Lane {
    Lane::bare(C::ABOUT.name, C::ABOUT.notes, move || turn::<R, C>(shape))
}

/// From the start of the clients to the end of the last one.
pub(super) fn turn<R: Runtime, C: Awaited<R>>(shape: Shape) -> Span {
    let (runtime, running) = R::start(shape.threads);
    let pool = C::build(&runtime, shape.workers);
    let rally = |jobs| {
        let clients: Vec<_> = (0..shape.clients).map(|_| pool.client()).collect();
        running.wait(rally::<R, C>(runtime.clone(), clients, jobs));
    };
    rally(WARM_UP);
    let begun = Moment::now();
    rally(shape.jobs);
    let span = Moment::now().since(begun);
    pool.shut_down();
    running.end();
    span
}

async fn rally<R: Runtime, C: Awaited<R>>(runtime: R, clients: Vec<C::Client>, jobs: u64) {
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            runtime.spawn(async move {
                for job in 0..jobs {
                    let result = C::run(&mut client, job).await;
                    assert_eq!(result, job + 1, "{}: wrong result", C::ABOUT.name);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contender_gives_every_result() {
        let options = Options {
            rounds: 1,
            only: Vec::new(),
        };
        for clients in [1, 100] {
            let shape = Shape {
                clients,
                workers: 2,
                threads: 2,
                jobs: 30,
            };
            let jobs = 30 * u64::from(clients);
            let table = rounds::measure(tokio_lanes(shape), jobs, &options);
            assert_eq!(table.rows.len(), 7);
            let table = rounds::measure(smol_lanes(shape), jobs, &options);
            assert_eq!(table.rows.len(), 6);
        }
    }
}
