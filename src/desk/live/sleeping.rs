//! Who searches, who sleeps, and who is called: the protocol is stated at the head of mod.rs.

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

    /// A sleeper gets up by itself and searches again; one that was called meanwhile does so already.
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

    /// Whether the worker still sleeps; if so it is woken through `waker` from now on.
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

    /// Calls one sleeper, or sees to it that those get called whom the strategy chooses. With `siblings`,
    /// there may be work on other desks.
    #[inline(never)]
    pub(crate) fn wake_one(&self, intake: &Intake<J>, siblings: bool) {
        let mut state = self.enter();
        state.draw_keyed(self.keyed.as_ref());
        let mut wakers = Vec::new();
        let mut anybody = true;
        if state.desk.routes() {
            let mut called = Vec::new();
            // Until somebody is called, who goes on from there: what is drawn may all be for workers that are
            // awake, or cancelled, while a sleeper's job is further back.
            loop {
                let drawn = state.draw_to_route(intake, self.is_alone());
                called.extend(state.desk.route());
                if drawn == 0 || !called.is_empty() {
                    break;
                }
            }
            anybody = called.is_empty() && (siblings || state.has_unbound());
            wakers = self.collect_wakers(&mut state, called);
        }
        // Apart, because a list would cost an allocation for each burst.
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
        let mut called = Vec::new();
        while let Some(worker) = state.desk.wake_one() {
            called.push(worker);
        }
        let wakers = self.collect_wakers(&mut state, called);
        drop(state);
        call_each(wakers);
    }

    pub(super) fn collect_wakers(&self, state: &mut State<J>, called: Vec<usize>) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for worker in called {
            if let Some(waker) = self.collect_waker(state, worker) {
                wakers.push(waker);
            }
        }
        wakers
    }

    /// Counts a worker that was taken off the sleepers as a searcher; its waker is to be called after the
    /// lock.
    pub(super) fn collect_waker(&self, state: &mut State<J>, worker: usize) -> Option<Waker> {
        self.watch.fetch_sub(SLEEPER - SEARCHER, SeqCst);
        state.wakers[worker].take()
    }
}
