//! Counting jobs without a result, sent as fast as they go in.

use super::Workload;
use crate::clock::{Moment, Span};
use crate::contender::{
    AsyncExecutor, Blocking, Contender, Crossbeam, Crossfire, Fanpool, Flume, Kanal, Note, Ractor,
    RayonSpawn, RayonSpawnFifo, RustyPool, Sends, ThreadPool, TokioSpawn, TokioSpawnBlocking,
};
use crate::plot::Plot;
use crate::report::{compared, fastest};
use crate::rounds::{self, Lane, Options, Table};
use crate::section::{Bar, Limit, Section};
use crate::work::{Count, TALLY, Work};
use clap::Args;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Barrier;
use std::thread;

/// Jobs that go through a new pool before the clock starts.
pub(super) const WARM_UP: u64 = 1000;

/// At each shape, fanpool is to be so many times as fast as the fastest pool.
const BARS: [(Shape, f64); 4] = [
    (Shape::new(1, 2), 3.0),
    (Shape::new(2, 2), 2.5),
    (Shape::new(4, 4), 2.2),
    (Shape::new(8, 2), 2.0),
];

/// At each of them, it is to take at most so many times as long as the bare channel.
const FLOOR_BAR: f64 = 3.2;

const METHOD: &str = "\
Every job does one `fetch_add` on one shared counter. The clock starts with the first send of the first \
producer and is stopped by the job that makes the count complete.";

#[derive(Args)]
pub struct Arguments {
    /// Jobs in each round
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,

    /// Producers and workers
    #[arg(
        long = "shape",
        value_name = "PRODUCERSxWORKERS",
        value_delimiter = ',',
        default_value = "1x2,2x2,4x4,8x2"
    )]
    shapes: Vec<Shape>,

    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) producers: usize,
    pub(super) workers: usize,
}

impl Shape {
    pub(super) const fn new(producers: usize, workers: usize) -> Self {
        Shape { producers, workers }
    }
}

impl FromStr for Shape {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
        text.split_once('x')
            .and_then(|(producers, workers)| {
                Some(Shape {
                    producers: number(producers)?,
                    workers: number(workers)?,
                })
            })
            .ok_or("a shape is two numbers from 1 on, as in 4x2")
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.producers, self.workers)
    }
}

impl Workload for Arguments {
    fn measure(&self) -> Section {
        let Arguments {
            jobs,
            shapes,
            options,
        } = self;
        let mut section = Section::new("Sending without results", METHOD);
        let mut tables = Vec::new();
        for &shape in shapes {
            let table = rounds::measure(lanes::<Count>(shape, *jobs, |_| 1), *jobs, options);
            let title = format!(
                "send, producers x workers: {shape}, {jobs} jobs, {} rounds",
                options.rounds
            );
            section.table(title, &table);
            section.bars.extend(bars(shape, &table));
            tables.push((shape.to_string(), table));
        }
        section.plots.push(Plot::of_tables(
            "send",
            "send: time per job, by producers x workers",
            &tables,
        ));
        section
    }

    fn shrink(&mut self) {
        self.jobs = 5000;
        self.options.shrink();
    }
}

fn bars(shape: Shape, table: &Table) -> Vec<Bar> {
    let Some((_, least)) = BARS.into_iter().find(|bar| bar.0 == shape) else {
        return Vec::new();
    };
    let floor = Crossfire::<Count>::NAME;
    vec![
        Bar {
            what: format!("send {shape}: times as fast as the fastest pool"),
            limit: Limit::AtLeast(least),
            unit: "x",
            reading: fastest(table, |one| !one.has(Note::Floor)),
        },
        Bar {
            what: format!("send {shape}: times as long as the bare channel"),
            limit: Limit::AtMost(FLOOR_BAR),
            unit: "x",
            reading: compared(table, &table.base, floor),
        },
    ]
}

