//! Measures fanpool beside its peers: see `README.md`.

mod clock;
mod contender;
mod machine;
mod report;
mod rounds;
mod stats;
mod work;
mod workload;

use clap::{Parser, Subcommand};
use workload::{pingpong, results, routed, send};

#[derive(Parser)]
#[command(version, about = "Measures fanpool beside its peers")]
struct Arguments {
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Subcommand)]
enum Workload {
    /// Counting jobs without a result, sent as fast as they go in
    Send(send::Arguments),
    /// Jobs whose results are waited for, many in flight
    Results(results::Arguments),
    /// Jobs whose results are waited for, one at a time
    Pingpong(pingpong::Arguments),
    /// Counting jobs as in `send`, by one strategy and another
    Routed(routed::Arguments),
}

fn main() {
    let arguments = Arguments::parse();
    machine::print();
    match arguments.workload {
        Workload::Send(arguments) => send::measure(&arguments),
        Workload::Results(arguments) => results::measure(&arguments),
        Workload::Pingpong(arguments) => pingpong::measure(&arguments),
        Workload::Routed(arguments) => routed::measure(&arguments),
    }
}
