use super::{QueueOrder, Queued, out_of_range};
use crate::error::BuildError;
use std::cmp::Ordering;
use std::collections::binary_heap::{BinaryHeap, PeekMut};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;

/// Takes turns among [keys](crate::JobBuilder::key): a key that submits thousands of jobs delays the others by no more
/// than its share.
///
/// Deficit round robin (Shreedhar and Varghese, *Efficient Fair Queueing using Deficit Round Robin*, SIGCOMM 1995):
///
/// - In each round, a key is credited with as many units as its weight here. Its jobs leave, first in, first out, as
///   long as they cost no more than its credit.
/// - A job costs what it [weighs](crate::JobBuilder::weight): 1 by default.
/// - So keys that always have jobs waiting get units in proportion to their weights, give or take one round and one
///   job.
/// - Jobs without a key share one turn, as if they had a key in common.
/// - A key with no waiting jobs is forgotten, together with its credit. When it comes back, it takes part from the next
///   round on.
/// - Within a round, the key whose last turn was longest ago comes first.
///
/// # Cost
///
/// O(log k) per job, where k keys have jobs waiting; O(1) while a key's credit lasts. (The paper's O(1) needs a credit
/// that pays for the heaviest possible job. Here it may be as small as one unit: rounds in which no key can pay are
/// skipped in one step.) One allocation per key that begins to wait. Memory is bounded by what waits and by the weights
/// that were set.
///
/// # Example
///
/// ```
/// use fanpool::{FairShare, Pool, handler_fn};
///
/// let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, std::io::Error>(n + 1)))
///     .queue_order(|| FairShare::new().weight(7, 4).key_bound(100))
///     .build()?;
/// assert_eq!(pool.job(41).key(7).run_blocking()?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FairShare<J> {
    weights: BTreeMap<u64, u32>,
    default_weight: u32,
    key_bound: Option<usize>,
    /// One flow per key that has jobs waiting. `None` is for jobs without a key.
    flows: HashMap<Option<u64>, Flow<J>>,
    /// Exactly one turn per flow; the next one first.
    turns: BinaryHeap<Turn>,
    /// The round of the last turn. The heaviest jobs, one after the other, would exhaust 64 bits.
    round: u128,
    /// Counts turns, to tell which was given out first.
    given: u64,
    len: usize,
}

/// The waiting jobs of one key: at least one.
struct Flow<J> {
    jobs: VecDeque<Queued<J>>,
    /// Units per round.
    weight: u64,
    /// What it will have in the round of its turn: enough for its first job.
    credit: u64,
}

#[derive(PartialEq, Eq)]
struct Turn {
    round: u128,
    /// Within a round, the lower number is first.
    number: u64,
    key: Option<u64>,
}

impl Ord for Turn {
    /// Reversed, because the heap gives its greatest element first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.round, other.number).cmp(&(self.round, self.number))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<J> Flow<J> {
    /// Adds credit for whole rounds until it pays for the first job. Returns for how many rounds, `at_least` or more.
    fn save_up(&mut self, at_least: u64) -> u128 {
        let cost = self.jobs.front().map_or(0, Queued::weight);
        let missing = cost.saturating_sub(self.credit);
        let rounds = missing.div_ceil(self.weight).max(at_least);
        // Below cost + weight, and no job weighs more than a queue's capacity, 2^48.
        self.credit += rounds * self.weight;
        u128::from(rounds)
    }
}

impl<J> FairShare<J> {
    /// Creates an empty queue in which all keys have weight 1, without a bound. Allocates with its first job.
    pub fn new() -> Self {
        FairShare {
            weights: BTreeMap::new(),
            default_weight: 1,
            key_bound: None,
            flows: HashMap::new(),
            turns: BinaryHeap::new(),
            round: 0,
            given: 0,
            len: 0,
        }
    }

    /// Sets how many units `key` gets per round. With weight 3, it gets three times as much as a key with weight 1
    /// while both have jobs waiting. Must be at least 1; building the pool fails with 0.
    ///
    /// The weight is kept for good. For large numbers of keys that come and go, use
    /// [`default_weight`](Self::default_weight).
    #[must_use = "it gives the order with that weight"]
    pub fn weight(mut self, key: u64, units: u32) -> Self {
        self.weights.insert(key, units);
        self
    }

    /// Sets the weight of all other keys, and of the jobs without a key together; 1 by default. Must be at least 1;
    /// building the pool fails with 0.
    #[must_use = "it gives the order with that weight"]
    pub fn default_weight(mut self, units: u32) -> Self {
        self.default_weight = units;
        self
    }

    /// Sets how many jobs of one key may wait: see [`QueueOrder::key_bound`]. Jobs without a key are bounded only by
    /// the queue's capacity. Must be at least 1; building the pool fails with 0.
    #[must_use = "it gives the order with that bound"]
    pub fn key_bound(mut self, jobs: usize) -> Self {
        self.key_bound = Some(jobs);
        self
    }

    /// Returns the weight of a key. `check` refuses 0, but an order that wraps this one may not call it.
    fn weight_of(&self, key: Option<u64>) -> u64 {
        let own = key.and_then(|key| self.weights.get(&key));
        u64::from(*own.unwrap_or(&self.default_weight)).max(1)
    }

