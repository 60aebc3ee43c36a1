//! Classes: how urgent jobs are.

use super::shares::{self, Lots};
use super::{SimError, ticks};
use crate::job::Options;
use crate::sync::rng::Rng;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How urgent jobs are. Classes 0, 1, 2, ... each have a share of the jobs, a priority and a deadline.
///
/// [`Report::classes`](super::Report::classes) shows what orders by urgency achieve.
///
/// ```
/// use fanpool::Priority;
/// use fanpool::sim::{Classes, Deadline, Simulation};
///
/// // One job in ten is urgent, and should start within 2 seconds.
/// let classes = Classes::shares([1.0, 9.0])
///     .priorities([1, 0])
///     .deadlines([Deadline::after(2.0), Deadline::none()]);
/// let report = Simulation::new()
///     .classes(classes)
///     .queue_order(Priority::new)
///     .load(0.9)
///     .jobs(20_000)
///     .run()?;
/// let [urgent, others] = &report.classes[..] else { unreachable!() };
/// assert!(urgent.wait.percentile(99.0) < others.wait.percentile(99.0));
/// assert_eq!((urgent.deadlines, others.deadlines), (urgent.jobs, 0));
/// assert!(urgent.missed < urgent.jobs / 5);
/// # Ok::<(), fanpool::sim::SimError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Classes {
    shares: Vec<f64>,
    priorities: Vec<i32>,
    deadlines: Vec<Deadline>,
}

impl Classes {
    /// Classes with these shares of the jobs. The shares need not sum to 1.
    pub fn shares(shares: impl Into<Vec<f64>>) -> Self {
        Classes {
            shares: shares.into(),
            priorities: Vec::new(),
            deadlines: Vec::new(),
        }
    }

    /// This many classes with equal shares.
    pub fn uniform(count: usize) -> Self {
        Classes::shares(vec![1.0; count])
    }

    /// Sets the priorities of the classes' jobs, as [`JobBuilder::priority`](crate::JobBuilder::priority); 0 for
    /// classes beyond the list.
    pub fn priorities(mut self, priorities: impl Into<Vec<i32>>) -> Self {
        self.priorities = priorities.into();
        self
    }

    /// Sets the deadlines of the classes' jobs; none for classes beyond the list.
    pub fn deadlines(mut self, deadlines: impl Into<Vec<Deadline>>) -> Self {
        self.deadlines = deadlines.into();
        self
    }

    pub(super) fn count(&self) -> usize {
        self.shares.len()
    }

    pub(super) fn priority(&self, class: usize) -> i32 {
        self.priorities.get(class).copied().unwrap_or(0)
    }

    pub(super) fn check(&self) -> Result<(), SimError> {
        shares::check("a class's share", "the shares of the classes", &self.shares)?;
        let most = self.count();
        for (setting, given) in [
            ("the number of priorities", self.priorities.len()),
            ("the number of deadlines", self.deadlines.len()),
        ] {
            if given > most {
                let allowed = format!("up to {most}, one for each class");
                return Err(SimError::setting(setting, given, allowed));
            }
        }
        self.deadlines.iter().try_for_each(Deadline::check)
    }
}

/// How long after its arrival a job should have started, as [`JobBuilder::expires_in`](crate::JobBuilder::expires_in).
///
/// In seconds: with services of mean 1, in mean service times. Parsed by [`FromStr`] from `5`, `2..20` (drawn for each
/// job) or `none`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Deadline {
    range: Option<(f64, f64)>,
}

impl Deadline {
    /// No deadline.
    pub fn none() -> Self {
        Deadline { range: None }
    }

    /// A deadline this many seconds after the arrival.
    pub fn after(seconds: f64) -> Self {
        Deadline::between(seconds, seconds)
    }

    /// A deadline drawn for each job, uniformly from `least` to `most` seconds.
    pub fn between(least: f64, most: f64) -> Self {
        Deadline {
            range: Some((least, most)),
        }
    }

    fn check(&self) -> Result<(), SimError> {
        match self.range {
            Some((least, most)) if !(0.0 <= least && least <= most && most.is_finite()) => {
                let allowed = "0 or more seconds, and of two the greater one last";
                Err(SimError::setting("a deadline", self, allowed))
            }
            _ => Ok(()),
        }
    }

    /// Draws the deadline of a job that comes now. `None` also if it is too far away for the clock.
    fn draw(&self, now: Instant, rng: &mut Rng) -> Option<Instant> {
        let (least, most) = self.range?;
        after(now, least + (most - least) * rng.unit_f64())
    }
}

/// Returns the moment this many seconds after `now`.
pub(super) fn after(now: Instant, seconds: f64) -> Option<Instant> {
    now.checked_add(Duration::from_nanos(ticks(seconds)))
}

impl fmt::Display for Deadline {
    /// Writes the form that [`FromStr`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.range {
            None => f.write_str("none"),
            Some((least, most)) if least == most => write!(f, "{least}"),
            Some((least, most)) => write!(f, "{least}..{most}"),
        }
    }
}

impl FromStr for Deadline {
    type Err = SimError;

