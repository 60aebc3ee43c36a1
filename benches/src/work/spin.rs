//! Computing for a set time.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

pub static SPIN: Spinner = Spinner {
    steps: AtomicU64::new(0),
};

/// Takes so many steps. A clock would not do: a thread that lost its core in the middle of a job would be
/// let off the rest of it.
pub struct Spinner {
    steps: AtomicU64,
}

impl Spinner {
    #[inline]
    pub fn run(&self, seed: u64) {
        black_box(walk(seed, self.steps.load(Relaxed)));
    }

    /// Makes each job last about so long, at so many steps a second.
    pub fn last(&self, time: Duration, speed: f64) {
        let steps = time.as_secs_f64() * speed;
        self.steps.store(steps as u64, Relaxed);
    }

    /// Steps a second when nothing disturbs: the most of several tries.
    pub fn speed(&self) -> f64 {
        const STEPS: u64 = 1_000_000;
        const TRIES: u64 = 100;
        let tries = (0..TRIES).map(|seed| {
            let begun = Instant::now();
            black_box(walk(seed, STEPS));
            STEPS as f64 / begun.elapsed().as_secs_f64()
        });
        tries.fold(0.0, f64::max)
    }
}

/// Each step needs the one before, so a processor cannot take two at once, nor a compiler shorten it.
fn walk(seed: u64, steps: u64) -> u64 {
    let mut place = seed;
    for _ in 0..steps {
        place = (place.rotate_left(23) ^ steps).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    place
}
