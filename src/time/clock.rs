//! Time: the replaceable clock.
//!
//! Executors do not share timers, so the pool brings its own: a *timekeeper* thread, started by the first wait with a
//! time limit and ended with the pool. A pool that needs no time never starts it. All code asks a [`Clock`] for the
//! time, so tests can use a [`ManualClock`].
//!
//! Uses the standard library's mutex even under a model checker, because no model waits for time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Where the pool gets its time from.
///
/// [`SystemClock`] is the default; [`ManualClock`] stands still until a test moves it. A clock is called by the
/// timekeeper thread and by threads that start a timed wait, and never under a lock of the pool.
pub trait Clock: Send + Sync + 'static {
    /// Returns the current time. Must not run backwards.
    fn now(&self) -> Instant;

    /// Blocks the calling thread until `until` (with `None`: for good), or until it is unparked
    /// ([`std::thread::Thread::unpark`]). May return early: the caller checks the time again.
    fn park_until(&self, until: Option<Instant>);
}

/// The operating system's monotonic clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn park_until(&self, until: Option<Instant>) {
        match until {
            None => std::thread::park(),
            Some(until) => {
                std::thread::park_timeout(until.saturating_duration_since(Instant::now()));
            }
        }
    }
}

/// A clock that moves only when it is told to. Clones show the same time.
///
/// ```
/// use fanpool::clock::{Clock, ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let start = clock.now();
/// clock.advance(Duration::from_secs(3600));
/// assert_eq!(clock.now() - start, Duration::from_secs(3600));
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock {
    shared: Arc<Mutex<Manual>>,
}

#[derive(Debug)]
struct Manual {
    now: Instant,
    /// Threads that wait for the clock to move.
    parked: Vec<Thread>,
}

impl ManualClock {
    /// Creates a clock that starts now and stands still.
    pub fn new() -> Self {
        ManualClock {
            shared: Arc::new(Mutex::new(Manual {
                now: Instant::now(),
                parked: Vec::new(),
            })),
        }
    }

    /// Moves the clock on and wakes the threads that wait for it. Does not wait until they have looked.
    pub fn advance(&self, by: Duration) {
        let parked = {
            let mut manual = guard(&self.shared);
            manual.now += by;
            std::mem::take(&mut manual.parked)
        };
        parked.iter().for_each(Thread::unpark);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        ManualClock::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        guard(&self.shared).now
    }

    fn park_until(&self, until: Option<Instant>) {
        {
            let mut manual = guard(&self.shared);
            if until.is_some_and(|until| until <= manual.now) {
                return;
            }
            let me = std::thread::current();
            if manual.parked.iter().all(|thread| thread.id() != me.id()) {
                manual.parked.push(me);
            }
        }
        std::thread::park();
    }
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
