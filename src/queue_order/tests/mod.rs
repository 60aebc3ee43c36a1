//! Random programs for every order, compared with a model: the waiting jobs in a plain list, and the next one computed
//! from scratch. `PROPTEST_CASES` runs more programs.

mod round_robin;

use self::round_robin::RoundRobin;
use super::*;
use crate::id::JobId;
use crate::job::Job;
use proptest::prelude::*;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::{Duration, Instant};

/// What a job is submitted with.
#[derive(Debug, Clone, Copy)]
struct Said {
    priority: i32,
    key: Option<u64>,
    weight: u64,
    deadline: Option<u64>,
}

#[derive(Debug, Clone)]
enum Op {
    Push(Said),
    Append(Vec<Said>),
    Pop,
    PopMany(usize),
    /// Refuses the jobs whose number leaves this remainder when divided by this.
    Retain(u64, u64),
}

/// A waiting job in the model. The number says how many came before it.
#[derive(Debug, Clone, Copy)]
struct Line {
    number: u64,
    said: Said,
}

/// The model of an order. `waiting` is in the order of arrival.
trait Paper {
    /// Returns which waiting job is next; `came` jobs have come so far.
    fn next(&mut self, waiting: &[Line], came: u64) -> usize;

    fn pushed(&mut self, _: Line) {}

    fn retained(&mut self, _before: &[Line], _after: &[Line]) {}
}

impl<F: FnMut(&[Line], u64) -> usize> Paper for F {
    fn next(&mut self, waiting: &[Line], came: u64) -> usize {
        self(waiting, came)
    }
}

fn said() -> impl Strategy<Value = Said> {
    let (key, deadline) = (prop::option::of(0..4u64), prop::option::of(0..5u64));
    let weight = prop_oneof![3 => Just(1u64), 2 => 2..6u64, 1 => 20..40u64];
    (-2..3, key, weight, deadline).prop_map(|(priority, key, weight, deadline)| Said {
        priority,
        key,
        weight,
        deadline,
    })
}

fn program() -> impl Strategy<Value = Vec<Op>> {
    let retain = (2..5u64).prop_flat_map(|by| (Just(by), 0..by));
    let op = prop_oneof![
        8 => said().prop_map(Op::Push),
        3 => prop::collection::vec(said(), 0..6).prop_map(Op::Append),
        9 => Just(Op::Pop),
        3 => (0..6usize).prop_map(Op::PopMany),
        2 => retain.prop_map(|(by, rest)| Op::Retain(by, rest)),
    ];
    prop::collection::vec(op, 1..80)
}

/// An order, and the list that it is compared with.
struct Run<O, P> {
    order: O,
    paper: P,
    waiting: Vec<Line>,
    came: u64,
    start: Instant,
}

impl<O: QueueOrder<u64>, P: Paper> Run<O, P> {
    fn new(order: O, paper: P) -> Self {
        Run {
            order,
            paper,
            waiting: Vec::new(),
            came: 0,
            start: Instant::now(),
        }
    }

    /// Creates a new job and enters it on the list.
    fn job(&mut self, said: Said) -> Queued<u64> {
        let line = Line {
            number: self.came,
            said,
        };
        self.came += 1;
        self.waiting.push(line);
        self.paper.pushed(line);
        let mut job = Job::new(line.number);
        let options = job.options_mut();
        options.priority = said.priority;
        options.key = said.key;
        options.weight = NonZeroU64::new(said.weight);
        options.deadline = said
            .deadline
            .map(|secs| self.start + Duration::from_secs(secs));
        // The pool does not exist, so nobody is told when the job is dropped.
        Queued::plain(JobId::from_ticket(line.number), NonZeroU32::MAX, job)
    }

    /// Takes the jobs that are next in the model off the list and returns their numbers.
    fn expected(&mut self, most: usize) -> Vec<u64> {
        let mut next = Vec::new();
        while next.len() < most && !self.waiting.is_empty() {
            let at = self.paper.next(&self.waiting, self.came);
            next.push(self.waiting.remove(at).number);
        }
        next
    }

    fn pop(&mut self) -> Option<Queued<u64>> {
        let job = self.order.pop();
        let number = job.as_ref().map(number);
        assert_eq!(number, self.expected(1).first().copied());
        job
    }

