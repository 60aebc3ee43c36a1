//! What all handles and workers of a pool share, and the steps of a job's journey that touch more
//! than one stage.

pub(crate) mod joins;
pub(crate) mod roster;
pub(crate) mod self_wait;
mod snapshot;

use crate::context::StopAll;
use crate::desk::Strategy;
use crate::desk::appetite::Appetite;
use crate::desk::appetite::Hand;
use crate::desk::appetite::Usual;
use crate::desk::seat::Seat;
use crate::desk::station::Station;
use crate::dispatcher::{Affinity, Vitals};
use crate::engine::joins::Joins;
use crate::engine::roster::Roster;
use crate::gate::{Gate, Lane, Pass};
use crate::id::JobId;
use crate::id::PoolNumber;
use crate::id::WorkerId;
use crate::job::{self, Job, Options};
use crate::keys::homes::Homes;
use crate::keys::waiting::Keys;
use crate::metrics::{Metrics, PoolCounts, WorkerCounts};
use crate::outcome::Ending;
use crate::outcome::log::Untold;
use crate::outcome::recycler::AnyRecycler;
use crate::outcome::registry::{self, Home};
use crate::queue::envelope::{Claimed, Queued};
use crate::queue::intake::Intake;
use crate::spawner::Spawner;
use crate::sync::atomic::{AtomicBool, AtomicIsize, Ordering::*};
use crate::sync::boxed::BoxFuture;
use crate::sync::fault::{Fault, seeded};
use crate::sync::panics::{Contained, dispose};
use crate::sync::{Mutex, Padded, lock, thread};
use crate::time::clock::Timekeeper;
use crate::wait::current;
use crate::wait::lookout::{yield_to_others, yields_pay};
use crate::wait::self_waits::SelfWaits;
use crate::wait::signal::hold_calls;
use std::ops::Deref;
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};

/// How often a worker gives way at most while it lingers, each time for half a microsecond or more.
const LINGER: u32 = 24;

/// It lingers for no more jobs than these.
const ENOUGH: u64 = 192;

/// So few jobs that wait are as good as started.
const FEW_JOBS: u64 = 2;

/// So many cells are kept at most: as many as there are jobs with handles at a time, in most pools.
const KEPT_CELLS: u64 = 1024;

/// After so many rounds, a sweep suspects the queue orders.
const FRUITLESS_SWEEPS: u64 = 10_000;

/// Makes workers, for a pool that does not know their handlers' type.
pub(crate) trait Crew<J>: Send + Sync {
    fn life(&self, core: Arc<Core<J>>, worker: WorkerId) -> BoxFuture<'static, ()>;
}

pub(crate) struct Core<J> {
    pub(crate) intake: Intake<J>,
    /// (Of an `Arc`, the drop is compiled once; that of a value, with everything that may have to drop it.)
    pub(crate) stations: Vec<Arc<Station<J>>>,
    homes: Homes<J>,
    common: Common,
    /// If there are several.
    several: Option<Several<J>>,
    pub(crate) crew: Contained<Box<dyn Crew<J>>>,
    /// Jobs that a shutdown took back, until a report takes them along.
    pub(crate) unrun: Mutex<Vec<Job<J>>>,
}

/// What only pools with several desks do. Reached by way of the builder's `dispatchers`, and not by name, so that nobody
/// has to compile it who does not call that.
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

/// What does not depend on the type of jobs. By itself, so that what concerns nothing else is compiled once, and not for
/// each type.
pub(crate) struct Common {
    pub(crate) number: PoolNumber,
    pub(crate) name: String,
    pub(crate) gate: Gate,
    /// If the queue order bounds how many jobs of a key may wait.
    pub(crate) keys: Option<Arc<Keys>>,
    pub(crate) counts: PoolCounts,
    pub(crate) joins: Joins,
    /// What became of jobs without a handle, if it was not good.
    pub(crate) errors: Arc<dyn Untold>,
    /// Cells for jobs with a handle.
    pub(crate) recycler: Arc<dyn AnyRecycler>,
    pub(crate) self_waits: SelfWaits,
    pub(crate) roster: Roster,
    /// Of each desk's workers.
    vitals: Vec<Arc<[Vitals]>>,
    /// How many each desk has.
    workers: usize,
    pub(crate) time: Timekeeper,
    pub(crate) stop: Arc<StopAll>,
    pub(crate) spawner: Contained<Box<dyn Spawner>>,
    /// Workers have threads of their own, where they may spin: asked of the spawner once.
    pub(crate) dedicated: bool,
    pub(crate) cores: u64,
    /// No job is started any more.
    halted: AtomicBool,
    /// Somebody shuts the pool down and gets a report, which has the jobs that were never started.
    pub(crate) reports: AtomicBool,
    /// How many jobs a worker takes at once.
    usual: Padded<Usual>,
    /// Empty envelopes that are still in the queue. May be off while they are being counted.
    tombstones: AtomicIsize,
}

