//! Who waits for room in turn: the line that forms while somebody needs more than one unit.
//!
//! Without it, newcomers that need one unit would take each one as it frees, and who needs many would
//! never see them together. So while somebody *heavy* waits, the gate sends newcomers here, too, and
//! only those who are *called* may try for what is free; the one in front may try at any time.
//!
//! - **Calling.** Whoever makes room, and whoever leaves the line, calls from the front as many as the
//!   free room is enough for, and stops at the first that needs more. So nobody waits longer than those
//!   in front need. Nothing is set aside for the called: those who came before the line formed may be
//!   quicker. One who finds too little waits on, at the same place. Who could use more than it needs
//!   takes more only in front: the rest may be what somebody before it was called for.
//! - **Passing over.** One who was called and does not come may be slow, or forgotten
//!   (`mem::forget`), and nobody can tell. When a worker goes to sleep while there is room, or room is
//!   made while one sleeps, those who did not come are *passed over*, and all others are called for
//!   whom the room is enough, and are in nobody's way from then on, either. One who was only slow has its
//!   place back as soon as it is polled, and is then *spared* for some milliseconds, more each time: else
//!   who is always a little late would lose its turn to newcomers again and again.
//! - **Dissolving.** When nobody heavy is left (served, dropped or passed over), the line is no more:
//!   newcomers are let in by the plain way again, and those who still stand here are called to do so,
//!   too.
//!
//! A place is taken, and the gate's marks set, before the look at what is free; a release counts first
//! and then looks at the marks. So one of the two sees the other: as in the gate.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::{Duration, Instant};

/// How long one who was passed over and came back is not passed over again; twice as long each time. (A
/// model has no time.)
const PATIENCE: Duration = if cfg!(any(fanpool_loom, fanpool_shuttle)) {
    Duration::ZERO
} else {
    Duration::from_millis(16)
};

/// Behind the gate's lock; calls no wakers itself.
#[derive(Debug)]
pub(crate) struct Line {
    next: u64,
    /// By number: the lowest came first.
    places: BTreeMap<u64, Place>,
    /// How many heavy ones wait and are not passed over.
    heavy: usize,
    called: Vec<Waker>,
    /// When somebody will look again whose patience is over.
    alarm: Option<Instant>,
}

#[derive(Debug)]
struct Place {
    need: u64,
    stage: Stage,
    /// How often it was passed over and came all the same: it is slow, and not forgotten.
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

/// What somebody in line may do.
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

    /// Whether newcomers have to wait here.
    pub(crate) fn is_heavy(&self) -> bool {
        self.heavy > 0
    }

    /// Waits, from now on or on: at the same place. Takes the waker, or leaves an old one.
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

    /// Leaves the line; answers the waker, to be dropped elsewhere.
    pub(crate) fn leave(&mut self, place: u64) -> Option<Waker> {
        let left = self.places.remove(&place)?;
        self.heavy -= usize::from(left.counts());
        match left.stage {
            Stage::Waits(waker) => Some(waker),
            Stage::Called | Stage::PassedOver => None,
        }
    }

    /// Calls from the front as many as `free` units are enough for; all, if there is no line any more.
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

    /// Calls everybody.
    pub(crate) fn call_all(&mut self) {
        for place in self.places.values_mut() {
            place.call(&mut self.called);
        }
    }

    /// Calls everybody for whom `free` units would be enough. They, and who was called before and did not
    /// come, stand in nobody's way any more, but for those who are spared. Answers when to look again.
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

    /// The wakers of those who were called, to be used outside the lock.
    pub(crate) fn take_called(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.called)
    }
}

impl Place {
    /// Whether it keeps newcomers out.
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
