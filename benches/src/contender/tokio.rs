//! tokio: a runtime of its own, entered from other threads through its handle.

use super::{About, Answer, Contender, Handle, Note, Sends, Submits};
use crate::work::Work;
use std::marker::PhantomData;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// Jobs as tasks.
pub struct TokioSpawn<W> {
    runtime: Runtime,
    _work: PhantomData<fn() -> W>,
}

impl<W: Work> Contender for TokioSpawn<W> {
    const ABOUT: About = About {
        name: "tokio spawn",
        package: "tokio",
        notes: &[Note::Unbounded, Note::Boxed],
        used: "`Handle::spawn`, on a multi-thread runtime with as many `worker_threads`",
    };

    fn build(workers: usize) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(workers).build();
        TokioSpawn {
            runtime: runtime.expect("threads can be started"),
            _work: PhantomData,
        }
    }

    fn shut_down(self) {}
}

impl<W: Work> Sends for TokioSpawn<W> {
    type Sender = tokio::runtime::Handle;

    fn sender(&self) -> Self::Sender {
        self.runtime.handle().clone()
    }

    fn send(sender: &Self::Sender, job: u64) {
        sender.spawn(async move {
            W::run(job);
        });
    }
}

impl<W: Work<Output = u64>> Submits for TokioSpawn<W> {
    fn submit(&self, job: u64) -> impl Handle {
        joined(self.runtime.spawn(async move { W::run(job) }))
    }
}

/// Jobs as closures for the threads that may block.
pub struct TokioSpawnBlocking<W> {
    runtime: Runtime,
    _work: PhantomData<fn() -> W>,
}

impl<W: Work> Contender for TokioSpawnBlocking<W> {
    const ABOUT: About = About {
        name: "tokio spawn_blocking",
        package: "tokio",
        notes: &[Note::Unbounded, Note::Boxed],
        used: "`Handle::spawn_blocking`, with as many `max_blocking_threads`",
    };

    fn build(workers: usize) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(workers)
            .build();
        TokioSpawnBlocking {
            runtime: runtime.expect("threads can be started"),
            _work: PhantomData,
        }
    }

    fn shut_down(self) {}
}

impl<W: Work> Sends for TokioSpawnBlocking<W> {
    type Sender = tokio::runtime::Handle;

    fn sender(&self) -> Self::Sender {
        self.runtime.handle().clone()
    }

    fn send(sender: &Self::Sender, job: u64) {
        sender.spawn_blocking(move || {
            W::run(job);
        });
    }
}

impl<W: Work<Output = u64>> Submits for TokioSpawnBlocking<W> {
    fn submit(&self, job: u64) -> impl Handle {
        joined(self.runtime.spawn_blocking(move || W::run(job)))
    }
}

fn joined(handle: JoinHandle<u64>) -> impl Handle {
    Answer(async { handle.await.expect("the job completes") })
}
