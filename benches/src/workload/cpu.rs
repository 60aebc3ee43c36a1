//! Jobs that compute: what a pool adds to their processor time, and how long they take.

use super::Workload;
use super::send::{Shape, shares, turn};
use crate::clock::{Moment, Span};
use crate::contender::{
    AsyncExecutor, Blocking, Crossbeam, Crossfire, Fanpool, Note, Ractor, RayonSpawn,
    RayonSpawnFifo, RustyPool, Sends, ThreadPool, TokioSpawn, TokioSpawnBlocking,
};
use crate::plot::Plot;
use crate::report::Reading;
use crate::report::{Grid, disturbance, fastest, is_doubtful, ratio, ratio_of, words};
use crate::rounds::{self, Lane, Options, Table};
use crate::section::{Bar, Limit, Section};
use crate::stats::Quartiles;
use crate::work::{SPIN, Spin, TALLY, Work};
use clap::Args;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

/// The jobs, run by as many threads as there are workers, without any pool.
const INLINE: &str = "inline";

/// fanpool is to add at most so much processor time to a job.
const CPU_BAR: f64 = 60.0;

/// From here on, fanpool's wall time counts as level with the fastest pool's.
const LEVEL: f64 = 0.99;

const METHOD: &str = "\
Jobs that compute for a set time: steps that each need the one before, so many as were measured beforehand to take \
that long. No results; times are taken as in `send`. *inline* is the same work by bare threads, as many as there are \
workers, without a queue. *CPU* is the processor time of the whole program, with producers, workers and all \
(`getrusage` counts the same, but more coarsely). *over inline* is the difference to inline's in the same round, \
median and quartiles. With long jobs this difference is much smaller than what the machine itself adds and takes \
from one round to the next: see its quartiles.";

#[derive(Args)]
pub struct Arguments {
    /// How long the jobs are, in microseconds
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..), default_value = "1,10,100")]
    micros: Vec<u32>,

    /// Processor time of all jobs of a round together, in milliseconds
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    work: u32,

    /// Producers and workers
    #[arg(long, value_name = "PRODUCERSxWORKERS", default_value = "1x2")]
    shape: Shape,

    #[command(flatten)]
    options: Options,
}

impl Workload for Arguments {
    fn measure(&self) -> Section {
        let Arguments {
            micros,
            work,
            shape,
            options,
        } = self;
        let mut section = Section::new("Jobs that compute", METHOD);
        let mut tables = Vec::new();
        let speed = SPIN.speed();
        for &micros in micros {
            let jobs = u64::from((work * 1000).div_ceil(micros));
            SPIN.last(Duration::from_micros(micros.into()), speed);
            let table = rounds::measure(lanes::<Spin>(*shape, jobs), jobs, options);
            let title = format!(
                "cpu, jobs of {micros} µs, producers x workers: {shape}, {jobs} jobs, {} rounds",
                options.rounds
            );
            section.grids.push(grid(title, &table));
            section.bars.extend(bars(micros, &table));
            tables.push((format!("{micros} µs"), table));
        }
        section.plots.push(Plot::of_figures(
            "cpu",
            "cpu: wall time over that of bare threads, by length of the jobs",
            "times as long as inline",
            &tables,
            |table, one| Some(ratio_of(table, &one.name, INLINE)?.median),
        ));
        section
    }

    fn shrink(&mut self) {
        self.work = 5;
        self.options.shrink();
    }
}

fn grid(title: String, table: &Table) -> Grid {
    let versus = format!("vs {}", table.base);
    let columns = [
        "contender",
        "ns/job",
        &versus,
        "quartiles",
        "CPU ns/job",
        "over inline",
        "quartiles",
        "",
    ];
    let mut grid = Grid::new(title, &columns);
    for one in &table.rows {
        let (times, quartiles) = match ratio(table, &one.name) {
            Some(ratio) if one.name != table.base => (
                format!("{:.3}x", ratio.median),
                format!("{:.3} to {:.3}", ratio.lower, ratio.upper),
            ),
            _ => Default::default(),
        };
        let (over, spread) = match over_inline(table, &one.name) {
            Some(over) if one.name != INLINE => (
                format!("{:.0}", over.median),
                format!("{:.0} to {:.0}", over.lower, over.upper),
            ),
            _ => Default::default(),
        };
        grid.rows.push(vec![
            one.name.clone(),
            format!("{:.0}", Quartiles::of(&one.ns_per_job).median),
            times,
            quartiles,
            format!("{:.0}", Quartiles::of(&one.cpu_ns_per_job()).median),
            over,
            spread,
            words(one.notes),
        ]);
    }
    grid.remarks.extend(disturbance(table));
    grid
}

