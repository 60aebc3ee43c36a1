//! Drawing: moves jobs from the intake to the desk, as few as can be routed, or all if the order must see all.

use super::{State, WHOLE_FROM};
use crate::queue::block::Block;
use crate::queue::intake::{Intake, KeyedIntake};

impl<J: Send + 'static> State<J> {
    /// How many jobs wait that nobody took and nothing binds.
    pub(super) fn backlog(&self) -> usize {
        self.desk.backlog() + self.front.len()
    }

    /// Whether there is a job that is not bound to a worker.
    pub(super) fn has_unbound(&mut self) -> bool {
        !self.front.is_empty() || self.desk.has_unbound()
    }

    /// Moves to the desk what only its own workers may run.
    pub(super) fn draw_keyed(&mut self, keyed: Option<&KeyedIntake<J>>) {
        if let Some(keyed) = keyed.filter(|keyed| keyed.about() > 0) {
            let State { desk, drawn, .. } = self;
            keyed.draw_all(drawn, |jobs| {
                desk.append(jobs.singles());
                jobs.forget_burst();
            });
        }
    }

    /// Moves to the desk the jobs that it can route now, or all if its order must see all to choose. The rest stays in
    /// the intake, for any desk. Returns how many were moved.
    pub(super) fn draw_to_route(&mut self, intake: &Intake<J>, alone: bool) -> usize {
        if !self.desk.in_arrival_order() {
            return self.draw(intake);
        }
        let (room, backlog) = (self.desk.room(), self.desk.backlog());
        if backlog >= room {
            return 0;
        }
        let State { front, drawn, .. } = self;
        let wanted = room - backlog;
        // A block as a whole costs no more than a few; but other desks could not take what is left of it.
        let whole = |block: &Block<J>| alone && block.len() >= WHOLE_FROM;
        if front.is_empty() && !intake.receive(front) {
            intake.draw_open(front, |open, front| {
                if whole(open) {
                    std::mem::swap(open, front);
                } else {
                    open.move_to(wanted, drawn);
                }
            });
        }
        if whole(front) {
            front.append_to(drawn);
        } else {
            front.move_to(wanted - drawn.len(), drawn);
        }
        let count = drawn.len();
        if count > 0 {
            self.desk.append(drawn.singles());
            // The buffer may now be one that an order used for a burst.
            drawn.forget_burst();
        }
        count
    }

    /// Moves all waiting jobs from the intake to the desk. Returns how many were moved.
    pub(super) fn draw(&mut self, intake: &Intake<J>) -> usize {
        let State { desk, front, .. } = self;
        let mut drawn = 0;
        intake.draw_all(front, |jobs| {
            drawn += jobs.len();
            desk.append(jobs.singles());
            jobs.forget_burst();
        });
        drawn
    }
}
