//! A lock that is held for a few instructions at a time and hardly ever wanted by two threads at once.
//!
//! - **Why.** A worker takes such a lock several times per job. The standard library's lock costs two locked
//!   instructions, one to take it and one to release it, because a thread may sleep on it. Here no thread sleeps, so
//!   releasing is a plain write, which orders what the lock protects just the same.
//! - **The price.** A thread that meets a holder which lost its core in the middle gives way until the holder has a
//!   core again.
//! - **The rule.** What runs under such a lock is short and our own: values are moved and read; nothing waits, and no
//!   foreign code runs. Two may be held: a tray's, and within it a slot's.
//!
//! See docs/decisions/0014 for the figures.

#[cfg(not(any(fanpool_loom, fanpool_shuttle)))]
use spin::mutex::{SpinMutex as Inner, SpinMutexGuard as Guard};

#[cfg(any(fanpool_loom, fanpool_shuttle))]
use crate::sync::{Mutex as Inner, MutexGuard as Guard};

pub(crate) struct SpinLock<T>(Inner<T>);

impl<T> SpinLock<T> {
    pub(crate) fn new(value: T) -> Self {
        SpinLock(Inner::new(value))
    }
}

#[cfg(not(any(fanpool_loom, fanpool_shuttle)))]
impl<T> SpinLock<T> {
    #[inline(always)]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        match self.0.try_lock() {
            Some(guard) => guard,
            None => self.lock_contended(),
        }
    }

    /// The holder runs on another core, or waits for this one. A holder of lower priority may never get the core while
    /// others only give way, so in the end this sleeps.
    #[cold]
    fn lock_contended(&self) -> Guard<'_, T> {
        const PAUSES: u64 = 20;
        const YIELDS: u64 = 200;
        const NAP: std::time::Duration = std::time::Duration::from_micros(50);
        for turn in 0_u64.. {
            match turn {
                0..PAUSES => std::hint::spin_loop(),
                PAUSES..YIELDS => std::thread::yield_now(),
                _ => std::thread::sleep(NAP),
            }
            if !self.0.is_locked() {
                if let Some(guard) = self.0.try_lock() {
                    return guard;
                }
            }
        }
        unreachable!("there are always more turns")
    }

    /// `None` if the lock is held.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        self.0.try_lock()
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

#[cfg(any(fanpool_loom, fanpool_shuttle))]
impl<T> SpinLock<T> {
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        crate::sync::lock(&self.0)
    }

    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        crate::sync::try_lock(&self.0)
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        let value = self.0.get_mut();
        value.unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests {
    use super::*;
    use crate::sync::panics::contain;
    use std::sync::mpsc::channel;
    use std::thread;

    #[test]
    fn who_meets_a_holder_gets_the_lock_after_it_and_sees_what_it_wrote() {
        let spin = SpinLock::new(0);
        let (meets, met) = channel();
        thread::scope(|scope| {
            let mut held = spin.lock();
            assert!(spin.try_lock().is_none());
            let other = scope.spawn(|| {
                meets.send(()).expect("it is waited for");
                let mut value = spin.lock();
                *value *= 2;
                *value
            });
            met.recv().expect("it is sent");
            // Long enough for the other thread, whose turns may go on to naps, to find it locked.
            (0..400).for_each(|_| thread::yield_now());
            *held = 21;
            drop(held);
            assert_eq!(other.join().expect("it does not panic"), 42);
        });
    }

    #[test]
    fn no_two_are_inside_at_a_time() {
        let spin = SpinLock::new(0_u64);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let mut value = spin.lock();
                        let before = *value;
                        *value = std::hint::black_box(before) + 1;
                    }
                });
            }
        });
        assert_eq!(*spin.lock(), 80_000);
    }

    #[test]
    fn a_panic_gives_the_lock_back() {
        let spin = SpinLock::new(1);
        let panicked = contain(|| {
            let _guard = spin.lock();
            panic!("under the lock");
        });
        assert!(panicked.is_err());
        assert!(spin.try_lock().is_some());
    }
}
