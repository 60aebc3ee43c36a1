//! From ready to gone.
//!
//! # Shutdown, step by step
//!
//! 1. **Close.** The gate refuses from now on; waiters for room wake and are refused. A submission comes before this
//!    step and is accepted, or after it and gets its job back.
//! 2. **Drain.** Workers go on as before. A worker leaves when the gate is drained: closed, and every job let in has
//!    started or ended. The release that drains the gate wakes the sleepers.
//! 3. **Halt**, instead of or after draining. No worker starts another job; running jobs are asked to stop. Waiting
//!    jobs are swept out of intake and desks, and each is claimed, counted and handed back. The sweep repeats until the
//!    gate is drained, so it waits for a submitter caught between its ticket and its push.
//! 4. **Leave.** Each worker drops its handler and its task. The last one to leave stops the timekeeper. Jobs that
//!    still wait then, because no worker got a handler, are handed back, or abandoned if the pool was closed and nobody
//!    waits for a report. (When the executor died, they were abandoned before.) This comes after the last worker has
//!    left, so a shutdown waits for both: all workers have left, and the gate is drained.
//! 5. **Join.** A shutdown that waited for all of this joins the threads, then reports.
//!
//! Several shutdowns may be under way at once. Each step is taken once, all wait for the same end, and every job handed
//! back is in exactly one report.
//!
//! Inside a job, a wait for the pool's end excepts that job and other jobs that make such a wait. If no other worker is
//! left, the call returns with things as they are.

use crate::engine::self_wait::{For, poll_unless_stuck, unless_stuck};
use crate::engine::{Common, Core};
use crate::handler::FactoryError;
use crate::id::{JobId, WorkerId};
use crate::job::Job;
use crate::metrics::Metrics;
use crate::outcome::Ending;
use crate::outcome::registry::Home;
use crate::pool::Submitter;
use crate::sync::atomic::Ordering::*;
use crate::sync::boxed::BoxFuture;
use crate::sync::fault::{Fault, seeded};
use crate::sync::lock;
use crate::sync::panics::{contain, dispose};
use crate::time::timers::first;
use crate::wait::current;
use crate::wait::park::block_on;
use crate::wait::signal::hold_wakes;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// Tells how a pool ended, or how far it came.
#[non_exhaustive]
pub struct ShutdownReport<J> {
    /// Jobs that were accepted and not started, in the order in which each dispatcher would have started them. Their
    /// handles read [`HandedBack`](crate::JobError::HandedBack).
    pub unrun: Vec<Job<J>>,
    /// Jobs that have not ended, after a timeout or inside a job.
    pub still_running: Vec<RunningJob>,
    /// The counters at the end.
    pub counts: Metrics,
}

impl<J> fmt::Debug for ShutdownReport<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShutdownReport")
            .field("unrun", &self.unrun.len())
            .field("still_running", &self.still_running)
            .field("counts", &self.counts)
            .finish()
    }
}

/// A running job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunningJob {
    /// The job.
    pub id: JobId,
    /// The worker that runs it.
    pub worker: WorkerId,
}

impl Common {
    /// Waits until every worker has left and no job waits, or until waiting is pointless. Boxed, so that it is compiled
    /// once.
    fn all_gone(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let mut news = None;
            let gone = poll_fn(|cx| {
                loop {
                    let listener = news.get_or_insert_with(|| self.roster.listen());
                    if self.nobody_to_wait_for() {
                        return Poll::Ready(());
                    }
                    if Pin::new(listener).poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    news = None;
                }
            });
            let _ = unless_stuck(self.number, For::TheRest, gone).await;
        })
    }

    fn nobody_to_wait_for(&self) -> bool {
        match current::of(self.number) {
            // The last worker may have left while jobs that nobody will start are still being swept out. The sweep's
            // end is signalled, too: draining a closed gate wakes all.
            None => {
                let swept = self.gate.is_drained() || seeded(Fault::LeftUnswept);
                swept && self.roster.all_left(|_| false)
            }
            Some(frame) => {
                let waiting = self.self_waits.waiting_for_the_rest();
                self.roster
                    .all_left(|worker| worker == frame.seat || waiting.contains_key(&worker))
            }
        }
    }

    /// Step 5, for the workers of one desk that have left.
    fn join_threads_of(&self, dispatcher: usize, workers: usize) {
        let own = current::of(self.number).map(|frame| frame.seat);
        for worker in (0..workers).map(|index| WorkerId::new(dispatcher, index)) {
            if Some(worker) != own && self.roster.has_left(worker) {
                if let Err(panic) = contain(|| self.spawner.join(worker)) {
                    dispose(panic);
                }
            }
        }
    }
}

