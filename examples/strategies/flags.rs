//! What is simulated: the flags, and a simulation made from them.

use crate::order::Order;
use crate::parse::{Shares, classes, depth, keys, workers};
use crate::plot_of::PlotOf;
use clap::{Parser, ValueEnum};
use fanpool::sim::{
    Arrivals, Classes, Deadline, Depth, Keys, Recorded, Service, SimError, SimJob, Simulation,
    Trace,
};
use fanpool::{
    Any, BuildError, Dispatcher, KeyAffinity, LeastBusy, Random, RoundRobin, TwoChoices, Weighted,
};
use std::path::PathBuf;

/// Compare dispatching strategies and queue orders on a simulated workload. Times are in units of the mean service time.
#[derive(Parser, Debug)]
pub(crate) struct Flags {
    /// The strategy; may be given several times. All, if none is.
    #[arg(long, value_enum)]
    strategy: Vec<Strategy>,
    /// How many workers `two-choices` draws.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    choices: u32,
    /// How many jobs are bound to a worker ahead: a number, or `unbounded`, which binds at arrival.
    #[arg(long, default_value = "4", value_parser = depth)]
    depth: Depth,
    /// The number of workers.
    #[arg(long, default_value_t = 16, value_parser = workers)]
    workers: usize,
    /// The work that comes as a fraction of what all workers can do; several, separated by commas. A trace is
    /// played as it is if none is given.
    #[arg(long, value_delimiter = ',')]
    load: Vec<f64>,
    /// `poisson`, `deterministic`, `bursty:ON,OFF` (mean times on and off) or `trace:FILE`.
    #[arg(long, default_value = "poisson")]
    arrivals: String,
    /// `exponential`, `deterministic`, `bimodal:1,0.9,20,0.1` (length, probability, length, probability),
    /// `pareto:2.5` (shape) or `trace:FILE`. Default: the trace's, or else exponential.
    #[arg(long)]
    service: Option<String>,
    /// How many jobs are measured. Half as many come before them, to warm up; of a trace, none do.
    #[arg(long, default_value_t = 200_000)]
    jobs: u64,
    /// How many jobs warm up, instead.
    #[arg(long)]
    warm_up: Option<u64>,
    /// For the workload, and for the strategies that draw.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The workers' speeds, separated by commas; repeated in turn when there are more workers. Default 1.
    #[arg(long, value_delimiter = ',')]
    speeds: Vec<f64>,
    /// The weights of `weighted`, separated by commas; repeated in turn. Default 1.
    #[arg(long, value_delimiter = ',')]
    weights: Vec<u32>,
    /// To how many keys jobs belong, and how unequal their shares are: `N`, `N:zipf` (exponent 1),
    /// `N:EXPONENT`, or the shares themselves, separated by commas.
    #[arg(long, value_parser = keys)]
    keys: Option<Keys>,
    /// The order in which waiting jobs leave the queue; may be given several times. `fifo`, `lifo`,
    /// `adaptive-lifo[:THRESHOLD]` (newest first while more than 100 wait, or so many), `fair-share`,
    /// `priority[:AGEING]` (a job gains a level for each so many that come after it) or
    /// `earliest-deadline`.
    #[arg(long, default_value = "fifo")]
    order: Vec<Order>,
    /// How many classes of jobs there are, which differ in urgency: `N` with equal shares, or the shares
    /// themselves, separated by commas. Default: one, if there are priorities or deadlines.
    #[arg(long, value_parser = classes)]
    classes: Option<Shares>,
    /// The classes' priorities, separated by commas; repeated in turn. The higher, the more urgent.
    /// Default 0.
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true)]
    priorities: Vec<i32>,
    /// The classes' deadlines, separated by commas; repeated in turn. How long after its arrival a job
    /// should have started: `5`, `2..20` (drawn for each job) or `none`. In the unit of the service times,
    /// whose mean is 1 unless they are bimodal or recorded. Default `none`.
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true)]
    deadlines: Vec<Deadline>,
    /// The queue's capacity in jobs: an arrival that finds it full is refused. Default: no bound.
    #[arg(long)]
    capacity: Option<u64>,
    /// A table for people, or one JSON object for each run, one a line.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Write a plot against the load to this SVG file.
    #[arg(long)]
    pub(crate) plot: Option<PathBuf>,
    /// What the plot shows.
    #[arg(long, value_enum, default_value_t = PlotOf::P99)]
    pub(crate) plot_of: PlotOf,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
