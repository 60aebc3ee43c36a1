//! Everything goes wrong at once: random calls from several threads on a pool whose foreign parts
//! (handlers, jobs, strategy, order, wakers, factory, spawner, executor, clock) fail at random.
//!
//! Each run follows a plan drawn from a seed. `FANPOOL_SEED=n` runs that plan alone, `FANPOOL_ROUNDS=n`
//! runs more of them. A plan fixes what each thread does, not how the threads are interleaved, so a
//! rare failure may take several runs of its seed to come back.

use crate::common::by_hand::ByHand;
use crate::common::{Ledger, Payload, assert_conserved, lock, watched};
use fanpool::clock::ManualClock;
use fanpool::{
    AdaptiveLifo, EarliestDeadline, FairShare, KeyAffinity, Priority, Random, TwoChoices, Weighted,
};
use fanpool::{
    CancelHandle, Dispatcher, Fifo, GroupHandle, Job, JobContext, JobError, JobHandle, JobHandler,
    LeastBusy, Metrics, Pool, QueueOrder, Queued, RoundRobin, ShutdownReport, SubmitError,
    Submitter, Target, WeakSubmitter, WorkerId, Workers, async_handler_fn, handler_factory,
};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::sync::{Arc, Barrier, Mutex, OnceLock, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// SplitMix64: small, and shared without a lock.
struct Dice(AtomicU64);

impl Dice {
    fn new(seed: u64) -> Self {
        Dice(AtomicU64::new(seed.wrapping_mul(0xff51_afd7_ed55_8ccd)))
    }

    fn next(&self) -> u64 {
        let step = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(step, Relaxed).wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn roll(&self, sides: u64) -> u64 {
        self.next() % sides
    }

    fn one_in(&self, n: u64) -> bool {
        self.roll(n) == 0
    }

    /// A panic without a message on the screen.
    fn maybe_panic(&self, one_in: u64) {
        if self.one_in(one_in) {
            resume_unwind(Box::new("as planned"));
        }
    }
}

/// Panics when it is dropped, if it is live.
struct Bomb(bool);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 && !std::thread::panicking() {
            resume_unwind(Box::new("a bomb"));
        }
    }
}

/// Lets bombs go off where the test itself drops them.
fn quietly<R>(act: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(act)).ok()
}

fn drop_quietly<T>(value: T) {
    quietly(|| drop(value));
}

/// A job, and what it does.
struct Task {
    payload: Payload,
    bomb: Bomb,
    act: Act,
    dice: Dice,
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Quick,
    Fail,
    Panic,
    GiveWay,
    UntilCancelled,
    Send,
    RunChild,
    Cancel,
    Join,
    Close,
    End,
}

type Handle = JobHandle<Bomb, Bomb>;
type Group = GroupHandle<Bomb, Bomb>;
type TaskPool = Submitter<Task, Bomb, Bomb>;

/// What everybody in a run shares.
struct World {
    ledger: Ledger,
    /// Of jobs that may be leaked.
    foreign: Ledger,
    pool: OnceLock<WeakSubmitter<Task, Bomb, Bomb>>,
    /// Jobs that came back in reports.
    back: AtomicU64,
    cancels: Mutex<Vec<CancelHandle>>,
    /// Whether workers are threads, so that jobs may block.
    may_block: bool,
    /// Whether submissions are forgotten while they wait. One that was woken keeps its wake-up to itself
    /// until a worker comes to rest, so then no job may wait for room, or for one that does.
    forgets: bool,
    /// Nobody ends the pool before this many jobs were made.
    ends_from: usize,
    capacity: u64,
    workers: u64,
}

impl World {
    fn pool(&self) -> Option<TaskPool> {
        self.pool.get()?.upgrade()
    }

    fn task(&self, dice: &Dice) -> Task {
        let act = match dice.roll(64) {
            0..24 => Act::Quick,
            24..28 => Act::Fail,
            28..33 => Act::Panic,
            33..42 => Act::GiveWay,
            42..47 => Act::UntilCancelled,
            47..55 if self.forgets => Act::Quick,
            47..51 => Act::Send,
            51..55 => Act::RunChild,
            55..59 => Act::Cancel,
            59..61 => Act::Join,
            61 if self.ledger.made() >= self.ends_from => Act::Close,
            62 if self.ledger.made() >= self.ends_from => Act::End,
            _ => Act::Quick,
        };
        self.acting(act, dice)
    }

    fn acting(&self, act: Act, dice: &Dice) -> Task {
        Task {
            payload: self.ledger.job(),
            bomb: Bomb(dice.one_in(5)),
            act,
            dice: Dice::new(dice.next()),
        }
    }

