//! async-executor, run by threads until they are told to stop, as in its documentation.

use super::{About, Answer, Contender, Handle, Note, Sends, Submits};
use crate::work::Work;
use async_executor::Executor;
use futures_lite::future::block_on;
use std::marker::PhantomData;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

pub struct AsyncExecutor<W> {
    executor: Arc<Executor<'static>>,
    /// Each thread stops when its sender is gone.
    threads: Vec<(oneshot::Sender<()>, JoinHandle<()>)>,
    _work: PhantomData<fn() -> W>,
}

impl<W: Work> Contender for AsyncExecutor<W> {
    const ABOUT: About = About {
        name: "async-executor",
        package: "async-executor",
        notes: &[Note::Unbounded, Note::Boxed],
        used: "`Executor::spawn`, detached where there are no results; each thread blocks on `Executor::run`",
    };

    fn build(workers: usize) -> Self {
        let executor = Arc::new(Executor::new());
        let threads = (0..workers).map(|_| {
            let (stop, stopped) = oneshot::channel::<()>();
            let executor = executor.clone();
            let thread = thread::spawn(move || {
                block_on(executor.run(async { stopped.await.unwrap_or_default() }));
            });
            (stop, thread)
        });
        AsyncExecutor {
            threads: threads.collect(),
            executor,
            _work: PhantomData,
        }
    }

    fn shut_down(self) {
        for (stop, thread) in self.threads {
            drop(stop);
            thread.join().expect("no job panics");
        }
    }
}

impl<W: Work> Sends for AsyncExecutor<W> {
    type Sender = Arc<Executor<'static>>;

    fn sender(&self) -> Self::Sender {
        self.executor.clone()
    }

    fn send(sender: &Self::Sender, job: u64) {
        let task = sender.spawn(async move {
            W::run(job);
        });
        task.detach();
    }
}

impl<W: Work<Output = u64>> Submits for AsyncExecutor<W> {
    fn submit(&self, job: u64) -> impl Handle {
        Answer(self.executor.spawn(async move { W::run(job) }))
    }
}
