//! fanpool, with the default settings but for the sizes.

use super::{About, CAPACITY, Contender, Handle, Sends, Submits};
use crate::work::Work;
use fanpool::{Any, Dispatcher, JobHandle, Pool, Submitter, handler_fn};
use std::convert::Infallible;
use std::ops::Range;

pub struct Fanpool<W: Work> {
    pool: Submitter<u64, W::Output, Infallible>,
}

impl<W: Work> Contender for Fanpool<W> {
    const ABOUT: About = About {
        name: "fanpool",
        package: "fanpool",
        notes: &[],
        used: "default settings but for the number of workers and a queue of 1024 jobs",
    };

    fn build(workers: usize) -> Self {
        Self::routed(workers, 4, Any::new)
    }

    fn shut_down(self) {
        drop(self.pool.shutdown_blocking());
    }
}

impl<W: Work> Fanpool<W> {
    /// With a strategy, and so many jobs bound ahead.
    pub fn routed<D: Dispatcher<u64>>(
        workers: usize,
        depth: usize,
        strategy: impl Fn() -> D + 'static,
    ) -> Self {
        let pool = Pool::builder(handler_fn(|job: u64| Ok(W::run(job))))
            .workers_per_dispatcher(workers)
            .queue_capacity(CAPACITY)
            .inbox_depth(depth)
            .dispatcher(strategy)
            .build()
            .expect("the settings are allowed");
        pool.ready_blocking().expect("the factory cannot fail");
        Fanpool {
            pool: pool.submitter(),
        }
    }
}

impl<W: Work> Sends for Fanpool<W> {
    type Sender = Submitter<u64, W::Output, Infallible>;

    fn sender(&self) -> Self::Sender {
        self.pool.clone()
    }

    fn send(sender: &Self::Sender, job: u64) {
        sender.send_blocking(job).expect("the pool is open");
    }
}

impl<W: Work<Output = u64>> Fanpool<W> {
    /// Submits many jobs at once and waits for all of them.
    pub fn run_all(&self, jobs: Range<u64>) -> impl Iterator<Item = u64> {
        let group = self.pool.submit_all_blocking(jobs);
        let group = group.expect("the pool is open");
        let results = group.wait().into_iter();
        results.map(|result| result.expect("the job completes"))
    }
}

impl<W: Work<Output = u64>> Submits for Fanpool<W> {
    fn submit(&self, job: u64) -> impl Handle {
        self.pool.submit_blocking(job).expect("the pool is open")
    }

    fn run(&self, job: u64) -> u64 {
        self.pool.run_blocking(job).expect("the job completes")
    }

    async fn answer(&self, job: u64) -> u64 {
        self.pool.run(job).await.expect("the job completes")
    }
}

impl Handle for JobHandle<u64, Infallible> {
    fn wait(self) -> u64 {
        JobHandle::wait(self).expect("the job completes")
    }

    async fn answer(self) -> u64 {
        self.await.expect("the job completes")
    }
}
