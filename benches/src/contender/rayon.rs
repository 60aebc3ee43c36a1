//! rayon: a pool of its own, not the program's global one.

use super::{About, Answer, Contender, Handle, Note, Sends, Submits};
use crate::work::Work;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::future;
use std::marker::PhantomData;
use std::sync::Arc;

/// What the contenders below share. `M`: the call that they are about.
pub struct Rayon<M, W> {
    pool: Arc<ThreadPool>,
    _call: PhantomData<fn() -> (M, W)>,
}

pub type RayonSpawn<W> = Rayon<Spawn, W>;
pub type RayonSpawnFifo<W> = Rayon<SpawnFifo, W>;
pub type RayonInstall<W> = Rayon<Install, W>;

/// How a closure gets into the pool.
pub trait Call: 'static {
    const ABOUT: About;
}

/// A call that returns at once.
pub trait Starts: Call {
    fn start(pool: &ThreadPool, job: impl FnOnce() + Send + 'static);
}

pub struct Spawn;
pub struct SpawnFifo;
pub struct Install;

impl Call for Spawn {
    const ABOUT: About = About {
        name: "rayon spawn",
        package: "rayon",
        notes: &[Note::Unbounded, Note::Boxed, Note::NoResult],
        used: "`ThreadPool::spawn`; results through a `oneshot` channel",
    };
}

impl Starts for Spawn {
    fn start(pool: &ThreadPool, job: impl FnOnce() + Send + 'static) {
        pool.spawn(job);
    }
}

impl Call for SpawnFifo {
    const ABOUT: About = About {
        name: "rayon spawn_fifo",
        package: "rayon",
        notes: &[Note::Unbounded, Note::Boxed, Note::NoResult],
        used: "`ThreadPool::spawn_fifo`; results through a `oneshot` channel",
    };
}

impl Starts for SpawnFifo {
    fn start(pool: &ThreadPool, job: impl FnOnce() + Send + 'static) {
        pool.spawn_fifo(job);
    }
}

impl Call for Install {
    const ABOUT: About = About {
        name: "rayon install",
        package: "rayon",
        notes: &[],
        used: "`ThreadPool::install`, which blocks until the result is there: only one at a time",
    };
}

impl<M: Call, W: Work> Contender for Rayon<M, W> {
    const ABOUT: About = M::ABOUT;

    fn build(workers: usize) -> Self {
        let pool = ThreadPoolBuilder::new().num_threads(workers).build();
        Rayon {
            pool: Arc::new(pool.expect("threads can be started")),
            _call: PhantomData,
        }
    }

    fn shut_down(self) {}
}

impl<M: Starts, W: Work> Sends for Rayon<M, W> {
    type Sender = Arc<ThreadPool>;

    fn sender(&self) -> Self::Sender {
        self.pool.clone()
    }

    fn send(sender: &Self::Sender, job: u64) {
        M::start(sender, move || {
            W::run(job);
        });
    }
}

impl<M: Starts, W: Work<Output = u64>> Submits for Rayon<M, W> {
    fn submit(&self, job: u64) -> impl Handle {
        let (result, handle) = oneshot::channel();
        M::start(&self.pool, move || {
            result.send(W::run(job)).expect("the result is waited for");
        });
        handle
    }
}

/// The only one that has its result when this returns.
impl<W: Work<Output = u64>> Submits for RayonInstall<W> {
    fn submit(&self, job: u64) -> impl Handle {
        let result = self.pool.install(|| W::run(job));
        Answer(future::ready(result))
    }
}
