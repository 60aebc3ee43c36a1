//! The intake (tier 1): where accepted jobs wait until a desk draws them.
//!
//! Jobs travel in blocks, through a flume channel:
//!
//! ```text
//! push ─▶ open block ──full: sealed──▶ flume channel ──received──▶ front block ─▶ draw
//!              ▲                                                        │
//!              └───────── spare blocks, a bounded flume channel ◀───────┘
//! ```
//!
//! 1. A submitter pushes into the open block, under its lock.
//! 2. A full block is *sealed*: sent into the channel while that lock is held, so blocks are sent in the order in which
//!    they were filled.
//! 3. A desk draws from the front block, under a lock of its own.
//! 4. When the front block is empty, the desk receives the next sealed block. If there is none, it takes the open block
//!    as it is.
//!
//! No thread waits inside flume. The channel has no bound, so a push cannot fail: the gate is the bound, and its ticket
//! is taken first (docs/decisions/0001).
//!
//! # No job is passed by, and none is overlooked
//!
//! - `sealed` is incremented after a block was sent, under the open block's lock. `received` says how many blocks came
//!   out; it is protected by the front block's lock. So a desk needs flume only if the two differ, and then finds a
//!   block there.
//! - A desk that saw no sealed block locks the open block and *reads `sealed` again*: a submitter may have sealed a
//!   block in between, and the jobs now in the open block came after it.
//! - The last look before a worker sleeps ([`Intake::is_empty`]) holds both locks at once, so no job can move from one
//!   place to the next unseen.
//!
//! Lock order: the front block's lock, then the open block's.

use crate::queue::block::Block;
use crate::queue::envelope::Queued;
use crate::sync::Padded;
use crate::sync::atomic::{AtomicU64, Ordering::*};
#[cfg(any(fanpool_loom, fanpool_shuttle))]
use crate::sync::channel::{Receiver, Sender, bounded, unbounded};
use crate::sync::fault::{Fault, seeded};
use crate::sync::spin_lock::SpinLock;
#[cfg(not(any(fanpool_loom, fanpool_shuttle)))]
use flume::{Receiver, Sender, bounded, unbounded};

/// This many envelopes fill a block, which makes the cost of sealing negligible. (A model has few jobs.)
pub(crate) const BLOCK: usize = if cfg!(any(fanpool_loom, fanpool_shuttle)) {
    3
} else {
    256
};

/// This many empty blocks are kept for reuse: more are seldom under way at a time.
const SPARES: usize = 4;

pub(crate) struct Intake<J> {
    /// On its own cache line, with its lock: submitters write it for every job.
    open: Padded<SpinLock<Block<J>>>,
    /// Blocks sealed so far. Written under the open block's lock.
    sealed: Padded<AtomicU64>,
    front: Padded<SpinLock<Front<J>>>,
    /// Jobs drawn so far.
    drawn: Padded<AtomicU64>,
    seals: Sender<Block<J>>,
    spares: Receiver<Block<J>>,
}

/// The end from which desks draw.
struct Front<J> {
    block: Block<J>,
    /// Blocks received so far.
    received: u64,
    seals: Receiver<Block<J>>,
    spares: Sender<Block<J>>,
}

impl<J> Intake<J> {
    pub(crate) fn new() -> Self {
        let (seals, sealed) = unbounded();
        let (emptied, spares) = bounded(SPARES);
        Intake {
            open: Padded(SpinLock::new(Block::default())),
            sealed: Padded::default(),
            front: Padded(SpinLock::new(Front {
                block: Block::default(),
                received: 0,
                seals: sealed,
                spares: emptied,
            })),
            drawn: Padded::default(),
            seals,
            spares,
        }
    }

    #[inline]
    pub(crate) fn push(&self, job: Queued<J>) {
        let mut open = self.open.lock();
        open.push(job);
        if open.envelopes_len() >= BLOCK {
            self.seal(&mut open);
        }
    }

    pub(crate) fn push_bundle(&self, jobs: Queued<J>) {
        let mut open = self.open.lock();
        open.push_bundle(jobs);
        if open.envelopes_len() >= BLOCK {
            self.seal(&mut open);
        }
    }

