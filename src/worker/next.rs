//! The next job: one that the worker took ahead, or one that it searches for, until it sleeps.

use super::assigned::Assigned;
use super::detached::Detached;
use super::inbox::{Inbox, Owed, hold};
use super::search::{give_way, poll_for_job};
use crate::handler::JobHandler;
use crate::job::{self, Job};
use crate::queue::envelope::Queued;
use crate::sync::fault::{Fault, seeded};
use crate::time::timers::first;
use std::future::poll_fn;
use std::time::Instant;

/// On an executor, a worker lets other tasks run after this many jobs.
const TURN: u32 = 64;

impl<J: Send + 'static, H: JobHandler<J>> Inbox<J, H> {
    /// Waits for the next job. `None`: return from [`Worker::run`](super::Worker::run).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a job leaves the queue only when the future is ready.
    pub async fn next(&mut self) -> Option<Assigned<'_, J, H>> {
        self.abandon();
        if self.broken {
            self.leave_seat();
            return None;
        }
        if !self.core.dedicated && self.taken % TURN == TURN - 1 {
            self.leave_seat();
            give_way().await;
        }
        if self.take_at_hand() || self.look_for_one().await {
            Some(Assigned { inbox: self })
        } else {
            None
        }
    }

    /// Returns the next job if there is one now. It also returns `None` when there will be no more; only
    /// [`next`](Self::next) tells these apart.
    pub fn try_next(&mut self) -> Option<Assigned<'_, J, H>> {
        self.abandon();
        if self.broken {
            self.leave_seat();
            return None;
        }
        if !self.take_at_hand() {
            let found = self.core.next_job(&self.seat, &mut self.hand);
            let (id, claimed) = found.or_else(|| self.core.last_resort(&self.seat))?;
            self.hold(id, claimed);
        }
        Some(Assigned { inbox: self })
    }

    pub(super) async fn next_until(&mut self, due: Instant) -> Option<Detached<J, H>> {
        let left = due.saturating_duration_since(self.now());
        if left.is_zero() {
            return None;
        }
        let sleep = self.core.time.sleep(left);
        let next = async { self.next().await.map(Assigned::detach) };
        first(next, sleep).await.flatten()
    }

    /// Takes the next job that the worker took ahead, unless others were quicker or it was cancelled.
    #[inline(always)]
    fn take_at_hand(&mut self) -> bool {
        if self.hand.ahead == 0 {
            self.leave_seat();
            return false;
        }
        let last = self.cx.id();
        if seeded(Fault::SeatKept) && self.seated {
            self.core.joins.over(last);
            self.seated = false;
        }
        let (cx, owed, current) = (&mut self.cx, &mut self.owed, &mut self.job);
        let mut stale = None;
        let claim = |envelope: &mut Queued<J>| {
            let id = envelope.id();
            if envelope.others() > 0 {
                let job = envelope.claim_first(cx.token(), &mut stale)?;
                cx.turn_to(id, job.deadline());
                *owed = Owed::Handle { keep: true };
                *current = Some(job);
            } else {
                let claimed = envelope.claim()?;
                stale = hold(cx, owed, current, id, claimed);
            }
            Some(job::weight(current.as_ref().and_then(Job::options)))
        };
        let seat = &*self.seat;
        let started = self.core.start_in_hand(seat, &mut self.hand, claim);
        // Not under the tray's lock.
        drop(stale);
        if started && seeded(Fault::RoomKept) {
            self.core.joins.over(last);
        }
        if started {
            // Before any waker is called, which may wait for the room.
            let options = self.job.as_ref().and_then(Job::options);
            self.core.started_in_hand(seat, options);
            self.took_one();
        }
        // A job started under the tray's lock has taken the seat; otherwise the worker clears it: see engine/joins.rs.
        if std::mem::take(&mut self.seated) {
            if !started {
                self.seat.end();
            }
            self.core.joins.over(last);
        }
        if !started {
            *self.cx.token() = None;
        }
        started
    }

    /// Waits for a job that the worker has not taken ahead. Returns whether there is one; if not, the pool is over.
    #[expect(clippy::manual_async_fn, reason = "it would keep its arguments twice")]
    fn look_for_one(&mut self) -> impl Future<Output = bool> + Send {
        async move {
            let found = {
                let mut search = None;
                let (core, seat, hand) = (&*self.core, &*self.seat, &mut self.hand);
                poll_fn(|cx| poll_for_job(core, seat, hand, &mut search, cx)).await
            };
            match found {
                Some((id, claimed)) => self.hold(id, claimed),
                None => self.leaving = true,
            }
            !self.leaving
        }
    }
}
