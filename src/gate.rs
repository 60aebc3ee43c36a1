//! The bound: how much may be accepted and not started, and who waits for room.
//!
//! Counters that only grow. `tickets` counts what was let in, `lanes` what was let go again; the
//! difference is what waits inside, wherever it sits. A job holds its ticket from the moment it is
//! accepted until a worker starts it or it ends without running. Each worker lets go in a lane of its
//! own, because a word that all workers write for every job was the dearest part of a tiny job; what
//! was let go is the sum of the lanes.
//!
//! # Exact bound
//!
//! A ticket is issued by a compare-exchange on `tickets` that ends at most at `limit`, and `limit` is
//! never more than `released + capacity` was at some earlier moment: lanes only grow, so a sum that is
//! read one by one is never more than the true sum at its end. Hence `tickets <= released + capacity`
//! at every moment. And a sum is never less than the true sum at its beginning, so room that was made
//! before a call is seen by it.
//!
//! # Close against acceptance
//!
//! The closed bit sits in `tickets`, the word that each acceptance changes. An acceptance is therefore
//! either before the close, and counted in the tickets that the close sees, or refused. When
//! `released` has reached the tickets of a closed gate, nothing waits anywhere and nothing ever will
//! again: the gate is *drained*. A submitter between its ticket and its push to the intake holds the
//! gate undrained, so no sweep can miss it.
//!
//! # Waiting for room
//!
//! `flags` says what a release has to do beyond counting:
//!
//! - A waiter listens, sets `WAITING`, and tries again. A release counts in its lane, then reads
//!   `flags`. These four are sequentially consistent: either the release sees the flag, or the second
//!   try sees its room.
//! - The release that turns `WAITING` into `WOKEN` notifies one waiter; that waiter carries the
//!   *baton*. Releases that find only `WOKEN` notify nobody: the carrier is on its way, and a wake-up
//!   costs more than dozens of jobs. So waiters are woken as soon as the first slot frees, but not
//!   once for each slot.
//! - The carrier tries again, then passes the baton: it turns `WOKEN` back into `WAITING`, and if
//!   room is left it wakes the next itself.
//! - A carrier that is dropped hands its notification to the next listener (`event-listener` does
//!   so). A carrier that is forgotten cannot, and nobody can tell it from one that is slow. So one more
//!   is notified whenever the free room has doubled, everybody once half of the room is free, and
//!   everybody by each worker that is about to sleep ([`Gate::wake_before_sleep`]). What is left: in a
//!   queue of four or more, one forgotten waiter can keep the others from a single free slot while no
//!   other frees and no worker comes to rest.
//!
//! The last release of a closed gate is found in the same way: a close sets `CLOSING` and then sums up;
//! a release counts, and if it sees `CLOSING` sums up, too. Whichever is last sees all.

use crate::fault::{Fault, seeded};
use crate::signal::Signal;
use crate::sync::Padded;
use crate::sync::atomic::{AtomicU8, AtomicU64, Ordering::*};

/// In `tickets`: no more of them.
const CLOSED: u64 = 1 << 63;

/// Somebody waits, and no wake-up is under way.
const WAITING: u8 = 1;
/// A woken waiter is on its way.
const WOKEN: u8 = 2;
/// The gate is closed, so releases watch for the last one.
const CLOSING: u8 = 4;

/// Enough for machines with few cores, and few enough to sum up; workers beyond share lanes.
const LANES: usize = if cfg!(fanpool_loom) { 2 } else { 16 };

/// Who releases: workers by their number, everybody else in lane 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lane(usize);

impl Lane {
    pub(crate) const COMMON: Lane = Lane(0);

    pub(crate) fn of_worker(number: usize) -> Lane {
        Lane(1 + number % (LANES - 1))
    }
}

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
    lanes: [Padded<AtomicU64>; LANES],
    flags: Padded<AtomicU8>,
    capacity: u64,
    room: Signal,
}

