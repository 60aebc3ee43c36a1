//! Strategies: which worker of a dispatcher gets a job.
//!
//! | strategy | a job goes to | bad at | cost a job |
//! |---|---|---|---|
//! | [`Any`] | the first worker that asks (the default, and hard to beat) | sending jobs to their data | O(1) |
//! | [`RoundRobin`] | the next worker in turn | jobs of unequal length | O(1) |
//! | [`LeastBusy`] | the worker with the fewest jobs waiting and running | very many workers | O(workers) |
//! | [`TwoChoices`] | the less busy of two drawn at random | finding the last idle worker | O(1) |
//! | [`Random`] | one drawn at random | most things: a yardstick | O(1) |
//! | [`Weighted`] | the next in turn, some more often than others | wrong weights | O(workers) |
//! | [`KeyAffinity`] | the worker that has its key's jobs | sharing out work | O(1) to O(workers) |
//! | [`Steer`], or a closure `\|job: &Job<_>, workers: &Workers<'_>\| -> Target` | wherever it says | | its own |
//!
//! The O(1) costs have exceptions while inboxes are full. All strategies but `Any` bind jobs to workers early, which
//! also costs waiting time: a job may wait for a busy worker while another is idle.
//!
//! Jobs bound to a worker wait in that worker's inbox. The pool fills four places of it ahead
//! ([`inbox_depth`](crate::PoolBuilder::inbox_depth)). No other worker takes jobs from there while that worker lives.

mod any;
mod key_affinity;
mod least_busy;
mod random;
mod round_robin;
mod steer;
mod two_choices;
mod weighted;

pub use crate::keys::affinity::Affinity;
pub use any::Any;
pub use key_affinity::KeyAffinity;
pub use least_busy::LeastBusy;
pub use random::Random;
pub use round_robin::RoundRobin;
pub use steer::Steer;
pub use two_choices::TwoChoices;
pub use weighted::Weighted;

use crate::id::WorkerId;
use crate::job::Job;
use crate::keys::holders::{Holders, Slot};
use crate::metrics::WorkerCounts;
use crate::sync::atomic::{AtomicU64, Ordering::*};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Chooses a worker for each job of one dispatcher.
///
/// # Contract
///
/// The pool calls [`dispatch`](Self::dispatch) once per job, in queue order, while at least one worker has room in its
/// inbox. Nothing else is promised: neither the calling thread (a worker or a submitter dispatches) nor the time of the
/// call.
///
/// An implementation only chooses: no I/O, no clock, no waiting. It runs under the dispatcher's lock, so all of the
/// dispatcher's workers wait for it. It may submit to the pool and read its metrics; a call that would wait for the
/// pool returns `WouldDeadlock`. If it panics, the job goes to [`Target::Any`], and
/// [`Metrics::faults`](crate::Metrics::faults) counts the panic.
///
/// # Example
///
/// Small jobs go to the worker that asks first, big ones to the first idle worker:
///
/// ```
/// use fanpool::{Job, Target, Workers};
///
/// let strategy = |job: &Job<Vec<u8>>, workers: &Workers<'_>| {
///     if job.data().len() < 4096 {
///         return Target::Any;
///     }
///     match workers.iter().find(|worker| worker.is_idle()) {
///         Some(worker) => Target::Worker(worker.id()),
///         None => Target::Any,
///     }
/// };
/// # fn check<D: fanpool::Dispatcher<Vec<u8>>>(_: D) {}
/// # check(strategy);
/// ```
///
/// Do not keep a `WorkerId` from an earlier call: its worker may be gone by now, and then the job goes to `Any`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not choose workers for jobs of type `{J}`",
    note = "a closure does: `|job: &Job<_>, workers: &Workers<'_>| -> Target {{ .. }}`, `Send + 'static`"
)]
pub trait Dispatcher<J>: Send + 'static {
    /// Chooses a worker for `job`. `workers` shows the workers that can take one.
    fn dispatch(&mut self, job: &Job<J>, workers: &Workers<'_>) -> Target;

    /// Returns whether every answer is [`Target::Any`]. If so, the pool does not ask, and jobs wait in the queue until
    /// a worker takes one.
    fn late_binding(&self) -> bool {
        false
    }

    /// Returns which jobs must stay together, if any. The pool then tracks keys: [`dispatch`](Self::dispatch) finds the
    /// job's key by [`Workers::key`], and the worker that has its other jobs by [`Workers::holder_of`]. Called once.
    /// With several dispatchers, the first one's answer holds for all.
    fn affinity(&self) -> Option<Affinity<J>> {
        None
    }
}