fn lanes<W: Work<Output = ()>>(shape: Shape, jobs: u64, job: fn(u64) -> u64) -> Vec<Lane> {
    fn lane<C: Sends + 'static>(shape: Shape, jobs: u64, job: fn(u64) -> u64) -> Lane {
        Lane::new::<C>(move || turn(C::build(shape.workers), C::NAME, shape, jobs, job))
    }
    vec![
        lane::<Fanpool<W>>(shape, jobs, job),
        lane::<ThreadPool<W>>(shape, jobs, job),
        lane::<RustyPool<W>>(shape, jobs, job),
        lane::<RayonSpawn<W>>(shape, jobs, job),
        lane::<RayonSpawnFifo<W>>(shape, jobs, job),
        lane::<TokioSpawn<W>>(shape, jobs, job),
        lane::<TokioSpawnBlocking<W>>(shape, jobs, job),
        lane::<AsyncExecutor<W>>(shape, jobs, job),
        lane::<Blocking<W>>(shape, jobs, job),
        lane::<Ractor<W>>(shape, jobs, job),
        lane::<Crossfire<W>>(shape, jobs, job),
        lane::<Crossbeam<W>>(shape, jobs, job),
        lane::<Kanal<W>>(shape, jobs, job),
        lane::<Flume<W>>(shape, jobs, job),
    ]
}

/// From the first send to the moment the last job was counted. `job` makes the jobs from their numbers, of
/// which each producer has a range.
pub(super) fn turn<C: Sends>(
    pool: C,
    name: &str,
    shape: Shape,
    jobs: u64,
    job: impl Fn(u64) -> u64 + Copy + Send,
) -> Span {
    TALLY.expect(WARM_UP);
    let sender = pool.sender();
    for number in 0..WARM_UP {
        C::send(&sender, job(number));
    }
    drop(sender);
    TALLY.wait(name);

    TALLY.expect(jobs);
    let ready = Barrier::new(shape.producers);
    let (begun, ended) = thread::scope(|scope| {
        let producers: Vec<_> = shares(jobs, shape.producers)
            .map(|share| {
                let (sender, ready) = (pool.sender(), &ready);
                scope.spawn(move || {
                    ready.wait();
                    let begun = Moment::now();
                    for number in share {
                        C::send(&sender, job(number));
                    }
                    begun
                })
            })
            .collect();
        let ended = TALLY.wait(name);
        let begun = producers
            .into_iter()
            .map(|producer| producer.join().expect("sending does not panic"))
            .min_by_key(|begun| begun.wall);
        (begun.expect("a shape has producers"), ended)
    });
    pool.shut_down();
    ended.since(begun)
}

/// The numbers below `jobs` in `count` parts that differ by one at most.
pub(super) fn shares(jobs: u64, count: usize) -> impl Iterator<Item = Range<u64>> {
    let count = count as u64;
    (0..count).map(move |index| jobs * index / count..jobs * (index + 1) / count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::record::{self, Recorded};

    #[test]
    fn shares_add_up() {
        let parts: Vec<_> = shares(10, 4).collect();
        assert_eq!(parts, [0..2, 2..5, 5..7, 7..10]);
        assert_eq!(shares(1, 2).map(|share| share.count()).sum::<usize>(), 1);
    }

    #[test]
    fn shapes_are_parsed() {
        let shape: Shape = "8x2".parse().expect("a shape");
        assert_eq!((shape.producers, shape.workers), (8, 2));
        for wrong in ["", "8", "x2", "0x2", "8x0", "8x2x1", "a x b"] {
            assert!(wrong.parse::<Shape>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn every_contender_runs_every_job_once() {
        let _alone = record::alone();
        let lanes = lanes::<Recorded>(Shape::new(3, 2), 2001, |number| number);
        assert_eq!(lanes.len(), 14);
        for lane in lanes {
            lane.turn();
            assert_eq!(
                record::take(),
                record::of([0..WARM_UP, 0..2001]),
                "{}",
                lane.name()
            );
        }
    }
}
