//! Routing: asks the strategy about the next jobs and sends them where it says.

use super::answer::{Answer, Taker};
use super::backlog::Ask;
use super::{Desk, Strategy};
use crate::desk::inboxes::Row;
use crate::dispatcher::{Affinity, All, Any, Dispatcher, Target, Workers};
use crate::keys::holders::{Mark, Slot};
use crate::queue::envelope::Queued;
use crate::sync::panics::{Contained, contain, dispose};
use std::collections::VecDeque;

impl<J: Send + 'static> Strategy<J> {
    /// Jobs go to the worker that asks: the default.
    pub(crate) fn any() -> Self {
        Strategy {
            dispatcher: Contained::new(Box::new(Any::new())),
            late: true,
            affinity: None,
            route: None,
        }
    }

    /// Runs foreign code: call outside the lock.
    #[inline(never)]
    pub(crate) fn new(dispatcher: Box<dyn Dispatcher<J>>) -> Self {
        let dispatcher = Contained::new(dispatcher);
        let late = dispatcher.late_binding();
        let affinity = if late { None } else { dispatcher.affinity() };
        Strategy {
            dispatcher,
            late,
            affinity,
            route: Some(Desk::route_all),
        }
    }

    pub(crate) fn affinity(&self) -> Option<Affinity<J>> {
        self.affinity.clone()
    }
}

