//! What is compared: one file for each family.

pub mod awaited;
mod channels;
mod fanpool;
mod rusty_pool;
pub mod serving;
mod threadpool;

pub use self::channels::{Crossbeam, Crossfire};
pub use self::fanpool::Fanpool;
pub use self::rusty_pool::RustyPool;
pub use self::threadpool::ThreadPool;

use crate::work::Count;

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
    type Handle;

    /// Blocks while there is no room.
    fn submit(&self, job: u64) -> Self::Handle;

    fn wait(handle: Self::Handle) -> u64;

    /// One job, there and back.
    fn run(&self, job: u64) -> u64 {
        Self::wait(self.submit(job))
    }
}

/// Every contender of any workload.
pub const ALL: [About; 5] = [
    Fanpool::<Count>::ABOUT,
    ThreadPool::<Count>::ABOUT,
    RustyPool::<Count>::ABOUT,
    Crossfire::<Count>::ABOUT,
    Crossbeam::<Count>::ABOUT,
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
}

impl Note {
    pub const ALL: [Note; 4] = [Note::Floor, Note::Unbounded, Note::Boxed, Note::NoResult];

    /// As a table has it.
    pub fn word(self) -> &'static str {
        match self {
            Note::Floor => "floor",
            Note::Unbounded => "unbounded",
            Note::Boxed => "boxed",
            Note::NoResult => "no result",
        }
    }

    /// What the word means.
    pub fn meaning(self) -> &'static str {
        match self {
            Note::Floor => {
                "a bare channel with threads: no pool, but the least that one could cost"
            }
            Note::Unbounded => {
                "no caller ever waits for room, and all jobs of a round may be in memory at once"
            }
            Note::Boxed => "each job is a closure or a future in an allocation of its own",
            Note::NoResult => "has no way of its own to give back a job's result",
        }
    }
}
