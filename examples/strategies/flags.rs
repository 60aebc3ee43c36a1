//! What is simulated: the flags, and a simulation made from them.

use clap::{Parser, ValueEnum};
use fanpool::queue_order::QueueOrder;
use fanpool::sim::{Arrivals, Depth, Keys, Service, SimError, SimJob, Simulation, Trace};
use fanpool::{
    AdaptiveLifo, Any, BuildError, Dispatcher, FairShare, Fifo, KeyAffinity, LeastBusy, Lifo,
    Random, RoundRobin, TwoChoices, Weighted,
};
use std::path::PathBuf;

const MAX_WORKERS: usize = 1 << 20;
const MAX_KEYS: usize = 10_000_000;

/// Compare dispatching strategies on a simulated workload. Times are in units of the mean service time.
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
    /// The order in which waiting jobs leave the queue.
    #[arg(long, value_enum, default_value_t = Order::Fifo)]
    order: Order,
    /// The queue's capacity in jobs: an arrival that finds it full is refused. Default: no bound.
    #[arg(long)]
    capacity: Option<u64>,
    /// A table for people, or one JSON object for each run, one a line.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Write a plot of the 99th percentile against the load to this SVG file.
    #[arg(long)]
    pub(crate) plot: Option<PathBuf>,
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

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Order {
    Fifo,
    Lifo,
    AdaptiveLifo,
    FairShare,
}

/// What is the same for all strategies and loads; traces are read once.
pub(crate) struct Workload {
    arrivals: Arrivals,
    service: Option<Service>,
    recorded: bool,
}

impl Flags {
    pub(crate) fn workload(&self) -> Result<Workload, SimError> {
        let recorded = self.arrivals.strip_prefix("trace:");
        let arrivals = match recorded {
            Some(path) => Arrivals::trace(&Trace::read(path)?),
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
            recorded: recorded.is_some(),
        })
    }

    pub(crate) fn strategies(&self) -> Vec<Strategy> {
        if self.strategy.is_empty() {
            Strategy::value_variants().to_vec()
        } else {
            self.strategy.clone()
        }
    }

    /// `None`: as a trace has it.
    pub(crate) fn loads(&self, workload: &Workload) -> Vec<Option<f64>> {
        match (self.load.is_empty(), workload.recorded) {
            (false, _) => self.load.iter().copied().map(Some).collect(),
            (true, true) => vec![None],
            (true, false) => [0.5, 0.7, 0.8, 0.9, 0.95].map(Some).to_vec(),
        }
    }

    /// A strategy's name, with what it was given.
    pub(crate) fn label(&self, strategy: Strategy) -> String {
        let name = strategy
            .to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned());
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
        let order = self.order;
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

impl Order {
    fn make(self) -> Box<dyn QueueOrder<SimJob>> {
        match self {
            Order::Fifo => Box::new(Fifo::new()),
            Order::Lifo => Box::new(Lifo::new()),
            Order::AdaptiveLifo => Box::new(AdaptiveLifo::new(100)),
            Order::FairShare => Box::new(FairShare::new()),
        }
    }
}

fn in_turn<T: Copy>(given: &[T], count: usize, default: T) -> Vec<T> {
    if given.is_empty() {
        return vec![default; count];
    }
    given.iter().copied().cycle().take(count).collect()
}

fn depth(text: &str) -> Result<Depth, String> {
    if text == "unbounded" {
        return Ok(Depth::Unbounded);
    }
    match text.parse() {
        Ok(jobs) if jobs > 0 => Ok(Depth::Jobs(jobs)),
        _ => Err("allowed is 1 or more jobs, or `unbounded`".to_owned()),
    }
}

fn workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=MAX_WORKERS).contains(&count) => Ok(count),
        _ => Err(format!("allowed is 1 to {MAX_WORKERS}")),
    }
}

fn keys(text: &str) -> Result<Keys, String> {
    let allowed = || "allowed is N, N:zipf, N:EXPONENT, or shares such as 8,1,1".to_owned();
    if text.contains(',') {
        let shares: Result<Vec<f64>, _> = text.split(',').map(str::parse).collect();
        return shares.map(Keys::shares).map_err(|_| allowed());
    }
    let (count, exponent) = text.split_once(':').unwrap_or((text, "0"));
    let count = count.parse().map_err(|_| allowed())?;
    if !(1..=MAX_KEYS).contains(&count) {
        return Err(format!("allowed is 1 to {MAX_KEYS} keys"));
    }
    let exponent = if exponent == "zipf" { "1" } else { exponent };
    match exponent.parse() {
        Ok(exponent) => Ok(Keys::zipf(count, exponent)),
        Err(_) => Err(allowed()),
    }
}
