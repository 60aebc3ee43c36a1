//! What went wrong with jobs that nobody holds a handle of.
//!
//! A log of bounded length: a worker that adds to it takes a lock for a few instructions and never
//! waits; when it is full, the oldest entry makes room and is counted. Receivers share the entries, each
//! of which goes to one of them.

use crate::core::Core;
use crate::job::{JobId, Options};
use crate::outcome::{Ending, JobError};
use crate::park::block_on;
use crate::pool::Submitter;
use crate::registry::PoolNumber;
use crate::signal::{Listener, Signal};
use crate::standstill::{For, Stay, poll_unless_stuck, unless_stuck};
use crate::sync::{Mutex, lock};
use crate::unwind::dispose;
use std::any::Any;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A job that was sent without a handle and did not complete.
#[derive(Debug)]
#[non_exhaustive]
pub struct JobFailure<E> {
    /// The job's number.
    pub id: JobId,
    /// The job's label, if it was given one.
    pub label: Option<Cow<'static, str>>,
    /// What became of it.
    pub error: JobError<E>,
}

impl<E> JobFailure<E> {
    pub(crate) fn new(id: JobId, options: Option<Arc<Options>>, error: JobError<E>) -> Self {
        JobFailure {
            id,
            label: options.and_then(|options| options.label.clone()),
            error,
        }
    }
}

impl<E: fmt::Display> fmt::Display for JobFailure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job {}", self.id)?;
        if let Some(label) = &self.label {
            write!(f, " ({label})")?;
        }
        write!(f, ": {}", self.error)
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for JobFailure<E> {}

/// The log as those see it who do not know the errors' type.
pub(crate) trait Untold: Send + Sync {
    /// A job ended without having run.
    fn unrun(&self, id: JobId, options: Option<Arc<Options>>, why: Ending);
    /// Nothing is added any more.
    fn close(&self);
    fn dropped(&self) -> u64;
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

pub(crate) struct ErrorLog<E> {
    entries: Mutex<Entries<E>>,
    news: Signal,
    capacity: usize,
}

struct Entries<E> {
    failures: VecDeque<JobFailure<E>>,
    dropped: u64,
    closed: bool,
}

impl<E: Send + 'static> ErrorLog<E> {
    pub(crate) fn new(capacity: usize) -> Self {
        ErrorLog {
            entries: Mutex::new(Entries {
                failures: VecDeque::new(),
                dropped: 0,
                closed: false,
            }),
            news: Signal::new(),
            capacity,
        }
    }

    /// The log of a pool whose errors are known to be of this type.
    pub(crate) fn of<J>(core: &Core<J>) -> Arc<Self> {
        let log = core.errors.clone().into_any().downcast::<Self>();
        log.expect("a pool's errors are its handlers'")
    }

    #[inline(never)]
    pub(crate) fn record(&self, failure: JobFailure<E>) {
        let surplus = {
            let mut entries = lock(&self.entries);
            let surplus = if self.capacity == 0 {
                Some(failure)
            } else {
                let full = entries.failures.len() >= self.capacity;
                let oldest = if full {
                    entries.failures.pop_front()
                } else {
                    None
                };
                entries.failures.push_back(failure);
                oldest
            };
            entries.dropped += u64::from(surplus.is_some());
            surplus
        };
        self.news.notify_all();
        dispose(surplus);
    }

    /// The oldest entry; `Some(None)`: there will never be one again.
    fn take(&self) -> Option<Option<JobFailure<E>>> {
        let mut entries = lock(&self.entries);
        match entries.failures.pop_front() {
            None => entries.closed.then_some(None),
            oldest => Some(oldest),
        }
    }

