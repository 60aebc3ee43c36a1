//! Which worker each strategy chooses: workers are driven to a known state by hand, and each decision is
//! looked at.

use crate::common::by_hand::ByHand;
use crate::common::{Ledger, Payload, watched};
use fanpool::{
    BuildError, Dispatcher, Job, JobContext, KeyAffinity, LeastBusy, Pool, Random, RoundRobin,
    Steer, Submitter, Target, TwoChoices, Weighted, async_handler_fn_with,
};
use std::collections::BTreeMap;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// A job that stays with its worker until it is let go.
struct Visit {
    payload: Payload,
    hold: Option<oneshot::Receiver<()>>,
    panics: bool,
}

/// A pool whose workers move when they are told to.
struct Stage {
    ledger: Ledger,
    by_hand: ByHand,
    pool: Submitter<Visit, usize, String>,
    /// The job's number and the worker.
    starts: mpsc::Receiver<(u64, usize)>,
    /// The numbers of the jobs that run, by their worker.
    running: Arc<Mutex<BTreeMap<usize, u64>>>,
}

/// Takes a job off the list of those that run, however it ends.
struct Run(Arc<Mutex<BTreeMap<usize, u64>>>, usize);

impl Drop for Run {
    fn drop(&mut self) {
        crate::common::lock(&self.0).remove(&self.1);
    }
}

fn stage<D: Dispatcher<Visit>>(
    ledger: &Ledger,
    workers: usize,
    depth: usize,
    make: impl Fn() -> D + 'static,
) -> Stage {
    let (start, starts) = mpsc::channel();
    let by_hand = ByHand::new();
    let running: Arc<Mutex<BTreeMap<usize, u64>>> = Arc::default();
    let now = running.clone();
    let handler = async_handler_fn_with(move |mut job: Visit, cx: JobContext| {
        let (start, now) = (start.clone(), now.clone());
        async move {
            let worker = cx.worker().index();
            job.payload.started();
            crate::common::lock(&now).insert(worker, job.payload.id());
            let _run = Run(now, worker);
            let _ = start.send((job.payload.id(), worker));
            if let Some(hold) = &mut job.hold {
                let _ = hold.await;
            }
            if job.panics {
                std::panic::resume_unwind(Box::new("as it was told to"));
            }
            job.payload.ended();
            Ok(worker)
        }
    });
    let pool = Pool::builder(handler)
        .workers_per_dispatcher(workers)
        .queue_capacity(10_000)
        .inbox_depth(depth)
        .dispatcher(make)
        .spawner(by_hand.clone())
        .build()
        .unwrap();
    ledger.watch(&pool);
    by_hand.run(); // idle in the order of their numbers
    Stage {
        ledger: ledger.clone(),
        by_hand,
        pool: (*pool).clone(),
        starts,
        running,
    }
}

impl Stage {
    fn send(&self, key: Option<u64>, hold: Option<oneshot::Receiver<()>>, panics: bool) -> u64 {
        let payload = self.ledger.job();
        let number = payload.id();
        let mut job = self.pool.job(Visit {
            payload,
            hold,
            panics,
        });
        if let Some(key) = key {
            job = job.key(key);
        }
        job.try_send().unwrap();
        number
    }

    /// A job that ends at once. Answers its number.
    fn quick(&self) -> u64 {
        self.send(None, None, false)
    }

    /// A job that runs until the sender is dropped.
    fn held(&self) -> oneshot::Sender<()> {
        let (release, hold) = oneshot::channel();
        self.send(None, Some(hold), false);
        release
    }

    /// Lets the workers go on until all sleep. Answers where jobs have started since the last time.
    fn started(&self) -> Vec<usize> {
        self.by_hand.run();
        self.starts.try_iter().map(|(_, worker)| worker).collect()
    }

    /// Where a job goes that ends at once, while others wait or run.
    fn goes_to(&self) -> usize {
        self.quick();
        let started = self.started();
        assert_eq!(started.len(), 1, "one job should start: {started:?}");
        started[0]
    }

    fn end(self) {
        self.pool.close();
        self.by_hand.run();
        self.ledger.close(self.pool.shutdown_blocking().counts);
    }
}

/// Where each of `count` jobs goes that come at once, with room for all.
fn spread<D: Dispatcher<Visit>>(
    workers: usize,
    count: usize,
    make: impl Fn() -> D + 'static,
) -> Vec<usize> {
    // Each closes its own.
    let stage = stage(&Ledger::new(), workers, 10_000, make);
    for _ in 0..count {
        stage.quick();
    }
    stage.by_hand.run();
    let mut starts: Vec<(u64, usize)> = stage.starts.try_iter().collect();
    starts.sort_unstable();
    stage.end();
    starts.into_iter().map(|(_, worker)| worker).collect()
}

fn shares(targets: &[usize], workers: usize) -> Vec<usize> {
    let share = |worker| targets.iter().filter(|&&target| target == worker).count();
    (0..workers).map(share).collect()
}

// ---- full inboxes -----------------------------------------------------------------------------

