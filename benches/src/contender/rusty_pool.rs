//! rusty_pool, with its core size as its greatest size and all workers started beforehand.

use super::{About, Contender, Handle, Note, Sends, Submits};
use crate::work::Work;
use rusty_pool::{JoinHandle, ThreadPool};
use std::marker::PhantomData;
use std::time::Duration;

/// Only for workers beyond the core size, of which there are none.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

pub struct RustyPool<W> {
    pool: ThreadPool,
    _work: PhantomData<fn() -> W>,
}

impl<W: Work> Contender for RustyPool<W> {
    const ABOUT: About = About {
        name: "rusty_pool",
        package: "rusty_pool",
        notes: &[Note::Unbounded, Note::Boxed],
        used: "`execute`; results through `evaluate`; core size and greatest size are the number of workers, all started",
    };

    fn build(workers: usize) -> Self {
        let pool = ThreadPool::new(workers, workers, KEEP_ALIVE);
        pool.start_core_threads();
        RustyPool {
            pool,
            _work: PhantomData,
        }
    }

    fn shut_down(self) {
        self.pool.shutdown_join();
    }
}

impl<W: Work> Sends for RustyPool<W> {
    type Sender = RustyPool<W>;

    fn sender(&self) -> Self::Sender {
        RustyPool {
            pool: self.pool.clone(),
            _work: PhantomData,
        }
    }

    fn send(sender: &Self::Sender, job: u64) {
        sender.pool.execute(move || {
            W::run(job);
        });
    }
}

impl<W: Work<Output = u64>> Submits for RustyPool<W> {
    fn submit(&self, job: u64) -> impl Handle {
        self.pool.evaluate(move || W::run(job))
    }
}

impl Handle for JoinHandle<u64> {
    fn wait(self) -> u64 {
        self.await_complete()
    }

    async fn answer(self) -> u64 {
        self.receiver.await.expect("the job completes")
    }
}
