//! The simulator against queueing theory.
//!
//! Each tolerance is four standard errors or more of a mean over the run's length, by the asymptotic
//! variance of the queue where there is a formula for it, and what seeds 1 to 20 showed elsewhere. The
//! seeds are fixed, so a test that passes once goes on passing; a formula that is a few per cent off fails.
#![cfg(feature = "sim")]

use fanpool::sim::{
    Arrivals, Classes, Deadline, Depth, Keys, Recorded, Report, Service, Simulation, Trace,
    max_min_shares,
};
use fanpool::{
    Any, EarliestDeadline, FairShare, Fifo, LeastBusy, Priority, Random, RoundRobin, TwoChoices,
};
use proptest::test_runner::{RngAlgorithm, TestRng};

#[track_caller]
fn close(what: &str, measured: f64, theory: f64, tolerance: f64) {
    let off = measured / theory - 1.0;
    println!(
        "{what}: {measured:.4} for {theory:.4}, {:+.2} %",
        100.0 * off
    );
    assert!(
        off.abs() <= tolerance,
        "{what}: measured {measured}, theory {theory}: off by {:.2} %, more than {:.2} %",
        100.0 * off,
        100.0 * tolerance
    );
}

fn run(simulation: Simulation) -> Report {
    let report = simulation.run().unwrap();
    assert_eq!((report.refused, report.lost, report.faults), (0, 0, 0));
    assert_eq!(report.per_worker.iter().sum::<u64>(), report.jobs);
    report
}

/// The probability of having to wait in M/M/c (Erlang C), by the recursion for Erlang B.
fn erlang_c(servers: u32, load: f64) -> f64 {
    let offered = load * f64::from(servers);
    let blocked = (1..=servers).fold(1.0, |b, k| offered * b / (f64::from(k) + offered * b));
    blocked / (1.0 - load * (1.0 - blocked))
}

/// Mean wait in M/M/c, in service times.
fn mmc_wait(servers: u32, load: f64) -> f64 {
    erlang_c(servers, load) / (f64::from(servers) * (1.0 - load))
}

#[test]
fn erlangs_formula_is_right_where_it_is_simple() {
    assert!((erlang_c(1, 0.7) - 0.7).abs() < 1e-12);
    // M/M/2: 2ρ² / (1 + ρ).
    assert!((erlang_c(2, 0.8) - 1.28 / 1.8).abs() < 1e-12);
}

#[test]
fn m_m_1_waits_as_long_as_in_theory() {
    for (load, jobs, tolerance) in [
        (0.3, 150_000, 0.04),
        (0.6, 200_000, 0.05),
        (0.9, 600_000, 0.09),
    ] {
        let report = run(Simulation::new().load(load).jobs(jobs).seed(1));
        let sojourn = 1.0 / (1.0 - load);
        close("M/M/1 wait", report.wait.mean(), load * sojourn, tolerance);
        close("M/M/1 sojourn", report.sojourn.mean(), sojourn, tolerance);
        close("M/M/1 utilisation", report.utilisation, load, 0.01);
        // The sojourn is exponential.
        for percent in [50.0, 90.0, 99.0] {
            let theory = -(1.0 - percent / 100.0_f64).ln() * sojourn;
            let measured = report.sojourn.percentile(percent);
            close("M/M/1 percentile", measured, theory, 2.0 * tolerance);
        }
    }
}

#[test]
fn m_m_c_waits_as_long_as_erlang_says() {
    for (servers, load, jobs, tolerance) in [
        (2, 0.5, 200_000, 0.04),
        (2, 0.9, 500_000, 0.09),
        (5, 0.8, 300_000, 0.06),
        (10, 0.9, 500_000, 0.09),
        (50, 0.95, 600_000, 0.20),
    ] {
        let report = run(Simulation::new()
            .workers(servers as usize)
            .dispatcher(Any::new)
            .load(load)
            .jobs(jobs)
            .seed(2));
        let what = format!("M/M/{servers} wait at {load}");
        close(
            &what,
            report.wait.mean(),
            mmc_wait(servers, load),
            tolerance,
        );
        let sojourn = 1.0 + mmc_wait(servers, load);
        close("its sojourn", report.sojourn.mean(), sojourn, tolerance);
        close("its utilisation", report.utilisation, load, 0.01);
    }
}

/// Mean wait in M/G/1 (Pollaczek and Khinchine).
fn pk_wait(load: f64, mean: f64, second_moment: f64) -> f64 {
    load / mean * second_moment / (2.0 * (1.0 - load))
}

