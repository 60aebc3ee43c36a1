//! affinitypool. A future of it that is dropped cancels its job, so there is no sending without results.

use super::{About, Answer, Contender, Handle, Note, Submits};
use crate::work::Work;
use affinitypool::Threadpool;
use std::marker::PhantomData;

pub struct AffinityPool<W> {
    pool: Threadpool,
    _work: PhantomData<fn() -> W>,
}

impl<W: Work> Contender for AffinityPool<W> {
    const ABOUT: About = About {
        name: "affinitypool",
        package: "affinitypool",
        notes: &[Note::Unbounded, Note::Boxed, Note::ResultOnly],
        used: "`Threadpool::spawn`",
    };

    fn build(workers: usize) -> Self {
        AffinityPool {
            pool: Threadpool::new(workers),
            _work: PhantomData,
        }
    }

    fn shut_down(self) {}
}

impl<W: Work<Output = u64>> Submits for AffinityPool<W> {
    fn submit(&self, job: u64) -> impl Handle {
        Answer(self.pool.spawn(move || W::run(job)))
    }
}
