//! Which of several desks a job belongs to: all jobs of a key go to one desk, where a strategy can keep them together
//! and an order can share turns among keys.
//!
//! The desk is chosen where a job comes in, because from there on the jobs of its key pass through one queue. A
//! strategy with keys of its own says how they are made ([`Affinity`]); the key that a job was submitted with is known
//! without asking.

use crate::keys::affinity::Affinity;
use crate::queue::envelope::Queued;
use crate::sync::atomic::{AtomicBool, Ordering::*};
use crate::sync::hash::jump;
use crate::sync::panics::{Panic, contain};
use crate::sync::{Mutex, lock};

pub(crate) struct KeyDesks<J> {
    desks: usize,
    /// How strategies make keys, if not by the jobs' own.
    affinity: Mutex<Option<Affinity<J>>>,
    /// Whether there is such an affinity.
    asks: AtomicBool,
}

impl<J> KeyDesks<J> {
    pub(crate) fn new(desks: usize, affinity: Option<Affinity<J>>) -> Self {
        let key_desks = KeyDesks {
            desks,
            affinity: Mutex::new(None),
            asks: AtomicBool::new(false),
        };
        key_desks.set(affinity);
        key_desks
    }

    /// Sets the strategies' affinity.
    #[inline(never)]
    pub(crate) fn set(&self, affinity: Option<Affinity<J>>) {
        let made = affinity.filter(|affinity| !affinity.is_by_key());
        let asks = made.is_some();
        let old = std::mem::replace(&mut *lock(&self.affinity), made);
        self.asks.store(asks, Release);
        // Foreign code: dropped outside the lock.
        drop(old);
    }

    /// Returns whether the strategies' closure must be asked, which is foreign code.
    pub(crate) fn asks(&self) -> bool {
        self.desks > 1 && self.asks.load(Acquire)
    }

    /// Returns the desk that a job belongs to, or `None` without a key.
    pub(crate) fn of(&self, job: &Queued<J>) -> Option<usize> {
        job.key().map(|key| jump(key, self.desks))
    }

    /// Does the same by the strategies' closure, or by the job's own key if the closure returns none.
    #[inline(never)]
    pub(crate) fn ask(&self, job: &Queued<J>) -> Result<Option<usize>, Panic> {
        let affinity = lock(&self.affinity).clone();
        let Some(affinity) = affinity else {
            return Ok(self.of(job));
        };
        let Some(borrowed) = job.borrow() else {
            return Ok(self.of(job));
        };
        let made = contain(|| affinity.key_of(&borrowed));
        let made = if job.put_back(borrowed) { made? } else { None };
        match made {
            Some(key) => Ok(Some(jump(key, self.desks))),
            None => Ok(self.of(job)),
        }
    }
}
