//! Settings, their defaults, and their ranges.

use crate::desk::live::LiveDesk;
use crate::desk::{Desk, INBOX_DEPTH, MAX_INBOX_DEPTH, Strategy};
use crate::dispatcher::Dispatcher;
use crate::engine::{Common, CommonParts, Core, Parts, Several};
use crate::error::BuildError;
use crate::handler::JobHandlerFactory;
use crate::id::WorkerId;
use crate::outcome::cell::Cell;
use crate::outcome::log::ErrorLog;
use crate::outcome::recycler::Recycler;
use crate::outcome::registry::Home;
use crate::pool::{ErrorOf, OutputOf, Pool};
use crate::queue_order::{Fifo, QueueOrder};
use crate::spawner::{SpawnError, Spawner, Threads};
use crate::time::clock::{Clock, SystemClock};
use crate::time::timers::Timekeeper;
use crate::worker::{SerialWorker, Worker, WorkersOf};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

const MAX_DISPATCHERS: usize = 1 << 12;
const MAX_WORKERS: usize = 1 << 20;
const MAX_CAPACITY: u64 = 1 << 48;
const MAX_ERRORS: usize = 1 << 24;

/// Configures a pool and builds it: see [`Pool::builder`].
///
/// | setting | default | allowed |
/// |---|---|---|
/// | [`name`](Self::name) | `fanpool` | not empty, without NUL |
/// | [`dispatchers`](Self::dispatchers) | 1 | 1 to 4096 |
/// | [`workers_per_dispatcher`](Self::workers_per_dispatcher) | the machine's parallelism, over all dispatchers | at least 1, and at most 1 048 576 over all dispatchers |
/// | [`queue_capacity`](Self::queue_capacity) | 1000 units: jobs, or what they weigh | 1 to 2⁴⁸ |
/// | [`dispatcher`](Self::dispatcher) | [`Any`](crate::Any) | |
/// | [`inbox_depth`](Self::inbox_depth) | 4 jobs | 1 to 2³² - 1 |
/// | [`queue_order`](Self::queue_order) | [`Fifo`] | |
/// | [`worker`](Self::worker) | [`SerialWorker`] | |
/// | [`spawner`](Self::spawner) | [`Threads`] | |
/// | [`error_capacity`](Self::error_capacity) | 256 errors | 0 to 2²⁴ |
/// | [`clock`](Self::clock) | [`SystemClock`] | |
#[must_use = "a builder does nothing until `build`"]
pub struct PoolBuilder<J, H: JobHandlerFactory<J>> {
    factory: H,
    strategy: Box<dyn Fn() -> Strategy<J>>,
    order: Box<dyn Fn() -> Box<dyn QueueOrder<J>>>,
    worker: Arc<dyn Fn() -> Box<dyn Worker<J, H::Handler>> + Send + Sync>,
    several: Option<Several<J>>,
    settings: Settings,
}

/// The settings that do not depend on the type of jobs.
struct Settings {
    name: String,
    dispatchers: usize,
    workers_per_dispatcher: Option<usize>,
    queue_capacity: usize,
    inbox_depth: usize,
    spawner: Box<dyn Spawner>,
    error_capacity: usize,
    clock: Arc<dyn Clock>,
}

impl<J: Send + 'static, H: JobHandlerFactory<J>> Pool<J, H> {
    /// Starts building a pool. Its workers get their handlers from `factory`: [`handler_fn`](crate::handler_fn) and its
    /// like, [`handler_factory`](crate::handler_factory), or your own [`JobHandlerFactory`].
    pub fn builder(factory: H) -> PoolBuilder<J, H> {
        PoolBuilder::new(factory)
    }
}

