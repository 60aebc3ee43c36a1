//! Sees to it that somebody comes for what waits: desk/live/mod.rs has the protocol.

use super::Core;
use crate::desk::live::Station;
use crate::wait::current;

impl<J: Send + 'static> Core<J> {
    /// Sees to it that somebody comes for what is waiting: see station.rs, "Push". Answers whether a sleeper of any
    /// desk had to be called.
    #[inline]
    pub(crate) fn rouse(&self) -> bool {
        match &*self.stations {
            [only] if !only.watched().1 => false,
            _ => self.rouse_sleepy(),
        }
    }

    #[inline(never)]
    pub(super) fn rouse_sleepy(&self) -> bool {
        if self.stations.len() > 1 {
            // What only a desk's own workers may do.
            for desk in &self.stations {
                if desk.is_overslept() {
                    self.call_one_of(desk);
                }
            }
        }
        let mut searching = 0;
        let mut sleepy = None;
        for station in &self.stations {
            let (searchers, sleepers) = station.watched();
            searching += searchers;
            if sleepers && sleepy.is_none() {
                sleepy = Some(station);
            }
        }
        let Some(station) = sleepy else { return false };
        let enough = || {
            let each = self.usual.get().of_common();
            searching * u64::from(each) >= self.untaken_hint()
        };
        if searching > 0 && (self.dedicated || enough()) {
            return false;
        }
        self.call_one_of(station);
        true
    }

    #[inline(never)]
    pub(super) fn call_one_of(&self, station: &Station<J>) {
        if current::in_desk() {
            self.put_off_catching_up();
        } else {
            let siblings = self.stations.len() > 1;
            station.call_one(&self.intake, siblings);
        }
    }

    /// Lets every worker look at the state of the pool.
    #[inline(never)]
    pub(super) fn call_all(&self) {
        self.roster.notify();
        if current::in_desk() {
            self.put_off_catching_up();
        } else {
            self.call_all_sleepers();
        }
    }

    pub(super) fn call_all_sleepers(&self) {
        for station in &self.stations {
            station.call_all();
        }
    }

    /// About how many jobs no worker has taken.
    pub(super) fn untaken_hint(&self) -> u64 {
        let mut untaken = self.intake.about(self.gate.about_accepted());
        for station in &self.stations {
            untaken += station.backlog_hint();
        }
        untaken
    }

    /// About how many jobs a look at the desk would find.
    pub(crate) fn waiting_hint(&self, own: &Station<J>) -> u64 {
        self.intake.about(self.gate.about_accepted()) + own.backlog_hint()
    }
}