    fn from_str(text: &str) -> Result<Self, SimError> {
        if text == "none" {
            return Ok(Deadline::none());
        }
        let (least, most) = text.split_once("..").unwrap_or((text, text));
        let (Ok(least), Ok(most)) = (least.trim().parse(), most.trim().parse()) else {
            let allowed = "seconds such as 5, a range such as 2..20, or none";
            return Err(SimError::setting(
                "a deadline",
                format!("{text:?}"),
                allowed,
            ));
        };
        let deadline = Deadline::between(least, most);
        deadline.check()?;
        Ok(deadline)
    }
}

/// Draws each job's class and sets its options.
#[derive(Debug)]
pub(super) struct Urgency<'a> {
    classes: Option<&'a Classes>,
    lots: Lots,
    class_rng: Rng,
    deadline_rng: Rng,
}

impl<'a> Urgency<'a> {
    pub(super) fn new(classes: Option<&'a Classes>, class_rng: Rng, deadline_rng: Rng) -> Self {
        Urgency {
            lots: classes.map_or_else(Lots::default, |classes| Lots::new(&classes.shares)),
            classes,
            class_rng,
            deadline_rng,
        }
    }

    /// Draws the class of the next job, which comes now, and enters it in the job's options.
    pub(super) fn draw(&mut self, options: &mut Option<Arc<Options>>, now: Instant) -> usize {
        let (Some(classes), Some(class)) = (self.classes, self.lots.draw(&mut self.class_rng))
        else {
            return 0;
        };
        let options = Arc::make_mut(options.get_or_insert_default());
        options.priority = classes.priority(class);
        let deadline = classes.deadlines.get(class);
        options.deadline = deadline.and_then(|deadline| deadline.draw(now, &mut self.deadline_rng));
        class
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_share_its_priority_and_its_deadlines() {
        let classes = Classes::shares([3.0, 0.0, 1.0, 1.0])
            .priorities([-2, 9, 7])
            .deadlines([
                Deadline::none(),
                Deadline::none(),
                Deadline::between(2.0, 4.0),
            ]);
        let mut urgency = Urgency::new(Some(&classes), Rng::new(1), Rng::new(2));
        let now = Instant::now();
        let (mut counts, mut sum) = ([0_u32; 4], 0.0);
        for _ in 0..100_000 {
            let mut options = None;
            let class = urgency.draw(&mut options, now);
            counts[class] += 1;
            let options = options.unwrap();
            assert_eq!(options.priority, [-2, 9, 7, 0][class]);
            assert_eq!(options.deadline.is_some(), class == 2);
            if let Some(deadline) = options.deadline {
                let seconds = (deadline - now).as_secs_f64();
                assert!((2.0..=4.0).contains(&seconds), "{seconds}");
                sum += seconds;
            }
        }
        let close = |(count, expected): (&u32, u32)| count.abs_diff(expected) < 700;
        let expected = [60_000, 0, 20_000, 20_000];
        assert!(counts.iter().zip(expected).all(close), "{counts:?}");
        let mean = sum / f64::from(counts[2]);
        assert!((mean - 3.0).abs() < 0.02, "{mean}");
    }

    #[test]
    fn what_the_class_does_not_say_stays_as_it_is() {
        let classes = Classes::uniform(1);
        let mut urgency = Urgency::new(Some(&classes), Rng::new(1), Rng::new(2));
        let shared = Arc::new(Options {
            key: Some(7),
            priority: 3,
            ..Options::default()
        });
        let mut options = Some(shared.clone());
        urgency.draw(&mut options, Instant::now());
        let options = options.unwrap();
        assert_eq!((options.key, options.priority), (Some(7), 0));
        assert_eq!(shared.priority, 3, "others of its key are as they were");
    }

    #[test]
    fn a_deadline_reads_as_it_is_written() {
        for text in ["5", "0", "2..20", "0.5..0.75", "none"] {
            assert_eq!(text.parse::<Deadline>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        for (text, value, allowed) in [
            ("", "\"\"", "2..20"),
            ("soon", "\"soon\"", "2..20"),
            ("2..", "\"2..\"", "2..20"),
            ("-1", "-1", "0 or more"),
            ("NaN", "NaN", "0 or more"),
            ("inf", "inf", "0 or more"),
            ("5..2", "5..2", "greater one last"),
        ] {
            let error = text.parse::<Deadline>().unwrap_err().to_string();
            assert!(error.contains(value) && error.contains(allowed), "{error}");
        }
        let two = || Classes::uniform(2);
        for (classes, setting, value, allowed) in [
            (
                Classes::uniform(0),
                "shares of the classes",
                "[]",
                "above 0",
            ),
            (
                Classes::shares([1.0, -1.0]),
                "a class's share",
                "-1",
                "0 or more",
            ),
            (two().priorities([1, 2, 3]), "priorities", "3", "up to 2"),
            (
                two().deadlines([Deadline::none(); 4]),
                "deadlines",
                "4",
                "up to 2",
            ),
            (
                two().deadlines([Deadline::after(-0.5)]),
                "a deadline",
                "-0.5",
                "0 or more",
            ),
        ] {
            let error = classes.check().unwrap_err().to_string();
            for part in [setting, value, allowed] {
                assert!(error.contains(part), "{part:?} is not in {error:?}");
            }
        }
    }
}
