//! threadpool. Each producer has a clone of the pool, and results come by a channel, as its
//! documentation shows; here it is a channel for each job, since each result is waited for by itself. A
//! `std::sync::mpsc` channel is slower for that.

use super::{About, Contender, Handle, Note, Sends, Submits};
use crate::work::Work;
use std::marker::PhantomData;

pub struct ThreadPool<W> {
    pool: threadpool::ThreadPool,
    _work: PhantomData<fn() -> W>,
}

impl<W: Work> Contender for ThreadPool<W> {
    const ABOUT: About = About {
        name: "threadpool",
        package: "threadpool",
        notes: &[Note::Unbounded, Note::Boxed, Note::NoResult],
        used: "`execute`, each producer with a clone; results through a `oneshot` channel",
    };

    fn build(workers: usize) -> Self {
        ThreadPool {
            pool: threadpool::ThreadPool::new(workers),
            _work: PhantomData,
        }
    }

    fn shut_down(self) {
        self.pool.join();
    }
}

impl<W: Work> Sends for ThreadPool<W> {
    type Sender = ThreadPool<W>;

    fn sender(&self) -> Self::Sender {
        ThreadPool {
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

impl<W: Work<Output = u64>> Submits for ThreadPool<W> {
    fn submit(&self, job: u64) -> impl Handle {
        let (result, handle) = oneshot::channel();
        self.pool.execute(move || {
            result.send(W::run(job)).expect("the result is waited for");
        });
        handle
    }
}
