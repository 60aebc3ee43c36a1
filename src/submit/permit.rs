//! Room for a job that does not exist yet.

use crate::gate::{Ticket, Want};
use crate::handle::JobHandle;
use crate::job::Job;
use crate::outcome::registry;
use crate::submit::Submitter;
use crate::submit::error::SubmitError;
use crate::submit::room::{Entered, NoRoom};
use std::fmt;
use std::num::NonZeroU64;
use std::ops::Range;
use std::time::Instant;

/// Room in the queue, set aside for one job: see [`Submitter::reserve`].
///
/// Using it never waits. Dropping it gives the room back and wakes a waiter. Once the pool is closed, a job submitted
/// with it comes back as [`SubmitError::Closed`].
///
/// A permit does not keep a pool from shutting down, even if it is forgotten (`mem::forget`, which leaves its room
/// taken).
#[must_use = "a permit that is dropped gives its room back"]
pub struct Permit<'a, J, T, E> {
    pool: Holder<'a, J, T, E>,
    ticket: Ticket,
    /// Units held. Once the permit was used, what the job left over.
    units: u64,
}

/// Room for several jobs, one unit each: see [`Submitter::reserve_many`].
///
/// An iterator of permits. Dropping it gives back what is left.
#[must_use = "permits that are dropped give their room back"]
pub struct Permits<'a, J, T, E> {
    pool: &'a Submitter<J, T, E>,
    rooms: Range<Ticket>,
}

enum Holder<'a, J, T, E> {
    Borrowed(&'a Submitter<J, T, E>),
    Owned(Submitter<J, T, E>),
}

impl<'a, J, T, E> Permit<'a, J, T, E> {
    fn new(pool: Holder<'a, J, T, E>, room: Range<Ticket>) -> Self {
        Permit {
            pool,
            ticket: room.start,
            units: room.end - room.start,
        }
    }

