use super::{Dispatcher, Target, WorkerView, Workers};
use crate::job::Job;

/// The worker with the fewest jobs waiting and running; of several, the one idle longest.
///
/// Join the bounded shortest queue, JBSQ(k) (Kogias et al., *R2P2*, USENIX ATC 2019): jobs beyond the
/// depth of the inboxes stay in the common queue until a worker has room. Bad at: jobs of very unequal
/// length, since it counts them, and very many workers. O(workers) a job.
#[derive(Debug, Clone, Copy, Default)]
pub struct LeastBusy;

impl LeastBusy {
    /// The strategy.
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
