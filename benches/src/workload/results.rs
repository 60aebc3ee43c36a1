//! Jobs whose results are waited for in their order, many in flight: one submitter.

use super::Workload;
use crate::clock::{Moment, Span};
use crate::contender::{
    AffinityPool, AsyncExecutor, Blocking, Fanpool, Handle, Ractor, RayonSpawn, RayonSpawnFifo,
    RustyPool, Submits, ThreadPool, TokioSpawn, TokioSpawnBlocking, Tower,
};
use crate::plot::Plot;
use crate::report::{count, fastest};
use crate::rounds::{self, Lane, Options};
use crate::section::{Bar, Limit, Section};
use crate::work::{Increment, Work};
use clap::Args;
use std::collections::VecDeque;

/// fanpool is to be so many times as fast as the fastest pool, with so many workers and jobs in flight.
const BAR: f64 = 2.0;
const BAR_WORKERS: [u32; 2] = [2, 4];
const BAR_IN_FLIGHT: u32 = 1000;

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
            let lanes = lanes::<Increment>(workers as usize, *jobs, *in_flight as usize);
            let table = rounds::measure(lanes, *jobs, options);
            let title = format!(
                "results, {}, {in_flight} in flight, {jobs} jobs, {} rounds",
                count(workers, "worker"),
                options.rounds
            );
            section.table(title, &table);
            if BAR_WORKERS.contains(&workers) && *in_flight == BAR_IN_FLIGHT {
                section.bars.push(Bar {
                    what: format!("results, {workers} workers: times as fast as the fastest pool"),
                    limit: Limit::AtLeast(BAR),
                    unit: "x",
                    reading: fastest(&table, |_| true),
                });
            }
            tables.push((count(workers, "worker"), table));
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

fn lanes<W: Work<Output = u64>>(workers: usize, jobs: u64, in_flight: usize) -> Vec<Lane> {
    fn lane<C: Submits + 'static>(workers: usize, jobs: u64, in_flight: usize) -> Lane {
        Lane::new::<C>(move || turn::<C>(workers, jobs, in_flight))
    }
    vec![
        lane::<Fanpool<W>>(workers, jobs, in_flight),
        lane::<Tower<W>>(workers, jobs, in_flight),
        lane::<ThreadPool<W>>(workers, jobs, in_flight),
        lane::<RustyPool<W>>(workers, jobs, in_flight),
        lane::<RayonSpawn<W>>(workers, jobs, in_flight),
        lane::<RayonSpawnFifo<W>>(workers, jobs, in_flight),
        lane::<TokioSpawn<W>>(workers, jobs, in_flight),
        lane::<TokioSpawnBlocking<W>>(workers, jobs, in_flight),
        lane::<AsyncExecutor<W>>(workers, jobs, in_flight),
        lane::<Blocking<W>>(workers, jobs, in_flight),
        lane::<AffinityPool<W>>(workers, jobs, in_flight),
        lane::<Ractor<W>>(workers, jobs, in_flight),
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
    let mut results = 0..jobs;
    for job in 0..jobs {
        if flying.len() == in_flight
            && let Some(handle) = flying.pop_front()
        {
            check::<C>(handle, &mut results);
        }
        flying.push_back(pool.submit(job));
    }
    for handle in flying {
        check::<C>(handle, &mut results);
    }
}

fn check<C: Submits>(handle: impl Handle, jobs: &mut impl Iterator<Item = u64>) {
    let job = jobs.next().expect("no more results than jobs");
    assert_eq!(handle.wait(), job + 1, "{}: wrong result", C::NAME);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::record::{self, RecordedIncrement};

    #[test]
    fn every_contender_runs_every_job_once() {
        let _alone = record::alone();
        for in_flight in [1, 7, 2000] {
            let lanes = lanes::<RecordedIncrement>(2, 1000, in_flight);
            assert_eq!(lanes.len(), 12);
            for lane in lanes {
                lane.turn();
                let jobs = record::of([0..in_flight as u64, 0..1000]);
                assert_eq!(record::take(), jobs, "{}", lane.name());
            }
        }
    }
}
