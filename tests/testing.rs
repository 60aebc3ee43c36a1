//! The public suite for strategies and orders: the library's own pass it, and of those that are broken it
//! says what is broken.

mod common;

use common::watched;
use fanpool::testing::{Order, Seen, check_dispatcher, check_dispatcher_with, check_queue_order};
use fanpool::{
    AdaptiveLifo, Affinity, Any, Dispatcher, EarliestDeadline, FairShare, Fifo, Job, KeyAffinity,
    LeastBusy, Lifo, Priority, QueueOrder, Queued, Random, RoundRobin, Steer, Target, TwoChoices,
    Weighted, WorkerId, Workers,
};
use std::cell::Cell;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

// ---- the library's own ------------------------------------------------------------------------

#[test]
fn any_passes() {
    watched(|_| {
        check_dispatcher(Any::new);
    });
}

#[test]
fn round_robin_passes() {
    watched(|_| {
        check_dispatcher(RoundRobin::new);
    });
}

#[test]
fn least_busy_passes() {
    watched(|_| {
        check_dispatcher(LeastBusy::new);
    });
}

#[test]
fn two_choices_pass() {
    watched(|_| {
        for choices in 1..4 {
            check_dispatcher(|| TwoChoices::new(1).choices(choices));
        }
    });
}

#[test]
fn random_passes() {
    watched(|_| {
        check_dispatcher(|| Random::new(2));
    });
}

#[test]
fn weighted_passes() {
    watched(|_| {
        let weighted = Weighted::new([5, 1, 2]).unwrap();
        check_dispatcher(|| weighted.clone());
    });
}

#[test]
fn key_affinity_passes() {
    watched(|_| {
        check_dispatcher(KeyAffinity::new);
        check_dispatcher(|| KeyAffinity::by(|job: &Job<u64>| job.data() % 5));
        check_dispatcher_with(
            || KeyAffinity::by(|job: &Job<String>| (!job.data().is_empty()).then_some(7)),
            |number| "a job with a key, or none".repeat(number as usize % 2),
        );
    });
}

#[test]
fn steer_and_closures_pass() {
    watched(|_| {
        check_dispatcher(|| Steer::new(first_with_room));
        check_dispatcher(|| first_with_room);
    });
}

fn first_with_room(_: &Job<u64>, workers: &Workers<'_>) -> Target {
    let with_room = workers.iter().find(|worker| worker.has_room());
    with_room.map_or(Target::Any, |worker| Target::Worker(worker.id()))
}

#[test]
fn fifo_passes() {
    watched(|_| {
        check_queue_order(Fifo::new, Order::Fifo);
        check_queue_order(Fifo::new, Order::Any);
        check_queue_order(Fifo::new, Order::FifoWithin(|job: &Seen| job.weight));
        check_queue_order(Fifo::new, Order::Next(|_| 0));
    });
}

#[test]
fn lifo_passes() {
    watched(|_| {
        check_queue_order(Lifo::new, Order::Next(|waiting| waiting.len() - 1));
    });
}

#[test]
fn adaptive_lifo_passes() {
    watched(|_| {
        let newest_if_many = |waiting: &[Seen]| {
            if waiting.len() > 5 {
                waiting.len() - 1
            } else {
                0
            }
        };
        check_queue_order(|| AdaptiveLifo::new(5), Order::Next(newest_if_many));
    });
}

/// The index of the first one of which this is least.
fn least<K: Ord>(waiting: &[Seen], key: impl Fn(&Seen) -> K) -> usize {
    let least = (0..waiting.len()).min_by_key(|&index| key(&waiting[index]));
    least.expect("there is one")
}

