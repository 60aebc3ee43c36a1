//! fanpool, with the default settings but for the sizes, and its workers on tokio.

use super::{About, Serving};
use crate::contender::CAPACITY;
use crate::requests::Requests;
use crate::runtime::{Runtime, Tokio};
use fanpool::{JobContext, JobHandler, Pool, Submitter, WorkerId, handler_factory};
use std::convert::Infallible;
use std::sync::Arc;

pub struct Fanpool(Submitter<u32, (), Infallible>);

struct Serve(Arc<Requests>);

impl JobHandler<u32> for Serve {
    type Output = ();
    type Error = Infallible;

    async fn handle(&mut self, number: u32, _: &JobContext) -> Result<(), Infallible> {
        self.0.serve(number).await;
        Ok(())
    }
}

impl Serving for Fanpool {
    const ABOUT: About = About {
        name: "fanpool",
        package: "fanpool",
        notes: &[],
        used: "async workers, a queue of 1024 jobs, `send_blocking`",
    };

    fn build(runtime: &Tokio, width: usize, requests: &Arc<Requests>) -> Self {
        let (runtime, requests) = (runtime.clone(), requests.clone());
        let factory =
            handler_factory(move |_: WorkerId| Ok::<_, Infallible>(Serve(requests.clone())));
        let pool = Pool::builder(factory)
            .workers_per_dispatcher(width)
            .queue_capacity(CAPACITY)
            .spawner(move |worker| runtime.detach(worker))
            .build()
            .expect("the settings are allowed");
        pool.ready_blocking().expect("the factory cannot fail");
        Fanpool(pool.submitter())
    }

    fn take(&mut self, number: u32) {
        self.0.send_blocking(number).expect("the pool is open");
    }

    fn shut_down(self) {
        drop(self.0.shutdown_blocking());
    }
}
