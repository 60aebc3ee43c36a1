//! Waiting for room and waking waiters: mod.rs states the protocol.

use super::{
    CLOSED, CLOSING, Gate, LINE, LINED, Lane, Refusal, Ticket, WAITING, WOKEN, Want, loom_fence,
};
use crate::gate::line::Line;
use crate::sync::atomic::{Ordering::*, fence};
use crate::sync::fault::{Fault, seeded};
use crate::sync::lock;
use crate::wait::signal::call;
use std::future::poll_fn;
use std::ops::Range;
use std::task::{Context, Poll};
use std::time::Instant;

/// A waiter's turn in the line, from the first poll of the wait to its end.
struct Turn<'a> {
    gate: &'a Gate,
    place: Option<u64>,
}

impl Turn<'_> {
    fn poll(
        &mut self,
        want: Want,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Range<Ticket>, Refusal>>> {
        // Cloned and dropped outside the lock: foreign code.
        let mut waker = Some(cx.waker().clone());
        let place = &mut self.place;
        let stays = self
            .gate
            .with_line(|line| line.stay(place, want.least(), &mut waker), |_, _| ());
        drop(waker);
        if !stays.lined {
            return Poll::Ready(None);
        }
        if stays.called || stays.in_front && !seeded(Fault::NoSecondLook) {
            let want = if stays.in_front { want } else { want.sparing() };
            match self.gate.attempt(want, CLOSED) {
                Err(Refusal::Full) => {}
                settled => return Poll::Ready(Some(settled)),
            }
        } else if self.gate.is_closed() {
            return Poll::Ready(Some(Err(Refusal::Closed)));
        }
        Poll::Pending
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let call_whom = if seeded(Fault::NotCalledOn) {
                |_: &mut Line, _| ()
            } else {
                Line::call
            };
            // The waker is dropped outside the lock.
            drop(self.gate.with_line(|line| line.leave(place), call_whom));
        }
    }
}

impl Gate {
    /// Takes room, waiting for it if necessary. For requests that `try_enter` refused as `Full`.
    ///
    /// Cancel safe: dropping the future leaves nothing behind.
    pub(crate) async fn enter(&self, want: Want) -> Result<Range<Ticket>, Refusal> {
        // A waiter already on `room` does not go behind those that came later.
        let mut came_before = false;
        loop {
            if want.least() > 1 || !came_before && self.head.tickets.load(Acquire) & LINED != 0 {
                if let Some(settled) = self.enter_in_line(want).await {
                    return settled;
                }
            }
            came_before = true;
            let listener = self.room.listen();
            self.flags.fetch_or(WAITING, SeqCst);
            self.pass_locks();
            if !seeded(Fault::NoSecondLook) {
                match self.attempt(want, CLOSED) {
                    Err(Refusal::Full) => {}
                    settled => return settled,
                }
            }
            listener.await;
            let settled = self.attempt(want, CLOSED);
            if !seeded(Fault::BatonDropped) {
                self.pass_baton();
            }
            if settled != Err(Refusal::Full) {
                return settled;
            }
        }
    }

    /// Waits in line. `None`: no waiter there needs more than one unit any more, so there is no line.
    pub(super) async fn enter_in_line(&self, want: Want) -> Option<Result<Range<Ticket>, Refusal>> {
        let mut turn = Turn {
            gate: self,
            place: None,
        };
        poll_fn(|cx| turn.poll(want, cx)).await
    }

    /// Changes the line, lets it say which waiters to call, and calls them.
    pub(super) fn with_line<R>(
        &self,
        change: impl FnOnce(&mut Line) -> R,
        call_whom: fn(&mut Line, u64),
    ) -> R {
        let (result, called) = {
            let mut line = lock(&self.line);
            let before = line.is_heavy();
            let result = change(&mut line);
            let after = line.is_heavy();
            if after && !before {
                self.flags.fetch_or(LINE, SeqCst);
                self.head.tickets.fetch_or(LINED, SeqCst);
                self.pass_locks();
            } else if before && !after {
                self.head.tickets.fetch_and(!LINED, SeqCst);
                self.flags.fetch_and(!LINE, SeqCst);
            }
            loom_fence();
            call_whom(&mut line, self.free());
            (result, line.take_called())
        };
        called.into_iter().for_each(call);
        result
    }

