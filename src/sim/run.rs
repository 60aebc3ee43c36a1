//! The events of a simulated pool.
//!
//! The desk is the live pool's, and it gets the same calls in the same order as from desk/live, engine and
//! worker/search.rs in a pool whose workers live on an executor with no other task:
//!
//! - A submitter wakes a sleeper unless there are searchers enough.
//! - A worker that is woken, or has finished a job, routes and then takes.
//! - A worker that finds nothing falls asleep.
//!
//! All consequences of an event happen at its moment of virtual time, before the next event. At the same moment, ends
//! come before arrivals.
//!
//! One thing is left out: jobs that a worker takes ahead into its tray, which a live one does only with jobs of less
//! than some hundred microseconds.

use super::arrivals::Clockwork;
use super::classes::Urgency;
use super::events::{Ends, ticks};
use super::keys::{self, Labels};
use super::tally::{Running, Tally};
use super::{Report, SimError, SimJob, Simulation};
use crate::desk::Desk;
use crate::desk::appetite::Hand;
use crate::desk::appetite::Usual;
use crate::dispatcher::Vitals;
use crate::id::JobId;
use crate::id::NO_POOL;
use crate::job::Job;
use crate::metrics::Finish;
use crate::queue::envelope::{Claimed, Queued};
use crate::sync::rng::Rng;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Seat {
    speed: f64,
    /// Only for the average that strategies may read.
    hand: Hand,
    running: Option<Running>,
}

pub(super) struct Run {
    desk: Desk<SimJob>,
    seats: Vec<Seat>,
    vitals: Arc<[Vitals]>,
    ends: Ends,
    now: u64,
    /// The start of virtual time, where an `Instant` is needed.
    epoch: Instant,
    /// Woken sleepers, which count as searchers until they have looked.
    called: VecDeque<usize>,
    searching: u64,
    /// Waiting jobs, and the units of room that they take up.
    waiting: u64,
    occupied: u64,
    capacity: u64,
    key_bound: Option<usize>,
    /// Waiting jobs per key, if the order bounds them.
    waiting_of_key: HashMap<u64, usize>,
    accepted: u64,
    finished: u64,
    tally: Tally,
}

struct Source<'a> {
    settings: &'a Simulation,
    clockwork: Clockwork,
    service: super::Service,
    service_rng: Rng,
    labels: Labels,
    urgency: Urgency<'a>,
    /// Arrivals so far.
    count: u64,
    warm_up: u64,
    most: u64,
}

pub(super) fn run(settings: &Simulation, rate: Option<f64>) -> Result<Report, SimError> {
    let mut run = Run::new(settings);
    let mut source = Source::new(settings, rate);
    let mut next = source.next_time(0)?;
    loop {
        match (next, run.ends.next()) {
            (Some(at), end) if end.is_none_or(|end| end > at) => {
                run.now = at;
                run.arrive(&mut source);
                next = source.next_time(at)?;
                if next.is_none() {
                    run.tally.end(at);
                }
            }
            (_, Some(u64::MAX)) => return Err(SimError::TimeOverflow { jobs: source.count }),
            (_, Some(at)) => {
                run.now = at;
                run.finish();
            }
            _ => break,
        }
        run.serve_called();
    }
    let lost = run.accepted - run.finished;
    let faults = run.desk.faults;
    Ok(run.tally.report(settings.mean_service(), lost, faults))
}

impl<'a> Source<'a> {
    fn new(settings: &'a Simulation, rate: Option<f64>) -> Self {
        // Independent streams, so that the same jobs come at the same times whatever else is changed.
        let mut seeds = Rng::new(settings.seed);
        let mut stream = || Rng::new(seeds.next_u64());
        let (warm_up, jobs) = settings.warm_up_and_jobs();
        Source {
            clockwork: Clockwork::new(settings.arrivals.clone(), rate, stream()),
            service: settings.service_of_jobs(),
            service_rng: stream(),
            labels: Labels::new(settings.keys.as_ref(), stream()),
            urgency: Urgency::new(settings.classes.as_ref(), stream(), stream()),
            settings,
            count: 0,
            warm_up,
            most: warm_up + jobs,
        }
    }

    fn next_time(&mut self, last: u64) -> Result<Option<u64>, SimError> {
        if self.count == self.most {
            return Ok(None);
        }
        match self.clockwork.after(self.count, last) {
            Some(u64::MAX) => Err(SimError::TimeOverflow { jobs: self.count }),
            time => Ok(time),
        }
    }

    /// Draws the next job, which comes now; `number` is its number among the accepted ones.
    fn draw(&mut self, number: u64, arrived: u64, now: Instant) -> Job<SimJob> {
        let service = self.service.draw(self.count, &mut self.service_rng);
        let mut options = match (&self.settings.keys, self.settings.arrivals.recorded()) {
            (None, Some(trace)) => keys::recorded(&trace.jobs()[self.count as usize], now),
            _ => self.labels.draw(),
        };
        let class = self.urgency.draw(&mut options, now);
        self.count += 1;
        let data = SimJob {
            number,
            arrived,
            service: ticks(service),
            class,
        };
        Job::with_options(data, options)
    }
}

impl Run {
    fn new(settings: &Simulation) -> Self {
        let speeds = settings.speed_of_each();
        let workers = speeds.len();
        let (order, strategy) = ((settings.order)(), (settings.strategy)());
        let key_bound = order.key_bound();
        let mut desk = Desk::new(0, order, strategy, workers, settings.depth.jobs());
        for worker in 0..workers {
            desk.set_present(worker, true);
            desk.set_idle(worker, &|_| false);
            desk.fall_asleep(worker);
        }
        let seat = |speed| Seat {
            speed,
            hand: Hand::new(),
            running: None,
        };
        Run {
            seats: speeds.into_iter().map(seat).collect(),
            vitals: desk.vitals(),
            desk,
            ends: Ends::default(),
            now: 0,
            epoch: Instant::now(),
            called: VecDeque::new(),
            searching: 0,
            waiting: 0,
            occupied: 0,
            capacity: settings.capacity,
            key_bound,
            waiting_of_key: HashMap::new(),
            accepted: 0,
            finished: 0,
            tally: Tally::new(workers, settings.classes.as_ref(), settings.log_starts),
        }
    }

