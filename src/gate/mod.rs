//! The gate: the bound on what is accepted and not started, and the wait for room.
//!
//! Its counters only grow. `tickets` counts the units of room let in, `lanes` the units released; the difference is the
//! room taken up, wherever it waits.
//!
//! - A job takes as many units as it weighs, from its acceptance until a worker starts it or it ends without running.
//! - A permit takes its units until it is used or dropped.
//! - Each worker releases in a lane of its own, because a word that all workers write for every job was the dearest
//!   part of a tiny job. The units released are the sum of the lanes.
//!
//! # Exact bound
//!
//! - A ticket is issued by a compare-exchange on `tickets` that ends at most at `limit`.
//! - `limit` never exceeds what `released + capacity` was at some earlier moment: lanes only grow, so a sum read lane
//!   by lane never exceeds the true sum at its end.
//! - Hence `tickets <= released + capacity` at every moment.
//! - A sum is never less than the true sum at its beginning, so a call sees all room that was made before it.
//!
//! # Close against acceptance
//!
//! The closed bit sits in `tickets`, the word that each acceptance changes. So an acceptance either comes before the
//! close and is counted in the tickets that the close sees, or it is refused.
//!
//! A closed gate is *drained* when `released` has reached the tickets: nothing waits anywhere, and nothing ever will
//! again. A submitter between its ticket and its push to the intake keeps the gate undrained, so no sweep can miss its
//! job.
//!
//! # Permits and weights
//!
//! Room that does not stand for one job of one unit is entered in `apart`, under a lock that the plain path never
//! takes.
//!
//! - A permit's units are *held*: they are no job yet. A gate on which all units are released or held is drained, so a
//!   kept or forgotten permit delays no shutdown.
//! - Using a permit moves its units from held to waiting. It is refused once `apart` is closed: again the closed bit
//!   lies beside what the acceptance changes.
//! - A permit that goes back is first taken off the held units, then released. A check for *drained* reads the released
//!   units first. So no unit is seen in both, and no waiting job is overlooked.
//! - `surplus` is by how much the units issued exceed the jobs accepted. It changes under the lock together with its
//!   tickets, so under the lock the difference is exact.
//!
//! # Waiting for room
//!
//! `flags` says what a release must do besides counting:
//!
//! - **Wait.** A waiter listens, sets `WAITING`, and tries again. A release counts in its lane, then reads `flags`.
//!   These four steps are sequentially consistent: either the release sees the flag, or the second try sees the
//!   release's room.
//! - **Wake.** The release that turns `WAITING` into `WOKEN` notifies one waiter, which now carries the *baton*.
//!   Releases that find only `WOKEN` notify nobody: the carrier is on its way, and a wake-up costs more than dozens of
//!   jobs. So the first slot that frees wakes a waiter, but not every slot does.
//! - **Pass on.** The carrier tries again, then passes the baton: it turns `WOKEN` back into `WAITING`, and if room is
//!   left it wakes the next waiter itself.
//! - **Lost carriers.** A carrier that is dropped hands its notification to the next listener (`event-listener` does
//!   so). A forgotten carrier cannot, and looks like a slow one. So further waiters are notified: one whenever the free
//!   room has doubled, all once half of the room is free, and all by each worker that goes to sleep
//!   ([`Gate::wake_at_rest`]). In a big queue, a lane checks this only once in `look_every` releases, by which up to an
//!   eighth of the room may have freed unseen. What remains: in a queue of four or more, one forgotten waiter can keep
//!   the others from the few free slots while no further slot frees and no worker comes to rest.
//!
//! A waiter that needs more than one unit waits in `line` instead. While one does, newcomers may not take free room:
//! they go to the end of the line (gate/line.rs). Waiters on `room` came earlier, and still take their one unit when
//! notified.
//!
//! The last release of a closed gate is found in the same way: a close sets `CLOSING`, then sums up; a release counts,
//! and sums up too if it sees `CLOSING`. The last of them sees everything.
//!
//! # Releases under a lock
//!
//! A sequentially consistent count is a locked instruction, and a worker has just taken a lock anyway: that of the tray
//! from which it starts the job.
//!
//! - **Worker.** It counts under that lock by a plain write ([`Gate::count`]), and reads `flags` afterwards
//!   ([`Gate::counted`]).
//! - **Setter of a flag.** It *passes* all these locks, taking each and giving it back, before it looks at what is
//!   free.
//! - Of the worker's critical section and the pass, one comes first. If it is the worker's, its count is seen; if it is
//!   the pass, the worker sees the flag.
//! - Two workers that both sum up after seeing the same flag need a fence between their own count and the sum
//!   ([`Gate::after_count`]). So does a worker that comes to rest.
//!
//! A lane counted by plain writes has a single writer. Where workers outnumber the lanes, they share lanes, and each
//! count is a locked instruction.

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

