//! The queue orders in live pools: who starts when, what is told of deadlines, which settings are refused.
//!
//! One worker is held by a first job while the others are submitted. What each order does in random
//! programs is tested beside them, in `src/queue_order/tests`.

use crate::common::{Door, Ledger, Payload, lock, poll_once, watched};
use fanpool::clock::{Clock, ManualClock};
use fanpool::queue_order::{
    AdaptiveLifo, EarliestDeadline, FairShare, Fifo, Lifo, Priority, QueueOrder, Queued,
};
use fanpool::{
    BuildError, Cancellation, Job, JobContext, JobHandler, JobHandlerFactory, Pool, PoolBuilder,
    SubmitError, Submitter, handler_fn_with,
};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

type Own = Submitter<Payload, u64, String>;
type Order = Box<dyn QueueOrder<Payload>>;
/// The numbers of jobs as they start, and what they are told of their deadline.
type Starts = mpsc::Receiver<(u64, Option<Instant>)>;

/// A pool with one worker, whose jobs wait at the door.
fn held(
    door: &Door,
) -> (
    PoolBuilder<
        Payload,
        impl JobHandlerFactory<Payload, Handler: JobHandler<Payload, Output = u64, Error = String>>
        + use<>,
    >,
    Starts,
) {
    let (start, starts) = mpsc::channel();
    let door = door.clone();
    let builder = Pool::builder(handler_fn_with(move |job: Payload, cx: &JobContext| {
        let _ = start.send((job.id(), cx.deadline()));
        job.run(|| door.pass());
        Ok(job.id())
    }));
    let builder = builder.workers_per_dispatcher(1).queue_capacity(20_000);
    (builder, starts)
}

fn numbers(starts: &Starts) -> Vec<u64> {
    starts.try_iter().map(|(number, _)| number).collect()
}

/// Holds the worker by a job of its own.
fn hold(pool: &Own, ledger: &Ledger, door: &Door) {
    pool.send_blocking(ledger.job()).unwrap();
    door.wait_for(1);
}

/// Priority, key, weight, and seconds to the deadline, of the jobs 1 to 8.
const JOBS: [(i32, Option<u64>, u64, Option<u64>); 8] = [
    (0, Some(1), 1, None),
    (2, Some(1), 1, Some(30)),
    (0, Some(1), 1, Some(10)),
    (-1, Some(2), 2, None),
    (2, Some(2), 1, Some(10)),
    (0, None, 1, Some(20)),
    (1, Some(1), 1, None),
    (0, Some(2), 1, Some(5)),
];