#[test]
fn m_d_1_waits_half_as_long_as_m_m_1() {
    for (load, jobs, tolerance) in [
        (0.5, 150_000, 0.03),
        (0.8, 200_000, 0.05),
        (0.9, 400_000, 0.07),
    ] {
        let report = run(Simulation::new()
            .service(Service::deterministic())
            .load(load)
            .jobs(jobs)
            .seed(3));
        let theory = pk_wait(load, 1.0, 1.0);
        close("M/D/1 wait", report.wait.mean(), theory, tolerance);
    }
}

#[test]
fn m_g_1_with_two_lengths_waits_as_pollaczek_and_khinchine_say() {
    for (load, long, often, jobs, tolerance) in [
        (0.5, 20.0, 0.1, 400_000, 0.06),
        (0.8, 20.0, 0.1, 600_000, 0.09),
        (0.7, 5.0, 0.3, 300_000, 0.05),
    ] {
        let report = run(Simulation::new()
            .service(Service::bimodal((1.0, 1.0 - often), (long, often)))
            .load(load)
            .jobs(jobs)
            .seed(4));
        let mean = 1.0 - often + long * often;
        assert!((report.mean_service - mean).abs() < 1e-9);
        let second = 1.0 - often + long * long * often;
        let theory = pk_wait(load, mean, second);
        close("M/G/1 wait", report.wait.mean(), theory, tolerance);
    }
}

/// Mean time in system of the supermarket model, in the limit of many servers: Mitzenmacher, *The Power of
/// Two Choices in Randomized Load Balancing*, IEEE TPDS 2001.
fn supermarket(load: f64, choices: i32) -> f64 {
    let exponent = |i: i32| match choices {
        1 => f64::from(i - 1),
        d => f64::from(d.pow(i as u32) - d) / f64::from(d - 1),
    };
    (1..=if choices == 1 { 2000 } else { 12 })
        .map(|i| load.powf(exponent(i)))
        .sum()
}

#[test]
fn the_supermarket_model_is_met() {
    assert!((supermarket(0.9, 1) - 10.0).abs() < 1e-6);
    // 300 workers are not infinitely many: by less than 1 %, at these loads.
    for (choices, load, jobs, tolerance) in [
        (1, 0.7, 600_000, 0.04),
        (2, 0.7, 300_000, 0.02),
        (2, 0.9, 500_000, 0.03),
        (3, 0.9, 400_000, 0.03),
        (3, 0.95, 500_000, 0.04),
    ] {
        let report = run(Simulation::new()
            .workers(300)
            .depth(Depth::Unbounded)
            .dispatcher(move || TwoChoices::new(11).choices(choices))
            .load(load)
            .jobs(jobs)
            .seed(5));
        let what = format!("the best of {choices} at {load}");
        let theory = supermarket(load, choices as i32);
        close(&what, report.sojourn.mean(), theory, tolerance);
    }
}

/// Chosen at random, the Poisson process falls into as many as there are workers.
#[test]
fn random_makes_m_m_1_queues() {
    let report = run(Simulation::new()
        .workers(20)
        .depth(Depth::Unbounded)
        .dispatcher(|| Random::new(3))
        .load(0.8)
        .jobs(600_000)
        .seed(6));
    close("random", report.sojourn.mean(), 5.0, 0.06);
    // Each worker's share is binomial.
    let (least, most) = (
        report.per_worker.iter().min(),
        report.per_worker.iter().max(),
    );
    assert!(
        least > Some(&29_000) && most < Some(&31_000),
        "{least:?} {most:?}"
    );
}

/// In turn among n, each sees one in n arrivals: Erlang-n times between, so E_n/D/1 here, which for loads
/// below 1 and many workers hardly ever waits; and deterministic arrivals never do.
#[test]
fn in_turn_deterministic_jobs_never_wait() {
    let report = run(Simulation::new()
        .workers(7)
        .depth(Depth::Unbounded)
        .dispatcher(RoundRobin::new)
        .arrivals(Arrivals::deterministic())
        .service(Service::deterministic())
        .load(0.99)
        .jobs(10_000));
    assert_eq!(report.wait.percentile(100.0), 0.0);
    assert_eq!(report.slowdown.percentile(100.0), 1.0);
    close("utilisation", report.utilisation, 0.99, 1e-3);
}

