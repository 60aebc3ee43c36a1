//! What is measured: one file for each workload.

pub mod awaited;
pub mod openloop;
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
