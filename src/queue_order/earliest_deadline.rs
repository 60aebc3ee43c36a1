use super::ranked::Ranked;
use super::{QueueOrder, Queued};
use std::collections::VecDeque;
use std::time::Instant;

/// Earliest [deadline](crate::JobBuilder::expires_in) first; jobs without a deadline come after all others. Ties are
/// first in, first out.
///
/// For jobs of equal length that wait together for one worker, no order keeps the maximum lateness smaller (Jackson,
/// *Scheduling a Production Line to Minimize Maximum Tardiness*, UCLA, 1955). Bad under overload: the job that is
/// already latest runs first, and then all may miss their deadlines. Jobs without a deadline do not run while others
/// keep coming. It reads no clock, and a missed deadline has no effect yet: the job runs late.
///
/// Cost: O(log n) per job.
#[derive(Debug)]
pub struct EarliestDeadline<J> {
    jobs: Ranked<(bool, Option<Instant>), J>,
}

impl<J> EarliestDeadline<J> {
    /// Creates an empty queue. Allocates with its first job.
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
