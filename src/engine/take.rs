//! A worker gets its next job, from its tray, its desk or others, and starts it.

use super::{Core, LINGER};
use crate::desk::appetite::Hand;
use crate::desk::live::{LiveDesk, WHOLE_FROM};
use crate::desk::seat::Seat;
use crate::id::{JobId, WorkerId};
use crate::job::{self, Options};
use crate::queue::envelope::{Claimed, Queued};
use crate::sync::atomic::Ordering::*;
use crate::sync::fault::{Fault, seeded};
use crate::wait::spin::{yield_to_others, yields_pay};

impl<J: Send + 'static> Core<J> {
    /// Starts the next of the jobs that the worker took ahead.
    ///
    /// `claim` takes the job out of its envelope, under the tray's lock, and returns its weight. If the job was
    /// started, the caller has to call [`started_in_hand`](Self::started_in_hand) after that lock. Returns `false` if
    /// others were quicker, or if a tombstone came up, which [`next_job`](Self::next_job) handles.
    #[inline(always)]
    pub(crate) fn start_in_hand(
        &self,
        seat: &Seat<J>,
        hand: &mut Hand,
        claim: impl FnOnce(&mut Queued<J>) -> Option<u64>,
    ) -> bool {
        if self.is_halted() {
            return false;
        }
        let count = |weight| {
            seat.vitals().counts.started();
            if self.keys.is_none() && !seeded(Fault::RoomKept) {
                self.gate.count(weight, seat.lane);
            }
        };
        let started = seat.start_from_tray(claim, count);
        hand.ahead -= u32::from(started);
        started
    }

    /// Finishes a start in hand of a job with these options: tells those that wait for its room.
    #[inline(always)]
    pub(crate) fn started_in_hand(&self, seat: &Seat<J>, options: Option<&Options>) {
        if self.keys.is_some() || seeded(Fault::RoomKept) {
            return self.leave_queue(options, seat.lane);
        }
        if self.gate.counted(job::weight(options), seat.lane) {
            self.drained();
        }
    }

    #[inline(always)]
    pub(crate) fn started(&self, seat: &Seat<J>, options: Option<&Options>) {
        seat.vitals().counts.started();
        self.leave_queue(options, seat.lane);
    }

    /// The next job for a worker that could not start one from its hand.
    pub(crate) fn next_job(&self, seat: &Seat<J>, hand: &mut Hand) -> Option<(JobId, Claimed<J>)> {
        self.start_from(seat, Some(hand))
    }

    /// A job that another worker took ahead or another desk can spare, for a worker that would have to sleep otherwise.
    /// Any sooner, it would only get in the way of quick workers.
    pub(crate) fn last_resort(&self, seat: &Seat<J>) -> Option<(JobId, Claimed<J>)> {
        self.start_from(seat, None)
    }

    /// From the worker's own hand and desk (`Some`), or from others (`None`).
    #[inline(never)]
    pub(super) fn start_from(
        &self,
        seat: &Seat<J>,
        mut hand: Option<&mut Hand>,
    ) -> Option<(JobId, Claimed<J>)> {
        let started = loop {
            if self.is_halted() {
                break None;
            }
            let taken = match &mut hand {
                Some(hand) => match self.take_in_hand(seat, hand) {
                    None => self.take_from_desk(seat, hand),
                    job => job,
                },
                None => self.take_from_others(seat),
            };
            let Some(mut job) = taken else { break None };
            if let Some(claimed) = job.claim() {
                self.started(seat, claimed.job.options());
                break Some((job.id(), claimed));
            }
            self.met_tombstone(seat, &job);
        };
        // After the start: a waker may wait for the job's room.
        if hand.is_some_and(|hand| std::mem::take(&mut hand.leaves_more)) {
            self.wake_for_work();
        }
        started
    }

    #[cold]
    pub(super) fn met_tombstone(&self, seat: &Seat<J>, job: &Queued<J>) {
        self.tombstones.fetch_sub(1, Relaxed);
        // The cancelling thread reports its end, unless that is past already: then a join that saw the job at this seat
        // would wait for ever. Asked after the seat is clear: see engine/joins.rs.
        seat.end();
        if job.is_over() {
            self.joins.over(job.id());
        }
    }

    /// A job that the worker took ahead, unless others were quicker.
    pub(super) fn take_in_hand(&self, seat: &Seat<J>, hand: &mut Hand) -> Option<Queued<J>> {
        if hand.ahead == 0 {
            return None;
        }
        let job = self.desk(seat.id).take_from_tray(seat, seat);
        hand.ahead = if job.is_some() { hand.ahead - 1 } else { 0 };
        job
    }

    pub(super) fn take_from_desk(&self, seat: &Seat<J>, hand: &mut Hand) -> Option<Queued<J>> {
        let appetite = self.appetite(hand, seat.vitals());
        let own = self.desk(seat.id);
        if hand.sees_to_others() {
            if let Some(job) = own.steal(seat) {
                return Some(job);
            }
        }
        // A worker must not hold up an executor's thread.
        if self.dedicated && hand.pays_to_linger() {
            self.linger(own, hand);
        }
        let taken = own.take(seat, appetite, &self.intake)?;
        hand.ahead = taken.ahead as u32;
        hand.leaves_more |= taken.more;
        Some(taken.job)
    }

    /// A worker quicker than the submitters would take their jobs one by one, and meet them at every lock. While jobs
    /// are tiny and more keep coming, it waits a moment for enough of them.
    #[inline(never)]
    pub(super) fn linger(&self, own: &LiveDesk<J>, hand: &mut Hand) {
        let mut seen = self.waiting_hint(own);
        if seen == 0 || seen >= WHOLE_FROM as u64 || !hand.linger.is_due() || !yields_pay() {
            return;
        }
        for turn in 0..LINGER {
            let crowded = !yield_to_others();
            let now = self.waiting_hint(own);
            if turn == 0 {
                hand.linger.tried(now > seen);
            }
            if crowded || now <= seen || now >= WHOLE_FROM as u64 {
                return;
            }
            seen = now;
        }
    }

    /// What other workers of the desk took ahead, then what other desks can spare.
    #[inline(never)]
    pub(super) fn take_from_others(&self, seat: &Seat<J>) -> Option<Queued<J>> {
        let job = self.desk(seat.id).steal(seat);
        match &self.several {
            Some(several) if job.is_none() => (several.take)(self, seat),
            _ => job,
        }
    }

    pub(super) fn take_from_siblings(&self, seat: &Seat<J>) -> Option<Queued<J>> {
        let count = self.desks.len();
        let own = seat.id.dispatcher();
        for other in own + 1..own + count {
            let job = self.desks[other % count].give_away(seat);
            if job.is_some() {
                self.desks[own].note_busy(seat);
                return job;
            }
        }
        None
    }

    /// Returns whether a desk other than the worker's own has a job for it.
    pub(crate) fn siblings_have_spare(&self, worker: WorkerId) -> bool {
        self.several
            .as_ref()
            .is_some_and(|several| (several.have_spare)(self, worker))
    }

    pub(super) fn any_sibling_has_spare(&self, worker: WorkerId) -> bool {
        for (index, desk) in self.desks.iter().enumerate() {
            if index != worker.dispatcher() && desk.has_spare() {
                return true;
            }
        }
        false
    }
}
