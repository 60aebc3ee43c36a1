use super::{Dispatcher, Target, WorkerView, Workers};
use crate::job::Job;
use crate::sync::rng::Rng;

/// So many draws at most before those with room are counted.
const DRAWS: usize = 4;

/// Any worker whose inbox has room, each as likely as the others.
///
/// Needs no state that outlives a job and falls into no step with the jobs, as
/// [`RoundRobin`](super::RoundRobin) may when every n-th job is a long one. Bad at everything else: some
/// workers get several jobs in a row while others are idle. A yardstick for other strategies, above all.
///
/// O(1) a job, and O(workers) when most inboxes are full.
#[derive(Debug, Clone)]
pub struct Random {
    rng: Rng,
}

impl Random {
    /// The same seed and the same course of events give the same workers.
    ///
    /// Give each dispatcher of a pool a seed of its own, or all of them draw alike.
    pub fn new(seed: u64) -> Self {
        Random {
            rng: Rng::new(seed),
        }
    }
}

impl<J> Dispatcher<J> for Random {
    fn dispatch(&mut self, _: &Job<J>, workers: &Workers<'_>) -> Target {
        let places = workers.len();
        let drawn = (0..DRAWS)
            .filter_map(|_| workers.get(self.rng.below(places)))
            .find(WorkerView::has_room);
        let chosen = drawn.or_else(|| {
            let with_room = || workers.iter().filter(WorkerView::has_room);
            match with_room().count() {
                0 => None,
                count => with_room().nth(self.rng.below(count)),
            }
        });
        chosen.map_or(Target::Any, |worker| Target::Worker(worker.id()))
    }
}