    #[cold]
    pub(super) fn after_count(&self, n: u64, lane: Lane, flags: u8) -> bool {
        // Others may be here, too: each must see the others' counts, or be seen.
        if !seeded(Fault::NotFenced) {
            fence(SeqCst);
        }
        self.after_release(n, lane, flags)
    }

    #[cold]
    pub(super) fn after_release(&self, n: u64, lane: Lane, flags: u8) -> bool {
        // Summing up what is free reads what the workers write for every job. While a waiter is on its way, once in a
        // number of releases is enough.
        let look = flags & WAITING != 0 || self.lane(lane).load(Relaxed) % self.look_every < n;
        if flags & (WAITING | WOKEN) != 0 && look {
            let free = self.free();
            if free >= (self.capacity / 2).max(1) && !seeded(Fault::ForgottenUnhealed) {
                self.wake_all();
            } else if flags & WAITING != 0 {
                self.wake_one();
            } else if free.checked_ilog2()
                != free.saturating_sub(n.max(self.look_every)).checked_ilog2()
            {
                self.room.notify(1);
            }
        }
        if flags & LINE != 0 {
            self.with_line(|_| (), Line::call);
        }
        flags & CLOSING != 0 && self.is_drained()
    }

    /// Turns `WAITING` into `WOKEN` and notifies one waiter, unless another thread just did.
    pub(super) fn wake_one(&self) {
        let turn = self.flags.fetch_update(SeqCst, SeqCst, |flags| {
            (flags & WAITING != 0).then_some(flags & !WAITING | WOKEN)
        });
        if turn.is_ok() && self.room.notify(1) == 0 {
            // The waiter got its room at its second look and is gone.
            self.flags.fetch_and(!WOKEN, SeqCst);
        }
    }

    pub(super) fn wake_all(&self) {
        self.flags.fetch_and(!(WAITING | WOKEN), SeqCst);
        self.room.notify_all();
    }

    /// Passes the baton on: called by a notified waiter once it has tried, whether or not it got room.
    pub(super) fn pass_baton(&self) {
        let _ = self
            .flags
            .fetch_update(SeqCst, SeqCst, |flags| Some(flags & !WOKEN | WAITING));
        // A release that saw `WOKEN` may not have looked, and its count may not have been seen. (The models do not show
        // that this pass is needed: loom explores no order in which it is missed.)
        self.pass_locks();
        if self.free() > 0 {
            self.wake_one();
        }
    }

    pub(crate) fn has_waiters(&self) -> bool {
        self.flags.load(SeqCst) & (WAITING | WOKEN | LINE) != 0
    }

    /// Wakes all waiters if some wait although there is room, so that a forgotten waiter blocks nobody. Called when a
    /// worker goes to sleep, and when room is made while all workers sleep. Returns when to look again at the latest,
    /// if at all.
    pub(crate) fn wake_at_rest(&self, now: impl FnOnce() -> Instant) -> Option<Instant> {
        // As in `after_count`: the last worker that comes to rest sees all counts.
        fence(SeqCst);
        let flags = self.flags.load(SeqCst);
        if flags & (WAITING | WOKEN | LINE) == 0
            || self.free() == 0
            || seeded(Fault::ForgottenUnhealed)
        {
            return None;
        }
        if flags & (WAITING | WOKEN) != 0 {
            self.wake_all();
        }
        if flags & LINE == 0 {
            return None;
        }
        let now = now();
        self.with_line(|line| line.pass_over(self.free(), now), Line::call)
    }
}
