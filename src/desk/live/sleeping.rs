//! Searching, falling asleep and waking: mod.rs states the protocol.

use super::{KEPT_TRAY, KEPT_TRAYS, LiveDesk, SEARCHER, SEARCHERS, SLEEPER, State};
use crate::queue::intake::{Intake, KeyedIntake};
use crate::sync::atomic::Ordering::*;
use crate::sync::fault::{Fault, seeded};
use crate::wait::signal::{call, call_each};
use std::task::Waker;

impl<J: Send + 'static> LiveDesk<J> {
    pub(crate) fn begin_search(&self) {
        self.watch.fetch_add(SEARCHER, SeqCst);
    }

    /// Returns whether this was the last searcher of the desk.
    pub(crate) fn end_search(&self) -> bool {
        self.watch.fetch_sub(SEARCHER, SeqCst) & SEARCHERS == SEARCHER
    }

    /// Returns how many workers search, and whether any sleeps.
    #[inline]
    pub(crate) fn watched(&self) -> (u64, bool) {
        let watch = self.watch.load(SeqCst);
        (watch & SEARCHERS, watch >= SLEEPER)
    }

    /// Lets a searching worker fall asleep, unless there is something to do. `up`, called under the lock, tells whether
    /// the pool is over. Returns whether the worker sleeps.
    #[inline(never)]
    pub(crate) fn fall_asleep(
        &self,
        worker: usize,
        waker: Waker,
        intake: &Intake<J>,
        up: impl FnOnce() -> bool,
    ) -> bool {
        let mut state = self.enter();
        let trays = self.loaded.any() && !seeded(Fault::TrayUnseen);
        let work = !state.front.is_empty() || state.desk.has_work_for(worker);
        if up() || work || trays {
            return false;
        }
        state
            .desk
            .set_idle(worker, &|id| self.seats[worker].has_detached(id));
        state.desk.fall_asleep(worker);
        let old = state.wakers[worker].replace(waker);
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
                if state.trays.len() < KEPT_TRAYS && tray.capacity() <= KEPT_TRAY {
                    state.trays.push(tray);
                }
            }
            intake.forget_burst(&mut state.front);
        } else {
            waker = self.wake_up_locked(&mut state, worker);
        }
        drop(state);
        drop((old, waker));
        stay
    }

    /// A sleeper gets up by itself and searches again. If it was woken meanwhile, it already counts as a searcher.
    #[inline(never)]
    pub(crate) fn wake_up(&self, worker: usize) {
        let mut state = self.enter();
        let waker = self.wake_up_locked(&mut state, worker);
        drop(state);
        drop(waker);
    }

    pub(super) fn wake_up_locked(&self, state: &mut State<J>, worker: usize) -> Option<Waker> {
        if state.desk.wake(worker) {
            self.watch.fetch_sub(SLEEPER - SEARCHER, SeqCst);
        }
        state.wakers[worker].take()
    }

    /// Returns whether the worker still sleeps. If so, `waker` wakes it from now on.
    #[inline(never)]
    pub(crate) fn still_asleep(&self, worker: usize, waker: Waker) -> bool {
        let mut state = self.enter();
        let asleep = state.desk.is_asleep(worker);
        let mut old = Some(waker);
        if asleep {
            std::mem::swap(&mut state.wakers[worker], &mut old);
        }
        drop(state);
        drop(old);
        asleep
    }

    /// Wakes one sleeper, or those that the strategy chooses. With `siblings`, there may be work on other desks.
    #[inline(never)]
    pub(crate) fn wake_one(&self, intake: &Intake<J>, siblings: bool) {
        let mut state = self.enter();
        state.draw_keyed(self.keyed.as_ref());
        let mut wakers = Vec::new();
        let mut anybody = true;
        if state.desk.routes() {
            let mut woken = Vec::new();
            // Stops once a worker is woken, which carries on. One round may not do: the jobs drawn may all be for
            // workers that are awake, or cancelled, while a sleeper's job is further back.
            loop {
                let drawn = state.draw_to_route(intake, self.is_alone());
                woken.extend(state.desk.route());
                if drawn == 0 || !woken.is_empty() {
                    break;
                }
            }
            anybody = woken.is_empty() && (siblings || state.has_unbound());
            wakers = self.collect_wakers(&mut state, woken);
        }
        // Kept apart from the list, which would cost an allocation per burst.
        let waker = if anybody {
            let worker = state.desk.wake_one();
            worker.and_then(|worker| self.collect_waker(&mut state, worker))
        } else {
            None
        };
        drop(state);
        call_each(wakers);
        if let Some(waker) = waker {
            call(waker);
        }
    }

    #[inline(never)]
    pub(crate) fn wake_all(&self) {
        let mut state = self.enter();
        let mut woken = Vec::new();
        while let Some(worker) = state.desk.wake_one() {
            woken.push(worker);
        }
        let wakers = self.collect_wakers(&mut state, woken);
        drop(state);
        call_each(wakers);
    }

    pub(super) fn collect_wakers(&self, state: &mut State<J>, woken: Vec<usize>) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for worker in woken {
            if let Some(waker) = self.collect_waker(state, worker) {
                wakers.push(waker);
            }
        }
        wakers
    }

    /// Counts a worker that was taken off the sleepers as a searcher. Call the waker after unlocking.
    pub(super) fn collect_waker(&self, state: &mut State<J>, worker: usize) -> Option<Waker> {
        self.watch.fetch_sub(SLEEPER - SEARCHER, SeqCst);
        state.wakers[worker].take()
    }
}