impl<J, F> Dispatcher<J> for F
where
    F: FnMut(&Job<J>, &Workers<'_>) -> Target + Send + 'static,
{
    fn dispatch(&mut self, job: &Job<J>, workers: &Workers<'_>) -> Target {
        self(job, workers)
    }
}

impl<J: 'static> Dispatcher<J> for Box<dyn Dispatcher<J>> {
    fn dispatch(&mut self, job: &Job<J>, workers: &Workers<'_>) -> Target {
        (**self).dispatch(job, workers)
    }

    fn late_binding(&self) -> bool {
        (**self).late_binding()
    }

    fn affinity(&self) -> Option<Affinity<J>> {
        (**self).affinity()
    }
}

/// Where a job goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// To the first worker that asks for a job. Until one does, no job behind it is dispatched.
    Any,
    /// To this worker's inbox, even if it is full. The job waits for the worker, and no other gets it while that worker
    /// lives.
    Worker(WorkerId),
}

/// The workers of one dispatcher, as a strategy sees them.
///
/// The view is lazy: what only some strategies need is read when they ask for it, so it costs the others nothing.
#[derive(Clone, Copy)]
pub struct Workers<'a> {
    all: &'a All<'a>,
    /// The dispatched job's key, and the slot in which it was found.
    key: Option<(u64, Slot)>,
}

/// What can be seen of a desk's workers. Held by reference, so that views of single workers, which strategies create,
/// compare and discard in numbers, are small.
pub(crate) struct All<'a> {
    pub(crate) dispatcher: usize,
    pub(crate) places: &'a [Place],
    pub(crate) vitals: &'a [Vitals],
    pub(crate) depth: usize,
    pub(crate) holders: &'a Holders,
}

/// What the desk knows of one worker.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// It has a handler.
    pub(crate) hired: bool,
    /// Its job waits for this very pool.
    pub(crate) away: bool,
    /// It can take jobs: hired and not away.
    pub(crate) present: bool,
    /// It was present once, or will not come. A worker that has yet to come is worth waiting for.
    pub(crate) seen: bool,
    /// It runs what it has, and gets nothing more.
    pub(crate) retiring: bool,
    pub(crate) busy: bool,
    pub(crate) queued: usize,
    /// Jobs it took along with the one it runs.
    pub(crate) ahead: usize,
    /// Weight of the jobs in its inbox.
    pub(crate) queued_weight: u64,
    /// Weight of the jobs taken last, which run while the worker is busy.
    pub(crate) taken_weight: u64,
    /// When it last went idle, on the desk's count of such events.
    pub(crate) idle_since: u64,
}

/// Up to this many workers get a pair of cache lines each; larger pools are packed densely.
const FEW: usize = 64;

/// What a worker writes and a strategy may read, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Vitals {
    pub(crate) counts: WorkerCounts,
    /// A moving average, in nanoseconds; 0 if not known.
    service: AtomicU64,
}

impl Vitals {
    /// The vitals of `workers` workers. In a small pool they lie a pair of cache lines apart, because current x86-64
    /// processors fetch lines in pairs; in a large one, neighbours are seldom at work at the same time.
    pub(crate) fn of(workers: usize) -> Arc<[Vitals]> {
        let apart = if workers <= FEW {
            2 * workers
        } else {
            workers.max(2 * FEW + 1)
        };
        (0..apart).map(|_| Vitals::default()).collect()
    }

    #[inline]
    pub(crate) fn of_worker(all: &[Vitals], worker: usize) -> &Vitals {
        &all[Vitals::place(all, worker)]
    }

    /// Returns the position of a worker's vitals among all.
    pub(crate) fn place(all: &[Vitals], worker: usize) -> usize {
        let few = all.len() <= 2 * FEW;
        worker << usize::from(few)
    }

    #[cfg(not(any(fanpool_loom, fanpool_shuttle)))]
    pub(crate) fn set_service(&self, nanos: u64) {
        self.service.store(nanos, Relaxed);
    }
}

impl<'a> Workers<'a> {
    pub(crate) fn new(all: &'a All<'a>, key: Option<(u64, Slot)>) -> Self {
        Workers { all, key }
    }

    /// Returns the dispatcher's number of places. Indices are below it; some places may be vacant.
    pub fn len(&self) -> usize {
        self.all.places.len()
    }

    /// Returns whether there are no places, which is never the case while jobs are dispatched.
    pub fn is_empty(&self) -> bool {
        self.all.places.is_empty()
    }

