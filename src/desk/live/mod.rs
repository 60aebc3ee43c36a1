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
//!   worker that falls asleep looks at `loaded` under the same lock. Jobs that are bound to a worker come into
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
//!   its lock; a worker looks for these states under the same lock before it falls asleep.
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
const WHOLE_FROM: usize = 3 * BLOCK / 4;

/// So many trays of workers that sleep are kept: more are seldom wanted at a time.
const KEPT_TRAYS: usize = 64;
/// Not those for more jobs than a worker takes at once.
const KEPT_TRAY: usize = 256;

pub(crate) struct LiveDesk<J> {
    state: Mutex<State<J>>,
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
    loaded: LoadedTrays,
    /// Contained panics and broken contracts of the strategy and the order.
    faults: AtomicU64,
    /// Tombstones that were met, and dropped, while routing.
    met: AtomicUsize,
    /// Whether the desk routes: written under the lock.
    routed: AtomicBool,
}

/// What the lock protects.
pub(crate) struct State<J> {
    desk: Desk<J>,
    /// Of the workers that sleep.
    wakers: Vec<Option<Waker>>,
    /// What leaves the intake, on its way to the desk or to a worker's tray. Empty, and kept for its buffer.
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

/// The lock held, and this thread marked as holding it, since strategies and orders run under it.
struct Locked<'a, J: Send + 'static> {
    live: &'a LiveDesk<J>,
    guard: MutexGuard<'a, State<J>>,
    /// After the guard, since what was put off is done when this is dropped.
    _mark: current::AtDesk,
}

impl<J: Send + 'static> Drop for Locked<'_, J> {
    fn drop(&mut self) {
        let backlog = self.backlog() as u64;
        if self.live.backlog.load(Relaxed) != backlog {
            // In one order with searchers, where it says whom to call: see `has_own_work`.
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

    fn enter(&self) -> Locked<'_, J> {
        debug_assert!(!current::in_desk(), "no thread locks two desks");
        Locked {
            live: self,
            guard: lock_soon(&self.state),
            _mark: current::mark_desk(),
        }
    }

    /// For the worker of another desk.
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

    /// Whether there are no other desks.
    fn is_alone(&self) -> bool {
        self.keyed.is_none()
    }

    #[inline(never)]
    pub(crate) fn set_strategy(&self, strategy: Strategy<J>) {
        let mut state = self.enter();
        let old = state.desk.set_strategy(strategy);
        self.routed.store(state.desk.routes(), Relaxed);
        drop(state);
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

fn no_wakers(workers: usize) -> Vec<Option<Waker>> {
    (0..workers).map(|_| None).collect()
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests;
