//! What all handles and workers of a pool share, and the steps of a job's journey that touch more than one stage.

mod admit;
mod home;
pub(crate) mod joins;
mod release;
pub(crate) mod roster;
pub(crate) mod self_wait;
mod snapshot;
mod sweep;
mod take;
mod wake;

use crate::context::StopAll;
use crate::desk::Strategy;
use crate::desk::appetite::{Appetite, Hand, Usual};
use crate::desk::live::LiveDesk;
use crate::desk::seat::Seat;
use crate::dispatcher::{Affinity, Vitals};
use crate::engine::joins::Joins;
use crate::engine::roster::Roster;
use crate::gate::{Gate, Lane, Pass};
use crate::id::{PoolNumber, WorkerId};
use crate::job::{self, Job, Options};
use crate::keys::desks::KeyDesks;
use crate::keys::waiting::Keys;
use crate::metrics::{Metrics, PoolCounts, WorkerCounts};
use crate::outcome::log::AnyErrorLog;
use crate::outcome::recycler::AnyRecycler;
use crate::outcome::registry::{self};
use crate::queue::envelope::Queued;
use crate::queue::intake::Intake;
use crate::spawner::Spawner;
use crate::sync::atomic::{AtomicBool, AtomicIsize, Ordering::*};
use crate::sync::boxed::BoxFuture;
use crate::sync::panics::{Contained, dispose};
use crate::sync::{Mutex, Padded, lock};
use crate::time::timers::Timekeeper;
use crate::wait::current;
use crate::wait::self_waits::SelfWaits;
use std::ops::Deref;
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};

/// How many times at most a lingering worker yields, for half a microsecond or more each.
const LINGER: u32 = 24;

/// This few waiting jobs are as good as started.
const FEW_JOBS: u64 = 2;

/// How many cells are kept at most: in most pools, as many as there are jobs with handles at a time.
const KEPT_CELLS: u64 = 1024;

/// After this many rounds, a sweep suspects the queue orders.
const FRUITLESS_SWEEPS: u64 = 10_000;

/// Makes workers, for a pool that does not know its handlers' type.
pub(crate) trait WorkerFactory<J>: Send + Sync {
    fn life(&self, core: Arc<Core<J>>, worker: WorkerId) -> BoxFuture<'static, ()>;
}

pub(crate) struct Core<J> {
    pub(crate) intake: Intake<J>,
    /// (In `Arc`s, whose drop is compiled once; a value's drop is compiled with everything that may have to drop it.)
    pub(crate) desks: Vec<Arc<LiveDesk<J>>>,
    key_desks: KeyDesks<J>,
    common: Common,
    several: Option<Several<J>>,
    pub(crate) workers_of: Contained<Box<dyn WorkerFactory<J>>>,
    /// Jobs that a shutdown took back, until a report takes them.
    pub(crate) unrun: Mutex<Vec<Job<J>>>,
}

/// What only pools with several desks do. Reached by way of the builder's `dispatchers` and not by name, so that only
/// callers of `dispatchers` have to compile it.
pub(crate) struct Several<J> {
    push: fn(&Core<J>, Queued<J>),
    take: fn(&Core<J>, &Seat<J>) -> Option<Queued<J>>,
    have_spare: fn(&Core<J>, WorkerId) -> bool,
}

impl<J: Send + 'static> Several<J> {
    pub(crate) fn desks() -> Self {
        Several {
            push: Core::push_among_several,
            take: Core::take_from_siblings,
            have_spare: Core::any_sibling_has_spare,
        }
    }
}

/// The part that does not depend on the type of jobs, so that its functions are compiled once and not for each type.
pub(crate) struct Common {
    pub(crate) number: PoolNumber,
    pub(crate) name: String,
    pub(crate) gate: Gate,
    /// Set if the queue order bounds how many jobs of a key may wait.
    pub(crate) keys: Option<Arc<Keys>>,
    pub(crate) counts: PoolCounts,
    pub(crate) joins: Joins,
    pub(crate) errors: Arc<dyn AnyErrorLog>,
    pub(crate) recycler: Arc<dyn AnyRecycler>,
    pub(crate) self_waits: SelfWaits,
    pub(crate) roster: Roster,
    /// By desk, those of its workers.
    vitals: Vec<Arc<[Vitals]>>,
    /// How many workers each desk has.
    workers: usize,
    pub(crate) time: Timekeeper,
    pub(crate) stop: Arc<StopAll>,
    pub(crate) spawner: Contained<Box<dyn Spawner>>,
    /// Whether workers have threads of their own, where they may spin; asked of the spawner once.
    pub(crate) dedicated: bool,
    pub(crate) cores: u64,
    halted: AtomicBool,
    /// A shutdown waits for a report, which will have the jobs that were never started.
    pub(crate) reports: AtomicBool,
    usual: Padded<Usual>,
    /// Empty envelopes still in the queue. May be off while they are being counted.
    tombstones: AtomicIsize,
}

