//! What waiting jobs take, and how often a job allocates.

use super::Workload;
use crate::case;
use crate::report::Grid;
use crate::section::{Bar, Limit, Section};
use clap::Args;
use fanpool::Queued;

/// Bytes of a plain envelope.
const ENVELOPE_BAR: f64 = 48.0;

/// Bytes of a waiting job, without the room that the queue's buffer has for more.
const QUEUED_BAR: f64 = 64.0;

/// Allocations for each job.
const ALLOCATIONS_BAR: f64 = 0.05;

const METHOD: &str = "\
The jobs are `u64`. *Waiting jobs*: a process of its own holds the one worker up, puts jobs into the queue and counts \
by its allocator what was allocated and not freed meanwhile, and what of its memory became resident; what there was \
before is not counted. A queue's buffer doubles when it is full: 2^20 jobs fill one, and one job more has twice the \
room. *Allocations*: once the queues have grown, all that is allocated on any thread is counted: jobs sent in bursts, \
and jobs submitted with so many handles waited for in turn.";

#[derive(Args)]
pub struct Arguments {
    /// Waiting jobs
    #[arg(
        long,
        value_delimiter = ',',
        value_parser = clap::value_parser!(u64).range(1..),
        default_value = "1000000,1048576,1048577"
    )]
    waiting: Vec<u64>,

    /// Jobs for each count of allocations
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,
}

impl Workload for Arguments {
    fn measure(&self) -> Section {
        let mut section = Section::new("Memory", METHOD);
        section.bars.push(Bar::plain(
            "a plain envelope of a `u64`",
            Limit::AtMost(ENVELOPE_BAR),
            " bytes",
            Some(size_of::<Queued<u64>>() as f64),
        ));
        self.waiting(&mut section);
        self.allocations(&mut section);
        section
    }

    fn shrink(&mut self) {
        self.waiting = vec![1024];
        self.jobs = 5000;
    }
}

impl Arguments {
    fn waiting(&self, section: &mut Section) {
        let columns = ["jobs", "", "allocated, bytes", "resident, bytes"];
        let mut grid = Grid::new("waiting jobs, each", &columns);
        let mut full = None;
        for (how, flag) in [
            ("sent", None),
            ("submitted, with handles", Some("--handles")),
        ] {
            for jobs in &self.waiting {
                let text = jobs.to_string();
                let arguments: Vec<&str> = ["queued", &text].into_iter().chain(flag).collect();
                let [allocated, resident] = case::run(&arguments).one("bytes");
                if flag.is_none() && jobs.is_power_of_two() {
                    full = Some(allocated);
                }
                grid.rows.push(vec![
                    text,
                    how.to_owned(),
                    format!("{allocated:.1}"),
                    format!("{resident:.1}"),
                ]);
            }
        }
        section.grids.push(grid);
        section.bars.push(Bar::plain(
            "a waiting job, in a buffer that is full",
            Limit::AtMost(QUEUED_BAR),
            " bytes",
            full,
        ));
    }

    fn allocations(&self, section: &mut Section) {
        let jobs = self.jobs.to_string();
        let lines = case::run(&["allocations", "--jobs", &jobs]);
        for (name, columns) in [
            ("send", ["workers", "jobs in a burst", "allocations"]),
            ("submit", ["workers", "handles at once", "allocations"]),
        ] {
            let mut grid = Grid::new(format!("allocations for each `{name}`"), &columns);
            let mut most: Option<f64> = None;
            for line in lines.all(name) {
                let &[workers, at_once, allocations] = line else {
                    panic!("three figures for {name}: {line:?}");
                };
                most = Some(most.map_or(allocations, |most| most.max(allocations)));
                grid.rows.push(vec![
                    workers.to_string(),
                    at_once.to_string(),
                    format!("{allocations:.4}"),
                ]);
            }
            section.grids.push(grid);
            section.bars.push(Bar::plain(
                &format!("most allocations for each `{name}`"),
                Limit::AtMost(ALLOCATIONS_BAR),
                "",
                most,
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_buffer_holds_an_envelope_for_each_job() {
        let lines = case::run(&["queued", "65536"]);
        let [allocated, _resident] = lines.one("bytes");
        let envelope = size_of::<Queued<u64>>() as f64;
        // A thread may allocate something of its own meanwhile.
        assert!((allocated - envelope).abs() < 0.1, "{allocated}");
    }

    #[test]
    fn handles_cost_an_allocation_and_jobs_without_them_do_not() {
        let lines = case::run(&["allocations", "--jobs", "20000"]);
        assert_eq!(lines.all("send").count(), 12);
        assert!(lines.all("send").all(|line| line[2] < 0.5));
        assert!(lines.all("submit").all(|line| line[2] < 1.5));
    }
}
