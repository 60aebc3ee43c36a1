//! A cell: where a job with a handle waits, and later its outcome. Shared by the job's envelope and its handle.
//!
//! A cell has a *slot* for each of its jobs: one, or up to [`CELL`] of a group that was submitted at once. The slot's
//! stage says who owns the job:
//!
//! ```text
//! Waiting(job) ──claim──▶ Claimed ──finish──▶ Done(outcome) ──▶ Taken
//!      │  ▲                  ▲
//!     lend put_back          │ cancel
//!      ▼  │                  │
//!      Lent ─────────────────┘
//! ```
//!
//! - **Claim** decides who gets the job. A worker that starts it, a cancel, a shutdown that hands it back and an
//!   envelope that is dropped all claim under the slot's lock, and exactly one of them finds the job.
//! - **Finish.** The claimer settles the outcome: it first counts it, then finishes the slot. So a thread that sees the
//!   outcome also sees it counted.
//! - **Lend.** While a strategy looks at the job, the job is out of its slot (`Lent`), because foreign code must not
//!   run under the slot's lock.
//! - **Cancel while lent.** The cancel claims without the job. The borrower notices when it puts the job back, and
//!   drops it.
//!
//! A cell whose outcomes were taken is reused for other jobs: see cells.rs.

use super::recycler::Recycler;
use super::views::{Reply, Settle, Token, Tracked};
use crate::id::{JobId, PoolNumber};
use crate::job::{Job, Options};
use crate::outcome::{Cancellation, Ending, JobError, registry};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use crate::sync::fault::{Fault, seeded};
use crate::sync::panics::dispose;
use crate::sync::spin_lock::SpinLock;
use crate::wait::signal::{Listener, Signal, call};
use std::any::Any;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Poll, Waker};

pub(crate) struct Cell<J, T, E> {
    pool: PoolNumber,
    slots: Slots<J, T, E>,
    /// Where the cell goes for reuse when it is over.
    recycler: Option<Arc<Recycler<Self>>>,
}

/// This many jobs of a group share a cell: enough to make its costs negligible, and few enough for a worker to run the
/// jobs of a cell one after the other while it has the cell to itself.
pub(crate) const CELL: usize = if cfg!(any(fanpool_loom, fanpool_shuttle)) {
    2
} else {
    64
};

/// One job is the common case, and costs one allocation.
enum Slots<J, T, E> {
    One(Slot<J, T, E>),
    Many(Box<[Slot<J, T, E>]>),
}

struct Slot<J, T, E> {
    /// The job's number, from its acceptance on. Written before the envelope is pushed.
    id: AtomicU64,
    options: Option<Arc<Options>>,
    asked_to_stop: AtomicBool,
    stop: Signal,
    /// Whether the outcome is there. Set under the lock, read without it.
    over: AtomicBool,
    /// The handle is gone, so nobody will take the outcome. Protected by the lock; kept outside it because there is
    /// room beside it.
    detached: AtomicBool,
    state: SpinLock<State<J, T, E>>,
}

struct State<J, T, E> {
    stage: Stage<J, T, E>,
    /// Wakes the task that polls the handle.
    waiter: Option<Waker>,
}

enum Stage<J, T, E> {
    Waiting(Job<J>),
    Lent,
    Claimed,
    Done(Result<T, JobError<E>>),
    Taken,
}

impl<J, T, E> Slot<J, T, E> {
    fn new(job: Job<J>) -> Self {
        Slot {
            id: AtomicU64::new(0),
            options: job.share_options(),
            asked_to_stop: AtomicBool::new(false),
            stop: Signal::new(),
            over: AtomicBool::new(false),
            detached: AtomicBool::new(false),
            state: SpinLock::new(State {
                stage: Stage::Waiting(job),
                waiter: None,
            }),
        }
    }

    /// Prepares the slot for the next job. The last job is over and nobody else knows the slot.
    #[inline(always)]
    fn use_again(&mut self, job: Job<J>) {
        self.options = job.share_options();
        if self.asked_to_stop.load(Relaxed) {
            self.asked_to_stop = AtomicBool::new(false);
            self.stop = Signal::new();
        }
        self.over.store(false, Relaxed);
        self.detached.store(false, Relaxed);
        let state = self.state.get_mut();
        state.fill(job);
    }