/// In `tickets`: no more tickets are issued.
const CLOSED: u64 = 1 << 63;
/// In `tickets`: a waiter in line needs more than one unit, so newcomers must wait there, too.
const LINED: u64 = 1 << 62;
const FLAGS: u64 = CLOSED | LINED;
/// This many units are let in during a gate's life; after that it is as good as closed. 2⁶¹: some exabytes if they are
/// bytes.
const LIFETIME: u64 = LINED / 2;

/// A waiter waits on `room`, and no wake-up is under way.
const WAITING: u8 = 1;
/// A woken waiter is on its way.
const WOKEN: u8 = 2;
/// The gate is closed, so releases watch for the last one.
const CLOSING: u8 = 4;
/// Like `LINED`: releases see to the line.
const LINE: u8 = 8;

/// Enough for machines with few cores, and few enough to sum up; workers beyond share lanes.
const LANES: usize = if cfg!(fanpool_loom) { 3 } else { 16 };

/// Where a release is counted: workers by their number, everything else in lane 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lane(u8);

impl Lane {
    pub(crate) const COMMON: Lane = Lane(0);

    pub(crate) fn of_worker(number: usize) -> Lane {
        Lane((1 + number % (LANES - 1)) as u8)
    }
}

/// Takes each lock under which a lane is counted, and gives it back.
pub(crate) type Pass = Box<dyn Fn() + Send + Sync>;

/// The number of a unit of room. A job's first ticket is its number, unique in its pool.
pub(crate) type Ticket = u64;

/// A request for room: how much, and for what. (Two words, which go in registers: a call made for each job should not
/// have to write them to memory.)
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

    /// Room for at least one and at most `most` plain jobs.
    pub(crate) fn jobs(most: u64) -> Self {
        let what = What::Jobs;
        Want { most, what }
    }

    pub(crate) fn permit(units: u64) -> Self {
        let what = What::Permit;
        Want { most: units, what }
    }

    /// At least one and at most `most` units for later.
    pub(crate) fn permits(most: u64) -> Self {
        let what = What::Permits;
        Want { most, what }
    }

    pub(crate) fn is_for_one(self) -> bool {
        self.least() == 1
    }

    fn least(self) -> u64 {
        match self.what {
            What::Jobs | What::Permits => 1,
            What::Job | What::Permit => self.most,
        }
    }

    /// Returns the same request for no more than it needs.
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
    /// How many lanes are in use, from the first on. Summing up the others would be in vain.
    used: usize,
    /// While a waiter is on its way, a lane looks at what is free once in this many releases.
    look_every: u64,
    flags: Padded<AtomicU8>,
    /// `None`: all releases are counted by locked instructions.
    pass: Option<Pass>,
    capacity: u64,
    room: Signal,
    pace: Pace,
    /// (An `Arc` because of its drop, as in engine/joins.rs.)
    line: Arc<Mutex<Line>>,
    apart: Padded<Apart>,
}

#[derive(Debug)]
struct Head {
    /// `CLOSED`, `LINED`, and the number of tickets issued so far.
    tickets: AtomicU64,
    /// Tickets may be issued up to here without reading the lanes, which releases keep busy.
    limit: AtomicU64,
}

/// Written only under the lock.
#[derive(Debug)]
struct Apart {
    /// Permits can no longer be used.
    closed: Mutex<bool>,
    /// Units of permits that are neither used nor dropped.
    held: AtomicU64,
    /// Units issued beyond one per job.
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

    /// Lets this many workers count under locks, if there are lanes enough.
    pub(crate) fn counted_under(mut self, pass: Pass, workers: usize) -> Self {
        self.pass = (workers < LANES).then_some(pass);
        self
    }

