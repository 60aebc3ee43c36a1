//! What takes jobs from tasks, which await each one's result. Clients, workers and whatever is between
//! them live on one executor, unless the contender says otherwise.

mod channel;
mod fanpool;
mod ractor;
mod spawn;
mod tower;

pub use self::channel::Channel;
pub use self::fanpool::{FanpoolAsync, FanpoolThreads};
pub use self::ractor::Factory;
pub use self::spawn::Spawn;
pub use self::tower::{Tower, TowerLimited};

use super::About;
use crate::runtime::Runtime;
use std::future::Future;

/// A new one is built for each round, before the clock starts, and shut down after it stopped. Every job
/// is a `u64`, and its result is that plus one.
pub trait Awaited<R: Runtime>: Sized + 'static {
    const ABOUT: About;

    /// What one client holds.
    type Client: Send + 'static;

    fn build(runtime: &R, workers: usize) -> Self;

    fn client(&self) -> Self::Client;

    /// Waits for room, if need be, and for the result.
    fn run(client: &mut Self::Client, job: u64) -> impl Future<Output = u64> + Send;

    /// Called when all jobs are over, and the executor is still there.
    fn shut_down(self);
}