    fn reported(&self, report: ShutdownReport<Task>) {
        assert_conserved(report.counts);
        self.back.fetch_add(report.unrun.len() as u64, SeqCst);
        drop_quietly(report);
    }

    fn check(&self, counts: Metrics) {
        assert_conserved(counts);
        assert!(counts.waiting <= self.capacity, "{counts}");
        assert!(
            counts.occupied + counts.reserved <= self.capacity,
            "{counts:?}"
        );
        assert!(counts.running <= self.workers, "{counts}");
        assert!(counts.workers <= self.workers, "{counts}");
    }
}

async fn end(world: &World, pool: &TaskPool, how: u64) {
    let report = match how % 4 {
        0 => pool.shutdown().await,
        1 => pool.shutdown_now().await,
        2 => pool.shutdown_timeout(Duration::ZERO).await,
        _ => pool.shutdown_timeout(Duration::from_secs(3)).await,
    };
    world.reported(report);
}

fn end_blocking(world: &World, pool: &TaskPool, how: u64) {
    let report = match how % 4 {
        0 => pool.shutdown_blocking(),
        1 => pool.shutdown_now_blocking(),
        2 => pool.shutdown_timeout_blocking(Duration::ZERO),
        _ => pool.shutdown_timeout_blocking(Duration::from_secs(3)),
    };
    world.reported(report);
}

