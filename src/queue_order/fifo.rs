use super::{QueueOrder, Queued};
use crate::queue::block::move_first;
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
        self.jobs.pop_front()
    }

    fn len(&self) -> usize {
        self.jobs.len()
    }

    fn retain(&mut self, keep: &mut dyn FnMut(&Queued<J>) -> bool) {
        for _ in 0..self.jobs.len() {
            let Some(job) = self.jobs.pop_front() else {
                break;
            };
            if keep(&job) {
                self.jobs.push_back(job);
            }
        }
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
    }

    fn in_arrival_order(&self) -> bool {
        true
    }
}
