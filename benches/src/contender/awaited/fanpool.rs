//! fanpool, with the default settings but for the sizes: with its workers on the executor, and on threads.

use super::{About, Awaited};
use crate::contender::CAPACITY;
use crate::runtime::Runtime;
use fanpool::{Pool, Submitter, async_handler_fn, handler_fn};
use std::convert::Infallible;

type Client = Submitter<u64, u64, Infallible>;

pub struct FanpoolAsync(Client);

impl<R: Runtime> Awaited<R> for FanpoolAsync {
    const ABOUT: About = About {
        name: "fanpool async",
        package: "fanpool",
        notes: &[],
        used: "default settings but for the number of workers and a queue of 1024 jobs; workers on the clients' \
               executor; `submit(..).await` and `handle.await`",
    };

    type Client = Client;

    fn build(runtime: &R, workers: usize) -> Self {
        let runtime = runtime.clone();
        let pool = Pool::builder(async_handler_fn(|job: u64| async move { Ok(job + 1) }))
            .workers_per_dispatcher(workers)
            .queue_capacity(CAPACITY)
            .spawner(move |worker| runtime.detach(worker))
            .build()
            .expect("the settings are allowed");
        pool.ready_blocking().expect("the factory cannot fail");
        FanpoolAsync(pool.submitter())
    }

    fn client(&self) -> Client {
        self.0.clone()
    }

    async fn run(client: &mut Client, job: u64) -> u64 {
        run(client, job).await
    }

    fn shut_down(self) {
        drop(self.0.shutdown_blocking());
    }
}

pub struct FanpoolThreads(Client);

impl<R: Runtime> Awaited<R> for FanpoolThreads {
    const ABOUT: About = About {
        name: "fanpool threads",
        package: "fanpool",
        notes: &[],
        used: "the same, with workers on threads of their own",
    };

    type Client = Client;

    fn build(_: &R, workers: usize) -> Self {
        let pool = Pool::builder(handler_fn(|job: u64| Ok(job + 1)))
            .workers_per_dispatcher(workers)
            .queue_capacity(CAPACITY)
            .build()
            .expect("the settings are allowed");
        pool.ready_blocking().expect("the factory cannot fail");
        FanpoolThreads(pool.submitter())
    }

    fn client(&self) -> Client {
        self.0.clone()
    }

    async fn run(client: &mut Client, job: u64) -> u64 {
        run(client, job).await
    }

    fn shut_down(self) {
        drop(self.0.shutdown_blocking());
    }
}

async fn run(client: &Client, job: u64) -> u64 {
    let handle = client.submit(job).await.expect("the pool is open");
    handle.await.expect("the job completes")
}
