use super::{Dispatcher, Target, Workers};
use crate::job::Job;
use crate::keys::affinity::Affinity;
use crate::sync::hash;
use std::fmt;

/// Sends all jobs of a key to one worker, where they run one after the other, in the order in which they left the
/// queue.
///
/// - A key with jobs running or waiting in an inbox stays with that worker, whatever workers come or go meanwhile, and
///   even if the inbox is full: its jobs pile up there, and the other keys go on.
/// - A key without such jobs goes to a worker chosen by rendezvous hashing (Thaler and Ravishankar, *Using Name-Based
///   Mappings to Increase Hit Rates*, IEEE/ACM ToN 6(1), 1998) among those that take jobs. When a worker retires or is
///   lost, its keys spread over the others; when it comes back, they return; no other key moves.
/// - A job without a key goes to [`Target::Any`]: to the first worker that asks.
///
/// Bad at sharing out work: a worker with a hot key may be busy while others are idle, and keys are spread by number,
/// not by load. Use it where the jobs of a key must not overlap or overtake each other, or should find their data warm.
///
/// With several dispatchers, all jobs of a key go to one of them, and the order holds across all dispatchers. It holds
/// for jobs submitted after the strategy was installed: a [swap](crate::Submitter::set_dispatcher) does not move jobs
/// that wait elsewhere.
///
/// While a job waits for another job of its own pool, its worker takes no jobs, and later jobs of its key may run
/// elsewhere. They still start in order.
///
/// Cost: O(1) per job whose key is with a worker or was so recently, else O(workers). The pool also keeps one hash-map
/// entry per key that is in an inbox, in a worker's hands, or was recently, and 16 KiB per dispatcher once it has seen
/// a key.
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
    affinity: Affinity<J>,
}

impl<J> KeyAffinity<J> {
    /// Uses the [key](crate::JobBuilder::key) that jobs were submitted with.
    pub fn new() -> Self {
        KeyAffinity {
            affinity: Affinity::by_key(),
        }
    }

    /// Uses the key that `key_of` returns, or `None` for a job that may go to any worker. See [`Affinity::by`] for when
    /// and how the closure is called.
    pub fn by<K: Into<Option<u64>>>(key_of: impl Fn(&Job<J>) -> K + Send + Sync + 'static) -> Self {
        KeyAffinity {
            affinity: Affinity::by(key_of),
        }
    }
}

impl<J> Default for KeyAffinity<J> {
    fn default() -> Self {
        KeyAffinity::new()
    }
}

impl<J: 'static> Dispatcher<J> for KeyAffinity<J> {
    fn dispatch(&mut self, _: &Job<J>, workers: &Workers<'_>) -> Target {
        let Some(key) = workers.key() else {
            return Target::Any;
        };
        let held = workers.holder_of(key);
        let home = held.or_else(|| workers.last_holder_of(key)).or_else(|| {
            let point = hash::point(key);
            let takers = workers.iter().filter(|worker| !worker.is_retiring());
            takers.max_by_key(|worker| hash::score(point, worker.index()))
        });
        home.map_or(Target::Any, |worker| Target::Worker(worker.id()))
    }

    fn affinity(&self) -> Option<Affinity<J>> {
        Some(self.affinity.clone())
    }
}