impl<J: Send + 'static> Core<J> {
    /// Step 3.
    #[inline(never)]
    fn hand_back(&self) {
        if current::in_desk() {
            // A strategy or an order cannot empty the queue that is calling it.
            return;
        }
        let _calls = hold_wakes();
        self.halt();
        self.stop.ask();
        self.take_back();
    }

    /// Ends every waiting job of a closed pool, for the next report.
    #[inline(never)]
    pub(crate) fn take_back(&self) {
        self.halt();
        self.sweep(Ending::HandedBack, &mut |job| lock(&self.unrun).push(job));
    }

    /// Step 5, for the workers that have left.
    #[inline(never)]
    fn join_threads(&self) {
        for (dispatcher, desk) in self.desks.iter().enumerate() {
            self.join_threads_of(dispatcher, desk.seats().len());
        }
        if self.roster.live() == 0 {
            self.time.join();
        }
    }

    #[inline(never)]
    fn report(&self) -> ShutdownReport<J> {
        let mut still_running = Vec::new();
        for desk in &self.desks {
            for seat in desk.seats() {
                for id in seat.running() {
                    let worker = seat.id;
                    still_running.push(RunningJob { id, worker });
                }
            }
        }
        ShutdownReport {
            unrun: std::mem::take(&mut *lock(&self.unrun)),
            still_running,
            counts: self.metrics(),
        }
    }

    /// Adds the numbers of all jobs that wait or run.
    #[inline(never)]
    fn collect(&self, add: &mut dyn FnMut(u64)) {
        for desk in &self.desks {
            desk.visit(&self.intake, &mut |id| add(id.get()));
        }
        // Seats last, since jobs move from the desks to the seats.
        for desk in &self.desks {
            for seat in desk.seats() {
                for id in seat.running() {
                    add(id.get());
                }
            }
        }
        self.wake_for_work();
    }

    async fn joined(&self) {
        if current::in_desk() {
            return;
        }
        let joining = self
            .joins
            .begin(|| self.gate.issued(), |add| self.collect(add));
        let mut self_wait = None;
        poll_fn(|cx| {
            let over = poll_unless_stuck(self.number, For::TheRest, &mut self_wait, cx, |cx| {
                let Some(frame) = current::of(self.number) else {
                    return joining.poll(cx.waker(), |_| false);
                };
                let waiting = self.self_waits.waiting_for_the_rest();
                let own = waiting.values().copied().chain([frame.job]);
                // Also exempt the other jobs in this worker's hands.
                let in_hands = self.seat(frame.seat).running();
                let own = own.flatten().chain(in_hands);
                let exempt: Vec<u64> = own.map(JobId::get).collect();
                joining.poll(cx.waker(), |id| exempt.contains(&id))
            });
            over.map(drop)
        })
        .await;
    }
}

