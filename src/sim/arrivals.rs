//! Arrivals: when jobs come.

use super::service::{exponential, numbers};
use super::{SimError, Trace, ticks};
use crate::sync::rng::Rng;
use std::str::FromStr;

/// When jobs come. [`load`](super::Simulation::load) or [`rate`](super::Simulation::rate) sets how many come per second
/// on average.
///
/// Parsed by [`FromStr`] from `poisson`, `deterministic` or `bursty:10,90` (mean seconds on and off).
#[derive(Debug, Clone, PartialEq)]
pub struct Arrivals(Kind);

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Poisson,
    Deterministic,
    Bursty { on: f64, off: f64 },
    Trace(Trace),
}

impl Arrivals {
    /// A Poisson process: each moment is equally likely.
    pub fn poisson() -> Self {
        Arrivals(Kind::Poisson)
    }

    /// Arrivals at equal distances.
    pub fn deterministic() -> Self {
        Arrivals(Kind::Deterministic)
    }

    /// An interrupted Poisson process: no jobs come while it is *off*; while it is *on*, so many come that the mean
    /// rate is as set. Both phases have exponentially distributed lengths with these means, in seconds. It begins on.
    pub fn bursty(on: f64, off: f64) -> Self {
        Arrivals(Kind::Bursty { on, off })
    }

    /// Arrivals as recorded; with a load or a rate set, stretched evenly to match it. After the last job, none come.
    /// Keys, priorities, weights and deadlines are the trace's, too; [`keys`](super::Simulation::keys) replaces them
    /// all, and [`classes`](super::Simulation::classes) the priorities and deadlines.
    pub fn trace(trace: &Trace) -> Self {
        Arrivals(Kind::Trace(trace.clone()))
    }

    pub(super) fn recorded(&self) -> Option<&Trace> {
        match &self.0 {
            Kind::Trace(trace) => Some(trace),
            _ => None,
        }
    }

    pub(super) fn check(&self) -> Result<(), SimError> {
        let Kind::Bursty { on, off } = self.0 else {
            return Ok(());
        };
        if !(on > 0.0 && on.is_finite()) {
            let setting = "the mean time on of bursty arrivals";
            return Err(SimError::setting(setting, on, "above 0 seconds"));
        }
        if !(off >= 0.0 && off.is_finite()) {
            let setting = "the mean time off of bursty arrivals";
            return Err(SimError::setting(setting, off, "0 or more seconds"));
        }
        Ok(())
    }
}

impl FromStr for Arrivals {
    type Err = SimError;

    fn from_str(text: &str) -> Result<Self, SimError> {
        let arrivals = match text.split_once(':').unwrap_or((text, "")) {
            ("poisson", "") => Arrivals::poisson(),
            ("deterministic", "") => Arrivals::deterministic(),
            ("bursty", rest) => {
                let [on, off] = numbers("arrivals", rest, "bursty:ON,OFF, such as bursty:10,90")?;
                Arrivals::bursty(on, off)
            }
            _ => {
                let allowed = "poisson, deterministic or bursty:ON,OFF";
                return Err(SimError::setting("arrivals", format!("{text:?}"), allowed));
            }
        };
        arrivals.check()?;
        Ok(arrivals)
    }
}

/// Produces one arrival time after the other.
#[derive(Debug)]
pub(super) struct Clockwork {
    arrivals: Arrivals,
    /// Jobs per second; `None` for a trace that is played as it is.
    rate: Option<f64>,
    rng: Rng,
    /// What is left of the time on, if bursty.
    on_for: f64,
}

impl Clockwork {
    pub(super) fn new(arrivals: Arrivals, rate: Option<f64>, mut rng: Rng) -> Self {
        let on_for = match arrivals.0 {
            Kind::Bursty { on, .. } => on * exponential(&mut rng),
            _ => 0.0,
        };
        Clockwork {
            arrivals,
            rate,
            rng,
            on_for,
        }
    }

