//! Jobs whose results are waited for, one at a time: the way there and back.

use super::Workload;
use crate::clock::{Moment, Span};
use crate::contender::{
    AffinityPool, AsyncExecutor, Blocking, Fanpool, Ractor, RayonInstall, RayonSpawn,
    RayonSpawnFifo, RustyPool, Submits, ThreadPool, TokioSpawn, TokioSpawnBlocking, Tower,
};
use crate::plot::Plot;
use crate::report::{Grid, compared, fastest};
use crate::rounds::{self, Lane, Options, Table};
use crate::section::{Bar, Limit, Section};
use crate::stats::Quartiles;
use crate::work::{Increment, Work};
use clap::{Args, ValueEnum};
use futures_lite::future::block_on;
use std::fmt;

/// Jobs that go through a new pool before the clock starts.
const WARM_UP: u64 = 100;

/// fanpool is to take at most this much of the fastest peer's time, with so many workers.
const BAR: f64 = 0.6;
const BAR_WORKERS: [u32; 2] = [1, 8];

const METHOD: &str = "\
One caller waits for each result before it submits the next job. Every result is checked. A blocking caller is a \
thread that blocks in the contender's own way; an async one is a task on `futures_lite::future::block_on`. The \
whole measurement is made several times, since who wakes on which core may differ from one time to the next: \
*medians of the runs* is from the lowest to the highest of them, the other columns are of all rounds together.";

#[derive(Args)]
pub struct Arguments {
    /// Jobs in each round
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,

    /// Workers
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..), default_value = "1,2,8")]
    workers: Vec<u32>,

    /// How the caller waits
    #[arg(
        long = "caller",
        value_delimiter = ',',
        default_value = "blocking,async"
    )]
    callers: Vec<Caller>,

    /// How often all rounds are run
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,

    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Caller {
    Blocking,
    Async,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Caller::Blocking => "blocking",
            Caller::Async => "async",
        })
    }
}

impl Workload for Arguments {
    fn measure(&self) -> Section {
        let Arguments {
            jobs,
            workers,
            callers,
            runs,
            options,
        } = self;
        let mut section = Section::new("One job at a time", METHOD);
        for &caller in callers {
            let mut tables = Vec::new();
            for &workers in workers {
                let measure = |_| {
                    let lanes = lanes::<Increment>(caller, workers as usize, *jobs);
                    rounds::measure(lanes, *jobs, options)
                };
                let runs: Vec<Table> = (0..*runs).map(measure).collect();
                let table = Table::joined(&runs);
                section.grids.push(grid(
                    format!(
                        "pingpong, {caller}, {workers} workers, {jobs} jobs, {} runs of {} rounds",
                        runs.len(),
                        options.rounds
                    ),
                    &runs,
                    &table,
                ));
                section.bars.extend(bar(caller, workers, &table));
                tables.push((format!("{workers} workers"), table));
            }
            section.plots.push(Plot::of_tables(
                format!("pingpong-{caller}"),
                format!("pingpong, {caller}: time per job, by workers"),
                &tables,
            ));
        }
        section
    }

    fn shrink(&mut self) {
        self.jobs = 200;
        self.runs = 2;
        self.options.shrink();
    }
}

/// The usual columns, and the spread of the runs.
fn grid(title: String, runs: &[Table], joined: &Table) -> Grid {
    let mut grid = Grid::of(title, joined);
    let at = 2;
    grid.columns.insert(at, "medians of the runs".to_owned());
    for (row, cells) in grid.rows.iter_mut().enumerate() {
        let medians: Vec<f64> = runs
            .iter()
            .map(|run| Quartiles::of(&run.rows[row].ns_per_job).median)
            .collect();
        let low = medians.iter().copied().fold(f64::INFINITY, f64::min);
        let high = medians.iter().copied().fold(0.0, f64::max);
        cells.insert(at, format!("{low:.0} to {high:.0}"));
    }
    grid
}

fn bar(caller: Caller, workers: u32, table: &Table) -> Option<Bar> {
    BAR_WORKERS.contains(&workers).then(|| Bar {
        what: format!("pingpong, {caller}, {workers} workers: time over the fastest peer's"),
        limit: Limit::AtMost(BAR),
        unit: "x",
        reading: fastest(table, |_| true)
            .and_then(|peer| compared(table, &table.base, &peer.against)),
    })
}

fn lanes<W: Work<Output = u64>>(caller: Caller, workers: usize, jobs: u64) -> Vec<Lane> {
    fn lane<C: Submits + 'static>(caller: Caller, workers: usize, jobs: u64) -> Lane {
        Lane::new::<C>(move || turn::<C>(caller, workers, jobs))
    }
    let mut lanes = vec![
        lane::<Fanpool<W>>(caller, workers, jobs),
        lane::<Tower<W>>(caller, workers, jobs),
        lane::<ThreadPool<W>>(caller, workers, jobs),
        lane::<RustyPool<W>>(caller, workers, jobs),
        lane::<RayonSpawn<W>>(caller, workers, jobs),
        lane::<RayonSpawnFifo<W>>(caller, workers, jobs),
        lane::<TokioSpawn<W>>(caller, workers, jobs),
        lane::<TokioSpawnBlocking<W>>(caller, workers, jobs),
        lane::<AsyncExecutor<W>>(caller, workers, jobs),
        lane::<Blocking<W>>(caller, workers, jobs),
        lane::<AffinityPool<W>>(caller, workers, jobs),
        lane::<Ractor<W>>(caller, workers, jobs),
    ];
    if caller == Caller::Blocking {
        lanes.push(lane::<RayonInstall<W>>(caller, workers, jobs));
    }
    lanes
}

/// From the first call to the last result.
fn turn<C: Submits>(caller: Caller, workers: usize, jobs: u64) -> Span {
    let pool = C::build(workers);
    rally(&pool, caller, WARM_UP);
    let begun = Moment::now();
    rally(&pool, caller, jobs);
    let span = Moment::now().since(begun);
    pool.shut_down();
    span
}

fn rally<C: Submits>(pool: &C, caller: Caller, jobs: u64) {
    let check = |job, result| assert_eq!(result, job + 1, "{}: wrong result", C::NAME);
    match caller {
        Caller::Blocking => {
            for job in 0..jobs {
                check(job, pool.run(job));
            }
        }
        Caller::Async => block_on(async {
            for job in 0..jobs {
                check(job, pool.answer(job).await);
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::record::{self, RecordedIncrement};

    #[test]
    fn every_contender_runs_every_job_once() {
        let _alone = record::alone();
        for caller in [Caller::Blocking, Caller::Async] {
            let lanes = lanes::<RecordedIncrement>(caller, 2, 500);
            assert_eq!(
                lanes.len(),
                if caller == Caller::Blocking { 13 } else { 12 }
            );
            for lane in lanes {
                lane.turn();
                assert_eq!(
                    record::take(),
                    record::of([0..WARM_UP, 0..500]),
                    "{}",
                    lane.name()
                );
            }
        }
    }
}
