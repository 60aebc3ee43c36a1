//! Which worker holds a key: has jobs of it in its inbox, or runs one.
//!
//! A key is held from the moment one of its jobs is bound to a worker until the last one that worker was
//! given is over. Kept for strategies with an affinity only, and bounded by what the inboxes hold.

use crate::hash::Mixing;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Part of a desk, behind its lock.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    keys: HashMap<u64, Holder, Mixing>,
}

#[derive(Debug)]
struct Holder {
    worker: usize,
    /// Bound to the worker and not over.
    jobs: usize,
}

impl Holders {
    pub(crate) fn holder_of(&self, key: u64) -> Option<usize> {
        self.keys.get(&key).map(|holder| holder.worker)
    }

    /// A job of the key is bound to `worker`. A strategy that moves a key gives its order up, and the key
    /// is then with whom it got last.
    pub(crate) fn bind(&mut self, key: u64, worker: usize) {
        let holder = self.keys.entry(key).or_insert(Holder { worker, jobs: 0 });
        holder.worker = worker;
        holder.jobs += 1;
    }

    /// A job of the key that was bound is over, or bound no more.
    pub(crate) fn release(&mut self, key: u64) {
        if let Entry::Occupied(mut holder) = self.keys.entry(key) {
            holder.get_mut().jobs -= 1;
            if holder.get().jobs == 0 {
                holder.remove();
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}
