//! The desk: the state machine of one dispatcher, with its backlog, strategy, inboxes and list of sleepers.
//!
//! The desk has no threads, clocks, wakers or locks; desk/live/mod.rs puts it behind a lock for the live pool.
//! Dispatching is a role, not a thread: the thread that holds the desk moves jobs along.
//!
//! A job on the desk is in one of four places:
//!
//! - the *backlog*: the queue order decides when the job is next;
//! - *spare*: the job is next and may go to any worker (the strategy said `Any`, or its worker was lost);
//! - a worker's *inbox*: the job is bound to that worker;
//! - *returned*: the job's worker was lost, and the strategy keeps the jobs of a key together: it is asked again,
//!   before anything in the backlog. (Other strategies' jobs go to spare.)
//!
//! Two rules keep bound and unbound jobs from overtaking each other:
//!
//! - While something is spare, nothing is routed: what waits behind it stays in the backlog, under the order's control.
//! - A worker takes from its inbox or from spare, whichever job left the backlog first.

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

/// How many jobs may be bound to a worker before it asks. Bound jobs cannot go elsewhere, so the depth is small; below
/// four, workers wait for the desk between tiny jobs.
pub(crate) const INBOX_DEPTH: usize = 4;
/// As good as unbounded, and the sum over all workers still fits a word.
pub(crate) const MAX_INBOX_DEPTH: usize = u32::MAX as usize;

pub(crate) struct Desk<J> {
    dispatcher: usize,
    order: Contained<Box<dyn QueueOrder<J>>>,
    strategy: Strategy<J>,
    /// The order always gives out the job that came first. Asked once.
    arrival_order: bool,
    spare: Row<J>,
    /// Jobs of a lost worker, for the strategy to bind again, and other jobs that left the backlog and are next.
    returned: Row<J>,
    /// Empty between calls; kept for its buffer.
    drawn: VecDeque<Queued<J>>,
    places: Vec<Place>,
    vitals: Arc<[Vitals]>,
    /// One per worker, or none until a job is first bound.
    inboxes: Vec<Row<J>>,
    depth: usize,
    /// How many jobs are in the backlog, as the order said after its last call.
    waiting: usize,
    /// How many jobs in the backlog have a key that belongs to this desk, if there are several desks. Too low if an
    /// order loses jobs.
    keyed: usize,
    /// Empty without affinity.
    holders: Holders,
    in_hand: InHand,
    /// How many jobs have left the backlog to be routed.
    routed: u64,
    /// How many more jobs the inboxes of present workers take, up to the depth.
    room: usize,
    /// Sleeping workers. The last to fall asleep is woken first, because its caches are warmest.
    asleep: Vec<usize>,
    /// For each worker, its position in `asleep`.
    bed: Vec<Option<u32>>,
    /// Counts how often workers went idle.
    idle_events: u64,
    /// Contained panics and broken contracts, until the count is collected.
    pub(crate) faults: u64,
    /// Tombstones met and dropped, until the count is collected.
    pub(crate) met: usize,
}

/// A strategy and its answers to what is asked once, outside the desk: it is foreign code and may panic.
pub(crate) struct Strategy<J> {
    dispatcher: Contained<Box<dyn Dispatcher<J>>>,
    /// The strategy only ever says `Any`, so jobs go straight from the backlog to the worker that asks.
    late: bool,
    /// Which jobs the strategy keeps together.
    affinity: Option<Affinity<J>>,
    /// Routes what waits. The routing code is reached only from here, so it is not compiled for pools whose strategies
    /// do not route.
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

    /// Returns whether jobs may stay in the intake until a worker is free: neither the order nor the strategy needs to
    /// see them all.
    pub(crate) fn may_leave_in_intake(&self) -> bool {
        self.strategy.late && self.arrival_order
    }

    pub(crate) fn in_arrival_order(&self) -> bool {
        self.arrival_order
    }

    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// Returns whether the strategy must be asked before a worker can take a job.
    pub(crate) fn routes(&self) -> bool {
        !self.strategy.late
    }

    pub(crate) fn affinity(&self) -> Option<Affinity<J>> {
        self.strategy.affinity()
    }

    pub(crate) fn vitals(&self) -> Arc<[Vitals]> {
        self.vitals.clone()
    }

    /// Replaces the strategy and returns the old one, to be dropped elsewhere. Bound jobs stay bound; the new strategy
    /// routes what waits.
    #[inline(never)]
    pub(crate) fn set_strategy(&mut self, strategy: Strategy<J>) -> Strategy<J> {
        let old = std::mem::replace(&mut self.strategy, strategy);
        self.holders.begin_era();
        if self.strategy.affinity.is_none() {
            // Without affinity, nobody would release these keys.
            self.holders = Holders::default();
            self.in_hand = InHand::default();
            for inbox in &mut self.inboxes {
                inbox.forget_keys();
            }
        }
        self.make_hands();
        if self.strategy.late {
            // A late strategy is never asked about returned jobs.
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

/// Returns how many jobs from `first` on only this desk's workers may run.
fn count_keyed<J>(jobs: &VecDeque<Queued<J>>, first: usize) -> usize {
    let mut keyed = 0;
    for job in jobs.iter().skip(first) {
        keyed += usize::from(job.stays_with_desk());
    }
    keyed
}

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

/// Returns how many of the first jobs left the backlog before all of the others.
fn count_sooner(marks: &VecDeque<Mark>, others: &VecDeque<Mark>) -> usize {
    let limit = others.front().map_or(u64::MAX, |other| other.turn);
    match marks.back() {
        Some(last) if last.turn < limit => marks.len(),
        _ => marks.iter().take_while(|mark| mark.turn < limit).count(),
    }
}

#[cfg(test)]
mod tests;
