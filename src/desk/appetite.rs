//! How many jobs a worker takes at once.
//!
//! Each look at the desk costs locks that all workers share, as much as several tiny jobs. So a worker
//! takes as many jobs as it runs in about two hundred microseconds, by a moving average of what they take: tiny
//! jobs by the dozen, all that take longer than some hundred one by one. What it took ahead stays open to the others.
//! Of jobs that are bound to it, which no other could take, it takes as many as it runs in a quarter of that time. (Of tiny
//! ones, up to four times as many: see desk/live/mod.rs, `rarely`.)

use crate::dispatcher::Vitals;
use crate::sync::atomic::{AtomicU32, Ordering::*};
use crate::sync::backoff::Backoff;
use std::time::{Duration, Instant};

/// What a worker takes at once is done within this time: a fraction of what a thread may have to wait for a core.
const AHEAD: u64 = 200_000;
/// A worker takes no more at once.
const MOST: u32 = 64;
/// Those of bound jobs, for which no other worker can step in, within one in so many of it.
const BOUND: u32 = if cfg!(any(fanpool_loom, fanpool_shuttle)) {
    1
} else {
    4
};
/// Jobs are so short that waiting for more of them pays.
const TINY: u32 = 300;
/// So many times at most it does not wait for more jobs after that was in vain.
const MOST_SKIPPED: u8 = 15;
/// The clock is read once for this many jobs: it costs as much as a tiny one.
const SAMPLE: u32 = 16;
/// Once in so many looks for jobs, those that others took ahead come first.
const SEE_TO_OTHERS: u8 = 8;

/// Times are in nanoseconds.
#[derive(Debug)]
pub(crate) struct Hand {
    /// Jobs in the tray, or fewer if others took some.
    pub(crate) ahead: u32,
    /// Its last look at the desk left jobs there that others could run, and nobody was called for them yet.
    pub(crate) leaves_more: bool,
    /// Times that it looked for more.
    looks: u8,
    /// When to wait for more jobs.
    pub(crate) linger: Backoff,
    /// Of one job, as strategies are told; zero until it was measured.
    service: u64,
    /// The same of the quicker of each two samples in a row: one slow sample by itself is about a thread that
    /// had to wait for its core, and that is no reason to take fewer jobs. (Up to four seconds.)
    average: u32,
    /// The last sample, as far.
    last: u32,
    appetite: Appetite,
    /// The sample under way: its jobs, the time they took up to the last pause, and since when the
    /// worker has been at it again.
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
        // By a clock that stands still, nothing is known.
        let jobs = AHEAD.checked_div(nanos.into()).unwrap_or(1);
        Appetite(jobs.clamp(1, u64::from(BOUND * MOST)) as u32)
    }

    /// How many jobs to take at once, of those that others may take, too.
    #[inline]
    pub(crate) fn of_common(self) -> u32 {
        self.0.min(MOST)
    }

    /// How many of those that are bound to the worker; if they are tiny, so many times as many.
    pub(crate) fn of_bound(self, rarely: u32) -> u32 {
        match (self.0 / BOUND).max(1) {
            MOST => MOST * rarely,
            // What is taken ahead leaves the inbox, and more is bound in its place.
            fewer => fewer,
        }
    }
}

/// The appetite of the worker that was measured last: what those go by who have not run enough jobs yet, and how many
/// jobs one worker is called for.
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

    /// How many jobs to take now, those before being done. Strategies read the time they took in `vitals`.
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

    /// For a model: one job to run, and one or two ahead, alone or in one envelope. It has no clock.
    #[cfg(any(fanpool_loom, fanpool_shuttle))]
    pub(crate) fn appetite(&mut self, _: &Vitals, _: &Usual, _: impl Fn() -> Instant) -> Appetite {
        let _ = (AHEAD, SAMPLE, follow, self.appetite);
        let _ = (self.service, self.last);
        Appetite(3)
    }

    /// Whether jobs are so short that waiting for more of them pays.
    pub(crate) fn pays_to_linger(&self) -> bool {
        (1..=TINY).contains(&self.average)
    }

    /// Whether it is time to see to what others took ahead, so that those who block are not for ever
    /// passed over by a stream of later jobs.
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

    /// The worker has nothing to do: the time until it has is not its jobs'.
    pub(crate) fn pause(&mut self, now: impl Fn() -> Instant) {
        if let Some(since) = self.since.take() {
            self.busy += nanos(now() - since);
        }
    }
}

/// Of five hundred years at most.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Up at once, down by and by: to take too few jobs is the cheaper mistake.
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
