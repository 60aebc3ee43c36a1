//! Jobs whose results are waited for, one at a time: the way there and back.

use crate::clock::{Moment, Span};
use crate::contender::{Fanpool, RustyPool, Submits, ThreadPool};
use crate::report::{print_legend, print_table};
use crate::rounds::{self, Lane, Options};
use crate::work::Increment;
use clap::Args;

/// Jobs that go through a new pool before the clock starts.
const WARM_UP: u64 = 100;

#[derive(Args)]
pub struct Arguments {
    /// Jobs in each round
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,

    /// Workers
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..), default_value = "1,2,8")]
    workers: Vec<u32>,

    #[command(flatten)]
    options: Options,
}

pub fn measure(arguments: &Arguments) {
    let Arguments {
        jobs,
        workers,
        options,
    } = arguments;
    let mut last = None;
    for &workers in workers {
        let measured = rounds::measure(lanes(workers as usize, *jobs), *jobs, options);
        let title = format!(
            "pingpong, callers x workers: 1x{workers}, {jobs} jobs, {} rounds",
            options.rounds
        );
        print_table(&title, &measured);
        last = Some(measured);
    }
    if let Some(table) = last {
        print_legend(&table, 1);
    }
}

fn lanes(workers: usize, jobs: u64) -> Vec<Lane> {
    fn lane<C: Submits + 'static>(workers: usize, jobs: u64) -> Lane {
        Lane::new::<C>(move || turn::<C>(workers, jobs))
    }
    vec![
        lane::<Fanpool<Increment>>(workers, jobs),
        lane::<ThreadPool<Increment>>(workers, jobs),
        lane::<RustyPool<Increment>>(workers, jobs),
    ]
}

/// From the first call to the last result.
fn turn<C: Submits>(workers: usize, jobs: u64) -> Span {
    let pool = C::build(workers);
    rally(&pool, WARM_UP);
    let begun = Moment::now();
    rally(&pool, jobs);
    let span = Moment::now().since(begun);
    pool.shut_down();
    span
}

fn rally<C: Submits>(pool: &C, jobs: u64) {
    for job in 0..jobs {
        assert_eq!(pool.run(job), job + 1, "{}: wrong result", C::NAME);
    }
}
