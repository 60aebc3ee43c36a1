//! A job gives its room back: when it starts, or when it ends unrun.

use super::Core;
use crate::gate::Lane;
use crate::id::WorkerId;
use crate::job::Options;
use crate::outcome::registry::Home;

impl<J: Send + 'static> Core<J> {
    /// A worker's job no longer waits for its own pool.
    #[inline]
    pub(crate) fn end_waits(&self, worker: WorkerId) {
        if self.self_waits.has_waits() {
            self.end_waits_of(worker);
        }
    }

    #[cold]
    pub(super) fn end_waits_of(&self, worker: WorkerId) {
        if self.self_waits.end(worker) {
            self.set_away(worker, false);
        }
    }

    /// A job waits no more: frees its room, and its key's.
    #[inline]
    pub(super) fn leave_queue(&self, options: Option<&Options>, lane: Lane) {
        if self.leave_gate(options, lane) {
            self.drained();
        }
    }

    /// The same for a job that was not started.
    #[inline(never)]
    pub(super) fn leave_unrun(&self, options: Option<&Options>) {
        self.leave_queue(options, Lane::COMMON);
    }

    /// The last job of a closed pool started or ended: no worker needs to stay for more.
    #[cold]
    pub(super) fn drained(&self) {
        self.wake_all();
        // While a permit goes back, the gate is undrained for a moment, in which the last worker may have looked.
        self.end_errors();
    }
}
