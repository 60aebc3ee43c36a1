//! A signal: an event to wait for, whose wakers never run under its lock.
//!
//! `event-listener` calls wakers while it holds the event's lock. A waker is foreign code: it may poll a future inline
//! that listens to the same event (a deadlock), or panic (which breaks the event for good). So wakers take a detour:
//!
//! 1. A [`Listener`] registers a [`Relay`] of ours with the event.
//! 2. When the event wakes the relay, the foreign waker moves to a thread-local list.
//! 3. The thread that caused the notification calls it after the event's lock is free.
//!
//! Use it like the event: `listen`, look again, only then wait. A notification without a listener is lost.

use crate::sync::fault::{Fault, seeded};
use crate::sync::panics::contain;
use crate::sync::{Event, EventListener, Mutex, local, lock};
use crate::wait::current;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

pub(crate) struct Signal(Event);

impl Signal {
    pub(crate) fn new() -> Self {
        Signal(Event::new())
    }

    pub(crate) fn listen(&self) -> Listener {
        Listener {
            inner: Some(self.0.listen()),
            relay: None,
        }
    }

    /// Notifies up to `n` listeners that were not notified before. Returns how many.
    ///
    /// A notified listener that is dropped unheard passes its notification on.
    pub(crate) fn notify(&self, n: usize) -> usize {
        let notified = self.0.notify_additional(n);
        run_wakers();
        notified
    }

    pub(crate) fn notify_all(&self) {
        self.notify(usize::MAX);
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signal")
    }
}

/// One registration with a [`Signal`]. Ready once notified.
pub(crate) struct Listener {
    inner: Option<EventListener>,
    relay: Option<Arc<Relay>>,
}

impl Future for Listener {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let relay = self.relay.get_or_insert_with(Arc::default).clone();
        // Cloning and dropping wakers is foreign code: outside the lock.
        let waker = cx.waker().clone();
        let old = lock(&relay.target).replace(waker);
        drop(old);
        let waker = Waker::from(relay);
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(());
        };
        let poll = Pin::new(inner).poll(&mut Context::from_waker(&waker));
        if poll.is_ready() {
            self.inner = None;
        }
        poll
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if seeded(Fault::WakeSwallowed) {
            std::mem::forget(self.inner.take());
        }
        // Passing a notification on wakes the next listener under the event's lock, as `notify` does.
        drop(self.inner.take());
        run_wakers();
    }
}

/// Stands in for a foreign waker inside the event.
#[derive(Default)]
struct Relay {
    target: Mutex<Option<Waker>>,
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let target = lock(&self.target).take();
        if let Some(waker) = target {
            let mut waker = Some(waker);
            let _ = DUE.try_with(|due| due.borrow_mut().extend(waker.take()));
            if let Some(waker) = waker {
                // The thread is ending and no longer has a list.
                call(waker);
            }
        }
    }
}

local! {
    /// Foreign wakers that this thread must call as soon as it holds no event's lock.
    static DUE: RefCell<VecDeque<Waker>> = RefCell::new(VecDeque::new());
}

local! {
    /// Wakers held back while a guard of [`hold_wakes`] exists.
    static HELD: RefCell<Option<Vec<Waker>>> = RefCell::new(None);
}

/// Keeps this thread from calling wakers until the guard is dropped: others wait for what it is in the middle of, and a
/// waker may be one of them and block.
pub(crate) fn hold_wakes() -> HeldWakes {
    let outermost = HELD.try_with(|held| {
        let mut held = held.borrow_mut();
        let outermost = held.is_none();
        held.get_or_insert_default();
        outermost
    });
    HeldWakes {
        outermost: outermost.unwrap_or(false),
    }
}

pub(crate) struct HeldWakes {
    outermost: bool,
}

impl Drop for HeldWakes {
    fn drop(&mut self) {
        if self.outermost {
            let due = HELD.try_with(|held| held.borrow_mut().take());
            due.ok().flatten().into_iter().flatten().for_each(call);
        }
    }
}

/// Returns the waker if calls are not held back.
fn hold(waker: Waker) -> Option<Waker> {
    let mut waker = Some(waker);
    let _ = HELD.try_with(|held| {
        if let Some(held) = &mut *held.borrow_mut() {
            held.extend(waker.take());
        }
    });
    waker
}

fn run_wakers() {
    // One at a time: a waker may notify in turn, and then runs the wakers it caused itself.
    while let Ok(Some(waker)) = DUE.try_with(|due| due.borrow_mut().pop_front()) {
        call(waker);
    }
}

#[inline]
pub(crate) fn call_each(wakers: Vec<Waker>) {
    if !wakers.is_empty() {
        call_some(wakers);
    }
}

fn call_some(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(call);
}

/// Calls a foreign waker; a panic in it affects only its owner. If a strategy or an order causes the call, by dropping
/// a permit or cancelling a job, it is put off until the desk is free.
pub(crate) fn call(waker: Waker) {
    if current::in_desk() {
        return current::outside_desk(move || call(waker));
    }
    let Some(waker) = hold(waker) else { return };
    // A future that the waker polls inline is not part of the job that this thread happens to run.
    let _elsewhere = current::leave();
    let _ = contain(|| waker.wake());
}
