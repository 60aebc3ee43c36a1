//! A dispatcher at work: its backlog, its strategy, its workers' inboxes, and who of them sleeps.
//!
//! A plain state machine, without threads, clocks, wakers or locks: station.rs puts one behind a lock
//! for the live pool. Dispatching is a role, not a thread: whoever holds the desk moves jobs along.
//!
//! A job is in one of three places: in the *backlog*, whose order decides when it is next; in
//! *spare*, when it is next and may go to anyone (the strategy said `Any`, or its worker was lost);
//! or in one worker's *inbox*, bound to it.
//!
//! While something is spare, nothing is routed: what waits behind it stays in the backlog, where the
//! order still decides. And a worker takes whichever left the backlog first, from its inbox or from
//! spare; so bound jobs and unbound ones never pass each other by.
//!
//! When a worker is lost, what was bound to it goes to spare; but where a strategy keeps the jobs of a key
//! together, it is asked again about each of them (*returned*), before anything in the backlog.

pub(crate) mod appetite;
pub(crate) mod inboxes;
pub(crate) mod loaded;
pub(crate) mod seat;
pub(crate) mod station;

use crate::desk::inboxes::Bound;
use crate::dispatcher::{Affinity, All, Any, Dispatcher, Place, Target, Vitals, Workers};
use crate::id::JobId;
use crate::keys::holders::{Holders, Mark, Slot};
use crate::queue::block::has_unkeyed;
use crate::queue::envelope::Queued;
use crate::queue_order::{Fifo, QueueOrder};
use crate::sync::panics::{Contained, contain, dispose};
use std::collections::VecDeque;
use std::sync::Arc;

/// How many jobs may be bound to a worker ahead of its asking. Bound jobs cannot go elsewhere, so
/// few; fewer than four and workers wait for the desk between tiny jobs.
pub(crate) const INBOX_DEPTH: usize = 4;
/// As good as unbounded, and their sum over all workers fits a word.
pub(crate) const MAX_INBOX_DEPTH: usize = u32::MAX as usize;

pub(crate) struct Desk<J> {
    dispatcher: usize,
    order: Contained<Box<dyn QueueOrder<J>>>,
    strategy: Strategy<J>,
    /// The order only ever gives the job that came first. Asked once.
    arrival_order: bool,
    spare: Bound<J>,
    /// Jobs that were bound to a worker that is lost, for the strategy to bind again; and others that left
    /// the backlog and are next.
    returned: Bound<J>,
    /// Empty, and kept for its buffer.
    drawn: VecDeque<Queued<J>>,
    places: Vec<Place>,
    vitals: Arc<[Vitals]>,
    /// One for each worker, or none as long as nothing was ever bound.
    inboxes: Vec<Bound<J>>,
    depth: usize,
    /// How many jobs are in the backlog, by the order's own account after it was last called.
    waiting: usize,
    /// How many jobs are in the backlog whose key belongs to this desk of several. Below the truth if an
    /// order forgets what it was given.
    keyed: usize,
    /// Empty without affinity.
    holders: Holders,
    in_hand: InHand,
    /// Jobs that have left the backlog to be routed.
    routed: u64,
    /// How many jobs the inboxes of present workers take up to the depth.
    room: usize,
    /// Sleeping workers; the last one to lie down is woken first, its caches being warmest.
    asleep: Vec<usize>,
    /// For each worker, where in `asleep` it is.
    bed: Vec<Option<u32>>,
    /// Counts the events of workers going idle.
    idle_events: u64,
    /// Contained panics and broken contracts, until somebody collects the count.
    pub(crate) faults: u64,
    /// Tombstones that were met and dropped, until then.
    pub(crate) met: usize,
}

/// A strategy, and what it was asked once, where a panic hurts nobody: it is foreign code.
pub(crate) struct Strategy<J> {
    dispatcher: Contained<Box<dyn Dispatcher<J>>>,
    /// It only ever says `Any`, so jobs go straight from the backlog to who asks.
    late: bool,
    /// Which jobs it keeps together.
    affinity: Option<Affinity<J>>,
    /// How it is asked about what waits. Reached from here alone, so that nobody has to compile it whose pools have no
    /// strategy of this kind.
    route: Option<Route<J>>,
}

