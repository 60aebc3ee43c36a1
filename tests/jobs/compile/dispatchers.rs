//! Closures, boxes and types of one's own as strategies, orders and loops.

use fanpool::queue_order::{Fifo, QueueOrder};
use fanpool::worker::{SerialWorker, Worker};
use fanpool::{
    Any, Dispatcher, HandlerFn, Job, JobHandlerFactory, LeastBusy, Pool, PoolBuilder, RoundRobin,
    Spawner, Target, Threads, Workers, handler_fn,
};
use std::convert::Infallible;

fn builder() -> PoolBuilder<u64, HandlerFn<fn(u64) -> Result<u64, Infallible>>> {
    Pool::builder(handler_fn(
        (|n| Ok(n + 1)) as fn(u64) -> Result<u64, Infallible>,
    ))
    .workers_per_dispatcher(2)
}

fn works<H>(builder: PoolBuilder<u64, H>)
where
    H: JobHandlerFactory<u64>,
    H::Handler: fanpool::JobHandler<u64, Output = u64, Error = Infallible>,
{
    let pool = builder.build().unwrap();
    for n in 0..10 {
        assert_eq!(pool.run_blocking(n).unwrap(), n + 1);
    }
    let _ = pool.shutdown_blocking();
}

fn first_idle(_: &Job<u64>, workers: &Workers<'_>) -> Target {
    match workers.iter().find(|worker| worker.is_idle()) {
        Some(worker) => Target::Worker(worker.id()),
        None => Target::Any,
    }
}

struct Sticky(usize);

impl Dispatcher<u64> for Sticky {
    fn dispatch(&mut self, job: &Job<u64>, workers: &Workers<'_>) -> Target {
        self.0 = *job.data() as usize % workers.len();
        workers
            .get(self.0)
            .map_or(Target::Any, |worker| Target::Worker(worker.id()))
    }
}

pub(crate) fn main() {
    works(builder().dispatcher(Any::new));
    works(builder().dispatcher(|| LeastBusy));
    works(builder().dispatcher(RoundRobin::new));
    works(builder().dispatcher(|| Sticky(0)));
    works(builder().dispatcher(|| first_idle));
    works(builder().dispatcher(|| {
        let mut next = 0;
        move |job: &Job<u64>, workers: &Workers<'_>| {
            next += 1 + *job.data() as usize;
            match workers.get(next % workers.len()) {
                Some(worker) => Target::Worker(worker.id()),
                None => Target::Any,
            }
        }
    }));
    for chosen in ["round", "least"] {
        works(builder().dispatcher(move || -> Box<dyn Dispatcher<u64>> {
            match chosen {
                "round" => Box::new(RoundRobin::new()),
                _ => Box::new(LeastBusy::new()),
            }
        }));
    }
    works(builder().queue_order(Fifo::new));
    works(builder().queue_order(|| -> Box<dyn QueueOrder<u64>> { Box::new(Fifo::new()) }));
    works(builder().worker(SerialWorker::new));
    works(builder().worker(|| -> Box<dyn Worker<_, _>> { Box::new(SerialWorker) }));
    let spawner: Box<dyn Spawner> = Box::new(Threads::new());
    works(builder().spawner(spawner));
    works(builder().spawner(|task| smol::spawn(task).detach()));
}
