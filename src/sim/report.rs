//! The report: what a simulation measured.

use super::events::seconds;
use std::fmt;

/// What a simulation measured. Times are in seconds of virtual time; no figure includes the warm-up unless it says so.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// From a job's arrival to its start.
    pub wait: Distribution,
    /// From a job's arrival to its end: the time in system.
    pub sojourn: Distribution,
    /// The sojourn as a multiple of the job's run time on a worker of speed 1. Excludes jobs that run for no time.
    pub slowdown: Distribution,
    /// Jobs that were run.
    pub jobs: u64,
    /// Arrivals that found the queue full.
    pub refused: u64,
    /// Jobs that the queue order dropped.
    pub lost: u64,
    /// Panics and broken contracts of the strategy and the order, from the beginning of the run.
    pub faults: u64,
    /// How many of `jobs` had a deadline.
    pub deadlines: u64,
    /// How many of those started after it.
    pub missed: u64,
    /// The fraction of time that workers were busy, from the first measured arrival to the last.
    pub utilisation: f64,
    /// How many of `jobs` each worker ran.
    pub per_worker: Vec<u64>,
    /// The fraction of that time that each worker was busy.
    pub busy: Vec<f64>,
    /// One report per key that jobs had, by key.
    pub keys: Vec<KeyReport>,
    /// One report per class of [`Simulation::classes`](super::Simulation::classes); none without classes.
    pub classes: Vec<ClassReport>,
    /// The mean run time of a job on a worker of speed 1, by the settings.
    pub mean_service: f64,
    /// Which worker started which job, from the beginning of the run, if [`log_starts`](super::Simulation::log_starts)
    /// was set.
    pub starts: Vec<Start>,
}

/// The start of a job.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Start {
    /// The job's number in order of arrival, from 1, without refused jobs, as [`JobId::get`](crate::JobId::get).
    pub job: u64,
    /// The worker's index.
    pub worker: usize,
    /// The time, in seconds.
    pub at: f64,
}

/// What was measured of one key's jobs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct KeyReport {
    /// The key.
    pub key: u64,
    /// Jobs that were run.
    pub jobs: u64,
    /// The mean of their waits, in seconds.
    pub mean_wait: f64,
    /// The mean of their sojourns, in seconds.
    pub mean_sojourn: f64,
    /// The mean of their slowdowns.
    pub mean_slowdown: f64,
    /// Seconds of work, at speed 1, done for the key between the first measured arrival and the last.
    pub work: f64,
    /// Seconds of work that the key demanded by then, including what was left over from before.
    pub demand: f64,
}

/// What was measured of one class's jobs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ClassReport {
    /// The class's priority.
    pub priority: i32,
    /// From a job's arrival to its start, in seconds.
    pub wait: Distribution,
    /// From a job's arrival to its end, in seconds.
    pub sojourn: Distribution,
    /// Jobs that were run.
    pub jobs: u64,
    /// Arrivals that found the queue full.
    pub refused: u64,
    /// How many of `jobs` had a deadline.
    pub deadlines: u64,
    /// How many of those started after it.
    pub missed: u64,
}

impl ClassReport {
    /// Returns the fraction of deadlines that were missed, 0 to 1, or `None` if no job had one.
    pub fn missed_share(&self) -> Option<f64> {
        share(self.missed, self.deadlines)
    }
}

fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

impl Report {
    /// Returns the fraction of deadlines that were missed, 0 to 1, or `None` if no job had one.
    pub fn missed_share(&self) -> Option<f64> {
        share(self.missed, self.deadlines)
    }

