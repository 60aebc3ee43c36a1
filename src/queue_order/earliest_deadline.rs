use super::ranked::Ranked;
use super::{QueueOrder, Queued};
use std::collections::VecDeque;
use std::time::Instant;

/// The earliest [deadline](crate::JobBuilder::expires_in) first; jobs without one after all that have one;
/// among equals first in, first out.
///
/// Of jobs that wait together for one worker and take equally long, the worst is late by as little as any
/// order allows (Jackson, *Scheduling a Production Line to Minimize Maximum Tardiness*, UCLA, 1955).
/// Overloaded, it is bad: what is latest already runs first, and then all may miss theirs. Jobs without a
/// deadline do not run while others keep coming. It reads no clock, and a missed deadline changes nothing
/// yet: the job runs late. O(log n) a job.
#[derive(Debug)]
pub struct EarliestDeadline<J> {
    jobs: Ranked<(bool, Option<Instant>), J>,
}

impl<J> EarliestDeadline<J> {
    /// An empty queue; it allocates with its first job.
    pub fn new() -> Self {
        EarliestDeadline {
            jobs: Ranked::new(),
        }
    }

    fn extend(&mut self, jobs: impl Iterator<Item = Queued<J>>) {
        self.jobs.extend(jobs, |job, _| {
            let deadline = job.deadline();
            (deadline.is_none(), deadline)
        });
    }
}

impl<J> Default for EarliestDeadline<J> {
    fn default() -> Self {
        EarliestDeadline::new()
    }
}

impl<J: Send + 'static> QueueOrder<J> for EarliestDeadline<J> {
    fn push(&mut self, job: Queued<J>) {
        self.extend(std::iter::once(job));
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
        self.extend(jobs.drain(..));
    }
}