    fn id(&self) -> JobId {
        JobId::from_ticket(self.id.load(Relaxed))
    }

    /// Replaces a waiting job by `stage` and returns the job. Inlined, like `take` and `finish`: what goes through
    /// memory is written word by word and read in pairs, for which a processor waits.
    #[inline(always)]
    fn take_job(&self, stage: Stage<J, T, E>) -> Option<Job<J>> {
        let mut state = self.state.lock();
        if !matches!(state.stage, Stage::Waiting(_)) {
            return None;
        }
        match std::mem::replace(&mut state.stage, stage) {
            Stage::Waiting(job) => Some(job),
            _ => unreachable!("it was looked at under the lock"),
        }
    }

    fn is_finished(&self) -> bool {
        self.over.load(Acquire)
    }

    #[inline(always)]
    fn take(&mut self) -> Result<T, JobError<E>> {
        let state = self.state.get_mut();
        match std::mem::replace(&mut state.stage, Stage::Taken) {
            Stage::Done(outcome) => outcome,
            other => {
                state.stage = other;
                self.detached.store(true, Relaxed);
                Err(JobError::WouldDeadlock)
            }
        }
    }
}

impl<J, T, E> State<J, T, E> {
    fn fill(&mut self, job: Job<J>) {
        debug_assert!(matches!(self.stage, Stage::Taken) && self.waiter.is_none());
        self.stage = Stage::Waiting(job);
    }
}

impl<J, T, E> Drop for Slot<J, T, E> {
    /// The thread that drops the last share in a cell is busy with something else. What is still inside is foreign, and
    /// its drop may panic.
    fn drop(&mut self) {
        let state = self.state.get_mut();
        let stage = std::mem::replace(&mut state.stage, Stage::Taken);
        if matches!(stage, Stage::Waiting(_) | Stage::Done(_)) {
            dispose(stage);
        }
    }
}

