//! How many jobs a worker takes at once.
//!
//! Each look at the desk costs locks that all workers share, as much as several tiny jobs. So a worker
//! takes as many jobs as it runs in about five microseconds, by a moving average of what they take: tiny
//! jobs by the dozen, all others one by one. What it took ahead stays open to the others.

use crate::dispatcher::Vitals;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a worker takes ahead is done within this time.
const AHEAD: Duration = Duration::from_micros(5);
const MOST: u32 = 32;
/// The clock is read once for this many jobs: it costs as much as a tiny one.
const SAMPLE: u32 = 16;
/// Once in so many looks for jobs, those that others took ahead come first.
const SEE_TO_OTHERS: u32 = 16;

#[derive(Debug)]
pub(crate) struct Hand {
    /// Jobs in the tray, or fewer if others took some.
    pub(crate) ahead: usize,
    /// Times that it looked for more.
    looks: u32,
    /// Of one job; zero until it was measured.
    average: Duration,
    /// The last sample.
    last: Duration,
    /// How many jobs are done within `AHEAD`, by that.
    appetite: usize,
    /// The sample under way: its jobs, the time they took up to the last pause, and since when the
    /// worker has been at it again.
    jobs: u32,
    busy: Duration,
    since: Option<Instant>,
    /// Where strategies read the average.
    vitals: Arc<Vitals>,
}

impl Hand {
    pub(crate) fn new(vitals: Arc<Vitals>) -> Self {
        Hand {
            ahead: 0,
            looks: 0,
            average: Duration::ZERO,
            last: Duration::MAX,
            appetite: 1,
            jobs: 0,
            busy: Duration::ZERO,
            since: None,
            vitals,
        }
    }

    /// How many jobs to take now, those before being done.
    #[cfg(not(any(fanpool_loom, fanpool_shuttle)))]
    pub(crate) fn appetite(&mut self, now: impl Fn() -> Instant) -> usize {
        if self.jobs >= SAMPLE {
            self.measure(now);
        }
        self.appetite
    }

    #[cfg(not(any(fanpool_loom, fanpool_shuttle)))]
    fn measure(&mut self, now: impl Fn() -> Instant) {
        self.pause(now);
        let seen = self.busy / self.jobs;
        // One slow sample by itself is about a thread that had to wait for its core.
        let each = seen.min(self.last);
        self.last = seen;
        // Up at once, down by and by: taking too few is the cheaper mistake.
        self.average = if each < self.average {
            self.average - (self.average - each) / 4
        } else {
            each
        };
        self.jobs = 0;
        self.busy = Duration::ZERO;
        self.vitals.set_service(self.average);
        // By a clock that stands still, nothing is known.
        let most = AHEAD.as_nanos().checked_div(self.average.as_nanos());
        self.appetite = most.map_or(1, |most| most.clamp(1, u128::from(MOST)) as usize);
    }

    /// A model explores both ways with few jobs and no clock.
    #[cfg(any(fanpool_loom, fanpool_shuttle))]
    pub(crate) fn appetite(&mut self, _: impl Fn() -> Instant) -> usize {
        let _ = (AHEAD, MOST, SAMPLE, self.average, self.last, self.appetite);
        2
    }

    /// Whether jobs are so short that waiting for more of them pays.
    pub(crate) fn pays_to_linger(&self) -> bool {
        !self.average.is_zero() && self.average * MOST <= AHEAD * 2
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
            self.busy += now() - since;
        }
    }
}
