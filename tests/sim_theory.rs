//! The simulator against queueing theory.
//!
//! Each tolerance is four standard errors or more of a mean over the run's length, by the asymptotic
//! variance of the queue where there is a formula for it, and what seeds 1 to 20 showed elsewhere. The
//! seeds are fixed, so a test that passes once goes on passing; a formula that is a few per cent off fails.
#![cfg(feature = "sim")]

use fanpool::sim::{Arrivals, Depth, Keys, Report, Service, Simulation, max_min_shares};
use fanpool::{Any, FairShare, LeastBusy, Random, RoundRobin, TwoChoices};

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