type Case = (&'static str, fn() -> Order, [u64; 8]);

/// Each order, and in which order it has these jobs start.
const CASES: [Case; 7] = [
    ("Fifo", || Box::new(Fifo::new()), [1, 2, 3, 4, 5, 6, 7, 8]),
    ("Lifo", || Box::new(Lifo::new()), [8, 7, 6, 5, 4, 3, 2, 1]),
    (
        "AdaptiveLifo",
        || Box::new(AdaptiveLifo::new(5)),
        [8, 7, 6, 1, 2, 3, 4, 5],
    ),
    (
        "Priority",
        || Box::new(Priority::new()),
        [2, 5, 7, 1, 3, 6, 8, 4],
    ),
    (
        "Priority with ageing",
        || Box::new(Priority::new().ageing(2)),
        [2, 1, 5, 3, 7, 4, 6, 8],
    ),
    (
        "EarliestDeadline",
        || Box::new(EarliestDeadline::new()),
        [8, 3, 5, 6, 2, 1, 4, 7],
    ),
    // In the first round, key 1 can pay for two, and key 2 not yet for its heavy one.
    (
        "FairShare",
        || Box::new(FairShare::new().weight(1, 2)),
        [1, 2, 6, 4, 3, 7, 5, 8],
    ),
];

/// A held pool with these jobs waiting.
fn with_jobs(ledger: &Ledger, order: fn() -> Order) -> (Own, Door, Starts) {
    let door = Door::new();
    let (builder, starts) = held(&door);
    let clock = ManualClock::new();
    let pool = builder.queue_order(order).clock(clock).build().unwrap();
    ledger.watch(&pool);
    hold(&pool, ledger, &door);
    for (priority, key, weight, deadline) in JOBS {
        let mut job = pool.job(ledger.job()).priority(priority).weight(weight);
        if let Some(key) = key {
            job = job.key(key);
        }
        if let Some(secs) = deadline {
            job = job.expires_in(Duration::from_secs(secs));
        }
        job.send_blocking().unwrap();
    }
    (pool.submitter(), door, starts)
}

#[test]
fn each_order_starts_jobs_in_its_order() {
    for (name, order, expected) in CASES {
        watched(move |ledger| {
            let (pool, door, starts) = with_jobs(&ledger, order);
            door.open();
            ledger.close(pool.shutdown_blocking().counts);
            assert_eq!(numbers(&starts)[1..], expected, "{name}");
        });
    }
}

#[test]
fn a_shutdown_hands_jobs_back_in_the_order_in_which_they_would_have_started() {
    for (name, order, expected) in CASES {
        watched(move |ledger| {
            let (pool, door, starts) = with_jobs(&ledger, order);
            let mut shutdown = Box::pin(pool.shutdown_now());
            assert!(poll_once(&mut shutdown).is_pending(), "the first one runs");
            door.open();
            let report = futures_lite::future::block_on(shutdown);
            let unrun: Vec<_> = report.unrun.iter().map(|job| job.data().id()).collect();
            assert_eq!(unrun, expected, "{name}");
            assert_eq!(numbers(&starts), [0]);
            drop(report.unrun);
            ledger.close(report.counts);
        });
    }
}

/// Enough of them that the queue is cleared of the empty envelopes while the worker is held.
#[test]
fn cancelled_jobs_leave_the_others_in_order() {
    for (name, order, expected) in CASES {
        watched(move |ledger| {
            let (pool, door, starts) = with_jobs(&ledger, order);
            // Without a deadline or a level, with keys that come and go.
            let handles: Vec<_> = (0..100)
                .map(|n| pool.job(ledger.job()).key(100 + n).try_submit().unwrap())
                .collect();
            handles
                .iter()
                .for_each(|handle| assert_eq!(handle.cancel(), Cancellation::Removed));
            assert_eq!(pool.metrics().waiting, 8);
            drop(handles);
            door.open();
            ledger.close(pool.shutdown_blocking().counts);
            let mut started = numbers(&starts);
            started.remove(0);
            // It counts the empty envelopes that are left.
            if name == "AdaptiveLifo" {
                started.sort_unstable();
                assert_eq!(started, [1, 2, 3, 4, 5, 6, 7, 8]);
            } else {
                assert_eq!(started, expected, "{name}");
            }
        });
    }
}

#[test]
fn nothing_is_lost_with_several_dispatchers_and_workers() {
    for (name, order, _) in CASES {
        watched(move |ledger| {
            let door = Door::new();
            let (builder, starts) = held(&door);
            let pool = builder
                .dispatchers(3)
                .workers_per_dispatcher(2)
                .queue_capacity(50)
                .queue_order(order)
                .build()
                .unwrap();
            ledger.watch(&pool);
            door.open();
            for n in 0..1_000u64 {
                let job = pool.job(ledger.job()).priority((n % 5) as i32).key(n % 7);
                let job = job.expires_in(Duration::from_secs(n % 11));
                let handle = job.weight(1 + n % 3).submit_blocking().unwrap();
                if n % 13 == 0 {
                    let _ = handle.cancel();
                }
            }
            let counts = pool.shutdown_blocking().counts;
            assert_eq!(counts.completed + counts.cancelled, 1_000, "{name}");
            assert_eq!(counts.faults, 0, "{name}");
            ledger.close(counts);
            assert_eq!(numbers(&starts).len() as u64, counts.completed);
        });
    }
}

#[test]
fn a_noisy_key_delays_a_thousand_others_by_one_round() {
    watched(|ledger| {
        let door = Door::new();
        let (builder, starts) = held(&door);
        let pool = builder.queue_order(FairShare::new).build().unwrap();
        ledger.watch(&pool);
        hold(&pool, &ledger, &door);
        for _ in 0..10_000 {
            pool.job(ledger.job()).key(0).try_send().unwrap();
        }
        // The noisy one is in the middle of its jobs when the others come.
        for _ in 0..10 {
            door.see_one_through();
        }
        door.wait_for(1);
        for key in 1..=1_000 {
            pool.job(ledger.job()).key(key).try_send().unwrap();
        }
        let before = numbers(&starts).len();
        assert_eq!(before, 11);
        door.open();
        ledger.close(pool.shutdown_blocking().counts);
        let started = numbers(&starts);
        assert_eq!(started.len() + before, 11_001);
        // All of them, and at most one job of the noisy one for each round that this touches.
        let few: Vec<_> = started[..1_001].iter().filter(|n| **n > 10_000).collect();
        assert_eq!(few.len(), 1_000);
    });
}

/// However long the stream of urgent jobs.
#[test]
fn with_ageing_nothing_starves() {
    watched(|ledger| {
        let door = Door::new();
        let (builder, starts) = held(&door);
        let order = || Priority::new().ageing(10);
        let pool = builder.queue_order(order).build().unwrap();
        ledger.watch(&pool);
        hold(&pool, &ledger, &door);
        let plain = ledger.job();
        let plain_id = plain.id();
        pool.send_blocking(plain).unwrap();
        // Two wait at any time, and three levels of urgency are worth thirty jobs.
        for _ in 0..100 {
            pool.job(ledger.job()).priority(3).try_send().unwrap();
            door.see_one_through();
            door.wait_for(1);
        }
        door.open();
        ledger.close(pool.shutdown_blocking().counts);
        let place = numbers(&starts).iter().position(|id| *id == plain_id);
        // After the first one, and the twenty-nine that came before it had aged enough.
        assert_eq!(place, Some(30));
    });
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let cases: [(fn() -> Order, &str, &str, &str); 6] = [
        (
            || Box::new(FairShare::new().weight(3, 1).weight(7, 0)),
            "FairShare::weight",
            "0 for key 7",
            "1 to 4294967295",
        ),
        (
            || Box::new(FairShare::new().default_weight(0)),
            "FairShare::default_weight",
            "0",
            "1 to 4294967295",
        ),
        (
            || Box::new(FairShare::new().key_bound(0)),
            "FairShare::key_bound",
            "0",
            "1 or more",
        ),
        (
            || Box::new(Priority::new().ageing(0)),
            "Priority::ageing",
            "0",
            "1 or more",
        ),
        // What is wrong is not forgotten over what is right.
        (
            || Box::new(FairShare::new().weight(7, 0).key_bound(5)),
            "FairShare::weight",
            "0 for key 7",
            "1 to 4294967295",
        ),
        (
            || Box::new(Around(FairShare::new().key_bound(0))),
            "FairShare::key_bound",
            "0",
            "1 or more",
        ),
    ];
    for (order, name, given, range) in cases {
        let (builder, _) = held(&Door::new());
        let error = builder.queue_order(order).build().unwrap_err();
        let text = error.to_string();
        for part in [name, given, range] {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
        let BuildError::Setting { setting, value, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!((setting, &*value), (name, given));
    }
}

/// An order around another one.
struct Around(FairShare<Payload>);

impl QueueOrder<Payload> for Around {
    fn push(&mut self, job: Queued<Payload>) {
        self.0.push(job);
    }
    fn pop(&mut self) -> Option<Queued<Payload>> {
        self.0.pop()
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn retain(&mut self, keep: &mut dyn FnMut(&Queued<Payload>) -> bool) {
        self.0.retain(keep);
    }
    fn check(&self) -> Result<(), BuildError> {
        self.0.check()
    }
}

#[test]
fn settings_in_range_are_taken_as_they_are() {
    let bound = |order: Order| order.key_bound();
    assert_eq!(bound(Box::new(FairShare::new().key_bound(5))), Some(5));
    assert_eq!(bound(Box::new(FairShare::new())), None);
    assert_eq!(bound(Box::new(Priority::new())), None);
    watched(|ledger| {
        let order = || FairShare::new().weight(u64::MAX, u32::MAX).key_bound(1);
        for order in [order, || FairShare::new().default_weight(u32::MAX)] {
            let door = Door::new();
            let (builder, _) = held(&door);
            let pool = builder.queue_order(order).build().unwrap();
            door.open();
            let job = pool.job(ledger.job()).key(u64::MAX);
            job.weight(20_000).run_blocking().unwrap();
            pool.shutdown_blocking();
        }
        let door = Door::new();
        let (builder, starts) = held(&door);
        let order = || Priority::new().ageing(u64::MAX);
        let pool = builder.queue_order(order).build().unwrap();
        hold(&pool, &ledger, &door);
        for priority in [i32::MIN, i32::MAX, 0] {
            let job = pool.job(ledger.job()).priority(priority);
            job.send_blocking().unwrap();
        }
        door.open();
        pool.shutdown_blocking();
        assert_eq!(numbers(&starts), [2, 4, 5, 3]);
        ledger.close_without_counts();
    });
}

/// First in, first out, and writes down the deadlines that it sees.
struct Seen {
    jobs: VecDeque<Queued<Payload>>,
    deadlines: Arc<Mutex<Vec<Option<Instant>>>>,
}

impl QueueOrder<Payload> for Seen {
    fn push(&mut self, job: Queued<Payload>) {
        lock(&self.deadlines).push(job.deadline());
        self.jobs.push_back(job);
    }
    fn pop(&mut self) -> Option<Queued<Payload>> {
        self.jobs.pop_front()
    }
    fn len(&self) -> usize {
        self.jobs.len()
    }
    fn retain(&mut self, keep: &mut dyn FnMut(&Queued<Payload>) -> bool) {
        self.jobs.retain(keep);
    }
}

#[test]
fn a_deadline_is_told_wherever_the_job_is_and_a_missed_one_changes_nothing() {
    watched(|ledger| {
        let (door, clock) = (Door::new(), ManualClock::new());
        let start = clock.now();
        let after = |secs| Some(start + Duration::from_secs(secs));
        let deadlines = Arc::new(Mutex::new(Vec::new()));
        let seen = deadlines.clone();
        let (builder, starts) = held(&door);
        let pool = builder
            .queue_capacity(6)
            .clock(clock.clone())
            .queue_order(move || Seen {
                jobs: VecDeque::new(),
                deadlines: seen.clone(),
            })
            .build()
            .unwrap();
        ledger.watch(&pool);
        hold(&pool, &ledger, &door);
        let job = || pool.job(ledger.job());
        let secs = Duration::from_secs;

        let early = pool.reserve_blocking().unwrap();
        job().expires_in(secs(9)).send_blocking().unwrap();
        clock.advance(secs(100));
        let with_handle = job().expires_in(secs(9)).try_submit().unwrap();
        // From the call on, not from the reservation.
        let reserved = early.job(ledger.job()).expires_in(secs(8)).submit();
        let owned = futures_lite::future::block_on(pool.reserve_owned()).unwrap();
        let owned = owned.job(ledger.job()).expires_in(secs(7));
        owned.send().unwrap();
        job().try_send().unwrap();
        // The last one counts, and too long a time is none.
        let endless = job().expires_in(secs(1)).expires_in(Duration::MAX);
        endless.try_send().unwrap();

        let refused = job().expires_in(secs(6)).try_send().unwrap_err();
        let SubmitError::Full(back) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(back.deadline(), after(106));
        assert_eq!(Job::from(1).deadline(), None);
        clock.advance(secs(1_000));
        door.see_one_through();
        door.wait_for(1);
        // A job that came back keeps its moment.
        pool.job(back).send_blocking().unwrap();

        door.open();
        with_handle.wait().unwrap();
        reserved.unwrap().wait().unwrap();
        let counts = pool.shutdown_blocking().counts;
        assert_eq!((counts.completed, counts.expired), (8, 0));
        ledger.close(counts);
        let expected = [
            None,
            after(9),
            after(109),
            after(108),
            after(107),
            None,
            None,
            after(106),
        ];
        let told: Vec<_> = starts.try_iter().map(|(_, deadline)| deadline).collect();
        assert_eq!(told, expected);
        assert_eq!(*lock(&deadlines), expected);
    });
}
