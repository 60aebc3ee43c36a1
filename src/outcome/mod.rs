//! What becomes of a job: cells, errors, the error log, and the registry of pools.

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
    /// The handler ran the job and returned this error.
    Failed(E),
    /// The handler panicked while running the job.
    Panicked(Panic),
    /// The job was cancelled before it started, and never ran.
    Cancelled,
    /// The job's time ran out before it started. (Reserved: nothing acts on a missed deadline yet.)
    Expired,
    /// The job was dropped to relieve an overloaded pool. (Reserved: no pool does this yet.)
    Shed,
    /// A shutdown gave the job back to the caller, unrun: see [`ShutdownReport::unrun`](crate::ShutdownReport::unrun).
    HandedBack,
    /// Nobody was left to run or finish the job: its worker was dropped half-way, its executor is gone, or a queue
    /// order dropped it.
    Abandoned,
    /// Waiting would never have ended: the call came from inside a job of the same pool, and no other worker was left
    /// to make progress. The job waited for is not affected.
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

// Requires only `Debug` and `Display`, so that strings and `anyhow::Error`, which are no errors themselves, can be
// passed on by `?`. Hence there is no `source`; the text says it all, and the error itself is in `Failed`.
impl<E: fmt::Debug + fmt::Display> std::error::Error for JobError<E> {}

/// What a cancel achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a job that was only requested to stop still runs"]
pub enum Cancellation {
    /// The job was still waiting: it never runs, it is dropped, and its room is already free.
    Removed,
    /// The job is running (or just being taken out of the queue). It was asked to stop, and sees so in
    /// [`JobContext::is_cancelled`](crate::JobContext::is_cancelled). Its handler decides its outcome.
    Requested,
    /// The job already has its outcome.
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
