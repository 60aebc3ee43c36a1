//! What a handler is told about the job it runs.

use crate::id::{JobId, WorkerId};
use crate::outcome::views::{At, Token};
use crate::sync::atomic::{AtomicBool, Ordering::*};
use crate::wait::signal::Signal;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

/// Tells a handler which job it runs, where it runs, and whether it should stop.
///
/// Handlers get it by reference. A clone can be kept or sent elsewhere; it costs two reference counts.
///
/// # Cancellation
///
/// Cancellation is cooperative: nothing interrupts a handler. A long job checks [`is_cancelled`](Self::is_cancelled)
/// now and then; an async one can wait for [`cancelled`](Self::cancelled) beside its work. A job is asked to stop by
/// [`JobHandle::cancel`](crate::JobHandle::cancel), and by a shutdown that does not wait for the queue: `shutdown_now`,
/// or `shutdown_timeout` once its time is up.
#[derive(Clone)]
pub struct JobContext {
    id: JobId,
    worker: WorkerId,
    deadline: Option<Instant>,
    token: Option<At<dyn Token>>,
    stop: Arc<StopAll>,
}

/// Asks all running jobs of a pool to stop.
pub(crate) struct StopAll {
    asked: AtomicBool,
    signal: Signal,
}

impl StopAll {
    pub(crate) fn new() -> Self {
        StopAll {
            asked: AtomicBool::new(false),
            signal: Signal::new(),
        }
    }

    pub(crate) fn ask(&self) {
        self.asked.store(true, Release);
        self.signal.notify_all();
    }
}

impl JobContext {
    pub(crate) fn new(worker: WorkerId, stop: Arc<StopAll>) -> Self {
        JobContext {
            id: JobId::from_ticket(0),
            worker,
            deadline: None,
            token: None,
            stop,
        }
    }

    /// Points the worker's context at its next job. The token is set separately.
    #[inline]
    pub(crate) fn turn_to(&mut self, id: JobId, deadline: Option<Instant>) {
        self.id = id;
        self.deadline = deadline;
    }

    /// The cell that can ask the job to stop, and that takes its outcome; `None` without a handle. The worker may keep
    /// the token afterwards, for the next job of the same cell.
    #[inline]
    pub(crate) fn token(&mut self) -> &mut Option<At<dyn Token>> {
        &mut self.token
    }

    /// The job's number.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// The worker that runs the job.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// Which attempt this is, from 1. Always 1: jobs are not retried yet.
    pub fn attempt(&self) -> u32 {
        1
    }

    /// When the job should have started at the latest, on the pool's clock; `None` if it has no deadline. It may have
    /// passed: nothing acts on a missed deadline yet.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Returns whether the job was asked to stop. Costs two loads.
    pub fn is_cancelled(&self) -> bool {
        self.stop.asked.load(Acquire)
            || self
                .token
                .as_ref()
                .is_some_and(|token| token.cell.is_cancelled(token.at))
    }

    /// Waits until the job is asked to stop. Dropping the future loses nothing.
    pub async fn cancelled(&self) {
        loop {
            let mut stop = pin!(self.stop.signal.listen());
            let mut token = pin!(self.token.as_ref().map(|token| token.cell.listen(token.at)));
            if self.is_cancelled() {
                return;
            }
            std::future::poll_fn(|cx| {
                if stop.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                match token.as_mut().as_pin_mut() {
                    Some(token) => token.poll(cx),
                    None => Poll::Pending,
                }
            })
            .await;
        }
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext")
            .field("id", &self.id)
            .field("worker", &self.worker)
            .field("is_cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}