    /// Passes the locks. Call it between setting a flag and looking at what is free.
    fn pass_locks(&self) {
        if let Some(pass) = &self.pass {
            if !seeded(Fault::LocksNotPassed) {
                pass();
            }
            // A count made before the pass is seen from here on. A later count is followed by a read that sees the
            // flag.
            fence(SeqCst);
        }
        loom_fence();
    }

    /// Takes room if it is free now and no waiter stands in line for it.
    #[inline]
    pub(crate) fn try_enter(&self, want: Want) -> Result<Range<Ticket>, Refusal> {
        self.try_enter_or(want, || ())
    }

    /// Does the same; calls `lost` when another submitter was quicker, before the next try.
    #[inline]
    pub(crate) fn try_enter_or(
        &self,
        want: Want,
        lost: impl FnOnce(),
    ) -> Result<Range<Ticket>, Refusal> {
        if want.what == What::Jobs && want.most == 1 && !seeded(Fault::ClosedApart) {
            // The common case by itself: one job, known room, and nobody in the way. (With a flag set, `head` is above
            // every limit.)
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

    /// Does the same, heeding only the flags of `tickets` in `heed`.
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
                    // Full, unless others moved `head` meanwhile: then room may have come and gone, and the comparison
                    // mixed two moments.
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
                // Long enough for a whole shutdown, so that a random schedule finds the fault soon.
                #[cfg(fanpool_shuttle)]
                (0..100).for_each(|_| crate::sync::thread::yield_now());
                let first = self.head.tickets.fetch_add(n, SeqCst) & !FLAGS;
                return Ok(first..first + n);
            }
            // SeqCst: a worker that stops searching compares this with the count of searchers (desk/live/mod.rs,
            // "Found").
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

    /// Gives `n` units of room back. Returns whether that drained a closed gate.
    #[inline]
    pub(crate) fn release(&self, n: u64, lane: Lane) -> bool {
        self.add(n, lane);
        match self.flags.load(SeqCst) {
            0 => false,
            flags => self.after_release(n, lane, flags),
        }
    }

    /// Counts a release: the first half, for the lane's only writer, under a lock that [`Pass`] takes.
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

    /// Completes a release: the second half, after that lock. Returns the same as `release`.
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

    /// Refuses all further requests. Returns whether this call closed the gate, and whether the gate is drained.
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

    /// Returns whether the gate is closed and no accepted job waits to be started. It stays so, except for moments in
    /// which permits go back.
    pub(crate) fn is_drained(&self) -> bool {
        // Read first, so that nothing is accepted, and no permit used, after the count.
        self.is_closed() && *lock(&self.apart.closed) && self.waiting() == 0
    }

    // ---- what is inside ---------------------------------------------------------------------

    /// Returns how many tickets are issued so far. No job accepted so far has a higher ticket.
    pub(crate) fn issued(&self) -> u64 {
        self.head.tickets.load(SeqCst) & !FLAGS
    }

    /// Returns how many jobs are accepted so far. Takes a lock.
    pub(crate) fn accepted(&self) -> u64 {
        let _writes = lock(&self.apart.closed);
        self.issued() - self.apart.surplus.load(Relaxed)
    }

    /// Returns whether each unit so far was one job.
    pub(crate) fn counts_jobs(&self) -> bool {
        self.apart.surplus.load(Relaxed) == 0
    }

    pub(crate) fn about_accepted(&self) -> u64 {
        self.issued()
            .saturating_sub(self.apart.surplus.load(Relaxed))
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Returns the units of waiting jobs: exact when quiet, else a moment old, and above zero whenever a job waited
    /// before the call and still does.
    pub(crate) fn waiting(&self) -> u64 {
        self.taken_apart().0
    }

    pub(crate) fn held(&self) -> u64 {
        self.apart.held.load(SeqCst)
    }

    /// Returns the units that are not free: exact when quiet, else a moment old.
    pub(crate) fn occupied(&self) -> u64 {
        let released = self.released();
        self.issued() - released
    }

    /// Returns the units of waiting jobs and the units held by permits, each as on its own, and together never more
    /// than the capacity.
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

/// loom treats sequentially consistent accesses as acquire and release (loom#180) and knows the total order only of
/// fences. So its models get a fence wherever an order between two words is needed.
#[inline(always)]
fn loom_fence() {
    #[cfg(fanpool_loom)]
    loom::sync::atomic::fence(SeqCst);
}
