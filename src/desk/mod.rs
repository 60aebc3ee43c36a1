//! A dispatcher at work: its backlog, its strategy, its workers' inboxes, and who of them sleeps.
//!
//! A plain state machine, without threads, clocks, wakers or locks: desk/live/mod.rs puts one behind a lock
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

mod answer;
pub(crate) mod appetite;
mod backlog;
pub(crate) mod inboxes;
pub(crate) mod live;
pub(crate) mod loaded_trays;
mod presence;
mod routing;
pub(crate) mod seat;

mod sweeping;
mod taking;

use self::answer::Taker;
use crate::desk::inboxes::Row;
use crate::dispatcher::{Affinity, Dispatcher, Place, Vitals};
use crate::keys::holders::{Holders, Mark};
use crate::keys::in_hand::InHand;
use crate::queue::envelope::Queued;
use crate::queue_order::QueueOrder;
use crate::sync::panics::Contained;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many jobs may be bound to a worker ahead of its asking. Row jobs cannot go elsewhere, so
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
    spare: Row<J>,
    /// Jobs that were bound to a worker that is lost, for the strategy to bind again; and others that left
    /// the backlog and are next.
    returned: Row<J>,
    /// Empty, and kept for its buffer.
    drawn: VecDeque<Queued<J>>,
    places: Vec<Place>,
    vitals: Arc<[Vitals]>,
    /// One for each worker, or none as long as nothing was ever bound.
    inboxes: Vec<Row<J>>,
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
            spare: Row::default(),
            returned: Row::default(),
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
mod tests;
