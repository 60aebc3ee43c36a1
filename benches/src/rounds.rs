//! Rounds in which every contender has its turn, so that what disturbs the machine for a while disturbs
//! them all.

use crate::clock::{Others, Span};
use crate::contender::{Contender, Crossbeam, Crossfire, Fanpool, Kind, RustyPool, ThreadPool};
use crate::work::Count;
use clap::Args;
use std::thread;
use std::time::Duration;

/// How long the machine rests between two turns: threads that were told to end have ended then.
const REST: Duration = Duration::from_millis(10);

/// Of all contenders; not every workload has all of them.
const NAMES: [&str; 12] = [
    Fanpool::<Count>::NAME,
    ThreadPool::<Count>::NAME,
    RustyPool::<Count>::NAME,
    Crossfire::<Count>::NAME,
    Crossbeam::<Count>::NAME,
    "Any",
    "RoundRobin",
    "LeastBusy",
    "TwoChoices",
    "Random",
    "Weighted",
    "KeyAffinity",
];

#[derive(Args)]
pub struct Options {
    /// Rounds to measure, after one that is not counted
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,

    /// Only these contenders, by name; for a profiler
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = NAMES)]
    pub only: Vec<String>,
}

/// One contender under one workload.
pub struct Lane {
    name: String,
    kind: Kind,
    turn: Box<dyn Fn() -> Span>,
}

impl Lane {
    /// `turn` runs the workload once and answers what it took.
    pub fn new<C: Contender>(turn: impl Fn() -> Span + 'static) -> Self {
        Lane {
            name: C::NAME.to_owned(),
            kind: C::KIND,
            turn: Box::new(turn),
        }
    }

    /// One of several of a family, which `--only` knows by the first word of their names.
    pub fn variant<C: Contender>(name: String, turn: impl Fn() -> Span + 'static) -> Self {
        Lane {
            name,
            ..Self::new::<C>(turn)
        }
    }
}

/// What one contender was measured to take.
pub struct Measured {
    pub name: String,
    pub kind: Kind,
    /// One for each round, in their order.
    pub ns_per_job: Vec<f64>,
    /// Cores kept busy: processor time over wall time, one for each round.
    pub cores: Vec<f64>,
}

/// All contenders under one workload.
pub struct Table {
    pub rows: Vec<Measured>,
    /// Whose time every other one is compared with: the first one's.
    pub base: String,
    /// Cores that other programs kept busy meanwhile, if the system tells.
    pub others: Option<f64>,
}

pub fn measure(lanes: Vec<Lane>, jobs: u64, options: &Options) -> Table {
    let base = lanes[0].name.clone();
    let family = |name: &str| name.split(' ').next().map(str::to_owned);
    let wanted = |lane: &Lane| {
        options.only.is_empty()
            || family(&lane.name).is_some_and(|name| options.only.contains(&name))
    };
    let lanes: Vec<Lane> = lanes.into_iter().filter(wanted).collect();
    let turn = |lane: &Lane| {
        let span = (lane.turn)();
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
            kind: lane.kind,
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
