//! A desk in the live pool: behind its lock, fed from the intake, with the wakers of its workers.
//!
//! # Who waits, who wakes
//!
//! A worker that finds no job *searches* for a moment, then *sleeps*. `watch` counts both, sleepers in
//! its upper half and searchers in its lower, so that one load tells a submitter what to do:
//!
//! - **Push.** After its push, a submitter reads `watch`. If somebody searches, it leaves; else, if
//!   somebody sleeps, it *calls* one: under the desk's lock it takes one sleeper off the list, counts
//!   it as a searcher, and wakes it after the lock. So at most one worker is called for each push, and
//!   none while one is on its way. On an executor a called worker may be long in coming, behind a busy
//!   task; there searchers excuse a push only while they are enough for all that nobody has taken, at what a worker
//!   takes at once of such jobs: one for each job, but of tiny ones.
//! - **Found.** A searcher that found a job stops counting as one. If it was the last and more is
//!   waiting, it calls the next: a burst wakes as many workers as it needs, one after the other.
//!   It reads the gate *after* it stopped counting, and a submitter reads `watch` after its ticket,
//!   all sequentially consistent: either the submitter saw no searcher, or the searcher sees its job.
//! - **Ahead.** A worker whose jobs are short takes several at once into its *tray*, from which any
//!   other worker may take. If somebody sleeps and nobody searches, it calls one, so that no job waits
//!   in the tray of a busy worker while another sleeps: trays are filled under the desk's lock, and a
//!   worker that lies down looks at `loaded` under the same lock. Jobs that are bound to a worker come into
//!   its tray, too; from there, as from its inbox, nobody else takes them.
//! - **Sleep.** Under the desk's lock, a worker looks once more at the desk, puts itself on the list
//!   and moves from the searchers to the sleepers; then it looks into the intake *under the intake's
//!   lock*. If the push was first there, it sees the job and gets up. If its look was first, the
//!   submitter's lock came after it, so the submitter reads the new `watch` and calls. Last, it looks
//!   at the other desks, under their locks: whoever leaves a job for all on one of these calls a
//!   sleeper after unlocking, so the same argument holds.
//! - **Keyed.** With several desks, a job with a key goes into an intake of its own desk, and only that
//!   desk's workers take it, unless none of them can. The same holds there, with that desk's searchers and sleepers; and whoever
//!   calls because of something that waits also calls a sleeper of each desk that has work of its own
//!   and nobody searching.
//! - **Called in vain.** A worker that is dropped after it was called calls the next one.
//! - **Close.** Whoever closes, halts or drains the pool then calls all sleepers of each desk under
//!   its lock; a worker looks for these states under the same lock before it lies down.
//!
//! A waker is foreign code: it is cloned, called and dropped outside the lock.

use crate::desk::appetite::Appetite;
use crate::desk::loaded::Loaded;
use crate::desk::seat::{OwnSeat, Seat, Tray};
use crate::desk::{Desk, Strategy};
use crate::dispatcher::Vitals;
use crate::id::JobId;
use crate::id::WorkerId;
use crate::queue::block::Envelopes;
use crate::queue::envelope::Queued;
use crate::queue::intake::{BLOCK, Intake, KeyedIntake};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use crate::sync::fault::{Fault, seeded};
use crate::sync::{Mutex, MutexGuard, Padded};
use crate::wait::current;
use crate::wait::lookout::lock_soon;
use crate::wait::signal::{call, call_each};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::task::Waker;

const SLEEPER: u64 = 1 << 32;
const SEARCHER: u64 = 1;
const SEARCHERS: u64 = SLEEPER - 1;

/// A worker takes at least one in so many of the waiting jobs ahead: more, if there are no other desks, or on an executor.
/// (A model has few jobs.)
const SHARE: usize = if cfg!(any(fanpool_loom, fanpool_shuttle)) {
    1
} else {
    4
};

/// See `rarely`.
const RAREST: usize = 4;

/// From how many jobs on a block is moved to the only desk as a whole, which costs no more than to move a few. Fewer stay
/// in the intake until they can be bound.
const WHOLE_FROM: usize = BLOCK / 2;

/// So many trays of workers that sleep are kept: more are seldom wanted at a time.
const KEPT_TRAYS: usize = 64;
/// Not those for more jobs than a worker takes at once.
const KEPT_TRAY: usize = 256;

