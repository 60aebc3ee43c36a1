//! Drives a future on the calling thread: the blocking half of every waiting call.
//!
//! `foo_blocking()` is `block_on(foo())`, so each wait has one state machine, seen twice.

use crate::sync::atomic::{AtomicBool, Ordering::*};
use crate::sync::{local, spin_loop, thread};
use crate::unwind::{contain, dispose};
use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// How a thread waits for a wake before it parks: a futex wake costs 5 to 20 µs, a pause some 25 ns.
pub(crate) const PAUSES: u32 = 10;
/// Then it lets others run: the one it waits for may need this very core.
const YIELDS: u32 = 20;

/// How often a future has itself polled again.
const GLANCES: u8 = 20;
/// An executor that takes longer to come back has other things to do.
const BUSY: Duration = Duration::from_micros(5);

struct Parker {
    thread: thread::Thread,
    woken: AtomicBool,
}

impl Parker {
    /// Waits for a wake since the last one seen; a wake before the call counts.
    fn park(&self) {
        Lookout::new(PAUSES).until(|| self.woken.load(Relaxed));
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

/// A look-out for something, without giving up the thread for long: some looks in quick succession, then
/// some between yields. It can be interrupted and taken up again until its turns are used up.
pub(crate) struct Lookout {
    pauses: u32,
    turns: u32,
}

impl Lookout {
    /// With so many looks before the first yield.
    pub(crate) fn new(pauses: u32) -> Self {
        Lookout::with(pauses, YIELDS)
    }

    /// With yields only, and so many.
    pub(crate) fn yielding(yields: u32) -> Self {
        Lookout::with(0, yields)
    }

    fn with(pauses: u32, yields: u32) -> Self {
        // A model checker explores the wait itself; looking out first would only add states.
        let turns = if cfg!(any(fanpool_loom, fanpool_shuttle)) {
            0
        } else {
            pauses + yields
        };
        Lookout { pauses, turns }
    }

    /// Whether `happened` came true before the turns were used up.
    pub(crate) fn until(&mut self, mut happened: impl FnMut() -> bool) -> bool {
        while self.turns > 0 {
            self.turns -= 1;
            if happened() {
                return true;
            }
            if self.pauses > 0 {
                self.pauses -= 1;
                spin_loop();
            } else {
                thread::yield_now();
            }
        }
        false
    }
}

/// For a future that may well be ready within microseconds: has itself polled again at once, as long as its
/// executor has nothing else to do. To sleep and be woken costs as much as dozens of tiny jobs.
#[derive(Debug)]
pub(crate) struct Glances {
    left: u8,
    last: Option<Instant>,
}

impl Glances {
    pub(crate) fn new() -> Self {
        let left = if cfg!(any(fanpool_loom, fanpool_shuttle)) {
            0
        } else {
            GLANCES
        };
        Glances { left, last: None }
    }

    /// Whether the future is to stay pending without being registered anywhere: it is polled again.
    pub(crate) fn again(&mut self, cx: &mut Context<'_>) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        // By the real time, whatever the pool's clock: this is about threads.
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            if now - last > BUSY {
                // Other tasks had their turn meanwhile, or other threads.
                self.left = 0;
                return false;
            }
            // The one it waits for may need this very core.
            thread::yield_now();
        }
        // One that cannot be woken waits like any other.
        let woken = contain(|| cx.waker().wake_by_ref());
        woken.map_err(dispose).is_ok()
    }
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
