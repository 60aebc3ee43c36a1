use super::least_busy::LeastBusy;
use super::{Dispatcher, Target, WorkerView, Workers};
use crate::job::Job;
use crate::sync::rng::Rng;

/// Draws two workers at random and sends the job to the one with fewer jobs waiting and running.
///
/// The power of two choices (Mitzenmacher, *The Power of Two Choices in Randomized Load Balancing*, IEEE TPDS 12(10),
/// 2001): the second draw shortens the longest line from about log n / log log n to log log n, for the price of two
/// looks; a third gains little more. Nearly as good as [`LeastBusy`], whose cost grows with the number of workers, so
/// use this one for many workers and `LeastBusy` for few.
///
/// Bad at using the last idle worker: two busy ones may be drawn while another has nothing to do.
///
/// Draws are with replacement, among all places; ties go to the first drawn. Workers that are gone, retiring, or have a
/// full inbox are skipped; if no other was drawn, the job goes where `LeastBusy` would send it. So with an
/// [`inbox_depth`](crate::PoolBuilder::inbox_depth) beyond the queue's capacity and all workers present, this is
/// exactly the model of the paper.
///
/// Cost: O(choices) per job, and O(workers) for a job whose draws were all in vain.
#[derive(Debug, Clone)]
pub struct TwoChoices {
    rng: Rng,
    choices: usize,
}

impl TwoChoices {
    /// Creates the strategy with two choices. The same seed and the same sequence of events give the same workers.
    ///
    /// Give each dispatcher of a pool a seed of its own; otherwise all of them draw alike.
    pub fn new(seed: u64) -> Self {
        TwoChoices {
            rng: Rng::new(seed),
            choices: 2,
        }
    }

    /// Sets how many workers are drawn per job, at least one. With one, this is [`Random`](super::Random), except for
    /// how it treats full inboxes.
    pub fn choices(mut self, choices: usize) -> Self {
        self.choices = choices.max(1);
        self
    }
}

impl<J> Dispatcher<J> for TwoChoices {
    fn dispatch(&mut self, job: &Job<J>, workers: &Workers<'_>) -> Target {
        let places = workers.len();
        (0..self.choices)
            // Drawn before it is looked at, so that later draws do not depend on which workers are present.
            .filter_map(|_| workers.get(self.rng.below(places)))
            .filter(WorkerView::has_room)
            .min_by_key(WorkerView::load)
            .map_or_else(
                || LeastBusy.dispatch(job, workers),
                |worker| Target::Worker(worker.id()),
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatcher::{All, Place, Vitals};
    use crate::id::WorkerId;
    use crate::keys::holders::Holders;

    fn place(queued: usize, busy: bool) -> Place {
        Place {
            present: true,
            queued,
            busy,
            ..Place::default()
        }
    }

    /// Asks `strategy` about workers at these places.
    fn dispatch(strategy: &mut TwoChoices, places: &[Place]) -> Target {
        let all = All {
            dispatcher: 0,
            places,
            vitals: &Vitals::of(places.len()),
            depth: 1000,
            holders: &Holders::default(),
        };
        strategy.dispatch(&Job::new(()), &Workers::new(&all, None))
    }

    #[test]
    fn with_room_everywhere_it_is_the_less_busy_of_those_drawn() {
        let places = [
            place(3, true),
            place(0, false),
            place(2, true),
            place(0, true),
        ];
        let loads = [4, 0, 3, 1];
        for choices in 1..4 {
            let mut strategy = TwoChoices::new(7).choices(choices);
            let mut rng = Rng::new(7);
            for _ in 0..1000 {
                let mut best = rng.below(4);
                for _ in 1..choices {
                    let other = rng.below(4);
                    if loads[other] < loads[best] {
                        best = other;
                    }
                }
                let target = dispatch(&mut strategy, &places);
                assert_eq!(target, Target::Worker(WorkerId::new(0, best)));
            }
        }
    }

    #[test]
    fn of_equals_the_first_that_was_drawn() {
        let places: Vec<Place> = (0..10).map(|_| place(1, true)).collect();
        let mut strategy = TwoChoices::new(8);
        let mut rng = Rng::new(8);
        for _ in 0..1000 {
            let (first, _) = (rng.below(10), rng.below(10));
            let target = dispatch(&mut strategy, &places);
            assert_eq!(target, Target::Worker(WorkerId::new(0, first)));
        }
    }
}