    fn poll(
        &self,
        listener: &mut Option<Listener>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<JobFailure<E>>> {
        loop {
            if let Some(taken) = self.take() {
                *listener = None;
                return Poll::Ready(taken);
            }
            match listener {
                // Listen, then look again.
                None => *listener = Some(self.news.listen()),
                Some(listening) => {
                    if Pin::new(listening).poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    *listener = None;
                }
            }
        }
    }
}

impl<E> Drop for ErrorLog<E> {
    fn drop(&mut self) {
        // Foreign values, each of which may panic.
        while let Some(unread) = lock(&self.entries).failures.pop_front() {
            dispose(unread);
        }
    }
}

impl<E: Send + 'static> Untold for ErrorLog<E> {
    fn unrun(&self, id: JobId, options: Option<Arc<Options>>, why: Ending) {
        self.record(JobFailure::new(id, options, why.into()));
    }

    fn close(&self) {
        lock(&self.entries).closed = true;
        self.news.notify_all();
    }

    fn dropped(&self) -> u64 {
        lock(&self.entries).dropped
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// Receives what went wrong with jobs that were sent without a handle: see
/// [`Submitter::errors`].
///
/// Also a [`Stream`](futures_core::Stream). Clones share the errors: each goes to one of them. It does
/// not keep the pool open, and ends when the pool has ended and every error was received.
pub struct ErrorStream<E> {
    log: Arc<ErrorLog<E>>,
    pool: PoolNumber,
    /// Of a poll as a stream that is waiting.
    listener: Option<Listener>,
    stay: Option<Stay>,
}

impl<E: Send + 'static> ErrorStream<E> {
    /// Waits for the next error; `None` when the pool has ended and there will be no more.
    ///
    /// Inside a job of the same pool it also gives `None` when no other worker is left that could fail.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no error.
    pub async fn recv(&self) -> Option<JobFailure<E>> {
        let mut listener = None;
        let next = std::future::poll_fn(|cx| self.log.poll(&mut listener, cx));
        let received = unless_stuck(self.pool, For::Progress, next).await;
        received.unwrap_or_default()
    }

    /// Blocking twin of [`recv`](Self::recv): not for an executor's thread.
    pub fn recv_blocking(&self) -> Option<JobFailure<E>> {
        block_on(self.recv())
    }

    /// The next error, if there is one now. Takes one lock.
    pub fn try_recv(&self) -> Option<JobFailure<E>> {
        self.log.take().flatten()
    }

    /// How many errors were dropped because nobody received them in time.
    pub fn dropped(&self) -> u64 {
        self.log.dropped()
    }
}

impl<E: Send + 'static> futures_core::Stream for ErrorStream<E> {
    type Item = JobFailure<E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let (log, listener) = (&this.log, &mut this.listener);
        poll_unless_stuck(this.pool, For::Progress, &mut this.stay, cx, |cx| {
            log.poll(listener, cx)
        })
        .map(Result::unwrap_or_default)
    }
}

impl<E> Clone for ErrorStream<E> {
    fn clone(&self) -> Self {
        ErrorStream {
            log: self.log.clone(),
            pool: self.pool,
            listener: None,
            stay: None,
        }
    }
}

impl<E> fmt::Debug for ErrorStream<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorStream").finish_non_exhaustive()
    }
}

/// # Errors of jobs without a handle
impl<J, T, E> Submitter<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    /// What went wrong with jobs that were sent without a handle: each that did not complete, with its
    /// number and why.
    ///
    /// Errors are kept from the start of the pool, up to
    /// [`error_capacity`](crate::PoolBuilder::error_capacity) of them. No worker ever waits for a
    /// receiver: when there are more, the oldest is dropped and counted
    /// ([`Metrics::errors_dropped`](crate::Metrics::errors_dropped)).
    ///
    /// ```
    /// use fanpool::{Pool, handler_fn};
    ///
    /// let pool = Pool::builder(handler_fn(|n: u32| n.checked_sub(1).ok_or("below zero"))).build()?;
    /// pool.send_blocking(0)?;
    /// let failure = pool.errors().recv_blocking().expect("one job failed");
    /// assert_eq!(failure.to_string(), "job 1: job failed: below zero");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn errors(&self) -> ErrorStream<E> {
        ErrorStream {
            log: ErrorLog::of(self.core()),
            pool: self.core().number,
            listener: None,
            stay: None,
        }
    }
}
