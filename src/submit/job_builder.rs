//! Jobs with options.

use crate::engine::Core;
use crate::gate::Want;
use crate::handle::JobHandle;
use crate::job::Job;
use crate::submit::Submitter;
use crate::submit::error::{RunError, SubmitError};
use crate::submit::permit::Permit;
use crate::submit::room::{Entered, NoRoom};
use crate::wait::park::block_on;
use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// A job with options, on its way to a pool or to the room that a permit holds: see [`Submitter::job`] and
/// [`Permit::job`].
///
/// Nothing happens until one of the calls that submit it. All options together cost one allocation, which the first one
/// makes.
#[must_use = "a job is submitted by one of the calls that end this, such as `submit`"]
pub struct JobBuilder<J, To> {
    job: Job<J>,
    to: To,
}

impl<J, To> JobBuilder<J, To> {
    pub(crate) fn new(job: Job<J>, to: To) -> Self {
        JobBuilder { job, to }
    }

    /// Sets how urgent the job is: the higher, the sooner. Default 0. Only queue orders and strategies that ask for it
    /// heed it; the default ones do not.
    pub fn priority(mut self, priority: i32) -> Self {
        self.job.options_mut().priority = priority;
        self
    }

    /// Sets what the job belongs to. Default none. Strategies and queue orders that ask for it can keep jobs with the
    /// same key in order, or let them share their turn.
    pub fn key(mut self, key: u64) -> Self {
        self.job.options_mut().key = Some(key);
        self
    }

    /// Sets how much of the queue's capacity the job takes up while it waits, in the unit of
    /// [`queue_capacity`](crate::PoolBuilder::queue_capacity): bytes, for example. Default 1. 0 counts as 1, so that
    /// the capacity also bounds the number of jobs.
    ///
    /// A job heavier than the whole capacity is refused as [`TooHeavy`](SubmitError::TooHeavy).
    pub fn weight(mut self, units: u64) -> Self {
        self.job.options_mut().weight = Some(NonZeroU64::new(units).unwrap_or(NonZeroU64::MIN));
        self
    }

    /// Sets a name for people to read. It comes back with the job, and with its error in
    /// [`JobFailure`](crate::JobFailure).
    pub fn label(mut self, label: impl Into<Cow<'static, str>>) -> Self {
        self.job.options_mut().label = Some(label.into());
        self
    }

    /// A moment too far away for an `Instant` counts as none.
    fn expires_after(mut self, now: Instant, time: Duration) -> Self {
        self.job.options_mut().deadline = now.checked_add(time);
        self
    }

    /// Returns the job with its options, not submitted.
    pub fn into_job(self) -> Job<J> {
        self.job
    }
}

impl<J: fmt::Debug, To> fmt::Debug for JobBuilder<J, To> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JobBuilder").field(&self.job).finish()
    }
}

/// # Jobs with options
impl<J, T, E> Submitter<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    /// Starts a job with options, or one that came back with its options. The builder has every way in as a method; a
    /// refused job comes back with its options.
    ///
    /// ```
    /// use fanpool::{Pool, handler_fn};
    ///
    /// let pool = Pool::builder(handler_fn(|page: Vec<u8>| Ok::<_, std::io::Error>(page.len())))
    ///     .queue_capacity(1 << 20) // bytes
    ///     .build()?;
    /// let page = vec![0; 4096];
    /// let bytes = page.len() as u64;
    /// let handle = pool.job(page).weight(bytes).key(7).label("page 7").submit_blocking()?;
    /// assert_eq!(handle.wait()?, 4096);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn job(&self, job: impl Into<Job<J>>) -> JobBuilder<J, &Self> {
        JobBuilder::new(job.into(), self)
    }
}

