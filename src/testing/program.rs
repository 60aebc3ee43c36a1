//! A seeded program that drives a desk as a pool would, and knows what must come of it.

use super::log::Log;
use crate::desk::Desk;
use crate::dispatcher::{Affinity, Dispatcher};
use crate::id::JobId;
use crate::id::PoolNumber;
use crate::job::Job;
use crate::outcome::Cancellation;
use crate::outcome::cell::Cell;
use crate::outcome::views::Token;
use crate::queue::envelope::Queued;
use crate::queue_order::QueueOrder;
use crate::sync::panics::contain;
use crate::sync::rng::Rng;
use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

const STEPS: usize = 250;

/// The number of no pool: envelopes have nobody to tell.
const NOBODY: PoolNumber = PoolNumber::MAX;

pub(super) struct Program<'a, J> {
    desk: Desk<J>,
    rng: Rng,
    log: &'a Log,
    make: &'a dyn Fn(u64) -> J,
    /// Returns jobs' keys, for a strategy that keeps the jobs of a key together.
    keys: Option<Affinity<J>>,
    /// The start from which deadlines count; its value does not matter.
    begun: Instant,
    /// The number of the job that came last.
    last: u64,
    /// Jobs that went in, were not cancelled and have not come out.
    waiting: BTreeMap<u64, Waiting<J>>,
    workers: Vec<Worker>,
    /// For each key, the job that was started last.
    started: BTreeMap<u64, u64>,
}

struct Waiting<J> {
    /// The key, if the job must stay together with others.
    key: Option<u64>,
    /// For cancelling it.
    cell: Option<Arc<Cell<J, (), ()>>>,
}

#[derive(Debug, Default, Clone)]
struct Worker {
    present: bool,
    retiring: bool,
    asleep: bool,
    /// The key of the job that it runs.
    hand: Option<u64>,
}

