//! Medians and quartiles.

/// The middle half of some samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quartiles {
    pub lower: f64,
    pub median: f64,
    pub upper: f64,
}

impl Quartiles {
    /// Of at least one sample; between two samples it interpolates.
    pub fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        Quartiles {
            lower: quantile(&sorted, 0.25),
            median: quantile(&sorted, 0.5),
            upper: quantile(&sorted, 0.75),
        }
    }

    /// Of the ratios of samples that were taken in the same rounds.
    pub fn of_ratios(over: &[f64], under: &[f64]) -> Self {
        let ratios: Vec<f64> = over.iter().zip(under).map(|(a, b)| a / b).collect();
        Self::of(&ratios)
    }

    /// Of the differences of samples that were taken in the same rounds.
    pub fn of_differences(from: &[f64], less: &[f64]) -> Self {
        let differences: Vec<f64> = from.iter().zip(less).map(|(a, b)| a - b).collect();
        Self::of(&differences)
    }
}

fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = (sorted.len() - 1) as f64 * part;
    let below = sorted[place.floor() as usize];
    let above = sorted[place.ceil() as usize];
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_interpolate() {
        let four = Quartiles::of(&[4.0, 1.0, 3.0, 2.0]);
        assert_eq!((four.lower, four.median, four.upper), (1.75, 2.5, 3.25));
        let one = Quartiles::of(&[7.0]);
        assert_eq!((one.lower, one.median, one.upper), (7.0, 7.0, 7.0));
    }

    #[test]
    fn ratios_are_paired() {
        let ratios = Quartiles::of_ratios(&[2.0, 40.0, 6.0], &[1.0, 10.0, 2.0]);
        assert_eq!(ratios.median, 3.0);
    }
}
