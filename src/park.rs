//! Drives a future on the calling thread: the blocking half of every waiting call.
//!
//! `foo_blocking()` is `block_on(foo())`, so each wait has one state machine, seen twice.

use crate::sync::atomic::{AtomicBool, Ordering::*};
use crate::sync::{local, spin_loop, thread};
use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// How a thread waits for a wake before it parks: a futex wake costs 5 to 20 µs, a pause some 25 ns.
pub(crate) const PAUSES: u32 = 100;
/// Then it lets others run: the one it waits for may need this very core.
const YIELDS: u32 = 20;

struct Parker {
    thread: thread::Thread,
    woken: AtomicBool,
}

impl Parker {
    /// Waits for a wake since the last one seen; a wake before the call counts.
    fn park(&self) {
        keep_watch(PAUSES, || self.woken.load(Relaxed));
        while !self.woken.swap(false, Acquire) {
            thread::park();
        }
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Release) {
            self.thread.unpark();
        }
    }
}

/// Watches for `happened` without giving up the thread for long: `pauses` times in quick succession,
/// then between yields. Answers whether it did happen.
#[cfg(not(any(fanpool_loom, fanpool_shuttle)))]
pub(crate) fn keep_watch(pauses: u32, mut happened: impl FnMut() -> bool) -> bool {
    for turn in 0..pauses + YIELDS {
        if happened() {
            return true;
        }
        if turn < pauses {
            spin_loop();
        } else {
            thread::yield_now();
        }
    }
    false
}

/// A model checker explores the wait itself; looking out first would only add states.
#[cfg(any(fanpool_loom, fanpool_shuttle))]
pub(crate) fn keep_watch(_: u32, _: impl FnMut() -> bool) -> bool {
    let _ = (YIELDS, spin_loop as fn(), thread::yield_now as fn());
    false
}

local! {
    /// This thread's parker, unless a `block_on` further up the stack is using it.
    static PARKER: RefCell<Option<(Arc<Parker>, Waker)>> = RefCell::new(None);
}

/// Runs `future` to its end on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let (parker, waker) = PARKER
        .try_with(|spare| spare.borrow_mut().take())
        .ok()
        .flatten()
        .unwrap_or_else(|| {
            let parker = Arc::new(Parker {
                thread: thread::current(),
                woken: AtomicBool::new(false),
            });
            (parker.clone(), Waker::from(parker))
        });
    let mut cx = Context::from_waker(&waker);
    let output = loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            break output;
        }
        parker.park();
    };
    let _ = PARKER.try_with(|spare| *spare.borrow_mut() = Some((parker, waker)));
    output
}
