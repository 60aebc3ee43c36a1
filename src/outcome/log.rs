//! The error log: failures of jobs without a handle.
//!
//! The log is bounded. A worker that adds to it holds a lock for a few instructions and never waits; when the log is
//! full, the oldest entry is dropped and counted. Receivers share the entries: each entry goes to one of them.

use super::{Ending, JobError};
use crate::id::JobId;
use crate::job::Options;
use crate::sync::panics::dispose;
use crate::sync::{Mutex, lock};
use crate::wait::signal::{Listener, Signal};
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
    /// The job's label, if it has one.
    pub label: Option<Cow<'static, str>>,
    /// Why the job did not complete.
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

/// The log without the errors' type.
pub(crate) trait AnyErrorLog: Send + Sync {
    /// Records a job that ended without having run.
    fn unrun(&self, id: JobId, options: Option<Arc<Options>>, why: Ending);
    /// Ends the log: nothing is added any more.
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

    /// Returns the log of a pool whose errors are known to have this type.
    pub(crate) fn of(log: &Arc<dyn AnyErrorLog>) -> Arc<Self> {
        let log = log.clone().into_any().downcast::<Self>();
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

    /// Takes the oldest entry. `Some(None)` means that there will never be one again.
    pub(crate) fn take(&self) -> Option<Option<JobFailure<E>>> {
        let mut entries = lock(&self.entries);
        match entries.failures.pop_front() {
            None => entries.closed.then_some(None),
            oldest => Some(oldest),
        }
    }

    pub(crate) fn poll(
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
        // The entries are foreign values, and the drop of each may panic.
        while let Some(unread) = lock(&self.entries).failures.pop_front() {
            dispose(unread);
        }
    }
}

impl<E: Send + 'static> AnyErrorLog for ErrorLog<E> {
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
