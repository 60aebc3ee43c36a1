//! Drives a future on the calling thread: the blocking half of every waiting call.
//!
//! `foo_blocking()` is `block_on(foo())`, so each wait has one state machine with two front ends.

use crate::sync::atomic::{AtomicBool, Ordering::*};
use crate::sync::{local, thread};
use crate::wait::spin::{Spin, SpinLength};
use std::cell::RefCell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

struct Parker {
    thread: thread::Thread,
    woken: AtomicBool,
}

impl Parker {
    /// Waits for a wake-up since the last one seen. A wake-up before the call counts.
    fn park(&self) {
        Spin::before_sleep().until(|| self.woken.load(Relaxed));
        if self.woken.swap(false, Acquire) {
            return;
        }
        let asleep = Instant::now();
        loop {
            thread::park();
            if self.woken.swap(false, Acquire) {
                break;
            }
        }
        SpinLength::slept(asleep.elapsed());
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

local! {
    /// This thread's parker, unless a `block_on` further up the stack is using it.
    static PARKER: RefCell<Option<(Arc<Parker>, Waker)>> = RefCell::new(None);
}

/// Runs `future` to its end on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut kept = Kept {
        future: pin!(future),
        output: None,
    };
    let future = Pin::new(&mut kept);
    poll_to_end(future);
    kept.output.expect("polled to its end")
}

/// A future that keeps its output, so that the same code drives futures of all types.
struct Kept<'a, F: Future> {
    future: Pin<&'a mut F>,
    output: Option<F::Output>,
}

impl<F: Future> Unpin for Kept<'_, F> {}

impl<F: Future> Future for Kept<'_, F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.future
            .as_mut()
            .poll(cx)
            .map(|output| this.output = Some(output))
    }
}

fn poll_to_end(mut future: Pin<&mut dyn Future<Output = ()>>) {
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
    while future.as_mut().poll(&mut cx).is_pending() {
        parker.park();
    }
    let _ = PARKER.try_with(|spare| *spare.borrow_mut() = Some((parker, waker)));
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests {
    use super::*;
    use crate::wait::spin::{PAUSES, YIELDS, sleep_soon};

    #[test]
    fn who_is_to_sleep_soon_does_so_the_next_time_that_it_parks_and_not_after() {
        let test = std::thread::spawn(|| {
            let parker = Parker {
                thread: thread::current(),
                woken: AtomicBool::new(true),
            };
            sleep_soon(3);
            parker.park();
            let mut looks = 0;
            Spin::before_sleep().until(|| {
                looks += 1;
                false
            });
            assert_eq!(looks, PAUSES + YIELDS);
        });
        test.join().unwrap();
    }
}