#[test]
fn priority_passes() {
    watched(|_| {
        let by_level = |waiting: &[Seen]| least(waiting, |job| -job.priority);
        check_queue_order(Priority::new, Order::Next(by_level));
        check_queue_order(Priority::new, Order::FifoWithin(|job| job.priority as u64));
        let by_age = |waiting: &[Seen]| {
            least(waiting, |job| {
                job.arrival as i64 - 10 * i64::from(job.priority)
            })
        };
        check_queue_order(|| Priority::new().ageing(10), Order::Next(by_age));
    });
}

#[test]
fn earliest_deadline_passes() {
    watched(|_| {
        let by_deadline =
            |waiting: &[Seen]| least(waiting, |job| (job.deadline.is_none(), job.deadline));
        check_queue_order(EarliestDeadline::new, Order::Next(by_deadline));
    });
}

#[test]
fn fair_share_passes() {
    watched(|_| {
        let by_key = Order::FifoWithin(|job| job.key.unwrap_or(u64::MAX));
        check_queue_order(FairShare::new, by_key);
        check_queue_order(|| FairShare::new().weight(1, 3).default_weight(2), by_key);
    });
}

#[test]
fn an_order_that_no_pool_would_take_is_noticed() {
    let text = complaint(|| check_queue_order(|| Priority::new().ageing(0), Order::Any));
    says(&text, &["no pool would be built with it", "ageing"]);
}

// ---- strategies that are broken ---------------------------------------------------------------

/// What the suite says.
fn complaint(check: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(check)).expect_err("the suite found nothing");
    *panic.downcast::<String>().expect("a text")
}

#[track_caller]
fn says(text: &str, words: &[&str]) {
    for word in ["breaks its contract", "seed: ", "so far:"]
        .iter()
        .chain(words)
    {
        assert!(text.contains(word), "not {word:?}, but: {text}");
    }
    assert!(!text.contains("fault of fanpool's"), "{text}");
}

fn of_strategy<D: Dispatcher<u64>>(words: &[&str], make: impl Fn() -> D) {
    let text = complaint(|| check_dispatcher(make));
    says(&text, &["the strategy"]);
    says(&text, words);
}

/// Those that a strategy was shown once, for a later one to name.
fn kept() -> Arc<Mutex<Vec<WorkerId>>> {
    Arc::default()
}

#[test]
fn a_worker_that_is_not_there_is_noticed() {
    of_strategy(&["it named worker", "which is not there"], || {
        let mut first = None;
        move |_: &Job<u64>, workers: &Workers<'_>| {
            first = first.or(workers.get(0).map(|worker| worker.id()));
            first.map_or(Target::Any, Target::Worker)
        }
    });
}

#[test]
fn a_worker_beyond_the_last_is_noticed() {
    // Of a desk with more workers.
    let kept = kept();
    of_strategy(&["it named worker", "places"], || {
        let kept = kept.clone();
        move |_: &Job<u64>, workers: &Workers<'_>| {
            let mut kept = kept.lock().unwrap();
            kept.extend(workers.iter().map(|worker| worker.id()));
            let beyond = kept.iter().find(|id| id.index() >= workers.len());
            beyond.map_or(Target::Any, |&id| Target::Worker(id))
        }
    });
}

#[test]
fn a_worker_that_retires_is_noticed() {
    of_strategy(&["it named worker", "which retires"], || {
        |_: &Job<u64>, workers: &Workers<'_>| {
            let last = workers.iter().last();
            last.map_or(Target::Any, |worker| Target::Worker(worker.id()))
        }
    });
}

#[test]
fn a_strategy_that_panics_is_noticed_and_nothing_is_lost() {
    let words = ["it panicked in `dispatch`: no idea", "Metrics::faults"];
    of_strategy(&words, || {
        let mut asked = 0;
        move |_: &Job<u64>, _: &Workers<'_>| {
            asked += 1;
            if asked % 10 == 0 {
                resume_unwind(Box::new("no idea"));
            }
            Target::Any
        }
    });
}

/// A strategy that breaks one of the promises below.
struct Broken<A> {
    late: fn() -> bool,
    affinity: A,
}

