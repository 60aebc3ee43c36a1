use super::{Dispatcher, Target, Workers};
use crate::job::Job;

/// Late binding: a job waits in the queue until a worker asks, so no job ever waits for a busy worker
/// while another is idle.
///
/// The default. No strategy that binds jobs earlier has a lower mean wait when workers are alike; bind
/// early for what it cannot give, such as jobs that follow their data to one worker.
#[derive(Debug, Clone, Copy, Default)]
pub struct Any;

impl Any {
    /// The strategy.
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
