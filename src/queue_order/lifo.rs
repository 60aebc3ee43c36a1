use super::{QueueOrder, Queued};
use std::collections::VecDeque;

/// Last in, first out: the newest job is next.
///
/// For jobs that lose their worth while they wait, for example because the caller has stopped listening. Under a load
/// that never lets up, the oldest jobs never run: see [`AdaptiveLifo`](super::AdaptiveLifo). Cost: O(1) per job.
#[derive(Debug)]
pub struct Lifo<J> {
    jobs: Vec<Queued<J>>,
}

impl<J> Lifo<J> {
    /// Creates an empty queue. Allocates with its first job.
    pub fn new() -> Self {
        Lifo { jobs: Vec::new() }
    }
}

impl<J> Default for Lifo<J> {
    fn default() -> Self {
        Lifo::new()
    }
}

impl<J: Send + 'static> QueueOrder<J> for Lifo<J> {
    fn push(&mut self, job: Queued<J>) {
        self.jobs.push(job);
    }

    fn pop(&mut self) -> Option<Queued<J>> {
        self.jobs.pop()
    }

    fn len(&self) -> usize {
        self.jobs.len()
    }

    fn retain(&mut self, keep: &mut dyn FnMut(&Queued<J>) -> bool) {
        self.jobs.retain(keep);
    }

    fn append(&mut self, jobs: &mut VecDeque<Queued<J>>) {
        self.jobs.extend(jobs.drain(..));
    }

    fn pop_many(&mut self, most: usize, out: &mut VecDeque<Queued<J>>) {
        let rest = self.jobs.len().saturating_sub(most);
        out.extend(self.jobs.drain(rest..).rev());
    }
}