impl<J, T, E> Cell<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    /// Creates a cell for one job. With a recycler, other jobs use it afterwards.
    pub(crate) fn new(
        pool: PoolNumber,
        job: Job<J>,
        recycler: Option<Arc<Recycler<Self>>>,
    ) -> Arc<Self> {
        let slots = Slots::One(Slot::new(job));
        Arc::new(Cell {
            pool,
            slots,
            recycler,
        })
    }

    /// Reuses the cell for the next job: see cells.rs.
    pub(crate) fn use_again(&mut self, job: Job<J>) {
        if let [slot, ..] = self.slots_mut() {
            slot.use_again(job);
        }
    }

    /// Reuses the cell for jobs of the next group, as many as it has slots.
    pub(crate) fn use_again_for_some(&mut self, jobs: impl Iterator<Item = Job<J>>) {
        let slots = self.slots_mut().iter_mut();
        slots.zip(jobs).for_each(|(slot, job)| slot.use_again(job));
    }

    /// The mistake that must not be made, for the model that shows why.
    #[cold]
    pub(crate) fn use_shared(&self, job: Job<J>) {
        let slot = self.slot(0);
        slot.over.store(false, Relaxed);
        slot.detached.store(false, Relaxed);
        slot.state.lock().fill(job);
    }

    /// Creates a cell for some jobs of a group: one allocation for all slots, and one for the cell.
    pub(crate) fn group(
        pool: PoolNumber,
        jobs: impl Iterator<Item = Job<J>>,
        recycler: Option<Arc<Recycler<Self>>>,
    ) -> Arc<Self> {
        let slots = Slots::Many(jobs.map(Slot::new).collect());
        Arc::new(Cell {
            pool,
            slots,
            recycler,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.slots().len()
    }

    fn slots(&self) -> &[Slot<J, T, E>] {
        match &self.slots {
            Slots::One(slot) => std::slice::from_ref(slot),
            Slots::Many(slots) => slots,
        }
    }

    fn slots_mut(&mut self) -> &mut [Slot<J, T, E>] {
        match &mut self.slots {
            Slots::One(slot) => std::slice::from_mut(slot),
            Slots::Many(slots) => slots,
        }
    }

    fn slot(&self, at: usize) -> &Slot<J, T, E> {
        match &self.slots {
            Slots::One(slot) => slot,
            Slots::Many(slots) => &slots[at],
        }
    }

    /// Numbers a job that was accepted.
    pub(crate) fn number(&self, at: usize, ticket: u64) -> JobId {
        self.slot(at).id.store(ticket, Relaxed);
        JobId::from_ticket(ticket)
    }

    /// Numbers the jobs in these slots, which were accepted one after the other. Returns the first number.
    pub(crate) fn number_all(&self, slots: Range<usize>, ticket: u64) -> JobId {
        let first = slots.start;
        for at in slots {
            self.number(at, ticket + (at - first) as u64);
        }
        JobId::from_ticket(ticket)
    }

    /// Takes back a job that was never accepted.
    pub(crate) fn withdraw(&self, at: usize) -> Option<Job<J>> {
        self.slot(at).take_job(Stage::Taken)
    }

    /// Publishes the outcome. Called once, by the claimer of the job.
    #[inline(always)]
    pub(crate) fn finish(&self, at: usize, outcome: Result<T, JobError<E>>) {
        let (unwanted, waiter) = {
            let slot = self.slot(at);
            let mut state = slot.state.lock();
            debug_assert!(matches!(state.stage, Stage::Claimed), "finished unclaimed");
            slot.over.store(true, Release);
            let unwanted = if slot.detached.load(Relaxed) {
                state.stage = Stage::Taken;
                Some(outcome)
            } else {
                state.stage = Stage::Done(outcome);
                None
            };
            (unwanted, state.waiter.take())
        };
        if let Some(waiter) = waiter {
            call(waiter);
        }
        if let Some(outcome) = unwanted {
            dispose(outcome);
        }
    }

    #[inline(never)]
    fn try_cancel(&self, at: usize) -> Cancellation {
        let slot = self.slot(at);
        let seen_before = seeded(Fault::ClaimTwice) && self.is_waiting(at);
        let job = {
            let mut state = slot.state.lock();
            match std::mem::replace(&mut state.stage, Stage::Claimed) {
                Stage::Waiting(job) => Some(job),
                Stage::Lent => None,
                Stage::Claimed if seen_before => None,
                Stage::Claimed => {
                    drop(state);
                    slot.asked_to_stop.store(true, Release);
                    slot.stop.notify_all();
                    return Cancellation::Requested;
                }
                over => {
                    state.stage = over;
                    return Cancellation::TooLate;
                }
            }
        };
        let home = registry::find(self.pool);
        if let Some(home) = &home {
            home.unrun(slot.options.as_deref(), Ending::Cancelled);
        }
        self.end(at, Ending::Cancelled);
        if let Some(home) = home {
            home.over(slot.id());
            home.left_tombstone();
        }
        // Last: the drop is foreign code that may wait for the pool, and the pool must not wait for it.
        dispose(job);
        Cancellation::Removed
    }
}

impl<J, T, E> Tracked<J> for Cell<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn is_waiting(&self, at: usize) -> bool {
        let state = self.slot(at).state.lock();
        matches!(state.stage, Stage::Waiting(_) | Stage::Lent)
    }

    fn is_over(&self, at: usize) -> bool {
        self.slot(at).is_finished()
    }

    fn claim(&self, at: usize) -> Option<Job<J>> {
        self.slot(at).take_job(Stage::Claimed)
    }

    fn lend(&self, at: usize) -> Option<Job<J>> {
        self.slot(at).take_job(Stage::Lent)
    }

    fn put_back(&self, at: usize, job: Job<J>) -> Option<Job<J>> {
        let mut state = self.slot(at).state.lock();
        match state.stage {
            Stage::Lent => {
                state.stage = Stage::Waiting(job);
                None
            }
            _ => Some(job),
        }
    }

    fn options(&self, at: usize) -> Option<&Options> {
        self.slot(at).options.as_deref()
    }

    fn pool(&self) -> PoolNumber {
        self.pool
    }

    fn into_ending(self: Arc<Self>) -> Arc<dyn Settle> {
        self
    }

    fn into_token(self: Arc<Self>) -> Arc<dyn Token> {
        self
    }
}

