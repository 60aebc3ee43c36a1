//! The intake (tier 1): where accepted jobs wait until a desk draws them.
//!
//! Jobs travel in blocks, through a flume channel:
//!
//! ```text
//! push ─▶ open block ──full: sealed──▶ flume channel ──received──▶ a desk's front block
//!              ▲                                                          │
//!              └───────── spare blocks, a bounded flume channel ◀─────────┘
//! ```
//!
//! Submitters fill the open block under its lock. A full one is *sealed*: it is sent into the channel while that lock is
//! held, so blocks are sent in the order in which they were filled. A desk receives whole blocks, under its own lock,
//! and takes from the open block only when no sealed one is left.
//!
//! No thread waits inside flume. The channel has no bound, so a push cannot fail: the gate is the bound, and its ticket
//! is taken first (docs/decisions/0001).
//!
//! # No job is passed by, and none is overlooked
//!
//! - `sealed` is counted up after a block was sent, under the open block's lock; `received` after it came out. So a desk
//!   needs flume only if the two differ. It may find nothing there: another desk was quicker.
//! - A desk that saw no sealed block takes the lock of the open one, and *then looks for a sealed one again*: a submitter
//!   may have sealed a block in between, and what is in the open block now came after it.
//! - The last look before a worker sleeps ([`Intake::is_empty`]) looks for a sealed block under the open block's lock,
//!   for the same reason. A block that another desk has received is at that desk's front, where a worker looks last.

use crate::queue::block::Block;
use crate::queue::envelope::Queued;
use crate::sync::Padded;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
#[cfg(any(fanpool_loom, fanpool_shuttle))]
use crate::sync::channel::{Receiver, Sender, bounded, unbounded};
use crate::sync::fault::{Fault, seeded};
use crate::sync::spin_lock::SpinLock;
#[cfg(not(any(fanpool_loom, fanpool_shuttle)))]
use flume::{Receiver, Sender, bounded, unbounded};
use std::any::Any;

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
    out: Padded<Out>,
    /// Of blocks in boxes: so flume's own queue stays small, whose growth holds up the submitter that seals a block.
    channel: Channel,
}

/// A block of some type of jobs. Without it, so that flume's part is compiled once and not for each.
type Boxed = Box<dyn Any + Send>;

struct Channel {
    seals: Sender<Boxed>,
    received: Receiver<Boxed>,
    emptied: Sender<Boxed>,
    spares: Receiver<Boxed>,
}

impl Channel {
    #[inline(never)]
    fn new() -> Self {
        let (seals, received) = unbounded();
        let (emptied, spares) = bounded(SPARES);
        Channel {
            seals,
            received,
            emptied,
            spares,
        }
    }

    #[inline(never)]
    fn send(&self, full: Boxed) {
        // It has a receiver for as long as there is an intake.
        let sent = self.seals.send(full);
        debug_assert!(sent.is_ok());
    }

    #[inline(never)]
    fn receive(&self) -> Option<Boxed> {
        self.received.try_recv().ok()
    }

    /// Returns whether there was room for it.
    #[inline(never)]
    fn keep(&self, empty: Boxed) -> bool {
        self.emptied.try_send(empty).is_ok()
    }

    #[inline(never)]
    fn spare(&self) -> Option<Boxed> {
        self.spares.try_recv().ok()
    }
}

/// What came out so far. Written by those who draw.
#[derive(Default)]
struct Out {
    blocks: AtomicU64,
    jobs: AtomicU64,
    /// More blocks than are kept came out: there was a burst.
    burst: AtomicBool,
}

