use super::{QueueOrder, Queued};
use std::collections::VecDeque;

/// First in, first out: the default.
#[derive(Debug)]
pub struct Fifo<J> {
    jobs: VecDeque<Queued<J>>,
}

impl<J> Fifo<J> {
    /// An empty queue; it allocates with its first job.
    pub fn new() -> Self {
        Fifo {
            jobs: VecDeque::new(),
        }
    }
}

impl<J> Default for Fifo<J> {
    fn default() -> Self {
        Fifo::new()
    }
}

impl<J: Send + 'static> QueueOrder<J> for Fifo<J> {
    fn push(&mut self, job: Queued<J>) {
        self.jobs.push_back(job);
    }

    fn pop(&mut self) -> Option<Queued<J>> {
        self.jobs.pop_front()
    }

    fn len(&self) -> usize {
        self.jobs.len()
    }

    fn retain(&mut self, keep: &mut dyn FnMut(&Queued<J>) -> bool) {
        self.jobs.retain(keep);
    }

    fn append(&mut self, jobs: &mut VecDeque<Queued<J>>) {
        if self.jobs.is_empty() {
            std::mem::swap(&mut self.jobs, jobs);
        } else {
            self.jobs.append(jobs);
        }
    }

    fn pop_many(&mut self, most: usize, out: &mut VecDeque<Queued<J>>) {
        out.extend(self.jobs.drain(..most.min(self.jobs.len())));
    }

    fn in_arrival_order(&self) -> bool {
        true
    }
}