impl<A> Dispatcher<u64> for Broken<A>
where
    A: Fn(&Job<u64>) -> Option<u64> + Copy + Send + Sync + 'static,
{
    fn dispatch(&mut self, job: &Job<u64>, workers: &Workers<'_>) -> Target {
        first_with_room(job, workers)
    }

    fn late_binding(&self) -> bool {
        (self.late)()
    }

    fn affinity(&self) -> Option<Affinity<u64>> {
        Some(Affinity::by(self.affinity))
    }
}

#[test]
fn a_key_that_moves_is_noticed() {
    of_strategy(&["holds key", "but the key's next job was sent to"], || {
        Broken {
            late: || false,
            affinity: |job: &Job<u64>| Some(job.data() % 3),
        }
    });
}

#[test]
fn a_key_that_changes_is_noticed() {
    let asked = AtomicU64::new(0);
    let asked: &'static AtomicU64 = Box::leak(Box::new(asked));
    of_strategy(&["`affinity` gave two keys"], || Broken {
        late: || false,
        affinity: |_: &Job<u64>| Some(asked.fetch_add(1, Relaxed)),
    });
}

#[test]
fn a_key_that_panics_is_noticed() {
    of_strategy(&["it panicked in `affinity`: no key"], || Broken {
        late: || false,
        affinity: |_: &Job<u64>| resume_unwind(Box::new("no key")),
    });
}

#[test]
fn one_that_binds_late_and_chooses_is_noticed() {
    of_strategy(
        &["`late_binding`", "so it cannot have an `affinity`"],
        || Broken {
            late: || true,
            affinity: |_: &Job<u64>| None,
        },
    );
    struct Late;
    impl Dispatcher<u64> for Late {
        fn dispatch(&mut self, job: &Job<u64>, workers: &Workers<'_>) -> Target {
            first_with_room(job, workers)
        }
        fn late_binding(&self) -> bool {
            true
        }
    }
    of_strategy(&["every answer is `Any`, but it said Worker"], || Late);
}

#[test]
fn one_that_changes_its_mind_about_itself_is_noticed() {
    static MIND: AtomicBool = AtomicBool::new(false);
    of_strategy(&["answers now this, now that"], || Broken {
        late: || MIND.fetch_not(Relaxed),
        affinity: |_: &Job<u64>| None,
    });
}

// ---- orders that are broken -------------------------------------------------------------------

fn of_order<B: Breaks>(words: &[&str]) {
    promising::<B>(Order::Any, words);
}

fn promising<B: Breaks>(promise: Order, words: &[&str]) {
    let text = complaint(|| check_queue_order(BrokenOrder::<B>::new, promise));
    says(&text, &["the queue order"]);
    says(&text, words);
}

/// What an order does instead of the right thing.
trait Breaks: Send + 'static {
    fn push(jobs: &mut VecDeque<Queued<u64>>, job: Queued<u64>) {
        jobs.push_back(job);
    }
    fn pop(jobs: &mut VecDeque<Queued<u64>>) -> Option<Queued<u64>> {
        jobs.pop_front()
    }
    fn len(jobs: &VecDeque<Queued<u64>>) -> usize {
        jobs.len()
    }
    fn is_empty(jobs: &VecDeque<Queued<u64>>) -> bool {
        jobs.is_empty()
    }
    fn retain(jobs: &mut VecDeque<Queued<u64>>, keep: &mut dyn FnMut(&Queued<u64>) -> bool) {
        jobs.retain(keep);
    }
    fn append(jobs: &mut VecDeque<Queued<u64>>, new: &mut VecDeque<Queued<u64>>) {
        jobs.append(new);
    }
    fn pop_many(jobs: &mut VecDeque<Queued<u64>>, most: usize, out: &mut VecDeque<Queued<u64>>) {
        out.extend(jobs.drain(..most.min(jobs.len())));
    }
    fn in_arrival_order() -> bool {
        false
    }
}

