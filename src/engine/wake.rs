//! Wakes workers for waiting jobs: desk/live/mod.rs has the protocol.

use super::Core;
use crate::desk::live::LiveDesk;
use crate::wait::current;

impl<J: Send + 'static> Core<J> {
    /// Makes sure that a worker comes for waiting jobs: see desk/live/mod.rs, "Push". Returns whether a sleeper had to
    /// be woken.
    #[inline]
    pub(crate) fn wake_for_work(&self) -> bool {
        match &*self.desks {
            [only] if !only.watched().1 => false,
            _ => self.wake_a_sleeper(),
        }
    }

    #[inline(never)]
    pub(super) fn wake_a_sleeper(&self) -> bool {
        if self.desks.len() > 1 {
            // Jobs that only a desk's own workers may take.
            for desk in &self.desks {
                if desk.is_overslept() {
                    self.wake_one_of(desk);
                }
            }
        }
        let mut searching = 0;
        let mut sleepy = None;
        for desk in &self.desks {
            let (searchers, sleepers) = desk.watched();
            searching += searchers;
            if sleepers && sleepy.is_none() {
                sleepy = Some(desk);
            }
        }
        let Some(desk) = sleepy else { return false };
        let enough = || {
            let each = self.usual.get().of_common();
            searching * u64::from(each) >= self.untaken_hint()
        };
        if searching > 0 && (self.dedicated || enough()) {
            return false;
        }
        self.wake_one_of(desk);
        true
    }

    #[inline(never)]
    pub(super) fn wake_one_of(&self, desk: &LiveDesk<J>) {
        if current::in_desk() {
            self.put_off_catching_up();
        } else {
            let siblings = self.desks.len() > 1;
            desk.wake_one(&self.intake, siblings);
        }
    }

    /// Lets every worker look at the state of the pool.
    #[inline(never)]
    pub(super) fn wake_all(&self) {
        self.roster.notify();
        if current::in_desk() {
            self.put_off_catching_up();
        } else {
            self.wake_all_sleepers();
        }
    }

    pub(super) fn wake_all_sleepers(&self) {
        for desk in &self.desks {
            desk.wake_all();
        }
    }

    /// About how many jobs no worker has taken.
    pub(super) fn untaken_hint(&self) -> u64 {
        let mut untaken = self.intake.about(self.gate.about_accepted());
        for desk in &self.desks {
            untaken += desk.backlog_hint();
        }
        untaken
    }

    /// About how many jobs a look at the desk would find.
    pub(crate) fn waiting_hint(&self, own: &LiveDesk<J>) -> u64 {
        self.intake.about(self.gate.about_accepted()) + own.backlog_hint()
    }
}