/// Little's law, which knows nothing of strategies or distributions: jobs in the system, of which those that
/// run are the utilisation's. Checked through waits: arrival rate times mean service is the load.
#[test]
fn workers_of_unequal_speed_are_kept_as_busy_as_the_load_says() {
    let speeds = vec![4.0, 2.0, 1.0, 1.0];
    let report = run(Simulation::new()
        .speeds(speeds.clone())
        .dispatcher(LeastBusy::new)
        .service(Service::pareto(2.5))
        .load(0.7)
        .jobs(200_000)
        .seed(8));
    // Work done is work that came: the busy fractions, weighted by speed, are the load.
    let done: f64 = speeds
        .iter()
        .zip(&report.busy)
        .map(|(speed, busy)| speed * busy)
        .sum();
    close("work done", done / 8.0, 0.7, 0.03);
}

/// Keys that want more than there is get their max-min shares, and no key takes from another.
#[test]
fn fair_share_gives_max_min_shares() {
    for (shares, load, workers) in [
        (vec![8.0, 1.0, 1.0], 1.5, 1),
        (vec![1.0, 2.0, 3.0, 10.0], 2.0, 4),
        (vec![0.2, 0.3, 5.0], 1.2, 2),
    ] {
        let report = run(Simulation::new()
            .workers(workers)
            .dispatcher(Any::new)
            .queue_order(FairShare::new)
            .keys(Keys::shares(shares.clone()))
            .load(load)
            .warm_up(5_000)
            .jobs(150_000)
            .seed(9));
        // From the settings, not from what was measured: each key's arrival rate of work, in workers.
        let total: f64 = shares.iter().sum();
        let wanted: Vec<f64> = shares
            .iter()
            .map(|share| share / total * load * workers as f64)
            .collect();
        let theory = max_min_shares(&wanted, workers as f64);
        let done: f64 = report.keys.iter().map(|key| key.work).sum();
        for (key, share) in report.keys.iter().zip(&theory) {
            let measured = key.work / done * workers as f64;
            close("share", measured, *share, 0.04);
        }
        let fairness = report.fairness().unwrap();
        assert!(fairness > 0.999, "{fairness}");
    }
    // The index can tell: first come, first served is as unfair as the demands.
    let fifo = run(Simulation::new()
        .keys(Keys::shares([8.0, 1.0, 1.0]))
        .load(1.5)
        .jobs(100_000)
        .seed(9));
    assert!(fifo.fairness().unwrap() < 0.9, "{:?}", fifo.fairness());
}

// ---- urgency ----------------------------------------------------------------------------------

/// Mean waits by class, the most urgent first, where jobs are not interrupted and all classes take equally
/// long: Cobham, *Priority Assignment in Waiting Line Problems*, Operations Research 2, 1954. `busy` is the
/// mean wait of one who finds nobody waiting and is overtaken by nobody.
fn cobham(busy: f64, load: f64, shares: &[f64]) -> Vec<f64> {
    let total: f64 = shares.iter().sum();
    let mut above = 0.0;
    let wait = |share| {
        let with = above + load * share / total;
        let wait = busy / ((1.0 - above) * (1.0 - with));
        above = with;
        wait
    };
    shares.iter().map(wait).collect()
}

#[test]
fn urgent_jobs_wait_as_long_as_cobham_says() {
    let two_lengths = || Service::bimodal((1.0, 0.8), (6.0, 0.2));
    for (workers, load, service, shares, jobs, tolerances) in [
        (
            1,
            0.5,
            Service::exponential(),
            vec![1.0, 1.0],
            300_000,
            [0.04, 0.06, 0.0],
        ),
        (
            1,
            0.8,
            Service::exponential(),
            vec![1.0, 9.0],
            600_000,
            [0.03, 0.06, 0.0],
        ),
        (
            1,
            0.9,
            Service::exponential(),
            vec![1.0, 2.0, 1.0],
            900_000,
            [0.02, 0.04, 0.11],
        ),
        (
            1,
            0.8,
            Service::deterministic(),
            vec![1.0, 1.0],
            300_000,
            [0.025, 0.08, 0.0],
        ),
        (
            1,
            0.7,
            two_lengths(),
            vec![1.0, 3.0],
            600_000,
            [0.03, 0.05, 0.0],
        ),
        (
            4,
            0.8,
            Service::exponential(),
            vec![1.0, 9.0],
            600_000,
            [0.035, 0.08, 0.0],
        ),
    ] {
        let urgencies: Vec<i32> = (0..shares.len() as i32).rev().collect();
        let report = run(Simulation::new()
            .workers(workers)
            .dispatcher(Any::new)
            .queue_order(Priority::new)
            .classes(Classes::shares(shares.clone()).priorities(urgencies))
            .service(service.clone())
            .load(load)
            .jobs(jobs)
            .seed(10));
        // With several workers, all services are exponential.
        let busy = match workers {
            1 => pk_wait(load, service.mean(), second_moment(&service)) * (1.0 - load),
            c => erlang_c(c as u32, load) / c as f64,
        };
        let theory = cobham(busy, load, &shares);
        for ((class, theory), tolerance) in report.classes.iter().zip(theory).zip(tolerances) {
            let what = format!("priority {} of {workers} at {load}", class.priority);
            close(&what, class.wait.mean(), theory, tolerance);
        }
    }
}

