use super::{Dispatcher, Target, WorkerView, Workers};
use crate::job::Job;

/// Sends a job to the worker with the fewest jobs waiting and running; among several, to the one idle longest.
///
/// This is "join the bounded shortest queue", JBSQ(k) (Kogias et al., *R2P2*, USENIX ATC 2019): jobs beyond the depth
/// of the inboxes stay in the common queue until a worker has room.
///
/// Bad at jobs of very unequal length, because it counts jobs, and at very many workers. Cost: O(workers) per job.
#[derive(Debug, Clone, Copy, Default)]
pub struct LeastBusy;

impl LeastBusy {
    /// Creates the strategy.
    pub fn new() -> Self {
        LeastBusy
    }
}

impl<J> Dispatcher<J> for LeastBusy {
    fn dispatch(&mut self, _: &Job<J>, workers: &Workers<'_>) -> Target {
        workers
            .iter()
            .filter(WorkerView::has_room)
            .min_by_key(|worker| (worker.load(), worker.idle_since()))
            .map_or(Target::Any, |worker| Target::Worker(worker.id()))
    }
}