    // ---- submitters -------------------------------------------------------------------------

    fn arrive(&mut self, source: &mut Source<'_>) {
        if source.count == source.warm_up {
            self.tally.begin(self.accepted, self.now);
        }
        let job = source.draw(self.accepted, self.now, self.instant());
        let fits =
            self.occupied.saturating_add(job.weight()) <= self.capacity && self.let_in(job.key());
        self.tally.arrived(job.data(), job.key(), fits);
        if fits {
            self.waiting += 1;
            self.occupied += job.weight();
            let id = JobId::from_ticket(self.accepted);
            self.accepted += 1;
            self.desk.push(Queued::plain(id, NO_POOL, job));
            self.wake();
        }
    }

    /// Counts a job in and returns whether its key may have one more waiting.
    fn let_in(&mut self, key: Option<u64>) -> bool {
        let (Some(bound), Some(key)) = (self.key_bound, key) else {
            return true;
        };
        let waiting = self.waiting_of_key.entry(key).or_default();
        let fits = *waiting < bound;
        *waiting += usize::from(fits);
        fits
    }

    /// As `Core::wake_for_work`.
    fn wake(&mut self) {
        if self.desk.sleepers() == 0 || self.searching > 0 && self.searching >= self.waiting {
            return;
        }
        // As `LiveDesk::wake_one`.
        let mut anybody = true;
        if self.desk.routes() {
            let called = self.desk.route();
            anybody = called.is_empty() && self.desk.has_unbound();
            self.call(called);
        }
        if anybody {
            let one = self.desk.wake_one();
            self.call(one);
        }
    }

    fn call(&mut self, workers: impl IntoIterator<Item = usize>) {
        for worker in workers {
            self.called.push_back(worker);
            self.searching += 1;
        }
    }

    // ---- workers ----------------------------------------------------------------------------

    fn serve_called(&mut self) {
        while let Some(worker) = self.called.pop_front() {
            self.search(worker);
        }
    }

    /// Ends the job whose time has come; its worker looks for the next one.
    fn finish(&mut self) {
        let Some(worker) = self.ends.pop() else {
            return;
        };
        let seat = &mut self.seats[worker];
        if let Some(running) = seat.running.take() {
            self.tally.finished(worker, &running, self.now);
            Vitals::of_worker(&self.vitals, worker)
                .counts
                .finished(Finish::Completed);
            self.finished += 1;
        }
        match self.take(worker) {
            Some(job) => self.start(worker, job),
            None => {
                self.searching += 1;
                self.search(worker);
            }
        }
    }

    /// Lets a searcher look, and fall asleep if there is nothing.
    fn search(&mut self, worker: usize) {
        // Twice, like a live worker, which looks once more before it falls asleep.
        for _ in 0..2 {
            if let Some(job) = self.take(worker) {
                self.start(worker, job);
                self.searching -= 1;
                if self.searching == 0 && self.waiting > 0 {
                    self.wake();
                }
                return;
            }
            if !self.desk.has_work_for(worker) {
                break;
            }
        }
        let now = self.instant();
        self.seats[worker].hand.pause(|| now);
        self.desk.set_idle(worker, &|_| false);
        self.desk.fall_asleep(worker);
        self.searching -= 1;
    }

    /// As `Core::next_job` and `LiveDesk::take`.
    fn take(&mut self, worker: usize) -> Option<Claimed<SimJob>> {
        let now = self.instant();
        let seat = &mut self.seats[worker];
        seat.hand.appetite(
            Vitals::of_worker(&self.vitals, worker),
            &Usual::new(),
            || now,
        );
        let mut job = if self.desk.may_leave_in_intake() {
            self.desk.take(worker, &|_| false)
        } else {
            let mut called = self.desk.route();
            let job = self.desk.take(worker, &|_| false);
            if job.is_some() {
                called.extend(self.desk.route_for_sleepers());
            }
            let more = self.desk.has_unbound();
            self.call(called);
            if more && job.is_some() {
                self.wake();
            }
            job
        }?;
        let claimed = job.claim()?;
        Vitals::of_worker(&self.vitals, worker).counts.started();
        self.waiting -= 1;
        self.occupied -= claimed.job.weight();
        if self.key_bound.is_some() {
            let key = claimed.job.key();
            if let Some(waiting) = key.and_then(|key| self.waiting_of_key.get_mut(&key)) {
                *waiting -= 1;
            }
        }
        self.seats[worker].hand.took_one(|| now);
        Some(claimed)
    }

    fn start(&mut self, worker: usize, claimed: Claimed<SimJob>) {
        let now = self.instant();
        let seat = &mut self.seats[worker];
        let deadline = claimed.job.deadline();
        let running = Running {
            key: claimed.job.key(),
            late: deadline.map(|deadline| now > deadline),
            job: claimed.job.into_inner(),
            started: self.now,
        };
        let time = (running.job.service as f64 / seat.speed).round() as u64;
        self.ends.push(self.now.saturating_add(time), worker);
        self.tally.started(worker, &running);
        seat.running = Some(running);
    }

    fn instant(&self) -> Instant {
        let since = Duration::from_nanos(self.now);
        self.epoch.checked_add(since).unwrap_or(self.epoch)
    }
}