fn second_moment(service: &Service) -> f64 {
    [
        (Service::exponential(), 2.0),
        (Service::deterministic(), 1.0),
        (Service::bimodal((1.0, 0.8), (6.0, 0.2)), 8.0),
    ]
    .into_iter()
    .find_map(|(known, second)| (known == *service).then_some(second))
    .expect("its second moment is known here")
}

fn two_classes(load: f64) -> Simulation {
    Simulation::new()
        .classes(Classes::shares([1.0, 4.0]).priorities([1, 0]))
        .load(load)
        .jobs(300_000)
        .seed(11)
}

/// Kleinrock's conservation law: whoever is first, the mean wait of all stays the same, as long as nobody
/// looks at how long jobs take.
#[test]
fn ageing_lies_between_priorities_and_arrival_order_and_takes_from_one_what_it_gives_another() {
    let load = 0.9;
    let fifo = run(two_classes(load).queue_order(Fifo::new));
    let mut last = run(two_classes(load).queue_order(Priority::new));
    for every in [40, 20, 5] {
        let aged = run(two_classes(load).queue_order(move || Priority::new().ageing(every)));
        let wait = |report: &Report, class: usize| report.classes[class].wait.mean();
        assert!(wait(&last, 0) < wait(&aged, 0), "ageing({every})");
        assert!(wait(&last, 1) > wait(&aged, 1), "ageing({every})");
        close("the mean of all", aged.wait.mean(), fifo.wait.mean(), 0.01);
        last = aged;
    }
    assert!(last.classes[0].wait.mean() < fifo.classes[0].wait.mean());
}

/// As [`Priority::ageing`] says: one level more urgent overtakes if fewer than so many came since.
#[test]
fn ageing_at_its_ends_is_arrival_order_and_strict_priority() {
    let run = |simulation: Simulation| run(simulation.jobs(20_000).log_starts(true));
    let fifo = run(two_classes(0.9).queue_order(Fifo::new));
    let strict = run(two_classes(0.9).queue_order(Priority::new));
    assert_ne!(fifo, strict);
    assert_eq!(
        fifo,
        run(two_classes(0.9).queue_order(|| Priority::new().ageing(1)))
    );
    let never = || Priority::new().ageing(u64::MAX);
    assert_eq!(strict, run(two_classes(0.9).queue_order(never)));
}

/// In arrival order, the wait in M/M/c is beyond `t` with probability C e^(-c (1 - load) t).
#[test]
fn as_many_start_after_their_deadline_as_wait_longer() {
    for (workers, load, tolerance) in [(1, 0.6, 0.04), (1, 0.8, 0.04), (4, 0.8, 0.12)] {
        let deadlines = [
            Deadline::after(2.0),
            Deadline::between(1.0, 9.0),
            Deadline::none(),
        ];
        let report = run(Simulation::new()
            .workers(workers)
            .dispatcher(Any::new)
            .classes(Classes::uniform(3).deadlines(deadlines))
            .load(load)
            .jobs(900_000)
            .seed(12));
        let rate = workers as f64 * (1.0 - load);
        let first = erlang_c(workers as u32, load);
        let theory = [
            first * (-2.0 * rate).exp(),
            // The mean over the deadlines from 1 to 9.
            first * ((-rate).exp() - (-9.0 * rate).exp()) / (8.0 * rate),
        ];
        for (class, theory) in report.classes.iter().zip(theory) {
            assert_eq!(class.deadlines, class.jobs);
            close("missed", class.missed_share().unwrap(), theory, tolerance);
        }
        assert_eq!(report.classes[2].missed_share(), None);
        let sum = |of: fn(&fanpool::sim::ClassReport) -> u64| report.classes.iter().map(of).sum();
        assert_eq!(report.jobs, sum(|class| class.jobs));
        assert_eq!(report.deadlines, sum(|class| class.deadlines));
        assert_eq!(report.missed, sum(|class| class.missed));
    }
}

