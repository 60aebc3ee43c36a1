//! The line: waiting for room in turn, while a waiter needs more than one unit.
//!
//! Without it, newcomers would take each unit as it frees, and a waiter that needs many would never see them together.
//! So while a *heavy* waiter (one that needs more than one unit) is in line, the gate sends newcomers here, too. Only
//! waiters that are *called* may try for free room; the one in front may try at any time.
//!
//! - **Calling.** A release, and a waiter that leaves the line, call waiters from the front as far as the free room
//!   goes, and stop at the first that needs more. So nobody waits longer than those in front need. Nothing is set aside
//!   for the called waiters: those that came before the line formed may be quicker. A called waiter that finds too
//!   little waits on, at the same place. A waiter that could use more than it needs takes more only in front: the rest
//!   may be what an earlier waiter was called for.
//! - **Passing over.** A called waiter that does not come may be slow or forgotten (`mem::forget`), and the two look
//!   alike. When a worker goes to sleep while there is room, or room is made while one sleeps, the called waiters that
//!   did not come are *passed over*: they block nobody any more. All others for which the room suffices are called, and
//!   block nobody from then on, either. A waiter that was only slow has its place back as soon as it is polled, and is
//!   then *spared* for some milliseconds, longer each time. Otherwise a waiter that is always a little late would lose
//!   its turn to newcomers again and again.
//! - **Dissolving.** When no heavy waiter is left (all are served, dropped or passed over), the line dissolves:
//!   newcomers use the plain path again, and the waiters that still stand here are called to do so, too.
//!
//! A waiter takes its place and sets the gate's flags before it looks at what is free; a release counts first and then
//! reads the flags. So one of the two sees the other, as in the gate.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::{Duration, Instant};

/// How long a waiter that was passed over and came back is not passed over again; twice as long each time. (A model has
/// no time.)
const PATIENCE: Duration = if cfg!(any(fanpool_loom, fanpool_shuttle)) {
    Duration::ZERO
} else {
    Duration::from_millis(16)
};

/// Protected by the gate's lock; calls no wakers itself.
#[derive(Debug)]
pub(crate) struct Line {
    next: u64,
    /// By number: the lowest came first.
    places: BTreeMap<u64, Place>,
    /// How many heavy waiters are not passed over.
    heavy: usize,
    called: Vec<Waker>,
    /// When the line will be looked at again for waiters that are spared no longer.
    alarm: Option<Instant>,
}

#[derive(Debug)]
struct Place {
    need: u64,
    stage: Stage,
    /// How often it was passed over and came all the same: it is slow, not forgotten.
    missed: u32,
    /// Until when it is not passed over.
    spared: Option<Instant>,
}

#[derive(Debug)]
enum Stage {
    Waits(Waker),
    Called,
    PassedOver,
}

/// What a waiter in line may do.
pub(crate) struct Stays {
    /// There still is a line.
    pub(crate) lined: bool,
    /// It was called since it last came.
    pub(crate) called: bool,
    pub(crate) in_front: bool,
}

impl Line {
    pub(crate) fn new() -> Self {
        Line {
            next: 0,
            places: BTreeMap::new(),
            heavy: 0,
            called: Vec::new(),
            alarm: None,
        }
    }

    /// Returns whether newcomers have to wait here.
    pub(crate) fn is_heavy(&self) -> bool {
        self.heavy > 0
    }

    /// Begins to wait, or waits on at the same place. Takes the waker, and leaves an old one in its place.
    pub(crate) fn stay(
        &mut self,
        place: &mut Option<u64>,
        need: u64,
        waker: &mut Option<Waker>,
    ) -> Stays {
        let number = *place.get_or_insert_with(|| {
            self.next += 1;
            self.next
        });
        let waits = waker.take().map_or(Stage::Called, Stage::Waits);
        let missed = self.places.get(&number).map_or(0, |place| {
            place.missed + u32::from(matches!(place.stage, Stage::PassedOver))
        });
        let place = Place {
            need,
            stage: waits,
            missed,
            spared: None,
        };
        let before = self.places.insert(number, place);
        let called = matches!(
            before,
            Some(Place {
                stage: Stage::Called | Stage::PassedOver,
                ..
            })
        );
        let counted = before.as_ref().is_some_and(Place::counts);
        self.heavy += usize::from(need > 1) - usize::from(counted);
        if let Some(Place {
            stage: Stage::Waits(old),
            ..
        }) = before
        {
            *waker = Some(old);
        }
        let in_front = self
            .places
            .iter()
            .find(|(_, place)| !matches!(place.stage, Stage::PassedOver))
            .is_some_and(|(&front, _)| front == number);
        Stays {
            lined: self.heavy > 0,
            called,
            in_front,
        }
    }

    /// Leaves the line. Returns the waker, to be dropped elsewhere.
    pub(crate) fn leave(&mut self, place: u64) -> Option<Waker> {
        let left = self.places.remove(&place)?;
        self.heavy -= usize::from(left.counts());
        match left.stage {
            Stage::Waits(waker) => Some(waker),
            Stage::Called | Stage::PassedOver => None,
        }
    }

    /// Calls waiters from the front as far as `free` units go; all of them if the line has dissolved.
    pub(crate) fn call(&mut self, mut free: u64) {
        let dissolved = self.heavy == 0;
        for place in self.places.values_mut() {
            if dissolved {
                place.call(&mut self.called);
            } else if !matches!(place.stage, Stage::PassedOver) {
                if place.need > free {
                    break;
                }
                free -= place.need;
                place.call(&mut self.called);
            }
        }
    }

    pub(crate) fn call_all(&mut self) {
        for place in self.places.values_mut() {
            place.call(&mut self.called);
        }
    }

    /// Calls all waiters for which `free` units would be enough. These, and the called waiters that did not come, stand
    /// in nobody's way any more, except the spared ones. Returns when to look again.
    pub(crate) fn pass_over(&mut self, free: u64, now: Instant) -> Option<Instant> {
        let mut again: Option<Instant> = None;
        for place in self.places.values_mut() {
            if place.need <= free {
                place.call(&mut self.called);
            }
            if !matches!(place.stage, Stage::Called) {
                continue;
            }
            if place.missed > 0 {
                let patience = PATIENCE * (1 << place.missed.min(8));
                let spared = *place.spared.get_or_insert(now + patience);
                if now < spared {
                    again = Some(again.map_or(spared, |again| again.min(spared)));
                    continue;
                }
            }
            self.heavy -= usize::from(place.counts());
            place.stage = Stage::PassedOver;
        }
        let due = self.alarm.filter(|&alarm| alarm > now);
        if again.is_none_or(|again| due.is_some_and(|due| due <= again)) {
            return None;
        }
        self.alarm = again;
        again
    }

    /// Takes the wakers of the called waiters, to be used outside the lock.
    pub(crate) fn take_called(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.called)
    }
}

impl Place {
    /// Returns whether it keeps newcomers out.
    fn counts(&self) -> bool {
        self.need > 1 && !matches!(self.stage, Stage::PassedOver)
    }

    fn call(&mut self, called: &mut Vec<Waker>) {
        if let Stage::Waits(_) = self.stage {
            if let Stage::Waits(waker) = std::mem::replace(&mut self.stage, Stage::Called) {
                called.push(waker);
            }
        }
    }
}
