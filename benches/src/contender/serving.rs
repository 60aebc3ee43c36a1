//! What serves requests that come by a schedule, so many at once, on tokio.

mod channel;
mod fanpool;
mod ractor;
mod spawn;
mod tower;

pub use self::channel::Channel;
pub use self::fanpool::Fanpool;
pub use self::ractor::Factory;
pub use self::spawn::{Spawn, Unlimited};
pub use self::tower::Tower;

use super::About;
use crate::requests::Requests;
use crate::runtime::Tokio;
use std::sync::Arc;

/// A new one is built for each run, and shut down after it.
pub trait Serving: Sized {
    const ABOUT: About;

    fn build(runtime: &Tokio, width: usize, requests: &Arc<Requests>) -> Self;

    /// Called by one thread, outside of the executor, which may be blocked while there is no room.
    fn take(&mut self, number: u32);

    /// Called when all requests are served, and the executor is still there.
    fn shut_down(self);
}
