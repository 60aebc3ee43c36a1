//! A stream of jobs into the pool and of outcomes out of it, in flat memory.

use crate::engine::self_wait::{For, SelfWait, poll_unless_stuck};
use crate::gate::Want;
use crate::handle::JobHandle;
use crate::id::PoolNumber;
use crate::outcome::JobError;
use crate::submit::Submitter;
use crate::submit::error::{RunError, SubmitError};
use crate::submit::permit::Permit;
use crate::submit::room::NoRoom;
use crate::sync::{Mutex, lock};
use crate::wait::park::block_on;
use crate::wait::signal::call;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::iter::Fuse;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// Gives the outcomes of the jobs of an iterator: see [`Submitter::map`].
///
/// Take them with [`next`](Self::next), as a [`Stream`](futures_core::Stream), or by iterating over it, which blocks
/// for each. Each is what [`run`](Submitter::run) would have given.
///
/// Nothing happens before the first poll. Dropping it detaches: submitted jobs run and their outcomes are dropped. The
/// rest stays in the iterator, except for a job already taken that found no room: that one is dropped.
///
/// # Cancel safety
///
/// Dropping a pending `next` loses neither a job nor an outcome.
#[must_use = "nothing is submitted before the first outcome is asked for"]
pub struct Map<I: Iterator, J: 'static, T: 'static, E: 'static> {
    pool: Submitter<J, T, E>,
    jobs: Fuse<I>,
    window: usize,
    flight: Flight<T, E>,
    /// A job taken from the iterator while the queue was full.
    spare: Option<J>,
    /// A wait for room, while none of its own jobs is left to wait for.
    room: Option<BoxedReserve<J, T, E>>,
    refused: Option<SubmitError<J>>,
}

type BoxedReserve<J, T, E> =
    Pin<Box<dyn Future<Output = Result<Permit<'static, J, T, E>, SubmitError<()>>> + Send>>;

/// The default window: enough to keep the workers busy while the outcomes are used.
const WINDOW_PER_WORKER: usize = 4;
const SMALLEST_WINDOW: usize = 16;

// Nothing in it is ever pinned in place.
impl<I: Iterator, J: 'static, T: 'static, E: 'static> Unpin for Map<I, J, T, E> {}

impl<I, J, T, E> Map<I, J, T, E>
where
    I: Iterator<Item = J>,
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn new(pool: &Submitter<J, T, E>, jobs: I, flight: Flight<T, E>) -> Self {
        let workers = pool.core().roster.live();
        Map {
            pool: pool.clone(),
            jobs: jobs.fuse(),
            window: (workers * WINDOW_PER_WORKER).max(SMALLEST_WINDOW),
            flight,
            spare: None,
            room: None,
            refused: None,
        }
    }

    /// Sets how many jobs may be submitted ahead of the outcome asked for, which is all it ever holds. Default four for
    /// each worker, at least 16; 0 counts as 1.
    pub fn window(mut self, jobs: usize) -> Self {
        self.window = jobs.max(1);
        self
    }

    /// Waits for the next outcome; `None` when all jobs are over, or after one was refused for good.
    pub async fn next(&mut self) -> Option<Result<T, RunError<J, E>>> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn fill(&mut self) {
        while self.flight.len() < self.window && self.refused.is_none() && self.room.is_none() {
            let Some(job) = self.spare.take().or_else(|| self.jobs.next()) else {
                return;
            };
            let entered = self.pool.core().try_enter(Want::job(1));
            if entered == Err(NoRoom::Full) {
                self.spare = Some(job);
                return;
            }
            self.submitted(|pool| pool.core().submit_with(job, entered));
        }
    }

    fn submitted(
        &mut self,
        submit: impl FnOnce(&Submitter<J, T, E>) -> Result<JobHandle<T, E>, SubmitError<J>>,
    ) {
        match submit(&self.pool) {
            Ok(handle) => self.flight.push(handle),
            Err(refused) => self.refused = Some(refused),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, RunError<J, E>>>> {
        loop {
            self.fill();
            if self.flight.len() > 0 {
                let outcome = self.flight.poll(cx);
                return outcome.map(|outcome| Some(outcome.map_err(RunError::Job)));
            }
            if let Some(refused) = self.refused.take() {
                // No more jobs will be taken: the rest stays in the iterator.
                self.window = 0;
                return Poll::Ready(Some(Err(RunError::Refused(refused))));
            }
            if self.spare.is_none() {
                return Poll::Ready(None);
            }
            // The queue is full of others' jobs.
            let room = self.room.get_or_insert_with(|| {
                let pool = self.pool.clone();
                Box::pin(async move { pool.reserve_owned().await })
            });
            let Poll::Ready(room) = room.as_mut().poll(cx) else {
                return Poll::Pending;
            };
            self.room = None;
            if let Some(job) = self.spare.take() {
                match room {
                    Ok(permit) => self.submitted(|_| permit.submit(job)),
                    Err(refused) => {
                        self.pool.core().counts.refused(1);
                        self.refused = Some(refused.map(|()| job));
                    }
                }
            }
        }
    }
}

impl<I, J, T, E> futures_core::Stream for Map<I, J, T, E>
where
    I: Iterator<Item = J>,
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    type Item = Result<T, RunError<J, E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll(cx)
    }
}

