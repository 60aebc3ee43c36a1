use super::{Dispatcher, Target, WorkerView, Workers};
use crate::job::Job;
use crate::sync::rng::Rng;

/// After this many draws, the workers with room are counted instead: draws are cheaper while most have room.
const DRAWS: usize = 4;

/// Sends a job to a random worker whose inbox has room, each with the same probability.
///
/// It keeps no state between jobs, and does not fall into step with them, as [`RoundRobin`](super::RoundRobin) may when
/// every n-th job is a long one. Bad at everything else: some workers get several jobs in a row while others are idle.
/// Mostly a yardstick for other strategies.
///
/// Cost: O(1) per job, and O(workers) when most inboxes are full.
#[derive(Debug, Clone)]
pub struct Random {
    rng: Rng,
}

impl Random {
    /// Creates the strategy. The same seed and the same sequence of events give the same workers.
    ///
    /// Give each dispatcher of a pool a seed of its own; otherwise all of them draw alike.
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