type Route<J> = fn(&mut Desk<J>, &mut Option<Taker<'_, J>>, &mut Vec<usize>);

impl<J: Send + 'static> Strategy<J> {
    /// Jobs go to whoever asks: the default.
    pub(crate) fn any() -> Self {
        Strategy {
            dispatcher: Contained::new(Box::new(Any::new())),
            late: true,
            affinity: None,
            route: None,
        }
    }

    /// Not under a lock.
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

/// For each worker, the keys of the jobs that it took and that are not known to be over. Without affinity, there is nothing
/// here, not even workers.
///
/// (By itself, since what does not depend on the type of jobs should not be compiled for each.)
#[derive(Default)]
struct InHand(Vec<Vec<(JobId, Slot)>>);

impl InHand {
    fn make_room(&mut self, workers: usize) {
        self.0.resize_with(workers, Vec::new);
    }

    #[inline]
    fn push(&mut self, worker: usize, id: JobId, key: Slot) {
        self.0[worker].push((id, key));
    }

    /// What `worker` had taken is over, but for what it has in its hands still.
    #[inline]
    fn release(&mut self, worker: usize, in_hands: &dyn Fn(JobId) -> bool, holders: &mut Holders) {
        if !self.0.is_empty() {
            self.release_all_but(worker, in_hands, holders);
        }
    }

    fn release_all_but(
        &mut self,
        worker: usize,
        in_hands: &dyn Fn(JobId) -> bool,
        holders: &mut Holders,
    ) {
        self.0[worker].retain(|&(job, key)| {
            let keep = in_hands(job);
            if !keep {
                holders.release(key);
            }
            keep
        });
    }

    /// The worker gives one back.
    fn take_back(&mut self, worker: usize, job: JobId, holders: &mut Holders) {
        let Some(in_hand) = self.0.get_mut(worker) else {
            return;
        };
        if let Some(at) = in_hand.iter().position(|&(id, _)| id == job) {
            let (_, key) = in_hand.swap_remove(at);
            holders.release(key);
        }
    }

    /// The worker takes the first `count`, whose keys are held until they are known to be over.
    #[inline]
    fn take(&mut self, worker: usize, marks: &VecDeque<Mark>, count: usize) {
        if !self.0.is_empty() {
            self.take_marked(worker, marks, count);
        }
    }

    fn take_marked(&mut self, worker: usize, marks: &VecDeque<Mark>, count: usize) {
        let keyed = marks.iter().take(count);
        self.0[worker].extend(keyed.filter_map(|mark| Some((mark.id, mark.key?))));
    }

    #[cfg(any(test, feature = "testing"))]
    fn keys_of(&self, worker: usize) -> Vec<Slot> {
        let in_hand = self.0.get(worker).into_iter().flatten();
        in_hand.map(|&(_, key)| key).collect()
    }
}

/// What a strategy said of a job: the worker in the upper half, and the key's slot if the strategy keeps the key's jobs
/// together; all bits of a half for none. One word, since what is written by parts and read as a whole makes a
/// processor wait, and this is handed on under the lock that all workers want.
#[derive(Clone, Copy)]
struct Answer(u64);

impl Answer {
    const NONE: u32 = u32::MAX;

    #[inline]
    fn new(worker: Option<usize>, key: Option<Slot>) -> Self {
        let worker = worker.map_or(Self::NONE, |worker| worker as u32);
        let key = key.map_or(Self::NONE, Slot::number);
        Answer(u64::from(worker) << 32 | u64::from(key))
    }

    #[inline]
    fn worker(self) -> Option<usize> {
        let worker = (self.0 >> 32) as u32;
        (worker != Self::NONE).then_some(worker as usize)
    }

    #[inline]
    fn key(self) -> Option<Slot> {
        let key = self.0 as u32;
        (key != Self::NONE).then(|| Slot::of_number(key))
    }
}

/// What an order is asked to do.
enum Ask<'a, J> {
    #[cfg(any(test, feature = "sim", feature = "testing"))]
    Push(&'a mut Option<Queued<J>>),
    Pop(&'a mut Option<Queued<J>>),
    PopMany(usize, &'a mut VecDeque<Queued<J>>),
    Append(&'a mut VecDeque<Queued<J>>),
    Retain(&'a mut dyn FnMut(&Queued<J>) -> bool),
}

/// A worker that takes jobs while they are routed.
struct Taker<'a, J> {
    worker: usize,
    most: usize,
    tray: &'a mut VecDeque<Queued<J>>,
}

impl<J> Taker<'_, J> {
    /// So many more.
    fn wanted(&self) -> usize {
        self.most.saturating_sub(self.tray.len())
    }
}

impl<J: Send + 'static> Desk<J> {
    #[cfg(any(test, feature = "sim", feature = "testing"))]
    pub(crate) fn new(
        dispatcher: usize,
        order: Box<dyn QueueOrder<J>>,
        strategy: Box<dyn Dispatcher<J>>,
        workers: usize,
        depth: usize,
    ) -> Self {
        let strategy = Strategy::new(strategy);
        Desk::with_strategy(dispatcher, order, strategy, workers, depth)
    }

    #[inline(never)]
    pub(crate) fn with_strategy(
        dispatcher: usize,
        order: Box<dyn QueueOrder<J>>,
        strategy: Strategy<J>,
        workers: usize,
        depth: usize,
    ) -> Self {
        let arrival_order = order.in_arrival_order();
        let mut desk = Desk {
            dispatcher,
            order: Contained::new(order),
            strategy,
            arrival_order,
            spare: Bound::default(),
            returned: Bound::default(),
            drawn: VecDeque::new(),
            places: places(workers),
            vitals: Vitals::of(workers),
            inboxes: Vec::new(),
            depth,
            waiting: 0,
            keyed: 0,
            holders: Holders::default(),
            in_hand: InHand::default(),
            routed: 0,
            room: 0,
            asleep: Vec::new(),
            bed: no_beds(workers),
            idle_events: 0,
            faults: 0,
            met: 0,
        };
        desk.make_hands();
        desk
    }

    /// Whether jobs may stay in the intake until a worker has nothing else: nobody needs to see them
    /// all to say which is next, or where it goes.
    pub(crate) fn may_leave_in_intake(&self) -> bool {
        self.strategy.late && self.arrival_order
    }

    pub(crate) fn in_arrival_order(&self) -> bool {
        self.arrival_order
    }

    /// How many jobs can be bound now.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// Whether somebody has to ask the strategy before a worker can take.
    pub(crate) fn routes(&self) -> bool {
        !self.strategy.late
    }

    pub(crate) fn affinity(&self) -> Option<Affinity<J>> {
        self.strategy.affinity()
    }

    #[cfg(any(test, feature = "sim", feature = "testing"))]
    pub(crate) fn push(&mut self, job: Queued<J>) {
        self.keyed += usize::from(job.stays_with_desk());
        let mut job = Some(job);
        self.ordered(Ask::Push(&mut job));
    }

    /// What each worker writes for strategies to read.
    pub(crate) fn vitals(&self) -> Arc<[Vitals]> {
        self.vitals.clone()
    }

    /// Puts another strategy in the place of the one there is, which is answered, to be dropped elsewhere.
    /// What is bound stays so, and what waits is the new one's.
    #[inline(never)]
    pub(crate) fn set_strategy(&mut self, strategy: Strategy<J>) -> Strategy<J> {
        let old = std::mem::replace(&mut self.strategy, strategy);
        self.holders.begin_era();
        if self.strategy.affinity.is_none() {
            // Nobody would see to them again.
            self.holders = Holders::default();
            self.in_hand = InHand::default();
            for inbox in &mut self.inboxes {
                inbox.forget_keys();
            }
        }
        self.make_hands();
        if self.strategy.late {
            // Nobody would ask it.
            self.returned.append_to(&mut self.spare);
        }
        old
    }

    fn make_hands(&mut self) {
        if self.strategy.affinity.is_some() {
            self.in_hand.make_room(self.places.len());
        }
    }

    /// What `worker` had taken is over, but for what it has in its hands still.
    #[inline]
    pub(crate) fn release_keys(&mut self, worker: usize, in_hands: &dyn Fn(JobId) -> bool) {
        self.in_hand.release(worker, in_hands, &mut self.holders);
    }

    /// Takes the next job for `worker`: from its inbox, or one that may go to anyone. `in_hands` tells
    /// which of those that it took before are not over.
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

    /// Takes the next job of a worker's inbox. Its key is held until it is known to be over.
    #[inline(never)]
    fn take_own(&mut self, worker: usize) -> Option<Queued<J>> {
        let (job, mark) = self.unbind(worker)?;
        if let Some(key) = mark.key {
            self.in_hand.push(worker, mark.id, key);
        }
        Some(job)
    }

    /// Whether something waits in the worker's inbox.
    pub(crate) fn has_bound(&self, worker: usize) -> bool {
        self.inbox(worker).is_some_and(|inbox| !inbox.is_empty())
    }

    /// How many jobs `take_many_bound` would find.
    pub(crate) fn count_bound(&self, worker: usize) -> usize {
        let inbox = self.inbox(worker);
        inbox.map_or(0, |inbox| count_sooner(inbox.marks(), self.spare.marks()))
    }

    /// Takes up to `most` further jobs of a worker's inbox: none that left the backlog behind one that may
    /// go to anyone.
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
        // All of them together are not looked at: their worker will, on its own core.
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

    #[inline(never)]
    pub(crate) fn append(&mut self, jobs: &mut VecDeque<Queued<J>>) {
        self.keyed += count_keyed(jobs, 0);
        if !self.ordered(Ask::Append(jobs)) {
            // It broke on the way; its replacement takes the rest.
            self.ordered(Ask::Append(jobs));
        }
    }

    /// How many wait that may go to anyone, or are yet to be routed.
    pub(crate) fn backlog(&self) -> usize {
        self.spare.len() + self.returned.len() + self.waiting
    }

    /// Takes up to `most` further jobs that may go to anyone.
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

    /// Takes jobs back that `worker` had taken ahead: they are next, and may go to anyone, or to whom the
    /// strategy says if they were `bound` and it keeps the jobs of a key together.
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

    /// Takes the next job that may go to anyone.
    #[inline(never)]
    pub(crate) fn take_spare(&mut self) -> Option<Queued<J>> {
        match self.spare.pop() {
            None if self.strategy.late => self.pop(),
            spare => spare.map(|(job, _)| job),
        }
    }

    /// Takes a job that is not bound, for the worker of another desk: none of a key, since a key's jobs
    /// stay with their desk while anybody is there. After a `route`, what is left in the backlog has no
    /// worker here to go to.
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
            // Not passed by: it is the next one here.
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

    /// Whether `take_unbound` would find something.
    #[inline(never)]
    pub(crate) fn has_spare(&mut self) -> bool {
        let any = self.is_deserted();
        let free = |waiting: &Bound<J>| {
            let jobs = waiting.jobs();
            if any {
                !jobs.is_empty()
            } else {
                has_unkeyed(jobs)
            }
        };
        free(&self.spare) || free(&self.returned) || self.has_free(any)
    }

    /// Whether the backlog has a job for other desks.
    fn has_free(&mut self, any: bool) -> bool {
        let keyed = if any { 0 } else { self.keyed };
        self.waiting > keyed
    }

    /// Whether `take` would find something for `worker`, perhaps after a `route`.
    pub(crate) fn has_work_for(&mut self, worker: usize) -> bool {
        if self.places[worker].retiring {
            return self.has_bound(worker);
        }
        let routable = self.strategy.late || self.room > 0;
        self.has_bound(worker) || !self.spare.is_empty() || routable && self.has_unbound()
    }

    /// Whether there is a job that is not bound to a worker.
    pub(crate) fn has_unbound(&mut self) -> bool {
        !self.spare.is_empty() || !self.returned.is_empty() || self.waiting > 0
    }

    /// Asks the strategy about the backlog's next jobs while some inbox has room. Answers with the
    /// sleeping workers that got one; they count as called.
    pub(crate) fn route(&mut self) -> Vec<usize> {
        let mut called = Vec::new();
        self.route_with(&mut None, &mut called);
        called
    }

    /// The same for a worker that takes what the strategy gives it at once, up to `most` jobs in its tray, as if each
    /// came by way of its inbox. After `take_many_bound`, so that what is in its inbox goes there first.
    pub(crate) fn route_and_take(
        &mut self,
        worker: usize,
        most: usize,
        tray: &mut VecDeque<Queued<J>>,
        called: &mut Vec<usize>,
    ) {
        let taker = Taker { worker, most, tray };
        self.route_with(&mut Some(taker), called);
    }

    fn route_with(&mut self, taker: &mut Option<Taker<'_, J>>, called: &mut Vec<usize>) {
        match self.strategy.route {
            Some(route) if !self.strategy.late => route(self, taker, called),
            _ => {}
        }
    }

    fn route_all(&mut self, taker: &mut Option<Taker<'_, J>>, called: &mut Vec<usize>) {
        while self.room > 0 && self.spare.is_empty() {
            if self.returned.is_empty() && self.route_many(taker, called) {
                continue;
            }
            let Some((job, turn)) = self.next_to_route() else {
                break;
            };
            match self.ask_strategy(&job) {
                Some(answer) => self.send_to(answer, turn, job, taker, called),
                None => self.met += 1, // a tombstone
            }
        }
    }

    /// The same for as many as can be bound now, if their order is settled: they leave the backlog by one call, and
    /// each is moved once more, to where it goes. Answers whether there were any.
    fn route_many(&mut self, taker: &mut Option<Taker<'_, J>>, called: &mut Vec<usize>) -> bool {
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
                Some(answer) => self.send_to(answer, turn, job, taker, called),
                None => self.met += 1,
            }
        }
        if sent == drawn.len() {
            drawn.clear();
        }
        while let Some(job) = drawn.pop_front() {
            // Those that were sent left an empty envelope.
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

    /// Sends a job where the strategy said.
    #[inline(never)]
    fn send_to(
        &mut self,
        answer: Answer,
        turn: u64,
        job: Queued<J>,
        taker: &mut Option<Taker<'_, J>>,
        called: &mut Vec<usize>,
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
                if self.rouse(worker) {
                    called.push(worker);
                }
            }
        }
    }

    /// A job goes to a worker's tray, and its key is held until it is known to be over.
    fn hand(&mut self, worker: usize, key: Option<Slot>, job: &Queued<J>) {
        if let Some(key) = key {
            self.holders.bind(key, worker);
            self.in_hand.push(worker, job.id(), key);
        }
        let place = &mut self.places[worker];
        place.ahead += 1;
        place.taken_weight += job.weight();
    }

    /// And its turn.
    fn next_to_route(&mut self) -> Option<(Queued<J>, u64)> {
        if let Some((job, mark)) = self.returned.pop() {
            return Some((job, mark.turn));
        }
        self.next_in_backlog()
    }

    fn next_in_backlog(&mut self) -> Option<(Queued<J>, u64)> {
        let job = self.pop()?;
        self.routed += 1;
        Some((job, self.routed))
    }

    /// Where a job goes. `None`: a tombstone.
    #[inline]
    fn ask_strategy(&mut self, job: &Queued<J>) -> Option<Answer> {
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

    /// After a job was taken: what was kept back behind it may be for somebody who sleeps.
    pub(crate) fn route_for_sleepers(&mut self) -> Vec<usize> {
        if self.asleep.is_empty() {
            return Vec::new();
        }
        self.route()
    }

    /// Whether the worker that a strategy named can take the job. One that retires takes jobs of a key that
    /// it still holds, and no others.
    fn takes(&self, worker: usize, key: Option<Slot>) -> bool {
        let holds = || key.and_then(|key| self.holders.holder(key)) == Some(worker);
        self.places
            .get(worker)
            .is_some_and(|place| place.present && (!place.retiring || holds()))
    }

    #[inline(always)]
    fn bind(&mut self, worker: usize, turn: u64, key: Option<Slot>, job: Queued<J>) {
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
                self.inboxes.push(Bound::default());
            }
        }
        let id = job.id();
        self.inboxes[worker].push(job, Mark { turn, id, key });
    }

    /// The key of what it answers is still held.
    fn unbind(&mut self, worker: usize) -> Option<(Queued<J>, Mark)> {
        let (job, mark) = self.inboxes.get_mut(worker)?.pop()?;
        self.places[worker].queued_weight -= job.weight();
        self.count_inbox(worker);
        Some((job, mark))
    }

    fn inbox(&self, worker: usize) -> Option<&Bound<J>> {
        self.inboxes.get(worker)
    }

    /// After a change of an inbox, or of whether its worker takes jobs.
    fn count_inbox(&mut self, worker: usize) {
        let before = self.room_of(worker);
        self.places[worker].queued = self.inbox(worker).map_or(0, Bound::len);
        self.room = self.room + self.room_of(worker) - before;
    }

    fn room_of(&self, worker: usize) -> usize {
        let place = &self.places[worker];
        if place.present && !place.retiring {
            self.depth.saturating_sub(place.queued)
        } else {
            0
        }
    }

    // ---- who is here, who sleeps ------------------------------------------------------------

    /// The worker can take jobs now, or cannot. What waits for one that cannot goes to anyone, before
    /// what is not routed yet, in order; or, if its key is to stay with one worker, to whom the strategy
    /// says.
    pub(crate) fn set_present(&mut self, worker: usize, present: bool) {
        self.places[worker].hired = present;
        self.places[worker].seen = true;
        self.see_who_is_present(worker);
    }

    pub(crate) fn is_present(&self, worker: usize) -> bool {
        self.places[worker].present
    }

    /// The worker is gone for a moment only: it is worth waiting for.
    pub(crate) fn expect(&mut self, worker: usize) {
        self.places[worker].seen = false;
    }

    /// The worker's job waits for this very pool, so it takes none, or it goes on.
    pub(crate) fn set_away(&mut self, worker: usize, away: bool) {
        self.places[worker].away = away;
        // Who waits is not worth waiting for.
        self.places[worker].seen |= away;
        self.see_who_is_present(worker);
    }

    #[inline(never)]
    fn see_who_is_present(&mut self, worker: usize) {
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

    /// Whether nobody here can take jobs. Then those with a key are for the workers of other desks, too: else
    /// a job that waits for one of them, on the last worker of its desk, would wait for ever.
    pub(crate) fn is_deserted(&self) -> bool {
        self.places.iter().all(|place| place.seen && !place.present)
    }

    /// Nothing more for this worker, which finishes what it runs; but what waits of a key that it is
    /// running stays with it.
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

    /// What was taken out of an inbox is to be routed again or to go to anyone.
    #[inline(never)]
    fn give_back(&mut self, mut back: Bound<J>) {
        back.forget_keys();
        // Behind what left the backlog sooner.
        if self.strategy.affinity.is_some() {
            self.returned.merge(back);
        } else {
            self.spare.merge(back);
        }
    }

    fn take_inbox(&mut self, worker: usize) -> Bound<J> {
        let Some(inbox) = self.inboxes.get_mut(worker) else {
            return Bound::default();
        };
        let all = std::mem::take(inbox);
        self.left_inbox(worker, &all);
        all
    }

    /// These are not in the worker's inbox any more, and their keys are not held for them.
    #[inline(never)]
    fn left_inbox(&mut self, worker: usize, out: &Bound<J>) {
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

    pub(crate) fn lie_down(&mut self, worker: usize) {
        debug_assert!(self.bed[worker].is_none());
        self.bed[worker] = Some(self.asleep.len() as u32);
        self.asleep.push(worker);
    }

    /// Takes `worker` off the sleepers. Answers whether it was one.
    pub(crate) fn rouse(&mut self, worker: usize) -> bool {
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
    pub(crate) fn rouse_one(&mut self) -> Option<usize> {
        let worker = self.asleep.pop()?;
        self.bed[worker] = None;
        Some(worker)
    }

    /// How many sleep.
    #[cfg(feature = "sim")]
    pub(crate) fn sleepers(&self) -> usize {
        self.asleep.len()
    }

    pub(crate) fn is_asleep(&self, worker: usize) -> bool {
        self.bed[worker].is_some()
    }

    // ---- everything at once -----------------------------------------------------------------

    /// Takes out all that waits here, in the order in which it would have been started.
    #[inline(never)]
    pub(crate) fn sweep(&mut self, swept: &mut Vec<Queued<J>>) {
        let mut bound = Bound::default();
        for worker in 0..self.inboxes.len() {
            bound.merge(self.take_inbox(worker));
        }
        let mut routed = std::mem::take(&mut self.spare);
        routed.merge(std::mem::take(&mut self.returned));
        routed.merge(bound);
        while let Some((job, _)) = routed.pop() {
            swept.push(job);
        }
        while let Some(job) = self.pop() {
            swept.push(job);
        }
    }

    /// Shows all that waits here.
    #[inline(never)]
    pub(crate) fn visit(&mut self, visit: &mut dyn FnMut(&Queued<J>)) {
        for waiting in self.inboxes.iter().chain([&self.spare, &self.returned]) {
            for job in waiting.jobs() {
                visit(job);
            }
        }
        self.ordered(Ask::Retain(&mut |job| {
            visit(job);
            true
        }));
    }

    /// Drops the envelopes whose job was cancelled; answers how many.
    #[inline(never)]
    pub(crate) fn drop_tombstones(&mut self) -> usize {
        let mut dropped = 0;
        for worker in 0..self.inboxes.len() {
            let out = self.inboxes[worker].take_tombstones();
            self.left_inbox(worker, &out);
            dropped += out.len();
        }
        for waiting in [&mut self.spare, &mut self.returned] {
            dropped += waiting.take_tombstones().len();
        }
        let mut keyed = 0;
        self.ordered(Ask::Retain(&mut |job| {
            let keep = job.is_full();
            dropped += usize::from(!keep);
            keyed += usize::from(keep && job.stays_with_desk());
            keep
        }));
        // Unless it broke, and was replaced and counted.
        self.keyed = keyed.min(self.waiting);
        dropped
    }

    // ---- the backlog, which is foreign code --------------------------------------------------

    fn pop(&mut self) -> Option<Queued<J>> {
        let mut job = None;
        self.ordered(Ask::Pop(&mut job));
        match &job {
            Some(job) => self.keyed = self.keyed.saturating_sub(job.stays_with_desk().into()),
            None if self.waiting > 0 => {
                // It hides a job. Whoever asks again would ask for ever.
                self.quarantine();
                self.ordered(Ask::Pop(&mut job));
            }
            None => {}
        }
        job
    }

    /// Those from the `first` on have left the backlog.
    fn note_popped(&mut self, jobs: &VecDeque<Queued<J>>, first: usize) {
        if self.keyed > 0 {
            self.keyed = self.keyed.saturating_sub(count_keyed(jobs, first));
        }
    }

    /// Whether there was no panic.
    #[inline(never)]
    fn ordered(&mut self, what: Ask<'_, J>) -> bool {
        let order = &mut **self.order;
        let acted = contain(|| match what {
            #[cfg(any(test, feature = "sim", feature = "testing"))]
            Ask::Push(job) => job.take().into_iter().for_each(|job| order.push(job)),
            Ask::Pop(job) => *job = order.pop(),
            Ask::PopMany(most, out) => order.pop_many(most, out),
            Ask::Append(jobs) => order.append(jobs),
            Ask::Retain(keep) => order.retain(keep),
        });
        // By itself, so that nothing that was taken out is lost with it.
        let counted = contain(|| order.len());
        match &counted {
            Ok(waiting) if acted.is_ok() => self.waiting = *waiting,
            _ => self.quarantine(),
        }
        if let Err(panic) = counted {
            dispose(panic);
        }
        acted.map_err(dispose).is_ok()
    }

    /// Replaces a queue order that broke its contract by a plain one. What cannot be got out of it is
    /// dropped with it, and so abandoned.
    #[cold]
    fn quarantine(&mut self) {
        self.faults += 1;
        self.replace_order();
    }

    #[inline(never)]
    pub(crate) fn replace_order(&mut self) {
        let mut broken = std::mem::replace(&mut *self.order, Box::new(Fifo::new()));
        self.arrival_order = true;
        self.keyed = 0;
        while let Ok(Some(job)) = contain(|| broken.pop()) {
            self.keyed += usize::from(job.stays_with_desk());
            self.order.push(job);
        }
        self.waiting = self.order.len();
        dispose(broken);
    }
}

/// How many jobs from the `first` on are for the workers of this desk.
fn count_keyed<J>(jobs: &VecDeque<Queued<J>>, first: usize) -> usize {
    let mut keyed = 0;
    for job in jobs.iter().skip(first) {
        keyed += usize::from(job.stays_with_desk());
    }
    keyed
}

/// What the first `count` jobs weigh.
fn weight_of<J>(jobs: &VecDeque<Queued<J>>, count: usize) -> u64 {
    let mut weight = 0;
    for job in jobs.iter().take(count) {
        weight += job.weight();
    }
    weight
}

fn places(workers: usize) -> Vec<Place> {
    (0..workers).map(|_| Place::default()).collect()
}

fn no_beds(workers: usize) -> Vec<Option<u32>> {
    vec![None; workers]
}

/// How many of the first left the backlog before all of the others.
fn count_sooner(marks: &VecDeque<Mark>, others: &VecDeque<Mark>) -> usize {
    let limit = others.front().map_or(u64::MAX, |other| other.turn);
    match marks.back() {
        Some(last) if last.turn < limit => marks.len(),
        _ => marks.iter().take_while(|mark| mark.turn < limit).count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatcher::KeyAffinity;
    use crate::id::PoolNumber;
    use crate::job::Job;
    use crate::sync::rng::Rng;

    fn keyed(number: u64, key: u64) -> Queued<u64> {
        let mut job = Job::new(number);
        job.options_mut().key = Some(key);
        Queued::plain(JobId::from_ticket(number), PoolNumber::MAX, job)
    }

    #[test]
    fn jobs_drawn_in_bulk_keep_their_order_when_the_strategy_lets_some_go_to_anyone() {
        for every in 1..6 {
            let mut asked = 0;
            let strategy = move |_: &Job<u64>, workers: &Workers<'_>| {
                asked += 1;
                match workers.get(0) {
                    Some(worker) if asked % every > 0 => Target::Worker(worker.id()),
                    _ => Target::Any,
                }
            };
            let mut desk = Desk::new(0, Box::new(Fifo::new()), Box::new(strategy), 1, 4);
            desk.set_present(0, true);
            let mut jobs = (0..40)
                .map(|number| {
                    Queued::plain(
                        JobId::from_ticket(number),
                        PoolNumber::MAX,
                        Job::new(number),
                    )
                })
                .collect();
            desk.append(&mut jobs);
            let mut taken = Vec::new();
            while taken.len() < 40 {
                desk.route();
                taken.extend(desk.take(0, &|_| false).map(|job| job.id().get() - 1));
            }
            assert_eq!(taken, (0..40).collect::<Vec<_>>(), "every {every}");
        }
    }

    #[test]
    fn jobs_taken_in_bulk_are_weighed_and_their_keys_held_whether_some_stay_or_not() {
        for most in [2, 3, 4, 9] {
            let strategy = Box::new(KeyAffinity::new());
            let mut desk = Desk::new(0, Box::new(Fifo::new()), strategy, 1, 8);
            desk.set_present(0, true);
            // 1 + 2 + 3 + 4 + 5.
            for number in 1..=5 {
                let mut job = Job::new(number);
                job.options_mut().key = Some(number);
                job.options_mut().weight = std::num::NonZero::new(number);
                let id = JobId::from_ticket(number);
                desk.push(Queued::plain(id, PoolNumber::MAX, job));
            }
            desk.route();
            assert_eq!(desk.places[0].queued_weight, 15);
            let mut out = VecDeque::new();
            assert!(desk.take(0, &|_| false).is_some());
            desk.take_many_bound(0, most, &mut out);
            let moved = most.min(4);
            let taken: u64 = (1..=1 + moved as u64).sum();
            let place = &desk.places[0];
            assert_eq!(out.len(), moved);
            assert_eq!(
                (place.taken_weight, place.queued_weight),
                (taken, 15 - taken)
            );
            assert_eq!((place.ahead, place.queued), (moved, 4 - moved));
            assert_eq!(desk.holders.held(), 5);
            desk.release_keys(0, &|_| false);
            assert_eq!(desk.holders.held(), 4 - moved);
        }
    }

    #[test]
    fn who_takes_while_jobs_are_routed_gets_no_more_than_it_wants_and_all_in_order() {
        let strategy = |job: &Job<u64>, workers: &Workers<'_>| {
            let worker = workers.get((job.data() % 2) as usize);
            worker.map_or(Target::Any, |worker| Target::Worker(worker.id()))
        };
        let mut desk = Desk::new(0, Box::new(Fifo::new()), Box::new(strategy), 2, 4);
        (0..2).for_each(|worker| desk.set_present(worker, true));
        let number = |number| JobId::from_ticket(number);
        let mut jobs = (0..40)
            .map(|n| Queued::plain(number(n), PoolNumber::MAX, Job::new(n)))
            .collect();
        desk.append(&mut jobs);
        let (mut tray, mut called) = (VecDeque::new(), Vec::new());
        desk.route_and_take(0, 5, &mut tray, &mut called);
        assert_eq!(tray.len(), 5);
        // What came by for the other, and what this one gets in its inbox after that.
        let mut taken = [tray, VecDeque::new()];
        for _ in 0..20 {
            for (worker, taken) in taken.iter_mut().enumerate() {
                desk.route();
                taken.extend(desk.take(worker, &|_| false));
            }
        }
        for (worker, taken) in taken.iter().enumerate() {
            let numbers: Vec<_> = taken.iter().map(|job| job.id().get() - 1).collect();
            let own: Vec<_> = (0..40).filter(|n| n % 2 == worker as u64).collect();
            assert_eq!(numbers, own, "worker {worker}");
        }
        assert!(called.is_empty(), "nobody sleeps");
    }

    #[test]
    fn what_a_worker_gives_back_weighs_on_it_no_more() {
        let weights = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = weights.clone();
        let strategy = move |_: &Job<u64>, workers: &Workers<'_>| {
            let worker = workers.get(0);
            seen.lock()
                .unwrap()
                .extend(worker.as_ref().map(|worker| worker.weight()));
            worker.map_or(Target::Any, |worker| Target::Worker(worker.id()))
        };
        let mut desk = Desk::new(0, Box::new(Fifo::new()), Box::new(strategy), 1, 4);
        desk.set_present(0, true);
        (0..4).for_each(|number| desk.push(keyed(number, number)));
        desk.route();
        let running = desk.take(0, &|_| false);
        let mut tray = VecDeque::new();
        desk.take_many_bound(0, 3, &mut tray);
        // It waits for its own pool: the others go elsewhere.
        desk.set_away(0, true);
        desk.put_back(0, tray, true);
        desk.set_away(0, false);
        while desk.take_spare().is_some() {}
        weights.lock().unwrap().clear();
        desk.push(keyed(4, 4));
        desk.route();
        assert_eq!(*weights.lock().unwrap(), [1], "only what it runs");
        drop(running);
    }

    #[test]
    fn a_key_is_held_from_the_tray_on_until_its_job_is_over() {
        let mut desk = Desk::new(0, Box::new(Fifo::new()), Box::new(KeyAffinity::new()), 2, 4);
        (0..2).for_each(|worker| desk.set_present(worker, true));
        (0..40).for_each(|number| desk.push(keyed(number, number)));
        let mut tray = VecDeque::new();
        desk.route_and_take(0, 5, &mut tray, &mut Vec::new());
        assert_eq!(tray.len(), 5);
        let keys: Vec<_> = tray.iter().filter_map(Queued::key).collect();
        let holders = |desk: &Desk<u64>| -> Vec<_> {
            keys.iter()
                .map(|&key| desk.holders.holder_of(key))
                .collect()
        };
        assert_eq!(holders(&desk), [Some(0); 5]);
        desk.release_keys(0, &|id| id == tray[4].id());
        assert_eq!(holders(&desk), [None, None, None, None, Some(0)]);
    }

    #[test]
    fn no_key_is_held_once_its_jobs_are_over_whatever_came_between() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let mut desk = Desk::new(0, Box::new(Fifo::new()), Box::new(KeyAffinity::new()), 3, 2);
            (0..3).for_each(|worker| desk.set_present(worker, true));
            let mut tray = VecDeque::new();
            for number in 0..60 {
                let worker = rng.below(3);
                match rng.below(8) {
                    0..4 => desk.push(keyed(number, rng.below(5) as u64)),
                    4 => drop(desk.take(worker, &|_| false)),
                    5 => {
                        drop(desk.take(worker, &|_| false));
                        let most = rng.below(3);
                        desk.take_many_bound(worker, most, &mut tray);
                        desk.route_and_take(worker, most, &mut tray, &mut Vec::new());
                        assert!(tray.len() <= most, "seed {seed}");
                        let run = rng.below(tray.len() + 1);
                        tray.drain(..run);
                        desk.put_back(worker, std::mem::take(&mut tray), true);
                    }
                    6 => desk.set_present(worker, rng.below(2) == 0),
                    _ => drop(desk.route()),
                }
            }
            (0..3).for_each(|worker| desk.set_present(worker, true));
            for _ in 0..100 {
                desk.route();
                (0..3).for_each(|worker| drop(desk.take(worker, &|_| false)));
            }
            assert_eq!(desk.backlog(), 0, "seed {seed}");
            assert_eq!(desk.holders.held(), 0, "seed {seed}: {:?}", desk.holders);
            assert!(desk.in_hand.0.iter().all(Vec::is_empty), "seed {seed}");
        }
    }
}
