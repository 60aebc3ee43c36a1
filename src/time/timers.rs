//! Timers, and the thread that serves them: started by the first wait with a time limit, ended with the pool.

use crate::wait::signal::call;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::clock::Clock;
fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A pool's timers, and the thread that serves them once there is one.
pub(crate) struct Timekeeper {
    shared: Arc<Timers>,
}

struct Timers {
    clock: Arc<dyn Clock>,
    thread_name: String,
    state: Mutex<TimerState>,
}

struct TimerState {
    next: u64,
    /// By time, then by the order of registration.
    due: BTreeMap<(Instant, u64), Waker>,
    thread: Option<JoinHandle<()>>,
    stopped: bool,
}

impl Timekeeper {
    pub(crate) fn new(clock: Arc<dyn Clock>, thread_name: String) -> Self {
        Timekeeper {
            shared: Arc::new(Timers {
                clock,
                thread_name,
                state: Mutex::new(TimerState {
                    next: 0,
                    due: BTreeMap::new(),
                    thread: None,
                    stopped: false,
                }),
            }),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    /// Returns a future that is ready once `time` has passed. It is ready at once when the timekeeper has stopped or
    /// cannot be started, because a limit that nobody watches would be no limit.
    pub(crate) fn sleep(&self, time: Duration) -> Sleep {
        Sleep {
            until: self.shared.clock.now().checked_add(time),
            timers: self.shared.clone(),
            key: None,
        }
    }

    /// Wakes `waker` at `until`, if timers are still served then.
    pub(crate) fn alarm(&self, until: Instant, waker: Waker) {
        let _ = self.shared.register(until, None, waker);
    }

    /// Ends the thread and every sleep.
    pub(crate) fn stop(&self) {
        let due = {
            let mut state = guard(&self.shared.state);
            state.stopped = true;
            if let Some(thread) = &state.thread {
                thread.thread().unpark();
            }
            std::mem::take(&mut state.due)
        };
        due.into_values().for_each(call);
    }

    /// Ends the thread and waits until it is gone.
    pub(crate) fn join(&self) {
        self.stop();
        let thread = guard(&self.shared.state).thread.take();
        if let Some(thread) = thread {
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Timekeeper {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Timers {
    fn serve(&self) {
        loop {
            let now = self.clock.now();
            let mut fire = Vec::new();
            let next = {
                let mut state = guard(&self.state);
                if state.stopped {
                    return;
                }
                while let Some(entry) = state.due.first_entry() {
                    if entry.key().0 > now {
                        break;
                    }
                    fire.push(entry.remove());
                }
                state.due.first_key_value().map(|(key, _)| key.0)
            };
            if fire.is_empty() {
                // A timer added meanwhile unparks this thread, so the park ends at once.
                self.clock.park_until(next);
            } else {
                fire.into_iter().for_each(call);
            }
        }
    }

    /// Registers or refreshes a timer. `None`: nobody would serve it.
    fn register(
        self: &Arc<Self>,
        until: Instant,
        key: Option<(Instant, u64)>,
        waker: Waker,
    ) -> Option<(Instant, u64)> {
        let mut state = guard(&self.state);
        if state.stopped {
            return None;
        }
        if state.thread.is_none() {
            let timers = self.clone();
            let thread = std::thread::Builder::new()
                .name(self.thread_name.clone())
                .spawn(move || timers.serve());
            state.thread = Some(thread.ok()?);
        }
        let key = key.unwrap_or_else(|| {
            state.next += 1;
            (until, state.next)
        });
        let old = state.due.insert(key, waker);
        if state.due.first_key_value().map(|(first, _)| *first) == Some(key) {
            if let Some(thread) = &state.thread {
                thread.thread().unpark();
            }
        }
        drop(state);
        drop(old);
        Some(key)
    }
}

/// A wait for a point in time. Dropping it removes the timer.
pub(crate) struct Sleep {
    timers: Arc<Timers>,
    /// `None`: later than the clock can express.
    until: Option<Instant>,
    key: Option<(Instant, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(until) = self.until else {
            return Poll::Pending;
        };
        if self.timers.clock.now() >= until {
            return Poll::Ready(());
        }
        match self.timers.register(until, self.key, cx.waker().clone()) {
            Some(key) => {
                self.key = Some(key);
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let old = guard(&self.timers.state).due.remove(&key);
            drop(old);
        }
    }
}

impl fmt::Debug for Timekeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Timekeeper")
    }
}

/// Returns the future's output, or `None` if the time is up first.
pub(crate) async fn first<F: Future>(future: F, time_up: Sleep) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut time_up = std::pin::pin!(time_up);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        time_up.as_mut().poll(cx).map(|()| None)
    })
    .await
}
