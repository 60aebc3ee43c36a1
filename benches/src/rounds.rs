//! Rounds in which every contender has its turn, so that what disturbs the machine for a while disturbs
//! them all.

use crate::clock::{Others, Span};
use crate::contender::{Contender, Note};
use clap::Args;
use std::process;
use std::thread;
use std::time::Duration;

/// How long the machine rests between two turns: threads that were told to end have ended then.
const REST: Duration = Duration::from_millis(10);

#[derive(Args)]
pub struct Options {
    /// Rounds to measure, after one that is not counted
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,

    /// Only contenders whose names begin with this; for a profiler
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub only: Vec<String>,
}

impl Options {
    /// Few, to see that it works.
    pub fn shrink(&mut self) {
        self.rounds = 2;
    }
}

/// One contender under one workload.
pub struct Lane {
    name: String,
    notes: &'static [Note],
    turn: Box<dyn Fn() -> Span>,
}

impl Lane {
    /// `turn` runs the workload once and answers what it took.
    pub fn new<C: Contender>(turn: impl Fn() -> Span + 'static) -> Self {
        Self::variant::<C>(C::NAME, turn)
    }

    /// A contender in one of several ways.
    pub fn variant<C: Contender>(
        name: impl Into<String>,
        turn: impl Fn() -> Span + 'static,
    ) -> Self {
        Self::bare(name, C::ABOUT.notes, turn)
    }

    /// Something that is no [`Contender`].
    pub fn bare(
        name: impl Into<String>,
        notes: &'static [Note],
        turn: impl Fn() -> Span + 'static,
    ) -> Self {
        Lane {
            name: name.into(),
            notes,
            turn: Box::new(turn),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn turn(&self) -> Span {
        (self.turn)()
    }
}

/// What one contender was measured to take.
#[derive(Clone)]
pub struct Measured {
    pub name: String,
    pub notes: &'static [Note],
    /// One for each round, in their order.
    pub ns_per_job: Vec<f64>,
    /// Cores kept busy: processor time over wall time, one for each round.
    pub cores: Vec<f64>,
}

impl Measured {
    /// Processor time, one for each round.
    pub fn cpu_ns_per_job(&self) -> Vec<f64> {
        let rounds = self.ns_per_job.iter().zip(&self.cores);
        rounds.map(|(wall, cores)| wall * cores).collect()
    }

    pub fn has(&self, note: Note) -> bool {
        self.notes.contains(&note)
    }
}

/// All contenders under one workload.
pub struct Table {
    pub rows: Vec<Measured>,
    /// Whose time every other one is compared with: the first one's.
    pub base: String,
    /// Cores that other programs kept busy meanwhile, if the system tells.
    pub others: Option<f64>,
}

impl Table {
    /// All rounds of several runs with the same contenders, of which there is at least one.
    pub fn joined(runs: &[Table]) -> Self {
        let (first, more) = runs.split_first().expect("there is a run");
        let mut rows = first.rows.clone();
        for run in more {
            for (row, one) in rows.iter_mut().zip(&run.rows) {
                row.ns_per_job.extend(&one.ns_per_job);
                row.cores.extend(&one.cores);
            }
        }
        Table {
            rows,
            base: first.base.clone(),
            others: runs.iter().filter_map(|run| run.others).reduce(f64::max),
        }
    }
}

pub fn measure(lanes: Vec<Lane>, jobs: u64, options: &Options) -> Table {
    let base = lanes[0].name.clone();
    let names: Vec<_> = lanes.iter().map(|lane| lane.name().to_owned()).collect();
    let wanted = |lane: &Lane| {
        let mut only = options.only.iter();
        options.only.is_empty() || only.any(|name| lane.name().starts_with(name))
    };
    let lanes: Vec<Lane> = lanes.into_iter().filter(wanted).collect();
    if lanes.is_empty() {
        eprintln!("no contender of that name here, only: {}", names.join(", "));
        process::exit(2);
    }
    let turn = |lane: &Lane| {
        let span = lane.turn();
        thread::sleep(REST);
        span
    };

    for lane in &lanes {
        turn(lane);
    }
    let others = Others::watch();
    let mut rows: Vec<Measured> = lanes
        .iter()
        .map(|lane| Measured {
            name: lane.name.clone(),
            notes: lane.notes,
            ns_per_job: Vec::new(),
            cores: Vec::new(),
        })
        .collect();
    for _ in 0..options.rounds {
        for (lane, row) in lanes.iter().zip(&mut rows) {
            let Span { wall, cpu } = turn(lane);
            row.ns_per_job.push(wall.as_nanos() as f64 / jobs as f64);
            row.cores.push(cpu.as_secs_f64() / wall.as_secs_f64());
        }
    }
    Table {
        rows,
        base,
        others: others.cores(),
    }
}
