//! A bounded channel with tasks that receive: what one writes without a pool.

use super::{About, Serving};
use crate::contender::{CAPACITY, Note};
use crate::requests::Requests;
use crate::runtime::{Runtime, Tokio};
use smol::channel::{Sender, bounded};
use std::sync::Arc;

pub struct Channel(Sender<u32>);

impl Serving for Channel {
    const ABOUT: About = About {
        name: "async-channel",
        package: "async-channel",
        notes: &[Note::Floor],
        used: "a bounded channel of 1024 requests, and tasks that receive from it",
    };

    fn build(runtime: &Tokio, width: usize, requests: &Arc<Requests>) -> Self {
        let (sender, receiver) = bounded(CAPACITY);
        for _ in 0..width {
            let (receiver, requests) = (receiver.clone(), requests.clone());
            runtime.detach(async move {
                while let Ok(number) = receiver.recv().await {
                    requests.serve(number).await;
                }
            });
        }
        Channel(sender)
    }

    fn take(&mut self, number: u32) {
        self.0.send_blocking(number).expect("the tasks receive");
    }

    fn shut_down(self) {
        self.0.close();
    }
}
