//! The bound: how much may be accepted and not started, and who waits for room.
//!
//! Two counters that only grow. `head` counts what was let in (*tickets*), `tail` what was let go
//! again; the difference is what waits inside, wherever it sits. A job holds its ticket from the
//! moment it is accepted until a worker starts it or it ends without running.
//!
//! # Exact bound
//!
//! A ticket is issued by a compare-exchange on `head` that ends at most at `limit`, and `limit` is
//! never more than `released + capacity` was at some earlier moment. Released only grows, so
//! `head <= released + capacity` holds at every moment.
//!
//! # Close against acceptance
//!
//! The closed bit sits in `head`, the word that each acceptance changes. An acceptance is therefore
//! either before the close, and counted in the tickets that the close sees, or refused. When
//! `released` has reached the tickets of a closed gate, nothing waits anywhere and nothing ever will
//! again: the gate is *drained*. A submitter between its ticket and its push to the intake holds the
//! gate undrained, so no sweep can miss it.
//!
//! # Waiting for room
//!
//! The low bits of `tail` say what a release has to do beyond counting:
//!
//! - A waiter listens, sets `WAITING`, and tries again. If a release came before the bit in the order
//!   of `tail`, the second try sees its room; if after, the release sees the bit.
//! - The release that turns `WAITING` into `WOKEN` notifies one waiter; that waiter carries the
//!   *baton*. Releases that find only `WOKEN` notify nobody: the carrier is on its way, and a wake-up
//!   costs more than dozens of jobs. So waiters are woken as soon as the first slot frees, but not
//!   once for each slot.
//! - The carrier tries again, then passes the baton: it turns `WOKEN` back into `WAITING`, and if
//!   room is left it wakes the next itself.
//! - A carrier that is dropped hands its notification to the next listener (`event-listener` does
//!   so). A carrier that is forgotten cannot: then `WOKEN` stands while others wait. It is healed by
//!   waking everybody once half of the room is free, and by each worker that is about to sleep
//!   ([`Gate::wake_before_sleep`]).

use crate::fault::{Fault, seeded};
use crate::signal::Signal;
use crate::sync::Padded;
use crate::sync::atomic::{AtomicU64, Ordering::*};

/// In `head`: no more tickets.
const CLOSED: u64 = 1 << 63;

/// In `tail`: somebody waits, and no wake-up is under way.
const WAITING: u64 = 1;
/// In `tail`: a woken waiter is on its way.
const WOKEN: u64 = 2;
/// In `tail`: the gate is closed, so releases watch for the last one.
const CLOSING: u64 = 4;
const SHIFT: u32 = 3;

/// The number of a job let in: unique in its pool, in the order of acceptance.
pub(crate) type Ticket = u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Full,
    Closed,
}

#[derive(Debug)]
pub(crate) struct Gate {
    head: Padded<Head>,
    tail: Padded<AtomicU64>,
    capacity: u64,
    room: Signal,
}

#[derive(Debug)]
struct Head {
    /// `CLOSED`, and the tickets issued so far.
    tickets: AtomicU64,
    /// Tickets may be issued up to here without a look at `tail`, which releases keep busy.
    limit: AtomicU64,
}

impl Gate {
    pub(crate) fn new(capacity: u64) -> Self {
        Gate {
            head: Padded(Head {
                tickets: AtomicU64::new(0),
                limit: AtomicU64::new(capacity),
            }),
            tail: Padded(AtomicU64::new(0)),
            capacity,
            room: Signal::new(),
        }
    }

    /// Takes `n` units of room if they are free now.
    pub(crate) fn try_acquire(&self, n: u64) -> Result<Ticket, Refusal> {
        let mut head = self.head.tickets.load(Acquire);
        loop {
            if head & CLOSED != 0 {
                return Err(Refusal::Closed);
            }
            if head + n > self.head.limit.load(Acquire) {
                let limit = self.released() + self.capacity;
                if head + n > limit {
                    // Full, unless others moved `head` since: then room may have come and gone,
                    // and the comparison mixed two moments.
                    let now = self.head.tickets.load(Acquire);
                    if now == head {
                        return Err(Refusal::Full);
                    }
                    head = now;
                    continue;
                }
                self.head.limit.fetch_max(limit, AcqRel);
            }
            if seeded(Fault::ClosedApart) {
                return Ok(self.head.tickets.fetch_add(n, SeqCst) & !CLOSED);
            }
            // SeqCst: a worker that stops searching compares this with the count of searchers
            // (station.rs, "Searching").
            match self
                .head
                .tickets
                .compare_exchange_weak(head, head + n, SeqCst, Acquire)
            {
                Ok(ticket) => return Ok(ticket),
                Err(now) => head = now,
            }
        }
    }

