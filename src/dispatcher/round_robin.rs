use super::{Dispatcher, Target, WorkerView, Workers};
use crate::job::Job;

/// Sends jobs to the workers in turn, skipping those whose inbox is full.
///
/// Spreads jobs evenly by number, not by work: jobs wait behind a long one although another worker may be idle. Cost:
/// O(1) per job unless inboxes are full.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoundRobin {
    next: usize,
}

impl RoundRobin {
    /// Creates the strategy. The first worker is the first in turn.
    pub fn new() -> Self {
        RoundRobin::default()
    }
}

impl<J> Dispatcher<J> for RoundRobin {
    fn dispatch(&mut self, _: &Job<J>, workers: &Workers<'_>) -> Target {
        let count = workers.len();
        let turn = (self.next..count)
            .chain(0..self.next.min(count))
            .filter_map(|index| workers.get(index))
            .find(WorkerView::has_room);
        match turn {
            Some(worker) => {
                self.next = worker.index() + 1;
                Target::Worker(worker.id())
            }
            None => Target::Any,
        }
    }
}
