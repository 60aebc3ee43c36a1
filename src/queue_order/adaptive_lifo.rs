use super::{QueueOrder, Queued};
use std::collections::VecDeque;

/// First in, first out; while overloaded, newest first.
///
/// The queue is overloaded while more than a threshold of jobs wait, counting the job that is about to leave. Then new
/// jobs still run in time, and the old ones, which are late anyway, wait until the load lets up: adaptive LIFO (Maurer,
/// *Fail at Scale*, ACM Queue 13(8), 2015).
///
/// Only the number of jobs matters, each time one leaves, so there is no hysteresis: around the threshold, old and new
/// jobs alternate. Under a lasting overload, the oldest jobs do not run, and keep their room in the queue. A threshold
/// at or above the pool's [capacity](crate::PoolBuilder::queue_capacity) is never exceeded.
///
/// Cost: O(1) per job.
#[derive(Debug)]
pub struct AdaptiveLifo<J> {
    jobs: VecDeque<Queued<J>>,
    threshold: usize,
}

impl<J> AdaptiveLifo<J> {
    /// Creates an empty queue that is overloaded while more than `threshold` jobs wait in it: always with 0, never with
    /// `usize::MAX`. Allocates with its first job.
    pub fn new(threshold: usize) -> Self {
        AdaptiveLifo {
            jobs: VecDeque::new(),
            threshold,
        }
    }
}

impl<J: Send + 'static> QueueOrder<J> for AdaptiveLifo<J> {
    fn push(&mut self, job: Queued<J>) {
        self.jobs.push_back(job);
    }

    fn pop(&mut self) -> Option<Queued<J>> {
        if self.jobs.len() > self.threshold {
            self.jobs.pop_back()
        } else {
            self.jobs.pop_front()
        }
    }

    fn len(&self) -> usize {
        self.jobs.len()
    }

    fn retain(&mut self, keep: &mut dyn FnMut(&Queued<J>) -> bool) {
        self.jobs.retain(keep);
    }

    fn append(&mut self, jobs: &mut VecDeque<Queued<J>>) {
        self.jobs.append(jobs);
    }

    fn pop_many(&mut self, most: usize, out: &mut VecDeque<Queued<J>>) {
        let most = most.min(self.jobs.len());
        let too_many = self.jobs.len().saturating_sub(self.threshold);
        let newest = most.min(too_many);
        let rest = self.jobs.len() - newest;
        out.extend(self.jobs.drain(rest..).rev());
        out.extend(self.jobs.drain(..most - newest));
    }
}
