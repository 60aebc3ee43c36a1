//! Counting jobs as in `send`, by one strategy and another: what it costs to choose.

use super::Workload;
use super::send::{Shape, turn};
use crate::contender::Fanpool;
use crate::plot::Plot;
use crate::rounds::{self, Lane, Options};
use crate::section::Section;
use crate::work::Tick;
use clap::Args;
use fanpool::{
    Any, Dispatcher, Job, KeyAffinity, LeastBusy, Random, RoundRobin, TwoChoices, Weighted,
};

/// Each producer's jobs have so many keys.
const KEYS: u64 = 1024;

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
            let table = rounds::measure(lanes(shape, *jobs, depths), *jobs, options);
            let title = format!(
                "routed, producers x workers: {shape}, {jobs} jobs, {} rounds",
                options.rounds
            );
            section.table(title, &table);
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

fn lanes(shape: Shape, jobs: u64, depths: &[u32]) -> Vec<Lane> {
    let mut lanes = vec![lane("Any", shape, jobs, 4, Any::new)];
    for &depth in depths {
        let weights = (0..shape.workers as u32).map(|index| 1 + index % 3);
        let weighted = Weighted::new(weights).expect("all weights are above 0");
        let name = |strategy| format!("{strategy} {depth}");
        let depth = depth as usize;
        lanes.extend([
            lane(name("RoundRobin"), shape, jobs, depth, RoundRobin::new),
            lane(name("LeastBusy"), shape, jobs, depth, LeastBusy::new),
            lane(name("TwoChoices"), shape, jobs, depth, || {
                TwoChoices::new(1)
            }),
            lane(name("Random"), shape, jobs, depth, || Random::new(1)),
            lane(name("Weighted"), shape, jobs, depth, move || {
                weighted.clone()
            }),
            lane(name("KeyAffinity"), shape, jobs, depth, || {
                KeyAffinity::by(|job: &Job<u64>| *job.data())
            }),
        ]);
    }
    lanes
}

fn lane<D: Dispatcher<u64>>(
    name: impl Into<String>,
    shape: Shape,
    jobs: u64,
    depth: usize,
    make: impl Fn() -> D + Clone + 'static,
) -> Lane {
    let name = name.into();
    Lane::variant::<Fanpool<Tick>>(name.clone(), move || {
        let pool = Fanpool::<Tick>::routed(shape.workers, depth, make.clone());
        turn(pool, &name, shape, jobs, |number| number % KEYS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_is_counted_by_every_strategy() {
        let shape = Shape::new(2, 3);
        let options = Options {
            rounds: 1,
            only: Vec::new(),
        };
        let measured = rounds::measure(lanes(shape, 2001, &[2, 1000]), 2001, &options);
        assert_eq!(measured.rows.len(), 13);
        assert_eq!(measured.base, "Any");
        let options = Options {
            rounds: 1,
            only: vec!["Random".to_owned()],
        };
        let measured = rounds::measure(lanes(shape, 2001, &[2, 1000]), 2001, &options);
        let names: Vec<_> = measured.rows.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["Random 2", "Random 1000"]);
    }
}
