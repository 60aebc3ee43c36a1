//! ractor's `Factory`.

use super::{About, Awaited};
use crate::contender::{CAPACITY, Note};
use crate::runtime::Tokio;
use ractor::factory::queues::DefaultQueue;
use ractor::factory::routing::QueuerRouting;
use ractor::factory::{
    DiscardMode, DiscardSettings, FactoryArguments, FactoryMessage, FactoryRef, Job, Worker,
    WorkerId, worker_builder,
};
use ractor::rpc::CallResult;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use smol::future;

pub struct Factory {
    factory: FactoryRef<(), Increment>,
}

/// A number, and where the answer goes.
#[derive(Debug)]
pub struct Increment(u64, RpcReplyPort<u64>);

struct Incrementer;

impl Worker for Incrementer {
    type Key = ();
    type Message = Increment;
    type Arguments = ();
    type State = ();

    async fn pre_start(
        &self,
        _: WorkerId,
        _: &ActorRef<FactoryMessage<(), Increment>>,
        _: (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: WorkerId,
        _: &ActorRef<FactoryMessage<(), Increment>>,
        job: Job<(), Increment>,
        _: &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let Increment(number, reply) = job.msg;
        reply.send(number + 1)?;
        Ok(())
    }
}

type Definition = ractor::factory::Factory<
    (),
    Increment,
    (),
    Incrementer,
    QueuerRouting<(), Increment>,
    DefaultQueue<(), Increment>,
>;

impl Awaited<Tokio> for Factory {
    const ABOUT: About = About {
        name: "ractor",
        package: "ractor",
        notes: &[Note::Unbounded, Note::Boxed],
        used: "`Factory` with `QueuerRouting` and `DefaultQueue` of 1024 jobs, behind a mailbox without a \
               bound; `call_job`",
    };

    type Client = FactoryRef<(), Increment>;

    fn build(runtime: &Tokio, workers: usize) -> Self {
        let arguments = FactoryArguments::builder()
            .worker_builder(Box::new(worker_builder(|_| (Incrementer, ()))))
            .queue(DefaultQueue::default())
            .router(QueuerRouting::default())
            .num_initial_workers(workers)
            .discard_settings(DiscardSettings::Static {
                limit: CAPACITY,
                mode: DiscardMode::Newest,
            })
            .build();
        let inside = runtime.enter();
        let spawned = future::block_on(Actor::spawn(None, Definition::default(), arguments));
        drop(inside);
        let (factory, _) = spawned.expect("the factory starts");
        Factory { factory }
    }

    fn client(&self) -> Self::Client {
        self.factory.clone()
    }

    async fn run(factory: &mut Self::Client, job: u64) -> u64 {
        let answer = factory.call_job((), |reply| Increment(job, reply), None);
        match answer.await.expect("the factory lives") {
            CallResult::Success(result) => result,
            other => panic!("ractor did not run a job: {other:?}"),
        }
    }

    fn shut_down(self) {
        self.factory.stop(None);
    }
}