async fn give_way() {
    let mut given = false;
    poll_fn(|cx| {
        if given {
            return Poll::Ready(());
        }
        given = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What is being run, for those who look into a hang.
static UNDER_WAY: Mutex<BTreeMap<u64, String>> = Mutex::new(BTreeMap::new());

struct AtIt(u64);

impl AtIt {
    fn new(task: &Task, worker: WorkerId) -> Self {
        let id = task.payload.id();
        lock(&UNDER_WAY).insert(id, format!("{:?} at {worker}", task.act));
        AtIt(id)
    }
}

impl Drop for AtIt {
    fn drop(&mut self) {
        lock(&UNDER_WAY).remove(&self.0);
    }
}

struct Hand {
    world: Arc<World>,
    _bomb: Bomb,
}

impl JobHandler<Task> for Hand {
    type Output = Bomb;
    type Error = Bomb;

    async fn handle(&mut self, task: Task, cx: &JobContext) -> Result<Bomb, Bomb> {
        let mut task = task;
        task.payload.started();
        let _at_it = AtIt::new(&task, cx.worker());
        let (world, dice) = (&*self.world, &task.dice);
        let block = world.may_block && dice.one_in(2);
        match (task.act, world.pool()) {
            (Act::Quick | Act::Fail, _) => {}
            (Act::Panic, _) => resume_unwind(Box::new("as planned")),
            (Act::GiveWay, _) => {
                for _ in 0..dice.roll(5) {
                    give_way().await;
                }
            }
            (Act::UntilCancelled, _) => {
                for _ in 0..200 {
                    if cx.is_cancelled() {
                        break;
                    }
                    give_way().await;
                }
            }
            (Act::Send, Some(pool)) => {
                let child = world.acting(Act::Quick, dice);
                let refused = match (dice.roll(3), block) {
                    (0, _) => pool.try_send(child).err(),
                    (_, true) => pool.send_blocking(child).err(),
                    _ => pool.send(child).await.err(),
                };
                drop_quietly(refused);
            }
            (Act::RunChild, Some(pool)) => {
                let child = world.acting(Act::GiveWay, dice);
                if block {
                    drop_quietly(pool.run_blocking(child));
                } else {
                    drop_quietly(pool.run(child).await);
                }
            }
            (Act::Cancel, _) => {
                let cancel = lock(&world.cancels).pop();
                let _ = cancel.map(|cancel| cancel.cancel());
            }
            (Act::Join, Some(pool)) if block => pool.join_blocking(),
            (Act::Join, Some(pool)) => pool.join().await,
            (Act::Close, Some(pool)) => pool.close(),
            (Act::End, Some(pool)) if block => end_blocking(world, &pool, dice.next()),
            (Act::End, Some(pool)) => end(world, &pool, dice.next()).await,
            (_, None) => {}
        }
        task.payload.ended();
        if task.dice.one_in(2) {
            task.bomb.0 = false;
        }
        let bomb = Bomb(task.dice.one_in(4));
        match task.act {
            Act::Fail => Err(bomb),
            _ => Ok(bomb),
        }
    }
}

/// Puts jobs anywhere, and panics now and then.
struct Erratic {
    dice: Dice,
    strangers: Vec<WorkerId>,
}

impl<J> Dispatcher<J> for Erratic {
    fn dispatch(&mut self, _: &Job<J>, workers: &Workers<'_>) -> Target {
        self.dice.maybe_panic(16);
        match self.dice.roll(8) {
            0 => Target::Any,
            1 => Target::Worker(self.strangers[self.dice.roll(2) as usize]),
            _ => workers
                .get(self.dice.roll(workers.len() as u64) as usize)
                .map_or(Target::Any, |worker| Target::Worker(worker.id())),
        }
    }
}

/// Newest first, and panics now and then.
struct Unsteady<J> {
    jobs: Vec<Queued<J>>,
    dice: Dice,
    panics_one_in: u64,
}

impl<J: Send + 'static> QueueOrder<J> for Unsteady<J> {
    fn push(&mut self, job: Queued<J>) {
        self.dice.maybe_panic(self.panics_one_in);
        self.jobs.push(job);
    }

    fn pop(&mut self) -> Option<Queued<J>> {
        self.dice.maybe_panic(self.panics_one_in);
        self.jobs.pop()
    }

    fn len(&self) -> usize {
        self.dice.maybe_panic(4 * self.panics_one_in);
        self.jobs.len()
    }

    fn retain(&mut self, keep: &mut dyn FnMut(&Queued<J>) -> bool) {
        self.dice.maybe_panic(self.panics_one_in);
        self.jobs.retain(keep);
    }
}

struct PanickingWaker;

impl Wake for PanickingWaker {
    fn wake(self: Arc<Self>) {
        resume_unwind(Box::new("a waker"));
    }
}

/// Polls once, with a waker that panics or does nothing.
fn poll_badly<F: Future + ?Sized>(future: Pin<&mut F>, dice: &Dice) -> Poll<F::Output> {
    let waker = if dice.one_in(2) {
        Waker::from(Arc::new(PanickingWaker))
    } else {
        Waker::noop().clone()
    };
    future.poll(&mut Context::from_waker(&waker))
}

/// One thread that submits, cancels, waits, and ends the pool.
struct Caller {
    world: Arc<World>,
    pool: TaskPool,
    dice: Dice,
    handles: Vec<(u64, Handle)>,
    executor: Option<ByHand>,
    clock: ManualClock,
}

type Submitting = Pin<Box<dyn Future<Output = Result<Handle, SubmitError<Task>>>>>;

impl Caller {
    fn keep(&mut self, id: u64, submitted: Result<Handle, SubmitError<Task>>) {
        match submitted {
            Ok(handle) => {
                assert!(handle.id().get() > 0);
                if self.dice.one_in(2) {
                    lock(&self.world.cancels).push(handle.cancel_handle());
                }
                self.handles.push((id, handle));
            }
            Err(refused) => {
                if let Some(task) = quietly(|| refused.into_job()) {
                    assert_eq!(task.payload.id(), id, "somebody else's job came back");
                    drop_quietly(task);
                }
            }
        }
    }

    fn outcome(&self, id: u64, outcome: Result<Bomb, JobError<Bomb>>) {
        let what = match &outcome {
            Ok(_) => "completed",
            Err(JobError::Failed(_)) => "failed",
            Err(JobError::Panicked(_)) => "panicked",
            Err(JobError::Cancelled) => "cancelled",
            Err(JobError::HandedBack) => "handed back",
            Err(JobError::Abandoned) => "abandoned",
            Err(other) => panic!("job {id} was told {}", describe(other)),
        };
        drop_quietly(outcome);
        self.world.ledger.outcome(id, what);
    }

    fn some_handle(&mut self) -> Option<(u64, Handle)> {
        if self.handles.is_empty() {
            return None;
        }
        let at = self.dice.roll(self.handles.len() as u64) as usize;
        Some(self.handles.swap_remove(at))
    }

    fn submitting(&self, task: Task, timed: bool) -> Submitting {
        let pool = self.pool.clone();
        if timed {
            let limit = Duration::from_secs(self.dice.roll(20));
            Box::pin(async move { pool.submit_timeout(task, limit).await })
        } else {
            Box::pin(async move { pool.submit(task).await })
        }
    }

    fn step(&mut self) {
        let task = |caller: &Self| {
            let task = caller.world.task(&caller.dice);
            (task.payload.id(), task)
        };
        match self.dice.roll(59) {
            40..44 => self.weighted(),
            56 => self.swap_strategy(),
            57 | 58 => self.keyed(),
            44..49 => self.reserved(),
            49..52 => self.grouped(),
            52..54 => self.mapped(),
            54 => drop_quietly(self.pool.errors().try_recv()),
            55 => {
                // Waits in line, and gives up.
                let units = 1 + self.dice.roll(self.world.capacity);
                let mut reserving = Box::pin(self.pool.reserve_weight(units));
                let polled = poll_badly(reserving.as_mut(), &self.dice);
                if self.world.forgets && polled.is_pending() && self.dice.one_in(4) {
                    let pool = self.pool.clone();
                    let mut forgotten =
                        Box::pin(async move { drop(pool.reserve_weight(units).await) });
                    if poll_badly(forgotten.as_mut(), &self.dice).is_pending() {
                        std::mem::forget(forgotten);
                    }
                }
            }
            0..4 => {
                let (id, task) = task(self);
                let submitted = self.pool.try_submit(task);
                self.keep(id, submitted);
            }
            4..6 => drop_quietly(self.pool.try_send(task(self).1)),
            6..10 => {
                let (id, task) = task(self);
                let submitted = self.pool.submit_blocking(task);
                self.keep(id, submitted);
            }
            10..12 => drop_quietly(self.pool.send_blocking(task(self).1)),
            12..14 => {
                let (id, task) = task(self);
                let limit = Duration::from_secs(self.dice.roll(20));
                let submitted = self.pool.submit_timeout_blocking(task, limit);
                self.keep(id, submitted);
            }
            14..20 => {
                // Polled by an executor that fails it, then by one that does not.
                let (id, task) = task(self);
                let timed = self.dice.one_in(2);
                let mut submitting = self.submitting(task, timed);
                match poll_badly(submitting.as_mut(), &self.dice) {
                    Poll::Ready(submitted) => self.keep(id, submitted),
                    Poll::Pending => {
                        let submitted = futures_lite::future::block_on(submitting);
                        self.keep(id, submitted);
                    }
                }
            }
            20 => {
                let (id, task) = task(self);
                let timed = self.dice.one_in(2);
                let mut submitting = self.submitting(task, timed);
                if let Poll::Ready(submitted) = poll_badly(submitting.as_mut(), &self.dice) {
                    self.keep(id, submitted);
                }
                drop_quietly(submitting);
            }
            21 if self.world.forgets => {
                let task = Task {
                    payload: self.world.foreign.job(),
                    bomb: Bomb(false),
                    act: Act::Quick,
                    dice: Dice::new(0),
                };
                let mut submitting = self.submitting(task, false);
                if poll_badly(submitting.as_mut(), &self.dice).is_pending() {
                    std::mem::forget(submitting);
                }
            }
            21 | 22 => {
                let mut sending = Box::pin(self.pool.send(task(self).1));
                let polled = poll_badly(sending.as_mut(), &self.dice);
                drop_quietly((polled, sending));
            }
            23..25 => {
                let (id, task) = task(self);
                match self.pool.run_blocking(task) {
                    Ok(done) => self.outcome(id, Ok(done)),
                    Err(fanpool::RunError::Job(error)) => self.outcome(id, Err(error)),
                    Err(fanpool::RunError::Refused(refused)) => self.keep(id, Err(refused)),
                    Err(_) => unreachable!("a third kind of error"),
                }
            }
            25..28 => {
                let cancel = lock(&self.world.cancels).pop();
                let _ = cancel.map(|cancel| cancel.cancel());
            }
            28..30 => drop_quietly(self.some_handle()),
            30 => std::mem::forget(self.some_handle()),
            31..33 => {
                if let Some((id, handle)) = self.some_handle() {
                    self.outcome(id, handle.wait());
                }
            }
            33 => {
                if let Some((id, handle)) = self.some_handle() {
                    match handle.wait_timeout(Duration::from_secs(self.dice.roll(9))) {
                        Ok(outcome) => self.outcome(id, outcome),
                        Err(handle) => self.handles.push((id, handle)),
                    }
                }
            }
            34 => {
                if let Some((id, mut handle)) = self.some_handle() {
                    let _ = handle.cancel();
                    match poll_badly(Pin::new(&mut handle), &self.dice) {
                        Poll::Ready(outcome) => self.outcome(id, outcome),
                        Poll::Pending => self.handles.push((id, handle)),
                    }
                }
            }
            35..37 => match &self.executor {
                Some(executor) => {
                    let workers = executor.workers();
                    executor.abort(workers[self.dice.roll(workers.len() as u64) as usize]);
                }
                None => self.clock.advance(Duration::from_secs(self.dice.roll(100))),
            },
            37 => {
                if self.dice.one_in(2) {
                    self.pool.join_blocking();
                } else {
                    let mut joining = Box::pin(self.pool.join());
                    let _ = poll_badly(joining.as_mut(), &self.dice);
                }
            }
            38 => {
                let other = self.pool.clone();
                drop(std::mem::replace(&mut self.pool, other));
            }
            _ => self.maybe_end(),
        }
        self.world.check(self.pool.metrics());
    }

    fn swap_strategy(&self) {
        let (strategy, seed) = (self.dice.roll(STEADY), self.dice.roll(100));
        self.pool.set_dispatcher(|| steady(strategy, seed));
    }

    /// Of few keys, so that they meet.
    fn keyed(&mut self) {
        let task = self.world.task(&self.dice);
        let id = task.payload.id();
        let submitted = self.pool.job(task).key(self.dice.roll(4)).try_submit();
        self.keep(
            id,
            submitted.map_err(|refused| refused.map(Job::into_inner)),
        );
    }

    fn weighted(&mut self) {
        let task = self.world.task(&self.dice);
        let id = task.payload.id();
        let weight = self.dice.roll(self.world.capacity + 2);
        let job = self.pool.job(task).weight(weight).key(id).label("heavy");
        let submitted = match self.dice.roll(4) {
            0 => job.try_submit(),
            1 => job.submit_timeout_blocking(Duration::from_secs(self.dice.roll(20))),
            2 => job.submit_blocking(),
            _ => {
                let mut submitting = Box::pin(job.submit());
                match poll_badly(submitting.as_mut(), &self.dice) {
                    Poll::Ready(submitted) => submitted,
                    Poll::Pending if self.dice.one_in(3) => return drop_quietly(submitting),
                    Poll::Pending => futures_lite::future::block_on(submitting),
                }
            }
        };
        if let Err(refused) = &submitted {
            let heavy = matches!(refused, SubmitError::TooHeavy(_));
            assert_eq!(heavy, weight > self.world.capacity && !refused.is_closed());
        }
        self.keep(
            id,
            submitted.map_err(|refused| refused.map(Job::into_inner)),
        );
    }

    fn reserved(&mut self) {
        let pool = self.pool.clone();
        let units = 1 + self.dice.roll(self.world.capacity);
        if self.dice.one_in(3) {
            // Some of several are used.
            let Ok(permits) = pool.try_reserve_many(units as usize) else {
                return;
            };
            let used = self.dice.roll(units + 1) as usize;
            for permit in permits.take(used) {
                let task = self.world.task(&self.dice);
                let id = task.payload.id();
                self.keep(id, permit.submit(task));
            }
            return;
        }
        let permit = match self.dice.roll(3) {
            0 => pool.try_reserve_weight(units),
            1 => pool.reserve_weight_blocking(units),
            _ => pool.reserve_owned_blocking(),
        };
        let Ok(permit) = permit else { return };
        self.world.check(self.pool.metrics());
        if self.dice.one_in(4) {
            return;
        }
        let task = self.world.task(&self.dice);
        let id = task.payload.id();
        match self.dice.roll(3) {
            0 => self.keep(id, permit.submit(task)),
            1 => drop_quietly(permit.send(task)),
            _ => {
                let weight = 1 + self.dice.roll(units + 1);
                let submitted = permit.job(task).weight(weight).submit();
                self.keep(
                    id,
                    submitted.map_err(|refused| refused.map(Job::into_inner)),
                );
            }
        }
    }

    fn grouped(&mut self) {
        let tasks: Vec<_> = (0..self.dice.roll(12))
            .map(|_| self.world.task(&self.dice))
            .collect();
        let ids: Vec<_> = tasks.iter().map(|task| task.payload.id()).collect();
        let submitted = match self.dice.roll(3) {
            0 => self.pool.try_submit_all(tasks),
            1 => self.pool.submit_all_blocking(tasks),
            _ => {
                let mut submitting = Box::pin(self.pool.submit_all(tasks));
                match poll_badly(submitting.as_mut(), &self.dice) {
                    Poll::Ready(submitted) => submitted,
                    Poll::Pending if self.dice.one_in(3) => return drop_quietly(submitting),
                    Poll::Pending => futures_lite::future::block_on(submitting),
                }
            }
        };
        let group = submitted.unwrap_or_else(|error| {
            let back = error.refused.into_job();
            let expected = &ids[error.accepted.len()..];
            assert!(
                back.iter()
                    .map(|task| task.payload.id())
                    .eq(expected.iter().copied())
            );
            back.into_iter().for_each(drop_quietly);
            error.accepted
        });
        self.grouped_outcomes(&ids, group);
    }

    fn grouped_outcomes(&mut self, ids: &[u64], mut group: Group) {
        if self.dice.one_in(4) {
            let all = group.cancel();
            assert_eq!(all.removed + all.requested + all.too_late, group.len());
        }
        let mut ids = ids[..group.len()].iter().copied();
        match self.dice.roll(4) {
            0 => drop_quietly(group),
            1 => {
                for outcome in &mut group.into_iter() {
                    let id = ids.next().expect("one outcome for each");
                    self.outcome(id, outcome);
                }
            }
            2 => {
                if let Poll::Ready(Some(outcome)) =
                    poll_badly(Box::pin(group.next()).as_mut(), &self.dice)
                {
                    let id = ids.next().expect("one outcome for each");
                    self.outcome(id, outcome);
                }
                drop_quietly(group);
            }
            _ => {
                for (id, outcome) in ids.zip(group.wait()) {
                    self.outcome(id, outcome);
                }
            }
        }
    }

    fn mapped(&mut self) {
        let world = self.world.clone();
        let dice = Dice::new(self.dice.next());
        let tasks = (0..self.dice.roll(20)).map(move |_| world.task(&dice));
        let taken = self.dice.roll(20) as usize;
        let window = self.dice.roll(6) as usize;
        let outcomes = if self.dice.one_in(2) {
            self.pool.map_blocking(tasks).window(window)
        } else {
            self.pool.map_unordered_blocking(tasks).window(window)
        };
        let mut outcomes = outcomes;
        for _ in 0..taken {
            match outcomes.next() {
                Some(outcome) => drop_quietly(outcome),
                None => break,
            }
        }
        drop_quietly(outcomes);
    }

    fn maybe_end(&mut self) {
        if self.world.ledger.made() < self.world.ends_from || !self.dice.one_in(3) {
            return;
        }
        match self.dice.roll(4) {
            0 => self.pool.close(),
            1 => {
                // Given up half-way.
                let how = self.dice.next();
                let mut ending = Box::pin(end(&self.world, &self.pool, how));
                let _ = poll_badly(ending.as_mut(), &self.dice);
            }
            _ => end_blocking(&self.world, &self.pool, self.dice.next()),
        }
    }

    fn run(mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
        for (id, handle) in std::mem::take(&mut self.handles) {
            self.outcome(id, handle.wait());
        }
    }
}

fn describe(error: &JobError<Bomb>) -> &'static str {
    match error {
        JobError::WouldDeadlock => "that it would deadlock",
        _ => "something new",
    }
}

/// Workers of a bigger pool.
fn strangers() -> Vec<WorkerId> {
    let executor = ByHand::new();
    let pool = Pool::builder(fanpool::handler_fn(Ok::<u64, String>))
        .dispatchers(3)
        .workers_per_dispatcher(9)
        .spawner(executor.clone())
        .build()
        .unwrap();
    pool.close();
    executor.run();
    let workers = executor.workers();
    vec![workers[8], *workers.last().unwrap()]
}

/// So many strategies break nothing.
const STEADY: u64 = 7;

fn steady(which: u64, seed: u64) -> Box<dyn Dispatcher<Task>> {
    match which {
        0 => Box::new(fanpool::Any::new()),
        1 => Box::new(RoundRobin::new()),
        2 => Box::new(LeastBusy::new()),
        3 => Box::new(TwoChoices::new(seed)),
        4 => Box::new(Random::new(seed)),
        5 => Box::new(Weighted::new([3, 1]).expect("no weight is zero")),
        _ => Box::new(KeyAffinity::new()),
    }
}

fn run(seed: u64, ledger: Ledger) {
    let dice = Arc::new(Dice::new(seed));
    let on_threads = dice.one_in(2);
    let dispatchers = 1 + dice.roll(2);
    let workers = 1 + dice.roll(3);
    let capacity = 1 + dice.roll(8);
    let world = Arc::new(World {
        ledger,
        foreign: Ledger::new(),
        pool: OnceLock::new(),
        back: AtomicU64::new(0),
        cancels: Mutex::new(Vec::new()),
        may_block: on_threads,
        forgets: dice.one_in(3),
        ends_from: dice.roll(200) as usize,
        capacity,
        workers: dispatchers * workers,
    });
    let clock = ManualClock::new();
    let executor = (!on_threads).then(ByHand::new);

    let makes = world.clone();
    let (fails_one_in, fates) = (2 + dice.roll(8), Dice::new(dice.next()));
    let mut builder = Pool::builder(handler_factory(move |_| {
        if fates.one_in(4 * fails_one_in) {
            resume_unwind(Box::new("a factory"));
        }
        if fates.one_in(fails_one_in) {
            return Err("no handler today");
        }
        Ok(Hand {
            world: makes.clone(),
            _bomb: Bomb(fates.one_in(4)),
        })
    }))
    .dispatchers(dispatchers as usize)
    .workers_per_dispatcher(workers as usize)
    .queue_capacity(capacity as usize)
    .clock(clock.clone());
    let (strategy, dices, names) = (dice.roll(STEADY + 1), dice.clone(), strangers());
    builder = builder.dispatcher(move || -> Box<dyn Dispatcher<Task>> {
        match strategy {
            0..STEADY => steady(strategy, dices.next()),
            _ => Box::new(Erratic {
                dice: Dice::new(dices.next()),
                strangers: names.clone(),
            }),
        }
    });
    builder = builder.inbox_depth(1 + dice.roll(6) as usize);
    let (order, dices) = (dice.roll(7), dice.clone());
    builder = builder.queue_order(move || -> Box<dyn QueueOrder<Task>> {
        match order {
            0 => Box::new(Fifo::new()),
            3 => Box::new(FairShare::new().key_bound(2)),
            4 => Box::new(Priority::new().ageing(3)),
            5 => Box::new(AdaptiveLifo::new(3)),
            6 => Box::new(EarliestDeadline::new()),
            _ => Box::new(Unsteady {
                jobs: Vec::new(),
                dice: Dice::new(dices.next()),
                panics_one_in: if order == 1 { u64::MAX / 4 } else { 64 },
            }),
        }
    });
    if let Some(executor) = &executor {
        builder = builder.spawner(executor.clone());
    }
    let plan = format!(
        "threads {on_threads}, dispatchers {dispatchers}, workers {workers}, capacity {capacity}, \
         strategy {strategy}, order {order}, factory fails one in {fails_one_in}"
    );
    *lock(&PLAN) = plan;
    let pool = builder.build().unwrap().submitter();
    world.ledger.watch(&pool);
    assert!(world.pool.set(pool.downgrade()).is_ok());
    if let Some(executor) = &executor {
        let (refuses, dice) = (2 + dice.roll(10), Dice::new(dice.next()));
        executor.refuse_replacements(move || dice.one_in(refuses));
    }

    // Time passes all the while, in jumps: failing factories are asked again, and limits pass.
    let over = Arc::new(AtomicBool::new(false));
    let time = {
        let (clock, over, dice) = (clock.clone(), over.clone(), Dice::new(dice.next()));
        std::thread::spawn(move || {
            while !over.load(SeqCst) {
                clock.advance(Duration::from_millis(dice.roll(2_000)));
                std::thread::yield_now();
            }
        })
    };
    let servers: Vec<_> = executor
        .iter()
        .flat_map(|executor| [executor.clone(), executor.clone()])
        .map(|executor| {
            let over = over.clone();
            std::thread::spawn(move || executor.serve(&over))
        })
        .collect();
    let steps = 20 + dice.roll(80) as usize;
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let caller = Caller {
                world: world.clone(),
                pool: pool.clone(),
                dice: Dice::new(dice.next()),
                handles: Vec::new(),
                executor: executor.clone(),
                clock: clock.clone(),
            };
            std::thread::spawn(move || caller.run(steps))
        })
        .collect();
    for caller in callers {
        if let Err(panic) = caller.join() {
            resume_unwind(panic);
        }
    }
    end_blocking(&world, &pool, dice.next());
    let report = pool.shutdown_blocking();
    assert!(report.still_running.is_empty());
    let counts = report.counts;
    world.reported(report);

    over.store(true, SeqCst);
    if let Some(executor) = &executor {
        executor.end(&over);
    }
    time.join().unwrap();
    servers.into_iter().for_each(|s| s.join().unwrap());
    drop(pool);
    assert_eq!(world.back.load(SeqCst), counts.handed_back, "{counts}");
    assert_eq!(counts.workers, 0);
    world.ledger.close_without_counts();
    world.ledger.close_with_foreign_jobs(counts);
    let started = (world.ledger.started() + world.foreign.started()) as u64;
    let ran = counts.completed + counts.failed + counts.panicked;
    assert!(
        started >= ran && started <= ran + counts.abandoned,
        "{started} jobs started, but {counts}"
    );
}