/// Two workers run a job each and have a full inbox; the third is idle.
fn passes_over_full_inboxes<D: Dispatcher<Visit>>(make: impl Fn() -> D + Send + Clone + 'static) {
    for idle in 0..3 {
        let make = make.clone();
        watched(move |ledger| {
            let to_the_others = move |_: &Job<Visit>, workers: &fanpool::Workers<'_>| {
                let others = workers.iter().filter(|worker| worker.index() != idle);
                let least = others.min_by_key(|worker| worker.load());
                least.map_or(Target::Any, |worker| Target::Worker(worker.id()))
            };
            let stage = stage(&ledger, 3, 2, move || to_the_others);
            let releases: Vec<_> = (0..6).map(|_| stage.held()).collect();
            assert_eq!(stage.started().len(), 2);
            stage.pool.set_dispatcher(make);
            for _ in 0..20 {
                assert_eq!(stage.goes_to(), idle, "the only one with room");
            }
            drop(releases);
            stage.end();
        });
    }
}

#[test]
fn all_that_choose_by_room_pass_over_full_inboxes() {
    passes_over_full_inboxes(RoundRobin::new);
    passes_over_full_inboxes(LeastBusy::new);
    passes_over_full_inboxes(|| TwoChoices::new(1));
    passes_over_full_inboxes(|| TwoChoices::new(1).choices(1));
    passes_over_full_inboxes(|| Random::new(1));
    let weighted = Weighted::new([9, 3, 1]).unwrap();
    passes_over_full_inboxes(move || weighted.clone());
}

// ---- TwoChoices, Random -----------------------------------------------------------------------

#[test]
fn of_two_choices_the_less_busy_one_gets_the_job() {
    watched(|ledger| {
        // So many draws that none of the three is missed.
        let stage = stage(&ledger, 3, 100, || TwoChoices::new(5).choices(50));
        let mut releases: Vec<_> = (0..3).map(|_| stage.held()).collect();
        let mut busy = stage.started();
        busy.sort_unstable();
        assert_eq!(
            busy,
            [0, 1, 2],
            "each one that is idle before any that is not"
        );
        // Each gets a second one, and only then a third.
        releases.extend((0..6).map(|_| stage.held()));
        assert_eq!(stage.started(), []);
        releases.clear();
        assert_eq!(shares(&stage.started(), 3), [2, 2, 2]);
        stage.end();
    });
}

#[test]
fn two_choices_keep_lines_shorter_than_one() {
    watched(|_| {
        const WORKERS: usize = 50;
        let longest = |choices| {
            let make = move || TwoChoices::new(3).choices(choices);
            let targets = spread(WORKERS, 20 * WORKERS, make);
            *shares(&targets, WORKERS).iter().max().unwrap()
        };
        // Balls into bins: 20 each, and how many more the fullest one has.
        let (one, two) = (longest(1), longest(2));
        assert!(two <= 23, "{two}");
        assert!(one >= 27, "{one}");
    });
}

#[test]
fn random_gives_each_worker_its_share_and_the_same_seed_the_same_workers() {
    watched(|_| {
        let targets = |seed| spread(4, 2000, move || Random::new(seed));
        let first = targets(11);
        let shares = shares(&first, 4);
        // Five standard deviations.
        assert!(shares.iter().all(|s| s.abs_diff(500) < 100), "{shares:?}");
        assert_eq!(first, targets(11));
        assert_ne!(first, targets(12));
    });
}

// ---- Weighted ---------------------------------------------------------------------------------

#[test]
fn weighted_turns_are_as_many_as_the_weights_and_spread_out() {
    watched(|_| {
        let turns = |weights: &[u32], workers| {
            let weighted = Weighted::new(weights.iter().copied()).unwrap();
            spread(workers, 14, move || weighted.clone())
        };
        // The example of nginx: a a b a c a a.
        let seven = [0, 0, 1, 0, 2, 0, 0];
        assert_eq!(turns(&[5, 1, 1], 3), [seven, seven].concat());
        // Those that the list does not tell of have 1; what it tells of nobody is nothing.
        assert_eq!(turns(&[5], 3), [seven, seven].concat());
        assert_eq!(turns(&[5, 1, 1, 1000], 3), [seven, seven].concat());
    });
}