impl<J> Deref for Core<J> {
    type Target = Common;

    #[inline]
    fn deref(&self) -> &Common {
        &self.common
    }
}

/// What `Core::new` is made of, apart from the pool's own machinery.
pub(crate) struct Parts<J> {
    pub(crate) common: CommonParts,
    pub(crate) key_bound: Option<usize>,
    pub(crate) errors: Arc<dyn Untold>,
    pub(crate) recycler: fn(PoolNumber, usize) -> Arc<dyn AnyRecycler>,
    pub(crate) stations: Vec<Arc<Station<J>>>,
    pub(crate) affinity: Option<Affinity<J>>,
    pub(crate) several: Option<Several<J>>,
    pub(crate) crew: Box<dyn Crew<J>>,
}

/// Those of them that are known from the settings alone.
pub(crate) struct CommonParts {
    pub(crate) name: String,
    pub(crate) capacity: u64,
    pub(crate) dispatchers: usize,
    /// Of each dispatcher.
    pub(crate) workers: usize,
    pub(crate) time: Timekeeper,
    /// So many workers run at a time.
    pub(crate) cores: usize,
    pub(crate) spawner: Box<dyn Spawner>,
    pub(crate) dedicated: bool,
}

impl Common {
    #[inline(never)]
    fn new(
        parts: CommonParts,
        key_bound: Option<usize>,
        errors: Arc<dyn Untold>,
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

    /// For whom there is nothing to do: sees to it that nobody waits for room that is there.
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

    /// Once the last worker has left and the last waiting job has ended, there will be no more errors.
    /// Called after either: a sweep may outlast the workers.
    pub(crate) fn end_errors(&self) {
        if self.roster.live() == 0 && self.gate.is_drained() {
            self.errors.close();
        }
    }

    /// A job waits no more. Answers whether that drained a closed gate.
    #[inline]
    fn leave_gate(&self, options: Option<&Options>, lane: Lane) -> bool {
        if let Some(keys) = &self.keys {
            options
                .and_then(|options| options.key)
                .inspect(|&key| keys.leave(key));
        }
        self.gate.release(job::weight(options), lane)
    }

    /// How many jobs to take now, those before being done.
    fn appetite(&self, hand: &mut Hand, vitals: &Vitals) -> Appetite {
        hand.appetite(vitals, &self.usual, || self.time.now())
    }

    /// The worker has nothing to do.
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

    /// How many tombstones there are, after one more, if they are worth a sweep.
    fn buried(&self, met: usize) -> bool {
        let buried = self.tombstones.fetch_add(1 - met as isize, Relaxed) + 1 - met as isize;
        // Few are let lie: a sweep visits everything.
        buried > 32 && buried.unsigned_abs() as u64 > self.gate.waiting() && !current::in_desk()
    }

    /// The counters, but for what stations know.
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
        // Of a shutdown whose report nobody took. Each by itself: their drop may panic.
        for job in std::mem::take(&mut *lock(&self.unrun)) {
            dispose(job);
        }
    }
}

