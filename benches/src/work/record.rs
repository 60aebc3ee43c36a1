//! Work that leaves a record, for tests: which jobs ran, and how often.

use super::{TALLY, Work};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

static RECORD: Mutex<Vec<u64>> = Mutex::new(Vec::new());
static TURN: Mutex<()> = Mutex::new(());

/// As `Tick`.
pub struct Recorded;

impl Work for Recorded {
    type Output = ();

    fn run(job: u64) {
        lock(&RECORD).push(job);
        TALLY.add(1);
    }
}

/// As `Increment`.
pub struct RecordedIncrement;

impl Work for RecordedIncrement {
    type Output = u64;

    fn run(job: u64) -> u64 {
        lock(&RECORD).push(job);
        job + 1
    }
}

/// What a test holds that uses the record or the tally: there is one of each.
pub fn alone() -> MutexGuard<'static, ()> {
    lock(&TURN)
}

/// Takes what ran since the last time, in order.
pub fn take() -> Vec<u64> {
    let mut jobs = std::mem::take(&mut *lock(&RECORD));
    jobs.sort_unstable();
    jobs
}

/// What [`take`] gives when each job of these ranges ran once.
pub fn of<const N: usize>(ranges: [Range<u64>; N]) -> Vec<u64> {
    let mut jobs: Vec<u64> = ranges.into_iter().flatten().collect();
    jobs.sort_unstable();
    jobs
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