impl<I, J, T, E> IntoIterator for Map<I, J, T, E>
where
    I: Iterator<Item = J>,
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    type Item = Result<T, RunError<J, E>>;
    type IntoIter = MapBlocking<I, J, T, E>;

    /// Returns an iterator that blocks for each outcome.
    fn into_iter(self) -> Self::IntoIter {
        MapBlocking(self)
    }
}

impl<I: Iterator, J: 'static, T: 'static, E: 'static> fmt::Debug for Map<I, J, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("window", &self.window)
            .field("in_flight", &self.flight.len())
            .finish_non_exhaustive()
    }
}

/// Gives the outcomes of the jobs of an iterator, and blocks for each: see [`Submitter::map_blocking`].
#[must_use = "nothing is submitted before the first outcome is asked for"]
#[derive(Debug)]
pub struct MapBlocking<I: Iterator, J: 'static, T: 'static, E: 'static>(Map<I, J, T, E>);

impl<I, J, T, E> MapBlocking<I, J, T, E>
where
    I: Iterator<Item = J>,
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    /// Like [`Map::window`].
    pub fn window(self, jobs: usize) -> Self {
        MapBlocking(self.0.window(jobs))
    }
}

impl<I, J, T, E> Iterator for MapBlocking<I, J, T, E>
where
    I: Iterator<Item = J>,
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    type Item = Result<T, RunError<J, E>>;

    fn next(&mut self) -> Option<Self::Item> {
        block_on(self.0.next())
    }
}

enum Flight<T, E> {
    InOrder(VecDeque<JobHandle<T, E>>),
    AsTheyCome(Swarm<T, E>),
}

impl<T, E> Flight<T, E> {
    fn len(&self) -> usize {
        match self {
            Flight::InOrder(handles) => handles.len(),
            Flight::AsTheyCome(swarm) => swarm.len(),
        }
    }

    fn push(&mut self, handle: JobHandle<T, E>) {
        match self {
            Flight::InOrder(handles) => handles.push_back(handle),
            Flight::AsTheyCome(swarm) => swarm.push(handle),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, JobError<E>>> {
        match self {
            Flight::InOrder(handles) => {
                let Some(first) = handles.front_mut() else {
                    return Poll::Pending;
                };
                let outcome = Pin::new(first).poll(cx);
                if outcome.is_ready() {
                    handles.pop_front();
                }
                outcome
            }
            Flight::AsTheyCome(swarm) => swarm.poll(cx),
        }
    }
}

/// Handles in no order: the first that is ready is next. Each has a waker of its own that notes it as worth polling, so
/// that an outcome costs one poll and not one of each handle.
struct Swarm<T, E> {
    pool: PoolNumber,
    /// Set while a job of the same pool waits here. One for all handles: between two outcomes the job does not wait,
    /// whichever handles are left.
    self_wait: Option<SelfWait>,
    handles: Vec<Option<JobHandle<T, E>>>,
    wakers: Vec<Waker>,
    free: Vec<usize>,
    noted: Arc<Noted>,
}

#[derive(Default)]
struct Noted {
    state: Mutex<NotedState>,
}

#[derive(Default)]
struct NotedState {
    /// First come, first polled, so that no outcome is overtaken for ever.
    worth_polling: VecDeque<usize>,
    waker: Option<Waker>,
}

struct Note {
    index: usize,
    noted: Arc<Noted>,
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let waker = {
            let mut state = lock(&self.noted.state);
            state.worth_polling.push_back(self.index);
            state.waker.take()
        };
        if let Some(waker) = waker {
            call(waker);
        }
    }
}

impl<T, E> Swarm<T, E> {
    fn new(pool: PoolNumber) -> Self {
        Swarm {
            pool,
            self_wait: None,
            handles: Vec::new(),
            wakers: Vec::new(),
            free: Vec::new(),
            noted: Arc::default(),
        }
    }

