//! What `event-listener` promises, built from the model checker's primitives:
//!
//! - Listeners are notified in the order in which they came.
//! - A notification without a listener is lost.
//! - A notified listener that is dropped unheard passes its notification on.

use crate::sync::{Mutex, lock};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

pub(crate) struct Event(Arc<Mutex<List>>);

struct List {
    next: u64,
    entries: VecDeque<Entry>,
}

struct Entry {
    key: u64,
    notified: bool,
    waker: Option<Waker>,
}

impl Event {
    pub(crate) fn new() -> Self {
        Event(Arc::new(Mutex::new(List {
            next: 0,
            entries: VecDeque::new(),
        })))
    }

    pub(crate) fn listen(&self) -> EventListener {
        let mut list = lock(&self.0);
        let key = list.next;
        list.next += 1;
        list.entries.push_back(Entry {
            key,
            notified: false,
            waker: None,
        });
        EventListener {
            list: self.0.clone(),
            key,
        }
    }

    pub(crate) fn notify_additional(&self, n: usize) -> usize {
        notify(&self.0, n)
    }
}

fn notify(list: &Mutex<List>, n: usize) -> usize {
    let mut notified = 0;
    let mut wakers = Vec::new();
    for entry in lock(list)
        .entries
        .iter_mut()
        .filter(|entry| !entry.notified)
        .take(n)
    {
        entry.notified = true;
        notified += 1;
        wakers.extend(entry.waker.take());
    }
    wakers.into_iter().for_each(Waker::wake);
    notified
}

pub(crate) struct EventListener {
    list: Arc<Mutex<List>>,
    key: u64,
}

impl Future for EventListener {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut list = lock(&self.list);
        let Some(at) = list.entries.iter().position(|entry| entry.key == self.key) else {
            return Poll::Ready(());
        };
        if list.entries[at].notified {
            list.entries.remove(at);
            return Poll::Ready(());
        }
        list.entries[at].waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for EventListener {
    fn drop(&mut self) {
        let unheard = {
            let mut list = lock(&self.list);
            let at = list.entries.iter().position(|entry| entry.key == self.key);
            at.and_then(|at| list.entries.remove(at))
                .is_some_and(|entry| entry.notified)
        };
        if unheard {
            notify(&self.list, 1);
        }
    }
}