    /// Returns the worker at `index`, unless it is gone or cannot take jobs now. O(1).
    pub fn get(&self, index: usize) -> Option<WorkerView<'a>> {
        let all = self.all;
        let place = all.places.get(index)?;
        place.present.then_some(WorkerView { index, place, all })
    }

    /// Iterates over the workers that can take jobs, by index.
    pub fn iter(&self) -> impl Iterator<Item = WorkerView<'a>> + use<'a> {
        let workers = *self;
        (0..self.len()).filter_map(move |index| workers.get(index))
    }

    /// Returns the dispatched job's key by the strategy's [affinity](Dispatcher::affinity), if it has one.
    pub fn key(&self) -> Option<u64> {
        self.key.map(|(key, _)| key)
    }

    /// Returns the worker that has jobs of this key running or waiting in its inbox. Sending the job there keeps the
    /// key's jobs in order. Returns `None` if there is no such worker, or if the strategy has no
    /// [affinity](Dispatcher::affinity). O(1).
    pub fn holder_of(&self, key: u64) -> Option<WorkerView<'a>> {
        let holder = match self.key {
            Some((known, slot)) if known == key => self.all.holders.holder(slot),
            _ => self.all.holders.holder_of(key),
        };
        self.get(holder?)
    }

    /// Returns the worker that last had jobs of this key, if nothing has changed since it got them: no worker came,
    /// went, stood aside or began to retire, and the strategy was not swapped. Spares strategies that tie keys to
    /// workers from computing the worker again. Keys that no worker holds are remembered only for a while. O(1).
    pub fn last_holder_of(&self, key: u64) -> Option<WorkerView<'a>> {
        let holder = match self.key {
            Some((known, slot)) if known == key => self.all.holders.last_holder(slot),
            _ => self.all.holders.last_holder_of(key),
        };
        self.get(holder?)
    }
}

impl fmt::Debug for Workers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// One worker, as a strategy sees it.
#[derive(Clone, Copy)]
pub struct WorkerView<'a> {
    index: usize,
    place: &'a Place,
    all: &'a All<'a>,
}

impl WorkerView<'_> {
    /// Returns its id, for [`Target::Worker`].
    pub fn id(&self) -> WorkerId {
        WorkerId::new(self.all.dispatcher, self.index)
    }

    /// Returns its index among the dispatcher's places.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Returns whether it finishes what it has and takes nothing more. A job sent there goes to [`Target::Any`].
    pub fn is_retiring(&self) -> bool {
        self.place.retiring
    }

    /// Returns whether it has taken a job and not asked for another since.
    pub fn is_busy(&self) -> bool {
        self.place.busy
    }

    /// Returns whether it neither runs a job nor has one waiting.
    pub fn is_idle(&self) -> bool {
        self.load() == 0
    }

    /// Returns how many jobs wait in its inbox.
    pub fn queued(&self) -> usize {
        self.place.queued
    }

    /// Returns how many jobs the pool binds ahead at most: [`inbox_depth`](crate::PoolBuilder::inbox_depth).
    pub fn depth(&self) -> usize {
        self.all.depth
    }

    /// Returns how many jobs run or wait in its inbox. A worker takes several tiny jobs at once; they count as running
    /// until it asks for more.
    pub fn load(&self) -> usize {
        self.place.queued + usize::from(self.place.busy) + self.place.ahead
    }

    /// Returns the weight of the jobs that run or wait in its inbox, in units of the queue's capacity.
    pub fn weight(&self) -> u64 {
        let running = if self.place.busy {
            self.place.taken_weight
        } else {
            0
        };
        self.place.queued_weight + running
    }

    /// Returns whether it takes jobs and its inbox is below the depth.
    pub fn has_room(&self) -> bool {
        !self.place.retiring && self.place.queued < self.all.depth
    }

    /// Returns when it last went idle, as a count that only grows: the lower, the longer ago.
    pub fn idle_since(&self) -> u64 {
        self.place.idle_since
    }

    /// Returns how many jobs it has ended so far, whether they succeeded, failed or were detached. Five loads.
    pub fn completed(&self) -> u64 {
        self.vitals().counts.total_finished()
    }

    /// Returns a moving average of how long its recent jobs took, or `None` before it was measured. Workers on the
    /// pool's own threads and on executors measure about one job in sixteen. One load.
    pub fn service_time(&self) -> Option<Duration> {
        let nanos = self.vitals().service.load(Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    fn vitals(&self) -> &Vitals {
        Vitals::of_worker(self.all.vitals, self.index)
    }
}

impl fmt::Debug for WorkerView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerView")
            .field("id", &self.id())
            .field("queued", &self.queued())
            .field("load", &self.load())
            .finish()
    }
}
