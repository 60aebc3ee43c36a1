//! What the engine does for parts that know its pool by number only: cancels, dropped envelopes, permits and handles.

use super::{Core, FEW_JOBS};
use crate::id::{JobId, WorkerId};
use crate::job::Options;
use crate::outcome::Ending;
use crate::outcome::registry::Home;
use crate::sync::atomic::Ordering::*;
use crate::time::timers::Timekeeper;
use crate::wait::current;
use crate::wait::self_waits::SelfWaits;
use std::sync::Arc;

impl<J: Send + 'static> Home for Core<J> {
    /// Called after something other than a worker made room. A worker checks for forgotten waiters as it falls asleep;
    /// if one sleeps already, or none is at work, this checks in its place.
    ///
    /// A worker first falls asleep and then checks, and here the room is made first. So one of the two finds both the
    /// room and the waiter.
    #[inline(never)]
    fn see_to_waiters(&self) {
        if self.gate.has_waiters() {
            let (mut asleep, mut at_work) = (false, 0);
            for desk in &self.desks {
                asleep |= desk.watched().1;
                at_work += desk.count_at_work();
            }
            if asleep || at_work == 0 {
                self.rest();
            }
        }
    }

    fn unrun(&self, options: Option<&Options>, why: Ending) {
        self.counts.unrun(why);
        self.leave_unrun(options);
        self.see_to_waiters();
    }

    fn unrun_without_handle(&self, id: JobId, options: Option<Arc<Options>>, why: Ending) {
        self.counts.unrun(why);
        self.errors.unrun(id, options.clone(), why);
        // Last: once the gate is drained, no more errors may come.
        self.leave_unrun(options.as_deref());
        self.see_to_waiters();
    }

    fn give_back(&self, held: u64) {
        if self.gate.give_back(held) {
            self.drained();
        }
        self.see_to_waiters();
    }

    fn over(&self, id: JobId) {
        self.joins.over(id);
    }

    fn left_tombstone(&self) {
        let mut met = 0;
        for desk in &self.desks {
            met += desk.take_met();
        }
        if self.common.left_tombstone(met) {
            for desk in &self.desks {
                let dropped = desk.drop_tombstones(&self.intake);
                self.tombstones.fetch_sub(dropped as isize, Relaxed);
            }
            // Jobs may have moved from the intake to a desk where sleepers would not see them.
            self.wake_for_work();
        }
    }

    /// Lets no more jobs in. Accepted jobs still run.
    fn close(&self) {
        let (first, drained) = self.gate.close();
        if first || drained {
            self.wake_all();
        }
    }

    fn has_queue(&self) -> bool {
        // Where jobs weigh more than one unit, units do not tell how many jobs wait; then count those no worker has
        // taken.
        let waiting = if self.gate.counts_jobs() {
            self.gate.waiting()
        } else {
            self.untaken_hint()
        };
        waiting > FEW_JOBS
    }

    fn self_waits(&self) -> &SelfWaits {
        &self.self_waits
    }

    fn time(&self) -> &Timekeeper {
        &self.time
    }

    fn set_away(&self, worker: WorkerId, away: bool) {
        if current::in_desk() {
            return self.put_off_absence(worker, away);
        }
        if self.desk(worker).set_away(worker.index(), away) {
            self.wake_for_work();
        }
    }

    fn has_in_hands(&self, worker: WorkerId, id: JobId) -> bool {
        self.seat(worker).has_detached(id)
    }

    fn catch_up(&self) {
        if self.is_over() || self.gate.is_closed() {
            self.wake_all();
        }
        if self.gate.waiting() > 0 {
            self.wake_for_work();
        }
    }
}
