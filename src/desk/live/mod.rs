//! The live desk: a desk behind its lock, fed from the intake, with the wakers of its workers.
//!
//! # Who waits, who wakes
//!
//! A worker that finds no job *searches* for a moment, then *sleeps*. `watch` counts both, sleepers in its upper half
//! and searchers in its lower half, so one load tells a submitter what to do.
//!
//! - **Push.** A submitter pushes its job, then reads `watch`:
//!   1. If a worker searches, the submitter is done.
//!   2. Else, if a worker sleeps, the submitter *wakes* one: under the desk's lock it takes a sleeper off the list and
//!      counts it as a searcher; after unlocking it calls the waker.
//!
//!   So each push wakes at most one worker, and none while one is on its way. On an executor, a woken worker may be
//!   delayed behind a busy task. There, searchers excuse a push only while they suffice for all jobs that nobody has
//!   taken: one searcher per job or, of tiny jobs, per as many as a worker takes at once.
//! - **Found.** A searcher that finds a job leaves the searchers. If it was the last and more jobs wait, it wakes the
//!   next worker, so a burst wakes as many workers as it needs, one by one. It reads the gate *after* leaving the
//!   searchers, and a submitter reads `watch` after taking its ticket, all sequentially consistent. Hence either the
//!   submitter saw no searcher, or the searcher sees the submitter's job.
//! - **Ahead.** A worker with short jobs takes several at once into its *tray*, from which any other worker may take.
//!   If a worker sleeps and none searches, it wakes one, so no job waits in a busy worker's tray while another worker
//!   sleeps: trays are filled under the desk's lock, and a worker reads `loaded` under the same lock before it falls
//!   asleep. Bound jobs go into the tray of their worker, too; like those in its inbox, no other worker takes them.
//! - **Sleep.** A worker falls asleep in three steps:
//!   1. Under the desk's lock, it checks the desk again, puts itself on the list and moves from the searchers to the
//!      sleepers.
//!   2. Still under that lock, it checks the intake *under the intake's lock*. If a push came first, the worker sees
//!      the job and gets up. If its check came first, the submitter locked the intake after it, so the submitter reads
//!      the new `watch` and wakes a sleeper.
//!   3. It checks the other desks, under their locks. A worker that leaves a job for all on one of these wakes a
//!      sleeper after unlocking, so the same argument holds.
//! - **Keyed.** With several desks, a job with a key goes into an intake of its own desk. Only that desk's workers take
//!   it, unless none of them can. The rules above hold there too, with that desk's searchers and sleepers. Besides,
//!   every wake-up for a waiting job also wakes a sleeper on each desk that has work of its own and no searcher.
//! - **Woken in vain.** A worker that is dropped after it was woken wakes the next one.
//! - **Close.** A thread that closes, halts or drains the pool first changes the state, then wakes all sleepers of each
//!   desk under its lock. A worker checks the state under the same lock before it falls asleep.
//!
//! A waker is foreign code: it is cloned, called and dropped outside the lock.

mod drawing;
mod presence;
mod sleeping;
mod sweeping;
mod taking;

use crate::desk::loaded_trays::LoadedTrays;
use crate::desk::seat::{OwnSeat, Seat};
use crate::desk::{Desk, Strategy};
use crate::dispatcher::Vitals;
use crate::id::WorkerId;
use crate::queue::block::Block;
use crate::queue::envelope::Queued;
use crate::queue::intake::{BLOCK, KeyedIntake};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use crate::sync::{Mutex, MutexGuard, Padded};
use crate::wait::current;
use crate::wait::spin::lock_soon;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::task::Waker;

const SLEEPER: u64 = 1 << 32;
const SEARCHER: u64 = 1;
const SEARCHERS: u64 = SLEEPER - 1;

/// A worker takes at least one in this many of the waiting jobs ahead: more without other desks, or on an executor. (A
/// model has few jobs.)
const SHARE: usize = if cfg!(any(fanpool_loom, fanpool_shuttle)) {
    1
} else {
    4
};