pub(crate) struct Station<J> {
    floor: Mutex<Floor<J>>,
    watch: Padded<AtomicU64>,
    /// Of jobs with a key, if there are other desks.
    keyed: Option<KeyedIntake<J>>,
    seats: Arc<[Seat<J>]>,
    /// About how many jobs are drawn and not bound: written under the lock, read as a hint.
    backlog: AtomicU64,
    /// A worker takes one in so many of the waiting jobs ahead.
    share: usize,
    /// How many times as many tiny jobs a worker takes of those that are bound to it, which no other could take.
    rarely: u32,
    /// Which trays may have jobs for anyone in them.
    loaded: Loaded,
    /// Contained panics and broken contracts of the strategy and the order.
    faults: AtomicU64,
    /// Tombstones that were met, and dropped, while routing.
    met: AtomicUsize,
    /// Whether the desk routes: written under the lock.
    routed: AtomicBool,
}

/// What the lock protects.
pub(crate) struct Floor<J> {
    desk: Desk<J>,
    /// Of the workers that sleep.
    wakers: Vec<Option<Waker>>,
    /// What leaves the intake, on its way to the desk or to a worker's tray. Empty, and kept for its buffer.
    drawn: Envelopes<J>,
    /// Empty trays of workers that sleep, for their buffers.
    trays: Vec<Envelopes<J>>,
}

/// A job for a worker, and what came with it.
pub(crate) struct Taken<J> {
    pub(crate) job: Queued<J>,
    /// How many further jobs are in the worker's tray.
    pub(crate) ahead: usize,
    /// Whether jobs are left that others could run.
    pub(crate) more: bool,
}

/// Of whether a worker can take jobs.
#[derive(Clone, Copy)]
enum Change {
    Present(bool),
    /// It is worth waiting for.
    SteppedOut,
    Away(bool),
}

/// The lock held, and this thread marked as holding it, since strategies and orders run under it.
struct Inside<'a, J: Send + 'static> {
    station: &'a Station<J>,
    guard: MutexGuard<'a, Floor<J>>,
    /// After the guard, since what was put off is done when this is dropped.
    _mark: current::AtDesk,
}

impl<J: Send + 'static> Drop for Inside<'_, J> {
    fn drop(&mut self) {
        let backlog = self.desk.backlog() as u64;
        if self.station.backlog.load(Relaxed) != backlog {
            // In one order with searchers, where it says whom to call: see `has_own_work`.
            let order = if self.station.keyed.is_some() {
                SeqCst
            } else {
                Relaxed
            };
            self.station.backlog.store(backlog, order);
        }
        if self.desk.met > 0 || self.desk.faults > 0 {
            let met = std::mem::take(&mut self.desk.met);
            self.station.met.fetch_add(met, Relaxed);
            let faults = std::mem::take(&mut self.desk.faults);
            self.station.faults.fetch_add(faults, Relaxed);
        }
    }
}

impl<J: Send + 'static> Deref for Inside<'_, J> {
    type Target = Floor<J>;
    fn deref(&self) -> &Floor<J> {
        &self.guard
    }
}

impl<J: Send + 'static> DerefMut for Inside<'_, J> {
    fn deref_mut(&mut self) -> &mut Floor<J> {
        &mut self.guard
    }
}