#[derive(Debug)]
struct Head {
    /// `CLOSED`, and the tickets issued so far.
    tickets: AtomicU64,
    /// Tickets may be issued up to here without a look at the lanes, which releases keep busy.
    limit: AtomicU64,
}

impl Gate {
    pub(crate) fn new(capacity: u64) -> Self {
        Gate {
            head: Padded(Head {
                tickets: AtomicU64::new(0),
                limit: AtomicU64::new(capacity),
            }),
            lanes: std::array::from_fn(|_| Padded(AtomicU64::new(0))),
            flags: Padded(AtomicU8::new(0)),
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

    /// Takes `n` units of room, waiting for them: for those whom `try_acquire` found no room for. The
    /// error means closed.
    ///
    /// Dropping the future leaves nothing behind.
    pub(crate) async fn acquire(&self, n: u64) -> Result<Ticket, Refusal> {
        loop {
            let listener = self.room.listen();
            self.flags.fetch_or(WAITING, SeqCst);
            loom_fence();
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
    pub(crate) fn release(&self, n: u64, lane: Lane) -> bool {
        self.lanes[lane.0].fetch_add(n, SeqCst);
        loom_fence();
        match self.flags.load(SeqCst) {
            0 => false,
            flags => self.after_release(flags),
        }
    }

    #[cold]
    fn after_release(&self, flags: u8) -> bool {
        if flags & (WAITING | WOKEN) != 0 {
            let free = self.free();
            if free >= (self.capacity / 2).max(1) && !seeded(Fault::ForgottenUnhealed) {
                self.wake_all();
            } else if flags & WAITING != 0 {
                self.wake_one();
            } else if free.is_power_of_two() {
                self.room.notify(1);
            }
        }
        flags & CLOSING != 0 && self.is_drained()
    }

    /// Turns `WAITING` into `WOKEN` and notifies one waiter, unless somebody else just did.
    fn wake_one(&self) {
        let turn = self.flags.fetch_update(SeqCst, SeqCst, |flags| {
            (flags & WAITING != 0).then_some(flags & !WAITING | WOKEN)
        });
        if turn.is_ok() && self.room.notify(1) == 0 {
            // The waiter got its room by its second look and is gone.
            self.flags.fetch_and(!WOKEN, SeqCst);
        }
    }

    fn wake_all(&self) {
        self.flags.fetch_and(!(WAITING | WOKEN), SeqCst);
        self.room.notify_all();
    }

    /// What a notified waiter does once it has looked, whether or not it got room.
    fn pass_baton(&self) {
        let _ = self
            .flags
            .fetch_update(SeqCst, SeqCst, |flags| Some(flags & !WOKEN | WAITING));
        loom_fence();
        if self.free() > 0 {
            self.wake_one();
        }
    }

    /// For a worker that is about to sleep: if somebody waits although there is room, wake all, so
    /// that a forgotten carrier of the baton keeps nobody waiting.
    pub(crate) fn wake_before_sleep(&self) {
        let stranded = self.flags.load(SeqCst) & (WAITING | WOKEN) != 0 && self.free() > 0;
        if stranded && !seeded(Fault::ForgottenUnhealed) {
            self.wake_all();
        }
    }

    /// Refuses all that comes from now on. The first answer: was it this call that closed; the
    /// second: is the gate drained.
    pub(crate) fn close(&self) -> (bool, bool) {
        let first = self.head.tickets.fetch_or(CLOSED, SeqCst) & CLOSED == 0;
        self.flags.fetch_or(CLOSING, SeqCst);
        loom_fence();
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

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
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
        self.lanes.iter().map(|lane| lane.load(SeqCst)).sum()
    }
}

/// loom takes sequentially consistent accesses for acquire and release (loom#180) and knows the total
/// order of fences only: so where an order between two words is needed, its models get a fence.
#[inline(always)]
fn loom_fence() {
    #[cfg(fanpool_loom)]
    loom::sync::atomic::fence(SeqCst);
}
