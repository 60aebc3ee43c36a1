//! Ends the jobs that wait in a closed pool.

use super::{Core, FRUITLESS_SWEEPS};
use crate::job::Job;
use crate::outcome::Ending;
use crate::outcome::registry::Home;
use crate::sync::atomic::Ordering::*;
use crate::sync::thread;
use crate::wait::signal::hold_wakes;

impl<J: Send + 'static> Core<J> {
    pub(crate) fn halt(&self) {
        self.halted.store(true, SeqCst);
        self.wake_all();
    }

    /// Takes every waiting job of a closed and halted pool out of the queue and ends it.
    ///
    /// Waits, without sleeping, for submitters between their ticket and their push. No waker is called before the end,
    /// and `keep` must not be foreign code: a shutdown waits until the gate is drained.
    #[inline(never)]
    pub(crate) fn sweep(&self, why: Ending, keep: &mut dyn FnMut(Job<J>)) {
        let _calls = hold_wakes();
        for round in 0_u64.. {
            if round == FRUITLESS_SWEEPS {
                // No submitter takes that long between a ticket and its push. An order must be hiding jobs.
                for desk in &self.desks {
                    desk.replace_order();
                }
            }
            for desk in &self.desks {
                for mut job in desk.sweep(&self.intake) {
                    let id = job.id();
                    let Some(claimed) = job.claim_unrun() else {
                        continue;
                    };
                    let options = claimed.job.share_options();
                    self.counts.unrun(why);
                    match claimed.slot {
                        Some(slot) => slot.cell.into_ending().end(slot.at, why),
                        None => self.errors.unrun(id, options.clone(), why),
                    }
                    self.over(id);
                    keep(claimed.job);
                    // Last: once the gate is drained, every swept job is accounted for and kept.
                    self.leave_unrun(options.as_deref());
                }
            }
            if self.gate.is_drained() {
                self.end_errors();
                return;
            }
            thread::yield_now();
        }
    }

    /// Ends the waiting jobs when nothing is left to run any. Returns them; drop them once no wakes are held back:
    /// their drop is foreign code, and may wait for a task that a held wake reaches.
    #[must_use]
    #[inline(never)]
    pub(crate) fn collapse(&self) -> Vec<Job<J>> {
        let _calls = hold_wakes();
        self.close();
        self.halt();
        let mut jobs = Vec::new();
        self.sweep(Ending::Abandoned, &mut |job| jobs.push(job));
        jobs
    }
}
