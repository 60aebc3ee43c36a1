//! A pool's counters and its gate, read together.

use crate::gate::Gate;
use crate::metrics::{EachWorker, Metrics, PoolCounts};

/// How often a snapshot is retried when jobs moved while it was read.
const EXACT_TRIES: u32 = 16;

impl PoolCounts {
    /// Reads from the end of a job's journey to its start, so that the difference of two counters is never negative: no
    /// job seems to end before it started, or to start before it was accepted.
    ///
    /// Jobs move on meanwhile. A reading in which nothing moved is exact, and is tried for several times. In a storm, a
    /// later counter may have run ahead of an earlier one. Then the reading is cut down to how far it can have been
    /// ahead when the earlier one was read: a worker holds one job, the gate its capacity.
    ///
    /// `workers` visits each worker's counters.
    pub(crate) fn snapshot(&self, workers: &EachWorker<'_>, gate: &Gate) -> Metrics {
        for _ in 0..EXACT_TRIES {
            let before = self.left_queue(workers, u64::MAX);
            let accepted = gate.accepted();
            if self.left_queue(workers, u64::MAX) == before {
                return self.complete(before, accepted, gate);
            }
        }
        let left = self.left_queue(workers, 1);
        let most = left.0 + gate.capacity();
        self.complete(left, gate.accepted().min(most), gate)
    }

    fn complete(&self, (left, mut metrics): (u64, Metrics), accepted: u64, gate: &Gate) -> Metrics {
        (metrics.occupied, metrics.reserved) = gate.taken_up();
        metrics.accepted = accepted;
        metrics.waiting = accepted - left;
        metrics.refused = self.total_refused();
        metrics.submitted = accepted + metrics.refused;
        metrics
    }
}
