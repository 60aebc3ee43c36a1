//! Tier 1: where accepted jobs wait until a desk draws them.
//!
//! Jobs travel in a flume channel, by the block:
//!
//! ```text
//! push ─▶ open block ──full: sealed──▶ flume channel ──received──▶ front block ─▶ draw
//!              ▲                                                        │
//!              └───────── spare blocks, a bounded flume channel ◀───────┘
//! ```
//!
//! Submitters fill the open block under its lock. A full one is *sealed*: sent into the channel while that lock is
//! held, so blocks are sent in the order in which they were filled. Desks draw from the front block under a lock of
//! their own. When it is empty, they receive the next sealed block; when none is left, they take the open one as it is.
//!
//! Nobody waits inside flume, and the queue has no bound of its own, so a push cannot fail: the gate is the bound, and
//! its ticket is taken first. docs/decisions/0001.
//!
//! # No job is passed by, and none is overlooked
//!
//! - `sealed` is counted up after a block was sent, under the open block's lock. `received`, under the front block's
//!   lock, says how many came out. So a desk needs flume only if the two differ, and then finds a block there.
//! - A desk that saw no sealed block takes the lock of the open one, and *then looks at `sealed` again*: a submitter may
//!   have sealed a block in between, and what is in the open block now came after it.
//! - The last look before a worker sleeps ([`Intake::is_empty`]) holds both locks at once: nothing can move from one
//!   place to the next behind its back.
//!
//! Lock order: the front block's, then the open block's.

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

/// So many envelopes make a full block: enough to make little of what a seal costs. (A model has few jobs.)
pub(crate) const BLOCK: usize = if cfg!(any(fanpool_loom, fanpool_shuttle)) {
    3
} else {
    256
};

/// So many empty blocks are kept: more are seldom on their way at a time.
const SPARES: usize = 4;

pub(crate) struct Intake<J> {
    /// On a line of its own, with its lock: it is what submitters write for every job.
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

    /// Several jobs in one envelope.
    pub(crate) fn push_bundle(&self, jobs: Queued<J>) {
        let mut open = self.open.lock();
        open.push_bundle(jobs);
        if open.envelopes_len() >= BLOCK {
            self.seal(&mut open);
        }
    }

    /// Sends the open block, under its lock, and puts an empty one in its place.
    #[cold]
    fn seal(&self, open: &mut Block<J>) {
        let spare = self.spares.try_recv();
        let empty = spare.unwrap_or_else(|_| Block::with_capacity(BLOCK));
        let full = std::mem::replace(open, empty);
        // It has a receiver for as long as there is an intake.
        let sent = self.seals.send(full);
        debug_assert!(sent.is_ok());
        self.sealed.fetch_add(1, SeqCst);
    }

    /// Has jobs taken out of the front block, under its lock: in a few instructions. It is empty only if the intake is.
    /// Counts what `take_out` takes.
    pub(crate) fn draw<R>(&self, take_out: impl FnOnce(&mut Block<J>) -> R) -> R {
        let (result, drawn) = {
            let mut front = self.front.lock();
            if front.block.is_empty() {
                self.refill(&mut front);
            }
            let before = front.block.len();
            let result = take_out(&mut front.block);
            (result, before - front.block.len())
        };
        self.note_drawn(drawn);
        result
    }

    /// Takes out the first job, and a share of what waits behind it: as many as `share` says of so many jobs that wait,
    /// and fewer than `most`. That share is moved to the end of `to`.
    pub(crate) fn draw_share(
        &self,
        most: usize,
        share: impl Fn(usize) -> usize,
        to: &mut Block<J>,
    ) -> Option<Queued<J>> {
        let job = {
            let mut front = self.front.lock();
            let from_open = front.block.is_empty() && self.refill(&mut front);
            let job = front.block.pop()?;
            if most > 1 {
                let waiting = 1 + front.block.len();
                if !from_open && waiting < 2 * most && !self.has_sealed(&front) {
                    self.share_with_open(&mut front, share, to);
                } else {
                    self.share_of_front(&mut front, share, to);
                }
            }
            job
        };
        self.note_drawn(1 + to.len());
        Some(job)
    }

    fn share_of_front(
        &self,
        front: &mut Front<J>,
        share: impl Fn(usize) -> usize,
        to: &mut Block<J>,
    ) {
        let behind = self.has_sealed(front);
        let wanted = share(1 + front.block.len() + if behind { BLOCK } else { 0 });
        front.block.move_to(wanted, to);
        if behind && to.len() < wanted {
            front.receive();
            front.block.move_to(wanted - to.len(), to);
        }
    }

    /// So few are left at the front that a share of them is no measure. One look at the open block saves many draws of
    /// fewer and fewer jobs.
    #[inline(never)]
    fn share_with_open(
        &self,
        front: &mut Front<J>,
        share: impl Fn(usize) -> usize,
        to: &mut Block<J>,
    ) {
        let in_open = self.open.lock().len();
        let wanted = share(1 + front.block.len() + in_open);
        front.block.move_to(wanted, to);
        if to.len() < wanted {
            // The front is empty now. That lock is taken twice, so that no submitter waits while jobs are moved.
            self.refill(front);
            front.block.move_to(wanted - to.len(), to);
        }
    }

    /// Hands all that is inside to `each`, block by block and under no lock. Not what is pushed meanwhile, for which
    /// there may be no end.
    pub(crate) fn draw_all(&self, mut each: impl FnMut(&mut Block<J>)) {
        let sealed = self.sealed.load(Acquire);
        let mut portion = Block::default();
        // After the last block that is sealed by now: what is left of it at the front, and the open one.
        let mut unsealed = 2;
        while unsealed > 0 {
            let received = self.draw_block(&mut portion);
            if portion.is_empty() {
                return;
            }
            each(&mut portion);
            unsealed -= u32::from(received >= sealed);
        }
    }