impl<J, H> PoolBuilder<J, H>
where
    J: Send + 'static,
    H: JobHandlerFactory<J>,
{
    pub(crate) fn new(factory: H) -> Self {
        PoolBuilder {
            factory,
            strategy: Box::new(Strategy::any),
            order: Box::new(|| Box::new(Fifo::new())),
            worker: Arc::new(|| Box::new(SerialWorker::new())),
            several: None,
            settings: Settings::new(),
        }
    }

    /// Sets the pool's name, which its threads carry.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into();
        self
    }

    /// Sets how many dispatchers share the queue.
    ///
    /// Each has its own workers, strategy and backlog. One is right unless the strategy is costly or the workers are
    /// very many.
    pub fn dispatchers(mut self, count: usize) -> Self {
        self.several = (count > 1).then(Several::desks);
        self.settings.dispatchers = count;
        self
    }

    /// Sets how many workers each dispatcher has, and so how many of its jobs run at once.
    pub fn workers_per_dispatcher(mut self, count: usize) -> Self {
        self.settings.workers_per_dispatcher = Some(count);
        self
    }

    /// Sets how much may be accepted and not started, wherever it waits. The pool never exceeds it.
    ///
    /// The unit is what jobs weigh. A job weighs 1 unless it was given a [`weight`](crate::JobBuilder::weight), so
    /// without weights this is the number of jobs. With each job's size as its weight, it is a number of bytes. A
    /// permit counts until it is used or dropped.
    pub fn queue_capacity(mut self, units: usize) -> Self {
        self.settings.queue_capacity = units;
        self
    }

    /// Sets the strategy that picks a worker for each job. `make` is called once for each dispatcher.
    ///
    /// A closure can be a strategy. Its arguments' types have to be written out, unless it is given to
    /// [`Steer`](crate::Steer):
    ///
    /// ```
    /// use fanpool::{Job, Pool, Target, Workers, handler_fn};
    ///
    /// let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, std::io::Error>(n)))
    ///     .dispatcher(|| {
    ///         |job: &Job<u64>, workers: &Workers<'_>| match workers.get(*job.data() as usize % workers.len()) {
    ///             Some(worker) => Target::Worker(worker.id()),
    ///             None => Target::Any,
    ///         }
    ///     })
    ///     .build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dispatcher<D: Dispatcher<J>>(mut self, make: impl Fn() -> D + 'static) -> Self {
        self.strategy = Box::new(move || Strategy::new(Box::new(make())));
        self
    }

    /// Sets how many jobs the pool binds to a worker ahead, for strategies that choose workers: the k of JBSQ(k). They
    /// wait in the worker's inbox, where no other worker takes them from.
    ///
    /// A worker takes out as many at once as it runs in some 50 µs, up to 64. Where many workers share a core and jobs
    /// take less than a microsecond, it takes up to 256. The jobs it took have left the inbox.
    ///
    /// A small depth leaves the choice open for longer; a depth below four makes workers wait for the dispatcher
    /// between tiny jobs. With a depth beyond the queue's capacity, a job is bound as soon as a dispatcher sees it.
    pub fn inbox_depth(mut self, jobs: usize) -> Self {
        self.settings.inbox_depth = jobs;
        self
    }

    /// Sets the order in which waiting jobs leave a dispatcher's backlog. `make` is called once for each dispatcher.
    pub fn queue_order<Q: QueueOrder<J>>(mut self, make: impl Fn() -> Q + 'static) -> Self {
        self.order = Box::new(move || Box::new(make()));
        self
    }

    /// Sets the loop that takes jobs and has them run. `make` is called once for each worker, and again after a loop
    /// panicked.
    pub fn worker<W: Worker<J, H::Handler>>(
        mut self,
        make: impl Fn() -> W + Send + Sync + 'static,
    ) -> Self {
        self.worker = Arc::new(move || Box::new(make()));
        self
    }

    /// Sets where workers live: on [`Threads`], or wherever a closure takes each worker's future.
    ///
    /// ```
    /// use fanpool::{Pool, async_handler_fn};
    ///
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// let pool = Pool::builder(async_handler_fn(|n: u64| async move { Ok::<_, std::io::Error>(n + 1) }))
    ///     .spawner(|worker| {
    ///         tokio::spawn(worker);
    ///     })
    ///     .build()?;
    /// assert_eq!(pool.run(1).await?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawner(mut self, spawner: impl Spawner) -> Self {
        self.settings.spawner = Box::new(spawner);
        self
    }

    /// Sets how many errors of jobs without a handle are kept for [`errors`](crate::Submitter::errors). When there are
    /// more, the oldest is dropped and counted.
    pub fn error_capacity(mut self, errors: usize) -> Self {
        self.settings.error_capacity = errors;
        self
    }

    /// Sets where the pool gets its time from. Another clock is for tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// Builds the pool and starts its workers. They get their handlers afterwards: see
    /// [`ready`](crate::Submitter::ready).
    ///
    /// # Errors
    ///
    /// - [`BuildError::Setting`]: a setting is out of range, of this builder or of the queue order
    ///   ([`QueueOrder::check`]).
    /// - [`BuildError::Spawn`]: the spawner refused a worker, or dropped all of them. Workers that already started end
    ///   by themselves.
    ///
    /// # Panics
    ///
    /// When a closure that makes a strategy or an order panics, or an order or strategy that is asked about itself.
    pub fn build(self) -> Result<Pool<J, H>, BuildError> {
        let PoolBuilder {
            factory,
            strategy,
            order,
            worker,
            several,
            settings,
        } = self;
        let (depth, error_capacity) = (settings.inbox_depth, settings.error_capacity);
        let common = settings.into_parts()?;
        let workers = common.workers;
        let mut desks = Vec::with_capacity(common.dispatchers);
        let mut affinity = None;
        let mut key_bound = None;
        for dispatcher in 0..common.dispatchers {
            let order = order();
            order.check()?;
            key_bound = order.key_bound();
            let desk = Desk::with_strategy(dispatcher, order, strategy(), workers, depth);
            if dispatcher == 0 {
                affinity = desk.affinity();
            }
            let alone = common.dispatchers == 1;
            let (dedicated, cores) = (common.dedicated, common.cores);
            desks.push(Arc::new(LiveDesk::new(
                dispatcher, desk, workers, alone, dedicated, cores,
            )));
        }
        let core = Core::new(Parts {
            common,
            key_bound,
            errors: Arc::new(ErrorLog::<ErrorOf<J, H>>::new(error_capacity)),
            recycler: |pool, most| {
                Recycler::<Cell<J, OutputOf<J, H>, ErrorOf<J, H>>>::new(pool, most)
            },
            desks,
            affinity,
            several,
            workers_of: Box::new(Arc::new(WorkersOf {
                factory,
                make: worker,
            })),
        });
        let pool = Pool::new(core.clone());
        match core.start_workers().or_else(|| core.refuses_to_start()) {
            None => Ok(pool),
            Some(refused) => Err(refused),
        }
    }
}