/// Jobs of equal length on one worker that starts only at whole seconds, whose deadlines some order meets:
/// that of a draw among those that wait. Then the earliest deadline first meets all of them, too (Jackson,
/// 1955), and arrival order does not.
#[test]
fn the_earliest_deadline_first_misses_none_that_any_order_meets() {
    for seed in 0..20 {
        let trace = feasible(seed, 2_000);
        let simulate = || {
            Simulation::new()
                .arrivals(Arrivals::trace(&trace))
                .dispatcher(Any::new)
        };
        let earliest = run(simulate().queue_order(EarliestDeadline::new));
        let fifo = run(simulate().queue_order(Fifo::new));
        assert_eq!((earliest.jobs, earliest.deadlines), (2_000, 2_000));
        assert_eq!(earliest.missed, 0, "seed {seed}");
        assert!(fifo.missed > 200, "seed {seed}: {}", fifo.missed);
    }
}

fn feasible(seed: u8, count: usize) -> Trace {
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut below = move |most: usize| {
        use proptest::prelude::RngCore;
        (rng.next_u64() % most as u64) as usize
    };
    // The worker is never idle, so it starts at whole seconds; all others come in between.
    let mut jobs = vec![Recorded::new(0.0, 1.0)];
    let mut waiting = vec![0];
    for second in 0.. {
        let now = f64::from(second);
        if !waiting.is_empty() {
            let job: usize = waiting.swap_remove(below(waiting.len()));
            jobs[job].deadline = Some(now - jobs[job].arrival);
        }
        let left = count - jobs.len();
        if left == 0 && waiting.is_empty() {
            break;
        }
        let least = usize::from(waiting.is_empty());
        for _ in 0..(least + below(3 - least)).min(left) {
            waiting.push(jobs.len());
            jobs.push(Recorded::new(now + 0.5, 1.0));
        }
    }
    Trace::new(jobs).unwrap()
}

#[test]
fn the_earliest_deadline_first_is_late_no_more_often_than_arrival_order_below_overload() {
    for (load, workers) in [(0.5, 1), (0.7, 1), (0.8, 4), (0.9, 4)] {
        let simulate = |deadline| {
            Simulation::new()
                .workers(workers)
                .dispatcher(Any::new)
                .classes(Classes::uniform(1).deadlines([deadline]))
                .load(load)
                .jobs(200_000)
                .seed(13)
        };
        let spread = || simulate(Deadline::between(0.0, 20.0));
        let earliest = run(spread().queue_order(EarliestDeadline::new));
        let fifo = run(spread().queue_order(Fifo::new));
        println!("{load}: {} and {} missed", earliest.missed, fifo.missed);
        assert!(earliest.missed < fifo.missed && fifo.missed > 0);
        // Deadlines that are all as far away are in the order of arrival.
        let alike = || simulate(Deadline::after(3.0)).log_starts(true);
        let earliest = run(alike().queue_order(EarliestDeadline::new));
        assert_eq!(earliest, run(alike().queue_order(Fifo::new)));
    }
}

#[test]
fn classes_are_the_same_again_and_leave_all_else_as_it_is() {
    let new = |seed| {
        Simulation::new()
            .workers(3)
            .load(0.9)
            .jobs(20_000)
            .seed(seed)
    };
    let keyed = |seed| new(seed).keys(Keys::zipf(20, 1.0)).capacity(30);
    let classes = |share| {
        Classes::shares([share, 1.0])
            .priorities([1])
            .deadlines([Deadline::between(0.0, 5.0), Deadline::after(9.0)])
    };
    for order in [false, true] {
        let simulate = |seed, share| {
            let simulation = keyed(seed).classes(classes(share)).log_starts(true);
            match order {
                true => simulation.queue_order(Priority::new).run().unwrap(),
                false => simulation.queue_order(EarliestDeadline::new).run().unwrap(),
            }
        };
        assert_eq!(simulate(1, 0.5), simulate(1, 0.5));
        assert_ne!(simulate(1, 0.5), simulate(1, 0.4));
        assert_ne!(simulate(1, 0.5), simulate(2, 0.5));
    }
    // Nothing else is drawn here.
    let drawn = |seed| {
        let simulation = new(seed).arrivals(Arrivals::deterministic());
        let simulation = simulation.service(Service::deterministic());
        simulation.classes(classes(0.5)).run().unwrap().classes
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1)[0].jobs, drawn(2)[0].jobs);
    // The same jobs at the same times, in arrival order: nothing but what is told of classes is new.
    let plain = keyed(1).run().unwrap();
    let mut urgent = keyed(1).classes(classes(0.5)).run().unwrap();
    let refused: u64 = urgent.classes.iter().map(|class| class.refused).sum();
    assert!(refused > 0);
    assert_eq!((refused, urgent.deadlines), (plain.refused, plain.jobs));
    urgent.classes.clear();
    (urgent.deadlines, urgent.missed) = (0, 0);
    assert_eq!(plain, urgent);
}
