//! A worker's place in the pool, which outlives each of its lives: who it is, what it runs, what it has done, and the
//! jobs that it took ahead.

use crate::dispatcher::Vitals;
use crate::gate::Lane;
use crate::id::{JobId, WorkerId};
use crate::queue::block::Block;
use crate::queue::envelope::Queued;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};
use crate::sync::spin_lock::SpinLock;
use crate::sync::{Mutex, lock};
use std::ops::Deref;
use std::sync::Arc;

/// On a pair of cache lines of its own, like `Padded`: its worker writes here for every job.
#[repr(align(128))]
pub(crate) struct Seat<J> {
    pub(crate) id: WorkerId,
    pub(crate) lane: Lane,
    /// Of all of the desk's workers, side by side: for each by itself, an allocator would leave a gap.
    vitals: Arc<[Vitals]>,
    /// The running job's number, or 0. Set under the lock of the place that the job is taken from, so
    /// that a visit finds it in one of the two; cleared when the outcome is known.
    running: AtomicU64,
    /// Numbers of further jobs that its worker has in its hands. A job is entered here before it leaves
    /// `running`, so a visit that looks there first finds it in one of the two.
    detached: Mutex<Vec<JobId>>,
    /// How many there are: written under the lock.
    held: AtomicU32,
    /// Jobs that this worker will run next; unless they are bound to it, others may be quicker. Filled and emptied as a
    /// whole under the desk's lock, taken from one by one under its own.
    pub(crate) tray: SpinLock<Tray<J>>,
}

/// What a worker took ahead.
pub(crate) struct Tray<J> {
    pub(crate) jobs: Block<J>,
    /// A strategy chose this worker for them: no other takes them.
    pub(crate) bound: bool,
}

impl<J> Seat<J> {
    pub(crate) fn new(id: WorkerId, number: usize, vitals: Arc<[Vitals]>) -> Self {
        Seat {
            id,
            lane: Lane::of_worker(number),
            vitals,
            running: AtomicU64::new(0),
            detached: Mutex::default(),
            held: AtomicU32::new(0),
            tray: SpinLock::new(Tray {
                jobs: Block::default(),
                bound: false,
            }),
        }
    }

    /// What it has done.
    #[inline]
    pub(crate) fn vitals(&self) -> &Vitals {
        Vitals::of_worker(&self.vitals, self.id.index())
    }

    pub(crate) fn shared_vitals(&self) -> Arc<[Vitals]> {
        self.vitals.clone()
    }

    #[inline]
    pub(crate) fn begin(&self, id: JobId) {
        self.running.store(id.get(), Release);
    }

    /// Sequentially consistent, as is the number that joins set afterwards: see engine/joins.rs.
    pub(crate) fn end(&self) {
        self.running.swap(0, SeqCst);
    }

    /// Starts the next job in the tray where it lies, for the worker whose seat this is. (An envelope that is moved on
    /// its way is written by words and read by pairs of them, for which a processor waits each time.) Once the seat says
    /// so, `count` is called, still under the lock. `false`: there is nothing, or a tombstone, by what `start` says; that
    /// stays where it is.
    #[inline(always)]
    pub(crate) fn start_from_tray<R>(
        &self,
        start: impl FnOnce(&mut Queued<J>) -> Option<R>,
        count: impl FnOnce(R),
    ) -> bool {
        let mut tray = self.tray.lock();
        let started = tray.jobs.start_first(|job| {
            let id = job.id();
            let started = start(job)?;
            self.begin(id);
            Some(started)
        });
        let Some(started) = started else {
            return false;
        };
        count(started);
        true
    }

    /// The running job goes on beside others.
    pub(crate) fn detach(&self, id: JobId) {
        self.vitals().counts.detached();
        self.change_detached(|detached| detached.push(id));
    }

    /// A job that went on beside others is over.
    pub(crate) fn reattach(&self, id: JobId) {
        self.change_detached(|detached| detached.retain(|&other| other != id));
    }

    fn change_detached(&self, change: impl FnOnce(&mut Vec<JobId>)) {
        let mut detached = lock(&self.detached);
        change(&mut detached);
        self.held.store(detached.len() as u32, SeqCst);
    }

    pub(crate) fn has_detached(&self, id: JobId) -> bool {
        self.held.load(SeqCst) > 0 && lock(&self.detached).contains(&id)
    }

    /// The jobs that it has in its hands.
    pub(crate) fn running(&self) -> Vec<JobId> {
        numbers(&self.running, &self.detached)
    }

    pub(crate) fn is_at_work(&self) -> bool {
        self.running.load(SeqCst) > 0 || self.held.load(SeqCst) > 0
    }
}

/// Those of the running job and of the detached ones.
fn numbers(running: &AtomicU64, detached: &Mutex<Vec<JobId>>) -> Vec<JobId> {
    let number = running.load(SeqCst);
    let mut numbers: Vec<_> = number
        .checked_sub(1)
        .map(JobId::from_ticket)
        .into_iter()
        .collect();
    numbers.extend(lock(detached).iter().filter(|id| id.get() != number));
    numbers
}

/// A seat, for its worker to keep.
pub(crate) struct OwnSeat<J> {
    seats: Arc<[Seat<J>]>,
    index: usize,
}

impl<J> OwnSeat<J> {
    pub(crate) fn new(seats: Arc<[Seat<J>]>, index: usize) -> Self {
        OwnSeat { seats, index }
    }
}

impl<J> Clone for OwnSeat<J> {
    fn clone(&self) -> Self {
        OwnSeat {
            seats: self.seats.clone(),
            index: self.index,
        }
    }
}

impl<J> Deref for OwnSeat<J> {
    type Target = Seat<J>;

    #[inline]
    fn deref(&self) -> &Seat<J> {
        &self.seats[self.index]
    }
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn a_seat_takes_one_pair_of_cache_lines() {
        assert_eq!(size_of::<Seat<[u64; 16]>>(), 128);
    }
}