    /// Returns when the job with this number comes, in ticks, given the arrival of the previous one. `None` means no
    /// more jobs.
    pub(super) fn after(&mut self, number: u64, last: u64) -> Option<u64> {
        let mean = self.rate.map_or(0.0, |rate| 1.0 / rate);
        let gap = match &self.arrivals.0 {
            Kind::Poisson => mean * exponential(&mut self.rng),
            Kind::Deterministic => mean,
            &Kind::Bursty { on, off } => {
                let mean_on = mean * on / (on + off);
                bursty_gap(mean_on, (on, off), &mut self.on_for, &mut self.rng)
            }
            Kind::Trace(trace) => {
                let arrival = trace.jobs().get(usize::try_from(number).ok()?)?.arrival;
                let stretch = self.rate.map_or(1.0, |rate| trace.rate() / rate);
                return Some(ticks(arrival * stretch));
            }
        };
        Some(last.saturating_add(ticks(gap)))
    }
}

fn bursty_gap(mean: f64, (on, off): (f64, f64), on_for: &mut f64, rng: &mut Rng) -> f64 {
    let mut gap = 0.0;
    loop {
        // Exponential times have no memory: after a pause, it may be drawn anew.
        let next = mean * exponential(rng);
        if next <= *on_for {
            *on_for -= next;
            return gap + next;
        }
        gap += *on_for + off * exponential(rng);
        *on_for = on * exponential(rng);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(text: &str, rate: f64, count: u64) -> Vec<f64> {
        let arrivals: Arrivals = text.parse().unwrap();
        let mut clockwork = Clockwork::new(arrivals, Some(rate), Rng::new(3));
        let mut last = 0;
        let mut gap = |number| {
            let next = clockwork.after(number, last).unwrap();
            let gap = (next - last) as f64 * 1e-9;
            last = next;
            gap
        };
        (0..count).map(&mut gap).collect()
    }

    #[test]
    fn the_mean_rate_is_what_was_asked_for() {
        for (text, tolerance) in [
            ("poisson", 0.01),
            ("deterministic", 1e-5),
            ("bursty:5,15", 0.03),
        ] {
            let count = 500_000;
            let time: f64 = gaps(text, 4.0, count).iter().sum();
            let rate = count as f64 / time;
            assert!((rate / 4.0 - 1.0).abs() < tolerance, "{text}: {rate}");
        }
    }

    #[test]
    fn bursts_are_four_times_as_dense_as_the_mean() {
        let gaps = gaps("bursty:5,15", 4.0, 200_000);
        let mut sorted = gaps.clone();
        sorted.sort_by(f64::total_cmp);
        // Nearly all gaps are within a burst: exponential with rate 16.
        let median = sorted[sorted.len() / 2];
        let expected = 2_f64.ln() / 16.0;
        assert!((median / expected - 1.0).abs() < 0.05, "{median}");
    }

    #[test]
    fn a_trace_is_played_as_it_is_or_stretched() {
        let trace = Trace::parse("1,1\n2,1\n4,1\n").unwrap();
        let play = |rate| {
            let mut clockwork = Clockwork::new(Arrivals::trace(&trace), rate, Rng::new(0));
            (0..4)
                .map_while(|number| clockwork.after(number, 0))
                .collect::<Vec<_>>()
        };
        assert_eq!(play(None), [1, 2, 4].map(|seconds| seconds * 1_000_000_000));
        // Two gaps in three seconds, played at one in three seconds.
        assert_eq!(
            play(Some(1.0 / 3.0)),
            [2, 4, 8].map(|seconds| seconds * 1_000_000_000)
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        for (text, value, allowed) in [
            ("poison", "poison", "poisson"),
            ("poisson:3", "poisson:3", "poisson"),
            ("bursty:1", "\"1\"", "bursty:ON,OFF"),
            ("bursty:0,1", "0", "above 0"),
            ("bursty:1,-1", "-1", "0 or more"),
        ] {
            let error = text.parse::<Arrivals>().unwrap_err().to_string();
            assert!(error.contains(value) && error.contains(allowed), "{error}");
        }
    }
}
