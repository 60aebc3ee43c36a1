//! The bound: how much may be accepted and not started, and who waits for room.
//!
//! Counters that only grow. `tickets` counts the units of room that were let in, `lanes` those that were
//! let go again; the difference is what is taken up, wherever it waits. A job takes as many units as it
//! weighs, from the moment it is accepted until a worker starts it or it ends without running; a permit
//! takes its units until it is used or dropped. Each worker lets go in a lane of its
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
//! # Permits and weights
//!
//! Room that does not stand for one job of one unit is entered in `apart`, under a lock that the plain
//! way in never takes. A permit's units are *held*: they are no job yet, and a gate on which all units
//! are released or held is drained, so a permit that somebody keeps or forgets keeps no shutdown waiting.
//! Using a permit moves its units from held to waiting, and is refused once `apart` is closed: again the
//! closed bit lies beside what the acceptance changes. A permit that goes back is first taken off the
//! held units and then released, and who asks for *drained* reads the released ones first: so no unit is
//! seen in both, and a job that waits is never overlooked.
//!
//! `surplus` is by how much the units issued exceed the jobs accepted. It changes under the lock,
//! together with the tickets that it is about, so their difference is exact under the lock.
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
//!   everybody by each worker that goes to sleep ([`Gate::wake_at_rest`]). In a big queue a lane looks at
//!   this once in a while only (`look_every`), by which up to an eighth of the room may have freed unseen. What
//!   is left: in a queue of four or more, one forgotten waiter can keep the others from the few slots that
//!   are free while no other frees and no worker comes to rest.
//!
//! Who needs more than one unit waits in `line` instead, and while somebody does, newcomers may not take
//! what is free: they go to the end of the line (gate/line.rs). Those who wait on `room` came before, and
//! still take their one unit when they are notified.
//!
//! The last release of a closed gate is found in the same way: a close sets `CLOSING` and then sums up;
//! a release counts, and if it sees `CLOSING` sums up, too. Whichever is last sees all.
//!
//! # Releases under a lock
//!
//! A sequentially consistent count is a locked word, and a worker has just taken a lock anyway: that of the tray from
//! which it starts the job. So it counts under that lock by a plain write ([`Gate::count`]), and reads `flags` after it
//! ([`Gate::counted`]). In return, whoever sets a flag *passes* all these locks, takes each and gives it back, before it
//! looks at what is free. Of a worker's lock and the passing one, either comes first: if it is the worker's, the count is
//! seen; if it is the passing one, the worker sees the flag. Two who sum up after they saw the same flag need a fence
//! between their own count and the sum ([`Gate::after_count`]), and so does a worker that comes to rest.
//!
//! A lane that is counted in by plain writes has one writer. Where workers outnumber the lanes, they share them, and
//! each count is a locked word.

mod held;
pub(crate) mod line;
mod measured;
pub(crate) mod pace;
mod waiting;

use crate::gate::line::Line;
use crate::gate::pace::Pace;
use crate::sync::atomic::{AtomicU8, AtomicU64, Ordering::*, fence};
use crate::sync::fault::{Fault, seeded};
use crate::sync::{Mutex, Padded, lock};
use crate::wait::signal::Signal;
use std::ops::Range;
use std::sync::Arc;

/// In `tickets`: no more of them.
const CLOSED: u64 = 1 << 63;
/// In `tickets`: somebody in the line needs more than one unit, so newcomers have to wait there, too.
const LINED: u64 = 1 << 62;
const FLAGS: u64 = CLOSED | LINED;
/// So many units are let in during a gate's life, and it is as good as closed then: 2⁶¹, some exabytes if
/// they are bytes.
const LIFETIME: u64 = LINED / 2;

/// Somebody waits on `room`, and no wake-up is under way.
const WAITING: u8 = 1;
/// A woken waiter is on its way.
const WOKEN: u8 = 2;
/// The gate is closed, so releases watch for the last one.
const CLOSING: u8 = 4;
/// As `LINED`, so releases see to the line.
const LINE: u8 = 8;

/// Enough for machines with few cores, and few enough to sum up; workers beyond share lanes.
const LANES: usize = if cfg!(fanpool_loom) { 3 } else { 16 };

/// Who releases: workers by their number, everybody else in lane 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lane(u8);

impl Lane {
    pub(crate) const COMMON: Lane = Lane(0);

