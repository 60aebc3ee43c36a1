//! How many jobs of each key wait, for queue orders that bound this number. The room that a key's jobs take up must be
//! known before another is let in.
//!
//! A job is counted before it asks the gate for room, and until it is started or ends without running, when its room is
//! free, too. A pool whose order sets no bound keeps no such count.

use crate::job::Job;
use crate::sync::hash::{Mixing, mix};
use crate::sync::{Mutex, lock};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Enough shards that submitters seldom meet.
const SHARDS: usize = 16;

pub(crate) struct Keys {
    bound: usize,
    /// How many jobs of each key wait. Keys without waiting jobs are absent.
    waiting: [Mutex<HashMap<u64, usize, Mixing>>; SHARDS],
}

/// The key that has as many waiting jobs as it may.
#[derive(Debug)]
pub(crate) struct KeyFull(pub(crate) u64);

impl Keys {
    pub(crate) fn new(bound: usize) -> Self {
        Keys {
            bound,
            waiting: std::array::from_fn(|_| Mutex::default()),
        }
    }

    fn shard(&self, key: u64) -> &Mutex<HashMap<u64, usize, Mixing>> {
        &self.waiting[mix(key) as usize % SHARDS]
    }

    /// Counts a job in, unless its key has reached the bound.
    pub(crate) fn enter<J>(&self, job: &Job<J>) -> Result<Entered<'_>, KeyFull> {
        let key = job.key();
        if let Some(key) = key {
            let mut waiting = lock(self.shard(key));
            let count = waiting.entry(key).or_insert(0);
            if *count >= self.bound {
                return Err(KeyFull(key));
            }
            *count += 1;
        }
        Ok(Entered { keys: self, key })
    }

    /// Counts in a job that already has room.
    pub(crate) fn admit(&self, key: u64) {
        *lock(self.shard(key)).entry(key).or_insert(0) += 1;
    }

    /// Counts out a job of the key that no longer waits.
    pub(crate) fn leave(&self, key: u64) {
        if let Entry::Occupied(mut count) = lock(self.shard(key)).entry(key) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// A job that is counted in but not yet accepted. Dropping this counts it out again.
pub(crate) struct Entered<'a> {
    keys: &'a Keys,
    key: Option<u64>,
}

impl Entered<'_> {
    /// Keeps the count: the job is accepted.
    pub(crate) fn keep(mut self) {
        self.key = None;
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.keys.leave(key);
        }
    }
}