    /// Returns Jain's index of the work done for each key, relative to the key's max-min share of all work done. With
    /// 1, each key got what it demanded, or as much as any other; with 1/n, one of n keys got everything. Returns
    /// `None` if no job had a key.
    ///
    /// Jain, Chiu and Hawe, *A Quantitative Measure of Fairness and Discrimination for Resource Allocation in Shared
    /// Computer Systems*, DEC-TR-301, 1984.
    pub fn fairness(&self) -> Option<f64> {
        let demands: Vec<f64> = self.keys.iter().map(|key| key.demand).collect();
        let done = self.keys.iter().map(|key| key.work).sum();
        let shares = max_min_shares(&demands, done);
        let relative = self.keys.iter().zip(shares);
        let relative = relative.filter(|(_, share)| *share > 0.0);
        jain_index(relative.map(|(key, share)| key.work / share))
    }

    /// Returns Jain's index of the keys' mean slowdowns. With 1, all keys' jobs are slowed down equally. Returns `None`
    /// if no job had a key.
    pub fn slowdown_fairness(&self) -> Option<f64> {
        let ran = self.keys.iter().filter(|key| key.jobs > 0);
        jain_index(ran.map(|key| key.mean_slowdown))
    }
}

/// Returns Jain's index of fairness of some numbers, (Σx)² / (n Σx²): 1 if all are equal, 1/n if all but one are 0.
/// Returns `None` if there are no numbers, or all are 0.
pub fn jain_index(of: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for x in of {
        count += 1.0;
        sum += x;
        squares += x * x;
    }
    (squares > 0.0).then(|| sum * sum / (count * squares))
}

/// Returns the max-min fair shares of a capacity: no demand gets more than it asks for, and what is left over is
/// divided equally among those that want more (Bertsekas and Gallager, *Data Networks*, 1992, 6.5.2). O(n log n).
pub fn max_min_shares(demands: &[f64], capacity: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..demands.len()).collect();
    order.sort_by(|&a, &b| demands[a].total_cmp(&demands[b]));
    let mut shares = vec![0.0; demands.len()];
    let mut left = capacity;
    for (done, &at) in order.iter().enumerate() {
        let equal = left / (demands.len() - done) as f64;
        shares[at] = demands[at].min(equal);
        left -= shares[at];
    }
    shares
}

/// A set of measurements: exact, all kept.
#[derive(Clone, PartialEq)]
pub struct Distribution {
    /// In billionths, sorted.
    sorted: Vec<u64>,
    sum: u128,
}

impl Distribution {
    /// Takes measurements in billionths. O(n log n).
    pub(super) fn new(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        let sum = values.iter().map(|&value| u128::from(value)).sum();
        Distribution {
            sorted: values,
            sum,
        }
    }

    /// Returns how many measurements there are.
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// Returns the mean; 0 without measurements. O(1).
    pub fn mean(&self) -> f64 {
        self.sum as f64 / self.sorted.len().max(1) as f64 * 1e-9
    }

    /// Returns the least value that `percent` of all measurements do not exceed, by the nearest rank; 0 without
    /// measurements. 50 gives the median, 100 and above the maximum. O(1).
    pub fn percentile(&self, percent: f64) -> f64 {
        let rank = (percent / 100.0 * self.sorted.len() as f64).ceil() as usize;
        let last = self.sorted.len().saturating_sub(1);
        let at = rank.saturating_sub(1).min(last);
        self.sorted.get(at).map_or(0.0, |&value| seconds(value))
    }
}

