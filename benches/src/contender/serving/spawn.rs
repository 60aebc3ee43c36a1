//! A tokio task for each request: with a semaphore, and without any limit.

use super::{About, Serving};
use crate::contender::Note;
use crate::requests::Requests;
use crate::runtime::{Runtime, Tokio};
use std::sync::Arc;
use tokio::sync::Semaphore;

pub struct Spawn {
    runtime: Tokio,
    requests: Arc<Requests>,
    room: Arc<Semaphore>,
}

impl Serving for Spawn {
    const ABOUT: About = About {
        name: "spawn",
        package: "tokio",
        notes: &[Note::Unbounded, Note::Boxed],
        used: "a task for each request, which acquires one of a semaphore's permits first",
    };

    fn build(runtime: &Tokio, width: usize, requests: &Arc<Requests>) -> Self {
        Spawn {
            runtime: runtime.clone(),
            requests: requests.clone(),
            room: Arc::new(Semaphore::new(width)),
        }
    }

    fn take(&mut self, number: u32) {
        let (requests, room) = (self.requests.clone(), self.room.clone());
        self.runtime.detach(async move {
            let _room = room.acquire().await.expect("it is never closed");
            requests.serve(number).await;
        });
    }

    fn shut_down(self) {}
}

/// No contender: it shows what serving takes when nobody waits for anything.
pub struct Unlimited {
    runtime: Tokio,
    requests: Arc<Requests>,
}

impl Serving for Unlimited {
    const ABOUT: About = About {
        name: "spawn, unlimited",
        package: "tokio",
        notes: &[Note::Unbounded, Note::Boxed],
        used: "a task for each request",
    };

    fn build(runtime: &Tokio, _: usize, requests: &Arc<Requests>) -> Self {
        Unlimited {
            runtime: runtime.clone(),
            requests: requests.clone(),
        }
    }

    fn take(&mut self, number: u32) {
        let requests = self.requests.clone();
        self.runtime
            .detach(async move { requests.serve(number).await });
    }

    fn shut_down(self) {}
}