impl<J: Send + 'static> Core<J> {
    /// After a refusal, the places of the other workers are only freed.
    #[inline(never)]
    fn start_workers(self: &Arc<Self>) -> Option<BuildError> {
        let mut refused = None;
        for desk in &self.desks {
            for seat in desk.seats() {
                if refused.is_none() {
                    let Err(source) = self.spawn(seat.id, false) else {
                        continue;
                    };
                    self.close();
                    let worker = seat.id;
                    refused = Some(BuildError::Spawn { worker, source });
                }
                self.worker_left(seat.id);
            }
        }
        refused
    }
}

impl Common {
    fn refuses_to_start(&self) -> Option<BuildError> {
        (self.roster.live() == 0).then(|| BuildError::Spawn {
            worker: WorkerId::new(0, 0),
            source: SpawnError::new(
                "every worker's task was dropped unpolled (a spawner has to keep what it is given: \
                 smol's `spawn`, for one, needs a `detach`)",
            ),
        })
    }
}

impl Settings {
    fn new() -> Self {
        Settings {
            name: "fanpool".to_owned(),
            dispatchers: 1,
            workers_per_dispatcher: None,
            queue_capacity: 1000,
            inbox_depth: INBOX_DEPTH,
            spawner: Box::new(Threads::new()),
            error_capacity: 256,
            clock: Arc::new(SystemClock),
        }
    }

    /// Checks the settings, tells the spawner the pool's name, and asks it whether workers have threads of their own.
    fn into_parts(mut self) -> Result<CommonParts, BuildError> {
        let workers = self.check()?;
        self.spawner.set_pool_name(&self.name);
        Ok(CommonParts {
            capacity: self.queue_capacity as u64,
            dispatchers: self.dispatchers,
            workers,
            time: Timekeeper::new(self.clock, format!("{}-time", self.name)),
            cores: cores(),
            dedicated: self.spawner.is_dedicated(),
            spawner: self.spawner,
            name: self.name,
        })
    }

    /// Returns the number of workers for each dispatcher.
    fn check(&self) -> Result<usize, BuildError> {
        let setting = |setting, value: String, allowed: String| {
            Err(BuildError::Setting {
                setting,
                value,
                allowed,
            })
        };
        if self.name.is_empty() || self.name.contains('\0') {
            let allowed = "a name that is not empty and has no NUL".to_owned();
            return setting("name", format!("{:?}", self.name), allowed);
        }
        if !(1..=MAX_DISPATCHERS).contains(&self.dispatchers) {
            let allowed = format!("1 to {MAX_DISPATCHERS}");
            return setting("dispatchers", self.dispatchers.to_string(), allowed);
        }
        let workers = self
            .workers_per_dispatcher
            .unwrap_or_else(|| cores().div_ceil(self.dispatchers));
        let most = MAX_WORKERS / self.dispatchers;
        if !(1..=most).contains(&workers) {
            let allowed = format!("1 to {most} with {} dispatchers", self.dispatchers);
            return setting("workers_per_dispatcher", workers.to_string(), allowed);
        }
        if !(1..=MAX_CAPACITY).contains(&(self.queue_capacity as u64)) {
            let allowed = format!("1 to {MAX_CAPACITY}");
            return setting("queue_capacity", self.queue_capacity.to_string(), allowed);
        }
        if !(1..=MAX_INBOX_DEPTH).contains(&self.inbox_depth) {
            let allowed = format!("1 to {MAX_INBOX_DEPTH}");
            return setting("inbox_depth", self.inbox_depth.to_string(), allowed);
        }
        if self.error_capacity > MAX_ERRORS {
            let allowed = format!("0 to {MAX_ERRORS}");
            return setting("error_capacity", self.error_capacity.to_string(), allowed);
        }
        Ok(workers)
    }
}

impl<J, H: JobHandlerFactory<J>> fmt::Debug for PoolBuilder<J, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder")
            .field("name", &self.settings.name)
            .field("dispatchers", &self.settings.dispatchers)
            .field(
                "workers_per_dispatcher",
                &self.settings.workers_per_dispatcher,
            )
            .field("queue_capacity", &self.settings.queue_capacity)
            .finish_non_exhaustive()
    }
}

/// How many threads this process can run at a time, as far as the system says.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
