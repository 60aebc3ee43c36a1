//! Jobs whose results are waited for, one at a time: the way there and back.

use super::Workload;
use crate::clock::{Moment, Span};
use crate::contender::{
    AffinityPool, AsyncExecutor, Blocking, Fanpool, Ractor, RayonInstall, RayonSpawn,
    RayonSpawnFifo, RustyPool, Submits, ThreadPool, TokioSpawn, TokioSpawnBlocking, Tower,
};
use crate::plot::Plot;
use crate::report::{Grid, compared, count, fastest};
use crate::rounds::{self, Lane, Options, Table};
use crate::section::{Bar, Limit, Section};
use crate::stats::Quartiles;
use crate::work::{Increment, Work};
use clap::{Args, ValueEnum};
use futures_lite::future::block_on;
use std::fmt;
use std::time::{Duration, Instant};

/// The clock is looked at after so many jobs: it would cost too much after each.
const GLANCE: u64 = 16;

/// fanpool is to take at most this much of the fastest peer's time, with so many workers.
const BAR: f64 = 0.6;
const BAR_WORKERS: [u32; 2] = [1, 8];

const METHOD: &str = "\
One caller waits for each result before it submits the next job, for a set time. Every result is checked. A blocking caller is a \
thread that blocks in the contender's own way; an async one is a task on `futures_lite::future::block_on`. The \
whole measurement is made several times, since who wakes on which core may differ from one time to the next: \
*medians of the runs* is from the lowest to the highest of them, the other columns are of all rounds together.";

#[derive(Args)]
#[command(mut_arg("rounds", |rounds| rounds.default_value("5")))]
pub struct Arguments {
    /// How long each turn lasts, in milliseconds
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..))]
    time: u64,

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
            time,
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
                    let time = Duration::from_millis(*time);
                    let lanes = lanes::<Increment>(caller, workers as usize, time);
                    rounds::measure(lanes, 1, options)
                };
                let tables_of_runs: Vec<Table> = (0..*runs).map(measure).collect();
                let table = Table::joined(&tables_of_runs);
                section.grids.push(grid(
                    format!(
                        "pingpong, {caller}, {}, {time} ms a turn, {} of {} rounds",
                        count(workers, "worker"),
                        count(*runs, "run"),
                        options.rounds
                    ),
                    &tables_of_runs,
                    &table,
                ));
                section.bars.extend(bar(caller, workers, &table));
                tables.push((count(workers, "worker"), table));
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
        self.time = 2;
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
        what: format!(
            "pingpong, {caller}, {}: time over the fastest peer's",
            count(workers, "worker")
        ),
        limit: Limit::AtMost(BAR),
        unit: "x",
        reading: fastest(table, |_| true)
            .and_then(|peer| compared(table, &table.base, &peer.against)),
    })
}

fn lanes<W: Work<Output = u64>>(caller: Caller, workers: usize, time: Duration) -> Vec<Lane> {
    fn lane<C: Submits + 'static>(caller: Caller, workers: usize, time: Duration) -> Lane {
        Lane::new::<C>(move || turn::<C>(caller, workers, time))
    }
    let mut lanes = vec![
        lane::<Fanpool<W>>(caller, workers, time),
        lane::<Tower<W>>(caller, workers, time),
        lane::<ThreadPool<W>>(caller, workers, time),
        lane::<RustyPool<W>>(caller, workers, time),
        lane::<RayonSpawn<W>>(caller, workers, time),
        lane::<RayonSpawnFifo<W>>(caller, workers, time),
        lane::<TokioSpawn<W>>(caller, workers, time),
        lane::<TokioSpawnBlocking<W>>(caller, workers, time),
        lane::<AsyncExecutor<W>>(caller, workers, time),
        lane::<Blocking<W>>(caller, workers, time),
        lane::<AffinityPool<W>>(caller, workers, time),
        lane::<Ractor<W>>(caller, workers, time),
    ];
    if caller == Caller::Blocking {
        lanes.push(lane::<RayonInstall<W>>(caller, workers, time));
    }
    lanes
}

/// What one job took, on average: from the first call to the last result after `time`, by their number. A
/// quarter of that time goes by before it counts.
fn turn<C: Submits>(caller: Caller, workers: usize, time: Duration) -> Span {
    let pool = C::build(workers);
    let warm = rally(&pool, caller, 0, time / 4);
    let begun = Moment::now();
    let end = rally(&pool, caller, warm, time);
    let span = Moment::now().since(begun);
    pool.shut_down();
    span.each(end - warm)
}

/// Runs one job after the other for so long; answers the number after the last one's.
fn rally<C: Submits>(pool: &C, caller: Caller, start: u64, time: Duration) -> u64 {
    let check = |job, result| assert_eq!(result, job + 1, "{}: wrong result", C::NAME);
    let begun = Instant::now();
    let mut next = start;
    let mut group = || {
        let jobs = next..next + GLANCE;
        let go_on = begun.elapsed() < time;
        go_on.then(|| {
            next = jobs.end;
            jobs
        })
    };
    match caller {
        Caller::Blocking => {
            while let Some(jobs) = group() {
                for job in jobs {
                    check(job, pool.run(job));
                }
            }
        }
        Caller::Async => block_on(async {
            while let Some(jobs) = group() {
                for job in jobs {
                    check(job, pool.answer(job).await);
                }
            }
        }),
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::record::{self, RecordedIncrement};

    #[test]
    fn every_contender_runs_every_job_once() {
        let _alone = record::alone();
        for caller in [Caller::Blocking, Caller::Async] {
            let lanes = lanes::<RecordedIncrement>(caller, 2, Duration::from_millis(2));
            assert_eq!(
                lanes.len(),
                if caller == Caller::Blocking { 13 } else { 12 }
            );
            for lane in lanes {
                lane.turn();
                let jobs = record::take();
                assert!(jobs.len() as u64 >= GLANCE);
                let once = jobs.iter().copied().eq(0..jobs.len() as u64);
                assert!(once, "{}", lane.name());
            }
        }
    }
}
