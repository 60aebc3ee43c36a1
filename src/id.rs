//! The numbers of jobs, workers and pools.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

pub(crate) type PoolNumber = NonZeroU32;

/// The number no pool has, for envelopes without a pool.
pub(crate) const NO_POOL: PoolNumber = PoolNumber::MAX;

/// The number of an accepted job.
///
/// It is unique within its pool, and rises among jobs that were let in one after the other. A job submitted with a
/// [`Permit`](crate::Permit) was let in when its permit was.
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

/// Names a worker by its dispatcher's number and its own number there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId {
    /// The dispatcher's number in the upper half. A strategy returns this for each job, and one word fits a register.
    numbers: u64,
}

impl WorkerId {
    pub(crate) const FIRST: WorkerId = WorkerId { numbers: 0 };

    pub(crate) fn new(dispatcher: usize, index: usize) -> Self {
        // The builder allows far fewer than fit.
        WorkerId {
            numbers: (dispatcher as u64) << 32 | index as u64,
        }
    }

    /// The number of the worker's dispatcher, from 0.
    pub fn dispatcher(self) -> usize {
        (self.numbers >> 32) as usize
    }

    /// The worker's number within its dispatcher, from 0.
    pub fn index(self) -> usize {
        self.numbers as u32 as usize
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.dispatcher(), self.index())
    }
}

impl fmt::Debug for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorkerId({self})")
    }
}
