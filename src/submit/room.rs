//! Room in the queue, with or without waiting: as a task, or as a thread that yields, naps and sleeps.

use crate::engine::Common;
use crate::engine::self_wait::{For, unless_stuck};
use crate::gate::{Refusal, Ticket, Want};
use crate::keys::waiting::KeyFull;
use crate::sync::boxed::BoxFuture;
use crate::sync::thread;
use crate::time::timers::first;
use crate::wait::current;
use crate::wait::park::block_on;
use crate::wait::spin::{Yielded, nap, yield_until};
use std::ops::Range;
use std::time::Duration;

/// Room, or why there is none. The first ticket of a job is its number.
pub(crate) type Entered = Result<Range<Ticket>, NoRoom>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    Full,
    Closed,
    TimedOut,
    TooHeavy,
    WouldDeadlock,
    KeyFull(u64),
}

impl From<Refusal> for NoRoom {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full => NoRoom::Full,
            Refusal::Closed => NoRoom::Closed,
            Refusal::TooHeavy => NoRoom::TooHeavy,
        }
    }
}

impl From<KeyFull> for NoRoom {
    fn from(KeyFull(key): KeyFull) -> Self {
        NoRoom::KeyFull(key)
    }
}

/// A shorter nap costs more than it saves.
const WORTH_A_NAP: Duration = Duration::from_micros(500);
/// The same for a thread that keeps a core from the workers: about as long as any nap overshoots. On Windows, that is
/// more.
const WORTH_A_CORE: Duration = if cfg!(windows) {
    WORTH_A_NAP
} else {
    Duration::from_micros(50)
};
/// The workers may have become quicker since the last time, and the pool may be closed meanwhile.
const LONGEST_NAP: Duration = Duration::from_millis(10);

/// Returns whether waiting may help.
fn is_full(entered: &Entered) -> bool {
    matches!(entered, Err(NoRoom::Full))
}

impl Common {
    #[inline]
    pub(crate) fn try_enter(&self, want: Want) -> Entered {
        self.gate.try_enter(want).map_err(NoRoom::from)
    }

    pub(crate) async fn enter(&self, want: Want) -> Entered {
        let entered = self.try_enter(want);
        if !is_full(&entered) {
            return entered;
        }
        self.wait_for_room(want).await
    }

    /// Waits for room after a refusal as `Full`. (Boxed, since few calls wait: the wait is compiled once, and takes up
    /// no room in the future of every call.)
    fn wait_for_room(&self, want: Want) -> BoxFuture<'_, Entered> {
        Box::pin(async move {
            match unless_stuck(self.number, For::Progress, self.gate.enter(want)).await {
                Ok(settled) => settled.map_err(NoRoom::from),
                Err(_) => Err(NoRoom::WouldDeadlock),
            }
        })
    }

    pub(crate) async fn enter_in_time(&self, want: Want, limit: Duration) -> Entered {
        let entered = self.try_enter(want);
        if !is_full(&entered) {
            return entered;
        }
        match first(self.wait_for_room(want), self.time.sleep(limit)).await {
            Some(settled) => settled,
            None => Err(NoRoom::TimedOut),
        }
    }

    #[inline]
    pub(crate) fn enter_blocking(&self, want: Want) -> Entered {
        // Two threads that submit at the same time move every shared word to and fro, and take five times as long as
        // one after the other. So a thread that meets another one yields its core to a worker.
        match self.gate.try_enter_or(want, thread::yield_now) {
            Err(Refusal::Full) => self.wait_blocking(want),
            entered => entered.map_err(NoRoom::from),
        }
    }

    /// How long to nap in front of a full queue, if that is `worth` it.
    ///
    /// `None` in a job of this pool, whose worker may be the one to wait for, and for several units, which wait in
    /// line.
    fn nap_for(&self, want: Want, worth: Duration) -> Option<Duration> {
        if !want.is_for_one() || !current::is_outside(self.number) {
            return None;
        }
        let long = self.gate.quarter_frees_in()?;
        (long >= worth).then_some(long.min(LONGEST_NAP))
    }

    /// Waits for more room than it needs, within reason, before it sleeps until there is some.
    ///
    /// A thread that sleeps in front of a full queue is woken for each slot that frees; for jobs of 10 µs that doubles
    /// their cost. If the workers take long to free a quarter of the queue, the thread naps for that long. In order of
    /// arrival its job is hardly done later, since the other three quarters come first. Otherwise it yields.
    ///
    /// A thread that yields on a core that nothing else wants still keeps that core busy. The workers may go on taking
    /// turns on another one, since the system sees no free core. So then it naps even for shorter waits.
    #[cold]
    #[inline(never)]
    fn wait_blocking(&self, want: Want) -> Entered {
        self.gate.measure_pace(|| {
            if let Some(long) = self.nap_for(want, WORTH_A_NAP) {
                nap(long);
            // Waits for more than the first unit that frees, and without spinning: each look reads what the workers
            // write for every job, and slows them.
            } else if yield_until(|| self.gate.has_half_free()) == Yielded::Alone {
                self.nap_for(want, WORTH_A_CORE).into_iter().for_each(nap);
            }
            let entered = self.try_enter(want);
            if is_full(&entered) {
                return block_on(self.wait_for_room(want));
            }
            entered
        })
    }
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests {
    use super::*;
    use crate::id::WorkerId;
    use crate::wait::current::Frame;
    use crate::{Pool, handler_fn};

    #[test]
    fn a_submitter_naps_only_where_it_can_do_no_harm() {
        let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, String>(n)))
            .queue_capacity(1000)
            .build()
            .unwrap();
        let core = pool.core();
        let (one, two) = (Want::job(1), Want::job(2));
        let nap_for = |want| core.nap_for(want, WORTH_A_NAP);
        assert_eq!(nap_for(one), None, "nothing is known");
        let micros = Duration::from_micros;
        for (each, nap) in [
            (micros(1), None),
            (micros(4), Some(micros(1000))),
            (micros(1000), Some(LONGEST_NAP)),
        ] {
            core.gate.set_pace(each);
            assert_eq!(nap_for(one), nap);
        }
        assert_eq!(nap_for(Want::permits(5)), Some(LONGEST_NAP));
        assert_eq!(nap_for(two), None, "it waits in line");
        core.gate.set_pace(micros(1));
        assert_eq!(nap_for(one), None);
        assert_eq!(core.nap_for(one, micros(50)), Some(micros(250)));
        core.gate.set_pace(micros(1000));
        let in_a_job = current::enter(Frame {
            pool: core.number,
            seat: WorkerId::FIRST,
            job: None,
        });
        assert_eq!(nap_for(one), None, "others may wait for its worker");
        drop(in_a_job);
        assert_eq!(nap_for(one), Some(LONGEST_NAP));
    }
}
