use super::{QueueOrder, Queued};
use std::collections::VecDeque;

/// First in, first out until overloaded, then newest first.
///
/// Overloaded is while more than a threshold of jobs wait, counting the one that is about to leave. Then
/// new jobs still run in time, and the old ones, for which it is too late anyway, wait until the load lets
/// up: adaptive LIFO (Maurer, *Fail at Scale*, ACM Queue 13(8), 2015). O(1) a job.
///
/// It looks at nothing but the number of jobs, each time one leaves, so there is no hysteresis: around the
/// threshold, old jobs and new ones take turns. Under an overload that lasts, the oldest do not run, and
/// hold their room in the queue. A threshold that the pool's
/// [capacity](crate::PoolBuilder::queue_capacity) does not exceed is never passed.
#[derive(Debug)]
pub struct AdaptiveLifo<J> {
    jobs: VecDeque<Queued<J>>,
    threshold: usize,
}

impl<J> AdaptiveLifo<J> {
    /// An empty queue that is overloaded while more than `threshold` jobs wait in it. With 0 it always
    /// is, and `usize::MAX` never. It allocates with its first job.
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