    /// Sends the open block, under its lock, and replaces it by an empty one.
    #[cold]
    fn seal(&self, open: &mut Block<J>) {
        let spare = self.spares.try_recv();
        let empty = spare.unwrap_or_else(|_| Block::with_capacity(BLOCK));
        let full = std::mem::replace(open, empty);
        // Sending cannot fail: the intake owns the receiver.
        let sent = self.seals.send(full);
        debug_assert!(sent.is_ok());
        self.sealed.fetch_add(1, SeqCst);
    }

    /// Calls `take_out` on the front block, under its lock, and counts what it takes; it must be short. The block is
    /// empty only if the intake is. `take_out` is told whether more jobs wait behind the block.
    pub(crate) fn draw<R>(&self, take_out: impl FnOnce(&mut Block<J>, bool) -> R) -> R {
        let mut front = self.front.lock();
        if front.block.is_empty() {
            self.refill(&mut front);
        }
        let before = front.block.len();
        let more = self.has_sealed(&front);
        let result = take_out(&mut front.block, more);
        let drawn = before - front.block.len();
        drop(front);
        self.note_drawn(drawn);
        result
    }

    /// Moves all jobs out, in portions that are handed to `each`.
    pub(crate) fn draw_all(&self, mut each: impl FnMut(&mut Block<J>)) {
        // Stops after what was there at the beginning, because submitters may go on for ever.
        let blocks = 2 + {
            let front = self.front.lock();
            self.sealed.load(Acquire) - front.received
        };
        let mut portion = Block::default();
        for _ in 0..blocks {
            self.draw(|front, _| front.append_to(&mut portion));
            if portion.is_empty() {
                return;
            }
            each(&mut portion);
        }
    }

    fn has_sealed(&self, front: &Front<J>) -> bool {
        self.sealed.load(Acquire) != front.received
    }

    /// Fetches the next non-empty block, if there is one, into an empty front.
    fn refill(&self, front: &mut Front<J>) {
        if self.has_sealed(front) {
            return front.receive();
        }
        let mut open = self.open.lock();
        if self.has_sealed(front) && !seeded(Fault::SealPassedBy) {
            drop(open);
            return front.receive();
        }
        if !open.is_empty() {
            std::mem::swap(&mut *open, &mut front.block);
        }
    }

    /// Looks under both locks, which orders this look against every push.
    pub(crate) fn is_empty(&self) -> bool {
        let front = self.front.lock();
        let overlooked = seeded(Fault::SealOverlooked) && !self.has_sealed(&front);
        let open = self.open.lock();
        front.block.is_empty() && open.is_empty() && (overlooked || !self.has_sealed(&front))
    }

    /// Counts jobs that were taken out or went elsewhere. Feeds the hint whether looking is worthwhile.
    pub(crate) fn note_drawn(&self, jobs: usize) {
        if jobs > 0 {
            self.drawn.fetch_add(jobs as u64, Relaxed);
        }
    }

    #[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
    pub(crate) fn capacity(&self) -> usize {
        self.open.lock().capacity() + self.front.lock().block.capacity()
    }

    /// Returns about how many jobs are inside, given how many were ever accepted. A hint, without a lock.
    pub(crate) fn about(&self, accepted: u64) -> u64 {
        accepted.saturating_sub(self.drawn.load(Relaxed))
    }
}

impl<J> Front<J> {
    /// Swaps the empty block for the next one in the channel.
    fn receive(&mut self) {
        let Ok(next) = self.seals.try_recv() else {
            debug_assert!(false, "a block is counted after it was sent");
            return;
        };
        self.received += 1;
        let empty = std::mem::replace(&mut self.block, next);
        // Keeps neither a buffer that is yet to grow nor one that an order filled in a burst. A surplus block is freed.
        if (BLOCK..2 * BLOCK).contains(&empty.capacity()) {
            drop(self.spares.try_send(empty));
        }
    }
}

/// An intake of one desk, for jobs with a key when there are several desks. It brings the jobs of a key to one desk, in
/// the order in which they came.
pub(crate) struct KeyedIntake<J> {
    intake: Intake<J>,
    pushed: Padded<AtomicU64>,
}

