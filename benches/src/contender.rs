//! What is compared: one file for each family.

mod channels;
mod fanpool;
mod rusty_pool;
mod threadpool;

pub use self::channels::{Crossbeam, Crossfire};
pub use self::fanpool::Fanpool;
pub use self::rusty_pool::RustyPool;
pub use self::threadpool::ThreadPool;

/// How much a bounded queue holds.
pub const CAPACITY: usize = 1024;

/// Something with workers that run jobs. A new one is built for each round, before the clock starts,
/// and shut down after it stopped.
pub trait Contender: Sync + Sized {
    const NAME: &'static str;
    const KIND: Kind;

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

/// What a reader must know before comparing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A bounded queue of typed jobs.
    Typed,
    /// An unbounded queue of boxed closures.
    Boxed,
    /// A bounded channel with bare threads: no pool, but the least that a pool could cost.
    Channel,
}
