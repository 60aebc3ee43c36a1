//! Several jobs at once, for handlers whose work costs less together than one by one.

use super::Worker;
use super::assigned::Assigned;
use super::detached::Detached;
use super::inbox::Inbox;
use crate::handler::JobHandler;
use crate::sync::panics::Panic;
use async_trait::async_trait;
use std::fmt;
use std::future::Future;
use std::time::Duration;

/// Jobs that a [`BatchWorker`] took together, in the order in which they left the queue.
///
/// Each is completed on its own ([`Detached::complete`]), and its handle knows at once. A job that is not complete when
/// the handler returns is recorded as [`Abandoned`](crate::JobError::Abandoned).
pub struct Batch<J: Send + 'static, H: JobHandler<J>> {
    items: Vec<Detached<J, H>>,
}

impl<J: Send + 'static, H: JobHandler<J>> Batch<J, H> {
    /// Returns how many jobs there are: at least one.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Returns whether there are no jobs: never, in a handler's hands.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Iterates over the jobs.
    pub fn iter(&self) -> std::slice::Iter<'_, Detached<J, H>> {
        self.items.iter()
    }

    /// Iterates over the jobs, to complete them.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Detached<J, H>> {
        self.items.iter_mut()
    }
}

impl<'a, J: Send + 'static, H: JobHandler<J>> IntoIterator for &'a mut Batch<J, H> {
    type Item = &'a mut Detached<J, H>;
    type IntoIter = std::slice::IterMut<'a, Detached<J, H>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<'a, J: Send + 'static, H: JobHandler<J>> IntoIterator for &'a Batch<J, H> {
    type Item = &'a Detached<J, H>;
    type IntoIter = std::slice::Iter<'a, Detached<J, H>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<J: Send + 'static, H: JobHandler<J>> fmt::Debug for Batch<J, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.items).finish()
    }
}

/// A handler that runs several jobs at once, under a [`BatchWorker`].
///
/// Any other worker calls its [`handle`](JobHandler::handle), for one job.
///
/// # Contract
///
/// As for a [`JobHandler`]: batches come one at a time, and a handler that panicked, or whose future was dropped
/// half-way, is dropped and replaced. Jobs that were complete before a panic keep their outcome. The others read
/// [`Panicked`](crate::JobError::Panicked), and the first of them has the payload.
///
/// # Example
///
/// Rows written to a database with one round trip for all of them:
///
/// ```
/// use fanpool::worker::{Batch, BatchHandler, BatchWorker};
/// use fanpool::{JobContext, JobHandler, Pool, handler_factory};
/// use std::convert::Infallible;
///
/// struct Insert { rows: Vec<String> }
///
/// impl Insert {
///     async fn flush(&mut self) -> usize { self.rows.len() } // the round trip
/// }
///
/// impl JobHandler<String> for Insert {
///     type Output = usize;
///     type Error = Infallible;
///
///     async fn handle(&mut self, row: String, _: &JobContext) -> Result<usize, Infallible> {
///         self.rows.push(row);
///         Ok(self.flush().await)
///     }
/// }
///
/// impl BatchHandler<String> for Insert {
///     async fn handle_batch(&mut self, batch: &mut Batch<String, Self>) {
///         let rows = batch.iter_mut().filter_map(|item| item.take_job());
///         self.rows.extend(rows.map(|row| row.into_inner()));
///         let written = self.flush().await;
///         for item in batch {
///             item.complete(Ok(written));
///         }
///     }
/// }
///
/// let pool = Pool::builder(handler_factory(|_| Ok::<_, Infallible>(Insert { rows: Vec::new() })))
///     .worker(|| BatchWorker::new(64))
///     .build()?;
/// pool.run_blocking("a row".into())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait BatchHandler<J: Send + 'static>: JobHandler<J> + Sized {
    /// Runs the jobs of one batch, and completes each.
    fn handle_batch(&mut self, batch: &mut Batch<J, Self>) -> impl Future<Output = ()> + Send;
}

/// Takes several jobs and gives them to a [`BatchHandler`] together.
///
/// A batch begins with the first job there is, and takes along waiting jobs up to its limit. With
/// [`linger`](Self::linger), it waits that long for more if there are fewer. Jobs in a batch have started: they take up
/// no room in the queue, and a cancel cannot remove them, only ask them to stop.
#[derive(Debug, Clone, Copy)]
pub struct BatchWorker {
    most: usize,
    linger: Duration,
}

impl BatchWorker {
    /// Makes batches of up to `most` jobs; 0 counts as 1.
    pub fn new(most: usize) -> Self {
        BatchWorker {
            most: most.max(1),
            linger: Duration::ZERO,
        }
    }

    /// Sets how long a batch that is not full waits for more jobs, from its first one on, by the pool's clock. Default:
    /// not at all. Its first wait starts the pool's timekeeper thread.
    pub fn linger(mut self, limit: Duration) -> Self {
        self.linger = limit;
        self
    }

    /// Waits for the first job, and a little for more. `None`: there will be no more.
    async fn gather<J, H>(&self, inbox: &mut Inbox<J, H>) -> Option<Batch<J, H>>
    where
        J: Send + 'static,
        H: JobHandler<J>,
    {
        let mut items = vec![inbox.next().await?.detach()];
        let due = inbox.now() + self.linger;
        while items.len() < self.most {
            let more = match inbox.try_next().map(Assigned::detach) {
                Some(job) => Some(job),
                None if self.linger.is_zero() => None,
                None => inbox.next_until(due).await,
            };
            match more {
                Some(job) => items.push(job),
                None => break,
            }
        }
        Some(Batch { items })
    }
}

#[async_trait]
impl<J: Send + 'static, H: BatchHandler<J>> Worker<J, H> for BatchWorker {
    async fn run(&mut self, inbox: &mut Inbox<J, H>, handler: &mut H) {
        while let Some(mut batch) = self.gather(inbox).await {
            let ended = inbox.guarded(handler.handle_batch(&mut batch)).await;
            if let Err(panic) = ended {
                batch.fail_by(panic);
            }
        }
    }
}

impl<J: Send + 'static, H: JobHandler<J>> Batch<J, H> {
    fn fail_by(&mut self, panic: Panic) {
        let copy = panic.copy();
        let mut original = Some(panic);
        for item in self.items.iter_mut().filter(|item| !item.is_complete()) {
            item.fail_by(original.take().unwrap_or_else(|| copy.copy()));
        }
    }
}
