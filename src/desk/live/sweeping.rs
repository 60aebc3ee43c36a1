//! Bulk operations: take out, show, or clean up what waits in the intake, on the desk and in trays.

use super::LiveDesk;
use crate::id::JobId;
use crate::queue::envelope::Queued;
use crate::queue::intake::Intake;

impl<J: Send + 'static> LiveDesk<J> {
    /// Returns whether this desk has a job for the worker of another. Exact: a wrong yes would make that worker search
    /// again and again.
    #[inline(never)]
    pub(crate) fn has_spare(&self) -> bool {
        self.has_spare_on_desk() || self.loaded.any() && self.has_spare_in_trays()
    }

    pub(super) fn has_spare_in_trays(&self) -> bool {
        let mut loaded = self.loaded.from(0);
        while let Some(of) = loaded.next() {
            let tray = self.seats[of].tray.lock();
            if !tray.bound && tray.jobs.has_unkeyed() {
                return true;
            }
        }
        false
    }

    pub(super) fn has_spare_on_desk(&self) -> bool {
        let mut state = self.enter();
        if !state.front.is_empty() {
            // From the common intake, so for anyone.
            return true;
        }
        self.draw_for_others(&mut state);
        state.desk.has_spare()
    }

    /// Takes out all jobs that wait in the intake, on the desk and in its workers' trays.
    #[inline(never)]
    pub(crate) fn sweep(&self, intake: &Intake<J>) -> Vec<Queued<J>> {
        let mut state = self.enter();
        state.draw_keyed(self.keyed.as_ref());
        state.draw(intake);
        let mut swept = Vec::new();
        for seat in &*self.seats {
            for job in self.empty_tray(seat).0.into_singles() {
                swept.push(job);
            }
        }
        state.desk.sweep(&mut swept);
        swept
    }

    /// Shows the numbers of all jobs that wait in the intake, on the desk and in its workers' trays.
    #[inline(never)]
    pub(crate) fn visit(&self, intake: &Intake<J>, waiting: &mut dyn FnMut(JobId)) {
        let mut state = self.enter();
        state.draw_keyed(self.keyed.as_ref());
        state.draw(intake);
        state.desk.visit(&mut |job| job.for_each_waiting(waiting));
        for seat in &*self.seats {
            let tray = seat.tray.lock();
            for envelope in tray.jobs.envelopes() {
                envelope.for_each_waiting(waiting);
            }
        }
    }

    #[inline(never)]
    pub(crate) fn drop_tombstones(&self, intake: &Intake<J>) -> usize {
        let mut state = self.enter();
        state.draw_keyed(self.keyed.as_ref());
        state.draw(intake);
        state.desk.drop_tombstones()
    }
}
