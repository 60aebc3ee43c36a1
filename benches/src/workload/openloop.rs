//! Requests that come by a schedule, as they do from outside: whether those before them are answered or
//! not.

use super::Workload;
use crate::clock::{Moment, Others, Span};
use crate::contender::About;
use crate::contender::serving::{Channel, Factory, Fanpool, Serving, Spawn, Tower, Unlimited};
use crate::report::Reading;
use crate::report::{Grid, disturbed_by, is_disturbing, words};
use crate::requests::{Bimodal, Requests, Schedule, Served};
use crate::runtime::{Runtime, Tokio};
use crate::section::{Bar, Limit, Section};
use crate::stats::Quartiles;
use clap::Args;
use fanpool::sim::{Arrivals, Distribution, Recorded, Simulation, Trace};
use hdrhistogram::Histogram;
use std::sync::Arc;
use std::time::Duration;

const SERVICE: Bimodal = Bimodal {
    short: Duration::from_millis(1),
    long: Duration::from_millis(100),
    part_long: 0.01,
};

/// Threads of the executor.
const THREADS: usize = 2;

/// This part of a run comes before what counts, so that queues are as long as they will be.
const WARM_UP: f64 = 0.2;

/// A p99 that is less than this part of another one is behind it. One seed's is good for 0.1 %, by the
/// histogram's digits, but which requests come first at the same moment varies from run to run.
const TIE: f64 = 0.99;

/// A machine that stood still for longer has spoilt the run, which is then repeated.
const STANDSTILL: Duration = Duration::from_millis(50);

const METHOD: &str = "\
A thread gives each request to the contender at its time, by a schedule drawn before (a Poisson process), \
and waits for no answer. A request takes 1 ms (99 of 100) or 100 ms; a worker serves it by waiting for a \
timer of async-io, for those of tokio make 2 ms of 1 ms. A sojourn is counted from the moment at which a \
request was *to come*, so that whoever takes it late has that counted against him. The load is the rate \
times the mean time that serving takes with nobody waiting (measured before, as timers are late), over the \
number of workers. All contenders get the same schedules, one for each seed, in turn; the first fifth of \
each is not counted. A run during which the thread with the schedule slept 50 ms too long, because the whole \
machine stood still, is repeated. Percentiles are of all seeds together, ratios of each seed's p99. The last row is the \
simulator: one queue for all workers, at no cost, with the arrivals and the service times that fanpool had. \
All contenders serve from one queue in order of arrival, so in theory they are level, and this is what they could reach \
at most. *wait* is the sojourn without the service.";

#[derive(Args)]
pub struct Arguments {
    /// Requests that are served at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    workers: u32,

    /// The work that comes as a part of what all workers can do
    #[arg(long = "load", value_delimiter = ',', default_value = "0.7,0.9")]
    loads: Vec<f64>,

    /// For how long requests come in each run
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,

    /// Schedules
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,

    /// Only contenders whose names begin with this; for a profiler
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
}

impl Workload for Arguments {
    fn measure(&self) -> Section {
        let mut section = Section::new("Requests that come by themselves", METHOD);
        let abouts: Vec<About> = contenders().into_iter().map(|one| one.0).collect();
        section.grids.push(Grid::contenders(&abouts));
        for &load in &self.loads {
            let others = Others::watch();
            let late = self.lateness(load);
            let mean = SERVICE.mean() + late;
            let rate = load * f64::from(self.workers) / mean.as_secs_f64();
            let rows = self.runs(rate);
            let others = others.cores();
            let mut grid = self.grid(load, &rows);
            grid.remarks.push(format!(
                "{rate:.0} requests a second: serving one takes {:.2} ms on average",
                mean.as_secs_f64() * 1e3
            ));
            grid.remarks.extend(disturbed_by(others));
            section.grids.push(grid);
            section.bars.push(bar(load, &rows, is_disturbing(others)));
        }
        section
    }

    fn shrink(&mut self) {
        self.workers = 8;
        self.seconds = 0.3;
        self.seeds = 2;
    }
}

/// What one contender came to.
struct Row {
    name: &'static str,
    about: Option<About>,
    sojourns: Histogram<u64>,
    waits: Histogram<u64>,
    /// Nanoseconds, one for each seed.
    p99: Vec<f64>,
    /// The part of the time that a worker was busy, one for each seed.
    busy: Vec<f64>,
    cores: Vec<f64>,
    /// How late requests were given to it.
    late: Histogram<u64>,
}

type Run = fn(&Schedule, usize) -> (Arc<Requests>, Span);

impl Arguments {
    /// How much longer than planned serving takes at this load when nobody waits for anything.
    fn lateness(&self, load: f64) -> Duration {
        let rate = load * f64::from(self.workers) / SERVICE.mean().as_secs_f64();
        let schedule = Schedule::poisson(rate, self.lasts(), SERVICE, 0);
        let (requests, _) = run::<Unlimited>(&schedule, 0);
        let late = |one: Served| one.service().saturating_sub(one.planned.service);
        let sum: Duration = requests.served().map(late).sum();
        sum / schedule.0.len().max(1) as u32
    }