    /// Starts the flow of a key that had no waiting jobs.
    fn begin(&mut self, key: Option<u64>, job: Queued<J>) {
        let mut flow = Flow {
            jobs: VecDeque::from([job]),
            weight: self.weight_of(key),
            credit: 0,
        };
        let round = self.round + flow.save_up(1);
        self.flows.insert(key, flow);
        let number = self.next_number();
        self.turns.push(Turn { round, number, key });
    }

    fn next_number(&mut self) -> u64 {
        self.given += 1;
        self.given
    }
}

impl<J> Default for FairShare<J> {
    fn default() -> Self {
        FairShare::new()
    }
}

impl<J: Send + 'static> QueueOrder<J> for FairShare<J> {
    fn push(&mut self, job: Queued<J>) {
        self.len += 1;
        let key = job.key();
        match self.flows.get_mut(&key) {
            Some(flow) => flow.jobs.push_back(job),
            None => self.begin(key, job),
        }
    }

    fn pop(&mut self) -> Option<Queued<J>> {
        let number = self.given + 1;
        let mut turn = self.turns.peek_mut()?;
        let flow = self.flows.get_mut(&turn.key)?;
        let job = flow.jobs.pop_front()?;
        self.len -= 1;
        self.round = turn.round;
        flow.credit -= job.weight();
        if flow.jobs.is_empty() {
            self.flows.remove(&turn.key);
            PeekMut::pop(turn);
            return Some(job);
        }
        let rounds = flow.save_up(0);
        if rounds > 0 {
            // The turn is over; the heap puts the next one in its place.
            turn.round += rounds;
            turn.number = number;
            self.given = number;
        }
        Some(job)
    }

    fn len(&self) -> usize {
        self.len
    }

    /// O(waiting jobs). A key whose first job is refused waits for as many rounds as its new first job takes, counted
    /// from the current round.
    fn retain(&mut self, keep: &mut dyn FnMut(&Queued<J>) -> bool) {
        let before = self.len;
        for flow in self.flows.values_mut() {
            let all = flow.jobs.len();
            flow.jobs.retain(&mut *keep);
            self.len -= all - flow.jobs.len();
        }
        if self.len == before {
            return;
        }
        self.flows.retain(|_, flow| !flow.jobs.is_empty());
        let turns = std::mem::take(&mut self.turns).into_vec();
        let reckoned = turns.into_iter().filter_map(|mut turn| {
            let flow = self.flows.get_mut(&turn.key)?;
            // Back to the current round, and on from there. A key that is not due in this round has had its turn of it.
            let ahead = (turn.round - self.round) as u64;
            flow.credit -= ahead * flow.weight;
            turn.round = self.round + flow.save_up(u64::from(ahead > 0));
            Some(turn)
        });
        self.turns = reckoned.collect();
    }

    fn key_bound(&self) -> Option<usize> {
        self.key_bound
    }

    fn check(&self) -> Result<(), BuildError> {
        let allowed = "1 to 4294967295 units a round";
        if self.default_weight == 0 {
            return out_of_range("FairShare::default_weight", "0", allowed);
        }
        if let Some((key, _)) = self.weights.iter().find(|(_, units)| **units == 0) {
            let value = format!("0 for key {key}");
            return out_of_range("FairShare::weight", value, allowed);
        }
        if self.key_bound == Some(0) {
            return out_of_range("FairShare::key_bound", "0", "1 or more jobs");
        }
        Ok(())
    }
}

impl<J> fmt::Debug for FairShare<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FairShare")
            .field("waiting", &self.len)
            .field("keys", &self.flows.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::JobId;
    use crate::job::Job;
    use std::num::{NonZeroU32, NonZeroU64};

    /// The pool does not exist, so nobody is told when the job is dropped.
    fn job(number: u64, key: u64, weight: u64) -> Queued<()> {
        let mut job = Job::new(());
        job.options_mut().key = Some(key);
        job.options_mut().weight = NonZeroU64::new(weight);
        Queued::plain(JobId::from_ticket(number), NonZeroU32::MAX, job)
    }

    #[test]
    fn keys_that_went_quiet_are_forgotten() {
        let mut order = FairShare::new().weight(3, 2);
        for key in 0..100_000 {
            order.push(job(key, key, 1 + key % 7));
            order.push(job(key, key + 1, 1));
            if key % 10 == 0 {
                order.retain(&mut |job| job.id().get() % 3 != 0);
            } else {
                drop(order.pop());
            }
            drop(order.pop());
            assert!(order.flows.len() <= order.len);
            assert_eq!(order.turns.len(), order.flows.len());
        }
        while order.pop().is_some() {}
        assert!(order.flows.is_empty() && order.turns.is_empty());
        assert_eq!((order.len, order.weights.len()), (0, 1));
        order.push(job(0, 1, 1));
        order.retain(&mut |_| false);
        assert!(order.flows.is_empty() && order.turns.is_empty());
    }

    /// Round by round, this would not end in a lifetime.
    #[test]
    fn rounds_in_which_nobody_can_pay_are_skipped() {
        let heaviest = 1 << 48;
        let jobs = 2 * 70_000;
        let mut order = FairShare::new();
        for number in 0..jobs {
            order.push(job(number, number % 2, heaviest - number % 2));
        }
        for number in 0..jobs {
            // The lighter ones save up a little sooner.
            assert_eq!(order.pop().and_then(|job| job.key()), Some(1 - number % 2));
        }
        assert!(order.round > u128::from(u64::MAX));
    }
}