impl<J, T, E> Settle for Cell<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    #[inline(never)]
    fn end(&self, at: usize, why: Ending) {
        self.finish(at, Err(why.into()));
    }
}

impl<J, T, E> Reply<T, E> for Cell<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn poll(&self, at: usize, waker: &Waker) -> Poll<Result<T, JobError<E>>> {
        let slot = self.slot(at);
        // Cloning and dropping wakers is foreign code, so it happens outside the lock: declared before the guard,
        // `waker` is dropped after it.
        let mut waker = (!slot.over.load(Acquire)).then(|| waker.clone());
        let mut state = slot.state.lock();
        match state.stage {
            Stage::Done(_) => match std::mem::replace(&mut state.stage, Stage::Taken) {
                Stage::Done(outcome) => Poll::Ready(outcome),
                _ => unreachable!("it was looked at under the lock"),
            },
            Stage::Taken => {
                drop(state);
                panic!("a JobHandle was polled after it had given its outcome");
            }
            Stage::Waiting(_) | Stage::Lent | Stage::Claimed => {
                std::mem::swap(&mut state.waiter, &mut waker);
                Poll::Pending
            }
        }
    }

    fn watch(&self, at: usize, waker: &Waker) -> Poll<()> {
        let slot = self.slot(at);
        if slot.over.load(Acquire) {
            return Poll::Ready(());
        }
        let mut waker = Some(waker.clone());
        let polled = {
            let mut state = slot.state.lock();
            if matches!(state.stage, Stage::Done(_) | Stage::Taken) {
                Poll::Ready(())
            } else {
                std::mem::swap(&mut state.waiter, &mut waker);
                Poll::Pending
            }
        };
        drop(waker);
        polled
    }

    fn is_finished(&self, at: usize) -> bool {
        self.slot(at).is_finished()
    }

    fn unfinished(&self, slots: Range<usize>) -> usize {
        let mut slots = self.slots()[slots].iter();
        let last = slots.rposition(|slot| !slot.is_finished());
        last.map_or(0, |at| at + 1)
    }

    fn detach(&self, at: usize) {
        let (outcome, waiter) = {
            let slot = self.slot(at);
            let mut state = slot.state.lock();
            slot.detached.store(true, Relaxed);
            let outcome = match std::mem::replace(&mut state.stage, Stage::Taken) {
                Stage::Done(outcome) => Some(outcome),
                other => {
                    state.stage = other;
                    None
                }
            };
            (outcome, state.waiter.take())
        };
        drop(waiter);
        if let Some(outcome) = outcome {
            dispose(outcome);
        }
    }

    fn id(&self, at: usize) -> JobId {
        self.slot(at).id()
    }

    fn pool(&self) -> PoolNumber {
        self.pool
    }

    fn cancel(&self, at: usize) -> Cancellation {
        self.try_cancel(at)
    }

    fn take_all(&mut self, slots: Range<usize>, to: &mut Vec<Result<T, JobError<E>>>) {
        to.extend(self.slots_mut()[slots].iter_mut().map(Slot::take));
    }

    fn into_token(self: Arc<Self>) -> Arc<dyn Token> {
        self
    }
}

impl<J, T, E> Token for Cell<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn id(&self, at: usize) -> JobId {
        self.slot(at).id()
    }

    fn cancel(&self, at: usize) -> Cancellation {
        self.try_cancel(at)
    }

    fn is_cancelled(&self, at: usize) -> bool {
        self.slot(at).asked_to_stop.load(Acquire)
    }

    fn listen(&self, at: usize) -> Listener {
        self.slot(at).stop.listen()
    }

    fn pool(&self) -> PoolNumber {
        self.pool
    }

    fn recycle(self: Arc<Self>) {
        if let Some(recycler) = &self.recycler {
            match self.len() {
                1 => recycler.clone().singles.put(self),
                CELL => recycler.clone().groups.put(self),
                // The rest of a group.
                _ => {}
            }
        }
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
