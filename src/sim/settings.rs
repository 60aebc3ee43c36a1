//! The settings of a simulation.

use super::{Arrivals, Classes, Keys, Report, Service, SimError, SimJob, run};
use crate::desk::{INBOX_DEPTH, MAX_INBOX_DEPTH};
use crate::dispatcher::{Any, Dispatcher};
use crate::error::BuildError;
use crate::queue_order::{Fifo, QueueOrder};
use std::fmt;

const MAX_WORKERS: usize = 1 << 20;
const MAX_JOBS: u64 = 1 << 40;

/// A simulation to be run.
///
/// | setting | default |
/// |---|---|
/// | [`workers`](Self::workers) | 1, or as many as there are speeds |
/// | [`speeds`](Self::speeds) | 1 each |
/// | [`dispatcher`](Self::dispatcher) | [`Any`] |
/// | [`queue_order`](Self::queue_order) | [`Fifo`] |
/// | [`depth`](Self::depth) | 4 jobs, as a pool's |
/// | [`capacity`](Self::capacity) | no bound |
/// | [`arrivals`](Self::arrivals) | Poisson |
/// | [`load`](Self::load) or [`rate`](Self::rate) | load 0.8; a trace is played as it is |
/// | [`service`](Self::service) | exponential with mean 1; a trace's own |
/// | [`keys`](Self::keys) | none; a trace's own |
/// | [`classes`](Self::classes) | none: no priorities or deadlines but those of the keys or a trace |
/// | [`jobs`](Self::jobs) | 100 000; all of a trace |
/// | [`warm_up`](Self::warm_up) | half as many as `jobs`, before them; none for a trace |
/// | [`seed`](Self::seed) | 0 |
/// | [`log_starts`](Self::log_starts) | no |
#[must_use = "a simulation does nothing until it is run"]
pub struct Simulation {
    workers: Option<usize>,
    speeds: Option<Vec<f64>>,
    pub(super) strategy: Box<dyn Fn() -> Box<dyn Dispatcher<SimJob>>>,
    pub(super) order: Box<dyn Fn() -> Box<dyn QueueOrder<SimJob>>>,
    pub(super) depth: Depth,
    pub(super) capacity: u64,
    pub(super) arrivals: Arrivals,
    pace: Pace,
    service: Option<Service>,
    pub(super) keys: Option<Keys>,
    pub(super) classes: Option<Classes>,
    jobs: Option<u64>,
    warm_up: Option<u64>,
    pub(super) seed: u64,
    pub(super) log_starts: bool,
}

/// How many jobs are bound to a worker ahead at most: see [`inbox_depth`](crate::PoolBuilder::inbox_depth).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// This many; other jobs wait in the common queue until a worker has room.
    Jobs(usize),
    /// Each job is bound when it arrives, as the classical models assume.
    Unbounded,
}

impl Depth {
    pub(super) fn jobs(self) -> usize {
        match self {
            Depth::Jobs(jobs) => jobs,
            Depth::Unbounded => MAX_INBOX_DEPTH,
        }
    }
}

/// How fast jobs come.
#[derive(Debug, Clone, Copy)]
enum Pace {
    Default,
    Load(f64),
    Rate(f64),
}

impl Default for Simulation {
    fn default() -> Self {
        Simulation::new()
    }
}

impl Simulation {
    /// Creates a simulation with the defaults above.
    pub fn new() -> Self {
        Simulation {
            workers: None,
            speeds: None,
            strategy: Box::new(|| Box::new(Any::new())),
            order: Box::new(|| Box::new(Fifo::new())),
            depth: Depth::Jobs(INBOX_DEPTH),
            capacity: u64::MAX,
            arrivals: Arrivals::poisson(),
            pace: Pace::Default,
            service: None,
            keys: None,
            classes: None,
            jobs: None,
            warm_up: None,
            seed: 0,
            log_starts: false,
        }
    }

