//! What becomes of jobs: room for them, orders, handles and groups, outcomes, and the end.
//!
//! One program, since each costs more to link than its tests to run. `cargo test keys` runs one hazard's.

mod backpressure;
mod batches;
mod cancellation;
#[path = "../common/mod.rs"]
mod common;
mod compile;
mod errors;
mod groups;
mod keys;
mod maps;
mod permits;
mod queue_orders;
mod shutdown;
mod weights;
