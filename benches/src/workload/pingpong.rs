//! Jobs whose results are waited for, one at a time: the way there and back.

use super::Workload;
use crate::clock::{Moment, Span};
use crate::contender::{
    AffinityPool, AsyncExecutor, Blocking, Fanpool, Ractor, RayonInstall, RayonSpawn,
    RayonSpawnFifo, RustyPool, Submits, ThreadPool, TokioSpawn, TokioSpawnBlocking, Tower,
};
use crate::plot::Plot;
use crate::rounds::{self, Lane, Options};
use crate::section::Section;
use crate::work::Increment;
use clap::Args;

/// Jobs that go through a new pool before the clock starts.
const WARM_UP: u64 = 100;

const METHOD: &str = "\
One caller waits for each result before it submits the next job. Every result is checked.";

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

impl Workload for Arguments {
    fn measure(&self) -> Section {
        let Arguments {
            jobs,
            workers,
            options,
        } = self;
        let mut section = Section::new("One job at a time", METHOD);
        let mut tables = Vec::new();
        for &workers in workers {
            let table = rounds::measure(lanes(workers as usize, *jobs), *jobs, options);
            let title = format!(
                "pingpong, callers x workers: 1x{workers}, {jobs} jobs, {} rounds",
                options.rounds
            );
            section.table(title, &table);
            tables.push((format!("{workers} workers"), table));
        }
        section.plots.push(Plot::of_tables(
            "pingpong",
            "pingpong: time per job, by workers",
            &tables,
        ));
        section
    }

    fn shrink(&mut self) {
        self.jobs = 500;
        self.options.shrink();
    }
}

fn lanes(workers: usize, jobs: u64) -> Vec<Lane> {
    fn lane<C: Submits + 'static>(workers: usize, jobs: u64) -> Lane {
        Lane::new::<C>(move || turn::<C>(workers, jobs))
    }
    vec![
        lane::<Fanpool<Increment>>(workers, jobs),
        lane::<Tower<Increment>>(workers, jobs),
        lane::<ThreadPool<Increment>>(workers, jobs),
        lane::<RustyPool<Increment>>(workers, jobs),
        lane::<RayonSpawn<Increment>>(workers, jobs),
        lane::<RayonSpawnFifo<Increment>>(workers, jobs),
        lane::<RayonInstall<Increment>>(workers, jobs),
        lane::<TokioSpawn<Increment>>(workers, jobs),
        lane::<TokioSpawnBlocking<Increment>>(workers, jobs),
        lane::<AsyncExecutor<Increment>>(workers, jobs),
        lane::<Blocking<Increment>>(workers, jobs),
        lane::<AffinityPool<Increment>>(workers, jobs),
        lane::<Ractor<Increment>>(workers, jobs),
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
