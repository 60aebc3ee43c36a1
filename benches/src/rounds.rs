//! Rounds in which every contender has its turn, so that what disturbs the machine for a while disturbs
//! them all.

use crate::contender::{Contender, Kind};
use clap::Args;
use std::thread;
use std::time::Duration;

/// How long the machine rests between two turns: threads that were told to end have ended then.
const REST: Duration = Duration::from_millis(10);

#[derive(Args)]
pub struct Options {
    /// Rounds to measure, after one that is not counted
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,

    /// Only these contenders, by name; for a profiler
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub only: Vec<String>,
}

/// One contender under one workload.
pub struct Lane {
    name: &'static str,
    kind: Kind,
    turn: Box<dyn Fn() -> Duration>,
}

impl Lane {
    /// `turn` runs the workload once and answers how long it took.
    pub fn new<C: Contender>(turn: impl Fn() -> Duration + 'static) -> Self {
        Lane {
            name: C::NAME,
            kind: C::KIND,
            turn: Box::new(turn),
        }
    }
}

/// What one contender was measured to take.
pub struct Measured {
    pub name: &'static str,
    pub kind: Kind,
    /// One for each round, in their order.
    pub ns_per_job: Vec<f64>,
}

pub fn measure(lanes: Vec<Lane>, jobs: u64, options: &Options) -> Vec<Measured> {
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|o| o == name);
    let lanes: Vec<Lane> = lanes.into_iter().filter(|lane| wanted(lane.name)).collect();
    let turn = |lane: &Lane| {
        let time = (lane.turn)();
        thread::sleep(REST);
        time.as_nanos() as f64 / jobs as f64
    };

    for lane in &lanes {
        turn(lane);
    }
    let mut measured: Vec<Measured> = lanes
        .iter()
        .map(|lane| Measured {
            name: lane.name,
            kind: lane.kind,
            ns_per_job: Vec::new(),
        })
        .collect();
    for _ in 0..options.rounds {
        for (lane, measured) in lanes.iter().zip(&mut measured) {
            measured.ns_per_job.push(turn(lane));
        }
    }
    measured
}
