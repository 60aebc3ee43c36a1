use super::ranked::Ranked;
use super::{QueueOrder, Queued, out_of_range};
use crate::error::BuildError;
use std::collections::VecDeque;

/// Highest [priority](crate::JobBuilder::priority) first; ties are first in, first out.
///
/// Strict unless [`ageing`](Self::ageing) is set: while urgent jobs keep coming, others do not run. Cost: O(log n) per
/// job.
#[derive(Debug)]
pub struct Priority<J> {
    jobs: Ranked<i128, J>,
    ageing: Option<u64>,
}

impl<J> Priority<J> {
    /// Creates an empty queue, without ageing. Allocates with its first job.
    pub fn new() -> Self {
        Priority {
            jobs: Ranked::new(),
            ageing: None,
        }
    }

    /// Raises a job by one level of priority for each `every` jobs that come after it, so that no job starves: a job
    /// that is `d` levels more urgent overtakes it only if fewer than `d * every` jobs came after it, including the
    /// overtaking one. The larger `every`, the stricter the priorities. Must be at least 1; building the pool fails
    /// with 0.
    ///
    /// All jobs age at the same pace, so the order of two jobs never changes while they wait, and ageing costs nothing.
    ///
    /// ```
    /// use fanpool::{Pool, Priority, handler_fn};
    ///
    /// let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, std::io::Error>(n + 1)))
    ///     .queue_order(|| Priority::new().ageing(100))
    ///     .build()?;
    /// assert_eq!(pool.job(41).priority(5).run_blocking()?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "it gives the order with ageing"]
    pub fn ageing(mut self, every: u64) -> Self {
        self.ageing = Some(every);
        self
    }

    fn extend(&mut self, jobs: impl Iterator<Item = Queued<J>>) {
        let ageing = self.ageing;
        self.jobs.extend(jobs, |job, arrival| {
            let priority = i128::from(job.priority());
            match ageing {
                None => -priority,
                // Cannot overflow: 32 bits times 64, plus 64 bits.
                Some(every) => i128::from(arrival) - priority * i128::from(every),
            }
        });
    }
}

impl<J> Default for Priority<J> {
    fn default() -> Self {
        Priority::new()
    }
}

impl<J: Send + 'static> QueueOrder<J> for Priority<J> {
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

    fn check(&self) -> Result<(), BuildError> {
        match self.ageing {
            Some(0) => out_of_range("Priority::ageing", "0", "1 or more jobs for each level"),
            _ => Ok(()),
        }
    }
}
