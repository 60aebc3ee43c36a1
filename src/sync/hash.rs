//! Spreading keys over places: a key always goes to the same place, and few keys move when the number of places
//! changes.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Mixes all bits of a number: the finalizer of SplitMix64 (Steele, Lea and Flood, *Fast Splittable Pseudorandom Number
/// Generators*, OOPSLA 2014).
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Returns one of `places` for a key: jump consistent hash (Lamping and Veach, *A Fast, Minimal Memory, Consistent Hash
/// Algorithm*, 2014). With one more place, a key stays where it is or goes to the new one. O(log n).
#[inline(never)]
pub(crate) fn jump(key: u64, places: usize) -> usize {
    let mut state = mix(key);
    let (mut at, mut next) = (0_u64, 0_u64);
    while next < places as u64 {
        at = next;
        state = state
            .wrapping_mul(2_862_933_555_777_941_757)
            .wrapping_add(1);
        let scale = (1_u64 << 31) as f64 / ((state >> 33) + 1) as f64;
        next = ((at + 1) as f64 * scale) as u64;
    }
    at as usize
}

/// Returns what represents a key in [`score`]. Independent of where `jump` sends the key.
pub(crate) fn point(key: u64) -> u64 {
    const APART: u64 = 0x6a09_e667_f3bc_c908;
    mix(key ^ APART)
}

/// Returns how much a key belongs to a place. The key goes to the place with the highest score, by rendezvous hashing:
/// see [`KeyAffinity`](crate::KeyAffinity). One multiplication with its halves folded, because it is done for every
/// place.
#[inline]
pub(crate) fn score(point: u64, place: usize) -> u64 {
    let place = (place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let wide = u128::from(point ^ place) * u128::from(0xd6e8_feb8_6659_fd93_u64);
    (wide >> 64) as u64 ^ wide as u64
}

/// Hashes keys that are already numbers, by mixing them: a fraction of the standard hasher's cost. The seed is random,
/// so that nobody can choose keys that collide.
#[derive(Debug, Clone)]
pub(crate) struct Mixing {
    seed: u64,
}

impl Default for Mixing {
    fn default() -> Self {
        Mixing {
            seed: RandomState::new().hash_one(0_u64),
        }
    }
}

impl BuildHasher for Mixing {
    type Hasher = Mixed;

    fn build_hasher(&self) -> Mixed {
        Mixed(self.seed)
    }
}

pub(crate) struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = mix(self.0 ^ number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_more_moves_few_keys_and_only_there() {
        for places in 1..20 {
            let moved = (0..10_000)
                .filter(|&key| {
                    let (before, after) = (jump(key, places), jump(key, places + 1));
                    assert!(
                        after == before || after == places,
                        "{key} moved between old places"
                    );
                    after != before
                })
                .count();
            let expected = 10_000 / (places + 1);
            assert!(
                moved.abs_diff(expected) < 300,
                "{moved} of 10000 moved to place {places}"
            );
        }
    }

    #[test]
    fn scores_share_keys_evenly_within_what_jump_put_together() {
        const PLACES: usize = 5;
        let mut counts = [0_usize; PLACES];
        let together = (0..).filter(|&key| jump(key, 4) == 1).take(10_000);
        for key in together {
            let best = (0..PLACES).max_by_key(|&place| score(point(key), place));
            counts[best.unwrap()] += 1;
        }
        // Five standard deviations.
        assert!(counts.iter().all(|c| c.abs_diff(2_000) < 200), "{counts:?}");
    }
}