impl<J: Send + 'static> Intake<J> {
    pub(crate) fn new() -> Self {
        Intake {
            open: Padded(SpinLock::new(Block::default())),
            sealed: Padded::default(),
            out: Padded::default(),
            channel: Channel::new(),
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
        let spare = self
            .channel
            .spare()
            .and_then(|spare| spare.downcast::<Block<J>>().ok());
        let mut full = spare.unwrap_or_else(|| Box::new(Block::with_capacity(BLOCK)));
        std::mem::swap(open, &mut *full);
        self.channel.send(full);
        self.sealed.fetch_add(1, SeqCst);
    }

    /// Whether there is a sealed block: exact under the open block's lock, but for a block that another desk is just
    /// receiving.
    pub(crate) fn has_sealed(&self) -> bool {
        self.sealed.load(Acquire) != self.out.blocks.load(Acquire)
    }

    /// Changes an empty front block for the next sealed one, if there is one.
    pub(crate) fn receive(&self, front: &mut Block<J>) -> bool {
        self.has_sealed() && self.receive_sealed(front)
    }

    #[inline(never)]
    fn receive_sealed(&self, front: &mut Block<J>) -> bool {
        debug_assert!(front.is_empty(), "what it has comes first");
        let next = self
            .channel
            .receive()
            .map(|next| next.downcast::<Block<J>>());
        let Some(Ok(mut next)) = next else {
            return false;
        };
        self.out.blocks.fetch_add(1, SeqCst);
        self.note_drawn(next.len());
        std::mem::swap(front, &mut *next);
        let empty = next;
        // Not one that is yet to grow, nor what an order kept for a burst. One too many is given back to the allocator.
        if (BLOCK..2 * BLOCK).contains(&empty.capacity()) && !self.channel.keep(empty) {
            self.out.burst.store(true, Relaxed);
        }
        true
    }

    /// Has jobs taken out of the open block, under its lock: in a few instructions. For an empty front, when there was no
    /// sealed block. `None`: there is one after all, and it is at the front now.
    pub(crate) fn draw_open<R>(
        &self,
        front: &mut Block<J>,
        take_out: impl FnOnce(&mut Block<J>, &mut Block<J>) -> R,
    ) -> Option<R> {
        let (result, drawn) = {
            let mut open = self.open.lock();
            // Under that lock, since what was sealed meanwhile came before what is in the open block now.
            if !seeded(Fault::SealPassedBy) && self.receive(front) {
                return None;
            }
            let before = open.len();
            let result = take_out(&mut open, front);
            (result, before - open.len())
        };
        self.note_drawn(drawn);
        Some(result)
    }

    /// Fills an empty front: with the next sealed block, or else with the open one as it is.
    pub(crate) fn refill(&self, front: &mut Block<J>) {
        if !self.receive(front) {
            self.draw_open(front, |open, front| {
                if !open.is_empty() {
                    std::mem::swap(open, front);
                }
            });
        }
    }

    /// Hands all that is at the front and inside to `each`, block by block and under no lock, and leaves the front empty.
    /// Not what is pushed meanwhile, for which there may be no end.
    pub(crate) fn draw_all(&self, front: &mut Block<J>, mut each: impl FnMut(&mut Block<J>)) {
        let sealed = self.sealed.load(Acquire);
        // After the last block that is sealed by now, what is left of it at the front, and the open one.
        let mut unsealed = 2;
        while unsealed > 0 {
            if front.is_empty() {
                self.refill(front);
                if front.is_empty() {
                    return;
                }
            }
            each(front);
            debug_assert!(front.is_empty());
            unsealed -= u32::from(self.out.blocks.load(Acquire) >= sealed);
        }
    }

    /// After a burst, once nothing waits: gives back the buffers that were made last. Most allocators keep all that was
    /// made before them as long as they are there.
    pub(crate) fn forget_burst(&self, front: &mut Block<J>) {
        if self.out.burst.load(Relaxed) && self.out.burst.swap(false, Relaxed) {
            let mut last = Block::default();
            {
                let mut open = self.open.lock();
                if open.is_empty() {
                    std::mem::swap(&mut *open, &mut last);
                }
            }
            drop((last, std::mem::take(front)));
        }
    }

    /// Looks under the open block's lock: orders this look against every push.
    pub(crate) fn is_empty(&self) -> bool {
        let overlooked = seeded(Fault::SealOverlooked) && !self.has_sealed();
        let open = self.open.lock();
        open.is_empty() && (overlooked || !self.has_sealed())
    }

    /// Counts jobs that were taken out or went elsewhere. Feeds the hint whether looking is worthwhile.
    pub(crate) fn note_drawn(&self, jobs: usize) {
        if jobs > 0 {
            self.out.jobs.fetch_add(jobs as u64, Relaxed);
        }
    }

    #[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
    pub(crate) fn capacity(&self) -> usize {
        self.open.lock().capacity()
    }

    /// Returns about how many jobs are inside, given how many were ever accepted. A hint, without a lock.
    pub(crate) fn about(&self, accepted: u64) -> u64 {
        accepted.saturating_sub(self.out.jobs.load(Relaxed))
    }
}

/// An intake of one desk, for jobs with a key when there are several desks. It brings the jobs of a key to one desk, in
/// the order in which they came.
pub(crate) struct KeyedIntake<J> {
    intake: Intake<J>,
    pushed: Padded<AtomicU64>,
}

