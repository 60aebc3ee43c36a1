//! Tables.

use crate::contender::{CAPACITY, Kind};
use crate::rounds::Measured;
use crate::stats::Quartiles;

/// Whose time every other one is compared with.
const BASE: &str = "fanpool";

/// How many times as long as fanpool `name` takes, round by round.
pub fn ratio(measured: &[Measured], name: &str) -> Option<Quartiles> {
    let times = |name| measured.iter().find(|m| m.name == name);
    let (peer, base) = (times(name)?, times(BASE)?);
    Some(Quartiles::of_ratios(&peer.ns_per_job, &base.ns_per_job))
}

pub fn print_table(title: &str, measured: &[Measured]) {
    println!();
    println!("{title}");
    println!(
        "{:<14}{:>12}{:>14}{:>18}",
        "contender", "ns/job", "vs fanpool", "quartiles"
    );
    for one in measured {
        let median = Quartiles::of(&one.ns_per_job).median;
        print!("{:<14}{median:>12.1}", one.name);
        match ratio(measured, one.name) {
            Some(ratio) if one.name != BASE => {
                let quartiles = format!("{:.2} to {:.2}", ratio.lower, ratio.upper);
                println!("{:>13.2}x{quartiles:>18}", ratio.median);
            }
            _ => println!(),
        }
    }
}

/// What a reader of the tables must know.
pub fn print_legend(measured: &[Measured], jobs: u64) {
    println!();
    println!("ns/job: median of the rounds, less is better");
    println!("vs fanpool: its time over fanpool's in the same round, median and quartiles");
    for (kind, text) in [
        (
            Kind::Typed,
            format!("bounded queue of {CAPACITY} jobs: a producer waits for room"),
        ),
        (
            Kind::Boxed,
            format!(
                "unbounded queue, a boxed closure for each job: no producer ever waits, and up to \
                 {jobs} closures may be in memory at once"
            ),
        ),
        (
            Kind::Channel,
            format!("bare bounded channel of {CAPACITY} jobs with threads: the floor, not a pool"),
        ),
    ] {
        let names: Vec<_> = measured
            .iter()
            .filter(|one| one.kind == kind)
            .map(|one| one.name)
            .collect();
        if !names.is_empty() {
            println!("{}: {text}", names.join(", "));
        }
    }
}
