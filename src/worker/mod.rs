//! The loop that takes jobs and runs them.
//!
//! | worker | runs |
//! |---|---|
//! | [`SerialWorker`] | one job after the other (the default) |
//! | [`BatchWorker`] | several jobs at once, by a [`BatchHandler`] |
//! | your own [`Worker`] | jobs as it likes, taken from its [`Inbox`] |

mod assigned;
mod batch;
mod detached;
mod inbox;
mod life;
mod next;
mod place;
mod search;
mod serial;

pub use assigned::Assigned;
pub use batch::{Batch, BatchHandler, BatchWorker};
pub use detached::Detached;
pub use inbox::Inbox;
pub(crate) use life::WorkersOf;
pub use serial::SerialWorker;

use crate::handler::JobHandler;
use async_trait::async_trait;

/// A worker's loop: takes jobs from its inbox and has its handler run them.
///
/// # Contract
///
/// [`run`](Self::run) goes on until [`Inbox::next`] gives `None`, then returns. `None` means that the pool ends, or
/// that the handler may be broken, because it panicked or was dropped half-way. Then the pool makes a new handler and
/// calls `run` again.
///
/// The pool guarantees that one task at a time calls `run`, and that a job taken from the inbox belongs to this worker
/// alone. An implementation guarantees nothing:
///
/// - A job it drops is recorded as [`Abandoned`](crate::JobError::Abandoned).
/// - When it panics, the pool makes a new worker and a new handler.
/// - When it returns early, it is called again.
///
/// `run` may be dropped at any `await`, as by an executor that shuts down. Each call costs one allocation: one for each
/// life of a handler, not for each job.
///
/// Implementors put [`async_trait`](macro@crate::async_trait) on the `impl`, as below.
///
/// # Example
///
/// A worker that counts its jobs:
///
/// ```
/// use fanpool::{JobHandler, async_trait, worker::{Inbox, Worker}};
///
/// struct Counting(u64);
///
/// #[async_trait]
/// impl<J: Send + 'static, H: JobHandler<J>> Worker<J, H> for Counting {
///     async fn run(&mut self, inbox: &mut Inbox<J, H>, handler: &mut H) {
///         while let Some(job) = inbox.next().await {
///             job.run(handler).await;
///             self.0 += 1;
///         }
///     }
/// }
/// ```
///
/// Wrong: `tokio::time::timeout(limit, job.run(handler))`. It drops a handler half-way, which costs the job
/// (`Abandoned`) and the handler.
#[async_trait]
pub trait Worker<J, H: JobHandler<J>>: Send + 'static {
    /// Takes and runs jobs until the inbox has no more.
    async fn run(&mut self, inbox: &mut Inbox<J, H>, handler: &mut H);
}

#[async_trait]
impl<J: Send + 'static, H: JobHandler<J>> Worker<J, H> for Box<dyn Worker<J, H>> {
    async fn run(&mut self, inbox: &mut Inbox<J, H>, handler: &mut H) {
        (**self).run(inbox, handler).await;
    }
}