    /// Sets the number of workers.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = Some(count);
        self
    }

    /// Sets each worker's speed: a worker of speed 2 runs a job in half its time.
    pub fn speeds(mut self, speeds: impl Into<Vec<f64>>) -> Self {
        self.speeds = Some(speeds.into());
        self
    }

    /// Sets the strategy. `make` is called once per [`run`](Self::run).
    pub fn dispatcher<D: Dispatcher<SimJob>>(mut self, make: impl Fn() -> D + 'static) -> Self {
        self.strategy = Box::new(move || Box::new(make()));
        self
    }

    /// Sets the order in which waiting jobs leave the queue. `make` is called once per [`run`](Self::run).
    pub fn queue_order<Q: QueueOrder<SimJob>>(mut self, make: impl Fn() -> Q + 'static) -> Self {
        self.order = Box::new(move || Box::new(make()));
        self
    }

    /// Sets how many jobs are bound to a worker ahead at most.
    pub fn depth(mut self, depth: Depth) -> Self {
        self.depth = depth;
        self
    }

    /// Sets the queue's capacity, in units of the jobs' weight (1 by default). A job that finds too little room is
    /// refused, as by [`try_send`](crate::Submitter::try_send), and counted in [`Report::refused`]; so is a job whose
    /// key has reached the order's [`key_bound`](QueueOrder::key_bound).
    pub fn capacity(mut self, units: u64) -> Self {
        self.capacity = units;
        self
    }

    /// Sets when jobs come.
    pub fn arrivals(mut self, arrivals: Arrivals) -> Self {
        self.arrivals = arrivals;
        self
    }

    /// Sets how much work comes, as a fraction of what all workers can do. At 1 and above, queues grow as long as the
    /// simulation runs. Replaces [`rate`](Self::rate).
    pub fn load(mut self, load: f64) -> Self {
        self.pace = Pace::Load(load);
        self
    }

    /// Sets how many jobs come per second, on average. Replaces [`load`](Self::load).
    pub fn rate(mut self, jobs: f64) -> Self {
        self.pace = Pace::Rate(jobs);
        self
    }

    /// Sets how long jobs run.
    pub fn service(mut self, service: Service) -> Self {
        self.service = Some(service);
        self
    }

    /// Sets which jobs belong together.
    pub fn keys(mut self, keys: Keys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Sets how urgent jobs are, for orders such as [`Priority`](crate::Priority) and
    /// [`EarliestDeadline`](crate::EarliestDeadline). A job's class is drawn independently of its key. Its priority and
    /// deadline are those of its class, and replace those of its key or a trace.
    pub fn classes(mut self, classes: Classes) -> Self {
        self.classes = Some(classes);
        self
    }

    /// Sets how many jobs are measured. A trace may have fewer.
    pub fn jobs(mut self, count: u64) -> Self {
        self.jobs = Some(count);
        self
    }

    /// Sets how many jobs come before the measured ones and are left out of the figures. The busier the workers, the
    /// longer the pool takes to reach its steady state: at load ρ, some 2/(1 - ρ)² mean service times per worker.
    pub fn warm_up(mut self, jobs: u64) -> Self {
        self.warm_up = Some(jobs);
        self
    }

    /// Sets the seed of the random numbers. (Strategies have seeds of their own.)
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets whether to record in [`Report::starts`] which worker started which job.
    pub fn log_starts(mut self, log: bool) -> Self {
        self.log_starts = log;
        self
    }

    /// Runs the simulation on this thread, until the last job is over.
    ///
    /// # Errors
    ///
    /// Returns [`SimError::Setting`] if a setting is out of range, and [`SimError::TimeOverflow`] if virtual time runs
    /// out.
    ///
    /// Cost: a heap operation in O(log workers) per job, plus the cost of the strategy and the order, and 24 bytes per
    /// measured job. With classes, also an allocation per job and 16 bytes more.
    pub fn run(&self) -> Result<Report, SimError> {
        self.check()?;
        run::run(self, self.jobs_a_second()?)
    }

    fn check(&self) -> Result<(), SimError> {
        self.check_workers()?;
        if !(1..=MAX_INBOX_DEPTH).contains(&self.depth.jobs()) {
            let allowed = format!("1 to {MAX_INBOX_DEPTH}, or unbounded");
            return Err(SimError::setting("depth", self.depth.jobs(), allowed));
        }
        if self.capacity == 0 {
            return Err(SimError::setting("capacity", 0, "1 or more"));
        }
        for (setting, value, least) in [("jobs", self.jobs, 1), ("warm_up", self.warm_up, 0)] {
            if let Some(value) = value.filter(|value| !(least..=MAX_JOBS).contains(value)) {
                let allowed = format!("{least} to {MAX_JOBS}");
                return Err(SimError::setting(setting, value, allowed));
            }
        }
        if let Some(trace) = self.arrivals.recorded() {
            let most = trace.len() as u64 - 1;
            if let Some(value) = self.warm_up.filter(|warm_up| *warm_up > most) {
                let allowed = format!("0 to {most}, since the trace has {} jobs", trace.len());
                return Err(SimError::setting("warm_up", value, allowed));
            }
        }
        self.check_order()?;
        self.arrivals.check()?;
        self.service_of_jobs().check()?;
        self.keys.as_ref().map_or(Ok(()), Keys::check)?;
        self.classes.as_ref().map_or(Ok(()), Classes::check)
    }

    /// Checks the order, as a pool's builder does.
    fn check_order(&self) -> Result<(), SimError> {
        match (self.order)().check() {
            Ok(()) => Ok(()),
            Err(BuildError::Setting {
                setting,
                value,
                allowed,
            }) => Err(SimError::setting(setting, value, allowed)),
            Err(other) => Err(SimError::setting(
                "queue_order",
                other,
                "one that a pool can be built with",
            )),
        }
    }

    fn check_workers(&self) -> Result<(), SimError> {
        let count = self.speed_of_each().len();
        if !(1..=MAX_WORKERS).contains(&count) {
            let allowed = format!("1 to {MAX_WORKERS}");
            return Err(SimError::setting("workers", count, allowed));
        }
        let Some(speeds) = &self.speeds else {
            return Ok(());
        };
        if let Some(workers) = self.workers.filter(|workers| *workers != speeds.len()) {
            let value = format!("a list of {}", speeds.len());
            let allowed = format!("one for each of the {workers} workers");
            return Err(SimError::setting("speeds", value, allowed));
        }
        let wrong = |speed: &&f64| !(1e-6..=1e6).contains(*speed);
        match speeds.iter().find(wrong) {
            Some(speed) => Err(SimError::setting("a worker's speed", speed, "1e-6 to 1e6")),
            None => Ok(()),
        }
    }

    /// Returns how many jobs come per second. `None`: as the trace says.
    fn jobs_a_second(&self) -> Result<Option<f64>, SimError> {
        let recorded = self.arrivals.recorded();
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let of_load =
            |load: f64| load * self.speed_of_each().iter().sum::<f64>() / self.mean_service();
        let (setting, value, rate) = match self.pace {
            Pace::Default if recorded.is_some() => return Ok(None),
            Pace::Default => ("load", 0.8, of_load(0.8)),
            Pace::Load(load) => ("load", load, of_load(load)),
            Pace::Rate(rate) => ("rate", rate, rate),
        };
        if !positive(value) {
            return Err(SimError::setting(setting, value, "above 0"));
        }
        if !positive(rate) {
            let allowed = "above 0, for there to be a load";
            return Err(SimError::setting(
                "the mean service time",
                self.mean_service(),
                allowed,
            ));
        }
        if recorded.is_some_and(|trace| !positive(trace.rate())) {
            let allowed = "none for a trace whose jobs all come at once";
            return Err(SimError::setting(setting, value, allowed));
        }
        Ok(Some(rate))
    }

    pub(super) fn speed_of_each(&self) -> Vec<f64> {
        match &self.speeds {
            Some(speeds) => speeds.clone(),
            None => vec![1.0; self.workers.unwrap_or(1).min(MAX_WORKERS + 1)],
        }
    }

    pub(super) fn service_of_jobs(&self) -> Service {
        match (&self.service, self.arrivals.recorded()) {
            (Some(service), _) => service.clone(),
            (None, Some(trace)) => Service::trace(trace),
            (None, None) => Service::exponential(),
        }
    }

    pub(super) fn mean_service(&self) -> f64 {
        self.service_of_jobs().mean()
    }

    pub(super) fn warm_up_and_jobs(&self) -> (u64, u64) {
        match self.arrivals.recorded() {
            Some(trace) => {
                let warm_up = self.warm_up.unwrap_or(0);
                let left = trace.len() as u64 - warm_up;
                (warm_up, self.jobs.map_or(left, |jobs| jobs.min(left)))
            }
            None => {
                let jobs = self.jobs.unwrap_or(100_000);
                (self.warm_up.unwrap_or(jobs / 2), jobs)
            }
        }
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("workers", &self.workers)
            .field("depth", &self.depth)
            .field("arrivals", &self.arrivals)
            .field("pace", &self.pace)
            .field("service", &self.service)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue_order::{FairShare, Priority};
    use crate::sim::Trace;

    fn refused(simulation: Simulation, parts: [&str; 3]) {
        let error = simulation.jobs(10).run().unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in {error:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_value_and_what_is_allowed() {
        let new = Simulation::new;
        refused(new().workers(0), ["workers", "is 0", "1 to"]);
        refused(new().workers(usize::MAX), ["workers", "is ", "1 to"]);
        refused(new().speeds([1.0, 0.0]), ["speed", "is 0", "1e-6 to 1e6"]);
        refused(new().speeds([f64::NAN]), ["speed", "NaN", "1e-6 to 1e6"]);
        refused(
            new().workers(3).speeds([1.0]),
            ["speeds", "a list of 1", "3 workers"],
        );
        refused(new().depth(Depth::Jobs(0)), ["depth", "is 0", "unbounded"]);
        refused(new().capacity(0), ["capacity", "is 0", "1 or more"]);
        refused(new().load(-0.5), ["load", "-0.5", "above 0"]);
        refused(new().rate(f64::INFINITY), ["rate", "inf", "above 0"]);
        refused(new().keys(Keys::uniform(0)), ["shares", "[]", "above 0"]);
        let three = Classes::uniform(2).priorities([1, 2, 3]);
        refused(new().classes(three), ["priorities", "is 3", "up to 2"]);
        refused(
            new().queue_order(|| Priority::new().ageing(0)),
            ["ageing", "is 0", "1 or more"],
        );
        let idle = Service::bimodal((0.0, 0.5), (0.0, 0.5));
        refused(
            new().service(idle),
            ["mean service time", "is 0", "above 0"],
        );
        let weightless = || FairShare::new().weight(7, 0);
        refused(new().queue_order(weightless), ["weight", "0", "1 "]);
        let at_once = Trace::parse("1,1\n1,1").map(|trace| Arrivals::trace(&trace));
        refused(
            new().arrivals(at_once.unwrap()).load(0.5),
            ["load", "0.5", "at once"],
        );
    }

    #[test]
    fn no_job_at_all_is_refused_by_name() {
        let error = Simulation::new().jobs(0).run().unwrap_err().to_string();
        assert!(error.starts_with("jobs is 0; allowed: 1 to"), "{error}");
    }

    #[test]
    fn a_key_with_its_share_of_the_queue_is_refused_and_others_are_not() {
        // All come at once, to one worker: each key has one job running or two waiting, and no more.
        let trace = Trace::parse("0,1,1\n0,1,1\n0,1,1\n0,1,1\n0,1,2\n0,1\n0,1\n0,1").unwrap();
        let report = Simulation::new()
            .arrivals(Arrivals::trace(&trace))
            .queue_order(|| FairShare::new().key_bound(2))
            .run()
            .unwrap();
        assert_eq!((report.jobs, report.refused), (7, 1));
        let of_key = |key: usize| report.keys[key].jobs;
        assert_eq!((of_key(0), of_key(1)), (3, 1));
    }
}