impl<J: Send + 'static> KeyedIntake<J> {
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

    /// Hands all jobs to `each`, in portions, by way of an empty block whose buffer changes places with theirs. The caller
    /// holds the desk's lock.
    pub(crate) fn draw_all(&self, by: &mut Block<J>, each: impl FnMut(&mut Block<J>)) {
        self.intake.draw_all(by, each);
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

    /// Takes up to so many by way of a desk's front.
    fn draw(intake: &Intake<usize>, front: &mut Block<usize>, most: usize) -> Vec<u64> {
        if front.is_empty() {
            intake.refill(front);
        }
        let mut out = Block::default();
        front.move_to(most, &mut out);
        numbers(&mut out)
    }

    #[test]
    fn jobs_come_out_as_they_came_in_however_they_are_pushed_and_taken() {
        // At the ends of blocks, and a prime in between.
        for most in [1, 97, BLOCK - 1, BLOCK, 3 * BLOCK] {
            let (intake, mut front, mut out) = (Intake::new(), Block::default(), Vec::new());
            let mut pushed = 0;
            for burst in [1, BLOCK - 2, 1, 1, 2 * BLOCK + 5, 0, 97, BLOCK] {
                jobs(pushed..pushed + burst).for_each(|job| intake.push(job));
                pushed += burst;
                let inside = intake.about(pushed as u64) as usize;
                assert_eq!(inside + front.len(), pushed - out.len());
                out.extend(draw(&intake, &mut front, most));
            }
            while !intake.is_empty() || !front.is_empty() {
                out.extend(draw(&intake, &mut front, most));
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
    fn what_is_in_the_open_block_is_taken_last() {
        let (intake, mut front) = (Intake::new(), Block::default());
        jobs(0..BLOCK + 3).for_each(|job| intake.push(job));
        let mut share = Block::default();
        assert!(
            intake
                .draw_open(&mut front, |open, _| open.move_to(1, &mut share))
                .is_none(),
            "a sealed block comes first"
        );
        assert_eq!(numbers(&mut front).len(), BLOCK);
        front.singles().clear();
        let some = intake.draw_open(&mut front, |open, _| open.move_to(2, &mut share));
        assert!(some.is_some() && front.is_empty());
        assert_eq!(numbers(&mut share), [BLOCK as u64, BLOCK as u64 + 1]);
        assert!(!intake.is_empty());
    }

    #[test]
    fn two_desks_take_a_block_each() {
        let intake = Intake::new();
        let (mut one, mut other) = (Block::default(), Block::default());
        jobs(0..3 * BLOCK).for_each(|job| intake.push(job));
        assert!(intake.receive(&mut one) && intake.receive(&mut other));
        assert_eq!(
            (numbers(&mut one)[0], numbers(&mut other)[0]),
            (0, BLOCK as u64)
        );
        assert_eq!(intake.about(3 * BLOCK as u64), BLOCK as u64);
    }

    #[test]
    fn all_that_waits_is_handed_over_in_order_and_bundles_stay_whole() {
        let (intake, mut front) = (Intake::new(), Block::default());
        for first in (0..3 * 64 * BLOCK).step_by(64) {
            intake.push_bundle(bundle(first..first + 64));
        }
        draw(&intake, &mut front, 100);
        let (mut next, mut envelopes) = (100, 0);
        intake.draw_all(&mut front, |portion| {
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
        assert!(intake.is_empty() && front.is_empty());
    }

    #[test]
    fn what_is_pushed_while_all_is_drawn_stays_for_the_next_time() {
        for waiting in [1, BLOCK, BLOCK + 1, 3 * BLOCK] {
            for at_front in [0, 1] {
                let (intake, mut front) = (Intake::new(), Block::default());
                jobs(0..waiting).for_each(|job| intake.push(job));
                assert_eq!(draw(&intake, &mut front, at_front).len(), at_front);
                let (mut pushed, mut drawn) = (waiting, at_front);
                intake.draw_all(&mut front, |portion| {
                    drawn += portion.len();
                    portion.singles().clear();
                    // As fast as it is drawn.
                    jobs(pushed..pushed + BLOCK).for_each(|job| intake.push(job));
                    pushed += BLOCK;
                    assert!(pushed < 20 * BLOCK, "it goes on for ever");
                });
                assert!(drawn >= waiting, "{drawn} of {waiting}");
            }
        }
    }

    #[test]
    fn blocks_of_a_burst_are_not_kept() {
        let (intake, mut front) = (Intake::new(), Block::default());
        jobs(0..100 * BLOCK).for_each(|job| intake.push(job));
        intake.draw_all(&mut front, |portion| portion.singles().clear());
        intake.forget_burst(&mut front);
        assert_eq!((intake.capacity(), front.capacity()), (0, 0));
        let kept = std::iter::from_fn(|| intake.channel.spare()).count();
        assert_eq!(kept, SPARES);
        // Without one, they are.
        jobs(0..BLOCK + 1).for_each(|job| intake.push(job));
        intake.draw_all(&mut front, |portion| portion.singles().clear());
        intake.forget_burst(&mut front);
        assert!(intake.capacity() + front.capacity() >= BLOCK);
    }
}