impl<J> Deref for Core<J> {
    type Target = Common;

    #[inline]
    fn deref(&self) -> &Common {
        &self.common
    }
}

pub(crate) struct Parts<J> {
    pub(crate) common: CommonParts,
    pub(crate) key_bound: Option<usize>,
    pub(crate) errors: Arc<dyn AnyErrorLog>,
    pub(crate) recycler: fn(PoolNumber, usize) -> Arc<dyn AnyRecycler>,
    pub(crate) desks: Vec<Arc<LiveDesk<J>>>,
    pub(crate) affinity: Option<Affinity<J>>,
    pub(crate) several: Option<Several<J>>,
    pub(crate) workers_of: Box<dyn WorkerFactory<J>>,
}

pub(crate) struct CommonParts {
    pub(crate) name: String,
    pub(crate) capacity: u64,
    pub(crate) dispatchers: usize,
    /// How many workers each dispatcher has.
    pub(crate) workers: usize,
    pub(crate) time: Timekeeper,
    /// How many workers can run at a time.
    pub(crate) cores: usize,
    pub(crate) spawner: Box<dyn Spawner>,
    pub(crate) dedicated: bool,
}

impl Common {
    #[inline(never)]
    fn new(
        parts: CommonParts,
        key_bound: Option<usize>,
        errors: Arc<dyn AnyErrorLog>,
        recycler: fn(PoolNumber, usize) -> Arc<dyn AnyRecycler>,
        pass: Pass,
        vitals: Vec<Arc<[Vitals]>>,
    ) -> Self {
        let number = registry::reserve();
        let roster = Roster::new(parts.dispatchers, parts.workers);
        Common {
            number,
            name: parts.name,
            gate: Gate::new(parts.capacity, roster.live()).counted_under(pass, roster.live()),
            keys: key_bound.map(|bound| Arc::new(Keys::new(bound))),
            counts: PoolCounts::default(),
            joins: Joins::new(),
            errors,
            recycler: recycler(number, parts.capacity.clamp(64, KEPT_CELLS) as usize),
            self_waits: SelfWaits::new(roster.live()),
            roster,
            vitals,
            workers: parts.workers,
            time: parts.time,
            stop: Arc::new(StopAll::new()),
            dedicated: parts.dedicated,
            cores: parts.cores as u64,
            spawner: Contained::new(parts.spawner),
            halted: AtomicBool::new(false),
            reports: AtomicBool::new(false),
            usual: Padded(Usual::new()),
            tombstones: AtomicIsize::new(0),
        }
    }

    /// Called by a worker with nothing to do: makes sure that nobody waits for room that is there.
    pub(crate) fn rest(&self) {
        if let Some(again) = self.gate.wake_at_rest(|| self.time.now()) {
            self.time
                .alarm(again, Waker::from(Arc::new(LookAgain(self.number))));
        }
    }

    #[inline]
    pub(crate) fn is_halted(&self) -> bool {
        self.halted.load(SeqCst)
    }

