use super::{QueueOrder, Queued};
use crate::queue::block::{forget_burst, move_first};
use std::collections::VecDeque;

/// First in, first out: the default.
#[derive(Debug)]
pub struct Fifo<J> {
    jobs: VecDeque<Queued<J>>,
}

impl<J> Fifo<J> {
    /// Creates an empty queue. Allocates with its first job.
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
        let job = self.jobs.pop_front();
        forget_burst(&mut self.jobs);
        job
    }

    fn len(&self) -> usize {
        self.jobs.len()
    }

    fn retain(&mut self, keep: &mut dyn FnMut(&Queued<J>) -> bool) {
        self.jobs.retain(keep);
        forget_burst(&mut self.jobs);
    }

    fn append(&mut self, jobs: &mut VecDeque<Queued<J>>) {
        if self.jobs.is_empty() {
            std::mem::swap(&mut self.jobs, jobs);
        } else {
            self.jobs.append(jobs);
        }
    }

    fn pop_many(&mut self, most: usize, out: &mut VecDeque<Queued<J>>) {
        move_first(&mut self.jobs, most, out);
        forget_burst(&mut self.jobs);
    }

    fn in_arrival_order(&self) -> bool {
        true
    }
}
