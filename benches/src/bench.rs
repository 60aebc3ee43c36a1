//! Measures fanpool beside its peers: see `README.md`.

mod case;
mod clock;
mod contender;
mod document;
mod machine;
mod plot;
mod report;
mod requests;
mod rounds;
mod runtime;
mod section;
mod stats;
mod work;
mod workload;

use clap::{CommandFactory, Parser, Subcommand};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use workload::{
    Workload, awaited, bulk, cpu, growth, idle, memory, openloop, overload, pingpong, results,
    routed, send,
};

#[derive(Parser)]
#[command(version, about = "Measures fanpool beside its peers")]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// Only a smoke test: few rounds of few jobs
    #[arg(long, global = true)]
    quick: bool,
}

#[derive(Subcommand)]
enum Command {
    /// All workloads with their defaults; writes the page with the figures
    All(All),
    /// Counting jobs without a result, sent as fast as they go in
    Send(send::Arguments),
    /// Jobs whose results are waited for, many in flight
    Results(results::Arguments),
    /// Jobs submitted many at once, beside one by one
    Bulk(bulk::Arguments),
    /// Jobs whose results are waited for, one at a time
    Pingpong(pingpong::Arguments),
    /// Jobs that compute: what a pool adds to their processor time
    Cpu(cpu::Arguments),
    /// Counting jobs as in `send`, by one strategy and another
    Routed(routed::Arguments),
    /// Jobs whose results are awaited by many tasks
    Async(awaited::Arguments),
    /// Requests that come by a schedule, answered or not
    Openloop(openloop::Arguments),
    /// The processor time of a pool with nothing to do
    Idle(idle::Arguments),
    /// The memory of waiting jobs, and allocations
    Memory(memory::Arguments),
    /// The cost of a job with more jobs, workers or producers
    Growth(growth::Arguments),
    /// The memory when there is more to do than can be done
    Overload(overload::Arguments),
}

#[derive(clap::Args)]
struct All {
    /// Where `benchmarks.md` and `plots/` go; without it into `docs/`, but with `--quick` nowhere
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Command {
    fn workload(self) -> Result<Box<dyn Workload>, All> {
        Ok(match self {
            Command::All(all) => return Err(all),
            Command::Send(arguments) => Box::new(arguments),
            Command::Results(arguments) => Box::new(arguments),
            Command::Bulk(arguments) => Box::new(arguments),
            Command::Pingpong(arguments) => Box::new(arguments),
            Command::Cpu(arguments) => Box::new(arguments),
            Command::Routed(arguments) => Box::new(arguments),
            Command::Async(arguments) => Box::new(arguments),
            Command::Openloop(arguments) => Box::new(arguments),
            Command::Idle(arguments) => Box::new(arguments),
            Command::Memory(arguments) => Box::new(arguments),
            Command::Growth(arguments) => Box::new(arguments),
            Command::Overload(arguments) => Box::new(arguments),
        })
    }
}

fn main() -> ExitCode {
    let Arguments { command, quick } = Arguments::parse();
    machine::print();
    match command.workload() {
        Ok(workload) => {
            run(workload, quick);
            report::print_legend();
        }
        Err(all) => {
            if let Err(error) = run_all(&all, quick) {
                eprintln!("fanpool-bench: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn run(mut workload: Box<dyn Workload>, quick: bool) -> section::Section {
    if quick {
        workload.shrink();
    }
    let section = workload.measure();
    section.print();
    section
}

fn run_all(all: &All, quick: bool) -> Result<(), Box<dyn Error>> {
    let sections: Vec<_> = workloads()
        .into_iter()
        .map(|(name, workload)| {
            eprintln!("{name} ...");
            run(workload, quick)
        })
        .collect();
    report::print_legend();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let folder = match &all.out {
        Some(folder) => folder,
        None if quick => return Ok(()),
        None => &docs,
    };
    document::write(folder, quick, &contender::ALL, &sections)
}

/// Every subcommand that is a workload, with its defaults.
fn workloads() -> Vec<(String, Box<dyn Workload>)> {
    let command = Arguments::command();
    let program = command.get_name();
    command
        .get_subcommands()
        .filter_map(|subcommand| {
            let name = subcommand.get_name();
            let arguments = Arguments::parse_from([program, name]);
            let workload = arguments.command.workload().ok()?;
            Some((name.to_owned(), workload))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_every_subcommand() {
        Arguments::command().debug_assert();
        let subcommands = Arguments::command().get_subcommands().count();
        assert_eq!(workloads().len(), subcommands - 1);
    }

    #[test]
    fn a_command_line_is_parsed() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' '));
        let arguments = parse("bench all --quick --out here").expect("that is allowed");
        assert!(arguments.quick);
        for right in [
            "bench send --shape 4x4,8x2 --rounds 3 --only fanpool",
            "bench pingpong --caller async --workers 1 --runs 2 --quick",
            "bench cpu --micros 5 --shape 2x2",
        ] {
            assert!(parse(right).is_ok(), "{right}");
        }
        for wrong in [
            "bench",
            "bench send --shape 0x2",
            "bench send --rounds 0",
            "bench pingpong --caller nobody",
            "bench all --jobs 5",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
