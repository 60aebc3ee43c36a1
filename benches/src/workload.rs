//! What is measured: one file for each workload.

pub mod awaited;
pub mod bulk;
pub mod cpu;
pub mod growth;
pub mod idle;
pub mod memory;
pub mod openloop;
pub mod overload;
pub mod pingpong;
pub mod results;
pub mod routed;
pub mod send;

use crate::section::Section;

/// A workload with its settings.
pub trait Workload {
    fn measure(&self) -> Section;

    /// Makes it a smoke test: few rounds of few jobs.
    fn shrink(&mut self);
}
