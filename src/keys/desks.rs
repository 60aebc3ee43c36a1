//! Which desk a job belongs to, when there are several: all jobs of a key to one, where a strategy can keep
//! them together and an order can share turns among keys.
//!
//! Decided where a job comes in, because from there on its key's jobs pass through one queue. A strategy with
//! keys of its own making says how they are made ([`Affinity`]); the key that a job was submitted with is
//! known without asking.

use crate::keys::affinity::Affinity;
use crate::queue::envelope::Queued;
use crate::sync::atomic::{AtomicBool, Ordering::*};
use crate::sync::hash::jump;
use crate::sync::panics::{Panic, contain};
use crate::sync::{Mutex, lock};

pub(crate) struct KeyDesks<J> {
    desks: usize,
    /// How the strategies make keys, if not by the jobs' own.
    affinity: Mutex<Option<Affinity<J>>>,
    /// Whether there is one.
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

    /// From now on, the strategies have this affinity.
    #[inline(never)]
    pub(crate) fn set(&self, affinity: Option<Affinity<J>>) {
        let made = affinity.filter(|affinity| !affinity.is_by_key());
        let asks = made.is_some();
        let old = std::mem::replace(&mut *lock(&self.affinity), made);
        self.asks.store(asks, Release);
        // Foreign code: not under the lock.
        drop(old);
    }

    /// Whether the strategies' own closure has to be asked, which is foreign code.
    pub(crate) fn asks(&self) -> bool {
        self.desks > 1 && self.asks.load(Acquire)
    }

    /// The desk that a job belongs to: none, if it has no key.
    pub(crate) fn of(&self, job: &Queued<J>) -> Option<usize> {
        job.key().map(|key| jump(key, self.desks))
    }

    /// The same by the strategies' closure, or by the job's key if that makes none.
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
