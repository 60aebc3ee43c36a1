use super::{Dispatcher, Target, WorkerView, Workers};
use crate::job::Job;

/// The workers in turn, passing over those whose inbox is full.
///
/// Spreads jobs evenly by number, not by work: behind a long job, others wait although a worker may be
/// idle. O(1) a job unless inboxes are full.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoundRobin {
    next: usize,
}

impl RoundRobin {
    /// Starts with the first worker.
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
