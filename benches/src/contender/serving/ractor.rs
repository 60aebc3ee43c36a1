//! ractor's `Factory`.

use super::{About, Serving};
use crate::contender::Note;
use crate::requests::Requests;
use crate::runtime::Tokio;
use ractor::factory::queues::DefaultQueue;
use ractor::factory::routing::QueuerRouting;
use ractor::factory::{
    FactoryArguments, FactoryMessage, FactoryRef, Job, Worker, WorkerId, worker_builder,
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use smol::future;
use std::sync::Arc;

pub struct Factory(FactoryRef<(), u32>);

struct Serve;

impl Worker for Serve {
    type Key = ();
    type Message = u32;
    type Arguments = Arc<Requests>;
    type State = Arc<Requests>;

    async fn pre_start(
        &self,
        _: WorkerId,
        _: &ActorRef<FactoryMessage<(), u32>>,
        requests: Arc<Requests>,
    ) -> Result<Arc<Requests>, ActorProcessingErr> {
        Ok(requests)
    }

    async fn handle(
        &self,
        _: WorkerId,
        _: &ActorRef<FactoryMessage<(), u32>>,
        job: Job<(), u32>,
        requests: &mut Arc<Requests>,
    ) -> Result<(), ActorProcessingErr> {
        requests.serve(job.msg).await;
        Ok(())
    }
}

type Definition = ractor::factory::Factory<
    (),
    u32,
    Arc<Requests>,
    Serve,
    QueuerRouting<(), u32>,
    DefaultQueue<(), u32>,
>;

impl Serving for Factory {
    const ABOUT: About = About {
        name: "ractor",
        package: "ractor",
        notes: &[Note::Unbounded, Note::Boxed],
        used: "`QueuerRouting` and the default queue, with no bound, for it would drop requests; `dispatch`",
    };

    fn build(runtime: &Tokio, width: usize, requests: &Arc<Requests>) -> Self {
        let requests = requests.clone();
        let arguments = FactoryArguments::builder()
            .worker_builder(Box::new(worker_builder(move |_| (Serve, requests.clone()))))
            .queue(DefaultQueue::default())
            .router(QueuerRouting::default())
            .num_initial_workers(width)
            .build();
        let inside = runtime.enter();
        let spawned = future::block_on(Actor::spawn(None, Definition::default(), arguments));
        drop(inside);
        let (factory, _) = spawned.expect("the factory starts");
        Factory(factory)
    }

    fn take(&mut self, number: u32) {
        self.0.dispatch((), number).expect("the factory lives");
    }

    fn shut_down(self) {
        self.0.stop(None);
    }
}
