//! tower's `Buffer` and `ConcurrencyLimit` in front of a service.

use super::{About, Serving};
use crate::contender::{CAPACITY, Note};
use crate::requests::Requests;
use crate::runtime::{Runtime, Tokio};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::buffer::Buffer;
use tower::limit::ConcurrencyLimit;
use tower::{Service, ServiceBuilder, ServiceExt};

struct Serve(Arc<Requests>);

type Serves = Pin<Box<dyn Future<Output = Result<(), Infallible>> + Send>>;

impl Service<u32> for Serve {
    type Response = ();
    type Error = Infallible;
    type Future = Serves;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, number: u32) -> Serves {
        let requests = self.0.clone();
        Box::pin(async move {
            requests.serve(number).await;
            Ok(())
        })
    }
}

pub struct Tower {
    runtime: Tokio,
    buffer: Buffer<u32, <ConcurrencyLimit<Serve> as Service<u32>>::Future>,
}

impl Serving for Tower {
    const ABOUT: About = About {
        name: "tower",
        package: "tower",
        notes: &[Note::Unbounded, Note::Boxed],
        used: "`ServiceBuilder` with `buffer(1024)` and `concurrency_limit`; a task for each request calls it",
    };

    fn build(runtime: &Tokio, width: usize, requests: &Arc<Requests>) -> Self {
        let _inside = runtime.enter();
        Tower {
            runtime: runtime.clone(),
            buffer: ServiceBuilder::new()
                .buffer(CAPACITY)
                .concurrency_limit(width)
                .service(Serve(requests.clone())),
        }
    }

    fn take(&mut self, number: u32) {
        let mut buffer = self.buffer.clone();
        self.runtime.detach(async move {
            let buffer = buffer.ready().await.expect("the worker lives");
            buffer.call(number).await.expect("the service cannot fail");
        });
    }

    fn shut_down(self) {}
}
