//! Figures as text, in units of the mean service time.

use crate::Outcome;
use crate::flags::Flags;
use serde_json::{Value, json};

pub(crate) fn table(flags: &Flags, outcomes: &[Outcome]) {
    println!("{}; in units of the mean service time", flags.title());
    println!(
        "{:<16} {:>6} {:>10} {:>10} {:>10} {:>10} {:>12} {:>9} {:>9}",
        "strategy", "load", "mean", "p50", "p99", "p99.9", "utilisation", "refused", "fairness"
    );
    for Outcome {
        strategy,
        load,
        report,
    } in outcomes
    {
        let unit = report.mean_service;
        let load = load.map_or("trace".to_owned(), |load| load.to_string());
        print!("{strategy:<16} {load:>6} {:>10.3}", report.sojourn.mean() / unit);
        for percent in [50.0, 99.0, 99.9] {
            print!(" {:>10.3}", report.sojourn.percentile(percent) / unit);
        }
        let fairness = report
            .slowdown_fairness()
            .map_or("-".to_owned(), |fairness| format!("{fairness:.3}"));
        println!(
            " {:>12.3} {:>9} {fairness:>9}",
            report.utilisation, report.refused
        );
    }
}

pub(crate) fn json(outcome: &Outcome) -> Value {
    let report = &outcome.report;
    let unit = report.mean_service;
    let sojourn = |percent| report.sojourn.percentile(percent) / unit;
    json!({
        "strategy": outcome.strategy,
        "load": outcome.load,
        "mean_wait": report.wait.mean() / unit,
        "mean_sojourn": report.sojourn.mean() / unit,
        "p50_sojourn": sojourn(50.0),
        "p90_sojourn": sojourn(90.0),
        "p99_sojourn": sojourn(99.0),
        "p999_sojourn": sojourn(99.9),
        "p50_wait": report.wait.percentile(50.0) / unit,
        "p99_wait": report.wait.percentile(99.0) / unit,
        "mean_slowdown": report.slowdown.mean(),
        "p99_slowdown": report.slowdown.percentile(99.0),
        "utilisation": report.utilisation,
        "jobs": report.jobs,
        "refused": report.refused,
        "lost": report.lost,
        "mean_service": unit,
        "per_worker": report.per_worker,
        "fairness": report.fairness(),
        "slowdown_fairness": report.slowdown_fairness(),
        "keys": keys(outcome),
    })
}

/// The first hundred keys: those with the largest shares.
fn keys(outcome: &Outcome) -> Vec<Value> {
    let unit = outcome.report.mean_service;
    let keys = outcome.report.keys.iter().take(100);
    keys.map(|key| {
        json!({
            "key": key.key,
            "jobs": key.jobs,
            "mean_sojourn": key.mean_sojourn / unit,
            "mean_slowdown": key.mean_slowdown,
        })
    })
    .collect()
}
