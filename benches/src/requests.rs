//! Requests that come by a schedule, whether those before them are answered or not.

use smol::Timer;
use std::process;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::*};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Between the making of a run's requests and their first one: for what serves them to be built.
const LEAD: Duration = Duration::from_millis(100);

/// Without any progress for this long, who serves them counts as hung.
const PATIENCE: Duration = Duration::from_secs(30);

/// When requests come and how long each takes to serve.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule(pub Vec<Planned>);

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Planned {
    /// From the beginning.
    pub arrival: Duration,
    pub service: Duration,
}

/// One of two lengths: `short`, but for this part of all `long`.
#[derive(Clone, Copy, Debug)]
pub struct Bimodal {
    pub short: Duration,
    pub long: Duration,
    pub part_long: f64,
}

impl Bimodal {
    pub fn mean(self) -> Duration {
        self.short.mul_f64(1.0 - self.part_long) + self.long.mul_f64(self.part_long)
    }
}

impl Schedule {
    /// A Poisson process with so many requests a second. The same seed makes the same one.
    pub fn poisson(rate: f64, lasts: Duration, service: Bimodal, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut at = 0.0;
        let mut planned = Vec::new();
        loop {
            at += -(1.0 - random.f64()).ln() / rate;
            let arrival = Duration::from_secs_f64(at);
            if arrival >= lasts {
                return Schedule(planned);
            }
            let long = random.f64() < service.part_long;
            let service = if long { service.long } else { service.short };
            planned.push(Planned { arrival, service });
        }
    }
}

/// One run of a schedule: what is to be served, and what came of it.
pub struct Requests {
    begin: Instant,
    planned: Vec<Planned>,
    marks: Vec<Mark>,
    left: AtomicUsize,
    /// Who waits until none is left.
    waits: Thread,
}

/// Nanoseconds from the beginning; each is written once.
#[derive(Default)]
struct Mark {
    taken: AtomicU64,
    started: AtomicU64,
    ended: AtomicU64,
}

/// What became of one request. All times are from the beginning.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    pub planned: Planned,
    /// When it was given to who serves it: later than planned if that one did not take those before it.
    pub taken: Duration,
    pub started: Duration,
    pub ended: Duration,
}

impl Served {
    /// From the moment it was to come, not from that when it was taken.
    pub fn sojourn(&self) -> Duration {
        self.ended.saturating_sub(self.planned.arrival)
    }

    /// The part of the sojourn before the service.
    pub fn wait(&self) -> Duration {
        self.started.saturating_sub(self.planned.arrival)
    }

    /// As it was, not as it was planned.
    pub fn service(&self) -> Duration {
        self.ended - self.started
    }
}

impl Requests {
    /// They begin to come soon; this thread is to [`play`](Self::play) them.
    pub fn soon(schedule: &Schedule) -> Self {
        Requests {
            begin: Instant::now() + LEAD,
            planned: schedule.0.clone(),
            marks: schedule.0.iter().map(|_| Mark::default()).collect(),
            left: AtomicUsize::new(schedule.0.len()),
            waits: thread::current(),
        }
    }

    /// What serving one is: it waits.
    pub async fn serve(&self, number: u32) {
        let at = number as usize;
        self.note(&self.marks[at].started);
        Timer::after(self.planned[at].service).await;
        self.note(&self.marks[at].ended);
        if self.left.fetch_sub(1, AcqRel) == 1 {
            self.waits.unpark();
        }
    }

    /// Has each taken when it comes, or as soon as those before it were taken, and waits until all are
    /// served. Ends the program if `who` hangs. Answers how much too long this thread slept at most: if
    /// that is long, then not because of whoever serves, but because the whole machine stood still.
    pub fn play(&self, who: &str, mut take: impl FnMut(u32)) -> Duration {
        let mut overslept = Duration::ZERO;
        for (at, planned) in self.planned.iter().enumerate() {
            let due = self.begin + planned.arrival;
            let early = due.saturating_duration_since(Instant::now());
            if !early.is_zero() {
                thread::sleep(early);
                overslept = overslept.max(Instant::now() - due);
            }
            self.note(&self.marks[at].taken);
            take(at as u32);
        }
        let mut seen = usize::MAX;
        let mut since = Instant::now();
        loop {
            let left = self.left.load(Acquire);
            if left == 0 {
                return overslept;
            }
            if left != seen {
                (seen, since) = (left, Instant::now());
            } else if since.elapsed() >= PATIENCE {
                eprintln!("{who} hangs: {left} requests are left, none was served in {PATIENCE:?}");
                process::exit(1);
            }
            thread::park_timeout(PATIENCE);
        }
    }

    /// After all were served.
    pub fn served(&self) -> impl Iterator<Item = Served> {
        let time = |mark: &AtomicU64| Duration::from_nanos(mark.load(Relaxed));
        self.planned
            .iter()
            .zip(&self.marks)
            .map(move |(&planned, mark)| Served {
                planned,
                taken: time(&mark.taken),
                started: time(&mark.started),
                ended: time(&mark.ended),
            })
    }

    fn note(&self, mark: &AtomicU64) {
        let now = Instant::now().saturating_duration_since(self.begin);
        mark.store(now.as_nanos() as u64, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: Bimodal = Bimodal {
        short: Duration::from_millis(1),
        long: Duration::from_millis(100),
        part_long: 0.01,
    };

    #[test]
    fn a_schedule_has_its_rate_its_lengths_and_its_seed() {
        let lasts = Duration::from_secs(20);
        let schedule = Schedule::poisson(10_000.0, lasts, SERVICE, 7);
        let count = schedule.0.len() as f64;
        assert!((count / 200_000.0 - 1.0).abs() < 0.02, "{count} requests");
        let long = schedule.0.iter().filter(|one| one.service == SERVICE.long);
        let part = long.count() as f64 / count;
        assert!((part / 0.01 - 1.0).abs() < 0.15, "{part} are long");
        assert!(schedule.0.is_sorted_by_key(|one| one.arrival));
        assert_eq!(SERVICE.mean(), Duration::from_micros(1990));
        // Exponential distances: their standard deviation is their mean.
        let pairs = schedule.0.windows(2);
        let gaps: Vec<f64> = pairs
            .map(|pair| (pair[1].arrival - pair[0].arrival).as_secs_f64())
            .collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02);
        let again = Schedule::poisson(10_000.0, lasts, SERVICE, 7);
        assert_eq!(schedule, again);
        let other = Schedule::poisson(10_000.0, lasts, SERVICE, 8);
        assert_ne!(schedule, other);
    }

    /// Who takes the second one only after the first was served has not omitted the wait for it.
    #[test]
    fn a_sojourn_begins_when_the_request_was_to_come() {
        let planned = |arrival| Planned {
            arrival: Duration::from_millis(arrival),
            service: Duration::from_millis(20),
        };
        let requests = Requests::soon(&Schedule(vec![planned(0), planned(1), planned(2)]));
        requests.play("this test", |number| {
            smol::block_on(requests.serve(number));
        });
        let served: Vec<Served> = requests.served().collect();
        for (one, least) in served.iter().zip([20, 39, 58]) {
            let sojourn = one.sojourn();
            assert!(sojourn >= Duration::from_millis(least), "{sojourn:?}");
            assert!(one.service() >= Duration::from_millis(20));
            assert!(one.taken <= one.started);
        }
        assert!(served[2].taken >= Duration::from_millis(40));
    }
}
