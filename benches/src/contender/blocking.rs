//! blocking: its one pool, limited to as many threads as the table says. It starts them when jobs pile up.

use super::{About, Answer, Contender, Handle, Note, Sends, Submits};
use crate::work::Work;
use blocking::{set_max_blocking_threads, unblock};
use std::marker::PhantomData;
use std::num::NonZeroUsize;

pub struct Blocking<W>(PhantomData<fn() -> W>);

impl<W: Work> Contender for Blocking<W> {
    const ABOUT: About = About {
        name: "blocking",
        package: "blocking",
        notes: &[Note::Unbounded, Note::Boxed, Note::Global],
        used: "`unblock`, detached where there are no results; `set_max_blocking_threads`",
    };

    fn build(workers: usize) -> Self {
        set_max_blocking_threads(NonZeroUsize::new(workers).expect("a pool has workers"));
        Blocking(PhantomData)
    }

    /// Its threads stay for the next round.
    fn shut_down(self) {}
}

impl<W: Work> Sends for Blocking<W> {
    type Sender = ();

    fn sender(&self) -> Self::Sender {}

    fn send((): &Self::Sender, job: u64) {
        let task = unblock(move || {
            W::run(job);
        });
        task.detach();
    }
}

impl<W: Work<Output = u64>> Submits for Blocking<W> {
    fn submit(&self, job: u64) -> impl Handle {
        Answer(unblock(move || W::run(job)))
    }
}
