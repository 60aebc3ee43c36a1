//! What is printed.

use crate::Outcome;
use serde_json::{Value, json};

/// Of so many keys at most, each is shown.
const KEYS: usize = 64;

/// One run, with times in units of the mean service time.
pub(crate) fn json(outcome: &Outcome) -> Value {
    let report = &outcome.report;
    let unit = report.mean_service;
    let sojourn = |percent: f64| report.sojourn.percentile(percent) / unit;
    json!({
        "strategy": outcome.strategy,
        "load": outcome.load,
        "mean_wait": report.wait.mean() / unit,
        "mean_sojourn": report.sojourn.mean() / unit,
        "p50_sojourn": sojourn(50.0),
        "p90_sojourn": sojourn(90.0),
        "p99_sojourn": sojourn(99.0),
        "p999_sojourn": sojourn(99.9),
        "mean_slowdown": report.slowdown.mean(),
        "utilisation": report.utilisation,
        "jobs": report.jobs,
        "refused": report.refused,
        "per_worker": report.per_worker,
        "key_fairness": report.fairness(),
        "key_slowdown_fairness": report.slowdown_fairness(),
        "keys": report.keys.iter().take(KEYS).map(|key| json!({
            "key": key.key,
            "jobs": key.jobs,
            "mean_sojourn": key.mean_sojourn / unit,
        })).collect::<Vec<_>>(),
    })
}

pub(crate) fn table(title: &str, outcomes: &[Outcome]) {
    println!("{title}");
    println!("time in system, in units of the mean service time");
    println!(
        "{:<18}{:>6}{:>10}{:>10}{:>10}{:>10}{:>8}{:>10}",
        "strategy", "load", "mean", "p50", "p99", "p99.9", "busy", "fairness"
    );
    for outcome in outcomes {
        let report = &outcome.report;
        let unit = report.mean_service;
        let load = outcome.load.map_or("-".to_owned(), |load| load.to_string());
        let fair = report.fairness();
        let fair = fair.map_or("-".to_owned(), |fair| format!("{fair:.3}"));
        println!(
            "{:<18}{load:>6}{:>10.2}{:>10.2}{:>10.2}{:>10.2}{:>8.3}{fair:>10}",
            outcome.strategy,
            report.sojourn.mean() / unit,
            report.sojourn.percentile(50.0) / unit,
            report.sojourn.percentile(99.0) / unit,
            report.sojourn.percentile(99.9) / unit,
            report.utilisation,
        );
    }
    println!();
    println!(
        "fairness: Jain's index of the work done for each key, relative to its max-min share; 1 is fair"
    );
}
