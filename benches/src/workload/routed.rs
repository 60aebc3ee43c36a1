//! Counting jobs as in `send`, by one strategy and another: what it costs to choose.

use super::Workload;
use super::send::{Shape, turn};
use crate::contender::Fanpool;
use crate::plot::Plot;
use crate::report::slowest;
use crate::rounds::{self, Lane, Options, Table};
use crate::section::{Bar, Limit, Section};
use crate::work::{Tick, Work};
use clap::Args;
use fanpool::{
    Any, Dispatcher, Job, KeyAffinity, LeastBusy, Random, RoundRobin, TwoChoices, Weighted,
};

/// Each producer's jobs have so many keys.
const KEYS: u64 = 1024;

/// The slowest strategy is to take at most so many times as long as `Any`, with inboxes that are deep enough.
const BAR: f64 = 2.2;
const BAR_DEPTH: u32 = 4;

const METHOD: &str = "\
As in sending without results, by each strategy, with 1024 keys a producer; the number after a strategy is \
the depth of the inboxes.";

#[derive(Args)]
pub struct Arguments {
    /// Jobs in each round
    #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,

    /// Producers and workers
    #[arg(
        long = "shape",
        value_name = "PRODUCERSxWORKERS",
        value_delimiter = ',',
        default_value = "1x2,4x4,2x8"
    )]
    shapes: Vec<Shape>,

    /// Depths of the inboxes
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..), default_value = "4,16,64")]
    depths: Vec<u32>,

    #[command(flatten)]
    options: Options,
}

impl Workload for Arguments {
    fn measure(&self) -> Section {
        let Arguments {
            jobs,
            shapes,
            depths,
            options,
        } = self;
        let mut section = Section::new("Routed strategies", METHOD);
        let mut tables = Vec::new();
        for &shape in shapes {
            let table = rounds::measure(lanes::<Tick>(shape, *jobs, depths), *jobs, options);
            let title = format!(
                "routed, producers x workers: {shape}, {jobs} jobs, {} rounds",
                options.rounds
            );
            section.table(title, &table);
            if depths.iter().all(|depth| *depth >= BAR_DEPTH) {
                section.bars.push(bar(shape, &table));
            }
            tables.push((shape.to_string(), table));
        }
        section.plots.push(Plot::of_tables(
            "routed",
            "routed: time per job, by producers x workers",
            &tables,
        ));
        section
    }

    fn shrink(&mut self) {
        self.jobs = 2000;
        self.options.shrink();
    }
}

fn bar(shape: Shape, table: &Table) -> Bar {
    Bar {
        what: format!("routed {shape}: the slowest strategy's time over `Any`'s"),
        limit: Limit::AtMost(BAR),
        unit: "x",
        reading: slowest(table),
    }
}

fn lanes<W: Work<Output = ()>>(shape: Shape, jobs: u64, depths: &[u32]) -> Vec<Lane> {
    let mut lanes = vec![lane::<W, _>("Any", shape, jobs, 4, Any::new)];
    for &depth in depths {
        let weights = (0..shape.workers as u32).map(|index| 1 + index % 3);
        let weighted = Weighted::new(weights).expect("all weights are above 0");
        let name = |strategy| format!("{strategy} {depth}");
        let depth = depth as usize;
        lanes.extend([
            lane::<W, _>(name("RoundRobin"), shape, jobs, depth, RoundRobin::new),
            lane::<W, _>(name("LeastBusy"), shape, jobs, depth, LeastBusy::new),
            lane::<W, _>(name("TwoChoices"), shape, jobs, depth, || {
                TwoChoices::new(1)
            }),
            lane::<W, _>(name("Random"), shape, jobs, depth, || Random::new(1)),
            lane::<W, _>(name("Weighted"), shape, jobs, depth, move || {
                weighted.clone()
            }),
            lane::<W, _>(name("KeyAffinity"), shape, jobs, depth, || {
                KeyAffinity::by(|job: &Job<u64>| *job.data())
            }),
        ]);
    }
    lanes
}

fn lane<W: Work<Output = ()>, D: Dispatcher<u64>>(
    name: impl Into<String>,
    shape: Shape,
    jobs: u64,
    depth: usize,
    make: impl Fn() -> D + Clone + 'static,
) -> Lane {
    let name = name.into();
    Lane::variant::<Fanpool<W>>(name.clone(), move || {
        let pool = Fanpool::<W>::routed(shape.workers, depth, make.clone());
        turn(pool, &name, shape, jobs, |number| number % KEYS)
    })
}

#[cfg(test)]
mod tests {
    use super::super::send::WARM_UP;
    use super::*;
    use crate::work::record::{self, Recorded};

    #[test]
    fn every_strategy_runs_every_job_once() {
        let _alone = record::alone();
        let lanes = lanes::<Recorded>(Shape::new(2, 3), 2001, &[2, 1000]);
        assert_eq!(lanes.len(), 13);
        for lane in lanes {
            lane.turn();
            let mut jobs: Vec<_> = (0..WARM_UP)
                .chain(0..2001)
                .map(|number| number % KEYS)
                .collect();
            jobs.sort_unstable();
            assert_eq!(record::take(), jobs, "{}", lane.name());
        }
    }
}
