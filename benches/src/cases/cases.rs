//! Cases that need a process of their own, because what they measure is the process: its memory, its
//! allocations, its processor time. `fanpool-bench` runs them and reads what they print: on each line a
//! name, and figures after it.

mod allocations;
mod idle;
mod overload;
mod process;
mod queued;
mod say;
mod workers;

use clap::{Parser, Subcommand};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;

/// Counts for `allocations`, `queued` and `workers`. The others do not mind: it neither takes memory nor
/// does it matter how long they take.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[derive(Parser)]
#[command(about = "Runs one case for fanpool-bench")]
struct Arguments {
    #[command(subcommand)]
    case: Case,
}

#[derive(Subcommand)]
enum Case {
    Allocations(allocations::Arguments),
    Idle(idle::Arguments),
    Overload(overload::Arguments),
    Queued(queued::Arguments),
    Workers(workers::Arguments),
}

fn main() {
    match Arguments::parse().case {
        Case::Allocations(arguments) => allocations::measure(&arguments),
        Case::Idle(arguments) => idle::measure(&arguments),
        Case::Overload(arguments) => overload::measure(&arguments),
        Case::Queued(arguments) => queued::measure(&arguments),
        Case::Workers(arguments) => workers::measure(&arguments),
    }
}
