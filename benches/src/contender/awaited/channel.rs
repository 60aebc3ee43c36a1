//! A bounded channel with tasks that receive, and a channel for each result: what one writes without a
//! pool.

use super::{About, Awaited};
use crate::contender::{CAPACITY, Note};
use crate::runtime::Runtime;
use smol::channel::{Sender, bounded};

pub struct Channel(Sender<Job>);

/// With where its result goes.
type Job = (u64, oneshot::Sender<u64>);

impl<R: Runtime> Awaited<R> for Channel {
    const ABOUT: About = About {
        name: "async-channel",
        package: "async-channel",
        notes: &[Note::Floor],
        used: "a bounded channel of 1024 jobs, tasks that receive from it, and a channel from `oneshot` for \
               each result",
    };

    type Client = Sender<Job>;

    fn build(runtime: &R, workers: usize) -> Self {
        let (sender, receiver) = bounded::<Job>(CAPACITY);
        for _ in 0..workers {
            let receiver = receiver.clone();
            runtime.detach(async move {
                while let Ok((job, result)) = receiver.recv().await {
                    result.send(job + 1).expect("the result is awaited");
                }
            });
        }
        Channel(sender)
    }

    fn client(&self) -> Self::Client {
        self.0.clone()
    }

    async fn run(sender: &mut Self::Client, job: u64) -> u64 {
        let (result, handle) = oneshot::channel();
        sender.send((job, result)).await.expect("the tasks receive");
        handle.await.expect("the job completes")
    }

    fn shut_down(self) {
        self.0.close();
    }
}