impl<J: Send + 'static> Core<J> {
    #[inline(never)]
    pub(crate) fn new(parts: Parts<J>) -> Arc<Self> {
        let pass = pass_trays(&parts.stations);
        let mut vitals = Vec::with_capacity(parts.stations.len());
        for station in &parts.stations {
            vitals.push(station.vitals());
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
            homes: Homes::new(parts.stations.len(), parts.affinity),
            common,
            intake: Intake::new(),
            stations: parts.stations,
            several: parts.several,
            crew: Contained::new(parts.crew),
            unrun: Mutex::new(Vec::new()),
        });
        let weak: Weak<Self> = Arc::downgrade(&core);
        registry::enter(core.number, weak);
        core
    }

    pub(crate) fn seat(&self, worker: WorkerId) -> &Seat<J> {
        &self.stations[worker.dispatcher()].seats()[worker.index()]
    }

    pub(crate) fn station(&self, worker: WorkerId) -> &Station<J> {
        &self.stations[worker.dispatcher()]
    }

    // ---- in ---------------------------------------------------------------------------------

    /// Puts a job that has its ticket on its way.
    #[inline]
    pub(crate) fn admit(&self, job: Queued<J>) {
        self.push(job);
        self.rouse();
    }

    #[inline]
    fn push(&self, job: Queued<J>) {
        if self.stations.len() == 1 {
            return self.intake.push(job);
        }
        self.push_to_one_of(job);
    }

    #[inline(never)]
    fn push_to_one_of(&self, job: Queued<J>) {
        match &self.several {
            None => unreachable!("several desks have what they need"),
            Some(several) => (several.push)(self, job),
        }
    }

    fn push_among_several(&self, job: Queued<J>) {
        if self.homes.asks() {
            return self.ask_and_push(job);
        }
        let home = self.homes.of(&job);
        self.push_home(home, job);
    }

    /// The closure that is asked stands between a ticket and its push, for which a shutdown waits. So it runs
    /// as under a desk's lock, and what it starts that could wait is refused or put off.
    #[inline(never)]
    fn ask_and_push(&self, job: Queued<J>) {
        let _asking = current::as_in_desk();
        let home = self.homes.ask(&job).unwrap_or_else(|panic| {
            dispose(panic);
            self.stations[0].note_fault();
            self.homes.of(&job)
        });
        self.push_home(home, job);
    }

    fn push_home(&self, home: Option<usize>, job: Queued<J>) {
        match home {
            Some(desk) => {
                // The common intake's share of what was accepted.
                self.intake.note_drawn(1);
                self.stations[desk].push_keyed(job);
            }
            None => self.intake.push(job),
        }
    }

    /// Puts many on their way. Nobody is called before all are there: a waker may run a job at once, and
    /// that may shut the pool down, which waits for every job that has a ticket.
    pub(crate) fn admit_all(&self, bundles: impl Iterator<Item = Queued<J>>) {
        let mut pushed = 0;
        for mut bundle in bundles {
            pushed += 1 + bundle.others();
            if self.stations.len() > 1 && self.homes.asks() {
                // Each may be another desk's.
                while bundle.others() > 0 {
                    self.push(bundle.take_first(1));
                }
                self.push(bundle);
            } else {
                // The jobs of a group have no key.
                self.intake.push_bundle(bundle);
            }
        }
        // Once there is nobody to call, or enough are called, that holds for the rest: whoever searches finds all.
        for _ in 0..pushed {
            if !self.rouse() {
                break;
            }
        }
    }

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
    fn rouse_sleepy(&self) -> bool {
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
    fn call_one_of(&self, station: &Station<J>) {
        if current::in_desk() {
            self.put_off_catching_up();
        } else {
            let siblings = self.stations.len() > 1;
            station.call_one(&self.intake, siblings);
        }
    }

    /// Lets every worker look at the state of the pool.
    #[inline(never)]
    fn call_all(&self) {
        self.roster.notify();
        if current::in_desk() {
            self.put_off_catching_up();
        } else {
            self.call_all_sleepers();
        }
    }

    fn call_all_sleepers(&self) {
        for station in &self.stations {
            station.call_all();
        }
    }

    // ---- out --------------------------------------------------------------------------------

    /// Has a worker start the next of the jobs that it took ahead. `claim` is to take the job out of its envelope, under
    /// the tray's lock, and answers what it weighs; once that is free,
    /// [`started_in_hand`](Self::started_in_hand) is to be called. `false`: others were quicker, or a tombstone came up, which [`next_job`](Self::next_job) sees to.
    #[inline(always)]
    pub(crate) fn start_in_hand(
        &self,
        seat: &Seat<J>,
        hand: &mut Hand,
        claim: impl FnOnce(&mut Queued<J>) -> Option<u64>,
    ) -> bool {
        if self.is_halted() {
            return false;
        }
        let count = |weight| {
            seat.vitals().counts.started();
            if self.keys.is_none() && !seeded(Fault::RoomKept) {
                self.gate.count(weight, seat.lane);
            }
        };
        let started = seat.start_from_tray(claim, count);
        hand.ahead -= u32::from(started);
        started
    }

    /// What is left of a start in hand, of a job with these options: to tell those who wait for its room.
    #[inline(always)]
    pub(crate) fn started_in_hand(&self, seat: &Seat<J>, options: Option<&Options>) {
        if self.keys.is_some() || seeded(Fault::RoomKept) {
            return self.leave_queue(options, seat.lane);
        }
        if self.gate.counted(job::weight(options), seat.lane) {
            self.drained();
        }
    }

    /// A job was started, with these options.
    #[inline(always)]
    pub(crate) fn started(&self, seat: &Seat<J>, options: Option<&Options>) {
        seat.vitals().counts.started();
        self.leave_queue(options, seat.lane);
    }

    /// The next job for a worker that could not start one at hand.
    pub(crate) fn next_job(&self, seat: &Seat<J>, hand: &mut Hand) -> Option<(JobId, Claimed<J>)> {
        self.start_from(seat, Some(hand))
    }

    /// A job that another worker took ahead, or that another desk can spare: for a worker that would
    /// have to sleep otherwise. Sooner it would only get in the way of others that are quick.
    pub(crate) fn last_resort(&self, seat: &Seat<J>) -> Option<(JobId, Claimed<J>)> {
        self.start_from(seat, None)
    }

    /// From the worker's own hand and desk, or from others.
    #[inline(never)]
    fn start_from(
        &self,
        seat: &Seat<J>,
        mut hand: Option<&mut Hand>,
    ) -> Option<(JobId, Claimed<J>)> {
        let started = loop {
            if self.is_halted() {
                break None;
            }
            let taken = match &mut hand {
                Some(hand) => match self.take_in_hand(seat, hand) {
                    None => self.take_from_desk(seat, hand),
                    job => job,
                },
                None => self.take_from_others(seat),
            };
            let Some(mut job) = taken else { break None };
            if let Some(claimed) = job.claim() {
                self.started(seat, claimed.job.options());
                break Some((job.id(), claimed));
            }
            self.met_tombstone(seat, &job);
        };
        // After it is started: a waker may wait for its room.
        if hand.is_some_and(|hand| std::mem::take(&mut hand.leaves_more)) {
            self.rouse();
        }
        started
    }

    #[cold]
    fn met_tombstone(&self, seat: &Seat<J>, job: &Queued<J>) {
        self.tombstones.fetch_sub(1, Relaxed);
        // Who cancelled it reports its end, unless that is past already: then a join that saw it at
        // this seat would wait for ever. Asked after the seat is clear: see joins.rs.
        seat.end();
        if job.is_over() {
            self.joins.over(job.id());
        }
    }

    /// What the worker took ahead, unless others were quicker.
    fn take_in_hand(&self, seat: &Seat<J>, hand: &mut Hand) -> Option<Queued<J>> {
        if hand.ahead == 0 {
            return None;
        }
        let job = self.station(seat.id).take_from_tray(seat, seat);
        hand.ahead = if job.is_some() { hand.ahead - 1 } else { 0 };
        job
    }

    fn take_from_desk(&self, seat: &Seat<J>, hand: &mut Hand) -> Option<Queued<J>> {
        let appetite = self.appetite(hand, seat.vitals());
        let own = self.station(seat.id);
        if hand.sees_to_others() {
            if let Some(job) = own.steal(seat) {
                return Some(job);
            }
        }
        // An executor's thread is not the worker's to hold up.
        if self.dedicated && hand.pays_to_linger() {
            self.linger(own, hand);
        }
        let taken = own.take(seat, appetite, &self.intake)?;
        hand.ahead = taken.ahead as u32;
        hand.leaves_more |= taken.more;
        Some(taken.job)
    }

    /// A worker that is quicker than the submitters would take their jobs one by one, and meet them at
    /// every lock. While the jobs are tiny and more keep coming, it waits a moment for enough of them.
    #[inline(never)]
    fn linger(&self, own: &Station<J>, hand: &mut Hand) {
        let mut seen = self.waiting_hint(own);
        if seen == 0 || seen >= ENOUGH || !hand.linger.is_due() || !yields_pay() {
            return;
        }
        for turn in 0..LINGER {
            let crowded = !yield_to_others();
            let now = self.waiting_hint(own);
            if turn == 0 {
                hand.linger.tried(now > seen);
            }
            if crowded || now <= seen || now >= ENOUGH {
                return;
            }
            seen = now;
        }
    }

    /// About how many jobs no worker has taken.
    fn untaken_hint(&self) -> u64 {
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

    /// What other workers of the desk took ahead, then what other desks can spare.
    #[inline(never)]
    fn take_from_others(&self, seat: &Seat<J>) -> Option<Queued<J>> {
        let job = self.station(seat.id).steal(seat);
        match &self.several {
            Some(several) if job.is_none() => (several.take)(self, seat),
            _ => job,
        }
    }

    fn take_from_siblings(&self, seat: &Seat<J>) -> Option<Queued<J>> {
        let count = self.stations.len();
        let own = seat.id.dispatcher();
        for other in own + 1..own + count {
            let job = self.stations[other % count].give_away(seat);
            if job.is_some() {
                self.stations[own].note_busy(seat);
                return job;
            }
        }
        None
    }

    /// Whether a desk other than the worker's own has a job for it.
    pub(crate) fn siblings_have_spare(&self, worker: WorkerId) -> bool {
        self.several
            .as_ref()
            .is_some_and(|several| (several.have_spare)(self, worker))
    }

    fn any_sibling_has_spare(&self, worker: WorkerId) -> bool {
        for (index, station) in self.stations.iter().enumerate() {
            if index != worker.dispatcher() && station.has_spare() {
                return true;
            }
        }
        false
    }

    /// A worker's job does not wait for its own pool any more.
    #[inline]
    pub(crate) fn end_waits(&self, worker: WorkerId) {
        if self.self_waits.has_waits() {
            self.end_waits_of(worker);
        }
    }

    #[cold]
    fn end_waits_of(&self, worker: WorkerId) {
        if self.self_waits.end(worker) {
            self.set_away(worker, false);
        }
    }

    /// A job waits no more: its room is free, and its key's.
    #[inline]
    fn leave_queue(&self, options: Option<&Options>, lane: Lane) {
        if self.leave_gate(options, lane) {
            self.drained();
        }
    }

    /// The same for a job that was not started.
    #[inline(never)]
    fn leave_unrun(&self, options: Option<&Options>) {
        self.leave_queue(options, Lane::COMMON);
    }

    /// The last job of a closed pool was started, or ended: nobody needs to stay for more.
    #[cold]
    fn drained(&self) {
        self.call_all();
        // A permit that goes back has the gate undrained for a moment, in which the last worker may have looked.
        self.end_errors();
    }

    /// Gives each desk a strategy of its own.
    #[inline(never)]
    pub(crate) fn set_strategies(&self, strategies: Vec<Strategy<J>>) {
        self.homes
            .set(strategies.first().and_then(Strategy::affinity));
        for (station, strategy) in self.stations.iter().zip(strategies) {
            station.set_strategy(strategy);
        }
        // Who sleeps may have something to do by the new ones.
        self.call_all_sleepers();
    }

    // ---- the end ----------------------------------------------------------------------------

    /// No more jobs are started.
    pub(crate) fn halt(&self) {
        self.halted.store(true, SeqCst);
        self.call_all();
    }

    /// Takes every waiting job of a closed and halted pool out of the queue and ends it. Waits, without
    /// sleeping, for submitters between their ticket and their push. No waker is called before the end, and `keep`
    /// must not be foreign code: whoever shuts the pool down waits until the gate is drained.
    #[inline(never)]
    pub(crate) fn sweep(&self, why: Ending, keep: &mut dyn FnMut(Job<J>)) {
        let _calls = hold_calls();
        for round in 0_u64.. {
            if round == FRUITLESS_SWEEPS {
                // Nobody is that long between a ticket and a push. An order must be hiding jobs.
                for station in &self.stations {
                    station.replace_order();
                }
            }
            for station in &self.stations {
                for mut job in station.sweep(&self.intake) {
                    let id = job.id();
                    let Some(claimed) = job.claim_unrun() else {
                        continue;
                    };
                    let options = claimed.job.share_options();
                    self.counts.unrun(why);
                    match claimed.slot {
                        Some(slot) => slot.cell.into_ending().end(slot.at, why),
                        None => self.errors.unrun(id, options.clone(), why),
                    }
                    self.over(id);
                    keep(claimed.job);
                    // Last: once the gate is drained, all that was swept is accounted for and kept.
                    self.leave_unrun(options.as_deref());
                }
            }
            if self.gate.is_drained() {
                self.end_errors();
                return;
            }
            thread::yield_now();
        }
    }

    /// Nobody is left to run anything. Answers the jobs that waited, to be dropped once no calls are held back: their
    /// drop is foreign code, and may wait for who is told of their end.
    #[must_use]
    #[inline(never)]
    pub(crate) fn collapse(&self) -> Vec<Job<J>> {
        let _calls = hold_calls();
        self.close();
        self.halt();
        let mut jobs = Vec::new();
        self.sweep(Ending::Abandoned, &mut |job| jobs.push(job));
        jobs
    }

    #[inline(never)]
    pub(crate) fn metrics(&self) -> Metrics {
        let mut metrics = self.common.metrics();
        for station in &self.stations {
            metrics.busy_workers += station.count_at_work();
            metrics.faults += station.faults();
        }
        metrics
    }
}

/// For the gate, in whose lanes workers count under their trays' locks.
fn pass_trays<J: Send + 'static>(stations: &[Arc<Station<J>>]) -> Pass {
    let mut desks = Vec::with_capacity(stations.len());
    for station in stations {
        desks.push(station.shared_seats());
    }
    Box::new(move || {
        for seats in &desks {
            for seat in &**seats {
                drop(seat.tray.lock());
            }
        }
    })
}

