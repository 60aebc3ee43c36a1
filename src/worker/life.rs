//! The life of a worker: it gets a handler, runs its loop, and is made whole again after a panic.
//!
//! The task given to a spawner holds a worker's place. However the task ends, dropping it frees the place:
//!
//! - A task that ran to its end: the worker has *left*.
//! - A task dropped before its end: the worker is *lost*, and is replaced.
//! - A replacement dropped before its first poll proves that nothing will run any. The pool collapses, and every
//!   waiting job is abandoned.

use super::Worker;
use super::inbox::Inbox;
use crate::engine::roster::Stage;
use crate::engine::{Common, Core, WorkerFactory};
use crate::handler::{FactoryError, JobHandler, JobHandlerFactory};
use crate::id::WorkerId;
use crate::sync::boxed::BoxFuture;
use crate::sync::panics::{ContainedBox, Panic, dispose};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// A failing factory is asked again after `RETRY_FIRST`, then after twice as long each time, up to `RETRY_LAST`.
const RETRY_FIRST: Duration = Duration::from_millis(10);
const RETRY_LAST: Duration = Duration::from_secs(10);

pub(crate) struct WorkersOf<J, F: JobHandlerFactory<J>> {
    pub(crate) factory: F,
    pub(crate) make: Arc<dyn Fn() -> Box<dyn Worker<J, F::Handler>> + Send + Sync>,
}

impl<J, F> WorkerFactory<J> for Arc<WorkersOf<J, F>>
where
    J: Send + 'static,
    F: JobHandlerFactory<J>,
{
    fn life(&self, core: Arc<Core<J>>, worker: WorkerId) -> BoxFuture<'static, ()> {
        Box::pin(live(core, worker, self.clone()))
    }
}

/// A pool may have thousands of sleeping workers, so little is kept meanwhile: rare steps are boxed, and no argument is
/// kept twice, as an `async fn` would.
#[expect(clippy::manual_async_fn, reason = "it would keep its arguments twice")]
fn live<J, F>(
    core: Arc<Core<J>>,
    id: WorkerId,
    workers_of: Arc<WorkersOf<J, F>>,
) -> impl Future<Output = ()> + Send
where
    J: Send + 'static,
    F: JobHandlerFactory<J>,
{
    async move {
        let mut tenure = Tenure(Inbox::new(core.clone(), id));
        let mut worker = None;
        let mut pace = Pace::new();
        while let Some(mut handler) =
            Box::pin(hire(&core, id, &workers_of.factory, &mut pace)).await
        {
            core.desk(id).set_present(id.index(), true);
            core.roster.set(id, Stage::Ready);
            tenure.0.mend();
            let taken = tenure.0.taken();
            // The worker's loop, called again if it returned early and left the handler unharmed.
            let unharmed = loop {
                let taken_before = tenure.0.taken();
                let ended =
                    begin(&mut tenure.0, &mut worker, &mut handler, &*workers_of.make).await;
                if let Err(panic) = ended {
                    dispose(panic);
                    break false;
                }
                let inbox = &tenure.0;
                if inbox.is_broken() || inbox.is_leaving() || inbox.taken() == taken_before {
                    break true;
                }
            };
            tenure.0.finish();
            // Before the handler is dropped, which is foreign code and may take its time.
            if core.desk(id).step_out(id.index()) {
                core.wake_for_work();
            }
            dispose(handler);
            if tenure.0.is_leaving() {
                break;
            }
            core.wake_for_work();
            if !unharmed {
                dispose(worker.take());
            }
            if tenure.0.taken() == taken {
                // A loop that does nothing but end would keep a core busy, and in a closed pool for ever.
                if !pace.wait(&core).await {
                    break;
                }
            } else {
                pace = Pace::new();
            }
        }
        dispose(worker);
    }
}

/// Settles what a worker's loop forgot, also when its task is dropped.
struct Tenure<J: Send + 'static, H: JobHandler<J>>(Inbox<J, H>);