/// Processor time for each job beyond inline's, in ns.
fn over_inline(table: &Table, name: &str) -> Option<Quartiles> {
    let cpu = |name: &str| {
        let one = table.rows.iter().find(|one| one.name == name)?;
        Some(one.cpu_ns_per_job())
    };
    Some(Quartiles::of_differences(&cpu(name)?, &cpu(INLINE)?))
}

fn bars(micros: u32, table: &Table) -> [Bar; 2] {
    [
        Bar {
            what: format!("cpu, jobs of {micros} µs: CPU per job over inline's"),
            limit: Limit::AtMost(CPU_BAR),
            unit: " ns",
            reading: over_inline(table, &table.base).map(|over| Reading {
                figure: over.median,
                against: format!("quartiles {:.0} to {:.0}", over.lower, over.upper),
                doubtful: is_doubtful(table),
            }),
        },
        Bar {
            what: format!("cpu, jobs of {micros} µs: the fastest pool's wall time over fanpool's"),
            limit: Limit::AtLeast(LEVEL),
            unit: "x",
            reading: fastest(table, |one| !one.has(Note::Floor)),
        },
    ]
}

fn lanes<W: Work<Output = ()>>(shape: Shape, jobs: u64) -> Vec<Lane> {
    fn lane<C: Sends + 'static>(shape: Shape, jobs: u64) -> Lane {
        Lane::new::<C>(move || turn(C::build(shape.workers), C::NAME, shape, jobs, |job| job))
    }
    let inline = move || inline::<W>(shape.workers, jobs);
    vec![
        lane::<Fanpool<W>>(shape, jobs),
        // Right after it: the machine changes its pace, and the difference is small.
        Lane::bare(INLINE, &[Note::Floor], inline),
        lane::<ThreadPool<W>>(shape, jobs),
        lane::<RustyPool<W>>(shape, jobs),
        lane::<RayonSpawn<W>>(shape, jobs),
        lane::<RayonSpawnFifo<W>>(shape, jobs),
        lane::<TokioSpawn<W>>(shape, jobs),
        lane::<TokioSpawnBlocking<W>>(shape, jobs),
        lane::<AsyncExecutor<W>>(shape, jobs),
        lane::<Blocking<W>>(shape, jobs),
        lane::<Ractor<W>>(shape, jobs),
        lane::<Crossfire<W>>(shape, jobs),
        lane::<Crossbeam<W>>(shape, jobs),
    ]
}

/// From the first job's start to the last one's end.
fn inline<W: Work<Output = ()>>(threads: usize, jobs: u64) -> Span {
    TALLY.expect(jobs);
    let ready = Barrier::new(threads);
    let begun = thread::scope(|scope| {
        let threads: Vec<_> = shares(jobs, threads)
            .map(|share| {
                let ready = &ready;
                scope.spawn(move || {
                    ready.wait();
                    let begun = Moment::now();
                    share.for_each(W::run);
                    begun
                })
            })
            .collect();
        let begun = threads
            .into_iter()
            .map(|thread| thread.join().expect("no job panics"));
        begun
            .min_by_key(|begun| begun.wall)
            .expect("there are threads")
    });
    TALLY.wait(INLINE).since(begun)
}

#[cfg(test)]
mod tests {
    use super::super::send::WARM_UP;
    use super::*;
    use crate::work::record::{self, Recorded};

    #[test]
    fn every_contender_runs_every_job_once() {
        let _alone = record::alone();
        let lanes = lanes::<Recorded>(Shape::new(2, 3), 1001);
        assert_eq!(lanes.len(), 13);
        for lane in lanes {
            lane.turn();
            let warm_up = if lane.name() == INLINE { 0 } else { WARM_UP };
            let jobs = record::of([0..warm_up, 0..1001]);
            assert_eq!(record::take(), jobs, "{}", lane.name());
        }
    }

    #[test]
    fn differences_to_inline_are_paired() {
        let row = |name: &str, ns_per_job| rounds::Measured {
            name: name.to_owned(),
            notes: &[],
            ns_per_job,
            cores: vec![2.0, 1.0],
        };
        let table = Table {
            rows: vec![
                row("fanpool", vec![60.0, 140.0]),
                row(INLINE, vec![50.0, 100.0]),
            ],
            base: "fanpool".to_owned(),
            others: None,
        };
        let over = over_inline(&table, "fanpool").expect("both are there");
        assert_eq!((over.lower, over.median, over.upper), (25.0, 30.0, 35.0));
    }
}
