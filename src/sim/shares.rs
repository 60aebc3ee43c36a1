//! A choice among several, each with its share of the jobs.

use super::SimError;
use crate::sync::rng::Rng;

/// Checks the shares. `one` and `all` name what has them.
pub(super) fn check(one: &'static str, all: &'static str, shares: &[f64]) -> Result<(), SimError> {
    let wrong = |share: &&f64| !(**share >= 0.0 && share.is_finite());
    if let Some(share) = shares.iter().find(wrong) {
        return Err(SimError::setting(one, share, "0 or more"));
    }
    if shares.iter().sum::<f64>() <= 0.0 {
        let shares = format!("{shares:?}");
        return Err(SimError::setting(all, shares, "one or more above 0"));
    }
    Ok(())
}

/// Draws by the shares.
#[derive(Debug, Default)]
pub(super) struct Lots {
    /// The sum of the shares up to each.
    bounds: Vec<f64>,
}

impl Lots {
    pub(super) fn new(shares: &[f64]) -> Self {
        let mut sum = 0.0;
        let bound = |share| {
            sum += share;
            sum
        };
        Lots {
            bounds: shares.iter().map(bound).collect(),
        }
    }

    /// Draws an index. Returns `None` if there are no shares, and then draws no number.
    pub(super) fn draw(&self, rng: &mut Rng) -> Option<usize> {
        let total = self.bounds.last()?;
        let at = rng.unit_f64() * total;
        let one = self.bounds.partition_point(|&bound| bound <= at);
        // Rounding may make the draw the total itself.
        Some(one.min(self.bounds.len() - 1))
    }
}
