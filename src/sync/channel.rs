//! What flume promises of the two channels that jobs travel in, built from the model checker's primitives: a queue
//! behind a lock, where no thread waits.

use super::{Mutex, lock};
use std::collections::VecDeque;
use std::sync::Arc;

struct Channel<T> {
    queue: Mutex<VecDeque<T>>,
    capacity: usize,
}

pub(crate) struct Sender<T>(Arc<Channel<T>>);
pub(crate) struct Receiver<T>(Arc<Channel<T>>);

pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    bounded(usize::MAX)
}

pub(crate) fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new(Channel {
        queue: Mutex::new(VecDeque::new()),
        capacity,
    });
    (Sender(channel.clone()), Receiver(channel))
}

impl<T> Sender<T> {
    pub(crate) fn send(&self, value: T) -> Result<(), T> {
        self.try_send(value)
    }

    pub(crate) fn try_send(&self, value: T) -> Result<(), T> {
        let mut queue = lock(&self.0.queue);
        if queue.len() >= self.0.capacity {
            return Err(value);
        }
        queue.push_back(value);
        Ok(())
    }
}

impl<T> Receiver<T> {
    pub(crate) fn try_recv(&self) -> Result<T, ()> {
        lock(&self.0.queue).pop_front().ok_or(())
    }
}
