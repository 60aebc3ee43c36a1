//! Keys: which jobs belong together.

use super::classes::after;
use super::shares::{self, Lots};
use super::{Recorded, SimError};
use crate::job::Options;
use crate::sync::rng::Rng;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Instant;

/// Which jobs belong together. Keys 0, 1, 2, ... each have a share of the jobs.
///
/// ```
/// use fanpool::sim::Keys;
///
/// // Nine of ten jobs are of key 0, which is less urgent.
/// let keys = Keys::shares([9.0, 0.5, 0.5]).priorities([0, 1, 1]);
/// # let _ = keys;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Keys {
    shares: Vec<f64>,
    priorities: Vec<i32>,
    weights: Vec<u64>,
}

impl Keys {
    /// Keys with these shares of the jobs. The shares need not sum to 1.
    pub fn shares(shares: impl Into<Vec<f64>>) -> Self {
        Keys {
            shares: shares.into(),
            priorities: Vec::new(),
            weights: Vec::new(),
        }
    }

    /// This many keys with equal shares.
    pub fn uniform(count: usize) -> Self {
        Keys::shares(vec![1.0; count])
    }

    /// This many keys, where the k-th has a share proportional to k to the power of `-exponent` (Zipf).
    pub fn zipf(count: usize, exponent: f64) -> Self {
        let share = |k| super::math::pow(k as f64, -exponent);
        Keys::shares((1..=count).map(share).collect::<Vec<_>>())
    }

    /// Sets the priorities of the keys' jobs; 0 for keys beyond the list.
    pub fn priorities(mut self, priorities: impl Into<Vec<i32>>) -> Self {
        self.priorities = priorities.into();
        self
    }

    /// Sets the weights of the keys' jobs; 1 for keys beyond the list.
    pub fn weights(mut self, weights: impl Into<Vec<u64>>) -> Self {
        self.weights = weights.into();
        self
    }

    pub(super) fn check(&self) -> Result<(), SimError> {
        shares::check("a key's share", "the shares of the keys", &self.shares)?;
        if self.weights.contains(&0) {
            return Err(SimError::setting("a key's weight", 0, "1 or more"));
        }
        Ok(())
    }
}

/// Gives jobs their options. Jobs of one key share them, so a job costs no allocation.
#[derive(Debug)]
pub(super) struct Labels {
    lots: Lots,
    options: Vec<Arc<Options>>,
    rng: Rng,
}

impl Labels {
    pub(super) fn new(keys: Option<&Keys>, rng: Rng) -> Self {
        let mut labels = Labels {
            lots: keys.map_or_else(Lots::default, |keys| Lots::new(&keys.shares)),
            options: Vec::new(),
            rng,
        };
        let Some(keys) = keys else { return labels };
        for key in 0..keys.shares.len() {
            let weight = keys.weights.get(key).copied().unwrap_or(1);
            labels.options.push(Arc::new(Options {
                key: Some(key as u64),
                priority: keys.priorities.get(key).copied().unwrap_or(0),
                weight: NonZeroU64::new(weight),
                ..Options::default()
            }));
        }
        labels
    }

    /// Returns the options of the next job.
    pub(super) fn draw(&mut self) -> Option<Arc<Options>> {
        let key = self.lots.draw(&mut self.rng)?;
        self.options.get(key).cloned()
    }
}

/// Returns the options of a recorded job that comes now.
pub(super) fn recorded(job: &Recorded, now: Instant) -> Option<Arc<Options>> {
    let plain = job.key.is_none() && job.priority == 0 && job.weight == 1;
    if plain && job.deadline.is_none() {
        return None;
    }
    Some(Arc::new(Options {
        key: job.key,
        priority: job.priority,
        weight: NonZeroU64::new(job.weight),
        deadline: job.deadline.and_then(|seconds| after(now, seconds)),
        ..Options::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(keys: &Keys) -> Vec<u32> {
        let mut labels = Labels::new(Some(keys), Rng::new(5));
        let mut counts = vec![0; keys.shares.len()];
        for _ in 0..100_000 {
            let key = labels.draw().and_then(|options| options.key).unwrap();
            counts[key as usize] += 1;
        }
        counts
    }

    #[test]
    fn each_key_has_its_share() {
        for (keys, expected) in [
            (Keys::uniform(4), vec![25_000, 25_000, 25_000, 25_000]),
            (Keys::shares([3.0, 0.0, 1.0]), vec![75_000, 0, 25_000]),
            (Keys::zipf(2, 1.0), vec![66_667, 33_333]),
        ] {
            let counts = counts(&keys);
            let close = |(count, expected): (&u32, &u32)| count.abs_diff(*expected) < 700;
            assert!(counts.iter().zip(&expected).all(close), "{counts:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        for (keys, part) in [
            (Keys::uniform(0), "one or more above 0"),
            (Keys::shares([0.0, 0.0]), "one or more above 0"),
            (Keys::shares([1.0, -1.0]), "-1"),
            (Keys::shares([f64::NAN]), "NaN"),
            (Keys::uniform(2).weights([1, 0]), "1 or more"),
        ] {
            let error = keys.check().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