    /// Nothing is left for workers to do, ever.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.is_halted() || self.gate.is_drained()
    }

    /// Ends the log of errors once the last worker has left and the last waiting job has ended. Called after either: a
    /// sweep may outlast the workers.
    pub(crate) fn end_errors(&self) {
        if self.roster.live() == 0 && self.gate.is_drained() {
            self.errors.close();
        }
    }

    /// A job waits no more. Returns whether that drained a closed gate.
    #[inline]
    fn leave_gate(&self, options: Option<&Options>, lane: Lane) -> bool {
        if let Some(keys) = &self.keys {
            options
                .and_then(|options| options.key)
                .inspect(|&key| keys.leave(key));
        }
        self.gate.release(job::weight(options), lane)
    }

    fn appetite(&self, hand: &mut Hand, vitals: &Vitals) -> Appetite {
        hand.appetite(vitals, &self.usual, || self.time.now())
    }

    pub(crate) fn pause(&self, hand: &mut Hand) {
        hand.pause(|| self.time.now());
    }

    fn put_off_catching_up(&self) {
        let number = self.number;
        current::outside_desk(move || {
            if let Some(home) = registry::find(number) {
                home.catch_up();
            }
        });
    }

    fn put_off_absence(&self, worker: WorkerId, away: bool) {
        let number = self.number;
        current::outside_desk(move || {
            if let Some(home) = registry::find(number) {
                home.set_away(worker, away);
            }
        });
    }

    /// Counts one more tombstone, and returns whether there are enough to be worth a sweep.
    fn left_tombstone(&self, met: usize) -> bool {
        let left_tombstone =
            self.tombstones.fetch_add(1 - met as isize, Relaxed) + 1 - met as isize;
        // A sweep visits everything, so a few are left alone.
        left_tombstone > 32
            && left_tombstone.unsigned_abs() as u64 > self.gate.waiting()
            && !current::in_desk()
    }

    /// The counters, except those that desks keep.
    fn metrics(&self) -> Metrics {
        let each_worker = |each: &mut dyn FnMut(&WorkerCounts)| {
            for desk in &self.vitals {
                for worker in 0..self.workers {
                    each(&Vitals::of_worker(desk, worker).counts);
                }
            }
        };
        let mut metrics = self.counts.snapshot(&each_worker, &self.gate);
        metrics.workers = self.roster.live() as u64;
        metrics.failing_workers = self.roster.failing() as u64;
        metrics.errors_dropped = self.errors.dropped();
        metrics
    }
}

impl<J> Drop for Core<J> {
    fn drop(&mut self) {
        registry::leave(self.number);
        self.recycler.close();
        // Jobs of a shutdown whose report nobody took. One at a time: a job's drop may panic.
        for job in std::mem::take(&mut *lock(&self.unrun)) {
            dispose(job);
        }
    }
}

impl<J: Send + 'static> Core<J> {
    #[inline(never)]
    pub(crate) fn new(parts: Parts<J>) -> Arc<Self> {
        let pass = pass_trays(&parts.desks);
        let mut vitals = Vec::with_capacity(parts.desks.len());
        for desk in &parts.desks {
            vitals.push(desk.vitals());
        }
        let common = Common::new(
            parts.common,
            parts.key_bound,
            parts.errors,
            parts.recycler,
            pass,
            vitals,
        );
        let core = Arc::new(Core {
            key_desks: KeyDesks::new(parts.desks.len(), parts.affinity),
            common,
            intake: Intake::new(),
            desks: parts.desks,
            several: parts.several,
            workers_of: Contained::new(parts.workers_of),
            unrun: Mutex::new(Vec::new()),
        });
        let weak: Weak<Self> = Arc::downgrade(&core);
        registry::enter(core.number, weak);
        core
    }

    pub(crate) fn seat(&self, worker: WorkerId) -> &Seat<J> {
        &self.desks[worker.dispatcher()].seats()[worker.index()]
    }

    pub(crate) fn desk(&self, worker: WorkerId) -> &LiveDesk<J> {
        &self.desks[worker.dispatcher()]
    }

    #[inline(never)]
    pub(crate) fn set_strategies(&self, strategies: Vec<Strategy<J>>) {
        self.key_desks
            .set(strategies.first().and_then(Strategy::affinity));
        for (desk, strategy) in self.desks.iter().zip(strategies) {
            desk.set_strategy(strategy);
        }
        // The new strategies may have work for sleepers.
        self.wake_all_sleepers();
    }

    #[inline(never)]
    pub(crate) fn metrics(&self) -> Metrics {
        let mut metrics = self.common.metrics();
        for desk in &self.desks {
            metrics.busy_workers += desk.count_at_work();
            metrics.faults += desk.faults();
        }
        metrics
    }
}

/// For the gate: workers count in its lanes under their trays' locks.
fn pass_trays<J: Send + 'static>(desks: &[Arc<LiveDesk<J>>]) -> Pass {
    let mut of_desks = Vec::with_capacity(desks.len());
    for desk in desks {
        of_desks.push(desk.shared_seats());
    }
    Box::new(move || {
        for seats in &of_desks {
            for seat in &**seats {
                drop(seat.tray.lock());
            }
        }
    })
}

/// An alarm of [`Common::rest`].
struct LookAgain(PoolNumber);

impl Wake for LookAgain {
    fn wake(self: Arc<Self>) {
        if let Some(home) = registry::find(self.0) {
            home.see_to_waiters();
        }
    }
}