    fn retain(&mut self, by: u64, rest: u64) {
        let mut seen = Vec::new();
        self.order.retain(&mut |job| {
            seen.push(number(job));
            number(job) % by != rest
        });
        seen.sort_unstable();
        let before = self.waiting.clone();
        let all: Vec<_> = before.iter().map(|line| line.number).collect();
        assert_eq!(seen, all, "each is shown once");
        self.waiting.retain(|line| line.number % by != rest);
        self.paper.retained(&before, &self.waiting);
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Push(said) => {
                let job = self.job(said);
                self.order.push(job);
            }
            Op::Append(many) => {
                let mut jobs: VecDeque<_> = many.into_iter().map(|said| self.job(said)).collect();
                self.order.append(&mut jobs);
                assert!(jobs.is_empty());
            }
            Op::Pop => drop(self.pop()),
            Op::PopMany(most) => {
                let mut out = VecDeque::new();
                self.order.pop_many(most, &mut out);
                let numbers: Vec<_> = out.iter().map(number).collect();
                assert_eq!(numbers, self.expected(most));
            }
            Op::Retain(by, rest) => self.retain(by, rest),
        }
        assert_eq!(self.order.len(), self.waiting.len());
        assert_eq!(self.order.is_empty(), self.waiting.is_empty());
    }

    fn follow(mut self, program: Vec<Op>) {
        for op in program {
            self.step(op);
        }
        while self.pop().is_some() {}
        assert_eq!(self.order.len(), 0);
    }
}

fn number(job: &Queued<u64>) -> u64 {
    job.id().get() - 1
}

/// Returns the first of those for which `of` is least.
fn least<R: Ord>(waiting: &[Line], of: impl Fn(&Line) -> R) -> usize {
    let ranks = waiting.iter().map(of).enumerate();
    ranks.min_by(|a, b| a.1.cmp(&b.1)).map_or(0, |(at, _)| at)
}

const DEFAULT_WEIGHT: u64 = 2;

fn weight(key: Option<u64>) -> u64 {
    match key {
        Some(0) => 1,
        Some(1) => 5,
        _ => DEFAULT_WEIGHT,
    }
}

fn fair_share() -> FairShare<u64> {
    FairShare::new()
        .default_weight(DEFAULT_WEIGHT as u32)
        .weight(0, 1)
        .weight(1, 5)
}

fn cases(default: u32) -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = default;
    }
    config
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn the_oldest_first(program in program()) {
        Run::new(Fifo::new(), |_: &[Line], _| 0).follow(program);
    }

    #[test]
    fn the_newest_first(program in program()) {
        Run::new(Lifo::new(), |waiting: &[Line], _| waiting.len() - 1).follow(program);
    }

    #[test]
    fn the_newest_first_while_too_many_wait(threshold in 0..8usize, program in program()) {
        let paper = |waiting: &[Line], _| match waiting.len() {
            many if many > threshold => many - 1,
            _ => 0,
        };
        Run::new(AdaptiveLifo::new(threshold), paper).follow(program);
    }

    #[test]
    fn the_most_urgent_first(program in program()) {
        let paper = |waiting: &[Line], _| least(waiting, |line| -line.said.priority);
        Run::new(Priority::new(), paper).follow(program);
    }

    #[test]
    fn what_waited_long_is_more_urgent(every in 1..20u64, program in program()) {
        // In fractions of a level: one for each job that came since.
        let paper = |waiting: &[Line], came: u64| {
            least(waiting, |line| {
                let since = came - 1 - line.number;
                -(i64::from(line.said.priority) * every as i64 + since as i64)
            })
        };
        Run::new(Priority::new().ageing(every), paper).follow(program);
    }

    #[test]
    fn the_earliest_deadline_first_and_none_last(program in program()) {
        let paper = |waiting: &[Line], _| {
            least(waiting, |line| line.said.deadline.unwrap_or(u64::MAX))
        };
        Run::new(EarliestDeadline::new(), paper).follow(program);
    }

    #[test]
    fn each_key_in_its_turn(program in program()) {
        Run::new(fair_share(), RoundRobin::default()).follow(program);
    }

    #[test]
    fn a_boxed_order_is_the_same_order(program in program()) {
        let order: Box<dyn QueueOrder<u64>> = Box::new(fair_share());
        Run::new(order, RoundRobin::default()).follow(program);
    }

}

proptest! {
    #![proptest_config(cases(100))]

    /// Keys that always have jobs waiting: exact to within one round and one job.
    #[test]
    fn units_are_given_in_proportion_to_weights(
        costs in prop::collection::vec((0..4u64, 1..30u64), 200..400),
    ) {
        let mut run = Run::new(fair_share(), RoundRobin::default());
        let heaviest = 30;
        let mut left = [0u64; 4];
        for (key, cost) in costs {
            left[key as usize] += 1;
            let said = Said { priority: 0, key: Some(key), weight: cost, deadline: None };
            run.step(Op::Push(said));
        }
        let mut given = [0; 4];
        while left.iter().all(|left| *left > 0) {
            let job = run.pop().unwrap();
            let key = job.key().unwrap() as usize;
            left[key] -= 1;
            given[key] += job.weight();
            // In rounds: what a key got, and at most what it may be owed.
            let rounds = |key: usize| given[key] as f64 / weight(Some(key as u64)) as f64;
            let owed = |key: usize| f64::from(heaviest) / weight(Some(key as u64)) as f64;
            for (one, other) in (0..4).flat_map(|one| (0..4).map(move |other| (one, other))) {
                let ahead = rounds(one) - rounds(other);
                prop_assert!(ahead < 1.0 + owed(other), "{one} is {ahead} ahead of {other}");
            }
        }
    }
}