    pub(crate) fn of_worker(number: usize) -> Lane {
        Lane((1 + number % (LANES - 1)) as u8)
    }
}

/// Takes every lock under which a lane is counted in, and gives it back.
pub(crate) type Pass = Box<dyn Fn() + Send + Sync>;

/// The number of a unit of room. The first one of a job is its number: unique in its pool.
pub(crate) type Ticket = u64;

/// What somebody asks of the gate: how much room, and for what. (Two words, which go in registers: a call that
/// is made for each job should not have to write them down.)
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want {
    most: u64,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// At least one unit; each is a job.
    Jobs,
    /// All units, which are one job.
    Job,
    /// At least one unit, for later.
    Permits,
    /// All units, for later.
    Permit,
}

impl Want {
    /// Room for one job of this weight.
    #[inline]
    pub(crate) fn job(weight: u64) -> Self {
        let what = if weight == 1 { What::Jobs } else { What::Job };
        Want { most: weight, what }
    }

    /// Room for at least one and up to so many plain jobs.
    pub(crate) fn jobs(most: u64) -> Self {
        let what = What::Jobs;
        Want { most, what }
    }

    /// Room for later.
    pub(crate) fn permit(units: u64) -> Self {
        let what = What::Permit;
        Want { most: units, what }
    }

    /// At least one and up to so many units for later.
    pub(crate) fn permits(most: u64) -> Self {
        let what = What::Permits;
        Want { most, what }
    }

    /// Whether one unit will do.
    pub(crate) fn is_for_one(self) -> bool {
        self.least() == 1
    }

    fn least(self) -> u64 {
        match self.what {
            What::Jobs | What::Permits => 1,
            What::Job | What::Permit => self.most,
        }
    }