/// The limit of `rarely`.
const RAREST: usize = 4;

/// From how many jobs on the open block is taken as a whole, which costs no more than to take a few. Of fewer, a desk takes
/// what it needs now, and the rest stays in the intake for all desks. A worker lingers for no more than these.
pub(crate) const WHOLE_FROM: usize = 3 * BLOCK / 4;

/// This many trays of sleeping workers are kept for reuse: more are seldom wanted at a time.
const KEPT_TRAYS: usize = 64;
/// Trays with more room than this are not kept: a worker does not take as many jobs at once.
const KEPT_TRAY: usize = 256;

pub(crate) struct LiveDesk<J> {
    state: Mutex<State<J>>,
    watch: Padded<AtomicU64>,
    /// Jobs with a key, if there are other desks.
    keyed: Option<KeyedIntake<J>>,
    seats: Arc<[Seat<J>]>,
    /// About how many jobs are drawn and not bound. Written under the lock, read as a hint.
    backlog: AtomicU64,
    /// A worker takes one in this many of the waiting jobs ahead.
    share: usize,
    /// Multiplies how many tiny bound jobs a worker takes at once. No other worker could take them.
    rarely: u32,
    /// Which trays may hold jobs for any worker.
    loaded: LoadedTrays,
    /// Contained panics and broken contracts of the strategy and the order.
    faults: AtomicU64,
    /// Tombstones met and dropped while routing.
    met: AtomicUsize,
    /// Whether the desk routes. Written under the lock.
    routed: AtomicBool,
}

/// What the lock protects.
pub(crate) struct State<J> {
    desk: Desk<J>,
    /// Wakers of the sleeping workers.
    wakers: Vec<Option<Waker>>,
    /// Jobs on their way from the intake to the desk or to a worker's tray. Empty between calls; kept for its buffer.
    drawn: Block<J>,
    /// The block that the desk draws from: later than what is on the desk, earlier than what is in the intake.
    front: Block<J>,
    /// Empty trays of workers that sleep, for their buffers.
    trays: Vec<Block<J>>,
}

/// A job for a worker, and what came with it.
pub(crate) struct Taken<J> {
    pub(crate) job: Queued<J>,
    /// How many further jobs are in the worker's tray.
    pub(crate) ahead: usize,
    /// Whether jobs are left that others could run.
    pub(crate) more: bool,
}

/// The held lock. Marks this thread as holding it, because strategies and orders run under it.
struct Locked<'a, J: Send + 'static> {
    live: &'a LiveDesk<J>,
    guard: MutexGuard<'a, State<J>>,
    /// Declared after the guard: dropping it does what was put off, which must happen after unlocking.
    _mark: current::AtDesk,
}

impl<J: Send + 'static> Drop for Locked<'_, J> {
    fn drop(&mut self) {
        let backlog = self.backlog() as u64;
        if self.live.backlog.load(Relaxed) != backlog {
            // With several desks, sequentially consistent with the searchers, because it decides which desk's sleepers
            // to wake: see `has_own_work`.
            let order = if self.live.keyed.is_some() {
                SeqCst
            } else {
                Relaxed
            };
            self.live.backlog.store(backlog, order);
        }
        if self.desk.met > 0 || self.desk.faults > 0 {
            let met = std::mem::take(&mut self.desk.met);
            self.live.met.fetch_add(met, Relaxed);
            let faults = std::mem::take(&mut self.desk.faults);
            self.live.faults.fetch_add(faults, Relaxed);
        }
    }
}

impl<J: Send + 'static> Deref for Locked<'_, J> {
    type Target = State<J>;
    fn deref(&self) -> &State<J> {
        &self.guard
    }
}

impl<J: Send + 'static> DerefMut for Locked<'_, J> {
    fn deref_mut(&mut self) -> &mut State<J> {
        &mut self.guard
    }
}

