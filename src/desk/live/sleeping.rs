//! Who searches, who sleeps, and who is called: the protocol is stated at the head of mod.rs.

use super::{Floor, KEPT_TRAY, KEPT_TRAYS, SEARCHER, SEARCHERS, SLEEPER, Station};
use crate::queue::intake::{Intake, KeyedIntake};
use crate::sync::atomic::Ordering::*;
use crate::sync::fault::{Fault, seeded};
use crate::wait::signal::{call, call_each};
use std::task::Waker;

impl<J: Send + 'static> Station<J> {
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

    pub(super) fn get_up_inside(&self, floor: &mut Floor<J>, worker: usize) -> Option<Waker> {
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

    pub(super) fn collect_wakers(&self, floor: &mut Floor<J>, called: Vec<usize>) -> Vec<Waker> {
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
    pub(super) fn collect_waker(&self, floor: &mut Floor<J>, worker: usize) -> Option<Waker> {
        self.watch.fetch_sub(SLEEPER - SEARCHER, SeqCst);
        floor.wakers[worker].take()
    }
}
