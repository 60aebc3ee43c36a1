//! Shows whether a strategy or a queue order of your own keeps its contract.
//!
//! Needs the feature `testing`; for the tests of a crate that has a [`Dispatcher`] or a [`QueueOrder`]:
//!
//! ```
//! use fanpool::testing::{Order, check_dispatcher, check_queue_order};
//! use fanpool::{Fifo, LeastBusy};
//!
//! check_dispatcher(LeastBusy::new);
//! check_queue_order(Fifo::new, Order::Fifo);
//! ```
//!
//! Each check panics at the first broken promise, and says which one it was, and what had happened until
//! then. It takes some tenths of a second, and is the same each time but for the last part.
//!
//! # What is checked
//!
//! Some hundred seeded programs drive the very state machine that a pool's dispatcher is, without threads or
//! time: jobs come one by one and in batches, with and without keys, priorities, weights and deadlines; workers take
//! them, sleep, are lost, stand aside, come back and retire; jobs are cancelled while they wait; in the end
//! all that waits is taken or swept out. Then some live pools run jobs that panic and that submit to their
//! own pool, while the strategy and the order do so, too.
//!
//! | of | promise |
//! |---|---|
//! | both | no panic; nothing lost; a call that submits to the pool hurts nobody |
//! | a strategy | it names workers of its own dispatcher that are there and do not retire |
//! | | [`late_binding`](Dispatcher::late_binding) means [`Target::Any`](crate::Target::Any), always |
//! | | with an [`affinity`](Dispatcher::affinity): a job has one key, however often it is asked for; a key that a worker holds stays there; its jobs start in order, and never two at once |
//! | an order | what goes in comes out, once: nothing is lost, hidden, or miscounted by `len` |
//! | | `retain` shows each job once, and drops those that are refused, and no others |
//! | | `append` takes all, and `pop_many` gives what `pop` would |
//! | | jobs come out in the [`Order`] that is promised |
//!
//! Two more need no check, since they cannot be broken: a strategy only sees jobs, so it can neither lose nor
//! duplicate one; and an order cannot duplicate what it is given, since a [`Queued`](crate::Queued) can
//! neither be made nor cloned.
//!
//! The pool itself bears most of what is checked here: a job whose worker is not there goes to anyone, a
//! strategy that panics is counted, and an order that does is replaced. But no promise of theirs holds then.

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

/// How many programs drive a desk, each from a seed of its own.
const PROGRAMS: u64 = 200;
/// How many live pools there are.
const POOLS: u64 = 4;

/// Checks a strategy for jobs of type `u64`, which may just be their numbers: `make` is called for each
/// pool and each dispatcher.
///
/// # Panics
///
/// When a promise is broken.
pub fn check_dispatcher<D: Dispatcher<u64>>(make: impl Fn() -> D) {
    check_dispatcher_with(make, |number| number);
}

/// Checks a strategy for jobs of a type of your own, which `job` makes from their numbers.
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
/// When a promise is broken.
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

/// Checks a queue order, and that jobs come out of it as `promise` says: `make` is called for each pool and
/// each dispatcher.
///
/// # Panics
///
/// When a promise is broken.
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
        // What is wrong with an order shows best at once.
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
