//! What a pool with nothing to do takes.

use super::Workload;
use crate::case;
use crate::clock::Others;
use crate::report::Reading;
use crate::report::{Grid, disturbed_by, is_disturbing};
use crate::section::{Bar, Limit, Section};
use clap::Args;
use std::fmt;

/// Milliseconds of processor time in the time looked on.
const BAR: f64 = 1.0;

const METHOD: &str = "\
A process of its own builds a pool, has it run 10 000 jobs, and 100 ms after the last one looks at its own processor \
time (of all threads, the one that looks included), twice with two seconds in between.";

#[derive(Args)]
pub struct Arguments {
    /// Workers on threads of their own
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..), default_value = "1,8,1000")]
    threads: Vec<u32>,

    /// Workers on tokio
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..), default_value = "1000")]
    tasks: Vec<u32>,

    /// For how long to look on
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    milliseconds: u32,
}

#[derive(Clone, Copy)]
enum Place {
    Threads,
    Tokio,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Place::Threads => "threads",
            Place::Tokio => "tokio",
        })
    }
}

impl Workload for Arguments {
    fn measure(&self) -> Section {
        let mut section = Section::new("Idle", METHOD);
        let title = format!("idle, {} ms", self.milliseconds);
        let mut grid = Grid::new(title, &["workers", "on", "processor time, ms"]);
        let threads = self
            .threads
            .iter()
            .map(|&workers| (workers, Place::Threads));
        let tasks = self.tasks.iter().map(|&workers| (workers, Place::Tokio));
        let watch = Others::watch();
        let rows: Vec<_> = threads
            .chain(tasks)
            .map(|(workers, place)| (workers, place, self.idle(workers, place)))
            .collect();
        let others = watch.cores();
        for (workers, place, milliseconds) in rows {
            grid.rows.push(vec![
                workers.to_string(),
                place.to_string(),
                format!("{milliseconds:.3}"),
            ]);
            section.bars.push(Bar {
                what: format!("idle, {workers} workers on {place}: processor time"),
                limit: Limit::AtMost(BAR),
                unit: " ms",
                reading: Some(Reading {
                    figure: milliseconds,
                    against: String::new(),
                    doubtful: is_disturbing(others),
                }),
            });
        }
        grid.remarks.extend(disturbed_by(others));
        section.grids.push(grid);
        section
    }

    fn shrink(&mut self) {
        self.threads.truncate(2);
        self.tasks.clear();
        self.milliseconds = 100;
    }
}

impl Arguments {
    /// Milliseconds of processor time.
    fn idle(&self, workers: u32, place: Place) -> f64 {
        let workers = workers.to_string();
        let milliseconds = self.milliseconds.to_string();
        let mut arguments = vec!["idle", &workers, "--milliseconds", &milliseconds];
        if let Place::Tokio = place {
            arguments.push("--tokio");
        }
        let [nanoseconds] = case::run(&arguments).one("nanoseconds");
        nanoseconds / 1e6
    }
}
