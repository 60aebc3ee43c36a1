//! Jobs whose results are waited for in their order, many in flight: one submitter.

use super::Workload;
use crate::clock::{Moment, Span};
use crate::contender::{
    AffinityPool, AsyncExecutor, Blocking, Fanpool, Handle, Ractor, RayonSpawn, RayonSpawnFifo,
    RustyPool, Submits, ThreadPool, TokioSpawn, TokioSpawnBlocking, Tower,
};
use crate::plot::Plot;
use crate::rounds::{self, Lane, Options};
use crate::section::Section;
use crate::work::Increment;
use clap::Args;
use std::collections::VecDeque;

const METHOD: &str = "\
One submitter keeps a number of jobs in flight and waits for their results in their order. Every result is \
checked. Its clock runs from the first submission to the last result.";

#[derive(Args)]
pub struct Arguments {
    /// Jobs in each round
    #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,

    /// Jobs in flight
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    in_flight: u32,

    /// Workers
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..), default_value = "2,4")]
    workers: Vec<u32>,

    #[command(flatten)]
    options: Options,
}

impl Workload for Arguments {
    fn measure(&self) -> Section {
        let Arguments {
            jobs,
            in_flight,
            workers,
            options,
        } = self;
        let mut section = Section::new("Results, many in flight", METHOD);
        let mut tables = Vec::new();
        for &workers in workers {
            let lanes = lanes(workers as usize, *jobs, *in_flight as usize);
            let table = rounds::measure(lanes, *jobs, options);
            let title = format!(
                "results, submitters x workers: 1x{workers}, {in_flight} in flight, {jobs} jobs, {} rounds",
                options.rounds
            );
            section.table(title, &table);
            tables.push((format!("{workers} workers"), table));
        }
        section.plots.push(Plot::of_tables(
            "results",
            "results: time per job, by workers",
            &tables,
        ));
        section
    }

    fn shrink(&mut self) {
        self.jobs = 5000;
        self.options.shrink();
    }
}

fn lanes(workers: usize, jobs: u64, in_flight: usize) -> Vec<Lane> {
    fn lane<C: Submits + 'static>(workers: usize, jobs: u64, in_flight: usize) -> Lane {
        Lane::new::<C>(move || turn::<C>(workers, jobs, in_flight))
    }
    vec![
        lane::<Fanpool<Increment>>(workers, jobs, in_flight),
        lane::<Tower<Increment>>(workers, jobs, in_flight),
        lane::<ThreadPool<Increment>>(workers, jobs, in_flight),
        lane::<RustyPool<Increment>>(workers, jobs, in_flight),
        lane::<RayonSpawn<Increment>>(workers, jobs, in_flight),
        lane::<RayonSpawnFifo<Increment>>(workers, jobs, in_flight),
        lane::<TokioSpawn<Increment>>(workers, jobs, in_flight),
        lane::<TokioSpawnBlocking<Increment>>(workers, jobs, in_flight),
        lane::<AsyncExecutor<Increment>>(workers, jobs, in_flight),
        lane::<Blocking<Increment>>(workers, jobs, in_flight),
        lane::<AffinityPool<Increment>>(workers, jobs, in_flight),
        lane::<Ractor<Increment>>(workers, jobs, in_flight),
    ]
}

/// From the first submission to the last result.
fn turn<C: Submits>(workers: usize, jobs: u64, in_flight: usize) -> Span {
    let pool = C::build(workers);
    pump(&pool, in_flight as u64, in_flight);
    let begun = Moment::now();
    pump(&pool, jobs, in_flight);
    let span = Moment::now().since(begun);
    pool.shut_down();
    span
}

fn pump<C: Submits>(pool: &C, jobs: u64, in_flight: usize) {
    let mut flying = VecDeque::with_capacity(in_flight);
    let check = |(job, handle)| {
        let result = Handle::wait(handle);
        assert_eq!(result, job + 1, "{}: wrong result", C::NAME);
    };
    for job in 0..jobs {
        if flying.len() == in_flight {
            flying.pop_front().into_iter().for_each(check);
        }
        flying.push_back((job, pool.submit(job)));
    }
    flying.into_iter().for_each(check);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contender_gives_every_result() {
        let options = Options {
            rounds: 1,
            only: Vec::new(),
        };
        for in_flight in [1, 7, 5000] {
            let measured = rounds::measure(lanes(2, 3000, in_flight), 3000, &options);
            assert_eq!(measured.rows.len(), 12);
        }
    }
}
