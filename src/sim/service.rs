//! Service times: how long jobs run.

use super::{SimError, Trace, math};
use crate::sync::rng::Rng;
use std::str::FromStr;

/// How long jobs run on a worker of speed 1, in seconds.
///
/// Parsed by [`FromStr`] from `exponential`, `deterministic`, `bimodal:1,0.9,20,0.1` (length, probability, length,
/// probability) or `pareto:2.5` (the shape).
#[derive(Debug, Clone, PartialEq)]
pub struct Service(Kind);

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Exponential,
    Deterministic,
    Bimodal([(f64, f64); 2]),
    Pareto(f64),
    Trace(Trace),
}

impl Service {
    /// Exponentially distributed, with mean 1.
    pub fn exponential() -> Self {
        Service(Kind::Exponential)
    }

    /// Always 1.
    pub fn deterministic() -> Self {
        Service(Kind::Deterministic)
    }

    /// One of two lengths, each with its probability. The mean follows from these.
    pub fn bimodal(first: (f64, f64), second: (f64, f64)) -> Self {
        Service(Kind::Bimodal([first, second]))
    }

    /// Pareto distributed with this shape, which must be above 1, and with mean 1. Up to shape 2, the variance is
    /// infinite.
    pub fn pareto(shape: f64) -> Self {
        Service(Kind::Pareto(shape))
    }

    /// The recorded service times, in their order; starts again after the last.
    pub fn trace(trace: &Trace) -> Self {
        Service(Kind::Trace(trace.clone()))
    }

    /// Returns the mean, in seconds.
    pub fn mean(&self) -> f64 {
        match &self.0 {
            Kind::Exponential | Kind::Deterministic | Kind::Pareto(_) => 1.0,
            Kind::Bimodal([(a, p), (b, q)]) => a * p + b * q,
            Kind::Trace(trace) => trace.mean_service(),
        }
    }

    pub(super) fn check(&self) -> Result<(), SimError> {
        match self.0 {
            Kind::Pareto(shape) if !(shape > 1.0 && shape <= 1e3) => Err(SimError::setting(
                "the shape of a Pareto distribution",
                shape,
                "above 1, so that there is a mean, to 1000",
            )),
            Kind::Bimodal(modes) => {
                let mut error = None;
                for (length, probability) in modes {
                    if !(length >= 0.0 && length.is_finite()) {
                        let allowed = "0 or more seconds";
                        error = Some(SimError::setting("a bimodal length", length, allowed));
                    }
                    if !(0.0..=1.0).contains(&probability) {
                        let allowed = "0 to 1";
                        error = Some(SimError::setting(
                            "a bimodal probability",
                            probability,
                            allowed,
                        ));
                    }
                }
                let sum = modes[0].1 + modes[1].1;
                if error.is_none() && (sum - 1.0).abs() > 1e-9 {
                    let setting = "the sum of the two bimodal probabilities";
                    error = Some(SimError::setting(setting, sum, "1"));
                }
                error.map_or(Ok(()), Err)
            }
            _ => Ok(()),
        }
    }

    /// Returns the service time of the job with this number, in seconds.
    pub(super) fn draw(&self, number: u64, rng: &mut Rng) -> f64 {
        match &self.0 {
            Kind::Exponential => exponential(rng),
            Kind::Deterministic => 1.0,
            Kind::Bimodal([(a, p), (b, _)]) => {
                if rng.unit_f64() < *p {
                    *a
                } else {
                    *b
                }
            }
            Kind::Pareto(shape) => {
                let least = (shape - 1.0) / shape;
                least * math::pow(1.0 - rng.unit_f64(), -1.0 / shape)
            }
            Kind::Trace(trace) => trace.jobs()[(number % trace.len() as u64) as usize].service,
        }
    }
}

/// Draws from the exponential distribution with mean 1.
pub(super) fn exponential(rng: &mut Rng) -> f64 {
    -math::ln(1.0 - rng.unit_f64())
}

/// Parses numbers separated by commas.
pub(super) fn numbers<const N: usize>(
    setting: &'static str,
    text: &str,
    allowed: &str,
) -> Result<[f64; N], SimError> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    numbers
        .ok()
        .and_then(|numbers| numbers.try_into().ok())
        .ok_or_else(|| SimError::setting(setting, format!("{text:?}"), allowed))
}

impl FromStr for Service {
    type Err = SimError;

    fn from_str(text: &str) -> Result<Self, SimError> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let service = match (name, rest) {
            ("exponential", "") => Service::exponential(),
            ("deterministic", "") => Service::deterministic(),
            ("bimodal", rest) => {
                let allowed = "bimodal:LENGTH,PROBABILITY,LENGTH,PROBABILITY";
                let [a, p, b, q] = numbers("service", rest, allowed)?;
                Service::bimodal((a, p), (b, q))
            }
            ("pareto", rest) => {
                let [shape] = numbers("service", rest, "pareto:SHAPE, such as pareto:2.5")?;
                Service::pareto(shape)
            }
            _ => {
                let allowed = "exponential, deterministic, bimodal:1,0.9,20,0.1 or pareto:2.5";
                return Err(SimError::setting("service", format!("{text:?}"), allowed));
            }
        };
        service.check()?;
        Ok(service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_times_have_the_moments_they_should() {
        // Mean and second moment; the tolerance is at least five standard errors.
        for (text, mean, second) in [
            ("exponential", 1.0, Some(2.0)),
            ("deterministic", 1.0, Some(1.0)),
            ("bimodal:1,0.9,20,0.1", 2.9, Some(40.9)),
            ("pareto:5", 1.0, Some(16.0 / 15.0)),
            ("pareto:2.5", 1.0, None),
        ] {
            let service: Service = text.parse().unwrap();
            assert!((service.mean() - mean).abs() < 1e-12, "{text}");
            let mut rng = Rng::new(1);
            let count = 400_000;
            let drawn: Vec<f64> = (0..count).map(|n| service.draw(n, &mut rng)).collect();
            let average = drawn.iter().sum::<f64>() / count as f64;
            assert!((average / mean - 1.0).abs() < 0.02, "{text}: {average}");
            if let Some(second) = second {
                let average = drawn.iter().map(|x| x * x).sum::<f64>() / count as f64;
                assert!((average / second - 1.0).abs() < 0.03, "{text}: {average}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        for (text, value, allowed) in [
            ("", "\"\"", "exponential"),
            ("exponentional", "exponentional", "exponential"),
            ("exponential:2", "exponential:2", "exponential"),
            ("bimodal:1,0.9,20", "1,0.9,20", "LENGTH"),
            ("bimodal:1,0.9,20,0.2", "1.1", "1"),
            ("bimodal:-1,0.9,20,0.1", "-1", "0 or more"),
            ("bimodal:1,2,20,-1", "-1", "0 to 1"),
            ("pareto:1", "1", "above 1"),
            ("pareto:NaN", "NaN", "above 1"),
            ("pareto:", "\"\"", "pareto:SHAPE"),
        ] {
            let error = text.parse::<Service>().unwrap_err().to_string();
            assert!(error.contains(value) && error.contains(allowed), "{error}");
        }
    }
}
