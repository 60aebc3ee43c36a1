//! Taking: a worker takes what its desk has for it, a share of the intake, or what others took ahead.

use super::{LiveDesk, State, Taken, WHOLE_FROM};
use crate::desk::appetite::Appetite;
use crate::desk::seat::{Seat, Tray};
use crate::queue::block::Block;
use crate::queue::envelope::Queued;
use crate::queue::intake::{BLOCK, Intake};
use crate::sync::fault::{Fault, seeded};
use crate::wait::signal::call_each;

impl<J: Send + 'static> LiveDesk<J> {
    /// Takes the next job for one of this desk's own workers, whose tray is empty, and further ones into the tray.
    pub(crate) fn take(
        &self,
        seat: &Seat<J>,
        appetite: Appetite,
        intake: &Intake<J>,
    ) -> Option<Taken<J>> {
        let mut state = self.enter();
        state.draw_keyed(self.keyed.as_ref());
        if state.desk.may_leave_in_intake() {
            let most = appetite.of_common() as usize;
            return self.take_ahead(&mut state, seat, most, intake);
        }
        let most = appetite.of_bound(self.rarely) as usize;
        let mut woken = Vec::new();
        // A worker that has enough tiny jobs of its own leaves the rest to the first worker that has not, which draws
        // them in bulk.
        if most == 1 || !state.desk.has_bound(seat.id.index()) {
            state.draw_to_route(intake, self.is_alone());
            woken = state.desk.route();
        }
        let taken = self.take_bound(&mut state, seat, most, &mut woken);
        if taken.is_some() {
            woken.extend(state.desk.route_for_sleepers());
        }
        // What found no room in an inbox is for the workers of other desks.
        let more = state.has_unbound();
        let wakers = self.collect_wakers(&mut state, woken);
        drop(state);
        call_each(wakers);
        taken.map(|taken| Taken { more, ..taken })
    }

    /// Takes the next job of the worker's inbox or a spare one, and further ones of the inbox into the tray. Jobs that
    /// the strategy then gives this worker go there too, up to its share of what waits, so jobs are taken in bulk even
    /// from shallow inboxes.
    pub(super) fn take_bound(
        &self,
        state: &mut State<J>,
        seat: &Seat<J>,
        most: usize,
        woken: &mut Vec<usize>,
    ) -> Option<Taken<J>> {
        let worker = seat.id.index();
        let desk = &mut state.desk;
        let job = desk.take(worker, &|id| seat.has_detached(id))?;
        let bound = desk.count_bound(worker);
        let most = (most - 1).min(bound.max(desk.backlog() / self.share));
        let further = if bound == 0 { 0 } else { most };
        let mut jobs = self.begin(&mut state.trays, seat, &job, further);
        if let Some(jobs) = &mut jobs {
            let jobs = jobs.singles();
            desk.take_many_bound(worker, most, jobs);
            desk.route_and_take(worker, most, jobs, woken);
        }
        Some(self.hand_over(seat, job, jobs, true))
    }

    /// Returns how many of `waiting` jobs a worker takes beyond the first.
    pub(super) fn further(&self, waiting: usize, most: usize) -> usize {
        (waiting / self.share).min(most).saturating_sub(1)
    }

    /// Takes the first waiting job, and further ones into the tray: the worker's share of what waits and at most
    /// `most`, to leave the rest to others. Takes from the desk, or straight from the intake while the desk is empty.
    pub(super) fn take_ahead(
        &self,
        state: &mut State<J>,
        seat: &Seat<J>,
        most: usize,
        intake: &Intake<J>,
    ) -> Option<Taken<J>> {
        let worker = seat.id.index();
        let waiting = state.desk.backlog();
        // Jobs that an earlier strategy bound to the worker left the backlog before everything in the intake.
        if waiting > 0 || state.desk.has_bound(worker) {
            let job = state.desk.take(worker, &|id| seat.has_detached(id))?;
            // What is left in the inbox comes before unbound jobs.
            let more = if state.desk.has_bound(worker) {
                0
            } else {
                self.further(waiting, most)
            };
            let mut jobs = self.begin(&mut state.trays, seat, &job, more);
            if let Some(jobs) = &mut jobs {
                state.desk.take_many(more, jobs.singles());
            }
            return Some(self.hand_over(seat, job, jobs, false));
        }
        if state.front.is_empty() && !intake.receive(&mut state.front) {
            let State { front, drawn, .. } = state;
            // By one look, since submitters want that lock for every job.
            let job = intake.draw_open(front, |open, front| {
                let waiting = open.len();
                if waiting >= WHOLE_FROM {
                    std::mem::swap(open, front);
                    return None;
                }
                let job = open.pop();
                open.move_to(self.further(waiting, most), drawn);
                job
            });
            if state.front.is_empty() {
                let job = job.flatten();
                state.desk.set_busy(worker, job.is_some());
                let (job, more) = (job?, state.drawn.len());
                let mut jobs = self.begin(&mut state.trays, seat, &job, more);
                if let Some(jobs) = &mut jobs {
                    std::mem::swap(jobs, &mut state.drawn);
                }
                return Some(self.hand_over(seat, job, jobs, false));
            }
        }
        let behind = if intake.has_sealed() { BLOCK } else { 0 };
        let more = self.further(state.front.len() + behind, most);
        let job = state.front.pop();
        state.desk.set_busy(worker, job.is_some());
        let (job, more) = (job?, more.min(state.front.len()));
        let mut jobs = self.begin(&mut state.trays, seat, &job, more);
        if let Some(jobs) = &mut jobs {
            state.front.move_to(more, jobs);
        }
        Some(self.hand_over(seat, job, jobs, false))
    }

    /// Lets a worker begin with a job. If it will take `more` ahead, returns its empty tray, to be filled detached from
    /// the seat: the strategy or the order, which are foreign code, are asked meanwhile. This and `hand_over` run under
    /// the desk's lock.
    pub(super) fn begin(
        &self,
        trays: &mut Vec<Block<J>>,
        seat: &Seat<J>,
        job: &Queued<J>,
        more: usize,
    ) -> Option<Block<J>> {
        seat.begin(job.id());
        if more == 0 {
            return None;
        }
        let jobs = std::mem::take(&mut seat.tray.lock().jobs);
        debug_assert!(jobs.is_empty(), "its worker has nothing in hand");
        if jobs.capacity() > 0 {
            return Some(jobs);
        }
        Some(trays.pop().unwrap_or_default())
    }

    pub(super) fn hand_over(
        &self,
        seat: &Seat<J>,
        job: Queued<J>,
        jobs: Option<Block<J>>,
        bound: bool,
    ) -> Taken<J> {
        let mut ahead = 0;
        if let Some(jobs) = jobs {
            ahead = jobs.len();
            let mut tray = seat.tray.lock();
            *tray = Tray { jobs, bound };
            if ahead > 0 && !bound {
                self.loaded.set(seat.id.index());
            }
        }
        let more = ahead > 0;
        Taken { job, ahead, more }
    }

    /// Takes the next job out of `of`'s tray for `to`: its own worker, or another that steps in.
    pub(crate) fn take_from_tray(&self, of: &Seat<J>, to: &Seat<J>) -> Option<Queued<J>> {
        let mut tray = of.tray.lock();
        if tray.bound || tray.jobs.is_empty() {
            self.loaded.clear(of.id.index());
            if of.id != to.id {
                return None;
            }
        }
        let job = if of.id.dispatcher() == to.id.dispatcher() {
            tray.jobs.pop()?
        } else {
            // The jobs of a key stay with their desk.
            tray.jobs.pop_first(|job| !job.stays_with_desk())?
        };
        to.begin(job.id());
        Some(job)
    }

    /// Takes a job that another worker of this desk took ahead. The worker's own tray comes last: with nothing to do,
    /// it clears its mark there.
    pub(crate) fn steal(&self, to: &Seat<J>) -> Option<Queued<J>> {
        if !self.loaded.any() || seeded(Fault::TrayUnseen) {
            return None;
        }
        let mut loaded = self.loaded.from(to.id.index() + 1);
        while let Some(of) = loaded.next() {
            let job = self.take_from_tray(&self.seats[of], to);
            if job.is_some() {
                return job;
            }
        }
        None
    }

    /// Takes a job of this desk that may go to any worker, for the worker of another desk.
    #[inline(never)]
    pub(crate) fn give_away(&self, to: &Seat<J>) -> Option<Queued<J>> {
        let mut state = self.enter_for_others();
        let mut woken = state.desk.route();
        let job = match state.desk.take_unbound() {
            // From the common intake, so for anyone.
            None => state.front.pop(),
            job => job,
        };
        if let Some(job) = &job {
            to.begin(job.id());
            woken.extend(state.desk.route_for_sleepers());
        }
        let wakers = self.collect_wakers(&mut state, woken);
        drop(state);
        call_each(wakers);
        job.or_else(|| self.steal(to))
    }

    /// Tells the strategy that a worker which runs another desk's job is not idle.
    pub(crate) fn note_busy(&self, seat: &Seat<J>) {
        let mut state = self.enter();
        state.desk.set_busy(seat.id.index(), true);
    }
}
