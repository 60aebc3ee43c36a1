use super::ranked::Ranked;
use super::{QueueOrder, Queued, out_of_range};
use crate::error::BuildError;
use std::collections::VecDeque;

/// The highest [priority](crate::JobBuilder::priority) first, and among equals first in, first out.
///
/// Strict unless [`ageing`](Self::ageing) is asked for: while urgent jobs keep coming, others do not run.
/// O(log n) a job.
#[derive(Debug)]
pub struct Priority<J> {
    jobs: Ranked<i128, J>,
    ageing: Option<u64>,
}

impl<J> Priority<J> {
    /// An empty queue, without ageing; it allocates with its first job.
    pub fn new() -> Self {
        Priority {
            jobs: Ranked::new(),
            ageing: None,
        }
    }

    /// A job gains one level of priority for each `every` jobs that come after it, so that nothing
    /// starves: one that is `d` levels more urgent overtakes it only if, itself counted, fewer than
    /// `d * every` came after it. The larger `every`, the stricter the priorities. Allowed is 1 and more;
    /// 0 is refused when the pool is built.
    ///
    /// All jobs age at the same pace, so which of two is first never changes while they wait, and
    /// ageing costs nothing.
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
                // Cannot overflow: 32 bits by 64, and 64 more.
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