struct BrokenOrder<B> {
    jobs: VecDeque<Queued<u64>>,
    how: PhantomData<B>,
}

impl<B: Breaks> BrokenOrder<B> {
    fn new() -> Self {
        BrokenOrder {
            jobs: VecDeque::new(),
            how: PhantomData,
        }
    }
}

impl<B: Breaks> QueueOrder<u64> for BrokenOrder<B> {
    fn push(&mut self, job: Queued<u64>) {
        B::push(&mut self.jobs, job);
    }
    fn pop(&mut self) -> Option<Queued<u64>> {
        B::pop(&mut self.jobs)
    }
    fn len(&self) -> usize {
        B::len(&self.jobs)
    }
    fn retain(&mut self, keep: &mut dyn FnMut(&Queued<u64>) -> bool) {
        B::retain(&mut self.jobs, keep);
    }
    fn append(&mut self, jobs: &mut VecDeque<Queued<u64>>) {
        B::append(&mut self.jobs, jobs);
    }
    fn pop_many(&mut self, most: usize, out: &mut VecDeque<Queued<u64>>) {
        B::pop_many(&mut self.jobs, most, out);
    }
    fn is_empty(&self) -> bool {
        B::is_empty(&self.jobs)
    }
    fn in_arrival_order(&self) -> bool {
        B::in_arrival_order()
    }
}

/// Declares an order that does one thing wrong.
macro_rules! broken {
    ($name:ident: $($wrong:item)*) => {
        struct $name;
        impl Breaks for $name {
            $($wrong)*
        }
    };
}

type Jobs = VecDeque<Queued<u64>>;

#[test]
fn an_order_that_is_not_broken_is_not_blamed() {
    broken!(Nothing:);
    check_queue_order(BrokenOrder::<Nothing>::new, Order::Fifo);
}

#[test]
fn an_order_that_loses_jobs_is_noticed() {
    broken!(LosesInPush:
        fn push(jobs: &mut Jobs, job: Queued<u64>) {
            if job.id().get() % 5 > 0 {
                jobs.push_back(job);
            }
        }
    );
    of_order::<LosesInPush>(&["are lost: they went in, and neither came out nor are inside"]);
    broken!(LosesInPop:
        fn pop(jobs: &mut Jobs) -> Option<Queued<u64>> {
            let job = jobs.pop_front();
            if jobs.len() == 4 {
                jobs.pop_back();
            }
            job
        }
    );
    of_order::<LosesInPop>(&["are lost"]);
    broken!(LosesInAppend:
        fn append(jobs: &mut Jobs, new: &mut Jobs) {
            new.pop_front();
            jobs.append(new);
        }
    );
    of_order::<LosesInAppend>(&["are lost"]);
    broken!(LosesInRetain:
        fn retain(jobs: &mut Jobs, keep: &mut dyn FnMut(&Queued<u64>) -> bool) {
            jobs.retain(keep);
            jobs.pop_front();
        }
    );
    of_order::<LosesInRetain>(&["are lost"]);
}

#[test]
fn an_order_that_hides_jobs_is_noticed() {
    broken!(Hides:
        fn pop(jobs: &mut Jobs) -> Option<Queued<u64>> {
            if jobs.len() % 3 == 2 { None } else { jobs.pop_front() }
        }
    );
    of_order::<Hides>(&["`pop` gives nothing, and jobs", "are inside"]);
}

#[test]
fn an_order_that_miscounts_is_noticed() {
    broken!(Less:
        fn len(jobs: &Jobs) -> usize {
            jobs.len().saturating_sub(1)
        }
    );
    of_order::<Less>(&["`len after ", "` makes it 0 jobs, but 1 are inside"]);
    broken!(NeverEmpty:
        fn is_empty(_: &Jobs) -> bool {
            false
        }
    );
    of_order::<NeverEmpty>(&["`is_empty` is false, and `len` is 0"]);
}

