//! Admits a job that has room: into the common intake, or into the intake of its key's desk.

use super::Core;
use crate::queue::envelope::Queued;
use crate::sync::panics::dispose;
use crate::wait::current;

impl<J: Send + 'static> Core<J> {
    #[inline]
    pub(crate) fn admit(&self, job: Queued<J>) {
        self.push(job);
        self.wake_for_work();
    }

    #[inline]
    pub(super) fn push(&self, job: Queued<J>) {
        if self.desks.len() == 1 {
            return self.intake.push(job);
        }
        self.push_to_one_of(job);
    }

    #[inline(never)]
    pub(super) fn push_to_one_of(&self, job: Queued<J>) {
        match &self.several {
            None => unreachable!("several desks have what they need"),
            Some(several) => (several.push)(self, job),
        }
    }

    pub(super) fn push_among_several(&self, job: Queued<J>) {
        if self.key_desks.asks() {
            return self.ask_and_push(job);
        }
        let home = self.key_desks.of(&job);
        self.push_home(home, job);
    }

    /// The closure runs between a ticket and its push, for which a shutdown waits. So it runs as if under a desk's
    /// lock, where anything it starts that could wait is refused or put off.
    #[inline(never)]
    pub(super) fn ask_and_push(&self, job: Queued<J>) {
        let _asking = current::as_in_desk();
        let home = self.key_desks.ask(&job).unwrap_or_else(|panic| {
            dispose(panic);
            self.desks[0].note_fault();
            self.key_desks.of(&job)
        });
        self.push_home(home, job);
    }

    pub(super) fn push_home(&self, home: Option<usize>, job: Queued<J>) {
        match home {
            Some(desk) => {
                // The common intake must know how many accepted jobs went elsewhere.
                self.intake.note_drawn(1);
                self.desks[desk].push_keyed(job);
            }
            None => self.intake.push(job),
        }
    }

    /// Pushes many jobs. No waker is called before all are in: a waker may run a job at once, and that job may shut the
    /// pool down, which waits for every job that has a ticket.
    pub(crate) fn admit_all(&self, bundles: impl Iterator<Item = Queued<J>>) {
        let mut pushed = 0;
        for mut bundle in bundles {
            pushed += 1 + bundle.others();
            if self.desks.len() > 1 && self.key_desks.asks() {
                // Each job's key may belong to another desk.
                while bundle.others() > 0 {
                    self.push(bundle.take_first(1));
                }
                self.push(bundle);
            } else {
                // The jobs of a group have no key.
                self.intake.push_bundle(bundle);
            }
        }
        // Once no sleeper is left to wake, or enough are awake, that holds for the rest: a searcher finds all of them.
        for _ in 0..pushed {
            if !self.wake_for_work() {
                break;
            }
        }
    }
}
