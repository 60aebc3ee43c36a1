//! What runs jobs: threads, executors, factories, handlers and strategies, and what they break.
//!
//! One program, since each costs more to link than its tests to run. `cargo test threads` runs one hazard's.

#[path = "../common/mod.rs"]
mod common;
mod deadlock;
mod dispatch;
mod executor_death;
mod factories;
mod foreign_code;
mod panics;
mod runtimes;
mod settings;
mod strategies;
mod swapping;
mod threads;
