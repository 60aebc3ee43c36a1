//! Numbers by which jobs, workers and pools are known.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

/// Of a pool, in this process.
pub(crate) type PoolNumber = NonZeroU32;

/// The number that no pool has: for envelopes without one.
pub(crate) const NO_POOL: PoolNumber = PoolNumber::MAX;

/// The number of an accepted job: unique in its pool, and among jobs that were let in one after the
/// other, rising. (A job that was submitted with a [`Permit`](crate::Permit) was let in when the permit
/// was.)
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

/// Names a worker: the number of its dispatcher, and its own number there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId {
    /// The dispatcher's in the upper half. A strategy answers with this for each job, and one word comes in a register.
    numbers: u64,
}

impl WorkerId {
    pub(crate) const FIRST: WorkerId = WorkerId { numbers: 0 };

    pub(crate) fn new(dispatcher: usize, index: usize) -> Self {
        // The builder allows far fewer than there is room for.
        WorkerId {
            numbers: (dispatcher as u64) << 32 | index as u64,
        }
    }

    /// The number of its dispatcher, from 0.
    pub fn dispatcher(self) -> usize {
        (self.numbers >> 32) as usize
    }

    /// Its number among the dispatcher's workers, from 0.
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