/// # To a pool
///
/// Like the methods of the same names of [`Submitter`]; a refused job comes back with its options.
impl<J, T, E> JobBuilder<J, &Submitter<J, T, E>>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn want(&self) -> Want {
        Want::job(self.job.weight())
    }

    /// Asks for room, unless the job's key already has its share.
    fn enter_now(&self, enter: impl FnOnce(&Core<J>) -> Entered) -> Entered {
        let core = self.to.core();
        let Some(keys) = &core.keys else {
            return enter(core);
        };
        let counted = keys.enter(&self.job).map_err(NoRoom::from)?;
        let entered = enter(core)?;
        counted.keep();
        Ok(entered)
    }

    /// The same for a call that waits without blocking.
    async fn enter(&self, enter: impl Future<Output = Entered>) -> Entered {
        let Some(keys) = &self.to.core().keys else {
            return enter.await;
        };
        let counted = keys.enter(&self.job).map_err(NoRoom::from)?;
        let entered = enter.await?;
        counted.keep();
        Ok(entered)
    }

    /// Sets when the job should have started at the latest: this long from now, on the pool's
    /// [clock](crate::PoolBuilder::clock). Default none. A time too long for an `Instant` (`Duration::MAX`) also counts
    /// as none.
    ///
    /// The order [`EarliestDeadline`](crate::EarliestDeadline) heeds it, and the handler is
    /// [told](crate::JobContext::deadline). Nothing acts on a missed deadline yet: the job runs late. A job that comes
    /// back keeps its deadline.
    pub fn expires_in(self, time: Duration) -> Self {
        let now = self.to.core().time.now();
        self.expires_after(now, time)
    }

    /// Like [`Submitter::submit`].
    pub async fn submit(self) -> Result<JobHandle<T, E>, SubmitError<Job<J>>> {
        let entered = self.enter(self.to.core().enter(self.want())).await;
        self.to.core().submit_with(self.job, entered)
    }

    /// Like [`Submitter::submit_blocking`].
    pub fn submit_blocking(self) -> Result<JobHandle<T, E>, SubmitError<Job<J>>> {
        let entered = self.enter_now(|core| core.enter_blocking(self.want()));
        self.to.core().submit_with(self.job, entered)
    }

    /// Like [`Submitter::submit_timeout`].
    pub async fn submit_timeout(
        self,
        limit: Duration,
    ) -> Result<JobHandle<T, E>, SubmitError<Job<J>>> {
        let in_time = self.to.core().enter_in_time(self.want(), limit);
        let entered = self.enter(in_time).await;
        self.to.core().submit_with(self.job, entered)
    }

    /// Like [`Submitter::submit_timeout_blocking`].
    pub fn submit_timeout_blocking(
        self,
        limit: Duration,
    ) -> Result<JobHandle<T, E>, SubmitError<Job<J>>> {
        block_on(self.submit_timeout(limit))
    }

    /// Like [`Submitter::try_submit`].
    pub fn try_submit(self) -> Result<JobHandle<T, E>, SubmitError<Job<J>>> {
        let entered = self.enter_now(|core| core.try_enter(self.want()));
        self.to.core().submit_with(self.job, entered)
    }

    /// Like [`Submitter::send`].
    pub async fn send(self) -> Result<(), SubmitError<Job<J>>> {
        let entered = self.enter(self.to.core().enter(self.want())).await;
        self.to.core().send_with(self.job, entered)
    }

    /// Like [`Submitter::send_blocking`].
    pub fn send_blocking(self) -> Result<(), SubmitError<Job<J>>> {
        let entered = self.enter_now(|core| core.enter_blocking(self.want()));
        self.to.core().send_with(self.job, entered)
    }

    /// Like [`Submitter::try_send`].
    pub fn try_send(self) -> Result<(), SubmitError<Job<J>>> {
        let entered = self.enter_now(|core| core.try_enter(self.want()));
        self.to.core().send_with(self.job, entered)
    }

    /// Like [`Submitter::run`].
    ///
    /// # Errors
    ///
    /// As there; a refused job comes back with its options.
    pub async fn run(self) -> Result<T, RunError<Job<J>, E>> {
        let handle = self.submit().await.map_err(RunError::Refused)?;
        handle.await.map_err(RunError::Job)
    }

    /// Like [`Submitter::run_blocking`].
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_blocking(self) -> Result<T, RunError<Job<J>, E>> {
        let handle = self.submit_blocking().map_err(RunError::Refused)?;
        handle.wait().map_err(RunError::Job)
    }
}

impl<'a, J, T, E> Permit<'a, J, T, E> {
    /// Starts a job with options, to be submitted with this permit. It weighs as much as the permit, unless it is given
    /// a weight; what a lighter one leaves over is given back.
    pub fn job(self, job: impl Into<Job<J>>) -> JobBuilder<J, Self> {
        JobBuilder::new(job.into(), self)
    }
}

/// # Into reserved room
impl<J, T, E> JobBuilder<J, Permit<'_, J, T, E>>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    /// Sets when the job should have started at the latest: this long from now, however long ago the room was reserved.
    /// The rest is as for a job that goes [to a pool](JobBuilder#to-a-pool).
    pub fn expires_in(self, time: Duration) -> Self {
        let now = self.to.now();
        self.expires_after(now, time)
    }

    /// Like [`Permit::submit`].
    ///
    /// # Errors
    ///
    /// As there, and [`SubmitError::TooHeavy`] when the job weighs more than was reserved. The permit's room is free
    /// again.
    pub fn submit(self) -> Result<JobHandle<T, E>, SubmitError<Job<J>>> {
        self.to.submit_job(self.job)
    }

    /// Like [`Permit::send`].
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    pub fn send(self) -> Result<(), SubmitError<Job<J>>> {
        self.to.send_job(self.job)
    }
}
