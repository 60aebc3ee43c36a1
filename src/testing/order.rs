//! A queue order that is watched while jobs go in and out.

use super::log::Log;
use crate::error::BuildError;
use crate::queue_order::{QueueOrder, Queued};
use std::collections::VecDeque;
use std::time::Instant;

/// A promise about which job a queue order gives next.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    /// No promise.
    Any,
    /// The job that came first.
    Fifo,
    /// Among jobs for which this returns the same number, the one that came first: for example within each key, or
    /// within each priority.
    FifoWithin(fn(&Seen) -> u64),
    /// The job at the index that this returns, among the waiting jobs in the order in which they came. There is at
    /// least one.
    ///
    /// ```
    /// use fanpool::testing::{Order, Seen, check_queue_order};
    /// # use fanpool::{QueueOrder, Queued};
    /// # struct Newest<J>(Vec<Queued<J>>);
    /// # impl<J: Send + 'static> QueueOrder<J> for Newest<J> {
    /// #     fn push(&mut self, job: Queued<J>) {
    /// #         self.0.push(job);
    /// #     }
    /// #     fn pop(&mut self) -> Option<Queued<J>> {
    /// #         self.0.pop()
    /// #     }
    /// #     fn len(&self) -> usize {
    /// #         self.0.len()
    /// #     }
    /// #     fn retain(&mut self, keep: &mut dyn FnMut(&Queued<J>) -> bool) {
    /// #         self.0.retain(keep);
    /// #     }
    /// # }
    ///
    /// check_queue_order(|| Newest(Vec::new()), Order::Next(|waiting: &[Seen]| waiting.len() - 1));
    /// ```
    Next(fn(&[Seen]) -> usize),
}

/// A job, as an order could see it when it came.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// The job's number, as [`Queued::id`].
    pub id: u64,
    /// How many jobs came to this order before.
    pub arrival: u64,
    /// The job's priority, as [`Queued::priority`].
    pub priority: i32,
    /// The job's key, as [`Queued::key`].
    pub key: Option<u64>,
    /// The job's weight, as [`Queued::weight`].
    pub weight: u64,
    /// The job's deadline, as [`Queued::deadline`].
    pub deadline: Option<Instant>,
}

impl Seen {
    fn of<J>(job: &Queued<J>, arrival: u64) -> Self {
        Seen {
            arrival,
            id: job.id().get(),
            priority: job.priority(),
            key: job.key(),
            weight: job.weight(),
            deadline: job.deadline(),
        }
    }
}

/// Forwards all calls and keeps a list of its own.
pub(super) struct Watched<Q> {
    inner: Q,
    /// The jobs in `inner`, as they came.
    inside: Vec<Seen>,
    arrived: u64,
    promise: Order,
    log: Log,
}

impl<Q> Watched<Q> {
    pub(super) fn new(inner: Q, promise: Order, log: Log) -> Self {
        Watched {
            inner,
            inside: Vec::new(),
            arrived: 0,
            promise,
            log,
        }
    }

    fn goes_in<J>(&mut self, job: &Queued<J>) {
        self.inside.push(Seen::of(job, self.arrived));
        self.arrived += 1;
    }

    fn came_out(&mut self, id: u64, arrival_order: bool) {
        let Some(at) = self.inside.iter().position(|seen| seen.id == id) else {
            let complaint = format!("job {id} came out, which was not in it");
            return self.log.complain(complaint);
        };
        let next = match self.promise {
            _ if arrival_order => 0,
            Order::Any => at,
            Order::Fifo => 0,
            Order::FifoWithin(class) => {
                let same = |seen: &Seen| class(seen) == class(&self.inside[at]);
                self.inside.iter().position(same).unwrap_or(at)
            }
            Order::Next(next) => next(&self.inside),
        };
        if next != at {
            let expected = self.inside.get(next).map(|seen| seen.id);
            self.log.complain(format!(
                "job {id} came out, but next was {expected:?} of {:?}",
                self.inside
            ));
        }
        self.inside.remove(at);
    }

    fn ids_inside(&self) -> Vec<u64> {
        self.inside.iter().map(|seen| seen.id).collect()
    }
}

