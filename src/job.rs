//! What is submitted: the caller's data, and what the pool knows about it.

use std::fmt;
use std::num::NonZeroU64;

/// A job as it waits: the caller's data and the options it was submitted with.
///
/// A [`Dispatcher`](crate::Dispatcher) chooses by it, and a shutdown hands unstarted ones back as
/// [`ShutdownReport::unrun`](crate::ShutdownReport::unrun).
#[derive(Clone, PartialEq, Eq)]
pub struct Job<J> {
    data: J,
}

impl<J> Job<J> {
    pub(crate) fn new(data: J) -> Self {
        Job { data }
    }

    /// What was submitted.
    pub fn data(&self) -> &J {
        &self.data
    }

    /// What was submitted, by value.
    pub fn into_inner(self) -> J {
        self.data
    }

    /// How much of the queue's capacity the job takes up.
    pub(crate) fn units(&self) -> u64 {
        1
    }
}

impl<J> From<J> for Job<J> {
    fn from(data: J) -> Self {
        Job::new(data)
    }
}

impl<J: fmt::Debug> fmt::Debug for Job<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("data", &self.data).finish()
    }
}

/// The number of an accepted job: unique in its pool, rising in the order of acceptance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(NonZeroU64);

impl JobId {
    pub(crate) fn from_ticket(ticket: u64) -> Self {
        JobId(NonZeroU64::MIN.saturating_add(ticket))
    }

    /// The number itself, from 1.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobId({})", self.0)
    }
}
