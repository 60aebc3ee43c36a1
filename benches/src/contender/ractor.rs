//! ractor's factory, with the routing and the queue that its documentation advises for jobs that need no
//! order.

use super::{About, Answer, Contender, Handle, Note, Sends, Submits};
use crate::work::Work;
use ractor::concurrency::oneshot;
use ractor::factory::queues::DefaultQueue;
use ractor::factory::routing::QueuerRouting;
use ractor::factory::{
    Factory, FactoryArguments, FactoryRef, Job, Worker, WorkerId, worker_builder,
};
use ractor::{Actor, ActorProcessingErr, RpcReplyPort};
use std::marker::PhantomData;
use tokio::runtime::{Builder, Runtime};

pub struct Ractor<W: Work> {
    runtime: Runtime,
    factory: FactoryRef<(), Request<W>>,
    /// The factory's end.
    ended: tokio::task::JoinHandle<()>,
}

pub struct Request<W: Work> {
    job: u64,
    reply: Option<RpcReplyPort<W::Output>>,
}

struct Runner<W>(PhantomData<fn() -> W>);

impl<W: Work> Worker for Runner<W> {
    type Key = ();
    type Message = Request<W>;
    type Arguments = ();
    type State = ();

    async fn pre_start(
        &self,
        _: WorkerId,
        _: &FactoryRef<(), Request<W>>,
        (): (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: WorkerId,
        _: &FactoryRef<(), Request<W>>,
        job: Job<(), Request<W>>,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let Request { job, reply } = job.msg;
        let result = W::run(job);
        if let Some(reply) = reply {
            reply.send(result)?;
        }
        Ok(())
    }
}

impl<W: Work> Contender for Ractor<W> {
    const ABOUT: About = About {
        name: "ractor",
        package: "ractor",
        notes: &[Note::Unbounded, Note::Boxed],
        used: "`Factory` with `QueuerRouting`, `DefaultQueue` and as many workers and tokio threads; \
               `dispatch`, `call_job`",
    };

    fn build(workers: usize) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_time()
            .build()
            .expect("threads can be started");
        let factory = Factory::<
            (),
            Request<W>,
            (),
            Runner<W>,
            QueuerRouting<(), Request<W>>,
            DefaultQueue<(), Request<W>>,
        >::default();
        let arguments = FactoryArguments::builder()
            .worker_builder(Box::new(worker_builder(|_| (Runner(PhantomData), ()))))
            .queue(Default::default())
            .router(Default::default())
            .num_initial_workers(workers)
            .build();
        let (factory, ended) = runtime
            .block_on(Actor::spawn(None, factory, arguments))
            .expect("the factory starts");
        Ractor {
            runtime,
            factory,
            ended,
        }
    }

    fn shut_down(self) {
        self.factory.stop(None);
        self.runtime.block_on(self.ended).expect("the factory ends");
    }
}

impl<W: Work> Sends for Ractor<W> {
    type Sender = FactoryRef<(), Request<W>>;

    fn sender(&self) -> Self::Sender {
        self.factory.clone()
    }

    fn send(sender: &Self::Sender, job: u64) {
        let request = Request { job, reply: None };
        sender.dispatch((), request).expect("the factory is alive");
    }
}

impl<W: Work<Output = u64>> Submits for Ractor<W> {
    fn submit(&self, job: u64) -> impl Handle {
        let (reply, answer) = oneshot();
        let reply = Some(reply.into());
        let request = Request { job, reply };
        let sent = self.factory.dispatch((), request);
        sent.expect("the factory is alive");
        Answer(async { answer.await.expect("the job completes") })
    }

    async fn answer(&self, job: u64) -> u64 {
        let request = |reply| Request {
            job,
            reply: Some(reply),
        };
        let answer = self.factory.call_job((), request, None).await;
        answer
            .expect("the factory is alive")
            .expect("the job completes")
    }
}