impl<J> KeyedIntake<J> {
    pub(crate) fn new() -> Self {
        KeyedIntake {
            intake: Intake::new(),
            pushed: Padded::default(),
        }
    }

    pub(crate) fn push(&self, job: Queued<J>) {
        // Counted first, and in one order with tickets and searchers: see desk/live/mod.rs, "Found".
        self.pushed.fetch_add(1, SeqCst);
        self.intake.push(job);
    }

    /// Hands all jobs to `each`, in portions. The caller holds the desk's lock.
    pub(crate) fn draw_all(&self, each: impl FnMut(&mut Block<J>)) {
        self.intake.draw_all(each);
    }

    /// Looks under the locks, as [`Intake::is_empty`].
    pub(crate) fn is_empty(&self) -> bool {
        self.intake.is_empty()
    }

    /// Returns about how many jobs are inside: at least those pushed before the call and not drawn.
    pub(crate) fn about(&self) -> u64 {
        self.intake.about(self.pushed.load(SeqCst))
    }
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests {
    use super::*;
    use crate::queue::block::tests::{bundle, jobs, numbers};

    fn draw(intake: &Intake<usize>, most: usize) -> Vec<u64> {
        let mut out = Block::default();
        intake.draw(|front, _| front.move_to(most, &mut out));
        numbers(&mut out)
    }

    #[test]
    fn jobs_come_out_as_they_came_in_however_they_are_pushed_and_taken() {
        // At the ends of blocks, and a prime in between.
        for most in [1, 97, BLOCK - 1, BLOCK, 3 * BLOCK] {
            let (intake, mut out) = (Intake::new(), Vec::new());
            let mut pushed = 0;
            for burst in [1, BLOCK - 2, 1, 1, 2 * BLOCK + 5, 0, 97, BLOCK] {
                jobs(pushed..pushed + burst).for_each(|job| intake.push(job));
                pushed += burst;
                assert_eq!(intake.about(pushed as u64), (pushed - out.len()) as u64);
                out.extend(draw(&intake, most));
            }
            while !intake.is_empty() {
                out.extend(draw(&intake, most));
            }
            assert_eq!(
                out,
                (0..pushed as u64).collect::<Vec<_>>(),
                "{most} at once"
            );
            assert_eq!(intake.about(pushed as u64), 0);
        }
    }

    #[test]
    fn all_that_waits_is_handed_over_in_order_and_bundles_stay_whole() {
        let intake = Intake::new();
        for first in (0..3 * 64 * BLOCK).step_by(64) {
            intake.push_bundle(bundle(first..first + 64));
        }
        draw(&intake, 100);
        let (mut next, mut envelopes) = (100, 0);
        intake.draw_all(|portion| {
            envelopes += portion.envelopes().len();
            for number in numbers(portion) {
                assert_eq!(number, next);
                next += 1;
            }
            portion.singles().clear();
        });
        assert_eq!(next, 3 * 64 * BLOCK as u64);
        assert_eq!(
            envelopes,
            3 * BLOCK - 1,
            "one was taken out, and one is split"
        );
        assert!(intake.is_empty());
    }

    #[test]
    fn who_draws_is_told_whether_more_waits_behind_the_block() {
        let intake = Intake::new();
        let told = || intake.draw(|front, more| (front.pop().is_some(), more));
        assert_eq!(told(), (false, false));
        jobs(0..BLOCK + 1).for_each(|job| intake.push(job));
        assert_eq!(told(), (true, false), "the open block is not looked at");
        jobs(0..BLOCK).for_each(|job| intake.push(job));
        assert_eq!(told(), (true, true));
    }

    #[test]
    fn blocks_of_a_burst_are_not_kept() {
        let intake = Intake::new();
        jobs(0..100 * BLOCK).for_each(|job| intake.push(job));
        intake.draw_all(|portion| portion.singles().clear());
        let kept = std::iter::from_fn(|| intake.spares.try_recv().ok()).count();
        assert_eq!(kept, SPARES);
    }
}