    /// The same for no more than it needs.
    fn sparing(self) -> Self {
        Want {
            most: self.least(),
            ..self
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Full,
    Closed,
    /// More than the capacity.
    TooHeavy,
}

pub(crate) struct Gate {
    head: Padded<Head>,
    lanes: [Padded<AtomicU64>; LANES],
    /// So many lanes from the first on are in use: to sum up the others would be in vain.
    used: usize,
    /// While a waiter is on its way, a lane looks at what is free once in so many releases.
    look_every: u64,
    flags: Padded<AtomicU8>,
    /// `None`: all who release count by locked words.
    pass: Option<Pass>,
    capacity: u64,
    room: Signal,
    pace: Pace,
    /// (An `Arc` for the sake of its drop, as in engine/joins.rs.)
    line: Arc<Mutex<Line>>,
    apart: Padded<Apart>,
}

#[derive(Debug)]
struct Head {
    /// `CLOSED`, `LINED`, and the tickets issued so far.
    tickets: AtomicU64,
    /// Tickets may be issued up to here without a look at the lanes, which releases keep busy.
    limit: AtomicU64,
}

/// Written under the lock only.
#[derive(Debug)]
struct Apart {
    /// No permit is used any more.
    closed: Mutex<bool>,
    /// Units of permits that are neither used nor dropped.
    held: AtomicU64,
    /// Units issued beyond one for each job.
    surplus: AtomicU64,
}

impl Gate {
    pub(crate) fn new(capacity: u64, workers: usize) -> Self {
        let used = LANES.min(1 + workers);
        Gate {
            used,
            look_every: (capacity / (8 * used as u64)).clamp(1, 64),
            head: Padded(Head {
                tickets: AtomicU64::new(0),
                limit: AtomicU64::new(capacity),
            }),
            lanes: std::array::from_fn(|_| Padded(AtomicU64::new(0))),
            flags: Padded(AtomicU8::new(0)),
            pass: None,
            capacity,
            room: Signal::new(),
            pace: Pace::new(),
            line: Arc::new(Mutex::new(Line::new())),
            apart: Padded(Apart {
                closed: Mutex::new(false),
                held: AtomicU64::new(0),
                surplus: AtomicU64::new(0),
            }),
        }
    }

    /// Lets so many workers count under locks, if there are lanes enough.
    pub(crate) fn counted_under(mut self, pass: Pass, workers: usize) -> Self {
        self.pass = (workers < LANES).then_some(pass);
        self
    }

    /// To be called between a flag that was set and a look at what is free.
    fn pass_locks(&self) {
        if let Some(pass) = &self.pass {
            if !seeded(Fault::LocksNotPassed) {
                pass();
            }
            // Who counted before it was passed is seen here, and by those who count later only after this.
            fence(SeqCst);
        }
        loom_fence();
    }

    /// Takes room if it is free now and nobody waits in line for it.
    #[inline]
    pub(crate) fn try_enter(&self, want: Want) -> Result<Range<Ticket>, Refusal> {
        self.try_enter_or(want, || ())
    }

    /// The same; calls `lost` when another submitter was quicker, before the next try.
    #[inline]
    pub(crate) fn try_enter_or(
        &self,
        want: Want,
        lost: impl FnOnce(),
    ) -> Result<Range<Ticket>, Refusal> {
        if want.what == What::Jobs && want.most == 1 && !seeded(Fault::ClosedApart) {
            // The common case by itself: one job, room that is known of, and nobody in the way. (With a
            // flag set, `head` is above every limit.)
            let head = self.head.tickets.load(Acquire);
            if head < self.head.limit.load(Acquire) {
                let next = head + 1;
                let issued = self
                    .head
                    .tickets
                    .compare_exchange(head, next, SeqCst, Relaxed);
                if issued.is_ok() {
                    return Ok(head..next);
                }
                lost();
            }
        }
        self.attempt(want, FLAGS)
    }

    /// The same for those who heed only some of the flags in `tickets`.
    #[inline(never)]
    fn attempt(&self, want: Want, heed: u64) -> Result<Range<Ticket>, Refusal> {
        if want.what == What::Jobs {
            return self.take(want, heed);
        }
        if want.least() > self.capacity {
            return Err(self.refusal(self.head.tickets.load(Acquire), want));
        }
        let _writes = lock(&self.apart.closed);
        let taken = self.take(want, heed)?;
        let units = taken.end - taken.start;
        if matches!(want.what, What::Permit | What::Permits) {
            self.apart.held.fetch_add(units, SeqCst);
            self.apart.surplus.fetch_add(units, Relaxed);
        } else {
            self.apart.surplus.fetch_add(units - 1, Relaxed);
        }
        Ok(taken)
    }

    #[inline]
    fn take(&self, want: Want, heed: u64) -> Result<Range<Ticket>, Refusal> {
        let most = want.most.min(self.capacity);
        let mut head = self.head.tickets.load(Acquire);
        loop {
            if head & heed != 0 {
                return Err(self.refusal(head, want));
            }
            let issued = head & !FLAGS;
            let mut limit = self.head.limit.load(Acquire);
            if issued + most > limit {
                limit = (self.released() + self.capacity).min(LIFETIME);
                if issued + want.least() > limit {
                    // Full, unless others moved `head` since: then room may have come and gone,
                    // and the comparison mixed two moments.
                    let now = self.head.tickets.load(Acquire);
                    if now & !FLAGS == issued {
                        return Err(self.refusal(now, want));
                    }
                    head = now;
                    continue;
                }
                self.head.limit.fetch_max(limit, AcqRel);
            }
            let n = most.min(limit - issued);
            if seeded(Fault::ClosedApart) {
                // Long enough for a whole shutdown, so that a random schedule finds it soon.
                #[cfg(fanpool_shuttle)]
                (0..100).for_each(|_| crate::sync::thread::yield_now());
                let first = self.head.tickets.fetch_add(n, SeqCst) & !FLAGS;
                return Ok(first..first + n);
            }
            // SeqCst: a worker that stops searching compares this with the count of searchers
            // (desk/live/mod.rs, "Found").
            match self
                .head
                .tickets
                .compare_exchange_weak(head, head + n, SeqCst, Acquire)
            {
                Ok(_) => return Ok(issued..issued + n),
                Err(now) => head = now,
            }
        }
    }

    #[cold]
    fn refusal(&self, head: u64, want: Want) -> Refusal {
        if head & CLOSED != 0 {
            Refusal::Closed
        } else if want.least() > self.capacity {
            Refusal::TooHeavy
        } else if (head & !FLAGS) + want.least() > LIFETIME {
            Refusal::Closed
        } else {
            Refusal::Full
        }
    }

    /// Gives `n` units of room back. Answers whether that drained a closed gate.
    #[inline]
    pub(crate) fn release(&self, n: u64, lane: Lane) -> bool {
        self.add(n, lane);
        match self.flags.load(SeqCst) {
            0 => false,
            flags => self.after_release(n, lane, flags),
        }
    }

    /// The first half of a release by the only one who counts in this lane, under a lock that [`Pass`] takes.
    #[inline]
    pub(crate) fn count(&self, n: u64, lane: Lane) {
        if self.pass.is_some() {
            let counter = self.lane(lane);
            counter.store(counter.load(Relaxed) + n, Release);
        } else {
            self.add(n, lane);
        }
    }

    #[inline]
    fn add(&self, n: u64, lane: Lane) {
        self.lane(lane).fetch_add(n, SeqCst);
        loom_fence();
    }

    /// The second half, after that lock. Answers as `release`.
    #[inline]
    pub(crate) fn counted(&self, n: u64, lane: Lane) -> bool {
        match self.flags.load(SeqCst) {
            0 => false,
            flags => self.after_count(n, lane, flags),
        }
    }

    #[inline]
    fn lane(&self, lane: Lane) -> &AtomicU64 {
        &self.lanes[usize::from(lane.0)]
    }

    // ---- the end ----------------------------------------------------------------------------

    /// Refuses all that comes from now on. The first answer: was it this call that closed; the
    /// second: is the gate drained.
    pub(crate) fn close(&self) -> (bool, bool) {
        let first = self.head.tickets.fetch_or(CLOSED, SeqCst) & CLOSED == 0;
        *lock(&self.apart.closed) = true;
        self.flags.fetch_or(CLOSING, SeqCst);
        self.pass_locks();
        self.wake_all();
        self.with_line(|_| (), |line, _| line.call_all());
        (first, self.is_drained())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.head.tickets.load(Acquire) & CLOSED != 0
    }

    /// Closed, and nothing accepted waits to be started; then it stays so, but for the moments in which permits go
    /// back.
    pub(crate) fn is_drained(&self) -> bool {
        // First, so that nothing is accepted, and no permit used, after the count.
        self.is_closed() && *lock(&self.apart.closed) && self.waiting() == 0
    }

    // ---- what is inside ---------------------------------------------------------------------

    /// Tickets issued so far: no job that was accepted so far has a higher one.
    pub(crate) fn issued(&self) -> u64 {
        self.head.tickets.load(SeqCst) & !FLAGS
    }

    /// Jobs accepted so far. Takes a lock.
    pub(crate) fn accepted(&self) -> u64 {
        let _writes = lock(&self.apart.closed);
        self.issued() - self.apart.surplus.load(Relaxed)
    }

    /// Whether each unit was one job so far.
    pub(crate) fn counts_jobs(&self) -> bool {
        self.apart.surplus.load(Relaxed) == 0
    }

    /// About how many jobs were accepted so far.
    pub(crate) fn about_accepted(&self) -> u64 {
        self.issued()
            .saturating_sub(self.apart.surplus.load(Relaxed))
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Units of jobs that wait: exact when quiet, else a moment old, and above zero whenever a job
    /// waited before the call and still does.
    pub(crate) fn waiting(&self) -> u64 {
        self.taken_apart().0
    }

    /// Units of permits that are neither used nor dropped.
    pub(crate) fn held(&self) -> u64 {
        self.apart.held.load(SeqCst)
    }

    /// Units that are not free: exact when quiet, else a moment old.
    pub(crate) fn occupied(&self) -> u64 {
        let released = self.released();
        self.issued() - released
    }

    /// Units of jobs that wait, and units that permits hold: each as by itself, and never more than the
    /// capacity together.
    pub(crate) fn taken_up(&self) -> (u64, u64) {
        let (waiting, held) = self.taken_apart();
        (waiting.min(self.capacity - held), held)
    }

    fn taken_apart(&self) -> (u64, u64) {
        // In this order: see "Permits and weights".
        let released = self.released();
        let held = self.held();
        (self.issued() - released - held, held)
    }

    fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.occupied())
    }

    fn released(&self) -> u64 {
        let lanes = &self.lanes[..self.used];
        lanes.iter().map(|lane| lane.load(SeqCst)).sum()
    }
}

/// loom takes sequentially consistent accesses for acquire and release (loom#180) and knows the total
/// order of fences only: so where an order between two words is needed, its models get a fence.
#[inline(always)]
fn loom_fence() {
    #[cfg(fanpool_loom)]
    loom::sync::atomic::fence(SeqCst);
}
