//! Keeps the figures while a simulation runs.

use super::events::seconds;
use super::report::{ClassReport, Distribution, KeyReport, Report, Start};
use super::{Classes, SimJob};
use std::collections::HashMap;

#[derive(Debug)]
pub(super) struct Running {
    pub(super) job: SimJob,
    pub(super) key: Option<u64>,
    pub(super) started: u64,
    /// Whether it started after its deadline, if it has one.
    pub(super) late: Option<bool>,
}

#[derive(Debug)]
pub(super) struct Tally {
    /// Jobs are measured from this number on.
    from_number: u64,
    /// When the first and the last of them came; the end of time while that is not known.
    from: u64,
    until: u64,
    waits: Vec<u64>,
    sojourns: Vec<u64>,
    slowdowns: Vec<u64>,
    refused: u64,
    deadlines: u64,
    missed: u64,
    per_worker: Vec<u64>,
    busy: Vec<u64>,
    keys: HashMap<u64, KeyTally>,
    classes: Vec<ClassTally>,
    starts: Option<Vec<Start>>,
}

#[derive(Debug, Default)]
struct KeyTally {
    jobs: u64,
    wait: u128,
    sojourn: u128,
    slowdown: u128,
    work: u128,
    demand: u128,
}

#[derive(Debug, Default)]
struct ClassTally {
    priority: i32,
    waits: Vec<u64>,
    sojourns: Vec<u64>,
    refused: u64,
    deadlines: u64,
    missed: u64,
}

impl Tally {
    pub(super) fn new(workers: usize, classes: Option<&Classes>, log_starts: bool) -> Self {
        let class = |class| ClassTally {
            priority: classes.map_or(0, |classes| classes.priority(class)),
            ..ClassTally::default()
        };
        Tally {
            from_number: u64::MAX,
            from: u64::MAX,
            until: u64::MAX,
            waits: Vec::new(),
            sojourns: Vec::new(),
            slowdowns: Vec::new(),
            refused: 0,
            deadlines: 0,
            missed: 0,
            per_worker: vec![0; workers],
            busy: vec![0; workers],
            keys: HashMap::new(),
            classes: (0..classes.map_or(0, Classes::count)).map(class).collect(),
            starts: log_starts.then(Vec::new),
        }
    }

    /// Ends the warm-up.
    pub(super) fn begin(&mut self, number: u64, now: u64) {
        self.from_number = number;
        self.from = now;
    }

    /// Notes that the last job has come.
    pub(super) fn end(&mut self, now: u64) {
        self.until = now;
    }

    pub(super) fn arrived(&mut self, job: &SimJob, key: Option<u64>, accepted: bool) {
        let measured = self.from != u64::MAX;
        self.refused += u64::from(measured && !accepted);
        if let Some(class) = self.classes.get_mut(job.class) {
            class.refused += u64::from(measured && !accepted);
        }
        if let Some(key) = key.filter(|_| measured || accepted) {
            self.keys.entry(key).or_default().demand += u128::from(job.service);
        }
    }

    pub(super) fn started(&mut self, worker: usize, running: &Running) {
        if let Some(starts) = &mut self.starts {
            starts.push(Start {
                job: running.job.number + 1,
                worker,
                at: seconds(running.started),
            });
        }
    }

    pub(super) fn finished(&mut self, worker: usize, running: &Running, now: u64) {
        let job = &running.job;
        let began = running.started.max(self.from);
        self.busy[worker] += now.min(self.until).saturating_sub(began);
        let key = running.key.map(|key| self.keys.entry(key).or_default());
        let measured = job.number >= self.from_number;
        let (wait, sojourn) = (running.started - job.arrived, now - job.arrived);
        let slowdown = (u128::from(sojourn) * 1_000_000_000).checked_div(job.service.into());
        let slowdown = slowdown.map(|slowdown| u64::try_from(slowdown).unwrap_or(u64::MAX));
        if measured {
            self.waits.push(wait);
            self.sojourns.push(sojourn);
            self.slowdowns.extend(slowdown);
            self.per_worker[worker] += 1;
            let (deadlines, missed) = match running.late {
                Some(late) => (1, u64::from(late)),
                None => (0, 0),
            };
            self.deadlines += deadlines;
            self.missed += missed;
            if let Some(class) = self.classes.get_mut(job.class) {
                class.waits.push(wait);
                class.sojourns.push(sojourn);
                class.deadlines += deadlines;
                class.missed += missed;
            }
        }
        let Some(key) = key else { return };
        if now < self.from {
            // The job is over before the figures begin.
            key.demand -= u128::from(job.service);
        } else if now <= self.until {
            key.work += u128::from(job.service);
        }
        if measured {
            key.jobs += 1;
            key.wait += u128::from(wait);
            key.sojourn += u128::from(sojourn);
            key.slowdown += u128::from(slowdown.unwrap_or(0));
        }
    }

    pub(super) fn report(self, mean_service: f64, lost: u64, faults: u64) -> Report {
        let window = self.until.saturating_sub(self.from).max(1) as f64;
        let busy: Vec<f64> = self.busy.iter().map(|&busy| busy as f64 / window).collect();
        let mut keys: Vec<_> = self
            .keys
            .into_iter()
            .map(|(key, tally)| tally.report(key))
            .collect();
        keys.sort_unstable_by_key(|key| key.key);
        Report {
            jobs: self.waits.len() as u64,
            wait: Distribution::new(self.waits),
            sojourn: Distribution::new(self.sojourns),
            slowdown: Distribution::new(self.slowdowns),
            refused: self.refused,
            lost,
            faults,
            deadlines: self.deadlines,
            missed: self.missed,
            utilisation: busy.iter().sum::<f64>() / busy.len() as f64,
            per_worker: self.per_worker,
            busy,
            keys,
            classes: self.classes.into_iter().map(ClassTally::report).collect(),
            mean_service,
            starts: self.starts.unwrap_or_default(),
        }
    }
}

impl KeyTally {
    fn report(&self, key: u64) -> KeyReport {
        let mean = |sum: u128| sum as f64 / self.jobs.max(1) as f64 * 1e-9;
        KeyReport {
            key,
            jobs: self.jobs,
            mean_wait: mean(self.wait),
            mean_sojourn: mean(self.sojourn),
            mean_slowdown: mean(self.slowdown),
            work: self.work as f64 * 1e-9,
            demand: self.demand as f64 * 1e-9,
        }
    }
}

impl ClassTally {
    fn report(self) -> ClassReport {
        ClassReport {
            priority: self.priority,
            jobs: self.waits.len() as u64,
            wait: Distribution::new(self.waits),
            sojourn: Distribution::new(self.sojourns),
            refused: self.refused,
            deadlines: self.deadlines,
            missed: self.missed,
        }
    }
}
