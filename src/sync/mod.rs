//! The primitives that everything else is built on: the standard library's, or a model checker's.
//!
//! No protocol between threads names `std::sync::atomic` or `std::sync::Mutex` itself, so what runs in production is,
//! word for word, what loom and shuttle explore. (The registry, the clock and the threads do: no model reaches into
//! them, and none of their locks is held while anything else is done.)

pub(crate) mod backoff;
pub(crate) mod boxed;
#[cfg(any(fanpool_loom, fanpool_shuttle))]
pub(crate) mod channel;
#[cfg(any(fanpool_loom, fanpool_shuttle))]
pub(crate) mod event;
pub(crate) mod fault;
pub(crate) mod hash;
pub(crate) mod panics;
pub(crate) mod rng;
pub(crate) mod spin_lock;

#[cfg(not(any(fanpool_loom, fanpool_shuttle)))]
mod imp {
    pub(crate) use event_listener::{Event, EventListener};
    pub(crate) use std::sync::{Mutex, MutexGuard, atomic};
    pub(crate) mod thread {
        pub(crate) use std::thread::{Thread, current, park, yield_now};
    }
    pub(crate) use std::hint::spin_loop;
}

#[cfg(fanpool_loom)]
mod imp {
    pub(crate) use crate::sync::event::{Event, EventListener};
    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::{Mutex, MutexGuard, atomic};
    pub(crate) mod thread {
        pub(crate) use loom::thread::{Thread, current, park, yield_now};
    }
}

#[cfg(all(fanpool_shuttle, not(fanpool_loom)))]
mod imp {
    pub(crate) use crate::sync::event::{Event, EventListener};
    pub(crate) use shuttle::hint::spin_loop;
    pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic};
    pub(crate) mod thread {
        pub(crate) use shuttle::thread::{Thread, current, park, yield_now};
    }
}

pub(crate) use imp::*;
use std::sync::TryLockError;

/// `thread_local!` in its const form, which costs one instruction to reach where nothing is dropped. The model checkers
/// have no const form.
macro_rules! local {
    ($(#[$doc:meta])* static $name:ident: $type:ty = $init:expr;) => {
        #[cfg(not(any(fanpool_loom, fanpool_shuttle)))]
        std::thread_local!($(#[$doc])* static $name: $type = const { $init });
        #[cfg(fanpool_loom)]
        loom::thread_local!($(#[$doc])* static $name: $type = $init);
        #[cfg(all(fanpool_shuttle, not(fanpool_loom)))]
        shuttle::thread_local!($(#[$doc])* static $name: $type = $init);
    };
}
pub(crate) use local;

/// Locks, and goes on if a panic poisoned the lock.
///
/// Foreign code that runs under one of our locks is contained (see sync/panics.rs), so only a bug of ours can poison a
/// lock, and refusing every later caller would turn it into a hang.
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.lock() {
        Ok(guard) => guard,
        Err(poisoned) => poisoned.into_inner(),
    }
}

/// Locks if that is possible now, also if a panic poisoned the lock.
#[inline]
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Keeps a value on its own cache lines, so that writers of its neighbours do not slow it down.
///
/// 128 bytes, because current x86-64 processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

impl<T> std::ops::Deref for Padded<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests {
    use super::*;
    use crate::sync::panics::contain;

    #[test]
    fn a_poisoned_lock_is_free_once_it_is_unlocked() {
        let mutex = Mutex::new(1);
        let panicked = contain(|| {
            let _guard = lock(&mutex);
            panic!("under the lock");
        });
        assert!(panicked.is_err() && mutex.is_poisoned());
        let guard = try_lock(&mutex).expect("nobody holds it");
        assert!(try_lock(&mutex).is_none());
        drop(guard);
    }
}