    /// Moves the front block to the end of `to`. Returns how many blocks were received so far.
    fn draw_block(&self, to: &mut Block<J>) -> u64 {
        let (drawn, received) = {
            let mut front = self.front.lock();
            if front.block.is_empty() {
                self.refill(&mut front);
            }
            let drawn = front.block.len();
            front.block.append_to(to);
            (drawn, front.received)
        };
        self.note_drawn(drawn);
        received
    }

    fn has_sealed(&self, front: &Front<J>) -> bool {
        self.sealed.load(Acquire) != front.received
    }

    /// Gets the next block that has jobs, if there is one, for an empty front. Returns whether it was the open one.
    fn refill(&self, front: &mut Front<J>) -> bool {
        if self.has_sealed(front) {
            front.receive();
            return false;
        }
        let mut open = self.open.lock();
        if self.has_sealed(front) && !seeded(Fault::SealPassedBy) {
            drop(open);
            front.receive();
            return false;
        }
        if !open.is_empty() {
            std::mem::swap(&mut *open, &mut front.block);
        }
        true
    }

    /// Looks under both locks: orders this look against every push.
    pub(crate) fn is_empty(&self) -> bool {
        let front = self.front.lock();
        let overlooked = seeded(Fault::SealOverlooked) && !self.has_sealed(&front);
        let open = self.open.lock();
        front.block.is_empty() && open.is_empty() && (overlooked || !self.has_sealed(&front))
    }

    /// Jobs were taken out, or went elsewhere: for a hint to those who look whether looking is worth it.
    pub(crate) fn note_drawn(&self, jobs: usize) {
        if jobs > 0 {
            self.drawn.fetch_add(jobs as u64, Relaxed);
        }
    }

    #[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
    pub(crate) fn capacity(&self) -> usize {
        self.open.lock().capacity() + self.front.lock().block.capacity()
    }

    /// About how many are inside, given how many were ever accepted: a hint, and no lock.
    pub(crate) fn about(&self, accepted: u64) -> u64 {
        accepted.saturating_sub(self.drawn.load(Relaxed))
    }
}

impl<J> Front<J> {
    /// Changes the empty block for the next one in the channel.
    fn receive(&mut self) {
        let Ok(next) = self.seals.try_recv() else {
            debug_assert!(false, "a block is counted after it was sent");
            return;
        };
        self.received += 1;
        let empty = std::mem::replace(&mut self.block, next);
        // Not one that is yet to grow, nor what an order kept for a burst. One too many is given back to the allocator.
        if (BLOCK..2 * BLOCK).contains(&empty.capacity()) {
            drop(self.spares.try_send(empty));
        }
    }
}

/// An intake of one desk, for jobs with a key when there are several desks: so that the jobs of a key meet
/// at one desk, in the order in which they came.
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
        // First, and in one order with tickets and searchers: see desk/live/mod.rs, "Found".
        self.pushed.fetch_add(1, SeqCst);
        self.intake.push(job);
    }

    /// Hands all that is inside to `each`, in portions. The caller holds the desk's lock.
    pub(crate) fn draw_all(&self, each: impl FnMut(&mut Block<J>)) {
        self.intake.draw_all(each);
    }

    /// Looks under the lock, as [`Intake::is_empty`].
    pub(crate) fn is_empty(&self) -> bool {
        self.intake.is_empty()
    }

    /// About how many are inside: no less than were pushed before and not drawn.
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
        intake.draw(|front| front.move_to(most, &mut out));
        numbers(&mut out)
    }

    #[test]
    fn jobs_come_out_as_they_came_in_however_they_are_pushed_and_taken() {
        // Around the ends of blocks, and a prime in between.
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
    fn what_is_pushed_while_all_is_drawn_stays_for_the_next_time() {
        for waiting in [1, BLOCK, BLOCK + 1, 3 * BLOCK] {
            for at_front in [0, 1] {
                let intake = Intake::new();
                jobs(0..waiting).for_each(|job| intake.push(job));
                assert_eq!(draw(&intake, at_front).len(), at_front);
                let (mut pushed, mut drawn) = (waiting, at_front);
                intake.draw_all(|portion| {
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
    fn a_share_is_of_all_that_waits_and_comes_in_order_wherever_it_lies() {
        let half = |waiting: usize| (waiting / 2).min(64).saturating_sub(1);
        for waiting in (1..3 * BLOCK).step_by(31) {
            for at_front in [0, 1, 5, BLOCK - 3] {
                let intake = Intake::new();
                // So many are left at the front, and the rest is behind it.
                jobs(0..BLOCK).for_each(|job| intake.push(job));
                let first = draw(&intake, BLOCK - at_front.min(waiting)).len();
                jobs(BLOCK..first + waiting).for_each(|job| intake.push(job));
                let (mut next, mut left) = (first as u64, waiting.max(BLOCK - first));
                while left > 0 {
                    let mut to = Block::default();
                    let job = intake.draw_share(64, half, &mut to).expect("it waits");
                    let taken = 1 + to.len();
                    assert!(
                        taken >= (left / 2).clamp(1, 64) && taken <= 64,
                        "{taken} of {left}"
                    );
                    let numbers = std::iter::once(job.id().get() - 1).chain(numbers(&mut to));
                    numbers.for_each(|number| {
                        assert_eq!(number, next);
                        next += 1;
                    });
                    left -= taken;
                }
                assert!(
                    intake.is_empty()
                        && intake.draw_share(64, half, &mut Block::default()).is_none()
                );
            }
        }
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
