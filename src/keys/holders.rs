//! Which worker holds a key: has jobs of it in its inbox, or runs one.
//!
//! A key is held from the moment one of its jobs is bound to a worker until the last one that worker was
//! given is over. Kept for strategies with an affinity only. A key is looked up once a job; from then on it is
//! known by its slot. Slots of keys that nobody holds are kept, because many a key comes again; when there are
//! too many, all of them are given up at once.

use crate::id::JobId;
use crate::sync::hash::Mixing;
use std::collections::{HashMap, VecDeque};

/// So many keys that nobody holds are remembered, or as many as there are keys that are held.
const IDLE: usize = 1024;

/// So many slots can be guessed: enough that of a thousand keys few share a guess. 16 KiB.
const GUESSES: usize = 4096;

/// Part of a desk, behind its lock.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    slots: HashMap<u64, Slot, Mixing>,
    /// For some bits of a key, the slot of the key that was looked up last with the same ones. A guess that is right saves
    /// the map, which is a cache miss or two while everybody waits for the desk. Empty until the first key.
    guesses: Vec<Slot>,
    /// By slot, as is the next one: two rows, since this one is seldom written. What workers on other cores write by turns
    /// has to come over first, while everybody waits for the desk.
    keys: Vec<Key>,
    holders: Vec<Holder>,
    /// Slots without a key.
    free: Vec<Slot>,
    /// How many slots have a key that nobody holds.
    idle: usize,
    /// Counts the changes after which a key may belong elsewhere.
    era: u32,
}

/// A job that has left the backlog, apart from the job itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    /// How many left it before; 0 for those that were taken ahead and came back, which are first.
    pub(crate) turn: u64,
    /// The job's, so that the job need not be looked at, which may be in another core's cache.
    pub(crate) id: JobId,
    /// Kept with one worker, if the strategy has an affinity.
    pub(crate) key: Option<Slot>,
}

impl Mark {
    #[inline]
    pub(crate) fn unkeyed(turn: u64, id: JobId) -> Self {
        let key = None;
        Mark { turn, id, key }
    }
}

/// Where a key is, as long as it is held; before that, until the next key is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(u32);

impl Slot {
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    pub(crate) fn of_number(number: u32) -> Self {
        Slot(number)
    }
}

#[derive(Debug)]
struct Key {
    key: u64,
    /// When its last holder got it.
    era: u32,
}

#[derive(Debug)]
struct Holder {
    worker: u32,
    /// Bound to the worker and not over.
    jobs: u32,
}

impl Holders {
    /// Looks a key up, which need not be held.
    #[inline]
    pub(crate) fn slot_of(&mut self, key: u64) -> Slot {
        // Neighbours side by side, and those that are far apart not all at one place.
        let at = (key ^ key >> 12 ^ key >> 24) as usize % GUESSES;
        if let Some(&guess) = self.guesses.get(at) {
            let known = self.keys.get(guess.0 as usize);
            if known.is_some_and(|known| known.key == key) {
                return guess;
            }
        }
        self.search_slot_of(key, at)
    }

    #[inline(never)]
    fn search_slot_of(&mut self, key: u64, at: usize) -> Slot {
        let slot = match self.slots.get(&key) {
            Some(&slot) => slot,
            None => self.new_slot(key),
        };
        self.guesses.resize(GUESSES, slot);
        self.guesses[at] = slot;
        slot
    }