#[test]
fn an_order_that_panics_is_noticed_wherever_it_does() {
    broken!(InPush:
        fn push(jobs: &mut Jobs, job: Queued<u64>) {
            if jobs.len() == 3 {
                resume_unwind(Box::new("no more"));
            }
            jobs.push_back(job);
        }
    );
    of_order::<InPush>(&["it panicked in `push`: no more", "Metrics::faults"]);
    broken!(InRetain:
        fn retain(_: &mut Jobs, _: &mut dyn FnMut(&Queued<u64>) -> bool) {
            resume_unwind(Box::new("no way"));
        }
    );
    of_order::<InRetain>(&["it panicked in `retain`: no way"]);
    broken!(InLen:
        fn len(jobs: &Jobs) -> usize {
            if jobs.len() == 5 {
                resume_unwind(Box::new("five"));
            }
            jobs.len()
        }
    );
    of_order::<InLen>(&["it panicked in `len`: five"]);
}

#[test]
fn an_order_that_keeps_what_is_to_go_is_noticed() {
    broken!(Keeps:
        fn retain(jobs: &mut Jobs, keep: &mut dyn FnMut(&Queued<u64>) -> bool) {
            for job in jobs {
                keep(job);
            }
        }
    );
    of_order::<Keeps>(&["`len after retain` makes it"]);
    broken!(Skips:
        fn retain(jobs: &mut Jobs, keep: &mut dyn FnMut(&Queued<u64>) -> bool) {
            let mut first = true;
            jobs.retain(|job| std::mem::take(&mut first) || keep(job));
        }
    );
    of_order::<Skips>(&["`retain` showed jobs"]);
}

#[test]
fn an_order_that_does_many_differently_from_one_is_noticed() {
    broken!(Leaves:
        fn append(jobs: &mut Jobs, new: &mut Jobs) {
            jobs.extend(new.pop_front());
        }
    );
    of_order::<Leaves>(&["`append` left"]);
    broken!(TooFew:
        fn pop_many(jobs: &mut Jobs, most: usize, out: &mut Jobs) {
            out.extend(jobs.drain(..most.saturating_sub(1).min(jobs.len())));
        }
    );
    of_order::<TooFew>(&["`pop_many` of ", " gave "]);
    broken!(Backwards:
        fn pop_many(jobs: &mut Jobs, most: usize, out: &mut Jobs) {
            out.extend((0..most).map_while(|_| jobs.pop_back()));
        }
    );
    promising::<Backwards>(Order::Fifo, &["came out, but next was"]);
}

#[test]
fn an_order_that_breaks_its_promise_is_noticed() {
    broken!(Newest:
        fn pop(jobs: &mut Jobs) -> Option<Queued<u64>> {
            jobs.pop_back()
        }
        fn pop_many(jobs: &mut Jobs, most: usize, out: &mut Jobs) {
            out.extend((0..most).map_while(|_| jobs.pop_back()));
        }
    );
    check_queue_order(BrokenOrder::<Newest>::new, Order::Any);
    check_queue_order(
        BrokenOrder::<Newest>::new,
        Order::Next(|jobs| jobs.len() - 1),
    );
    let words = ["came out, but next was"];
    promising::<Newest>(Order::Fifo, &words);
    promising::<Newest>(Order::Next(|_| 0), &words);
    promising::<Newest>(Order::FifoWithin(|job| job.key.unwrap_or(9)), &words);
    broken!(SaysArrival:
        fn pop(jobs: &mut Jobs) -> Option<Queued<u64>> {
            jobs.pop_back()
        }
        fn in_arrival_order() -> bool {
            true
        }
    );
    of_order::<SaysArrival>(&words);
}

#[test]
fn each_strategy_is_made_anew_for_each_pool() {
    let made = Cell::new(0);
    check_dispatcher(|| {
        made.set(made.get() + 1);
        Any::new()
    });
    assert!(made.get() > 100, "{}", made.get());
}