impl fmt::Debug for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Distribution")
            .field("count", &self.count())
            .field("mean", &self.mean())
            .field("p50", &self.percentile(50.0))
            .field("p99", &self.percentile(99.0))
            .finish()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<10} {:>10} {:>10} {:>10} {:>10} {:>10}",
            "", "mean", "p50", "p90", "p99", "p99.9"
        )?;
        for (name, of) in [
            ("wait", &self.wait),
            ("sojourn", &self.sojourn),
            ("slowdown", &self.slowdown),
        ] {
            row(f, name, of)?;
            writeln!(f)?;
        }
        let least = self.per_worker.iter().min().unwrap_or(&0);
        let most = self.per_worker.iter().max().unwrap_or(&0);
        write!(
            f,
            "{} jobs, {} refused, {} lost; utilisation {:.3}; {least} to {most} jobs a worker",
            self.jobs, self.refused, self.lost, self.utilisation
        )?;
        if let Some(fairness) = self.fairness() {
            write!(f, "; fairness among {} keys {fairness:.3}", self.keys.len())?;
        }
        missed(f, self.missed, self.deadlines)?;
        for (number, class) in self.classes.iter().enumerate() {
            write!(
                f,
                "\nclass {number}, priority {}: {} jobs, {} refused",
                class.priority, class.jobs, class.refused
            )?;
            missed(f, class.missed, class.deadlines)?;
            for (name, of) in [("  wait", &class.wait), ("  sojourn", &class.sojourn)] {
                writeln!(f)?;
                row(f, name, of)?;
            }
        }
        Ok(())
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, of: &Distribution) -> fmt::Result {
    write!(f, "{name:<10} {:>10.3}", of.mean())?;
    for percent in [50.0, 90.0, 99.0, 99.9] {
        write!(f, " {:>10.3}", of.percentile(percent))?;
    }
    Ok(())
}

fn missed(f: &mut fmt::Formatter<'_>, missed: u64, deadlines: u64) -> fmt::Result {
    match deadlines {
        0 => Ok(()),
        _ => write!(f, "; {missed} of {deadlines} deadlines missed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let hundred = Distribution::new((1..=100).rev().map(|n| n * 1_000_000_000).collect());
        for (percent, value) in [
            (0.0, 1.0),
            (50.0, 50.0),
            (99.0, 99.0),
            (99.1, 100.0),
            (100.0, 100.0),
        ] {
            assert_eq!(hundred.percentile(percent), value, "{percent}");
        }
        assert_eq!(hundred.mean(), 50.5);
        let none = Distribution::new(Vec::new());
        assert_eq!((none.mean(), none.percentile(50.0)), (0.0, 0.0));
    }

    #[test]
    fn what_is_printed_has_the_classes_and_the_missed_deadlines_if_there_are_any() {
        use crate::sim::{Classes, Deadline, Simulation};
        let plain = Simulation::new().jobs(1_000);
        let text = plain.run().unwrap().to_string();
        assert!(
            !text.contains("class") && !text.contains("missed"),
            "{text}"
        );
        let classes = Classes::shares([1.0, 3.0]).priorities([7]);
        let classes = classes.deadlines([Deadline::after(0.0)]);
        let report = plain.classes(classes).run().unwrap();
        let text = report.to_string();
        println!("{text}");
        let missed = format!("{} of {} deadlines missed", report.missed, report.deadlines);
        assert!(report.missed > 0 && report.missed < report.deadlines);
        let urgent = format!(
            "\nclass 0, priority 7: {} jobs, 0 refused; ",
            report.deadlines
        );
        let others = format!(
            "\nclass 1, priority 0: {} jobs, 0 refused\n  wait ",
            report.classes[1].jobs
        );
        for part in [format!("; {missed}\n"), urgent + &missed, others] {
            assert!(text.contains(&part), "{part:?} is not in {text}");
        }
    }

    #[test]
    fn jains_index_is_as_in_the_paper() {
        assert_eq!(jain_index([2.0, 2.0, 2.0]), Some(1.0));
        assert_eq!(jain_index([5.0, 0.0, 0.0, 0.0]), Some(0.25));
        // The paper's example: 20 dollars for each of 20 of 100 people.
        let people = (0..100).map(|person| if person < 20 { 20.0 } else { 0.0 });
        assert!((jain_index(people).unwrap() - 0.2).abs() < 1e-12);
        assert_eq!(jain_index([]), None);
    }

    #[test]
    fn max_min_shares_give_the_rest_to_those_who_want_more() {
        assert_eq!(max_min_shares(&[10.0, 1.0, 4.0], 9.0), [4.0, 1.0, 4.0]);
        assert_eq!(max_min_shares(&[10.0, 2.0, 10.0], 10.0), [4.0, 2.0, 4.0]);
        assert_eq!(max_min_shares(&[1.0, 2.0], 10.0), [1.0, 2.0]);
    }
}
