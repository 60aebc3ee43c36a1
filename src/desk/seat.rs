//! A worker's seat: its place in the pool, which outlives each of its lives. Holds its id, what it runs, what it has
//! done, and its tray.

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

/// On its own pair of cache lines, like `Padded`: its worker writes here for every job.
#[repr(align(128))]
pub(crate) struct Seat<J> {
    pub(crate) id: WorkerId,
    pub(crate) lane: Lane,
    /// The vitals of all workers of the desk, side by side: allocated one by one, they would leave gaps.
    vitals: Arc<[Vitals]>,
    /// The running job's number, or 0. Set under the lock of the place that the job is taken from, so that a visit
    /// finds the job in one of the two; cleared once the outcome is known.
    running: AtomicU64,
    /// Numbers of further jobs in the worker's hands. A job is entered here before it leaves `running`, so a visit that
    /// reads `running` first finds it in one of the two.
    detached: Mutex<Vec<JobId>>,
    /// The length of `detached`, written under its lock.
    held: AtomicU32,
    /// Jobs that this worker will run next. Unless they are bound to it, other workers may take them first. Filled and
    /// emptied as a whole under the desk's lock; jobs are taken one by one under the tray's own lock.
    pub(crate) tray: SpinLock<Tray<J>>,
}

/// The jobs a worker took ahead.
pub(crate) struct Tray<J> {
    pub(crate) jobs: Block<J>,
    /// A strategy chose this worker for them: no other worker takes them.
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

    /// Sequentially consistent, like the number that joins set afterwards: see engine/joins.rs.
    pub(crate) fn end(&self) {
        self.running.swap(0, SeqCst);
    }

    /// Starts the next job of the tray in place, for the worker whose seat this is. (An envelope moved on its way is
    /// written by words and read by pairs of words, and a processor stalls for that each time.) `count` is called once
    /// the seat names the job, still under the lock. Returns `false` if the tray is empty or `start` says that the
    /// first envelope is a tombstone, which stays there.
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

    /// A detached job is over.
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

    /// Returns the jobs in the worker's hands.
    pub(crate) fn running(&self) -> Vec<JobId> {
        numbers(&self.running, &self.detached)
    }

    pub(crate) fn is_at_work(&self) -> bool {
        self.running.load(SeqCst) > 0 || self.held.load(SeqCst) > 0
    }
}

/// Returns the numbers of the running job and of the detached ones.
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

/// A seat as held by its worker.
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
