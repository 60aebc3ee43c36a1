//! What is compared: one file for each family.

mod affinitypool;
mod async_executor;
pub mod awaited;
mod blocking;
mod channels;
mod fanpool;
mod ractor;
mod rayon;
mod rusty_pool;
pub mod serving;
mod threadpool;
mod tokio;
mod tower;

pub use self::affinitypool::AffinityPool;
pub use self::async_executor::AsyncExecutor;
pub use self::blocking::Blocking;
pub use self::channels::{Crossbeam, Crossfire, Flume, Kanal};
pub use self::fanpool::Fanpool;
pub use self::ractor::Ractor;
pub use self::rayon::{RayonInstall, RayonSpawn, RayonSpawnFifo};
pub use self::rusty_pool::RustyPool;
pub use self::threadpool::ThreadPool;
pub use self::tokio::{TokioSpawn, TokioSpawnBlocking};
pub use self::tower::Tower;

use crate::work::{Count, Increment};
use futures_lite::future::block_on;

/// How much a bounded queue holds.
pub const CAPACITY: usize = 1024;

/// Something with workers that run jobs. A new one is built for each round, before the clock starts,
/// and shut down after it stopped.
pub trait Contender: Sync + Sized {
    const ABOUT: About;
    const NAME: &'static str = Self::ABOUT.name;

    /// With its workers started.
    fn build(workers: usize) -> Self;

    /// Called when all jobs are over: ends the workers.
    fn shut_down(self);
}

/// Takes jobs without giving their results.
pub trait Sends: Contender {
    /// What one producer holds.
    type Sender: Send;

    fn sender(&self) -> Self::Sender;

    /// Blocks while there is no room.
    fn send(sender: &Self::Sender, job: u64);
}

/// Takes jobs and gives each one's result.
pub trait Submits: Contender {
    /// Blocks while there is no room.
    fn submit(&self, job: u64) -> impl Handle;

    /// One job, there and back, while the calling thread waits.
    fn run(&self, job: u64) -> u64 {
        self.submit(job).wait()
    }

    /// One job, there and back, while the calling task waits.
    fn answer(&self, job: u64) -> impl Future<Output = u64> + Send {
        self.submit(job).answer()
    }
}

/// A job's result that is still to come.
pub trait Handle {
    /// For threads.
    fn wait(self) -> u64;

    /// For tasks.
    fn answer(self) -> impl Future<Output = u64> + Send;
}

/// The handle of those that have only futures: a thread blocks on it.
struct Answer<F>(F);

impl<F: Future<Output = u64> + Send> Handle for Answer<F> {
    fn wait(self) -> u64 {
        block_on(self.0)
    }

    fn answer(self) -> impl Future<Output = u64> + Send {
        self.0
    }
}

/// The handle of those that have no results of their own.
impl Handle for oneshot::Receiver<u64> {
    fn wait(self) -> u64 {
        self.recv().expect("the job completes")
    }

    async fn answer(self) -> u64 {
        self.await.expect("the job completes")
    }
}

/// Every contender of any workload.
pub const ALL: [About; 17] = [
    Fanpool::<Count>::ABOUT,
    Tower::<Increment>::ABOUT,
    ThreadPool::<Count>::ABOUT,
    RustyPool::<Count>::ABOUT,
    RayonSpawn::<Count>::ABOUT,
    RayonSpawnFifo::<Count>::ABOUT,
    RayonInstall::<Count>::ABOUT,
    TokioSpawn::<Count>::ABOUT,
    TokioSpawnBlocking::<Count>::ABOUT,
    AsyncExecutor::<Count>::ABOUT,
    Blocking::<Count>::ABOUT,
    AffinityPool::<Count>::ABOUT,
    Ractor::<Count>::ABOUT,
    Crossfire::<Count>::ABOUT,
    Crossbeam::<Count>::ABOUT,
    Kanal::<Count>::ABOUT,
    Flume::<Count>::ABOUT,
];

/// What a reader must know of a contender before comparing.
#[derive(Clone, Copy)]
pub struct About {
    pub name: &'static str,
    /// The crate whose version is told.
    pub package: &'static str,
    pub notes: &'static [Note],
    /// With which settings and calls it is measured.
    pub used: &'static str,
}

/// How a contender differs from a bounded pool of typed jobs with results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    Floor,
    Unbounded,
    Boxed,
    NoResult,
    ResultOnly,
    OneWorker,
    Global,
}

impl Note {
    pub const ALL: [Note; 7] = [
        Note::Floor,
        Note::Unbounded,
        Note::Boxed,
        Note::NoResult,
        Note::ResultOnly,
        Note::OneWorker,
        Note::Global,
    ];

    /// As a table has it.
    pub fn word(self) -> &'static str {
        match self {
            Note::Floor => "floor",
            Note::Unbounded => "unbounded",
            Note::Boxed => "boxed",
            Note::NoResult => "no result",
            Note::ResultOnly => "result only",
            Note::OneWorker => "one worker",
            Note::Global => "global",
        }
    }

    /// What the word means.
    pub fn meaning(self) -> &'static str {
        match self {
            Note::Floor => {
                "bare threads that receive from a channel: no pool, but the least that one could cost"
            }
            Note::Unbounded => {
                "no caller ever waits for room: all jobs of a round may be in memory at once"
            }
            Note::Boxed => "each job is a closure or a future in an allocation of its own",
            Note::NoResult => {
                "has no way of its own to give back a job's result; where it takes part all the same, \
                 each job has a channel from the crate `oneshot`"
            }
            Note::ResultOnly => {
                "a job whose result nobody waits for is dropped: not where there are no results"
            }
            Note::OneWorker => "has one worker, however many the table says",
            Note::Global => {
                "one pool for the whole program, whose greatest size is set for each round"
            }
        }
    }
}