impl<J: Send + 'static> Station<J> {
    /// `alone`: there are no other desks. `dedicated`: workers have threads of their own. `cores`: so many workers run at
    /// a time.
    #[inline(never)]
    pub(crate) fn new(
        dispatcher: usize,
        desk: Desk<J>,
        workers: usize,
        alone: bool,
        dedicated: bool,
        cores: usize,
    ) -> Self {
        let mut seats = Vec::with_capacity(workers);
        for index in 0..workers {
            let id = WorkerId::new(dispatcher, index);
            let number = dispatcher * workers + index;
            seats.push(Seat::new(id, number, desk.vitals()));
        }
        let routed = AtomicBool::new(desk.routes());
        Station {
            floor: Mutex::new(Floor {
                desk,
                wakers: no_wakers(workers),
                drawn: Envelopes::default(),
                trays: Vec::new(),
            }),
            watch: Padded(AtomicU64::new(0)),
            keyed: (!alone).then(KeyedIntake::new),
            seats: seats.into(),
            backlog: AtomicU64::new(0),
            loaded: Loaded::new(workers),
            // Where many share a core, each comes by the desk more rarely.
            rarely: (2 * workers / cores).saturating_sub(1).clamp(1, RAREST) as u32,
            // On threads, one worker leaves half: it comes back before what it took is old. On an executor that may be long,
            // and whoever is quicker finds it in the tray. (Not what a strategy binds; but that is this worker's anyway.) Workers
            // of other desks have a share, too.
            share: match (dedicated, alone) {
                (false, _) => 1,
                (true, true) => SHARE.min(2),
                (true, false) => SHARE,
            },
            faults: AtomicU64::new(0),
            met: AtomicUsize::new(0),
            routed,
        }
    }

    pub(crate) fn seats(&self) -> &[Seat<J>] {
        &self.seats
    }

    pub(crate) fn own_seat(&self, index: usize) -> OwnSeat<J> {
        OwnSeat::new(self.seats.clone(), index)
    }

    /// Of its workers.
    pub(crate) fn vitals(&self) -> Arc<[Vitals]> {
        self.seats[0].shared_vitals()
    }

    /// To be kept apart from the desk, with all that is on it.
    pub(crate) fn shared_seats(&self) -> Arc<[Seat<J>]> {
        self.seats.clone()
    }

    /// Whether its strategy binds jobs to workers.
    pub(crate) fn is_routed(&self) -> bool {
        self.routed.load(Relaxed)
    }

    /// About how many jobs wait for this desk's workers, and not in the common intake.
    pub(crate) fn backlog_hint(&self) -> u64 {
        let keyed = self.keyed.as_ref().map_or(0, KeyedIntake::about);
        self.backlog.load(Relaxed) + keyed
    }

    /// Whether jobs wait here that the workers of other desks may not take: for several desks.
    fn has_own_work(&self) -> bool {
        let keyed = self.keyed.as_ref().map_or(0, KeyedIntake::about);
        keyed > 0 || self.backlog.load(SeqCst) > 0
    }

    /// Whether someone sleeps here and nobody searches although there is work that only this desk's workers
    /// may do.
    pub(crate) fn is_overslept(&self) -> bool {
        self.watched() == (0, true) && self.has_own_work()
    }

    /// Takes in a job whose key belongs to this desk.
    #[inline(never)]
    pub(crate) fn push_keyed(&self, mut job: Queued<J>) {
        job.stay_with_desk();
        match &self.keyed {
            Some(keyed) => keyed.push(job),
            None => unreachable!("a single desk has all keys, and the common intake"),
        }
    }

    fn enter(&self) -> Inside<'_, J> {
        debug_assert!(!current::in_desk(), "no thread locks two desks");
        Inside {
            station: self,
            guard: lock_soon(&self.floor),
            _mark: current::mark_desk(),
        }
    }

    /// For the worker of another desk.
    fn enter_for_others(&self) -> Inside<'_, J> {
        let mut floor = self.enter();
        self.draw_for_others(&mut floor);
        floor
    }

    fn draw_for_others(&self, floor: &mut Floor<J>) {
        if floor.desk.is_deserted() {
            floor.draw_keyed(self.keyed.as_ref());
        }
    }

    // ---- taking jobs ------------------------------------------------------------------------

    /// The next job for one of this desk's own workers, whose tray is empty, and further ones into its tray.
    pub(crate) fn take(
        &self,
        seat: &Seat<J>,
        appetite: Appetite,
        intake: &Intake<J>,
    ) -> Option<Taken<J>> {
        let mut floor = self.enter();
        floor.draw_keyed(self.keyed.as_ref());
        if floor.desk.may_leave_in_intake() {
            let most = appetite.of_common() as usize;
            return self.take_ahead(&mut floor, seat, most, intake);
        }
        let most = appetite.of_bound(self.rarely) as usize;
        let mut called = Vec::new();
        // Of tiny jobs, a worker that has enough of its own leaves the rest to be drawn in bulk by the first
        // that has not.
        if most == 1 || !floor.desk.has_bound(seat.id.index()) {
            floor.draw_to_route(intake, self.is_alone());
            called = floor.desk.route();
        }
        let taken = self.take_bound(&mut floor, seat, most, &mut called);
        if taken.is_some() {
            called.extend(floor.desk.route_for_sleepers());
        }
        // What found no room in an inbox is for the workers of other desks.
        let more = floor.desk.has_unbound();
        let wakers = self.collect_wakers(&mut floor, called);
        drop(floor);
        call_each(wakers);
        taken.map(|taken| Taken { more, ..taken })
    }

    /// The next job of a worker's inbox or one that may go to anyone, and further ones of the inbox into the
    /// tray. What the strategy then gives this worker goes there, too, up to its share of what waits: so its
    /// jobs are taken in bulk also from shallow inboxes.
    fn take_bound(
        &self,
        floor: &mut Floor<J>,
        seat: &Seat<J>,
        most: usize,
        called: &mut Vec<usize>,
    ) -> Option<Taken<J>> {
        let worker = seat.id.index();
        let desk = &mut floor.desk;
        let job = desk.take(worker, &|id| seat.has_detached(id))?;
        let bound = desk.count_bound(worker);
        let most = (most - 1).min(bound.max(desk.backlog() / self.share));
        let further = if bound == 0 { 0 } else { most };
        let mut jobs = self.begin(&mut floor.trays, seat, &job, further);
        if let Some(jobs) = &mut jobs {
            let jobs = jobs.singles();
            desk.take_many_bound(worker, most, jobs);
            desk.route_and_take(worker, most, jobs, called);
        }
        Some(self.hand_over(seat, job, jobs, true))
    }

    /// How many of `waiting` jobs a worker takes beyond the first.
    fn further(&self, waiting: usize, most: usize) -> usize {
        (waiting / self.share).min(most).saturating_sub(1)
    }

    /// Whether there are no other desks.
    fn is_alone(&self) -> bool {
        self.keyed.is_none()
    }

    /// The first job that waits, and into the tray further ones: the worker's share of what waits and at most
    /// `most`, since the rest is for the others. From the desk, or while that is empty from the intake, which bypasses the
    /// desk.
    fn take_ahead(
        &self,
        floor: &mut Floor<J>,
        seat: &Seat<J>,
        most: usize,
        intake: &Intake<J>,
    ) -> Option<Taken<J>> {
        let worker = seat.id.index();
        let waiting = floor.desk.backlog();
        // What an earlier strategy bound to the worker left the backlog before all that is in the intake.
        if waiting > 0 || floor.desk.has_bound(worker) {
            let job = floor.desk.take(worker, &|id| seat.has_detached(id))?;
            // What is left in the inbox comes before what nothing binds.
            let more = if floor.desk.has_bound(worker) {
                0
            } else {
                self.further(waiting, most)
            };
            let mut jobs = self.begin(&mut floor.trays, seat, &job, more);
            if let Some(jobs) = &mut jobs {
                floor.desk.take_many(more, jobs.singles());
            }
            return Some(self.hand_over(seat, job, jobs, false));
        }
        let Floor { drawn, .. } = floor;
        // By one look, since others want that lock, too.
        let job = intake.draw(|front, more| {
            let waiting = front.len() + if more { BLOCK } else { 0 };
            let job = front.pop()?;
            front.move_to(self.further(waiting, most), drawn);
            Some(job)
        });
        floor.desk.set_busy(worker, job.is_some());
        let (job, more) = (job?, floor.drawn.len());
        let mut jobs = self.begin(&mut floor.trays, seat, &job, more);
        if let Some(jobs) = &mut jobs {
            std::mem::swap(jobs, &mut floor.drawn);
        }
        Some(self.hand_over(seat, job, jobs, false))
    }

    /// A worker begins with a job; if it is to take `more` ahead, answers its empty tray, to be filled apart: the strategy or
    /// the order is asked meanwhile, which is foreign code. Under the desk's lock, as is what follows.
    fn begin(
        &self,
        trays: &mut Vec<Envelopes<J>>,
        seat: &Seat<J>,
        job: &Queued<J>,
        more: usize,
    ) -> Option<Envelopes<J>> {
        seat.begin(job.id());
        if more == 0 {
            return None;
        }
        let jobs = std::mem::take(&mut seat.tray.lock().jobs);
        debug_assert!(jobs.is_empty(), "its worker has nothing in hand");
        if jobs.capacity() > 0 {
            return Some(jobs);
        }
        Some(trays.pop().unwrap_or_default())
    }

    /// Gives a worker the job that it begins with, and its tray.
    fn hand_over(
        &self,
        seat: &Seat<J>,
        job: Queued<J>,
        jobs: Option<Envelopes<J>>,
        bound: bool,
    ) -> Taken<J> {
        let mut ahead = 0;
        if let Some(jobs) = jobs {
            ahead = jobs.len();
            let mut tray = seat.tray.lock();
            *tray = Tray { jobs, bound };
            if ahead > 0 && !bound {
                self.loaded.set(seat.id.index());
            }
        }
        let more = ahead > 0;
        Taken { job, ahead, more }
    }

    /// The next job in a worker's own tray, or in another's when that one is slow, for `to`.
    pub(crate) fn take_from_tray(&self, of: &Seat<J>, to: &Seat<J>) -> Option<Queued<J>> {
        let mut tray = of.tray.lock();
        if tray.bound || tray.jobs.is_empty() {
            self.loaded.clear(of.id.index());
            if of.id != to.id {
                return None;
            }
        }
        let job = if of.id.dispatcher() == to.id.dispatcher() {
            tray.jobs.pop()?
        } else {
            // A key's jobs stay with their desk.
            tray.jobs.pop_first(|job| !job.stays_with_desk())?
        };
        to.begin(job.id());
        Some(job)
    }

    /// A job that another worker of this desk took ahead. Its own tray comes last: a worker with nothing to do clears
    /// its mark there.
    pub(crate) fn steal(&self, to: &Seat<J>) -> Option<Queued<J>> {
        if !self.loaded.any() || seeded(Fault::TrayUnseen) {
            return None;
        }
        let mut loaded = self.loaded.from(to.id.index() + 1);
        while let Some(of) = loaded.next() {
            let job = self.take_from_tray(&self.seats[of], to);
            if job.is_some() {
                return job;
            }
        }
        None
    }

    /// A job of this desk that may go to anyone, for the worker of another desk.
    #[inline(never)]
    pub(crate) fn give_away(&self, to: &Seat<J>) -> Option<Queued<J>> {
        let mut floor = self.enter_for_others();
        let mut called = floor.desk.route();
        let job = floor.desk.take_unbound();
        if let Some(job) = &job {
            to.begin(job.id());
            called.extend(floor.desk.route_for_sleepers());
        }
        let wakers = self.collect_wakers(&mut floor, called);
        drop(floor);
        call_each(wakers);
        job.or_else(|| self.steal(to))
    }

    /// For the strategy, to which a worker that runs another desk's job is not idle.
    pub(crate) fn note_busy(&self, seat: &Seat<J>) {
        let mut floor = self.enter();
        floor.desk.set_busy(seat.id.index(), true);
    }

    // ---- searching and sleeping -------------------------------------------------------------

    pub(crate) fn begin_search(&self) {
        self.watch.fetch_add(SEARCHER, SeqCst);
    }

    /// Answers whether this was the last searcher of the desk.
    pub(crate) fn end_search(&self) -> bool {
        self.watch.fetch_sub(SEARCHER, SeqCst) & SEARCHERS == SEARCHER
    }

    /// How many search, and whether somebody sleeps.
    #[inline]
    pub(crate) fn watched(&self) -> (u64, bool) {
        let watch = self.watch.load(SeqCst);
        (watch & SEARCHERS, watch >= SLEEPER)
    }

    /// Lets a searching worker sleep, unless there is something to do. `up` is asked under the lock
    /// whether the pool is over.
    #[inline(never)]
    pub(crate) fn lie_down(
        &self,
        worker: usize,
        waker: Waker,
        intake: &Intake<J>,
        up: impl FnOnce() -> bool,
    ) -> bool {
        let mut floor = self.enter();
        let trays = self.loaded.any() && !seeded(Fault::TrayUnseen);
        if up() || floor.desk.has_work_for(worker) || trays {
            return false;
        }
        floor
            .desk
            .set_idle(worker, &|id| self.seats[worker].has_detached(id));
        floor.desk.lie_down(worker);
        let old = floor.wakers[worker].replace(waker);
        self.watch.fetch_add(SLEEPER - SEARCHER, SeqCst);
        // The last look, under the intakes' locks.
        let keyed = self.keyed.as_ref();
        let nothing_keyed =
            || seeded(Fault::KeyedUnseen) || keyed.is_none_or(KeyedIntake::is_empty);
        let stay = seeded(Fault::NoLastLook) || intake.is_empty() && nothing_keyed();
        let mut waker = None;
        if stay {
            let jobs = &mut self.seats[worker].tray.lock().jobs;
            debug_assert!(jobs.is_empty(), "what it took ahead comes first");
            if jobs.is_empty() && jobs.capacity() > 0 {
                let tray = std::mem::take(jobs);
                if floor.trays.len() < KEPT_TRAYS && tray.capacity() <= KEPT_TRAY {
                    floor.trays.push(tray);
                }
            }
        } else {
            waker = self.get_up_inside(&mut floor, worker);
        }
        drop(floor);
        drop((old, waker));
        stay
    }

    /// A sleeper gets up by itself and searches again; one that was called meanwhile does so already.
    #[inline(never)]
    pub(crate) fn get_up(&self, worker: usize) {
        let mut floor = self.enter();
        let waker = self.get_up_inside(&mut floor, worker);
        drop(floor);
        drop(waker);
    }

    fn get_up_inside(&self, floor: &mut Floor<J>, worker: usize) -> Option<Waker> {
        if floor.desk.rouse(worker) {
            self.watch.fetch_sub(SLEEPER - SEARCHER, SeqCst);
        }
        floor.wakers[worker].take()
    }

    /// Whether the worker still sleeps; if so it is woken through `waker` from now on.
    #[inline(never)]
    pub(crate) fn still_asleep(&self, worker: usize, waker: Waker) -> bool {
        let mut floor = self.enter();
        let asleep = floor.desk.is_asleep(worker);
        let mut old = Some(waker);
        if asleep {
            std::mem::swap(&mut floor.wakers[worker], &mut old);
        }
        drop(floor);
        drop(old);
        asleep
    }

    /// Calls one sleeper, or sees to it that those get called whom the strategy chooses. With `siblings`,
    /// there may be work on other desks.
    #[inline(never)]
    pub(crate) fn call_one(&self, intake: &Intake<J>, siblings: bool) {
        let mut floor = self.enter();
        floor.draw_keyed(self.keyed.as_ref());
        let mut wakers = Vec::new();
        let mut anybody = true;
        if floor.desk.routes() {
            let mut called = Vec::new();
            // Until somebody is called, who goes on from there: what is drawn may all be for workers that are
            // awake, or cancelled, while a sleeper's job is further back.
            loop {
                let drawn = floor.draw_to_route(intake, self.is_alone());
                called.extend(floor.desk.route());
                if drawn == 0 || !called.is_empty() {
                    break;
                }
            }
            anybody = called.is_empty() && (siblings || floor.desk.has_unbound());
            wakers = self.collect_wakers(&mut floor, called);
        }
        // Apart, because a list would cost an allocation for each burst.
        let waker = if anybody {
            let worker = floor.desk.rouse_one();
            worker.and_then(|worker| self.collect_waker(&mut floor, worker))
        } else {
            None
        };
        drop(floor);
        call_each(wakers);
        if let Some(waker) = waker {
            call(waker);
        }
    }

    #[inline(never)]
    pub(crate) fn call_all(&self) {
        let mut floor = self.enter();
        let mut called = Vec::new();
        while let Some(worker) = floor.desk.rouse_one() {
            called.push(worker);
        }
        let wakers = self.collect_wakers(&mut floor, called);
        drop(floor);
        call_each(wakers);
    }

    fn collect_wakers(&self, floor: &mut Floor<J>, called: Vec<usize>) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for worker in called {
            if let Some(waker) = self.collect_waker(floor, worker) {
                wakers.push(waker);
            }
        }
        wakers
    }

    /// Counts a worker that was taken off the sleepers as a searcher; its waker is to be called after the
    /// lock.
    fn collect_waker(&self, floor: &mut Floor<J>, worker: usize) -> Option<Waker> {
        self.watch.fetch_sub(SLEEPER - SEARCHER, SeqCst);
        floor.wakers[worker].take()
    }

    // ---- coming and going -------------------------------------------------------------------

    /// The worker can take jobs now, or cannot: then what is bound to it goes to anyone.
    /// Answers whether that left jobs for others.
    pub(crate) fn set_present(&self, worker: usize, present: bool) -> bool {
        self.change_presence(worker, Change::Present(present))
    }

    /// The worker cannot take jobs until it has a handler again. Answers as `set_present`.
    pub(crate) fn step_out(&self, worker: usize) -> bool {
        self.change_presence(worker, Change::SteppedOut)
    }

    /// The worker's job waits for this very pool, or goes on. Answers as `set_present`.
    pub(crate) fn set_away(&self, worker: usize, away: bool) -> bool {
        self.change_presence(worker, Change::Away(away))
    }

    #[inline(never)]
    fn change_presence(&self, worker: usize, change: Change) -> bool {
        let seat = &self.seats[worker];
        let mut floor = self.enter();
        floor.draw_keyed(self.keyed.as_ref());
        match change {
            Change::Present(present) => floor.desk.set_present(worker, present),
            Change::SteppedOut => {
                floor.desk.set_present(worker, false);
                floor.desk.expect(worker);
            }
            Change::Away(away) => floor.desk.set_away(worker, away),
        }
        let present = floor.desk.is_present(worker);
        if !present {
            let (in_hand, bound) = self.empty_tray(seat);
            floor.desk.put_back(worker, in_hand.into_singles(), bound);
            let running = seat.running();
            floor.desk.release_keys(worker, &|id| running.contains(&id));
        }
        !present && floor.desk.has_unbound()
    }

    /// What was in the tray, and whether it is bound. Under the desk's lock.
    #[inline(never)]
    fn empty_tray(&self, seat: &Seat<J>) -> (Envelopes<J>, bool) {
        let mut tray = seat.tray.lock();
        self.loaded.clear(seat.id.index());
        (std::mem::take(&mut tray.jobs), tray.bound)
    }

    // ---- everything at once -----------------------------------------------------------------

    /// Whether this desk has a job for the worker of another one: exact, for one that would search for it
    /// again and again.
    #[inline(never)]
    pub(crate) fn has_spare(&self) -> bool {
        self.has_spare_on_desk() || self.loaded.any() && self.has_spare_in_trays()
    }

    fn has_spare_in_trays(&self) -> bool {
        let mut loaded = self.loaded.from(0);
        while let Some(of) = loaded.next() {
            let tray = self.seats[of].tray.lock();
            if !tray.bound && tray.jobs.has_unkeyed() {
                return true;
            }
        }
        false
    }

    fn has_spare_on_desk(&self) -> bool {
        let mut floor = self.enter();
        self.draw_for_others(&mut floor);
        floor.desk.has_spare()
    }

    /// Takes out all that waits in the intake, on the desk and in its workers' trays.
    #[inline(never)]
    pub(crate) fn sweep(&self, intake: &Intake<J>) -> Vec<Queued<J>> {
        let mut floor = self.enter();
        floor.draw_keyed(self.keyed.as_ref());
        floor.draw(intake);
        let mut swept = Vec::new();
        for seat in &*self.seats {
            for job in self.empty_tray(seat).0.into_singles() {
                swept.push(job);
            }
        }
        floor.desk.sweep(&mut swept);
        swept
    }

    /// Shows the numbers of all that waits in the intake, on the desk and in its workers' trays.
    #[inline(never)]
    pub(crate) fn visit(&self, intake: &Intake<J>, waiting: &mut dyn FnMut(JobId)) {
        let mut floor = self.enter();
        floor.draw_keyed(self.keyed.as_ref());
        floor.draw(intake);
        floor.desk.visit(&mut |job| job.for_each_waiting(waiting));
        for seat in &*self.seats {
            let tray = seat.tray.lock();
            for envelope in tray.jobs.envelopes() {
                envelope.for_each_waiting(waiting);
            }
        }
    }

    #[inline(never)]
    pub(crate) fn drop_tombstones(&self, intake: &Intake<J>) -> usize {
        let mut floor = self.enter();
        floor.draw_keyed(self.keyed.as_ref());
        floor.draw(intake);
        floor.desk.drop_tombstones()
    }

    #[inline(never)]
    pub(crate) fn set_strategy(&self, strategy: Strategy<J>) {
        let mut floor = self.enter();
        let old = floor.desk.set_strategy(strategy);
        self.routed.store(floor.desk.routes(), Relaxed);
        drop(floor);
        // Foreign code: not under the lock.
        drop(old);
    }

    /// Drops the queue order, and with it whatever it will not give out.
    #[inline(never)]
    pub(crate) fn replace_order(&self) {
        self.enter().desk.replace_order();
    }

    /// How many tombstones were met while routing, since the last call.
    pub(crate) fn take_met(&self) -> usize {
        if self.met.load(Relaxed) == 0 {
            return 0;
        }
        self.met.swap(0, Relaxed)
    }

    /// The strategy broke its contract outside of its desk.
    pub(crate) fn note_fault(&self) {
        self.faults.fetch_add(1, Relaxed);
    }

    /// How many workers have jobs in their hands.
    pub(crate) fn count_at_work(&self) -> u64 {
        let mut at_work = 0;
        for seat in &*self.seats {
            at_work += u64::from(seat.is_at_work());
        }
        at_work
    }

    pub(crate) fn faults(&self) -> u64 {
        self.faults.load(Relaxed)
    }
}

