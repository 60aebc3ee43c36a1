//! The simulator, beside queueing theory and beside live pools.

#[path = "../common/mod.rs"]
mod common;
mod sim_live;
mod sim_theory;
