use super::{Dispatcher, Target, Workers};
use crate::job::Job;

/// Late binding: a job waits in the queue until a worker asks for it, so no job waits for a busy worker while another
/// is idle.
///
/// This is the default. When workers are alike, no strategy that binds jobs earlier has a lower mean wait. Bind early
/// only for what late binding cannot give, such as sending jobs to the worker that has their data.
#[derive(Debug, Clone, Copy, Default)]
pub struct Any;

impl Any {
    /// Creates the strategy.
    pub fn new() -> Self {
        Any
    }
}

impl<J> Dispatcher<J> for Any {
    fn dispatch(&mut self, _: &Job<J>, _: &Workers<'_>) -> Target {
        Target::Any
    }

    fn late_binding(&self) -> bool {
        true
    }
}
