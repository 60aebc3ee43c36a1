//! What the jobs do. Every job is a `u64`.

mod spin;

#[cfg(test)]
pub mod record;

pub use spin::SPIN;

use crate::clock::Moment;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub trait Work: 'static {
    type Output: Send + 'static;

    fn run(job: u64) -> Self::Output;
}

/// Adds the job to [`TALLY`].
pub struct Count;

impl Work for Count {
    type Output = ();

    fn run(job: u64) {
        TALLY.add(job);
    }
}

/// Adds 1 to [`TALLY`]; the job says something else.
pub struct Tick;

impl Work for Tick {
    type Output = ();

    fn run(_: u64) {
        TALLY.add(1);
    }
}

/// Gives the job plus one.
pub struct Increment;

impl Work for Increment {
    type Output = u64;

    fn run(job: u64) -> u64 {
        job + 1
    }
}

/// Computes for as long as [`SPIN`] says, and adds 1 to [`TALLY`].
pub struct Spin;

impl Work for Spin {
    type Output = ();

    fn run(job: u64) {
        SPIN.run(job);
        TALLY.add(1);
    }
}

/// Static, so that no closure has to carry a reference to it.
pub static TALLY: Tally = Tally::new();

/// Without any progress for this long, a contender counts as hung.
const PATIENCE: Duration = Duration::from_secs(30);

/// Counts up to a number, and notes when it was reached.
pub struct Tally {
    count: Alone<AtomicU64>,
    total: AtomicU64,
    reached: Mutex<Option<Moment>>,
    news: Condvar,
}

/// Has its cache lines to itself, also where the processor fetches two at a time.
#[repr(align(128))]
struct Alone<T>(T);

impl Tally {
    const fn new() -> Self {
        Tally {
            count: Alone(AtomicU64::new(0)),
            total: AtomicU64::new(0),
            reached: Mutex::new(None),
            news: Condvar::new(),
        }
    }

    /// Starts over, towards `total`.
    pub fn expect(&self, total: u64) {
        *self.reached() = None;
        self.total.store(total, Relaxed);
        self.count.0.store(0, Relaxed);
    }

    /// The job that makes the total takes the time itself: the wake-up of who waits is not measured.
    #[inline]
    fn add(&self, amount: u64) {
        let count = self.count.0.fetch_add(amount, Relaxed) + amount;
        if count == self.total.load(Relaxed) {
            *self.reached() = Some(Moment::now());
            self.news.notify_all();
        }
    }

    /// Sleeps until the total is reached and answers when that was. Ends the program if `who` hangs:
    /// its threads could not be ended.
    pub fn wait(&self, who: &str) -> Moment {
        let mut reached = self.reached();
        let mut seen = self.count.0.load(Relaxed);
        loop {
            if let Some(when) = *reached {
                return when;
            }
            let (woken, time) = self
                .news
                .wait_timeout(reached, PATIENCE)
                .unwrap_or_else(PoisonError::into_inner);
            reached = woken;
            let count = self.count.0.load(Relaxed);
            if time.timed_out() && reached.is_none() && count == seen {
                let total = self.total.load(Relaxed);
                eprintln!("{who} hangs: {count} of {total} jobs ran, none in {PATIENCE:?}");
                process::exit(1);
            }
            seen = count;
        }
    }

    fn reached(&self) -> MutexGuard<'_, Option<Moment>> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
