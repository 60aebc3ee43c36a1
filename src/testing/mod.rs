//! Checks whether a strategy or a queue order of your own keeps its contract.
//!
//! Needs the feature `testing`. For the tests of a crate that has a [`Dispatcher`] or a [`QueueOrder`]:
//!
//! ```
//! use fanpool::testing::{Order, check_dispatcher, check_queue_order};
//! use fanpool::{Fifo, LeastBusy};
//!
//! check_dispatcher(LeastBusy::new);
//! check_queue_order(Fifo::new, Order::Fifo);
//! ```
//!
//! Each check panics at the first broken promise, and says which one it was and what had happened until then. It takes
//! some tenths of a second, and is the same each time except for the live pools.
//!
//! # What is checked
//!
//! 1. Some hundred seeded programs drive the state machine of a pool's dispatcher, without threads or time. Jobs come
//!    one by one and in batches, with and without keys, priorities, weights and deadlines. Workers take them, sleep,
//!    are lost, stand aside, come back and retire. Jobs are cancelled while they wait. In the end, all waiting jobs are
//!    taken or swept out.
//! 2. Some live pools run jobs that panic and that submit to their own pool, while the strategy and the order do so,
//!    too.
//!
//! | of | promise |
//! |---|---|
//! | both | no panic; no job is lost; a call that submits to the pool does no harm |
//! | a strategy | it names present workers of its own dispatcher that do not retire |
//! | | [`late_binding`](Dispatcher::late_binding) means [`Target::Any`](crate::Target::Any), always |
//! | | with an [`affinity`](Dispatcher::affinity): a job has one key, however often it is asked for; a key that a worker holds stays there; its jobs start in order, and never two at once |
//! | an order | each job that goes in comes out once: none is lost, hidden, or miscounted by `len` |
//! | | `retain` shows each job once, and drops exactly those that are refused |
//! | | `append` takes all jobs, and `pop_many` gives what `pop` would |
//! | | jobs come out in the promised [`Order`] |
//!
//! Two more promises need no check, because they cannot be broken: a strategy only sees jobs, so it can neither lose
//! nor duplicate one; and an order cannot duplicate jobs, because a [`Queued`](crate::Queued) can be neither created
//! nor cloned.
//!
//! The pool itself survives most of these faults: a job whose worker is not there goes to any worker, a strategy that
//! panics is counted, and an order that panics is replaced. But then their promises no longer hold.

mod dispatcher;
mod live;
mod log;
mod order;
mod program;

pub use order::{Order, Seen};

use crate::dispatcher::{Any, Dispatcher, RoundRobin};
use crate::queue_order::{Fifo, QueueOrder};
use log::Log;
use program::Program;

/// How many programs drive a desk, each with its own seed.
const PROGRAMS: u64 = 200;
/// How many live pools are run.
const POOLS: u64 = 4;

/// Checks a strategy for jobs of type `u64`, which may just be their numbers. `make` is called for each pool and each
/// dispatcher.
///
/// # Panics
///
/// Panics if a promise is broken.
pub fn check_dispatcher<D: Dispatcher<u64>>(make: impl Fn() -> D) {
    check_dispatcher_with(make, |number| number);
}

/// Checks a strategy for jobs of your own type, which `job` makes from their numbers.
///
/// ```
/// use fanpool::testing::check_dispatcher_with;
/// use fanpool::{Job, KeyAffinity};
///
/// struct Payment { account: u64 }
///
/// check_dispatcher_with(
///     || KeyAffinity::by(|job: &Job<Payment>| job.data().account),
///     |number| Payment { account: number % 5 },
/// );
/// ```
///
/// # Panics
///
/// Panics if a promise is broken.
pub fn check_dispatcher_with<J, D>(make: impl Fn() -> D, job: impl Fn(u64) -> J)
where
    J: Send + 'static,
    D: Dispatcher<J>,
{
    let what = "the strategy";
    for seed in 0..PROGRAMS {
        let log = Log::new(what, seed);
        dispatcher::check_answers(&make(), &make(), &log);
        if make().late_binding() {
            dispatcher::check_late(&mut make(), job(1), &log);
        }
        let strategy = || Box::new(dispatcher::Watched::new(make(), log.clone())) as Box<_>;
        let mut program = Program::new(seed, Box::new(Fifo::new()), strategy, &job, &log);
        program.run(false);
        program.end();
        log.close();
    }
    for seed in 0..POOLS {
        let log = Log::new(what, seed);
        let strategy = |log: &Log| dispatcher::Watched::new(make(), log.clone());
        live::run(seed, strategy, |_| Fifo::new(), &job, &log);
        log.close();
    }
}

/// Checks a queue order, and that jobs come out of it as `promise` says. `make` is called for each pool and each
/// dispatcher.
///
/// # Panics
///
/// Panics if a promise is broken.
pub fn check_queue_order<Q: QueueOrder<u64>>(make: impl Fn() -> Q, promise: Order) {
    let what = "the queue order";
    let watched = |log: &Log| order::Watched::new(make(), promise, log.clone());
    for seed in 0..PROGRAMS {
        let log = Log::new(what, seed);
        if let Err(error) = make().check() {
            log.complain(format!("no pool would be built with it: {error}"));
            log.close();
        }
        // One that never binds, and one that binds at once.
        let strategy = || -> Box<dyn Dispatcher<u64>> {
            if seed % 2 == 0 {
                Box::new(Any::new())
            } else {
                Box::new(RoundRobin::new())
            }
        };
        let job = |number| number;
        let mut program = Program::new(seed, Box::new(watched(&log)), strategy, &job, &log);
        // Stops at the first fault, where it shows best.
        program.run(true);
        program.end();
        log.close();
    }
    for seed in 0..POOLS {
        let log = Log::new(what, seed);
        live::run(seed, |_| RoundRobin::new(), watched, &|number| number, &log);
        log.close();
    }
}