impl<J: Send + 'static> Floor<J> {
    /// Moves to the desk what only its own workers may run.
    fn draw_keyed(&mut self, keyed: Option<&KeyedIntake<J>>) {
        if let Some(keyed) = keyed.filter(|keyed| keyed.about() > 0) {
            keyed.draw_all(|jobs| self.desk.append(jobs.singles()));
        }
    }

    /// Moves to the desk what it can route now, or all, if its order has to see all to choose. The rest stays in the
    /// intake, for any desk. Answers how many there were.
    fn draw_to_route(&mut self, intake: &Intake<J>, alone: bool) -> usize {
        if !self.desk.in_arrival_order() {
            return self.draw(intake);
        }
        let (room, backlog) = (self.desk.room(), self.desk.backlog());
        if backlog >= room {
            return 0;
        }
        let drawn = &mut self.drawn;
        intake.draw(|front, _| {
            if alone && front.len() >= WHOLE_FROM {
                front.append_to(drawn);
            } else {
                front.move_to(room - backlog, drawn);
            }
        });
        let count = drawn.len();
        if count > 0 {
            self.desk.append(drawn.singles());
            // It may be an order's now, from a burst.
            drawn.forget_burst();
        }
        count
    }

    /// Moves all that waits in the intake to the desk. Answers how many there were.
    fn draw(&mut self, intake: &Intake<J>) -> usize {
        let mut drawn = 0;
        intake.draw_all(|jobs| {
            drawn += jobs.len();
            self.desk.append(jobs.singles());
            jobs.forget_burst();
        });
        drawn
    }
}

