//! Taking jobs off the desk, for its own workers or for those of other desks, and putting them back.

use super::backlog::Ask;
use super::{Desk, count_sooner, weight_of};
use crate::desk::inboxes::Row;
use crate::id::JobId;
use crate::keys::holders::Mark;
use crate::queue::block::has_unkeyed;
use crate::queue::envelope::Queued;
use std::collections::VecDeque;

impl<J: Send + 'static> Desk<J> {
    /// Releases the keys of the jobs that `worker` had taken, except those still in its hands.
    #[inline]
    pub(crate) fn release_keys(&mut self, worker: usize, in_hands: &dyn Fn(JobId) -> bool) {
        self.in_hand.release(worker, in_hands, &mut self.holders);
    }

    /// Takes the next job for `worker`, from its inbox or from the jobs that may go to any worker. `in_hands` tells
    /// which of the jobs it took before are not over.
    pub(crate) fn take(
        &mut self,
        worker: usize,
        in_hands: &dyn Fn(JobId) -> bool,
    ) -> Option<Queued<J>> {
        self.release_keys(worker, in_hands);
        let bound = self.inbox(worker).and_then(|inbox| inbox.marks().front());
        let bound = bound.map(|mark| mark.turn);
        let spare = self.spare.marks().front().map(|mark| mark.turn);
        let job = match (bound, spare) {
            _ if self.places[worker].retiring => self.take_own(worker),
            (Some(bound), Some(spare)) if spare < bound => self.take_spare(),
            (Some(_), _) => self.take_own(worker),
            (None, _) => self.take_spare(),
        };
        let place = &mut self.places[worker];
        place.busy = job.is_some();
        place.ahead = 0;
        if !self.strategy.late {
            place.taken_weight = job.as_ref().map_or(0, Queued::weight);
        }
        job
    }

    /// Takes the next job of a worker's inbox. Its key is held until the job is known to be over.
    #[inline(never)]
    pub(super) fn take_own(&mut self, worker: usize) -> Option<Queued<J>> {
        let (job, mark) = self.unbind(worker)?;
        if let Some(key) = mark.key {
            self.in_hand.push(worker, mark.id, key);
        }
        Some(job)
    }

    pub(crate) fn has_bound(&self, worker: usize) -> bool {
        self.inbox(worker).is_some_and(|inbox| !inbox.is_empty())
    }

    /// Returns how many jobs `take_many_bound` would find.
    pub(crate) fn count_bound(&self, worker: usize) -> usize {
        let inbox = self.inbox(worker);
        inbox.map_or(0, |inbox| count_sooner(inbox.marks(), self.spare.marks()))
    }

    /// Takes up to `most` further jobs of a worker's inbox, but none that left the backlog after a spare job.
    pub(crate) fn take_many_bound(
        &mut self,
        worker: usize,
        most: usize,
        out: &mut VecDeque<Queued<J>>,
    ) {
        let most = most.min(self.count_bound(worker));
        let Some(inbox) = self.inboxes.get_mut(worker) else {
            return;
        };
        let place = &mut self.places[worker];
        // When all jobs are taken, their weight is known: the worker reads the envelopes later, on its own core.
        let weight = if most == inbox.len() {
            place.queued_weight
        } else {
            weight_of(inbox.jobs(), most)
        };
        self.in_hand.take(worker, inbox.marks(), most);
        inbox.move_to(most, out);
        place.ahead += most;
        place.taken_weight += weight;
        place.queued_weight -= weight;
        self.count_inbox(worker);
    }

    /// Takes up to `most` further jobs that may go to any worker.
    pub(crate) fn take_many(&mut self, most: usize, out: &mut VecDeque<Queued<J>>) {
        let from_spare = most.min(self.spare.len());
        if from_spare > 0 {
            self.spare.move_to(from_spare, out);
        }
        if self.strategy.late {
            let before = out.len();
            self.ordered(Ask::PopMany(most - from_spare, out));
            self.note_popped(out, before);
        }
    }

    /// Puts back jobs that `worker` had taken ahead. They are next, and may go to any worker; if they were `bound` and
    /// the strategy keeps the jobs of a key together, it is asked again.
    #[inline(never)]
    pub(crate) fn put_back(&mut self, worker: usize, mut jobs: VecDeque<Queued<J>>, bound: bool) {
        self.places[worker].ahead = 0;
        if bound {
            let taken = &mut self.places[worker].taken_weight;
            *taken = taken.saturating_sub(weight_of(&jobs, jobs.len()));
        }
        let ask_again = bound && self.strategy.affinity.is_some();
        let to = if ask_again {
            &mut self.returned
        } else {
            &mut self.spare
        };
        while let Some(job) = jobs.pop_back() {
            let id = job.id();
            self.in_hand.take_back(worker, id, &mut self.holders);
            to.push_front(job, Mark::unkeyed(0, id));
        }
    }

    /// Takes the next job that may go to any worker.
    #[inline(never)]
    pub(crate) fn take_spare(&mut self) -> Option<Queued<J>> {
        match self.spare.pop() {
            None if self.strategy.late => self.pop(),
            spare => spare.map(|(job, _)| job),
        }
    }

    /// Takes an unbound job for the worker of another desk. Jobs with a key are excluded, because they stay with their
    /// desk while a worker is present. After `route`, jobs left in the backlog have no worker here to go to.
    #[inline(never)]
    pub(crate) fn take_unbound(&mut self) -> Option<Queued<J>> {
        let any = self.is_deserted();
        for waiting in [&mut self.spare, &mut self.returned] {
            let first = if any {
                waiting.pop().map(|(job, _)| job)
            } else if has_unkeyed(waiting.jobs()) {
                waiting.pop_first_unkeyed()
            } else {
                None
            };
            if first.is_some() {
                return first;
            }
        }
        while self.has_free(any) {
            let Some((job, turn)) = self.next_in_backlog() else {
                break;
            };
            if any || !job.stays_with_desk() {
                return Some(job);
            }
            // The job is not passed over: it is the next one here.
            let to = if self.strategy.late {
                &mut self.spare
            } else {
                &mut self.returned
            };
            let mark = Mark::unkeyed(turn, job.id());
            to.push(job, mark);
        }
        None
    }

    /// Returns whether `take_unbound` would find a job.
    #[inline(never)]
    pub(crate) fn has_spare(&mut self) -> bool {
        let any = self.is_deserted();
        let free = |waiting: &Row<J>| {
            let jobs = waiting.jobs();
            if any {
                !jobs.is_empty()
            } else {
                has_unkeyed(jobs)
            }
        };
        free(&self.spare) || free(&self.returned) || self.has_free(any)
    }

    /// Returns whether the backlog has a job for other desks.
    pub(super) fn has_free(&mut self, any: bool) -> bool {
        let keyed = if any { 0 } else { self.keyed };
        self.waiting > keyed
    }

    /// Returns whether `take` would find a job for `worker`, perhaps after `route`.
    pub(crate) fn has_work_for(&mut self, worker: usize) -> bool {
        if self.places[worker].retiring {
            return self.has_bound(worker);
        }
        let routable = self.strategy.late || self.room > 0;
        self.has_bound(worker) || !self.spare.is_empty() || routable && self.has_unbound()
    }

    pub(crate) fn has_unbound(&mut self) -> bool {
        !self.spare.is_empty() || !self.returned.is_empty() || self.waiting > 0
    }
}
