//! A worker without a job spins for a moment, then sleeps. The protocol is in desk/live/mod.rs.

use crate::desk::appetite::Hand;
use crate::desk::seat::Seat;
use crate::engine::Core;
use crate::id::JobId;
use crate::queue::envelope::Claimed;
use crate::sync::fault::{Fault, seeded};
use crate::wait::spin::{FEW_YIELDS, Spin, sleep_soon};
use std::future::{Future, poll_fn};
use std::task::{Context, Poll};

/// Waits for a job that the worker has not taken ahead. `None`: the pool is over. `search` is kept between two polls,
/// and is `None` at first.
///
/// A function and not a future, so that it is compiled by itself and not into each worker's loop.
#[inline(never)]
pub(super) fn poll_for_job<'a, J: Send + 'static>(
    core: &'a Core<J>,
    seat: &'a Seat<J>,
    hand: &mut Hand,
    search: &mut Option<Search<'a, J>>,
    cx: &Context<'_>,
) -> Poll<Option<(JobId, Claimed<J>)>> {
    if let Some(search) = search {
        if search.resting && search.poll_sleep(cx).is_pending() {
            return Poll::Pending;
        }
    }
    loop {
        if let Some(found) = core.next_job(seat, hand) {
            return Poll::Ready(Some(found));
        }
        if core.is_over() {
            return Poll::Ready(None);
        }
        core.pause(hand);
        let search = search.get_or_insert_with(|| Search::begin(core, seat));
        if search.gives_way() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if !search.spins() {
            if let Some(found) = core.last_resort(seat) {
                return Poll::Ready(Some(found));
            }
            if search.poll_sleep(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

/// A worker that counts as a searcher, or sleeps; dropping it ends either.
pub(crate) struct Search<'a, J: Send + 'static> {
    core: &'a Core<J>,
    seat: &'a Seat<J>,
    spin: Spin,
    prolonged: bool,
    /// There were more searchers than cores when it last wanted to spin.
    superfluous: bool,
    gave_way: bool,
    /// Set while the worker is on the list of sleepers, and on until it learns that it was woken.
    resting: bool,
}

impl<'a, J: Send + 'static> Search<'a, J> {
    pub(crate) fn begin(core: &'a Core<J>, seat: &'a Seat<J>) -> Self {
        core.desk(seat.id).begin_search();
        Search {
            core,
            seat,
            spin: if core.dedicated {
                Spin::of_worker()
            } else {
                Spin::new()
            },
            prolonged: false,
            superfluous: false,
            gave_way: false,
            resting: false,
        }
    }

    /// Returns whether the worker should yield to the other tasks of its executor first: once.
    fn gives_way(&mut self) -> bool {
        let may = !self.core.dedicated && cfg!(not(any(fanpool_loom, fanpool_shuttle)));
        may && !std::mem::replace(&mut self.gave_way, true)
    }

    /// Spins for work without sleeping, and returns whether it is worth trying again. Only on a thread of the pool's
    /// own: it spins and yields for some microseconds, since a wake-up takes 5 to 20.
    #[inline(never)]
    fn spins(&mut self) -> bool {
        if !self.core.dedicated {
            return false;
        }
        let desk = self.core.desk(self.seat.id);
        // More searchers than cores would only take turns.
        self.superfluous = desk.watched().0 > self.core.cores;
        if self.superfluous {
            return false;
        }
        let mut work = || self.core.waiting_hint(desk) > 0;
        if self.spin.until(&mut work) {
            return true;
        }
        // Once: the work it sees may be for others to take.
        !std::mem::replace(&mut self.prolonged, true) && self.spin.spin_longer_until(work)
    }

    /// Sleeps until woken. Ready at once if there is something to do after all.
    #[inline(never)]
    fn poll_sleep(&mut self, cx: &Context<'_>) -> Poll<()> {
        let worker = self.seat.id.index();
        let desk = self.core.desk(self.seat.id);
        let waker = cx.waker().clone();
        if self.resting {
            if desk.still_asleep(worker, waker) {
                return Poll::Pending;
            }
            // Woken: the waking thread counted this worker as a searcher again.
            self.resting = false;
            return Poll::Ready(());
        }
        if !desk.fall_asleep(worker, waker, &self.core.intake, || self.core.is_over()) {
            return Poll::Ready(());
        }
        self.resting = true;
        if self.core.siblings_have_spare(self.seat.id) {
            desk.wake_up(worker);
            self.resting = false;
            return Poll::Ready(());
        }
        // Submitters wait while there is room? A wake was not passed on. Checked while on the list of sleepers, so that
        // a thread that gives room back later finds this worker there.
        self.core.rest();
        // Its thread spins before it sleeps, too. Not in a crowd, and not for long where a thread that binds a job to
        // this worker may wait for that core.
        if self.spin.is_crowded() {
            sleep_soon(0);
        } else if self.superfluous && desk.is_routed() {
            sleep_soon(FEW_YIELDS);
        }
        Poll::Pending
    }
}

impl<J: Send + 'static> Drop for Search<'_, J> {
    #[inline(never)]
    fn drop(&mut self) {
        let desk = self.core.desk(self.seat.id);
        if self.resting {
            desk.wake_up(self.seat.id.index());
        }
        let last = desk.end_search();
        if last && self.core.gate.waiting() > 0 && !seeded(Fault::CallSwallowed) {
            self.core.wake_for_work();
        }
    }
}

/// Lets the executor run other tasks first. (A model has none.)
pub(crate) fn give_way() -> impl Future<Output = ()> {
    let mut given = cfg!(any(fanpool_loom, fanpool_shuttle));
    poll_fn(move |cx| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests {
    use super::*;
    use crate::BoxFuture;
    use crate::gate::{Lane, Want};
    use crate::id::WorkerId;
    use crate::spawner::{SpawnError, Spawner};
    use crate::wait::spin::tests::meet_a_crowd;
    use crate::{Pool, handler_fn};
    use std::task::Waker;

    /// As if each worker had a thread, but the test's is the only one.
    struct Nowhere;

    impl Spawner for Nowhere {
        fn spawn(&self, _: WorkerId, task: BoxFuture<'static, ()>) -> Result<(), SpawnError> {
            std::mem::forget(task);
            Ok(())
        }

        fn is_dedicated(&self) -> bool {
            true
        }
    }

    #[test]
    fn a_worker_in_a_crowd_comes_to_sleep_at_once_also_beside_work_that_it_cannot_take() {
        let test = std::thread::spawn(|| {
            let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, String>(n)))
                .workers_per_dispatcher(1)
                .spawner(Nowhere)
                .build()
                .unwrap();
            let core = pool.core();
            let seat = core.seat(WorkerId::new(0, 0));
            // A submitter between its ticket and its push.
            core.gate.try_enter(Want::job(1)).unwrap();
            meet_a_crowd();
            let mut search = Search::begin(core, seat);
            let looks = (0..1000).take_while(|_| search.spins()).count();
            assert!(looks < 1000, "for ever");
            let cx = Context::from_waker(Waker::noop());
            assert!(search.poll_sleep(&cx).is_pending());
            let yields = Spin::before_sleep().until(|| true);
            assert!(!yields, "its thread looks out before it sleeps");
            drop(search);
            core.gate.release(1, Lane::COMMON);
        });
        test.join().unwrap();
    }
}
