//! Workers come and go. What a leaving worker had taken ahead goes back to the desk.

use super::LiveDesk;
use crate::desk::seat::Seat;
use crate::queue::block::Block;

#[derive(Clone, Copy)]
enum Change {
    Present(bool),
    /// The worker left, but is worth waiting for.
    SteppedOut,
    Away(bool),
}

impl<J: Send + 'static> LiveDesk<J> {
    /// Sets whether the worker can take jobs. If not, its bound jobs go to others. Returns whether that left jobs for
    /// others.
    pub(crate) fn set_present(&self, worker: usize, present: bool) -> bool {
        self.change_presence(worker, Change::Present(present))
    }

    /// The worker cannot take jobs until it has a handler again. Returns the same as `set_present`.
    pub(crate) fn step_out(&self, worker: usize) -> bool {
        self.change_presence(worker, Change::SteppedOut)
    }

    /// The worker's job waits for this very pool, or goes on. Returns the same as `set_present`.
    pub(crate) fn set_away(&self, worker: usize, away: bool) -> bool {
        self.change_presence(worker, Change::Away(away))
    }

    #[inline(never)]
    fn change_presence(&self, worker: usize, change: Change) -> bool {
        let seat = &self.seats[worker];
        let mut state = self.enter();
        state.draw_keyed(self.keyed.as_ref());
        match change {
            Change::Present(present) => state.desk.set_present(worker, present),
            Change::SteppedOut => {
                state.desk.set_present(worker, false);
                state.desk.expect(worker);
            }
            Change::Away(away) => state.desk.set_away(worker, away),
        }
        let present = state.desk.is_present(worker);
        if !present {
            let (in_hand, bound) = self.empty_tray(seat);
            state.desk.put_back(worker, in_hand.into_singles(), bound);
            let running = seat.running();
            state.desk.release_keys(worker, &|id| running.contains(&id));
        }
        !present && state.has_unbound()
    }

    /// Returns what was in the tray, and whether it is bound. Call under the desk's lock.
    #[inline(never)]
    pub(super) fn empty_tray(&self, seat: &Seat<J>) -> (Block<J>, bool) {
        let mut tray = seat.tray.lock();
        self.loaded.clear(seat.id.index());
        (std::mem::take(&mut tray.jobs), tray.bound)
    }
}
