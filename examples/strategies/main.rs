//! Compares dispatching strategies and queue orders on a simulated workload.
//!
//! ```text
//! cargo run --release --features sim --example strategies -- --workers 16 --load 0.5,0.7,0.9 --plot plot.svg
//! ```
//!
//! prints the 50th, 99th and 99.9th percentile of the time in system, by strategy, order and load, in units of
//! the mean service time. With `--format json` it prints one JSON object for each run, one a line. `--help` has the
//! workloads.

mod flags;
mod order;
mod parse;
mod plot;
mod plot_of;
mod show;

use clap::Parser;
use fanpool::sim::Report;
use flags::{Flags, Format};
use std::process::ExitCode;

/// One strategy with one order at one load.
struct Outcome {
    strategy: String,
    /// If there are several.
    order: Option<String>,
    load: Option<f64>,
    report: Report,
}

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("strategies: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(flags: &Flags) -> Result<(), Box<dyn std::error::Error>> {
    let workload = flags.workload()?;
    flags.check(&workload)?;
    let mut outcomes = Vec::new();
    let several = flags.orders().len() > 1;
    for strategy in flags.strategies() {
        for &order in flags.orders() {
            for load in flags.loads(&workload) {
                let simulation = flags.simulation(&workload, strategy, order, load)?;
                let outcome = Outcome {
                    strategy: flags.label(strategy),
                    order: several.then(|| order.to_string()),
                    load,
                    report: simulation.run()?,
                };
                if flags.format == Format::Json {
                    println!("{}", show::json(&outcome));
                }
                outcomes.push(outcome);
            }
        }
    }
    if flags.format == Format::Table {
        show::table(&flags.title(), &flags.legend(), &outcomes);
    }
    if let Some(path) = &flags.plot {
        plot::draw(path, &flags.title(), flags.plot_of, &outcomes)?;
    }
    Ok(())
}
