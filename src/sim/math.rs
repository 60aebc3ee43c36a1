//! Logarithm and exponential by additions, multiplications and divisions alone, which give the same bits on every
//! machine. Platform libraries differ in the last bit, and so would a simulation.

use std::f64::consts::{LN_2, SQRT_2};

/// Returns the natural logarithm of a normal, positive number, to about 1e-15.
pub(super) fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    // In [1, 2), then around 1.
    let mut m = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    if m > SQRT_2 {
        m /= 2.0;
        exponent += 1;
    }
    // ln m = 2 artanh((m - 1) / (m + 1)), and the argument is below 0.172.
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let series = (0..=11)
        .rev()
        .fold(0.0, |sum, k| sum * z + 1.0 / f64::from(2 * k + 1));
    2.0 * s * series + exponent as f64 * LN_2
}

/// Returns e to the power of `x`, for results that are normal numbers; to about 1e-15 relative for |x| up to some
/// dozens.
pub(super) fn exp(x: f64) -> f64 {
    let power = (x / LN_2).round().clamp(-1022.0, 1023.0);
    let rest = x - power * LN_2;
    let series = (1..=14)
        .rev()
        .fold(1.0, |sum, k| 1.0 + sum * rest / f64::from(k));
    series * f64::from_bits(((power as i64 + 1023) as u64) << 52)
}

/// Returns `base` to the power of `exponent`, for a positive base.
pub(super) fn pow(base: f64, exponent: f64) -> f64 {
    exp(ln(base) * exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_agree_with_the_library() {
        for step in 1..20_000 {
            let x = f64::from(step) * 0.001;
            assert!((ln(x) - x.ln()).abs() < 1e-14, "ln {x}");
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-13, "exp {x}");
            assert!((exp(-x) * x.exp() - 1.0).abs() < 1e-13, "exp -{x}");
        }
        assert!((ln(f64::EPSILON / 2.0) - (f64::EPSILON / 2.0).ln()).abs() < 1e-13);
    }
}
