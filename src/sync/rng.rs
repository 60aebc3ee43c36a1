//! Seeded pseudorandom numbers: the same seed gives the same numbers on every machine.

use crate::sync::hash::mix;

/// xoshiro256** (Blackman and Vigna, *Scrambled Linear Pseudorandom Number Generators*, ACM TOMS 47(4), 2021). Its
/// state is filled by SplitMix64, as its authors advise, so that similar seeds, and 0, are as good as others. Not for
/// secrets.
#[derive(Debug, Clone)]
pub(crate) struct Rng {
    state: [u64; 4],
}

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        let mut at = seed;
        Rng {
            state: std::array::from_fn(|_| {
                at = at.wrapping_add(0x9e37_79b9_7f4a_7c15);
                mix(at)
            }),
        }
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        let state = &mut self.state;
        let result = state[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = state[1] << 17;
        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= shifted;
        state[3] = state[3].rotate_left(45);
        result
    }

    /// Returns a number below `n`, which must not be 0. Multiplies (Lemire, *Fast Random Integer Generation in an
    /// Interval*, 2019) without the step that removes the last bias, which is below n / 2⁶⁴.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        debug_assert!(n > 0, "nothing is below 0");
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// Returns a number from 0 (inclusive) to 1 (exclusive), in steps of 2⁻⁵³.
    #[cfg(any(test, feature = "sim", feature = "testing"))]
    pub(crate) fn unit_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_the_published_numbers() {
        // From the authors' reference code.
        let mut rng = Rng {
            state: [1, 2, 3, 4],
        };
        let numbers: [u64; 4] = std::array::from_fn(|_| rng.next_u64());
        assert_eq!(
            numbers,
            [11520, 0, 1_509_978_240, 1_215_971_899_390_074_240]
        );
        // SplitMix64's first numbers from this seed.
        assert_eq!(
            Rng::new(1_234_567).state,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431
            ]
        );
    }

    #[test]
    fn all_numbers_below_come_equally_often() {
        let mut rng = Rng::new(0);
        for n in [1, 2, 3, 7, 10] {
            let mut counts = vec![0_usize; n];
            for _ in 0..10_000 * n {
                counts[rng.below(n)] += 1;
            }
            // Five standard deviations.
            assert!(
                counts.iter().all(|c| c.abs_diff(10_000) < 500),
                "{counts:?}"
            );
        }
        let units: Vec<f64> = (0..10_000).map(|_| rng.unit_f64()).collect();
        assert!(units.iter().all(|unit| (0.0..1.0).contains(unit)));
        let mean = units.iter().sum::<f64>() / units.len() as f64;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }
}
