//! What becomes of a job.

pub(crate) mod cell;
pub(crate) mod cells;
pub(crate) mod log;
pub(crate) mod recycler;
pub(crate) mod registry;
pub(crate) mod views;

use crate::sync::panics::Panic;
use std::fmt;

/// Why an accepted job did not complete.
#[derive(Debug)]
#[non_exhaustive]
pub enum JobError<E> {
    /// The handler ran it and returned this error.
    Failed(E),
    /// The handler panicked while it ran it.
    Panicked(Panic),
    /// It was cancelled before it started, and never ran.
    Cancelled,
    /// Its time ran out before it started. (Nothing acts on a missed deadline yet.)
    Expired,
    /// It was given up to relieve an overloaded pool. (No pool does yet.)
    Shed,
    /// A shutdown gave it back to the caller, unrun: see
    /// [`ShutdownReport::unrun`](crate::ShutdownReport::unrun).
    HandedBack,
    /// Nobody was left to run it, or to finish it: its worker was dropped half-way, its executor is
    /// gone, or a queue order threw it away.
    Abandoned,
    /// Waiting would never have ended: the call came from inside a job of the same pool, and no
    /// other worker was left to make progress. The job that was waited for is not affected.
    WouldDeadlock,
}

impl<E: fmt::Display> fmt::Display for JobError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobError::Failed(error) => write!(f, "job failed: {error}"),
            JobError::Panicked(panic) => write!(f, "job panicked: {panic}"),
            JobError::Cancelled => f.write_str("job cancelled before it started"),
            JobError::Expired => f.write_str("job expired before it started"),
            JobError::Shed => f.write_str("job shed by an overloaded pool"),
            JobError::HandedBack => f.write_str("job handed back by a shutdown before it started"),
            JobError::Abandoned => f.write_str("job abandoned: nobody was left to finish it"),
            JobError::WouldDeadlock => f.write_str(
                "waiting for the job inside its own pool would deadlock: no worker left",
            ),
        }
    }
}

// Whatever can be shown can be passed on by `?`: strings and `anyhow::Error` are no errors themselves.
// Hence no `source`; the text has it all, and the error itself is in `Failed`.
impl<E: fmt::Debug + fmt::Display> std::error::Error for JobError<E> {}

/// What a cancel achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a job that was only requested to stop still runs"]
pub enum Cancellation {
    /// The job was still waiting: it never runs, it is dropped, and its room is free already.
    Removed,
    /// The job runs (or is just being taken out of the queue): it was asked to stop, and sees so in
    /// [`JobContext::is_cancelled`](crate::JobContext::is_cancelled). Its outcome is whatever its
    /// handler makes of it.
    Requested,
    /// The job has its outcome already.
    TooLate,
}

/// How a job can end without having run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Cancelled,
    HandedBack,
    Abandoned,
}

impl<E> From<Ending> for JobError<E> {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Cancelled => JobError::Cancelled,
            Ending::HandedBack => JobError::HandedBack,
            Ending::Abandoned => JobError::Abandoned,
        }
    }
}
