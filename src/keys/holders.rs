//! Holders: which worker holds a key, that is, runs a job of it or has one in its inbox or tray.
//!
//! - A key is held from the moment one of its jobs is bound to a worker until the last job of it that the worker was
//!   given is over.
//! - Holders are tracked only for strategies with an affinity.
//! - A key is looked up once per job; from then on it is known by its slot.
//! - Slots of keys that nobody holds are kept, because many keys come again. When there are too many, all of them are
//!   freed at once.

use crate::id::JobId;
use crate::sync::hash::Mixing;
use std::collections::{HashMap, VecDeque};

/// This many keys that nobody holds are remembered, or as many as there are held keys: it saves making their slots
/// anew.
const IDLE: usize = 1024;

/// This many slots can be guessed: of a thousand keys, few share a guess. 16 KiB.
const GUESSES: usize = 4096;

/// Part of a desk, protected by its lock.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    slots: HashMap<u64, Slot, Mixing>,
    /// For some bits of a key, the slot of the key last looked up with the same bits. A right guess saves the map,
    /// which is a cache miss or two while all workers wait for the desk. Empty until the first key.
    guesses: Vec<Slot>,
    /// By slot, like `holders`. Two rows, because this one is seldom written: what workers on other cores write in turn
    /// has to be fetched first, while all workers wait for the desk.
    keys: Vec<Key>,
    holders: Vec<Holder>,
    /// Slots without a key.
    free: Vec<Slot>,
    /// How many slots have a key that nobody holds.
    idle: usize,
    /// Counts the changes after which a key may belong elsewhere.
    era: u32,
}

/// What the desk knows of a job that has left the backlog, kept apart from the job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    /// How many jobs left the backlog before; 0 for jobs that were taken ahead and came back, which are first.
    pub(crate) turn: u64,
    /// The job's number, so that the job need not be read, which may be in another core's cache.
    pub(crate) id: JobId,
    /// The key that keeps the job with one worker, if the strategy has an affinity.
    pub(crate) key: Option<Slot>,
}

impl Mark {
    #[inline]
    pub(crate) fn unkeyed(turn: u64, id: JobId) -> Self {
        let key = None;
        Mark { turn, id, key }
    }
}

/// Where a key is kept. Valid while the key is held; before that, until the next key is looked up.
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
    /// The era in which its last holder got it.
    era: u32,
}

#[derive(Debug)]
struct Holder {
    worker: u32,
    /// Jobs bound to the worker and not over.
    jobs: u32,
}

impl Holders {
    /// Looks up a key, which need not be held.
    #[inline]
    pub(crate) fn slot_of(&mut self, key: u64) -> Slot {
        // Puts neighbours side by side, and keys that are far apart not all at one place.
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
            // The last number is never a slot's: see `Answer` in desk/answer.rs.
            let at = u32::try_from(self.holders.len() + 1).map(|next| next - 1);
            let at = at.expect("fewer keys than jobs in inboxes");
            self.keys.push(Key { key, era: 0 });
            self.holders.push(Holder { worker: 0, jobs: 0 });
            Slot(at)
        });
        self.slots.insert(key, slot);
        self.idle += 1;
        // In this era, no worker had the key.
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
        // Guesses may point to slots that are free now.
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

    /// Returns the last holder of the key, if nothing has changed since it got the key.
    pub(crate) fn last_holder(&self, slot: Slot) -> Option<usize> {
        let at = slot.0 as usize;
        (self.keys[at].era == self.era).then(|| self.holders[at].worker as usize)
    }

    /// Begins a new era, in which keys may belong elsewhere: a worker came or went, or the strategy was replaced.
    pub(crate) fn begin_era(&mut self) {
        self.era = self.era.wrapping_add(1);
    }

    /// Binds a job of the key to `worker`. A strategy that moves a key gives up the order of its jobs, and the key is
    /// held by the worker that got it last.
    pub(crate) fn bind(&mut self, slot: Slot, worker: usize) {
        let holder = &mut self.holders[slot.0 as usize];
        if holder.jobs == 0 {
            self.idle -= 1;
            let known = &mut self.keys[slot.0 as usize];
            // Written only on a change, so that the row stays in all caches.
            if known.era != self.era {
                known.era = self.era;
            }
        }
        holder.worker = worker as u32;
        holder.jobs += 1;
    }

    /// Notes that a bound job of the key is over, or no longer bound.
    pub(crate) fn release(&mut self, slot: Slot) {
        let holder = &mut self.holders[slot.0 as usize];
        holder.jobs -= 1;
        self.idle += usize::from(holder.jobs == 0);
    }

    /// Does the same for jobs that do not go to the worker that they were bound to.
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