#[test]
fn workers_that_are_lost_at_the_same_time_are_all_missed() {
    watched(|ledger| {
        for _ in 0..1_500 {
            let executor = ByHand::new();
            type Family = (Payload, Option<Payload>);
            let own = Arc::new(OnceLock::<WeakSubmitter<Family, bool, String>>::new());
            let inner = own.clone();
            let pool = Pool::builder(async_handler_fn(move |(job, child): Family| {
                let pool = inner.get().unwrap().upgrade().unwrap();
                async move {
                    job.started();
                    let Some(child) = child else {
                        return Ok(false);
                    };
                    // So that the others are gone by the time it waits.
                    give_way().await;
                    let deadlock = pool.run((child, None)).await;
                    job.ended();
                    Ok(matches!(
                        deadlock,
                        Err(fanpool::RunError::Job(JobError::WouldDeadlock))
                    ))
                }
            }))
            .workers_per_dispatcher(8)
            .spawner(executor.clone())
            .build()
            .unwrap();
            own.set(pool.submitter().downgrade()).unwrap();
            executor.refuse_replacements(|| true);
            let workers = executor.workers();
            let mut handle = pool.try_submit((ledger.job(), Some(ledger.job()))).unwrap();
            while pool.metrics().running == 0 {
                executor.poll(workers[0]);
            }
            let barrier = Barrier::new(7);
            std::thread::scope(|scope| {
                for &worker in &workers[1..] {
                    let (executor, barrier) = (&executor, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        executor.abort(worker);
                    });
                }
            });
            executor.run();
            match crate::common::poll_once(&mut handle) {
                Poll::Ready(told) => assert!(told.unwrap(), "nobody is left to run its child"),
                Poll::Pending => panic!("it waits for a worker that is gone"),
            }
            drop(handle);
            pool.close();
            executor.run();
            assert_conserved(pool.shutdown_blocking().counts);
        }
        ledger.close_without_counts();
    });
}

