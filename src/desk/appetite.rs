//! How many jobs a worker takes at once.
//!
//! Each visit to the desk takes locks that all workers share, and costs as much as several tiny jobs. So a worker takes
//! as many jobs as it runs in about 200 microseconds, by a moving average of their run time: dozens of tiny jobs, but
//! one at a time once a job takes longer than some hundred microseconds. Other workers can still take what it took
//! ahead.
//!
//! Jobs bound to the worker cannot be taken by others, so it takes only as many as it runs in a quarter of that time.
//! (Of tiny bound jobs it takes up to four times as many: see `rarely` in desk/live/mod.rs.)

use crate::dispatcher::Vitals;
use crate::sync::atomic::{AtomicU32, Ordering::*};
use crate::sync::backoff::Backoff;
use std::time::{Duration, Instant};

/// A worker's tray is run within this time: a fraction of what a thread may wait for a core.
const AHEAD: u64 = 200_000;
/// A worker takes at most this many jobs at once. More would make no difference.
const MOST: u32 = 64;
/// Bound jobs must be run within this fraction of `AHEAD`, because no other worker can step in for them.
const BOUND: u32 = if cfg!(any(fanpool_loom, fanpool_shuttle)) {
    1
} else {
    4
};
/// At or below this time per job, waiting for more jobs pays.
const TINY: u32 = 300;
/// After lingering in vain, a worker skips lingering at most this many times.
const MOST_SKIPPED: u8 = 15;
/// The clock is read once for this many jobs, because one reading costs as much as a tiny job.
const SAMPLE: u32 = 16;
/// Once in this many looks for jobs, a worker first checks what others took ahead.
const SEE_TO_OTHERS: u8 = 8;

/// What a worker knows of its own pace. Times are in nanoseconds.
#[derive(Debug)]
pub(crate) struct Hand {
    /// Jobs in the tray; an upper bound, because others may have taken some.
    pub(crate) ahead: u32,
    /// The last visit to the desk left jobs that others could run, and nobody was woken for them yet.
    pub(crate) leaves_more: bool,
    looks: u8,
    pub(crate) linger: Backoff,
    /// Time per job, as told to strategies; zero until it was measured.
    service: u64,
    /// The same, of the quicker of each two consecutive samples: a single slow sample mostly means that the thread
    /// waited for its core, which is no reason to take fewer jobs. (Up to four seconds.)
    average: u32,
    /// The last sample, with the same limit.
    last: u32,
    appetite: Appetite,
    /// The sample under way: its jobs, the time they took up to the last pause, and when the worker resumed.
    jobs: u32,
    busy: u64,
    since: Option<Instant>,
}

/// How many jobs are done within `AHEAD`: at least one, and no more than make a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appetite(u32);

impl Appetite {
    #[cfg(not(any(fanpool_loom, fanpool_shuttle)))]
    pub(crate) fn of_jobs_that_take(nanos: u32) -> Self {
        // A clock that stands still says nothing.
        let jobs = AHEAD.checked_div(nanos.into()).unwrap_or(1);
        Appetite(jobs.clamp(1, u64::from(BOUND * MOST)) as u32)
    }

    /// Returns how many jobs to take at once if other workers may take them too.
    #[inline]
    pub(crate) fn of_common(self) -> u32 {
        self.0.min(MOST)
    }

    /// Returns how many jobs to take at once if they are bound to this worker; `rarely` times as many if they are tiny.
    pub(crate) fn of_bound(self, rarely: u32) -> u32 {
        match (self.0 / BOUND).max(1) {
            MOST => MOST * rarely,
            // What is taken ahead leaves the inbox, and more is bound in its place.
            fewer => fewer,
        }
    }
}

/// The appetite of the worker that was measured last. Workers that have not run enough jobs yet use it, and it says for
/// how many jobs one worker is woken.
pub(crate) struct Usual(AtomicU32);

impl Usual {
    pub(crate) fn new() -> Self {
        Usual(AtomicU32::new(1))
    }

    #[inline]
    pub(crate) fn get(&self) -> Appetite {
        Appetite(self.0.load(Relaxed))
    }

    #[cfg(not(any(fanpool_loom, fanpool_shuttle)))]
    fn set(&self, appetite: Appetite) {
        if self.get() != appetite {
            self.0.store(appetite.0, Relaxed);
        }
    }
}

impl Hand {
    pub(crate) fn new() -> Self {
        Hand {
            ahead: 0,
            leaves_more: false,
            looks: 0,
            linger: Backoff::new(MOST_SKIPPED),
            service: 0,
            average: 0,
            last: u32::MAX,
            appetite: Appetite(1),
            jobs: 0,
            busy: 0,
            since: None,
        }
    }