impl<'a, J: Send + 'static> Program<'a, J> {
    /// `strategies` creates one that is used, and one that is only asked for keys.
    pub(super) fn new(
        seed: u64,
        order: Box<dyn QueueOrder<J>>,
        mut strategies: impl FnMut() -> Box<dyn Dispatcher<J>>,
        make: &'a dyn Fn(u64) -> J,
        log: &'a Log,
    ) -> Self {
        let mut rng = Rng::new(seed);
        let workers = 1 + rng.below(5);
        let depth = [1, 2, 4, 1000][rng.below(4)];
        log.step(format!("{workers} workers, inboxes of depth {depth}"));
        let keys = strategies();
        let keys = if keys.late_binding() {
            None
        } else {
            keys.affinity()
        };
        let mut program = Program {
            desk: Desk::new(0, order, strategies(), workers, depth),
            rng,
            log,
            make,
            keys,
            begun: Instant::now(),
            last: 0,
            waiting: BTreeMap::new(),
            workers: vec![Worker::default(); workers],
            started: BTreeMap::new(),
        };
        (0..workers).for_each(|worker| program.come(worker));
        program
    }

    /// Takes seeded steps: all of them or, with `stop`, until a promise is broken.
    pub(super) fn run(&mut self, stop: bool) {
        // From few, so that workers mostly sleep, to more than they can take.
        let pushes = [4, 8, 16, 32][self.rng.below(4)];
        for _ in 0..STEPS {
            if stop && self.log.has_complaint() {
                return;
            }
            let worker = self.rng.below(self.workers.len());
            match self.rng.below(70 + pushes) {
                0..5 => self.route(),
                5..35 => drop(self.take(worker)),
                35..41 => self.take_ahead(worker),
                41..43 => self.relieve(),
                43..47 => self.cancel(),
                47..49 => self.bury(),
                49..51 => self.visit(),
                51..55 => self.leave(worker),
                55..65 => self.come(worker),
                65 => self.retire(worker),
                66..70 => self.append(),
                _ => self.push(),
            }
        }
    }

    /// Lets the workers take all waiting jobs, or sweeps them out. None may be left over or missing.
    pub(super) fn end(&mut self) {
        if self.rng.below(2) == 0 {
            self.log.step("sweep".to_owned());
            let mut swept = Vec::new();
            self.desk.sweep(&mut swept);
            for job in swept {
                self.comes_out(job);
            }
        } else {
            self.log.step("take all".to_owned());
            self.wake_all();
            (0..self.workers.len()).for_each(|worker| self.come(worker));
            let workers = self.workers.len();
            while (0..workers).any(|worker| self.take(worker)) {}
        }
        let left: Vec<u64> = self.waiting.keys().copied().collect();
        self.log.expect(left.is_empty(), || {
            format!("jobs {left:?} went in, and no worker got them")
        });
        let (faults, panics) = (self.desk.faults, self.log.panics());
        self.log.expect(faults == panics, || {
            format!("{faults} faults were counted, and {panics} panics")
        });
    }

    // ---- jobs -------------------------------------------------------------------------------

    fn new_job(&mut self) -> Queued<J> {
        self.last += 1;
        let number = self.last;
        let job = dress(Job::new((self.make)(number)), self.begun, &mut self.rng);
        let key = self.keys.as_ref();
        // The watched strategy shows whether it panics.
        let key = key.and_then(|keys| contain(|| keys.key_of(&job)).ok().flatten());
        let id = JobId::from_ticket(number - 1);
        let (queued, cell) = if self.rng.unit_f64() < 0.3 {
            let cell = Cell::new(NOBODY, job, None);
            cell.number(0, number - 1);
            (Queued::tracked(id, cell.clone(), 0), Some(cell))
        } else {
            (Queued::plain(id, NOBODY, job), None)
        };
        self.waiting.insert(number, Waiting { key, cell });
        queued
    }

    fn push(&mut self) {
        for _ in 0..=self.rng.below(3) {
            let job = self.new_job();
            self.log.step(format!("push job {}", self.last));
            self.desk.push(job);
        }
    }

    fn append(&mut self) {
        let count = 1 + self.rng.below(8);
        let mut jobs: VecDeque<_> = (0..count).map(|_| self.new_job()).collect();
        self.log
            .step(format!("append {count} jobs, up to {}", self.last));
        self.desk.append(&mut jobs);
    }

    fn cancel(&mut self) {
        let cells = self.waiting.iter().filter(|(_, job)| job.cell.is_some());
        let numbers: Vec<u64> = cells.map(|(&number, _)| number).collect();
        if numbers.is_empty() {
            return;
        }
        let number = numbers[self.rng.below(numbers.len())];
        let job = self.waiting.remove(&number);
        let Some(cell) = job.and_then(|job| job.cell) else {
            return;
        };
        self.log.step(format!("cancel job {number}"));
        let answer = Token::cancel(&*cell, 0);
        self.log.expect(answer == Cancellation::Removed, || {
            format!("job {number} was waiting, and cancelling it gave {answer:?}")
        });
    }

    /// Drops the envelopes of cancelled jobs.
    fn bury(&mut self) {
        self.log.step("drop the cancelled".to_owned());
        self.desk.drop_tombstones();
    }

    fn visit(&mut self) {
        let mut seen = Vec::new();
        self.log.step("look at all".to_owned());
        self.desk.visit(&mut |job| {
            if job.is_full() {
                seen.push(job.id().get());
            }
        });
        seen.sort_unstable();
        self.log.expect(self.waiting.keys().eq(&seen), || {
            format!("jobs {seen:?} are there to be seen, and not those that wait")
        });
    }

    /// Accounts for a job that left the desk. Returns it with its key, unless it was cancelled.
    fn comes_out(&mut self, mut job: Queued<J>) -> Option<(u64, Option<u64>)> {
        let number = job.id().get();
        let full = job.claim().is_some();
        let known = self.waiting.remove(&number);
        self.log.expect(full == known.is_some(), || {
            format!("job {number} came out, and did not wait")
        });
        Some((number, known?.key))
    }

    // ---- workers ----------------------------------------------------------------------------

    fn wake(&mut self, called: Vec<usize>) {
        for worker in called {
            self.workers[worker].asleep = false;
        }
    }

    fn route(&mut self) {
        self.log.step("route".to_owned());
        let called = self.desk.route();
        self.wake(called);
        if self.rng.below(2) == 0 {
            let called = self.desk.wake_one();
            self.wake(called.into_iter().collect());
        }
    }

    fn wake_all(&mut self) {
        while let Some(worker) = self.desk.wake_one() {
            self.workers[worker].asleep = false;
        }
    }

    /// Ends a worker's job, if it has one, and takes the next; without one, the worker sleeps. Returns whether there
    /// was a job, which may have been cancelled.
    fn take(&mut self, worker: usize) -> bool {
        if !self.workers[worker].present || self.workers[worker].asleep {
            return false;
        }
        self.workers[worker].hand = None;
        self.log.step(format!("worker {worker} asks for a job"));
        let called = self.desk.route();
        self.wake(called);
        let Some(job) = self.desk.take(worker, &|_| false) else {
            if !self.desk.has_work_for(worker) {
                self.desk.set_idle(worker, &|_| false);
                self.desk.fall_asleep(worker);
                self.workers[worker].asleep = true;
            }
            return false;
        };
        let called = self.desk.route_for_sleepers();
        self.wake(called);
        if let Some((number, key)) = self.comes_out(job) {
            self.start(worker, number, key);
        }
        true
    }

    fn start(&mut self, worker: usize, number: u64, key: Option<u64>) {
        self.log.step(format!("  and starts job {number}"));
        self.workers[worker].hand = key;
        let Some(key) = key else { return };
        let others = self.workers.iter().enumerate();
        let twice = others
            .filter(|(other, _)| *other != worker)
            .find(|(_, state)| state.hand == Some(key));
        if let Some((other, _)) = twice {
            self.log.complain(format!(
                "worker {worker} started job {number} while {other} ran one of the same key, {key}"
            ));
        }
        if let Some(later) = self.started.insert(key, number).filter(|&l| l > number) {
            self.log.complain(format!(
                "job {number} of key {key} started after job {later}, which came later"
            ));
        }
    }

    /// A worker takes several jobs that may go to any worker, and gives some of them back.
    fn take_ahead(&mut self, worker: usize) {
        if self.keys.is_some() || !self.workers[worker].present {
            return;
        }
        let most = self.rng.below(5);
        self.log
            .step(format!("worker {worker} takes up to {most} ahead"));
        let mut tray = VecDeque::new();
        self.desk.take_many(most, &mut tray);
        let count = tray.len();
        let back = tray.split_off(self.rng.below(count + 1));
        tray.into_iter().for_each(|job| {
            self.comes_out(job);
        });
        self.desk.put_back(worker, back, false);
    }

    /// A worker of another dispatcher takes a job.
    fn relieve(&mut self) {
        if self.keys.is_some() {
            return;
        }
        self.log.step("another dispatcher takes a job".to_owned());
        let called = self.desk.route();
        self.wake(called);
        if let Some(job) = self.desk.take_unbound() {
            self.comes_out(job);
        }
    }

    /// A worker is lost, or stands aside: then it runs on, but no longer holds a key.
    fn leave(&mut self, worker: usize) {
        self.log.step(format!("worker {worker} leaves"));
        self.desk.wake(worker);
        self.desk.set_present(worker, false);
        self.workers[worker] = Worker {
            retiring: self.workers[worker].retiring,
            ..Worker::default()
        };
    }

    fn come(&mut self, worker: usize) {
        if !self.workers[worker].present {
            self.log.step(format!("worker {worker} is there"));
            self.workers[worker].present = true;
            self.desk.set_present(worker, true);
        }
    }

    /// Retires a worker: any but the first.
    fn retire(&mut self, worker: usize) {
        if worker > 0 && !self.workers[worker].retiring {
            self.log.step(format!("worker {worker} retires"));
            self.workers[worker].retiring = true;
            self.desk.retire(worker);
        }
    }
}

/// Sets options on every other job.
fn dress<J>(mut job: Job<J>, begun: Instant, rng: &mut Rng) -> Job<J> {
    if rng.below(2) == 0 {
        let options = job.options_mut();
        options.priority = rng.below(5) as i32 - 2;
        options.key = (rng.below(4) > 0).then(|| rng.below(6) as u64);
        options.weight = NonZeroU64::new(rng.below(4) as u64);
        options.deadline = match rng.below(8) {
            0 => None,
            later => begun.checked_add(Duration::from_secs(later as u64)),
        };
    }
    job
}