    fn new_slot(&mut self, key: u64) -> Slot {
        if self.idle > IDLE.max(self.held()) {
            self.forget_idle();
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            // The last number is no slot's: see `Answer`, desk/mod.rs.
            let at = u32::try_from(self.holders.len() + 1).map(|next| next - 1);
            let at = at.expect("fewer keys than jobs in inboxes");
            self.keys.push(Key { key, era: 0 });
            self.holders.push(Holder { worker: 0, jobs: 0 });
            Slot(at)
        });
        self.slots.insert(key, slot);
        self.idle += 1;
        // It was with nobody in this era.
        let era = self.era.wrapping_sub(1);
        self.keys[slot.0 as usize] = Key { key, era };
        slot
    }

    fn forget_idle(&mut self) {
        if self.held() == 0 {
            *self = Holders {
                era: self.era,
                ..Holders::default()
            };
            return;
        }
        // They may be of slots that are free now.
        self.guesses.clear();
        let (holders, free) = (&self.holders, &mut self.free);
        self.slots.retain(|_, slot| {
            let held = holders[slot.0 as usize].jobs > 0;
            if !held {
                free.push(*slot);
            }
            held
        });
        self.idle = 0;
    }

    /// How many keys are held.
    pub(crate) fn held(&self) -> usize {
        self.slots.len() - self.idle
    }

    pub(crate) fn holder_of(&self, key: u64) -> Option<usize> {
        self.holder(*self.slots.get(&key)?)
    }

    pub(crate) fn last_holder_of(&self, key: u64) -> Option<usize> {
        self.last_holder(*self.slots.get(&key)?)
    }

    pub(crate) fn holder(&self, slot: Slot) -> Option<usize> {
        let holder = &self.holders[slot.0 as usize];
        (holder.jobs > 0).then_some(holder.worker as usize)
    }

    /// Who held the key last, if nothing changed since it got it.
    pub(crate) fn last_holder(&self, slot: Slot) -> Option<usize> {
        let at = slot.0 as usize;
        (self.keys[at].era == self.era).then(|| self.holders[at].worker as usize)
    }

    /// Keys may belong elsewhere from now on: a worker came or went, or the strategy is another one.
    pub(crate) fn begin_era(&mut self) {
        self.era = self.era.wrapping_add(1);
    }

    /// A job of the key is bound to `worker`. A strategy that moves a key gives its order up, and the key
    /// is then with whom it got last.
    pub(crate) fn bind(&mut self, slot: Slot, worker: usize) {
        let holder = &mut self.holders[slot.0 as usize];
        if holder.jobs == 0 {
            self.idle -= 1;
            let known = &mut self.keys[slot.0 as usize];
            // Only if it changes: the row is to stay in all caches.
            if known.era != self.era {
                known.era = self.era;
            }
        }
        holder.worker = worker as u32;
        holder.jobs += 1;
    }

    /// A job of the key that was bound is over, or bound no more.
    pub(crate) fn release(&mut self, slot: Slot) {
        let holder = &mut self.holders[slot.0 as usize];
        holder.jobs -= 1;
        self.idle += usize::from(holder.jobs == 0);
    }

    /// The same for the keys of jobs that do not go where they were bound to.
    pub(crate) fn release_all(&mut self, marks: &VecDeque<Mark>) {
        for key in marks.iter().filter_map(|mark| mark.key) {
            self.release(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_went_quiet_are_forgotten_and_those_that_are_held_are_not() {
        let mut holders = Holders::default();
        let held: Vec<Slot> = (0..3)
            .map(|key| {
                let slot = holders.slot_of(key);
                holders.bind(slot, key as usize);
                slot
            })
            .collect();
        for key in 10..100_000 {
            let slot = holders.slot_of(key);
            assert_eq!(holders.holder(slot), None, "key {key} has another's slot");
            if key % 2 == 0 {
                holders.bind(slot, 9);
                assert_eq!(holders.holder_of(key), Some(9));
                holders.release(slot);
            }
            assert_eq!(holders.holder_of(key), None);
        }
        assert!(
            holders.holders.len() <= IDLE + 8,
            "{}",
            holders.holders.len()
        );
        assert_eq!(holders.held(), 3);
        for key in 0..3 {
            assert_eq!(holders.holder_of(key), Some(key as usize));
        }
        held.into_iter().for_each(|slot| holders.release(slot));
        for key in 0..2000 {
            holders.slot_of(200_000 + key);
        }
        assert!(
            holders.holders.len() <= IDLE + 8,
            "{}",
            holders.holders.len()
        );
    }

    #[test]
    fn a_key_that_was_forgotten_gets_a_slot_of_its_own_when_it_comes_again() {
        let mut holders = Holders::default();
        let held = holders.slot_of(0);
        holders.bind(held, 5);
        // All but the first one are forgotten on the way.
        let last = IDLE as u64 + 2;
        for key in 1..=last {
            holders.slot_of(key);
        }
        assert!(holders.held() == 1 && holders.idle < 10, "{holders:?}");
        let mut slots = std::collections::HashSet::new();
        let keys = (0..last - 2).chain([last]);
        assert!(keys.clone().all(|key| slots.insert(holders.slot_of(key).0)));
        assert!(
            keys.clone()
                .all(|key| !slots.insert(holders.slot_of(key).0))
        );
        assert_eq!(holders.holder_of(0), Some(5));
    }
}