/// An alarm of [`Core::rest`].
struct LookAgain(PoolNumber);

impl Wake for LookAgain {
    fn wake(self: Arc<Self>) {
        if let Some(home) = registry::find(self.0) {
            home.see_to_waiters();
        }
    }
}

impl<J: Send + 'static> Home for Core<J> {
    /// After room was made by somebody who is no worker: a worker that sleeps already, or none that is at
    /// work, will not see to it that a forgotten waiter keeps nobody waiting.
    ///
    /// A worker first lies down and then sees to the waiters, and here the room is made first: so one of
    /// the two finds both.
    #[inline(never)]
    fn see_to_waiters(&self) {
        if self.gate.has_waiters() {
            let (mut asleep, mut at_work) = (false, 0);
            for station in &self.stations {
                asleep |= station.watched().1;
                at_work += station.count_at_work();
            }
            if asleep || at_work == 0 {
                self.rest();
            }
        }
    }

    fn unrun(&self, options: Option<&Options>, why: Ending) {
        self.counts.unrun(why);
        self.leave_unrun(options);
        self.see_to_waiters();
    }

    fn untold(&self, id: JobId, options: Option<Arc<Options>>, why: Ending) {
        self.counts.unrun(why);
        self.errors.unrun(id, options.clone(), why);
        // Last: a gate that is drained has no more errors to come.
        self.leave_unrun(options.as_deref());
        self.see_to_waiters();
    }

    fn give_back(&self, held: u64) {
        if self.gate.give_back(held) {
            self.drained();
        }
        self.see_to_waiters();
    }

    fn over(&self, id: JobId) {
        self.joins.over(id);
    }

    fn buried(&self) {
        let mut met = 0;
        for station in &self.stations {
            met += station.take_met();
        }
        if self.common.buried(met) {
            for station in &self.stations {
                let dropped = station.drop_tombstones(&self.intake);
                self.tombstones.fetch_sub(dropped as isize, Relaxed);
            }
            // Jobs may have moved from the intake to a desk where sleepers would not see them.
            self.rouse();
        }
    }

    /// No more jobs are let in. Those that were are still run.
    fn close(&self) {
        let (first, drained) = self.gate.close();
        if first || drained {
            self.call_all();
        }
    }

    fn has_queue(&self) -> bool {
        // Where jobs weigh more, units say nothing of how many there are: then, of those that no worker has taken.
        let waiting = if self.gate.counts_jobs() {
            self.gate.waiting()
        } else {
            self.untaken_hint()
        };
        waiting > FEW_JOBS
    }

    fn self_waits(&self) -> &SelfWaits {
        &self.self_waits
    }

    fn time(&self) -> &Timekeeper {
        &self.time
    }

    fn set_away(&self, worker: WorkerId, away: bool) {
        if current::in_desk() {
            return self.put_off_absence(worker, away);
        }
        if self.station(worker).set_away(worker.index(), away) {
            self.rouse();
        }
    }

    fn has_in_hands(&self, worker: WorkerId, id: JobId) -> bool {
        self.seat(worker).has_detached(id)
    }

    fn catch_up(&self) {
        if self.is_over() || self.gate.is_closed() {
            self.call_all();
        }
        if self.gate.waiting() > 0 {
            self.rouse();
        }
    }
}
