//! The loop that takes jobs and runs them.
//!
//! | worker | runs |
//! |---|---|
//! | [`SerialWorker`] | one job after the other (the default) |
//! | [`BatchWorker`] | several jobs at once, by a [`BatchHandler`] |
//! | your own [`Worker`] | jobs as it likes, taken from its [`Inbox`] |

mod batch;
mod detached;
mod hand;
mod inbox;
mod life;
mod search;
mod serial;

pub use batch::{Batch, BatchHandler, BatchWorker};
pub use detached::Detached;
pub(crate) use hand::{Appetite, Hand, Usual};
pub use inbox::{Assigned, Inbox};
pub(crate) use life::{Crew, CrewOf};
pub use serial::SerialWorker;

use crate::handler::JobHandler;
use async_trait::async_trait;
use std::fmt;

/// A worker's loop: takes jobs from its inbox and has them run by its handler.
///
/// # Contract
///
/// [`run`](Self::run) goes on until [`Inbox::next`] gives `None`, then returns. `None` means that the
/// pool ends, or that the handler may be broken, because it panicked or was dropped half-way: then the
/// pool makes a new handler and calls `run` again.
///
/// The pool guarantees that `run` is called by one task at a time, and that a job taken from the inbox
/// belongs to this worker alone. An implementation guarantees nothing: a job it drops is recorded as
/// [`Abandoned`](crate::JobError::Abandoned); when it panics, the pool makes a new worker and a new
/// handler; when it returns early, it is called again.
///
/// `run` may be dropped at any `await` (an executor that shuts down does so). It costs one allocation
/// each time it is called, that is, per life of a handler and not per job.
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
/// Wrong: `tokio::time::timeout(limit, job.run(handler))`. It drops a handler half-way, which costs the
/// job (`Abandoned`) and the handler.
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

/// Names a worker: the number of its dispatcher, and its own number there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId {
    /// The dispatcher's in the upper half. A strategy answers with this for each job, and one word comes in a register.
    numbers: u64,
}

impl WorkerId {
    pub(crate) const FIRST: WorkerId = WorkerId { numbers: 0 };

    pub(crate) fn new(dispatcher: usize, index: usize) -> Self {
        // The builder allows far fewer than there is room for.
        WorkerId {
            numbers: (dispatcher as u64) << 32 | index as u64,
        }
    }

    /// The number of its dispatcher, from 0.
    pub fn dispatcher(self) -> usize {
        (self.numbers >> 32) as usize
    }

    /// Its number among the dispatcher's workers, from 0.
    pub fn index(self) -> usize {
        self.numbers as u32 as usize
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.dispatcher(), self.index())
    }
}

impl fmt::Debug for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorkerId({self})")
    }
}