    fn pool(&self) -> &Submitter<J, T, E> {
        match &self.pool {
            Holder::Borrowed(pool) => pool,
            Holder::Owned(pool) => pool,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.pool().core().time.now()
    }

    /// Returns how much room it holds.
    pub fn weight(&self) -> u64 {
        self.units
    }
}

impl<J, T, E> Permit<'_, J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    /// Submits the job, which takes up all of the permit's room. Never waits.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Closed`], with the job, when the pool was closed meanwhile.
    pub fn submit(self, job: J) -> Result<JobHandle<T, E>, SubmitError<J>> {
        self.submit_job(Job::new(job))
            .map_err(|refused| refused.map(Job::into_inner))
    }

    /// Sends the job: like [`submit`](Self::submit), without a handle.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    pub fn send(self, job: J) -> Result<(), SubmitError<J>> {
        self.send_job(Job::new(job))
            .map_err(|refused| refused.map(Job::into_inner))
    }

    pub(crate) fn submit_job(
        mut self,
        job: Job<J>,
    ) -> Result<JobHandle<T, E>, SubmitError<Job<J>>> {
        let job = self.redeem(job)?;
        let handle = self.pool().core().submit_off(job, self.ticket);
        Ok(handle)
    }

    pub(crate) fn send_job(mut self, job: Job<J>) -> Result<(), SubmitError<Job<J>>> {
        let job = self.redeem(job)?;
        self.pool().core().send_off(job, self.ticket);
        Ok(())
    }

    /// Turns what is held into the job's room. The rest, or everything on refusal, is held until `self` is dropped.
    fn redeem(&mut self, mut job: Job<J>) -> Result<Job<J>, SubmitError<Job<J>>> {
        let core = self.pool().core();
        let weight = job.own_weight().unwrap_or(self.units);
        if weight > self.units {
            return Err(core.refuse(NoRoom::TooHeavy, job));
        }
        // The rest stays held until `self` is dropped, when the job has been pushed. Giving it back calls wakers, which
        // must not run between an acceptance and its push.
        if let Err(why) = core.gate.redeem(weight) {
            return Err(core.refuse(why.into(), job));
        }
        if let (Some(keys), Some(key)) = (&core.keys, job.key()) {
            keys.admit(key);
        }
        if weight != job.weight() {
            job.options_mut().weight = NonZeroU64::new(weight);
        }
        self.units -= weight;
        Ok(job)
    }
}

impl<J, T, E> Drop for Permit<'_, J, T, E> {
    fn drop(&mut self) {
        give_back(self.pool(), self.units);
    }
}

impl<J, T, E> fmt::Debug for Permit<'_, J, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("weight", &self.units)
            .finish_non_exhaustive()
    }
}

impl<'a, J, T, E> Iterator for Permits<'a, J, T, E> {
    type Item = Permit<'a, J, T, E>;

    fn next(&mut self) -> Option<Self::Item> {
        let ticket = self.rooms.next()?;
        Some(Permit::new(Holder::Borrowed(self.pool), ticket..ticket + 1))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.rooms.end - self.rooms.start) as usize;
        (left, Some(left))
    }
}

impl<J, T, E> ExactSizeIterator for Permits<'_, J, T, E> {}

impl<J, T, E> Drop for Permits<'_, J, T, E> {
    fn drop(&mut self) {
        give_back(self.pool, self.rooms.end - self.rooms.start);
    }
}

impl<J, T, E> fmt::Debug for Permits<'_, J, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permits")
            .field("left", &(self.rooms.end - self.rooms.start))
            .finish_non_exhaustive()
    }
}

fn give_back<J, T, E>(pool: &Submitter<J, T, E>, units: u64) {
    if units > 0 {
        if let Some(home) = registry::find(pool.core().number) {
            home.give_back(units);
        }
    }
}

/// # Reserving room
///
/// A [`Permit`] is room without a job. Reserve it to be sure of room before you make a job, take it from elsewhere, or
/// acknowledge it. Dropping a pending `submit(job)` drops the job, too; dropping a pending `reserve()` loses nothing.
///
/// | | waits | blocks | never waits |
/// |---|---|---|---|
/// | room for a plain job | [`reserve`](Self::reserve) | [`reserve_blocking`](Self::reserve_blocking) | [`try_reserve`](Self::try_reserve) |
/// | for a heavy one | [`reserve_weight`](Self::reserve_weight) | [`reserve_weight_blocking`](Self::reserve_weight_blocking) | [`try_reserve_weight`](Self::try_reserve_weight) |
/// | for several | [`reserve_many`](Self::reserve_many) | [`reserve_many_blocking`](Self::reserve_many_blocking) | [`try_reserve_many`](Self::try_reserve_many) |
/// | to keep in a struct | [`reserve_owned`](Self::reserve_owned) | [`reserve_owned_blocking`](Self::reserve_owned_blocking) | [`try_reserve_owned`](Self::try_reserve_owned) |
///
/// Calls that wait for more than one unit at once wait in line. While they do, later calls wait behind them, and `try_`
/// calls return [`Full`](SubmitError::Full). Refusals are those of [`submit`](Self::submit); they count in no metric,
/// because no job was refused. A permit costs one short lock to get and one to use.
impl<J, T, E> Submitter<J, T, E>
where
    J: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn permit(&self, entered: Entered) -> Result<Permit<'_, J, T, E>, SubmitError<()>> {
        let room = entered.map_err(|why| why.with(()))?;
        Ok(Permit::new(Holder::Borrowed(self), room))
    }

    fn owned_permit(&self, entered: Entered) -> Result<Permit<'static, J, T, E>, SubmitError<()>> {
        let room = entered.map_err(|why| why.with(()))?;
        Ok(Permit::new(Holder::Owned(self.clone()), room))
    }

    fn permits(&self, entered: Entered) -> Result<Permits<'_, J, T, E>, SubmitError<()>> {
        let rooms = entered.map_err(|why| why.with(()))?;
        Ok(Permits { pool: self, rooms })
    }

    /// Waits for room for one job, and holds it.
    ///
    /// ```
    /// # use fanpool::{Pool, handler_fn};
    /// # let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, std::io::Error>(n + 1))).build()?;
    /// # futures_lite::future::block_on(async {
    /// # let next_message = || 41;
    /// let permit = pool.reserve().await?; // only take a message when it can be worked on
    /// let handle = permit.submit(next_message())?;
    /// assert_eq!(handle.await?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but its place among the waiters.
    pub async fn reserve(&self) -> Result<Permit<'_, J, T, E>, SubmitError<()>> {
        self.reserve_weight(1).await
    }

    /// Blocking twin of [`reserve`](Self::reserve).
    pub fn reserve_blocking(&self) -> Result<Permit<'_, J, T, E>, SubmitError<()>> {
        self.reserve_weight_blocking(1)
    }

    /// Holds room for one job if there is some now.
    pub fn try_reserve(&self) -> Result<Permit<'_, J, T, E>, SubmitError<()>> {
        self.try_reserve_weight(1)
    }

    /// Waits for `units` of room at once, for one job of that weight; 0 counts as 1.
    ///
    /// # Errors
    ///
    /// [`SubmitError::TooHeavy`] at once when it is more than the whole capacity.
    pub async fn reserve_weight(&self, units: u64) -> Result<Permit<'_, J, T, E>, SubmitError<()>> {
        let entered = self.core().enter(Want::permit(units.max(1))).await;
        self.permit(entered)
    }

    /// Blocking twin of [`reserve_weight`](Self::reserve_weight).
    pub fn reserve_weight_blocking(
        &self,
        units: u64,
    ) -> Result<Permit<'_, J, T, E>, SubmitError<()>> {
        let entered = self.core().enter_blocking(Want::permit(units.max(1)));
        self.permit(entered)
    }

    /// Holds `units` of room if they are free now.
    pub fn try_reserve_weight(&self, units: u64) -> Result<Permit<'_, J, T, E>, SubmitError<()>> {
        let entered = self.core().try_enter(Want::permit(units.max(1)));
        self.permit(entered)
    }

    /// Waits until there is room for a job, and holds room for as many more as there is, up to `max` in all. With a
    /// `max` of 0, returns no permits at once.
    ///
    /// ```
    /// # use fanpool::{Pool, handler_fn};
    /// # let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, std::io::Error>(n + 1))).build()?;
    /// let permits = pool.reserve_many_blocking(10)?;
    /// let fetched = 0..permits.len() as u64; // no more than can be worked on
    /// for (permit, n) in permits.zip(fetched) {
    ///     permit.send(n)?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn reserve_many(&self, max: usize) -> Result<Permits<'_, J, T, E>, SubmitError<()>> {
        let entered = match max {
            0 => Ok(0..0),
            _ => self.core().enter(Want::permits(max as u64)).await,
        };
        self.permits(entered)
    }

    /// Blocking twin of [`reserve_many`](Self::reserve_many).
    pub fn reserve_many_blocking(
        &self,
        max: usize,
    ) -> Result<Permits<'_, J, T, E>, SubmitError<()>> {
        let entered = match max {
            0 => Ok(0..0),
            _ => self.core().enter_blocking(Want::permits(max as u64)),
        };
        self.permits(entered)
    }

    /// Holds room for up to `max` jobs if there is room for one now.
    pub fn try_reserve_many(&self, max: usize) -> Result<Permits<'_, J, T, E>, SubmitError<()>> {
        let entered = match max {
            0 => Ok(0..0),
            _ => self.core().try_enter(Want::permits(max as u64)),
        };
        self.permits(entered)
    }

    /// Like [`reserve`](Self::reserve), with a permit that borrows nothing: to keep in a struct or send to another
    /// task. It keeps the pool open, as a handle of the pool does.
    pub async fn reserve_owned(&self) -> Result<Permit<'static, J, T, E>, SubmitError<()>> {
        let entered = self.core().enter(Want::permit(1)).await;
        self.owned_permit(entered)
    }

    /// Blocking twin of [`reserve_owned`](Self::reserve_owned).
    pub fn reserve_owned_blocking(&self) -> Result<Permit<'static, J, T, E>, SubmitError<()>> {
        let entered = self.core().enter_blocking(Want::permit(1));
        self.owned_permit(entered)
    }

    /// Like [`try_reserve`](Self::try_reserve), with a permit that borrows nothing.
    pub fn try_reserve_owned(&self) -> Result<Permit<'static, J, T, E>, SubmitError<()>> {
        let entered = self.core().try_enter(Want::permit(1));
        self.owned_permit(entered)
    }
}