    fn len(&self) -> usize {
        self.handles.len() - self.free.len()
    }

    fn push(&mut self, handle: JobHandle<T, E>) {
        let index = self.free.pop().unwrap_or_else(|| {
            let index = self.handles.len();
            let noted = self.noted.clone();
            self.handles.push(None);
            self.wakers
                .push(Waker::from(Arc::new(Note { index, noted })));
            index
        });
        self.handles[index] = Some(handle);
        lock(&self.noted.state).worth_polling.push_back(index);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, JobError<E>>> {
        let mut self_wait = self.self_wait.take();
        let polled = poll_unless_stuck(self.pool, For::Progress, &mut self_wait, cx, |cx| {
            self.poll_noted(cx)
        });
        self.self_wait = self_wait;
        polled.map(|outcome| {
            outcome.unwrap_or_else(|_| {
                let given_up = self.handles.iter().position(Option::is_some);
                given_up.into_iter().for_each(|index| self.free(index));
                Err(JobError::WouldDeadlock)
            })
        })
    }

    fn free(&mut self, index: usize) {
        self.handles[index] = None;
        self.free.push(index);
    }

    fn poll_noted(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, JobError<E>>> {
        let mut waker = Some(cx.waker().clone());
        loop {
            let noted = {
                let mut state = lock(&self.noted.state);
                let noted = state.worth_polling.pop_front();
                if noted.is_none() {
                    std::mem::swap(&mut state.waker, &mut waker);
                }
                noted
            };
            let Some(index) = noted else {
                return Poll::Pending;
            };
            // A late note may be about a handle that is gone.
            let Some(handle) = &mut self.handles[index] else {
                continue;
            };
            if let Poll::Ready(outcome) = handle.poll_outcome(&self.wakers[index]) {
                self.free(index);
                return Poll::Ready(outcome);
            }
        }
    }
}

/// # Endless jobs
///
/// | | as a stream | as a blocking iterator |
/// |---|---|---|
/// | outcomes in the order of the jobs | [`map`](Self::map) | [`map_blocking`](Self::map_blocking) |
/// | outcomes as they come | [`map_unordered`](Self::map_unordered) | [`map_unordered_blocking`](Self::map_unordered_blocking) |
impl<J, T, E> Submitter<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    /// Runs the jobs of an iterator and gives their outcomes, in the same order.
    ///
    /// Holds no more than its [`window`](Map::window) of jobs and outcomes at any time, so the iterator may be endless.
    /// A slow job holds up the outcomes behind it, up to the window.
    ///
    /// When a job is refused for good because the pool was closed, it comes back in [`RunError::Refused`] as the last
    /// item. The rest stays in the iterator; pass `jobs.by_ref()` to keep it.
    ///
    /// ```
    /// use fanpool::{Pool, handler_fn};
    ///
    /// let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, std::io::Error>(n * n))).build()?;
    /// let mut sum = 0;
    /// for square in pool.map(1..).into_iter().take(3) {
    ///     sum += square?;
    /// }
    /// assert_eq!(sum, 14);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map<I: IntoIterator<Item = J>>(&self, jobs: I) -> Map<I::IntoIter, J, T, E> {
        Map::new(self, jobs.into_iter(), Flight::InOrder(VecDeque::new()))
    }

    /// Like [`map`](Self::map), with the outcomes as they come: a slow job holds up no other.
    pub fn map_unordered<I: IntoIterator<Item = J>>(&self, jobs: I) -> Map<I::IntoIter, J, T, E> {
        Map::new(
            self,
            jobs.into_iter(),
            Flight::AsTheyCome(Swarm::new(self.core().number)),
        )
    }

    /// Blocking twin of [`map`](Self::map): an iterator.
    pub fn map_blocking<I>(&self, jobs: I) -> MapBlocking<I::IntoIter, J, T, E>
    where
        I: IntoIterator<Item = J>,
    {
        self.map(jobs).into_iter()
    }

    /// Blocking twin of [`map_unordered`](Self::map_unordered).
    pub fn map_unordered_blocking<I>(&self, jobs: I) -> MapBlocking<I::IntoIter, J, T, E>
    where
        I: IntoIterator<Item = J>,
    {
        self.map_unordered(jobs).into_iter()
    }
}