    /// Takes `n` units of room, waiting for them; the error means closed.
    ///
    /// Dropping the future leaves nothing behind.
    pub(crate) async fn acquire(&self, n: u64) -> Result<Ticket, Refusal> {
        match self.try_acquire(n) {
            Err(Refusal::Full) => {}
            settled => return settled,
        }
        loop {
            let listener = self.room.listen();
            // AcqRel: the second try must see every release that did not see the bit.
            self.tail.fetch_or(WAITING, AcqRel);
            if !seeded(Fault::NoSecondLook) {
                match self.try_acquire(n) {
                    Err(Refusal::Full) => {}
                    settled => return settled,
                }
            }
            listener.await;
            let settled = self.try_acquire(n);
            if !seeded(Fault::BatonDropped) {
                self.pass_baton();
            }
            if settled != Err(Refusal::Full) {
                return settled;
            }
        }
    }

    /// Gives `n` units of room back. Answers whether that drained a closed gate.
    pub(crate) fn release(&self, n: u64) -> bool {
        let old = self.tail.fetch_add(n << SHIFT, SeqCst);
        if old & (WAITING | WOKEN | CLOSING) == 0 {
            return false;
        }
        self.after_release(old + (n << SHIFT))
    }

    #[cold]
    fn after_release(&self, tail: u64) -> bool {
        if tail & WAITING != 0 {
            self.wake_one();
        } else if tail & WOKEN != 0 && self.free() >= (self.capacity / 2).max(1) {
            self.wake_all();
        }
        tail & CLOSING != 0 && self.is_drained()
    }

    /// Turns `WAITING` into `WOKEN` and notifies one waiter, unless somebody else just did.
    fn wake_one(&self) {
        let turn = self.tail.fetch_update(AcqRel, Acquire, |tail| {
            (tail & WAITING != 0).then_some(tail & !WAITING | WOKEN)
        });
        if turn.is_ok() && self.room.notify(1) == 0 {
            // The waiter got its room by its second look and is gone.
            self.tail.fetch_and(!WOKEN, AcqRel);
        }
    }

    fn wake_all(&self) {
        self.tail.fetch_and(!(WAITING | WOKEN), AcqRel);
        self.room.notify_all();
    }

    /// What a notified waiter does once it has looked, whether or not it got room.
    fn pass_baton(&self) {
        let _ = self
            .tail
            .fetch_update(AcqRel, Acquire, |tail| Some(tail & !WOKEN | WAITING));
        if self.free() > 0 {
            self.wake_one();
        }
    }

    /// For a worker that is about to sleep: if somebody waits although there is room, wake all, so
    /// that a forgotten carrier of the baton keeps nobody waiting.
    pub(crate) fn wake_before_sleep(&self) {
        if self.tail.load(Acquire) & (WAITING | WOKEN) != 0 && self.free() > 0 {
            self.wake_all();
        }
    }

    /// Refuses all that comes from now on. The first answer: was it this call that closed; the
    /// second: is the gate drained.
    pub(crate) fn close(&self) -> (bool, bool) {
        let first = self.head.tickets.fetch_or(CLOSED, SeqCst) & CLOSED == 0;
        // A release before this bit is seen by the look at the end, one after it looks itself.
        self.tail.fetch_or(CLOSING, AcqRel);
        self.wake_all();
        (first, self.is_drained())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.head.tickets.load(Acquire) & CLOSED != 0
    }

    /// Closed, and nothing accepted waits to be started; then it stays so.
    pub(crate) fn is_drained(&self) -> bool {
        // `released` is read first: it never passes the tickets of a closed gate.
        let released = self.released();
        let head = self.head.tickets.load(Acquire);
        head & CLOSED != 0 && head & !CLOSED == released
    }

    /// Tickets issued so far.
    pub(crate) fn issued(&self) -> u64 {
        self.head.tickets.load(SeqCst) & !CLOSED
    }

    /// Units accepted and not started: exact when quiet, else a moment old.
    pub(crate) fn occupied(&self) -> u64 {
        let released = self.released();
        self.issued() - released
    }

    fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.occupied())
    }

    fn released(&self) -> u64 {
        self.tail.load(Acquire) >> SHIFT
    }
}
