//! The only place where panics are caught.

use crate::sync::boxed::BoxFuture;
use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

/// A contained panic: its message, and its payload by value.
///
/// `Display` shows the message given to `panic!`, if it was text.
// A single pointer: every kept outcome has room for it, and few jobs panic.
pub struct Panic(Box<Caught>);

struct Caught {
    message: Box<str>,
    // The mutex only makes the payload `Sync`, so that errors that carry a `Panic` can be shared.
    payload: Mutex<Box<dyn Any + Send>>,
}

impl Panic {
    fn new(payload: Box<dyn Any + Send>) -> Self {
        let message = if let Some(text) = payload.downcast_ref::<&'static str>() {
            *text
        } else if let Some(text) = payload.downcast_ref::<String>() {
            text.as_str()
        } else {
            "a panic whose payload is not text"
        };
        Panic(Box::new(Caught {
            message: message.into(),
            payload: Mutex::new(payload),
        }))
    }

    /// Returns a copy for others that the panic affects. Its payload is the message.
    pub(crate) fn copy(&self) -> Self {
        Panic::new(Box::new(self.0.message.to_string()))
    }

    /// Returns the message given to `panic!`, or a placeholder if the payload was not text.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the payload, as [`std::thread::JoinHandle::join`] would have returned it. Pass it to
    /// [`std::panic::resume_unwind`] to continue the panic.
    pub fn into_inner(self) -> Box<dyn Any + Send> {
        self.0
            .payload
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.0.message).finish()
    }
}

/// Runs foreign code; a panic is returned as a value.
///
/// What the code was working on counts as broken afterwards: callers replace it or never look at it again. This makes
/// asserting unwind safety sound here.
#[inline]
pub(crate) fn contain<R>(foreign: impl FnOnce() -> R) -> Result<R, Panic> {
    catch_unwind(AssertUnwindSafe(foreign)).map_err(Panic::new)
}

/// Does the same for a future, from its creation to its drop. Holds a guard of `enter` during each poll, and returns
/// the guard of the last poll with the output, for what still belongs to it. After a panic, the future is not polled
/// again.
pub(crate) fn contain_polls<F: Future, G>(
    make: impl FnOnce() -> F,
    enter: impl Fn() -> G,
) -> impl Future<Output = (Result<F::Output, Panic>, G)> {
    let mut foreign = Foreign {
        make: Some(make),
        enter,
    };
    async move {
        let mut running = pin!(None);
        // Closures that capture pointers: what is written in parts and then moved as a whole makes the processor wait,
        // and this is done for each job.
        poll_fn(|cx| foreign.poll(&mut running, cx)).await
    }
}

struct Foreign<M, E> {
    make: Option<M>,
    enter: E,
}

impl<M, E> Foreign<M, E> {
    #[inline]
    fn poll<F, G>(
        &mut self,
        running: &mut Pin<&mut Option<F>>,
        cx: &mut Context<'_>,
    ) -> Poll<(Result<F::Output, Panic>, G)>
    where
        F: Future,
        M: FnOnce() -> F,
        E: Fn() -> G,
    {
        let entered = (self.enter)();
        let step = &mut (&mut self.make, running, cx);
        match contain(|| Self::step(step.0, step.1.as_mut(), step.2)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready((Ok(output), entered)),
            Err(panic) => Poll::Ready((Err(panic), entered)),
        }
    }

    #[inline]
    fn step<F: Future>(
        make: &mut Option<M>,
        mut running: Pin<&mut Option<F>>,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output>
    where
        M: FnOnce() -> F,
    {
        if let Some(make) = make.take() {
            running.set(Some(make()));
        }
        let Some(future) = running.as_mut().as_pin_mut() else {
            unreachable!("polled after it was ready");
        };
        let polled = future.poll(cx);
        if polled.is_ready() {
            // Dropped here, where a panic is contained.
            running.set(None);
        }
        polled
    }
}

/// Does the same for a boxed future, and takes no more room than the box. A panic while creating the future is returned
/// by the first poll.
pub(crate) enum ContainedBox<'a> {
    Running(BoxFuture<'a, ()>),
    Ended(Result<(), Panic>),
}

impl<'a> ContainedBox<'a> {
    #[inline]
    pub(crate) fn make(make: impl FnOnce() -> BoxFuture<'a, ()>) -> Self {
        match contain(make) {
            Ok(running) => ContainedBox::Running(running),
            Err(panic) => ContainedBox::Ended(Err(panic)),
        }
    }
}

impl Future for ContainedBox<'_> {
    type Output = Result<(), Panic>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Panic>> {
        if let ContainedBox::Running(running) = &mut *self {
            let mut ended = match contain(|| running.as_mut().poll(cx)) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(())) => Ok(()),
                Err(panic) => Err(panic),
            };
            let old = std::mem::replace(&mut *self, ContainedBox::Ended(Ok(())));
            // Its drop may panic, too.
            if let (Err(panic), Ok(())) = (contain(|| drop(old)), &ended) {
                ended = Err(panic);
            }
            return Poll::Ready(ended);
        }
        match std::mem::replace(&mut *self, ContainedBox::Ended(Ok(()))) {
            ContainedBox::Ended(ended) => Poll::Ready(ended),
            ContainedBox::Running(_) => unreachable!("it has ended"),
        }
    }
}

/// Drops a foreign value and contains a panic in its `Drop`. Returns whether there was one.
#[inline]
pub(crate) fn dispose<T>(value: T) -> bool {
    if !std::mem::needs_drop::<T>() {
        return false;
    }
    dispose_of(&mut Some(value))
}

/// (A closure would be compiled once more for each way in which it might be called.)
trait Disposable {
    fn drop_now(&mut self);
}

impl<T> Disposable for Option<T> {
    fn drop_now(&mut self) {
        drop(self.take());
    }
}

fn dispose_of(value: &mut dyn Disposable) -> bool {
    match contain(|| value.drop_now()) {
        Ok(()) => false,
        Err(panic) => {
            // A payload whose own `Drop` panics, too, is leaked: there is nobody left to tell.
            if let Err(again) = contain(|| drop(panic)) {
                std::mem::forget(again);
            }
            true
        }
    }
}

/// Holds a foreign value, and contains a panic in its drop wherever it is dropped.
pub(crate) struct Contained<T>(Option<T>);

impl<T> Contained<T> {
    pub(crate) fn new(value: T) -> Self {
        Contained(Some(value))
    }
}

impl<T> Drop for Contained<T> {
    fn drop(&mut self) {
        dispose(self.0.take());
    }
}

impl<T> std::ops::Deref for Contained<T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.0.as_ref().expect("there until dropped")
    }
}

impl<T> std::ops::DerefMut for Contained<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("there until dropped")
    }
}
