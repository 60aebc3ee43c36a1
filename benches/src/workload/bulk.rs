//! Jobs that are submitted many at once and waited for together, beside as many submitted one by one.

use super::Workload;
use crate::clock::{Moment, Span};
use crate::contender::{Contender, Fanpool, Handle, Submits};
use crate::plot::Plot;
use crate::report::{compared, count};
use crate::rounds::{self, Lane, Options};
use crate::section::{Bar, Limit, Section};
use crate::work::{Increment, Work};
use clap::Args;
use std::ops::Range;

/// Together, jobs are to take at most this much of the time that they take one by one.
const BAR: f64 = 0.6;

const TOGETHER: &str = "submit_all";
const SINGLY: &str = "submit";

const METHOD: &str = "\
fanpool only: `submit_all_blocking` of a group of jobs and `wait` for all of them, beside `submit_blocking` of each \
of them and then `wait` for each. Every result is checked.";

#[derive(Args)]
pub struct Arguments {
    /// Jobs in each round
    #[arg(long, default_value_t = 1_200_000, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,

    /// Jobs in each group
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    group: u64,

    /// Workers
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..), default_value = "2,4")]
    workers: Vec<u32>,

    #[command(flatten)]
    options: Options,
}

impl Workload for Arguments {
    fn measure(&self) -> Section {
        let Arguments {
            jobs,
            group,
            workers,
            options,
        } = self;
        let mut section = Section::new("Many jobs at once", METHOD);
        let mut tables = Vec::new();
        for &workers in workers {
            let lanes = lanes::<Increment>(workers as usize, *jobs, *group);
            let table = rounds::measure(lanes, *jobs, options);
            let title = format!(
                "bulk, {}, groups of {group}, {jobs} jobs, {} rounds",
                count(workers, "worker"),
                options.rounds
            );
            section.table(title, &table);
            section.bars.push(Bar {
                what: format!(
                    "bulk, {}: time over single `submit`'s",
                    count(workers, "worker")
                ),
                limit: Limit::AtMost(BAR),
                unit: "x",
                reading: compared(&table, TOGETHER, SINGLY),
            });
            tables.push((count(workers, "worker"), table));
        }
        section.plots.push(Plot::of_tables(
            "bulk",
            "bulk: time per job, by workers",
            &tables,
        ));
        section
    }

    fn shrink(&mut self) {
        self.jobs = 5000;
        self.options.shrink();
    }
}

fn lanes<W: Work<Output = u64>>(workers: usize, jobs: u64, group: u64) -> Vec<Lane> {
    let lane = |name, run: fn(&Fanpool<W>, Range<u64>)| {
        Lane::variant::<Fanpool<W>>(name, move || turn(workers, jobs, group, run))
    };
    vec![lane(TOGETHER, together), lane(SINGLY, singly)]
}

/// From the first submission to the last result. `run` runs one group.
fn turn<W: Work<Output = u64>>(
    workers: usize,
    jobs: u64,
    group: u64,
    run: fn(&Fanpool<W>, Range<u64>),
) -> Span {
    let pool = Fanpool::build(workers);
    run(&pool, 0..group);
    let begun = Moment::now();
    for start in (0..jobs).step_by(group as usize) {
        run(&pool, start..(start + group).min(jobs));
    }
    let span = Moment::now().since(begun);
    pool.shut_down();
    span
}

fn together<W: Work<Output = u64>>(pool: &Fanpool<W>, jobs: Range<u64>) {
    let results = pool.run_all(jobs.clone());
    assert!(results.eq(jobs.map(|job| job + 1)), "wrong results");
}

fn singly<W: Work<Output = u64>>(pool: &Fanpool<W>, jobs: Range<u64>) {
    let handles: Vec<_> = jobs.clone().map(|job| pool.submit(job)).collect();
    for (job, handle) in jobs.zip(handles) {
        assert_eq!(handle.wait(), job + 1, "wrong result");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::record::{self, RecordedIncrement};

    #[test]
    fn every_job_runs_once_either_way() {
        let _alone = record::alone();
        for lane in lanes::<RecordedIncrement>(2, 5001, 1000) {
            lane.turn();
            assert_eq!(
                record::take(),
                record::of([0..1000, 0..5001]),
                "{}",
                lane.name()
            );
        }
    }
}