/// Also while the running jobs last, when no worker comes to rest and could heal it.
#[test]
fn a_forgotten_submission_keeps_nobody_from_free_room() {
    watched(|ledger| {
        let door = crate::common::Door::new();
        let behind = door.clone();
        let pool = Pool::builder(fanpool::handler_fn(move |job: Payload| {
            job.run(|| behind.pass());
            Ok::<_, String>(())
        }))
        .workers_per_dispatcher(1)
        .queue_capacity(1)
        .build()
        .unwrap();
        ledger.watch(&pool);
        pool.send_blocking(ledger.job()).unwrap();
        door.wait_for(1);
        pool.try_send(ledger.job()).unwrap();
        let foreign = Ledger::new();
        let mut forgotten = Box::pin(pool.submit(foreign.job()));
        assert!(crate::common::poll_once(&mut forgotten).is_pending());
        std::mem::forget(forgotten);
        let mut next = Box::pin(pool.send(ledger.job()));
        assert!(crate::common::poll_once(&mut next).is_pending());
        door.see_one_through();
        door.wait_for(1); // the queued job runs, and its room is free
        assert_eq!(pool.metrics().waiting, 0);
        let let_in = crate::common::poll_once(&mut next).is_ready();
        drop(next);
        door.open();
        ledger.close(pool.shutdown_blocking().counts);
        assert!(let_in, "room was free, and it went on waiting");
    });
}

/// Of the run under way, for those who look into its failure.
static PLAN: Mutex<String> = Mutex::new(String::new());

/// Past the capture of the test's output, which is lost when the watchdog ends the process.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().expect("a number"))
}

#[test]
fn whatever_fails_no_job_is_lost_and_none_runs_twice() {
    let seeds = match number("FANPOOL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FANPOOL_ROUNDS").unwrap_or(400),
    };
    for seed in seeds {
        let (done, over) = mpsc::channel::<()>();
        let watchdog = std::thread::spawn(move || {
            // A little earlier than the watchdog that ends the process.
            let waited = over.recv_timeout(Duration::from_secs(25));
            if waited == Err(mpsc::RecvTimeoutError::Timeout) {
                say(&format!("hangs: FANPOOL_SEED={seed}: {}", lock(&PLAN)));
                say(&format!("under way: {:?}", lock(&UNDER_WAY)));
            }
        });
        let result = catch_unwind(|| watched(move |ledger| run(seed, ledger)));
        drop(done);
        watchdog.join().unwrap();
        if let Err(panic) = result {
            say(&format!("failed: FANPOOL_SEED={seed}: {}", lock(&PLAN)));
            resume_unwind(panic);
        }
    }
}