pub(crate) enum Format {
    Table,
    Json,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
pub(crate) enum Strategy {
    Any,
    RoundRobin,
    LeastBusy,
    TwoChoices,
    Random,
    Weighted,
    KeyAffinity,
}

/// What is the same for all strategies and loads; traces are read once.
pub(crate) struct Workload {
    arrivals: Arrivals,
    service: Option<Service>,
    recorded: Option<Trace>,
    classes: Option<Classes>,
}

impl Flags {
    pub(crate) fn workload(&self) -> Result<Workload, SimError> {
        let recorded = self.arrivals.strip_prefix("trace:");
        let recorded = recorded.map(Trace::read).transpose()?;
        let arrivals = match &recorded {
            Some(trace) => Arrivals::trace(trace),
            None => self.arrivals.parse()?,
        };
        let service = match self.service.as_deref() {
            None => None,
            Some(text) => Some(match text.strip_prefix("trace:") {
                Some(path) => Service::trace(&Trace::read(path)?),
                None => text.parse()?,
            }),
        };
        Ok(Workload {
            arrivals,
            service,
            recorded,
            classes: self.classes(),
        })
    }

    fn classes(&self) -> Option<Classes> {
        if !self.has_classes() {
            return None;
        }
        let shares = self.shares();
        // All that were given, so that too many are told.
        let count = |given: usize| given.max(shares.len());
        let priorities = in_turn(&self.priorities, count(self.priorities.len()), 0);
        let deadlines = in_turn(
            &self.deadlines,
            count(self.deadlines.len()),
            Deadline::none(),
        );
        let classes = Classes::shares(shares).priorities(priorities);
        Some(classes.deadlines(deadlines))
    }

    fn has_classes(&self) -> bool {
        self.classes.is_some() || !self.priorities.is_empty() || !self.deadlines.is_empty()
    }

    fn shares(&self) -> &[f64] {
        self.classes.as_ref().map_or(&[1.0], |shares| &shares.0)
    }

    /// What each class is, for people.
    pub(crate) fn legend(&self) -> Vec<String> {
        if !self.has_classes() {
            return Vec::new();
        }
        let shares = self.shares();
        let all: f64 = shares.iter().sum();
        let priorities = in_turn(&self.priorities, shares.len(), 0);
        let deadlines = in_turn(&self.deadlines, shares.len(), Deadline::none());
        let line = |class: usize| {
            let (priority, deadline) = (priorities[class], deadlines[class]);
            let whose = match shares.len() {
                1 => "all jobs".to_owned(),
                _ => {
                    let percent = (1000.0 * shares[class] / all).round() / 10.0;
                    format!("class {class}: {percent} % of the jobs")
                }
            };
            format!("{whose}, priority {priority}, deadline {deadline}")
        };
        (0..shares.len()).map(line).collect()
    }

    /// That no run is in vain: orders that look at what no job has, plots of it.
    pub(crate) fn check(&self, workload: &Workload) -> Result<(), String> {
        let recorded = |has: fn(&Recorded) -> bool| {
            let trace = workload.recorded.as_ref();
            trace.is_some_and(|trace| trace.jobs().iter().any(has))
        };
        // Classes and keys replace what is recorded.
        let deadlines = match self.has_classes() {
            true => self.deadlines.iter().any(|of| *of != Deadline::none()),
            false => self.keys.is_none() && recorded(|job| job.deadline.is_some()),
        };
        let priorities = match self.has_classes() {
            true => in_turn(&self.priorities, self.shares().len(), 0)
                .windows(2)
                .any(|two| two[0] != two[1]),
            false => self.keys.is_none() && recorded(|job| job.priority != 0),
        };
        let keys = self.keys.is_some() || recorded(|job| job.key.is_some());
        for order in &self.order {
            match order {
                Order::Priority(_) if !priorities => {
                    return Err(format!(
                        "--order {order} needs jobs of unequal priority, such as --classes 1,9 --priorities 1,0"
                    ));
                }
                Order::EarliestDeadline if !deadlines => {
                    return Err(format!(
                        "--order {order} needs jobs with deadlines, such as --deadlines 2..20"
                    ));
                }
                _ => {}
            }
        }
        if self.plot.is_none() {
            return Ok(());
        }
        let name = name_of(&self.plot_of);
        match self.plot_of {
            PlotOf::KeyMean if !keys => Err(format!("--plot-of {name} needs --keys")),
            PlotOf::ClassMean | PlotOf::ClassP99 if !self.has_classes() => {
                Err(format!("--plot-of {name} needs --classes"))
            }
            PlotOf::Missed if !deadlines => Err(format!("--plot-of {name} needs --deadlines")),
            _ => Ok(()),
        }
    }