impl<J> fmt::Debug for KeyAffinity<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyAffinity").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::Desk;
    use crate::id::JobId;
    use crate::id::PoolNumber;
    use crate::queue::envelope::Queued;
    use crate::queue_order::Fifo;

    const WORKERS: usize = 5;

    /// The job's data is its key.
    fn desk(depth: usize) -> Desk<u64> {
        let strategy = KeyAffinity::by(|job: &Job<u64>| *job.data());
        let (order, strategy) = (Box::new(Fifo::new()), Box::new(strategy));
        let mut desk = Desk::new(0, order, strategy, WORKERS, depth);
        (0..WORKERS).for_each(|worker| desk.set_present(worker, true));
        desk
    }

    fn push(desk: &mut Desk<u64>, number: u64, key: u64) {
        let id = JobId::from_ticket(number);
        desk.push(Queued::plain(id, PoolNumber::MAX, Job::new(key)));
        desk.route();
    }

    /// Finishes the worker's jobs and takes its next. Returns that job's number.
    fn take(desk: &mut Desk<u64>, worker: usize) -> Option<u64> {
        let job = desk.take(worker, &|_| false);
        job.map(|job| job.id().get() - 1)
    }

    /// Where each of many keys goes while no worker holds it.
    fn key_desks(desk: &mut Desk<u64>) -> Vec<usize> {
        (0..1000)
            .map(|key| {
                push(desk, 0, key);
                let home = (0..WORKERS).find(|&worker| take(desk, worker).is_some());
                let home = home.expect("some worker gets it");
                desk.set_idle(home, &|_| false);
                home
            })
            .collect()
    }

    fn share(key_desks: &[usize], of: usize) -> usize {
        key_desks.iter().filter(|&&home| home == of).count()
    }

    #[test]
    fn when_a_worker_goes_only_its_keys_move_and_they_spread() {
        for retires in [true, false] {
            let mut desk = desk(4);
            let before = key_desks(&mut desk);
            for worker in 0..WORKERS {
                let share = share(&before, worker);
                assert!(share.abs_diff(200) < 60, "{share} of 1000 keys at {worker}");
            }
            if retires {
                desk.retire(2);
            } else {
                desk.set_present(2, false);
            }
            let after = key_desks(&mut desk);
            for (key, (before, after)) in before.iter().zip(&after).enumerate() {
                assert!(
                    before == after || *before == 2,
                    "key {key} moved for nothing"
                );
            }
            for worker in [0, 1, 3, 4] {
                let share = share(&after, worker);
                assert!(share.abs_diff(250) < 70, "{share} of 1000 keys at {worker}");
            }
            if !retires {
                desk.set_present(2, true);
                assert_eq!(
                    key_desks(&mut desk),
                    before,
                    "what was at the lost one returns"
                );
            }
        }
    }

    #[test]
    fn a_key_stays_with_a_worker_that_retires_until_its_jobs_are_done() {
        let mut desk = desk(4);
        push(&mut desk, 1, 7);
        let held = (0..WORKERS).find(|&worker| take(&mut desk, worker).is_some());
        let old = held.unwrap();
        push(&mut desk, 2, 7);
        desk.retire(old);
        // One job waits and one runs: further ones go there, too, and no other worker gets any.
        push(&mut desk, 3, 7);
        let others = (0..WORKERS).filter(|&worker| worker != old);
        let to_others = |desk: &mut Desk<u64>| {
            let mut got = others.clone().filter_map(|worker| take(desk, worker));
            got.next()
        };
        assert_eq!(to_others(&mut desk), None);
        assert_eq!(take(&mut desk, old), Some(2));
        assert_eq!(take(&mut desk, old), Some(3));
        assert_eq!(to_others(&mut desk), None);
        // When the last one is done, the key moves.
        assert_eq!(take(&mut desk, old), None);
        push(&mut desk, 4, 7);
        assert_eq!(to_others(&mut desk), Some(4));
    }

    #[test]
    fn a_full_inbox_takes_more_of_a_key_that_it_holds() {
        let mut desk = desk(2);
        for number in 0..20 {
            push(&mut desk, number, 7);
        }
        assert_eq!(
            desk.backlog(),
            0,
            "nothing is held up behind the full inbox"
        );
        let mut counts = [0; WORKERS];
        for (worker, count) in counts.iter_mut().enumerate() {
            *count = std::iter::from_fn(|| take(&mut desk, worker)).count();
        }
        counts.sort_unstable();
        assert_eq!(counts, [0, 0, 0, 0, 20]);
    }
}
