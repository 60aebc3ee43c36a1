use super::{Dispatcher, Target, Workers};
use crate::hash;
use crate::job::Job;
use std::fmt;

/// The jobs of a key all to one worker, and so one after the other, in the order in which they left the
/// queue.
///
/// A key that has jobs waiting in an inbox or running is with that worker, whatever comes or goes
/// meanwhile, and even if the inbox is full: its jobs pile up there, and the other keys go on. A key that
/// has none goes by rendezvous hashing (Thaler and Ravishankar, *Using Name-Based Mappings to Increase Hit
/// Rates*, IEEE/ACM ToN 6(1), 1998) to one of the workers that take jobs: so when a worker retires or is
/// lost, its keys spread over the others, when it comes back they return, and no other key moves.
///
/// A job without a key goes to [`Target::Any`]: to the first worker that asks.
///
/// Bad at: sharing out work. A worker with a hot key may be busy while others are idle, and keys are spread
/// by number, not by load. Take it where a key's jobs must not run at once or pass each other, or find their
/// data warm. O(1) a job whose key is with a worker, else O(workers); and the pool keeps an account of the
/// keys in inboxes and hands, which is one entry of a hash map for each.
///
/// A job that waits for another one of its own pool stands aside: meanwhile its worker takes no jobs, and
/// later ones of its key may run elsewhere. They start in order all the same.
///
/// ```
/// use fanpool::{Job, KeyAffinity, Pool, handler_fn};
///
/// struct Payment { account: u64 }
///
/// let pool = Pool::builder(handler_fn(|payment: Payment| Ok::<_, std::io::Error>(payment.account)))
///     .dispatcher(|| KeyAffinity::by(|job: &Job<Payment>| job.data().account))
///     .build()?;
/// assert_eq!(pool.run_blocking(Payment { account: 7 })?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct KeyAffinity<J> {
    /// `None`: the key that the job was submitted with.
    key_of: Option<Box<dyn Fn(&Job<J>) -> Option<u64> + Send>>,
}

impl<J> KeyAffinity<J> {
    /// By the [key](crate::JobBuilder::key) that jobs were submitted with.
    pub fn new() -> Self {
        KeyAffinity { key_of: None }
    }

    /// By what `key_of` makes of a job: a key, or `None` for a job that may go to anyone. It is called twice
    /// a job, under the dispatcher's lock, and has to give the same key both times.
    pub fn by<K: Into<Option<u64>>>(key_of: impl Fn(&Job<J>) -> K + Send + 'static) -> Self {
        KeyAffinity {
            key_of: Some(Box::new(move |job| key_of(job).into())),
        }
    }

    fn key_of(&self, job: &Job<J>) -> Option<u64> {
        match &self.key_of {
            Some(key_of) => key_of(job),
            None => job.key(),
        }
    }
}

impl<J> Default for KeyAffinity<J> {
    fn default() -> Self {
        KeyAffinity::new()
    }
}

impl<J: 'static> Dispatcher<J> for KeyAffinity<J> {
    fn dispatch(&mut self, job: &Job<J>, workers: &Workers<'_>) -> Target {
        let Some(key) = self.key_of(job) else {
            return Target::Any;
        };
        let home = workers.holder_of(key).or_else(|| {
            workers
                .iter()
                .filter(|worker| !worker.is_retiring())
                .max_by_key(|worker| hash::score(key, worker.index()))
        });
        home.map_or(Target::Any, |worker| Target::Worker(worker.id()))
    }

    fn has_affinity(&self) -> bool {
        true
    }

    fn affinity(&self, job: &Job<J>) -> Option<u64> {
        self.key_of(job)
    }
}

impl<J> fmt::Debug for KeyAffinity<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyAffinity").finish_non_exhaustive()
    }
}
