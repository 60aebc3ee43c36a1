//! More requests than can be served: the memory over time.

use super::Workload;
use crate::case;
use crate::plot::{Chart, Plot};
use crate::report::Grid;
use crate::report::Reading;
use crate::section::{Bar, Limit, Section};
use clap::Args;

/// Once the queue is full, resident memory is to grow by at most so many MiB: what a pool and an executor may
/// still need for the first time, and next to nothing for a million requests of 1 KiB.
const BAR: f64 = 2.0;

const METHOD: &str = "\
Tasks on tokio (two threads) make requests of 1 KiB each as fast as they can, for a service that answers 256 at once, \
each after a millisecond or two. Once they go through a pool of 256 workers with a queue of 1000; once each becomes a \
task of its own, which waits for the service. Each way has a process of its own, whose resident memory is sampled.";

#[derive(Args)]
pub struct Arguments {
    /// Of all producers together
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,

    /// Tasks that make requests
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    producers: u64,

    /// Requests that the service answers at once
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..))]
    width: u64,

    /// How long it takes for one
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    service_microseconds: u64,
}

/// Between two samples.
const SAMPLE: &str = "20";

/// The queue, by its default.
const CAPACITY: u64 = 1000;

#[derive(Clone, Copy)]
struct Sample {
    seconds: f64,
    /// Bytes.
    resident: f64,
    /// Requests that a pool or an executor took.
    taken: f64,
    answered: f64,
}

impl Workload for Arguments {
    fn measure(&self) -> Section {
        let mut section = Section::new("Overload", METHOD);
        let title = format!(
            "overload, {} producers, {} requests",
            self.producers, self.requests
        );
        let columns = [
            "way",
            "when full, MiB",
            "most, MiB",
            "growth, MiB",
            "waiting at most",
            "seconds",
        ];
        let mut grid = Grid::new(title, &columns);
        let mut series = Vec::new();
        for (way, name) in [("pool", "fanpool"), ("spawn", "a task for each request")] {
            let samples = self.samples(way);
            let run = Run::of(&samples, self.width + CAPACITY);
            grid.rows.push(run.row(name));
            if way == "pool" {
                section.bars.push(Bar {
                    what: "overload: growth of resident memory once the queue is full".to_owned(),
                    limit: Limit::AtMost(BAR),
                    unit: " MiB",
                    reading: Some(Reading {
                        figure: mebibytes(run.growth()),
                        against: format!("from {:.1} MiB", mebibytes(run.full)),
                        doubtful: false,
                    }),
                });
            }
            let points = samples
                .iter()
                .map(|one| (one.seconds, mebibytes(one.resident)));
            series.push((name.to_owned(), points.collect()));
        }
        section.grids.push(grid);
        section.plots.push(Plot {
            name: "overload".to_owned(),
            title: "overload: resident memory".to_owned(),
            chart: Chart::OverTime {
                y: "MiB".to_owned(),
                series,
            },
        });
        section
    }

    fn shrink(&mut self) {
        self.requests = 20_000;
        self.producers = 100;
    }
}

impl Arguments {
    fn samples(&self, way: &str) -> Vec<Sample> {
        let [requests, producers, width, service] = [
            self.requests,
            self.producers,
            self.width,
            self.service_microseconds,
        ]
        .map(|number| number.to_string());
        let lines = case::run(&[
            "overload",
            way,
            "--requests",
            &requests,
            "--producers",
            &producers,
            "--width",
            &width,
            "--service-microseconds",
            &service,
            "--sample-milliseconds",
            SAMPLE,
        ]);
        let sample = |line: &[f64]| {
            let &[seconds, resident, taken, answered] = line else {
                panic!("four figures for each sample: {line:?}");
            };
            Sample {
                seconds,
                resident,
                taken,
                answered,
            }
        };
        lines.all("sample").map(sample).collect()
    }
}

/// What one way came to, in bytes.
struct Run {
    /// When as many requests had been taken as the pool holds.
    full: f64,
    most: f64,
    waiting: f64,
    seconds: f64,
}

impl Run {
    fn of(samples: &[Sample], room: u64) -> Self {
        let full = samples.iter().find(|one| one.taken >= room as f64);
        let most = |figure: fn(&Sample) -> f64| samples.iter().map(figure).fold(0.0, f64::max);
        Run {
            full: full.map_or(0.0, |one| one.resident),
            most: most(|one| one.resident),
            waiting: most(|one| one.taken - one.answered),
            seconds: most(|one| one.seconds),
        }
    }

    fn growth(&self) -> f64 {
        self.most - self.full
    }

    fn row(&self, name: &str) -> Vec<String> {
        vec![
            name.to_owned(),
            format!("{:.1}", mebibytes(self.full)),
            format!("{:.1}", mebibytes(self.most)),
            format!("{:.1}", mebibytes(self.growth())),
            format!("{:.0}", self.waiting),
            format!("{:.1}", self.seconds),
        ]
    }
}

fn mebibytes(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_counts_from_when_the_queue_is_full() {
        let sample = |seconds, resident, taken, answered| Sample {
            seconds,
            resident,
            taken,
            answered,
        };
        let run = Run::of(
            &[
                sample(0.0, 5.0, 0.0, 0.0),
                sample(0.1, 10.0, 1256.0, 0.0),
                sample(0.2, 11.0, 2000.0, 900.0),
                sample(0.3, 9.0, 3000.0, 3000.0),
            ],
            1256,
        );
        assert_eq!((run.full, run.most, run.waiting), (10.0, 11.0, 1256.0));
        assert_eq!(run.growth(), 1.0);
    }

    #[test]
    fn a_pool_holds_no_more_than_its_bound_and_every_request_is_answered() {
        let mut arguments = Arguments {
            requests: 0,
            producers: 0,
            width: 16,
            service_microseconds: 1000,
        };
        arguments.shrink();
        for (way, most) in [("pool", 16.0 + 1000.0), ("spawn", 20_000.0)] {
            let samples = arguments.samples(way);
            let last = samples.last().expect("a sample");
            assert_eq!(last.answered, 20_000.0, "{way}");
            let run = Run::of(&samples, 1016);
            assert!(run.waiting <= most, "{way}: {} wait", run.waiting);
        }
    }
}
