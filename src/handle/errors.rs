//! Receives what went wrong with jobs that have no handle.

use crate::engine::self_wait::{For, SelfWait, poll_unless_stuck, unless_stuck};
use crate::id::PoolNumber;
use crate::outcome::log::{AnyErrorLog, ErrorLog, JobFailure};
use crate::wait::park::block_on;
use crate::wait::signal::Listener;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Receives what went wrong with jobs sent without a handle: see [`errors`](crate::Submitter::errors).
///
/// It is also a [`Stream`](futures_core::Stream). Clones share the errors: each error goes to one of them. It does not
/// keep the pool open, and ends when the pool has ended and every error was received.
pub struct ErrorStream<E> {
    log: Arc<ErrorLog<E>>,
    pool: PoolNumber,
    /// Set by a poll as a stream that is pending.
    listener: Option<Listener>,
    self_wait: Option<SelfWait>,
}

impl<E: Send + 'static> ErrorStream<E> {
    pub(crate) fn new(log: Arc<ErrorLog<E>>, pool: PoolNumber) -> Self {
        ErrorStream {
            log,
            pool,
            listener: None,
            self_wait: None,
        }
    }

    /// Waits for the next error; `None` when the pool has ended and there will be no more.
    ///
    /// Inside a job of the same pool, it also gives `None` when no other worker is left that could fail.
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

    /// Blocking twin of [`recv`](Self::recv). Not for an executor's thread.
    pub fn recv_blocking(&self) -> Option<JobFailure<E>> {
        block_on(self.recv())
    }

    /// Returns the next error, if there is one now. Takes one lock.
    pub fn try_recv(&self) -> Option<JobFailure<E>> {
        self.log.take().flatten()
    }

    /// Returns how many errors were dropped because nobody received them in time.
    pub fn dropped(&self) -> u64 {
        self.log.dropped()
    }
}

impl<E: Send + 'static> futures_core::Stream for ErrorStream<E> {
    type Item = JobFailure<E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let (log, listener) = (&this.log, &mut this.listener);
        poll_unless_stuck(this.pool, For::Progress, &mut this.self_wait, cx, |cx| {
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
            self_wait: None,
        }
    }
}

impl<E> fmt::Debug for ErrorStream<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorStream").finish_non_exhaustive()
    }
}