    pub(crate) fn strategies(&self) -> Vec<Strategy> {
        if self.strategy.is_empty() {
            Strategy::value_variants().to_vec()
        } else {
            self.strategy.clone()
        }
    }

    pub(crate) fn orders(&self) -> &[Order] {
        &self.order
    }

    /// `None`: as a trace has it.
    pub(crate) fn loads(&self, workload: &Workload) -> Vec<Option<f64>> {
        match (self.load.is_empty(), workload.recorded.is_some()) {
            (false, _) => self.load.iter().copied().map(Some).collect(),
            (true, true) => vec![None],
            (true, false) => [0.5, 0.7, 0.8, 0.9, 0.95].map(Some).to_vec(),
        }
    }

    /// A strategy's name, with what it was given.
    pub(crate) fn label(&self, strategy: Strategy) -> String {
        let name = name_of(&strategy);
        match strategy {
            Strategy::TwoChoices if self.choices != 2 => format!("{name} ({})", self.choices),
            _ => name,
        }
    }

    pub(crate) fn title(&self) -> String {
        let service = self.service.as_deref().unwrap_or("exponential");
        let service = if self.service.is_none() && self.arrivals.starts_with("trace:") {
            "recorded"
        } else {
            service
        };
        format!(
            "{} workers, {} arrivals, {service} service",
            self.workers, self.arrivals
        )
    }

    pub(crate) fn simulation(
        &self,
        workload: &Workload,
        strategy: Strategy,
        order: Order,
        load: Option<f64>,
    ) -> Result<Simulation, Box<dyn std::error::Error>> {
        let mut simulation = Simulation::new()
            .workers(self.workers)
            .depth(self.depth)
            .arrivals(workload.arrivals.clone())
            .jobs(self.jobs)
            .seed(self.seed);
        if let Some(load) = load {
            simulation = simulation.load(load);
        }
        if let Some(service) = &workload.service {
            simulation = simulation.service(service.clone());
        }
        if let Some(keys) = &self.keys {
            simulation = simulation.keys(keys.clone());
        }
        if let Some(classes) = &workload.classes {
            simulation = simulation.classes(classes.clone());
        }
        if let Some(capacity) = self.capacity {
            simulation = simulation.capacity(capacity);
        }
        if let Some(warm_up) = self.warm_up {
            simulation = simulation.warm_up(warm_up);
        }
        if !self.speeds.is_empty() {
            simulation = simulation.speeds(in_turn(&self.speeds, self.workers, 1.0));
        }
        // Made once here, so that what is wrong with its settings is told.
        let settings = Settings {
            strategy,
            choices: self.choices as usize,
            weights: in_turn(&self.weights, self.workers, 1),
            seed: self.seed,
        };
        settings.make()?;
        Ok(simulation
            .dispatcher(move || settings.make().expect("it was made before"))
            .queue_order(move || order.make()))
    }
}

/// What a strategy is made of.
struct Settings {
    strategy: Strategy,
    choices: usize,
    weights: Vec<u32>,
    seed: u64,
}

impl Settings {
    fn make(&self) -> Result<Box<dyn Dispatcher<SimJob>>, BuildError> {
        Ok(match self.strategy {
            Strategy::Any => Box::new(Any::new()),
            Strategy::RoundRobin => Box::new(RoundRobin::new()),
            Strategy::LeastBusy => Box::new(LeastBusy::new()),
            Strategy::TwoChoices => Box::new(TwoChoices::new(self.seed).choices(self.choices)),
            Strategy::Random => Box::new(Random::new(self.seed)),
            Strategy::Weighted => Box::new(Weighted::new(self.weights.clone())?),
            Strategy::KeyAffinity => Box::new(KeyAffinity::new()),
        })
    }
}

fn name_of(of: &impl ValueEnum) -> String {
    of.to_possible_value()
        .map_or_else(String::new, |value| value.get_name().to_owned())
}

fn in_turn<T: Copy>(given: &[T], count: usize, default: T) -> Vec<T> {
    if given.is_empty() {
        return vec![default; count];
    }
    given.iter().copied().cycle().take(count).collect()
}
