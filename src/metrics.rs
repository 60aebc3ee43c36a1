//! The pool's counters. They are private and move by verbs; a snapshot is for reading.

use crate::outcome::Ending;
use crate::sync::atomic::{AtomicU64, Ordering::*};
use std::fmt;

/// A snapshot of a pool's counters.
///
/// In every snapshot:
///
/// - `submitted` = `accepted` + `refused`.
/// - `accepted` is the sum of the outcomes (`completed`, `failed`, `panicked`, `cancelled`, `expired`, `shed`,
///   `handed_back`, `abandoned`) and of the jobs under way (`waiting`, `deferred`, `running`).
///
/// Counters never go back, and all are exact while the pool is quiet. A field counts jobs since the pool was built
/// unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Metrics {
    /// Submissions that were answered: accepted or refused.
    pub submitted: u64,
    /// Submissions that gave the job back in a [`SubmitError`](crate::SubmitError).
    pub refused: u64,
    /// Jobs that were let in.
    pub accepted: u64,
    /// Jobs whose handler returned `Ok`.
    pub completed: u64,
    /// Jobs whose handler returned `Err`.
    pub failed: u64,
    /// Jobs whose handler panicked.
    pub panicked: u64,
    /// Jobs cancelled before they started.
    pub cancelled: u64,
    /// Jobs that ran out of time before they started. Always 0: nothing acts on a missed deadline yet.
    pub expired: u64,
    /// Jobs given up to relieve an overloaded pool. Always 0 so far.
    pub shed: u64,
    /// Jobs returned unrun by a shutdown.
    pub handed_back: u64,
    /// Jobs lost with their holder: a dropped worker, a dead executor.
    pub abandoned: u64,
    /// Jobs accepted and not started, now.
    pub waiting: u64,
    /// Jobs waiting for a later time, now. Always 0 so far.
    pub deferred: u64,
    /// Jobs started and not over, now.
    pub running: u64,
    /// Units of the queue's capacity taken up by waiting jobs, now: their number, if none was given a weight.
    pub occupied: u64,
    /// Units held by permits, now.
    pub reserved: u64,
    /// Workers, now.
    pub workers: u64,
    /// Workers that run a job, now.
    pub busy_workers: u64,
    /// Workers without a handler because their factory failed, now. The pool asks the factory again; jobs wait until a
    /// worker has a handler.
    pub failing_workers: u64,
    /// Errors of jobs without a handle that nobody read in time: see [`errors`](crate::Submitter::errors).
    pub errors_dropped: u64,
    /// Contained panics and broken contracts of strategies and queue orders.
    pub faults: u64,
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "submitted {} = accepted {} + refused {}; completed {}, failed {}, panicked {}, \
             cancelled {}, expired {}, shed {}, handed back {}, abandoned {}; waiting {}, deferred {}, \
             running {}",
            self.submitted,
            self.accepted,
            self.refused,
            self.completed,
            self.failed,
            self.panicked,
            self.cancelled,
            self.expired,
            self.shed,
            self.handed_back,
            self.abandoned,
            self.waiting,
            self.deferred,
            self.running,
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    Completed,
    Failed,
    Panicked,
    Abandoned,
}

/// One worker's counters. Only its worker writes them.
#[derive(Debug, Default)]
pub(crate) struct WorkerCounts {
    started: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
    abandoned: AtomicU64,
    /// Jobs it started that are counted in [`PoolCounts`] from then on.
    detached: AtomicU64,
}

impl WorkerCounts {
    pub(crate) fn detached(&self) {
        count_one(&self.detached);
    }

    #[inline]
    pub(crate) fn started(&self) {
        count_one(&self.started);
    }

    pub(crate) fn total_started(&self) -> u64 {
        self.started.load(Acquire)
    }

    pub(crate) fn total_finished(&self) -> u64 {
        [
            &self.completed,
            &self.failed,
            &self.panicked,
            &self.abandoned,
            &self.detached,
        ]
        .map(|counter| counter.load(Acquire))
        .iter()
        .sum()
    }

    #[inline]
    pub(crate) fn finished(&self, how: Finish) {
        let counter = match how {
            Finish::Completed => &self.completed,
            Finish::Failed => &self.failed,
            Finish::Panicked => &self.panicked,
            Finish::Abandoned => &self.abandoned,
        };
        count_one(counter);
    }
}

/// For counters with one writer at a time: a worker's task, on whichever thread polls it.
#[inline]
fn count_one(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Release);
}

/// The rare ends, which the pool counts outside its workers.
#[derive(Debug, Default)]
pub(crate) struct PoolCounts {
    refused: AtomicU64,
    cancelled: AtomicU64,
    handed_back: AtomicU64,
    abandoned: AtomicU64,
    detached: Detached,
}

/// Ends of jobs that a worker detached.
#[derive(Debug, Default)]
struct Detached {
    completed: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
    abandoned: AtomicU64,
}

pub(crate) type EachWorker<'a> = dyn Fn(&mut dyn FnMut(&WorkerCounts)) + 'a;

impl PoolCounts {
    pub(crate) fn detached_finished(&self, how: Finish) {
        let counter = match how {
            Finish::Completed => &self.detached.completed,
            Finish::Failed => &self.detached.failed,
            Finish::Panicked => &self.detached.panicked,
            Finish::Abandoned => &self.detached.abandoned,
        };
        counter.fetch_add(1, Release);
    }

    pub(crate) fn total_refused(&self) -> u64 {
        self.refused.load(Acquire)
    }

    pub(crate) fn refused(&self, jobs: u64) {
        self.refused.fetch_add(jobs, Release);
    }

    pub(crate) fn unrun(&self, why: Ending) {
        let counter = match why {
            Ending::Cancelled => &self.cancelled,
            Ending::HandedBack => &self.handed_back,
            Ending::Abandoned => &self.abandoned,
        };
        counter.fetch_add(1, Release);
    }

    /// Returns how many jobs left the queue, and the outcomes so far. Counts at most `most` running jobs for each
    /// worker.
    pub(crate) fn left_queue(&self, workers: &EachWorker<'_>, most: u64) -> (u64, Metrics) {
        let mut metrics = Metrics {
            cancelled: self.cancelled.load(Acquire),
            handed_back: self.handed_back.load(Acquire),
            abandoned: self.abandoned.load(Acquire),
            completed: self.detached.completed.load(Acquire),
            failed: self.detached.failed.load(Acquire),
            panicked: self.detached.panicked.load(Acquire),
            ..Metrics::default()
        };
        let abandoned = self.detached.abandoned.load(Acquire);
        let over = metrics.completed + metrics.failed + metrics.panicked + abandoned;
        let mut left = metrics.cancelled + metrics.handed_back + metrics.abandoned;
        metrics.abandoned += abandoned;
        let mut detached = 0;
        workers(&mut |counts| {
            let [completed, failed, panicked, abandoned] = [
                &counts.completed,
                &counts.failed,
                &counts.panicked,
                &counts.abandoned,
            ]
            .map(|counter| counter.load(Acquire));
            metrics.completed += completed;
            metrics.failed += failed;
            metrics.panicked += panicked;
            metrics.abandoned += abandoned;
            let finished = completed + failed + panicked + abandoned;
            let handed_on = counts.detached.load(Acquire);
            let running = (counts.started.load(Acquire) - finished - handed_on).min(most);
            metrics.running += running;
            left += finished + running;
            detached += handed_on;
        });
        metrics.running += detached - over;
        left += detached;
        (left, metrics)
    }
}