/// # Life
///
/// Inside one of the pool's own jobs, [`join`](Self::join) and the shutdowns do not wait for that job. When no other
/// worker is left to wait for, they return at once, with what is left under way.
///
/// The futures do nothing before they are first polled. The `_blocking` twins block their thread; on a thread that the
/// pool's own workers need, such as the only thread of their executor, they would wait for ever.
impl<J, T, E> Submitter<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    /// Waits until every worker has its handler.
    ///
    /// # Errors
    ///
    /// The error of a factory whose last call failed. The pool keeps trying; another call waits no longer than this
    /// one, and may find that the factory has recovered.
    pub async fn ready(&self) -> Result<(), FactoryError> {
        let core = self.core();
        loop {
            let news = core.roster.listen();
            if let Some(known) = core.roster.all_ready() {
                return known;
            }
            news.await;
        }
    }

    /// Blocking twin of [`ready`](Self::ready).
    ///
    /// # Errors
    ///
    /// As [`ready`](Self::ready).
    pub fn ready_blocking(&self) -> Result<(), FactoryError> {
        block_on(self.ready())
    }

    /// Refuses new jobs from now on; accepted ones still run. Never waits. Submissions that wait for room are refused
    /// as [`Closed`](crate::SubmitError::Closed).
    pub fn close(&self) {
        self.core().close();
    }

    /// Waits until every job accepted so far has its outcome. The pool stays open; jobs accepted later are not waited
    /// for.
    ///
    /// To wait until the pool is idle, when jobs submit further jobs, repeat it:
    ///
    /// ```
    /// # use fanpool::{Pool, handler_fn};
    /// # let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, std::io::Error>(n + 1))).build()?;
    /// # futures_lite::future::block_on(async {
    /// while pool.metrics().waiting + pool.metrics().running > 0 {
    ///     pool.join().await;
    /// }
    /// # });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Dropping the future gives up the wait. Costs a visit to every waiting job and, until it is over, a lock for each
    /// job that ends.
    pub async fn join(&self) {
        self.core().joined().await;
    }

    /// Blocking twin of [`join`](Self::join).
    pub fn join_blocking(&self) {
        block_on(self.join());
    }

    /// Closes the pool, then waits until every accepted job is over and every worker is gone. Joins the pool's threads,
    /// which blocks for the moment they take to end.
    ///
    /// In a closed pool, a factory that fails is not asked again. When no worker has a handler any more, the jobs that
    /// still wait are handed back.
    ///
    /// Dropping the future leaves the pool closed and draining.
    pub async fn shutdown(&self) -> ShutdownReport<J> {
        let core = self.core();
        core.reports.store(true, SeqCst);
        core.close();
        core.all_gone().await;
        core.join_threads();
        core.report()
    }

    /// Blocking twin of [`shutdown`](Self::shutdown).
    pub fn shutdown_blocking(&self) -> ShutdownReport<J> {
        block_on(self.shutdown())
    }

    /// Closes the pool and drains it for at most `limit`. Then jobs that have not started are handed back, running ones
    /// are asked to stop, and those that still run are listed, not waited for.
    ///
    /// Dropping the future leaves the pool closed and draining.
    #[must_use = "the report has the jobs that were handed back"]
    pub async fn shutdown_timeout(&self, limit: Duration) -> ShutdownReport<J> {
        let core = self.core();
        core.reports.store(true, SeqCst);
        core.close();
        let in_time = first(core.all_gone(), core.time.sleep(limit))
            .await
            .is_some();
        if !in_time || !core.gate.is_drained() {
            core.hand_back();
        }
        core.join_threads();
        core.report()
    }

    /// Blocking twin of [`shutdown_timeout`](Self::shutdown_timeout).
    #[must_use = "the report has the jobs that were handed back"]
    pub fn shutdown_timeout_blocking(&self, limit: Duration) -> ShutdownReport<J> {
        block_on(self.shutdown_timeout(limit))
    }

    /// Closes the pool, takes back every job that has not started, asks the running ones to stop
    /// ([`JobContext::is_cancelled`](crate::JobContext::is_cancelled)), and waits for those.
    ///
    /// Dropping the future loses nothing: the next report has the jobs.
    #[must_use = "the report has the jobs that were handed back"]
    pub async fn shutdown_now(&self) -> ShutdownReport<J> {
        let core = self.core();
        core.close();
        core.hand_back();
        core.all_gone().await;
        core.join_threads();
        core.report()
    }

    /// Blocking twin of [`shutdown_now`](Self::shutdown_now).
    #[must_use = "the report has the jobs that were handed back"]
    pub fn shutdown_now_blocking(&self) -> ShutdownReport<J> {
        block_on(self.shutdown_now())
    }

    /// Returns a guard that shuts the pool down when dropped and waits for its jobs, so that the end of `main` does not
    /// cut them off, even when it panics.
    ///
    /// The drop blocks like [`shutdown_blocking`](Self::shutdown_blocking): use it in `main` and other threads of sync
    /// code. In async code, `.await` [`shutdown`](Self::shutdown).
    ///
    /// ```
    /// use fanpool::{Pool, handler_fn};
    ///
    /// let pool = Pool::builder(handler_fn(|n: u64| {
    ///     println!("{n}");
    ///     Ok::<_, std::io::Error>(())
    /// }))
    /// .build()?;
    /// let _guard = pool.drain_on_drop();
    /// pool.send_blocking(1)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drain_on_drop(&self) -> DrainGuard<J, T, E> {
        DrainGuard { pool: self.clone() }
    }
}

/// Shuts its pool down when dropped, like [`shutdown_blocking`](Submitter::shutdown_blocking): see
/// [`drain_on_drop`](Submitter::drain_on_drop).
#[must_use = "the pool is drained as soon as this is dropped"]
pub struct DrainGuard<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    pool: Submitter<J, T, E>,
}

impl<J, T, E> Drop for DrainGuard<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn drop(&mut self) {
        let report = self.pool.shutdown_blocking();
        // One at a time: a job's drop may panic.
        for job in report.unrun {
            dispose(job);
        }
    }
}

impl<J, T, E> fmt::Debug for DrainGuard<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DrainGuard").field(&self.pool).finish()
    }
}
