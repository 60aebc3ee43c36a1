//! Drawing: moves jobs from the intake to the desk, as few as can be routed, or all if the order must see all.

use super::{State, WHOLE_FROM};
use crate::queue::intake::{Intake, KeyedIntake};

impl<J: Send + 'static> State<J> {
    /// Moves to the desk the jobs that only its own workers may run.
    pub(super) fn draw_keyed(&mut self, keyed: Option<&KeyedIntake<J>>) {
        if let Some(keyed) = keyed.filter(|keyed| keyed.about() > 0) {
            keyed.draw_all(|jobs| self.desk.append(jobs.singles()));
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
        let drawn = &mut self.drawn;
        intake.draw(|front, _| {
            if alone && front.len() >= WHOLE_FROM {
                front.append_to(drawn);
            } else {
                front.move_to(room - backlog, drawn);
            }
        });
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
        let mut drawn = 0;
        intake.draw_all(|jobs| {
            drawn += jobs.len();
            self.desk.append(jobs.singles());
            jobs.forget_burst();
        });
        drawn
    }
}