impl<J: Send + 'static, H: JobHandler<J>> Drop for Tenure<J, H> {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// Begins the worker's loop, with a new worker if there is none. The future tells whether either panicked.
fn begin<'a, J, H>(
    inbox: &'a mut Inbox<J, H>,
    worker: &'a mut Option<Box<dyn Worker<J, H>>>,
    handler: &'a mut H,
    make: &(dyn Fn() -> Box<dyn Worker<J, H>> + Send + Sync),
) -> ContainedBox<'a>
where
    J: Send + 'static,
    H: JobHandler<J>,
{
    ContainedBox::make(|| {
        let worker = worker.get_or_insert_with(make);
        // Not the box's own `run`, which would box what it runs once more.
        (**worker).run(inbox, handler)
    })
}

/// Gets a handler, asking again and again. `None`: the pool needs no handler any more, or it is closed and the factory
/// failed.
async fn hire<J, F>(
    core: &Core<J>,
    id: WorkerId,
    factory: &F,
    pace: &mut Pace,
) -> Option<F::Handler>
where
    J: Send + 'static,
    F: JobHandlerFactory<J>,
{
    loop {
        let mut created = None;
        let ended = {
            let mut create = ContainedBox::make(|| {
                let created = &mut created;
                Box::pin(async move { *created = Some(factory.create(id).await) })
            });
            let create = Pin::new(&mut create);
            until(core, Common::is_over, create).await?
        };
        let source = match (ended, created) {
            (Ok(()), Some(Ok(handler))) => return Some(handler),
            (Ok(()), Some(Err(error))) => error,
            (Ok(()), None) => unreachable!("it has come to its end"),
            (Err(panic), created) => {
                dispose(created);
                format!("the factory panicked: {panic}").into()
            }
        };
        if !pace.wait_after(core, FactoryError::new(id, source)).await {
            return None;
        }
    }
}

/// The pause before the next try, by how many there were.
struct Pace(u8);

// Boxes: rare waits are compiled once and not for each type of jobs.
impl Pace {
    fn new() -> Self {
        Pace(0)
    }

    /// Waits, twice as long each time, or not at all in a closed pool. Returns whether the pool is still open.
    fn wait<'a>(&'a mut self, common: &'a Common) -> BoxFuture<'a, bool> {
        Box::pin(async {
            let limit = RETRY_FIRST * (1 << self.0.min(31));
            let sleep = common.time.sleep(limit.min(RETRY_LAST));
            let sleep = pin!(async {
                sleep.await;
                Ok::<(), Panic>(())
            });
            let closed = |common: &Common| common.gate.is_closed();
            until(common, closed, sleep).await;
            self.0 = self.0.saturating_add(1);
            !common.gate.is_closed()
        })
    }

    /// The same for a worker whose factory failed, which is recorded in the roster.
    fn wait_after<'a>(
        &'a mut self,
        common: &'a Common,
        error: FactoryError,
    ) -> BoxFuture<'a, bool> {
        let id = error.worker();
        common.roster.set(id, Stage::Failing(Box::new(error)));
        Box::pin(async { !common.gate.is_closed() && self.wait(common).await })
    }
}

/// Polls until it is ready, or until the pool's state makes it pointless (`None`).
fn until<'a>(
    common: &'a Common,
    pointless: fn(&Common) -> bool,
    mut future: Pin<&'a mut (dyn Future<Output = Result<(), Panic>> + Send)>,
) -> BoxFuture<'a, Option<Result<(), Panic>>> {
    Box::pin(async move {
        loop {
            let mut news = common.roster.listen();
            if pointless(common) {
                return None;
            }
            let ready = poll_fn(|cx| {
                if let Poll::Ready(output) = future.as_mut().poll(cx) {
                    return Poll::Ready(Some(output));
                }
                Pin::new(&mut news).poll(cx).map(|()| None)
            })
            .await;
            if ready.is_some() {
                return ready;
            }
        }
    })
}