impl<Q> Watched<Q> {
    /// Complains about a wrong number of jobs: jobs are missing, or there are uncounted ones.
    fn miscounted<J>(&mut self, told: usize, call: &str)
    where
        Q: QueueOrder<J>,
    {
        let mut shown = Vec::new();
        self.inner.retain(&mut |job| {
            shown.push(job.id().get());
            true
        });
        let mut inside = self.ids_inside();
        let count = inside.len();
        inside.retain(|id| !shown.contains(id));
        self.log.complain(if inside.is_empty() {
            format!("`{call}` makes it {told} jobs, but {count} are inside")
        } else {
            format!("jobs {inside:?} are lost: they went in, and neither came out nor are inside")
        });
    }

    fn count<J>(&mut self, call: &str)
    where
        Q: QueueOrder<J>,
    {
        if self.log.has_complaint() {
            return;
        }
        let (log, inner) = (self.log.clone(), &self.inner);
        let told = log.guard("len", || inner.len());
        let empty = log.guard("is_empty", || inner.is_empty());
        if told != self.inside.len() {
            self.miscounted(told, &format!("len after {call}"));
        } else if empty != (told == 0) {
            log.complain(format!("`is_empty` is {empty}, and `len` is {told}"));
        }
    }
}

impl<J: Send + 'static, Q: QueueOrder<J>> QueueOrder<J> for Watched<Q> {
    fn push(&mut self, job: Queued<J>) {
        self.goes_in(&job);
        let (log, inner) = (&self.log, &mut self.inner);
        log.guard("push", || inner.push(job));
        self.count("push");
    }

    fn pop(&mut self) -> Option<Queued<J>> {
        let (log, inner) = (&self.log, &mut self.inner);
        let job = log.guard("pop", || inner.pop());
        match &job {
            Some(job) => self.came_out(job.id().get(), self.inner.in_arrival_order()),
            None if !self.inside.is_empty() => {
                let hidden = self.ids_inside();
                let complaint = format!("`pop` gives nothing, and jobs {hidden:?} are inside");
                self.log.complain(complaint);
            }
            None => {}
        }
        self.count("pop");
        job
    }

    fn len(&self) -> usize {
        self.log.guard("len", || self.inner.len())
    }

    fn retain(&mut self, keep: &mut dyn FnMut(&Queued<J>) -> bool) {
        let (mut shown, mut refused) = (Vec::new(), Vec::new());
        let (log, inner) = (&self.log, &mut self.inner);
        log.guard("retain", || {
            inner.retain(&mut |job| {
                let id = job.id().get();
                shown.push(id);
                let keep = keep(job);
                if !keep {
                    refused.push(id);
                }
                keep
            });
        });
        shown.sort_unstable();
        let mut inside = self.ids_inside();
        inside.sort_unstable();
        if shown != inside {
            let complaint = format!("`retain` showed jobs {shown:?}, and {inside:?} are inside");
            self.log.complain(complaint);
        }
        self.inside.retain(|seen| !refused.contains(&seen.id));
        self.count("retain");
    }

    fn append(&mut self, jobs: &mut VecDeque<Queued<J>>) {
        jobs.iter().for_each(|job| self.goes_in(job));
        let (log, inner) = (&self.log, &mut self.inner);
        log.guard("append", || inner.append(jobs));
        if !jobs.is_empty() {
            let left = jobs.len();
            log.complain(format!("`append` left {left} jobs where they were"));
        }
        self.count("append");
    }

    fn pop_many(&mut self, most: usize, out: &mut VecDeque<Queued<J>>) {
        let (before, expected) = (out.len(), most.min(self.inside.len()));
        let (log, inner) = (&self.log, &mut self.inner);
        log.guard("pop_many", || inner.pop_many(most, out));
        let came = out.len().saturating_sub(before);
        if came != expected {
            let inside = self.inside.len();
            log.complain(format!(
                "`pop_many` of {most} gave {came} jobs, and {inside} were inside"
            ));
        }
        let arrival_order = self.inner.in_arrival_order();
        for job in out.iter().skip(before) {
            self.came_out(job.id().get(), arrival_order);
        }
        self.count("pop_many");
    }

    fn is_empty(&self) -> bool {
        self.log.guard("is_empty", || self.inner.is_empty())
    }

    fn in_arrival_order(&self) -> bool {
        self.inner.in_arrival_order()
    }

    fn key_bound(&self) -> Option<usize> {
        self.inner.key_bound()
    }

    fn check(&self) -> Result<(), BuildError> {
        self.inner.check()
    }
}
