//! Tables.

use crate::contender::{CAPACITY, Kind};
use crate::rounds::{Measured, Table};
use crate::stats::Quartiles;

/// From how many cores in others' use on the figures are called doubtful.
const DISTURBED: f64 = 0.1;

/// How many times as long as the table's base `name` takes, round by round.
pub fn ratio(table: &Table, name: &str) -> Option<Quartiles> {
    let times = |name: &str| table.rows.iter().find(|m| m.name == name);
    let (peer, base) = (times(name)?, times(&table.base)?);
    Some(Quartiles::of_ratios(&peer.ns_per_job, &base.ns_per_job))
}

/// Whether others used the machine meanwhile.
pub fn is_doubtful(table: &Table) -> bool {
    table.others.is_some_and(|others| others >= DISTURBED)
}

pub fn print_table(title: &str, table: &Table) {
    println!();
    println!("{title}");
    println!(
        "{:<14}{:>12}{:>8}{:>14}{:>18}",
        "contender",
        "ns/job",
        "cores",
        format!("vs {}", table.base),
        "quartiles"
    );
    for one in &table.rows {
        let Measured { name, .. } = one;
        let time = Quartiles::of(&one.ns_per_job).median;
        let cores = Quartiles::of(&one.cores).median;
        print!("{name:<14}{time:>12.1}{cores:>8.2}");
        match ratio(table, name) {
            Some(ratio) if *name != table.base => {
                let quartiles = format!("{:.2} to {:.2}", ratio.lower, ratio.upper);
                println!("{:>13.2}x{quartiles:>18}", ratio.median);
            }
            _ => println!(),
        }
    }
    if let Some(others) = table.others {
        let verdict = if is_doubtful(table) {
            ": the figures are DOUBTFUL"
        } else {
            ""
        };
        println!("other programs kept {others:.2} cores busy{verdict}");
    }
}

/// What a reader of the tables must know. `closures`: the most that can wait in an unbounded queue.
pub fn print_legend(table: &Table, closures: u64) {
    println!();
    println!("ns/job: median of the rounds, less is better");
    println!("cores: processor time over wall time, median of the rounds");
    let base = &table.base;
    println!("vs {base}: its time over {base}'s in the same round, median and quartiles");
    for (kind, text) in [
        (
            Kind::Typed,
            format!("bounded queue of {CAPACITY} jobs: a producer waits for room"),
        ),
        (
            Kind::Boxed,
            format!(
                "unbounded queue, a boxed closure for each job: no producer ever waits, and the \
                 closures in memory at once may be up to {closures}"
            ),
        ),
        (
            Kind::Channel,
            format!("bare bounded channel of {CAPACITY} jobs with threads: the floor, not a pool"),
        ),
    ] {
        let names: Vec<_> = table
            .rows
            .iter()
            .filter(|one| one.kind == kind)
            .map(|one| one.name.as_str())
            .collect();
        if !names.is_empty() {
            println!("{}: {text}", names.join(", "));
        }
    }
}
