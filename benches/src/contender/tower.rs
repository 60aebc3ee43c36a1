//! tower's `Buffer` before a service that does its work when it is called: so its one worker runs the jobs.
//! It drops requests that nobody waits for, so there is no sending without results.

use super::{About, Answer, CAPACITY, Contender, Handle, Note, Submits};
use crate::work::Work;
use futures_lite::future::block_on;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Mutex, PoisonError};
use tokio::runtime::{Builder, Runtime};
use tower::buffer::Buffer;
use tower::{Service, ServiceExt, service_fn};

pub struct Tower<W: Work> {
    /// Clones of it are what a user would pass around; they are called by one caller at a time.
    buffer: Mutex<Calls<W>>,
    runtime: Runtime,
}

type Calls<W> = Buffer<u64, Ready<Result<<W as Work>::Output, Infallible>>>;

impl<W: Work> Contender for Tower<W> {
    const ABOUT: About = About {
        name: "tower",
        package: "tower",
        notes: &[Note::ResultOnly, Note::OneWorker],
        used: "`Buffer` of 1024 on a tokio runtime; `ready`, `call`; the service works in `call`",
    };

    fn build(workers: usize) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            .build()
            .expect("threads can be started");
        let service = service_fn(|job| ready(Ok(W::run(job))));
        let (buffer, worker) = Buffer::pair(service, CAPACITY);
        runtime.spawn(worker);
        Tower {
            buffer: Mutex::new(buffer),
            runtime,
        }
    }

    fn shut_down(self) {
        drop(self.buffer);
        drop(self.runtime);
    }
}

impl<W: Work<Output = u64>> Submits for Tower<W> {
    fn submit(&self, job: u64) -> impl Handle {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        let call = block_on(buffer.ready())
            .expect("the worker is alive")
            .call(job);
        Answer(async { call.await.expect("the job completes") })
    }
}