    /// Every contender with every seed, in turn; then the simulator.
    fn runs(&self, rate: f64) -> Vec<Row> {
        let contenders: Vec<(About, Run)> = contenders()
            .into_iter()
            .filter(|(about, _)| {
                let mut only = self.only.iter();
                self.only.is_empty() || only.any(|name| about.name.starts_with(name))
            })
            .collect();
        let mut rows: Vec<Row> = contenders.iter().map(|one| Row::new(Some(one.0))).collect();
        let mut simulated = Row::new(None);
        for seed in 1..=self.seeds {
            let schedule = Schedule::poisson(rate, self.lasts(), SERVICE, seed.into());
            for (at, ((_, run), row)) in contenders.iter().zip(&mut rows).enumerate() {
                let (requests, span) = run(&schedule, self.workers as usize);
                let served: Vec<Served> = requests.served().collect();
                row.take(&served[self.warm_up(&served)..], self.workers, span);
                if at == 0 {
                    simulated.simulate(&served, self.warm_up(&served), self.workers);
                }
            }
        }
        rows.push(simulated);
        rows
    }

    fn lasts(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// How many of these are not counted.
    fn warm_up(&self, served: &[Served]) -> usize {
        let from = self.lasts().mul_f64(WARM_UP);
        served.partition_point(|one| one.planned.arrival < from)
    }

    fn grid(&self, load: f64, rows: &[Row]) -> Grid {
        let base = &rows[0];
        let columns = [
            "contender",
            "p50, ms",
            "p99, ms",
            "p99.9, ms",
            "wait p99, ms",
            &format!("p99 vs {}", base.name),
            "quartiles",
            "busy",
            "cores",
            "",
        ];
        let title = format!(
            "open loop, load {load}, {} workers, {} runs of {} s",
            self.workers, self.seeds, self.seconds
        );
        let mut grid = Grid::new(title, &columns);
        for row in rows {
            let milliseconds = |times: &Histogram<u64>, quantile| {
                let value = times.value_at_quantile(quantile);
                format!("{:.2}", value as f64 / 1e6)
            };
            let ratio = Quartiles::of_ratios(&row.p99, &base.p99);
            let (median, quartiles) = if std::ptr::eq(row, base) {
                (String::new(), String::new())
            } else {
                (
                    format!("{:.3}x", ratio.median),
                    format!("{:.3} to {:.3}", ratio.lower, ratio.upper),
                )
            };
            let notes = row.about.map_or(&[][..], |about| about.notes);
            let median_of = |figures: &[f64]| match figures {
                [] => String::new(),
                figures => format!("{:.2}", Quartiles::of(figures).median),
            };
            grid.rows.push(vec![
                row.name.to_owned(),
                milliseconds(&row.sojourns, 0.5),
                milliseconds(&row.sojourns, 0.99),
                milliseconds(&row.sojourns, 0.999),
                milliseconds(&row.waits, 0.99),
                median,
                quartiles,
                median_of(&row.busy),
                median_of(&row.cores),
                words(notes),
            ]);
        }
        let late = base.late.value_at_quantile(0.99) as f64 / 1e6;
        grid.remarks.push(format!(
            "99 of 100 requests were given to {} within {late:.2} ms of their time",
            base.name
        ));
        grid
    }
}

impl Row {
    fn new(about: Option<About>) -> Self {
        let histogram = || Histogram::new(3).expect("3 digits are allowed");
        Row {
            name: about.map_or("single queue, simulated", |about| about.name),
            about,
            sojourns: histogram(),
            waits: histogram(),
            p99: Vec::new(),
            busy: Vec::new(),
            cores: Vec::new(),
            late: histogram(),
        }
    }

    fn take(&mut self, served: &[Served], workers: u32, span: Span) {
        self.note(served.iter().map(Served::sojourn));
        for one in served {
            record(&mut self.waits, one.wait());
            let late = one.taken.saturating_sub(one.planned.arrival);
            record(&mut self.late, late);
        }
        if let (Some(first), Some(last)) = (served.first(), served.last()) {
            let work: Duration = served.iter().map(Served::service).sum();
            let time = last.planned.arrival - first.planned.arrival;
            self.busy
                .push(work.as_secs_f64() / time.as_secs_f64() / f64::from(workers));
        }
        self.cores
            .push(span.cpu.as_secs_f64() / span.wall.as_secs_f64());
    }