#[test]
fn weights_that_make_no_sense_are_refused() {
    for (weights, shown) in [(vec![], "[]"), (vec![3, 0, 1], "[3, 0, 1]")] {
        match Weighted::new(weights) {
            Err(BuildError::Setting {
                setting,
                value,
                allowed,
            }) => {
                assert_eq!((setting, value.as_str()), ("Weighted::new", shown));
                assert!(
                    allowed.contains("one weight or more, each from 1"),
                    "{allowed}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(Weighted::new([u32::MAX, 1]).is_ok());
}

// ---- Steer ------------------------------------------------------------------------------------

#[test]
fn steer_sends_jobs_where_its_closure_says() {
    watched(|ledger| {
        let stage = stage(&ledger, 3, 4, || {
            Steer::new(|job, workers| match job.key() {
                Some(key) => workers
                    .get(key as usize)
                    .map_or(Target::Any, |worker| Target::Worker(worker.id())),
                None => Target::Any,
            })
        });
        for key in [2, 0, 1, 1, 2] {
            stage.send(Some(key), None, false);
            assert_eq!(stage.started(), [key as usize]);
        }
        stage.end();
    });
}

// ---- KeyAffinity ------------------------------------------------------------------------------

#[test]
fn jobs_of_a_key_wait_for_its_worker_while_others_are_idle() {
    watched(|ledger| {
        let stage = stage(&ledger, 4, 4, KeyAffinity::new);
        let (release, hold) = oneshot::channel();
        stage.send(Some(1), Some(hold), false);
        let holder = stage.started()[0];
        // Many more than its inbox is to hold: the others of the key pile up behind it.
        for _ in 0..50 {
            stage.send(Some(1), None, false);
        }
        assert_eq!(stage.started(), []);
        // And hold up nobody: neither the other keys, nor jobs without one.
        for key in 2..40 {
            stage.send(Some(key), None, false);
            let started = stage.started();
            if started.is_empty() {
                continue; // behind the held one
            }
            assert_ne!(started[0], holder);
        }
        let waiting = stage.pool.metrics().waiting;
        assert!(
            (51..70).contains(&waiting),
            "a quarter of the keys or so: {waiting}"
        );
        for _ in 0..10 {
            assert_ne!(stage.goes_to(), holder);
        }
        drop(release);
        let started = stage.started();
        assert_eq!(started, vec![holder; waiting as usize]);
        stage.end();
    });
}

#[test]
fn keys_are_spread_over_the_workers_and_stay() {
    watched(|ledger| {
        let stage = stage(&ledger, 4, 4, KeyAffinity::new);
        let homes = || -> Vec<usize> {
            (0..400)
                .map(|key| {
                    stage.send(Some(key), None, false);
                    stage.started()[0]
                })
                .collect()
        };
        let first = homes();
        let shares = shares(&first, 4);
        assert!(shares.iter().all(|s| s.abs_diff(100) < 45), "{shares:?}");
        assert_eq!(homes(), first);
        stage.end();
    });
}

#[test]
fn by_a_closure_the_key_is_what_it_says() {
    watched(|ledger| {
        let stage = stage(&ledger, 4, 4, || {
            KeyAffinity::by(|job: &Job<Visit>| (job.data().payload.id() % 2 == 0).then_some(1))
        });
        let release = stage.held();
        let holder = stage.started()[0];
        for _ in 0..10 {
            assert_ne!(stage.goes_to(), holder, "an odd one has no key");
            stage.quick();
            assert_eq!(stage.started(), [], "an even one waits for its worker");
        }
        drop(release);
        assert_eq!(stage.started(), [holder; 10]);
        stage.end();
    });
}

/// A small generator of its own: the test's course depends on nothing else.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % n
    }
}

#[test]
fn a_keys_jobs_run_in_order_and_one_by_one_while_workers_break_and_are_lost() {
    for seed in 0..20 {
        watched(move |ledger| {
            const KEYS: u64 = 6;
            let mut dice = Dice(seed);
            let stage = stage(&ledger, 4, 2, KeyAffinity::new);
            let mut keys = BTreeMap::new();
            let mut held = Vec::new();
            let mut last = BTreeMap::new();
            for _ in 0..600 {
                let workers = stage.by_hand.workers();
                let worker = workers[dice.below(workers.len() as u64) as usize];
                match dice.below(20) {
                    0..8 => {
                        let (release, hold) = oneshot::channel();
                        let hold = (dice.below(3) == 0).then_some(hold);
                        if hold.is_some() {
                            held.push(release);
                        }
                        let key = dice.below(KEYS);
                        let job = stage.send(Some(key), hold, dice.below(6) == 0);
                        keys.insert(job, key);
                    }
                    8..15 => drop(stage.by_hand.poll(worker)),
                    15..18 if !held.is_empty() => {
                        let at = dice.below(held.len() as u64) as usize;
                        drop(held.swap_remove(at));
                    }
                    18 => {
                        stage.by_hand.abort(worker);
                        // One that never starts would not be replaced again.
                        stage.by_hand.poll(worker);
                    }
                    _ => stage.by_hand.run_only(worker),
                }
                for (job, _) in stage.starts.try_iter() {
                    let key = keys[&job];
                    let before = last.insert(key, job);
                    assert!(before < Some(job), "seed {seed}: {job} after {before:?}");
                }
                let running = crate::common::lock(&stage.running);
                let mut now: Vec<u64> = running.values().map(|job| keys[job]).collect();
                now.sort_unstable();
                let all = now.len();
                now.dedup();
                assert_eq!(now.len(), all, "seed {seed}: two of one key at once");
            }
            assert!(last.len() as u64 == KEYS, "every key has started some");
            held.clear();
            stage.end();
        });
    }
}