impl<J: Send + 'static> LiveDesk<J> {
    /// `alone`: there are no other desks. `dedicated`: workers have threads of their own. `cores`: how many workers run
    /// at a time.
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
        LiveDesk {
            state: Mutex::new(State {
                desk,
                wakers: no_wakers(workers),
                drawn: Block::default(),
                front: Block::default(),
                trays: Vec::new(),
            }),
            watch: Padded(AtomicU64::new(0)),
            keyed: (!alone).then(KeyedIntake::new),
            seats: seats.into(),
            backlog: AtomicU64::new(0),
            loaded: LoadedTrays::new(workers),
            // Where many workers share a core, each visits the desk more rarely.
            rarely: (2 * workers / cores).saturating_sub(1).clamp(1, RAREST) as u32,
            // On threads, a lone desk's worker leaves half: it comes back before what it took is old. Workers of other
            // desks need a share, too. On an executor, the worker may be long in coming back, and a quicker one takes
            // the jobs from its tray. (Except bound jobs; but those are this worker's anyway.)
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

    pub(crate) fn vitals(&self) -> Arc<[Vitals]> {
        self.seats[0].shared_vitals()
    }

    pub(crate) fn shared_seats(&self) -> Arc<[Seat<J>]> {
        self.seats.clone()
    }

    pub(crate) fn is_routed(&self) -> bool {
        self.routed.load(Relaxed)
    }

    /// Returns about how many jobs wait for this desk's workers, besides those in the common intake.
    pub(crate) fn backlog_hint(&self) -> u64 {
        let keyed = self.keyed.as_ref().map_or(0, KeyedIntake::about);
        self.backlog.load(Relaxed) + keyed
    }

    /// Returns whether jobs wait here that workers of other desks may not take. Only meaningful with several desks.
    fn has_own_work(&self) -> bool {
        let keyed = self.keyed.as_ref().map_or(0, KeyedIntake::about);
        keyed > 0 || self.backlog.load(SeqCst) > 0
    }

    /// Returns whether a worker sleeps here and none searches although there is work that only this desk's workers may
    /// do.
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

    fn enter(&self) -> Locked<'_, J> {
        debug_assert!(!current::in_desk(), "no thread locks two desks");
        Locked {
            live: self,
            guard: lock_soon(&self.state),
            _mark: current::mark_desk(),
        }
    }

    /// Enters on behalf of another desk's worker.
    fn enter_for_others(&self) -> Locked<'_, J> {
        let mut state = self.enter();
        self.draw_for_others(&mut state);
        state
    }

    fn draw_for_others(&self, state: &mut State<J>) {
        if state.desk.is_deserted() {
            state.draw_keyed(self.keyed.as_ref());
        }
    }

    fn is_alone(&self) -> bool {
        self.keyed.is_none()
    }

    #[inline(never)]
    pub(crate) fn set_strategy(&self, strategy: Strategy<J>) {
        let mut state = self.enter();
        let old = state.desk.set_strategy(strategy);
        self.routed.store(state.desk.routes(), Relaxed);
        drop(state);
        // Foreign code: dropped outside the lock.
        drop(old);
    }

    /// Drops the queue order, and with it the jobs that it does not give out.
    #[inline(never)]
    pub(crate) fn replace_order(&self) {
        self.enter().desk.replace_order();
    }

    /// Returns how many tombstones were met while routing since the last call.
    pub(crate) fn take_met(&self) -> usize {
        if self.met.load(Relaxed) == 0 {
            return 0;
        }
        self.met.swap(0, Relaxed)
    }

    /// Counts a broken contract that the strategy committed outside of its desk.
    pub(crate) fn note_fault(&self) {
        self.faults.fetch_add(1, Relaxed);
    }

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

fn no_wakers(workers: usize) -> Vec<Option<Waker>> {
    (0..workers).map(|_| None).collect()
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests;