fn no_wakers(workers: usize) -> Vec<Option<Waker>> {
    (0..workers).map(|_| None).collect()
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests {
    use super::*;
    use crate::desk::appetite::Usual;
    use crate::dispatcher::{Any, Dispatcher, Target, Workers};
    use crate::job::Job;
    use crate::queue::block::tests::{bundle, jobs};
    use crate::queue_order::Fifo;

    #[test]
    fn nobody_lies_down_beside_what_waits_nor_takes_it_apart() {
        let strategy = Box::new(Any::new());
        let desk = Desk::new(0, Box::new(Fifo::new()), strategy, 2, 4);
        let station = Station::new(0, desk, 2, true, true, 2);
        let intake = Intake::new();
        for first in (0..320).step_by(64) {
            intake.push_bundle(bundle(first..first + 64));
        }
        let appetite = Usual::new().get();
        let taken = station.take(&station.seats[0], appetite, &intake);
        assert_eq!(taken.map(|taken| taken.ahead), Some(0));
        station.begin_search();
        let waker = Waker::noop().clone();
        assert!(!station.lie_down(1, waker, &intake, || false));
        station.call_one(&intake, false);
        assert!(!station.still_asleep(1, Waker::noop().clone()));
        station.note_busy(&station.seats[1]);
        let left = intake.draw(|front, _| (front.len(), front.envelopes().len()));
        assert_eq!(left, (319, 5));
    }

    #[test]
    fn a_worker_leaves_to_others_what_may_wait_for_it_longer_than_for_them() {
        let of_twenty = |alone, dedicated| {
            let strategy = Box::new(Any::new());
            let desk = Desk::new(0, Box::new(Fifo::new()), strategy, 4, 4);
            let station = Station::new(0, desk, 4, alone, dedicated, 2);
            let intake = Intake::new();
            jobs(0..20).for_each(|job| intake.push(job));
            let tiny = Appetite::of_jobs_that_take(100);
            let taken = station.take(&station.seats[0], tiny, &intake);
            1 + taken.expect("twenty wait").ahead
        };
        assert_eq!(of_twenty(true, true), 10, "threads");
        assert_eq!(of_twenty(true, false), 20, "tasks, whose trays are open");
        assert_eq!(of_twenty(false, true), 5, "threads of several desks");
    }

    #[test]
    fn the_buffer_of_a_burst_is_not_kept_however_it_is_drawn() {
        let any = || Box::new(Any::new()) as Box<dyn Dispatcher<usize>>;
        let to_first = || {
            let to_first = |_: &Job<usize>, workers: &Workers<'_>| {
                let first = workers.get(0).expect("there is one");
                Target::Worker(first.id())
            };
            Box::new(to_first) as Box<dyn Dispatcher<usize>>
        };
        let cases = [
            (any(), true, false),
            (any(), false, false),
            (to_first(), false, false),
            (any(), true, true),
        ];
        for (case, (strategy, alone, seen)) in cases.into_iter().enumerate() {
            let desk = Desk::new(0, Box::new(Fifo::new()), strategy, 1, 4);
            let station = Station::new(0, desk, 1, alone, true, 1);
            station.set_present(0, true);
            let intake = Intake::new();
            let (seat, tiny) = (&station.seats[0], Appetite::of_jobs_that_take(100));
            let run = |count: usize| {
                jobs(0..count).for_each(|job| intake.push(job));
                if seen && count > 1000 {
                    // That puts them on the desk.
                    station.visit(&intake, &mut |_| ());
                }
                let mut next = 0;
                while let Some(taken) = station.take(seat, tiny, &intake) {
                    let tray = std::iter::from_fn(|| station.take_from_tray(seat, seat));
                    for job in std::iter::once(taken.job).chain(tray) {
                        assert_eq!(job.id().get() - 1, next, "case {case}");
                        next += 1;
                    }
                }
                assert_eq!(next, count as u64, "case {case}");
            };
            // The buffers change places.
            for count in [5000, 1, 300, 1, 5000, 300, 1, 1] {
                run(count);
                let kept = intake.capacity() + station.enter().drawn.capacity();
                assert!(kept < 5000, "case {case}, after {count}: {kept}");
            }
        }
    }

    #[test]
    fn a_worker_that_sleeps_leaves_its_tray_but_not_that_of_a_burst() {
        for (burst, kept) in [(KEPT_TRAY, 1), (KEPT_TRAY + 1, 0)] {
            let strategy = Box::new(Any::new());
            let desk = Desk::new(0, Box::new(Fifo::new()), strategy, 1, 4);
            let station = Station::new(0, desk, 1, true, true, 1);
            {
                let tray = &mut station.seats[0].tray.lock().jobs;
                jobs(0..burst).for_each(|job| tray.push(job));
                while tray.pop().is_some() {}
            }
            station.begin_search();
            let waker = Waker::noop().clone();
            assert!(station.lie_down(0, waker, &Intake::new(), || false));
            assert_eq!(station.enter().trays.len(), kept, "{burst}");
        }
    }
}