    /// Returns how many jobs to take now that the previous ones are done. Publishes the measured time per job in
    /// `vitals`, for strategies.
    #[cfg(not(any(fanpool_loom, fanpool_shuttle)))]
    pub(crate) fn appetite(
        &mut self,
        vitals: &Vitals,
        usual: &Usual,
        now: impl Fn() -> Instant,
    ) -> Appetite {
        if self.jobs >= SAMPLE {
            self.measure(now);
            vitals.set_service(self.service);
            usual.set(self.appetite);
        } else if self.average == 0 {
            return usual.get();
        }
        self.appetite
    }

    #[cfg(not(any(fanpool_loom, fanpool_shuttle)))]
    fn measure(&mut self, now: impl Fn() -> Instant) {
        self.pause(now);
        let each = self.busy / u64::from(self.jobs);
        self.service = follow(self.service, each);
        let each = u32::try_from(each).unwrap_or(u32::MAX);
        let quicker = each.min(std::mem::replace(&mut self.last, each));
        self.average = follow(self.average.into(), quicker.into()) as u32;
        self.jobs = 0;
        self.busy = 0;
        self.appetite = Appetite::of_jobs_that_take(self.average);
    }

    /// In a model there is no clock: one job to run, and one or two ahead, alone or in one envelope.
    #[cfg(any(fanpool_loom, fanpool_shuttle))]
    pub(crate) fn appetite(&mut self, _: &Vitals, _: &Usual, _: impl Fn() -> Instant) -> Appetite {
        let _ = (AHEAD, SAMPLE, follow, self.appetite);
        let _ = (self.service, self.last);
        Appetite(3)
    }

    pub(crate) fn pays_to_linger(&self) -> bool {
        (1..=TINY).contains(&self.average)
    }

    /// Returns whether it is time to look at what others took ahead. Otherwise a stream of later jobs could pass over
    /// the jobs behind a blocked worker for ever.
    pub(crate) fn sees_to_others(&mut self) -> bool {
        self.looks = self.looks.wrapping_add(1);
        self.looks % SEE_TO_OTHERS == 0
    }

    #[inline]
    pub(crate) fn took_one(&mut self, now: impl Fn() -> Instant) {
        self.jobs += 1;
        if self.since.is_none() {
            self.since = Some(now());
        }
    }

    /// The worker has nothing to do: this time is not charged to its jobs.
    pub(crate) fn pause(&mut self, now: impl Fn() -> Instant) {
        if let Some(since) = self.since.take() {
            self.busy += nanos(now() - since);
        }
    }
}

/// Saturates after five hundred years.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Rises at once and falls slowly, because taking too few jobs is the cheaper mistake.
fn follow(average: u64, each: u64) -> u64 {
    if each < average {
        average - (average - each) / 4
    } else {
        each
    }
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn who_was_not_measured_goes_by_the_one_that_was_last() {
        let now = Cell::new(Instant::now());
        let (vitals, usual) = (Vitals::default(), Usual::new());
        let mut measured = Hand::new();
        let mut sample = |each: Duration| {
            for _ in 0..2 * SAMPLE {
                measured.took_one(|| now.get());
                now.set(now.get() + each);
                measured.appetite(&vitals, &usual, || now.get());
            }
        };
        let fresh = || {
            let appetite = Hand::new().appetite(&vitals, &usual, || now.get());
            (appetite.of_common(), appetite.of_bound(3))
        };
        assert_eq!(fresh(), (1, 1));
        sample(Duration::from_nanos(500));
        assert_eq!(fresh(), (64, 3 * 64));
        sample(Duration::from_micros(5));
        assert_eq!(fresh(), (40, 10));
        sample(Duration::from_millis(1));
        assert_eq!(fresh(), (1, 1));
    }

    #[test]
    fn one_slow_sample_does_not_make_a_worker_take_less_but_two_do() {
        let now = Cell::new(Instant::now());
        let (mut hand, vitals, usual) = (Hand::new(), Vitals::default(), Usual::new());
        let mut sample = |each: Duration| {
            for _ in 0..SAMPLE {
                hand.took_one(|| now.get());
                now.set(now.get() + each);
            }
            let appetite = hand.appetite(&vitals, &usual, || now.get());
            (appetite.of_common(), Duration::from_nanos(hand.service))
        };
        let (tiny, slow) = (Duration::from_micros(5), Duration::from_micros(400));
        assert_eq!(sample(tiny), (40, tiny));
        assert_eq!(sample(slow), (40, slow), "strategies are told at once");
        assert_eq!(sample(tiny).0, 40);
        sample(slow);
        assert_eq!(sample(slow).0, 1);
    }
}
