//! What is measured: one file for each workload.

pub mod pingpong;
pub mod results;
pub mod routed;
pub mod send;
