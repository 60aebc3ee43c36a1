//! A job gives its room back: when it is started, and when it ends without having run.

use super::Core;
use crate::gate::Lane;
use crate::id::WorkerId;
use crate::job::Options;
use crate::outcome::registry::Home;

impl<J: Send + 'static> Core<J> {
    /// A worker's job does not wait for its own pool any more.
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

    /// A job waits no more: its room is free, and its key's.
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

    /// The last job of a closed pool was started, or ended: nobody needs to stay for more.
    #[cold]
    pub(super) fn drained(&self) {
        self.wake_all();
        // A permit that goes back has the gate undrained for a moment, in which the last worker may have looked.
        self.end_errors();
    }
}
