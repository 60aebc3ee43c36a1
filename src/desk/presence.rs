//! Which workers are present, and which of them sleep. When a worker leaves, its bound jobs go back, in order.

use super::{Desk, weight_of};
use crate::desk::inboxes::Row;
use crate::id::JobId;
#[cfg(any(test, feature = "testing"))]
use crate::keys::holders::Mark;

impl<J: Send + 'static> Desk<J> {
    /// Sets whether the worker can take jobs. If not, its bound jobs go to spare, in order and before what is not
    /// routed yet; jobs whose key stays with one worker are routed again by the strategy.
    pub(crate) fn set_present(&mut self, worker: usize, present: bool) {
        self.places[worker].hired = present;
        self.places[worker].seen = true;
        self.see_who_is_present(worker);
    }

    pub(crate) fn is_present(&self, worker: usize) -> bool {
        self.places[worker].present
    }

    /// The worker will be back in a moment, so it is worth waiting for.
    pub(crate) fn expect(&mut self, worker: usize) {
        self.places[worker].seen = false;
    }

    /// The worker's job waits for this very pool, so the worker takes no jobs; or the job goes on.
    pub(crate) fn set_away(&mut self, worker: usize, away: bool) {
        self.places[worker].away = away;
        // A worker that waits is not worth waiting for.
        self.places[worker].seen |= away;
        self.see_who_is_present(worker);
    }

    #[inline(never)]
    pub(super) fn see_who_is_present(&mut self, worker: usize) {
        let place = &self.places[worker];
        let present = place.hired && !place.away;
        if place.present == present {
            return;
        }
        self.room -= self.room_of(worker);
        self.places[worker].present = present;
        self.holders.begin_era();
        self.room += self.room_of(worker);
        if !present {
            let all = self.take_inbox(worker);
            self.give_back(all);
        }
    }

    /// Returns whether no worker here can take jobs. Then workers of other desks may take jobs with a key, too:
    /// otherwise a job that waits for one of them, on the last worker of its desk, would wait for ever.
    pub(crate) fn is_deserted(&self) -> bool {
        self.places.iter().all(|place| place.seen && !place.present)
    }

    /// The worker finishes what it runs and gets nothing more, except waiting jobs of a key that it is running.
    #[cfg(any(test, feature = "testing"))]
    #[inline(never)]
    pub(crate) fn retire(&mut self, worker: usize) {
        self.room -= self.room_of(worker);
        self.places[worker].retiring = true;
        self.holders.begin_era();
        let running = self.in_hand.keys_of(worker);
        let Some(inbox) = self.inboxes.get_mut(worker) else {
            return;
        };
        let free = |mark: Mark| mark.key.is_none_or(|key| !running.contains(&key));
        let out = inbox.take_out(|_, mark| free(mark));
        self.left_inbox(worker, &out);
        self.give_back(out);
    }

    /// Jobs taken out of an inbox are routed again or may go to any worker.
    #[inline(never)]
    pub(super) fn give_back(&mut self, mut back: Row<J>) {
        back.forget_keys();
        // Behind jobs that left the backlog earlier.
        if self.strategy.affinity.is_some() {
            self.returned.merge(back);
        } else {
            self.spare.merge(back);
        }
    }

    pub(super) fn take_inbox(&mut self, worker: usize) -> Row<J> {
        let Some(inbox) = self.inboxes.get_mut(worker) else {
            return Row::default();
        };
        let all = std::mem::take(inbox);
        self.left_inbox(worker, &all);
        all
    }

    /// Accounts for jobs taken out of the worker's inbox, and releases their keys.
    #[inline(never)]
    pub(super) fn left_inbox(&mut self, worker: usize, out: &Row<J>) {
        self.places[worker].queued_weight -= weight_of(out.jobs(), out.len());
        self.holders.release_all(out.marks());
        self.count_inbox(worker);
    }

    pub(crate) fn set_busy(&mut self, worker: usize, busy: bool) {
        self.places[worker].busy = busy;
    }

    pub(crate) fn set_idle(&mut self, worker: usize, in_hands: &dyn Fn(JobId) -> bool) {
        self.release_keys(worker, in_hands);
        self.places[worker].busy = false;
        self.places[worker].ahead = 0;
        self.places[worker].idle_since = self.idle_events;
        self.idle_events += 1;
    }

    pub(crate) fn fall_asleep(&mut self, worker: usize) {
        debug_assert!(self.bed[worker].is_none());
        self.bed[worker] = Some(self.asleep.len() as u32);
        self.asleep.push(worker);
    }

    /// Takes `worker` off the sleepers. Returns whether it was one.
    pub(crate) fn wake(&mut self, worker: usize) -> bool {
        let Some(at) = self.bed[worker].take() else {
            return false;
        };
        self.asleep.swap_remove(at as usize);
        if let Some(&moved) = self.asleep.get(at as usize) {
            self.bed[moved] = Some(at);
        }
        true
    }

    /// Takes one worker off the sleepers.
    pub(crate) fn wake_one(&mut self) -> Option<usize> {
        let worker = self.asleep.pop()?;
        self.bed[worker] = None;
        Some(worker)
    }

    #[cfg(feature = "sim")]
    pub(crate) fn sleepers(&self) -> usize {
        self.asleep.len()
    }

    pub(crate) fn is_asleep(&self, worker: usize) -> bool {
        self.bed[worker].is_some()
    }
}