impl<J: Send + 'static> Desk<J> {
    /// Routes the backlog's next jobs while an inbox has room. Returns the sleeping workers that got one; they are
    /// already off the list of sleepers.
    pub(crate) fn route(&mut self) -> Vec<usize> {
        let mut woken = Vec::new();
        self.route_with(&mut None, &mut woken);
        woken
    }

    /// Routes, and puts up to `most` jobs for `worker` directly into its tray, as if each passed through its inbox.
    /// Call after `take_many_bound`, so that jobs in the inbox go first.
    pub(crate) fn route_and_take(
        &mut self,
        worker: usize,
        most: usize,
        tray: &mut VecDeque<Queued<J>>,
        woken: &mut Vec<usize>,
    ) {
        let taker = Taker { worker, most, tray };
        self.route_with(&mut Some(taker), woken);
    }

    pub(super) fn route_with(&mut self, taker: &mut Option<Taker<'_, J>>, woken: &mut Vec<usize>) {
        match self.strategy.route {
            Some(route) if !self.strategy.late => route(self, taker, woken),
            _ => {}
        }
    }

    pub(super) fn route_all(&mut self, taker: &mut Option<Taker<'_, J>>, woken: &mut Vec<usize>) {
        while self.room > 0 && self.spare.is_empty() {
            if self.returned.is_empty() && self.route_many(taker, woken) {
                continue;
            }
            let Some((job, turn)) = self.next_to_route() else {
                break;
            };
            match self.ask_strategy(&job) {
                Some(answer) => self.send_to(answer, turn, job, taker, woken),
                None => self.met += 1, // a tombstone
            }
        }
    }

    /// Routes as many jobs as can be bound now, if their order is settled. They leave the backlog in one call, and each
    /// is moved only once more, to its destination. Returns whether there were any.
    pub(super) fn route_many(
        &mut self,
        taker: &mut Option<Taker<'_, J>>,
        woken: &mut Vec<usize>,
    ) -> bool {
        let wanted = taker.as_ref().map_or(0, Taker::wanted);
        let most = (self.room + wanted).min(self.waiting);
        if !self.arrival_order || most < 2 {
            return false;
        }
        let mut drawn = std::mem::take(&mut self.drawn);
        self.ordered(Ask::PopMany(most, &mut drawn));
        self.note_popped(&drawn, 0);
        let any = !drawn.is_empty();
        let mut turn = self.routed;
        self.routed += drawn.len() as u64;
        let mut sent = 0;
        for job in &mut drawn {
            if self.room == 0 || !self.spare.is_empty() {
                break;
            }
            let answer = self.ask_strategy(job);
            let job = job.take();
            sent += 1;
            turn += 1;
            match answer {
                Some(answer) => self.send_to(answer, turn, job, taker, woken),
                None => self.met += 1,
            }
        }
        if sent == drawn.len() {
            drawn.clear();
        }
        while let Some(job) = drawn.pop_front() {
            // Jobs already sent left an empty envelope.
            if sent > 0 {
                sent -= 1;
                continue;
            }
            turn += 1;
            let mark = Mark::unkeyed(turn, job.id());
            self.returned.push(job, mark);
        }
        self.drawn = drawn;
        any
    }

    #[inline(never)]
    pub(super) fn send_to(
        &mut self,
        answer: Answer,
        turn: u64,
        job: Queued<J>,
        taker: &mut Option<Taker<'_, J>>,
        woken: &mut Vec<usize>,
    ) {
        let key = answer.key();
        let Some(worker) = answer.worker().filter(|&worker| self.takes(worker, key)) else {
            let mark = Mark::unkeyed(turn, job.id());
            return self.spare.push(job, mark);
        };
        match taker {
            Some(taker) if taker.worker == worker && taker.wanted() > 0 => {
                debug_assert!(!self.has_bound(worker), "it comes first");
                self.hand(worker, key, &job);
                taker.tray.push_back(job);
            }
            _ => {
                self.bind(worker, turn, key, job);
                if self.wake(worker) {
                    woken.push(worker);
                }
            }
        }
    }

    /// Accounts for a job that goes to a worker's tray. Its key is held until the job is known to be over.
    pub(super) fn hand(&mut self, worker: usize, key: Option<Slot>, job: &Queued<J>) {
        if let Some(key) = key {
            self.holders.bind(key, worker);
            self.in_hand.push(worker, job.id(), key);
        }
        let place = &mut self.places[worker];
        place.ahead += 1;
        place.taken_weight += job.weight();
    }

    pub(super) fn next_to_route(&mut self) -> Option<(Queued<J>, u64)> {
        if let Some((job, mark)) = self.returned.pop() {
            return Some((job, mark.turn));
        }
        self.next_in_backlog()
    }

    pub(super) fn next_in_backlog(&mut self) -> Option<(Queued<J>, u64)> {
        let job = self.pop()?;
        self.routed += 1;
        Some((job, self.routed))
    }

    /// Asks the strategy where a job goes. `None` means a tombstone.
    #[inline]
    pub(super) fn ask_strategy(&mut self, job: &Queued<J>) -> Option<Answer> {
        let Strategy {
            dispatcher: strategy,
            affinity,
            ..
        } = &mut self.strategy;
        let (dispatcher, depth) = (self.dispatcher, self.depth);
        let (places, vitals) = (&self.places, &*self.vitals);
        let holders = &mut self.holders;
        let borrowed = job.borrow()?;
        let answer = contain(|| {
            let job = &*borrowed;
            let key = affinity.as_ref().and_then(|affinity| affinity.key_of(job));
            let key = key.map(|key| (key, holders.slot_of(key)));
            let all = All {
                dispatcher,
                places,
                vitals,
                depth,
                holders,
            };
            let worker = match strategy.dispatch(job, &Workers::new(&all, key)) {
                Target::Worker(id) if id.dispatcher() == dispatcher => Some(id.index()),
                _ => None,
            };
            Answer::new(worker, key.map(|(_, slot)| slot))
        });
        if !job.put_back(borrowed) {
            return None;
        }
        Some(answer.unwrap_or_else(|panic| {
            dispose(panic);
            self.faults += 1;
            Answer::new(None, None)
        }))
    }

    /// Routes after a job was taken: a job held back behind it may be for a sleeper.
    pub(crate) fn route_for_sleepers(&mut self) -> Vec<usize> {
        if self.asleep.is_empty() {
            return Vec::new();
        }
        self.route()
    }

    /// Returns whether the worker that a strategy named can take the job. A retiring worker takes only jobs of a key
    /// that it still holds.
    pub(super) fn takes(&self, worker: usize, key: Option<Slot>) -> bool {
        let holds = || key.and_then(|key| self.holders.holder(key)) == Some(worker);
        self.places
            .get(worker)
            .is_some_and(|place| place.present && (!place.retiring || holds()))
    }

    #[inline(always)]
    pub(super) fn bind(&mut self, worker: usize, turn: u64, key: Option<Slot>, job: Queued<J>) {
        if let Some(key) = key {
            self.holders.bind(key, worker);
        }
        self.room -= usize::from(self.room_of(worker) > 0);
        let place = &mut self.places[worker];
        place.queued_weight += job.weight();
        place.queued += 1;
        if self.inboxes.is_empty() {
            let workers = self.places.len();
            for _ in 0..workers {
                self.inboxes.push(Row::default());
            }
        }
        let id = job.id();
        self.inboxes[worker].push(job, Mark { turn, id, key });
    }

    /// Takes the next job out of a worker's inbox. Its key stays held.
    pub(super) fn unbind(&mut self, worker: usize) -> Option<(Queued<J>, Mark)> {
        let (job, mark) = self.inboxes.get_mut(worker)?.pop()?;
        self.places[worker].queued_weight -= job.weight();
        self.count_inbox(worker);
        Some((job, mark))
    }

    pub(super) fn inbox(&self, worker: usize) -> Option<&Row<J>> {
        self.inboxes.get(worker)
    }

    /// Recounts after a change of an inbox, or of whether its worker takes jobs.
    pub(super) fn count_inbox(&mut self, worker: usize) {
        let before = self.room_of(worker);
        self.places[worker].queued = self.inbox(worker).map_or(0, Row::len);
        self.room = self.room + self.room_of(worker) - before;
    }

    pub(super) fn room_of(&self, worker: usize) -> usize {
        let place = &self.places[worker];
        if place.present && !place.retiring {
            self.depth.saturating_sub(place.queued)
        } else {
            0
        }
    }
}