    /// The same arrivals and service times, in one queue that costs nothing.
    fn simulate(&mut self, served: &[Served], warm_up: usize, workers: u32) {
        let jobs = served.iter().map(|one| {
            Recorded::new(
                one.planned.arrival.as_secs_f64(),
                one.service().as_secs_f64(),
            )
        });
        let trace = Trace::new(jobs).expect("a schedule is in order");
        let report = Simulation::new()
            .workers(workers as usize)
            .arrivals(Arrivals::trace(&trace))
            .warm_up(warm_up as u64)
            .run()
            .expect("the settings are allowed");
        self.note(all(&report.sojourn));
        for wait in all(&report.wait) {
            record(&mut self.waits, wait);
        }
    }

    /// One seed's sojourns.
    fn note(&mut self, sojourns: impl Iterator<Item = Duration>) {
        let mut one = Histogram::<u64>::new(3).expect("3 digits are allowed");
        for time in sojourns {
            record(&mut one, time);
        }
        self.p99.push(one.value_at_quantile(0.99) as f64);
        self.sojourns += one;
    }
}

/// The histograms grow.
fn record(to: &mut Histogram<u64>, time: Duration) {
    to.record(time.as_nanos() as u64)
        .expect("it grows to hold any value");
}

/// One after the other, as they are in a distribution.
fn all(distribution: &Distribution) -> impl Iterator<Item = Duration> {
    let count = distribution.count();
    (1..=count).map(move |rank| {
        let percent = 100.0 * (rank as f64 - 0.5) / count as f64;
        Duration::from_secs_f64(distribution.percentile(percent))
    })
}

/// fanpool first.
fn contenders() -> Vec<(About, Run)> {
    fn one<C: Serving>() -> (About, Run) {
        (C::ABOUT, run::<C>)
    }
    vec![
        one::<Fanpool>(),
        one::<Spawn>(),
        one::<Channel>(),
        one::<Tower>(),
        one::<Factory>(),
    ]
}

fn run<C: Serving>(schedule: &Schedule, width: usize) -> (Arc<Requests>, Span) {
    loop {
        let (runtime, running) = Tokio::start(THREADS);
        let requests = Arc::new(Requests::soon(schedule));
        let mut contender = C::build(&runtime, width, &requests);
        let begun = Moment::now();
        let overslept = requests.play(C::ABOUT.name, |number| contender.take(number));
        let span = Moment::now().since(begun);
        contender.shut_down();
        running.end();
        if overslept < STANDSTILL {
            return (requests, span);
        }
        eprintln!("the machine stood still for {overslept:?}: once more");
    }
}

/// Of the peer that comes nearest.
fn bar(load: f64, rows: &[Row], doubtful: bool) -> Bar {
    let base = &rows[0];
    let peers = rows[1..].iter().filter(|row| row.about.is_some());
    let nearest = peers
        .map(|row| (Quartiles::of_ratios(&row.p99, &base.p99).median, row.name))
        .min_by(|(a, _), (b, _)| a.total_cmp(b));
    Bar {
        what: format!("open loop, load {load}: p99 of every peer, as a multiple of fanpool's"),
        limit: Limit::AtLeast(TIE),
        unit: "x",
        reading: nearest.map(|(figure, name)| Reading {
            figure,
            against: name.to_owned(),
            doubtful,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments() -> Arguments {
        Arguments {
            workers: 4,
            loads: vec![0.5],
            seconds: 0.3,
            seeds: 1,
            only: Vec::new(),
        }
    }

    #[test]
    fn every_contender_serves_every_request_once_and_no_more_at_once_than_it_may() {
        let schedule = Schedule::poisson(3000.0, Duration::from_millis(200), SERVICE, 3);
        for (about, run) in contenders() {
            let (requests, _) = run(&schedule, 4);
            let served: Vec<Served> = requests.served().collect();
            assert_eq!(served.len(), schedule.0.len());
            let mut changes: Vec<(Duration, i32)> = Vec::new();
            for one in &served {
                assert!(
                    one.service() >= one.planned.service,
                    "{}: {one:?}",
                    about.name
                );
                assert!(one.sojourn() >= one.service());
                changes.extend([(one.started, 1), (one.ended, -1)]);
            }
            // Ends before starts at the same moment.
            changes.sort();
            let mut at_once = 0;
            for (_, change) in changes {
                at_once += change;
                assert!(at_once <= 4, "{}", about.name);
            }
        }
    }

    #[test]
    fn the_simulator_has_no_more_than_what_was_measured() {
        let rows = arguments().runs(400.0);
        let [fanpool, .., simulated] = &rows[..] else {
            panic!("rows");
        };
        assert_eq!(simulated.sojourns.len(), fanpool.sojourns.len());
        let p99 = |row: &Row| row.sojourns.value_at_quantile(0.99) as f64;
        assert!(p99(simulated) <= p99(fanpool) * 1.01);
        for row in &rows {
            let p50 = row.sojourns.value_at_quantile(0.5) as f64;
            assert!((1e6..1e8).contains(&p50), "{}: {p50}", row.name);
        }
    }
}
