//! tower's `Buffer` in front of a service that answers at once, and one with a limit of concurrency between
//! them.

use super::{About, Awaited};
use crate::contender::{CAPACITY, Note};
use crate::runtime::Runtime;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use tower::buffer::Buffer;
use tower::limit::ConcurrencyLimit;
use tower::{Service, ServiceExt};

/// Called by the buffer's one worker.
pub struct Increment;

impl Service<u64> for Increment {
    type Response = u64;
    type Error = Infallible;
    type Future = Ready<Result<u64, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, job: u64) -> Self::Future {
        ready(Ok(job + 1))
    }
}

type Buffered<S> = Buffer<u64, <S as Service<u64>>::Future>;

pub struct Tower(Buffered<Increment>);

impl<R: Runtime> Awaited<R> for Tower {
    const ABOUT: About = About {
        name: "tower",
        package: "tower",
        notes: &[Note::OneWorker],
        used: "`Buffer` of 1024, a clone for each client, `ready().await?.call(job).await`; the service works in \
               `call`",
    };

    type Client = Buffered<Increment>;

    fn build(runtime: &R, _: usize) -> Self {
        Tower(buffer(runtime, Increment))
    }

    fn client(&self) -> Self::Client {
        self.0.clone()
    }

    async fn run(client: &mut Self::Client, job: u64) -> u64 {
        run(client, job).await
    }

    fn shut_down(self) {}
}

pub struct TowerLimited(Buffered<ConcurrencyLimit<Increment>>);

impl<R: Runtime> Awaited<R> for TowerLimited {
    const ABOUT: About = About {
        name: "tower limited",
        package: "tower",
        notes: &[],
        used: "the same, with a `ConcurrencyLimit` behind it instead of workers",
    };

    type Client = Buffered<ConcurrencyLimit<Increment>>;

    fn build(runtime: &R, workers: usize) -> Self {
        TowerLimited(buffer(runtime, ConcurrencyLimit::new(Increment, workers)))
    }

    fn client(&self) -> Self::Client {
        self.0.clone()
    }

    async fn run(client: &mut Self::Client, job: u64) -> u64 {
        run(client, job).await
    }

    fn shut_down(self) {}
}

fn buffer<R, S>(runtime: &R, service: S) -> Buffered<S>
where
    R: Runtime,
    S: Service<u64, Error = Infallible, Future: Send> + Send + 'static,
{
    let (buffer, worker) = Buffer::pair(service, CAPACITY);
    runtime.detach(worker);
    buffer
}

async fn run<F>(client: &mut Buffer<u64, F>, job: u64) -> u64
where
    F: Future<Output = Result<u64, Infallible>> + Send + 'static,
{
    let buffer = client.ready().await.expect("the worker lives");
    buffer.call(job).await.expect("the service cannot fail")
}
