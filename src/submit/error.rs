//! Why a job was not accepted.

use crate::outcome::JobError;
use std::error::Error;
use std::fmt;

/// The error of a refused submission, with the job inside.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubmitError<J> {
    /// There was no room, and the call does not wait.
    Full(J),
    /// The pool is closed.
    Closed(J),
    /// There was no room in time.
    TimedOut(J),
    /// The job weighs more than the whole capacity, or more than its permit holds.
    TooHeavy(J),
    /// Waiting for room would never have ended: the call came from inside a job of the same pool, and no other worker
    /// was left to make room.
    WouldDeadlock(J),
    /// As many jobs of its key wait as the queue order allows ([`key_bound`](crate::QueueOrder::key_bound)). Calls that
    /// wait for room return this at once, too, so that one key does not hold up a submitter of many.
    KeyFull {
        /// The job.
        job: J,
        /// Its key.
        key: u64,
    },
}

impl<J> SubmitError<J> {
    /// Returns the refused job.
    pub fn into_job(self) -> J {
        match self {
            SubmitError::Full(job)
            | SubmitError::Closed(job)
            | SubmitError::TimedOut(job)
            | SubmitError::TooHeavy(job)
            | SubmitError::WouldDeadlock(job)
            | SubmitError::KeyFull { job, .. } => job,
        }
    }

    /// Returns whether there was no room, in the queue or for the job's key. A later try may succeed.
    pub fn is_full(&self) -> bool {
        matches!(self, SubmitError::Full(_) | SubmitError::KeyFull { .. })
    }

    /// Returns whether the pool is closed. No later try will succeed.
    pub fn is_closed(&self) -> bool {
        matches!(self, SubmitError::Closed(_))
    }

    /// Returns the same refusal with something else in the job's place.
    pub fn map<X>(self, change: impl FnOnce(J) -> X) -> SubmitError<X> {
        match self {
            SubmitError::Full(job) => SubmitError::Full(change(job)),
            SubmitError::Closed(job) => SubmitError::Closed(change(job)),
            SubmitError::TimedOut(job) => SubmitError::TimedOut(change(job)),
            SubmitError::TooHeavy(job) => SubmitError::TooHeavy(change(job)),
            SubmitError::WouldDeadlock(job) => SubmitError::WouldDeadlock(change(job)),
            SubmitError::KeyFull { job, key } => SubmitError::KeyFull {
                job: change(job),
                key,
            },
        }
    }

    /// Returns the same refusal without the job: to pass it on where the job cannot go, such as with `?` into an error
    /// that has to be `Sync`.
    pub fn without_job(self) -> SubmitError<()> {
        self.map(drop)
    }

    fn name(&self) -> &'static str {
        match self {
            SubmitError::Full(_) => "Full",
            SubmitError::Closed(_) => "Closed",
            SubmitError::TimedOut(_) => "TimedOut",
            SubmitError::TooHeavy(_) => "TooHeavy",
            SubmitError::WouldDeadlock(_) => "WouldDeadlock",
            SubmitError::KeyFull { .. } => "KeyFull",
        }
    }
}

impl<J> fmt::Display for SubmitError<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SubmitError::Full(_) => "the pool's queue is full",
            SubmitError::Closed(_) => "the pool is closed",
            SubmitError::TimedOut(_) => "no room in the pool's queue in time",
            SubmitError::TooHeavy(_) => {
                "the job is heavier than the pool's whole queue, or than its permit"
            }
            SubmitError::KeyFull { key, .. } => {
                return write!(f, "the pool's queue is full for key {key}");
            }
            SubmitError::WouldDeadlock(_) => {
                "waiting for room inside a job of the same pool would deadlock: no worker left"
            }
        })
    }
}

// Without `J: Debug`, so that `unwrap` and `?` work for any job.
impl<J> fmt::Debug for SubmitError<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(..)", self.name())
    }
}

impl<J> Error for SubmitError<J> {}

/// The error of [`run`](crate::Submitter::run).
#[non_exhaustive]
pub enum RunError<J, E> {
    /// The job was not accepted, and is inside.
    Refused(SubmitError<J>),
    /// The job was accepted and did not complete.
    Job(JobError<E>),
}

impl<J, E: fmt::Display> fmt::Display for RunError<J, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Refused(refused) => refused.fmt(f),
            RunError::Job(error) => error.fmt(f),
        }
    }
}

impl<J, E: fmt::Debug> fmt::Debug for RunError<J, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Refused(refused) => f.debug_tuple("Refused").field(refused).finish(),
            RunError::Job(error) => f.debug_tuple("Job").field(error).finish(),
        }
    }
}

impl<J, E: fmt::Debug + fmt::Display> Error for RunError<J, E> {}

impl<J, E> RunError<J, E> {
    /// Returns the job, if it was refused.
    pub fn into_job(self) -> Option<J> {
        match self {
            RunError::Refused(refused) => Some(refused.into_job()),
            RunError::Job(_) => None,
        }
    }

    /// Returns the same error without the job, like [`SubmitError::without_job`].
    pub fn without_job(self) -> RunError<(), E> {
        match self {
            RunError::Refused(refused) => RunError::Refused(refused.without_job()),
            RunError::Job(error) => RunError::Job(error),
        }
    }
}
