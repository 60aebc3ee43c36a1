//! What is printed.

use crate::Outcome;
use fanpool::sim::Distribution;
use serde_json::{Map, Value, json};

/// Of so many keys at most, each is shown.
const KEYS: usize = 64;

/// One run, with times in units of the mean service time.
pub(crate) fn json(outcome: &Outcome) -> Value {
    let report = &outcome.report;
    let unit = report.mean_service;
    let sojourn = |percent: f64| report.sojourn.percentile(percent) / unit;
    let mut run = json!({
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
    });
    if let Some(order) = &outcome.order {
        run["order"] = json!(order);
    }
    if report.deadlines > 0 {
        run["deadlines"] = json!(report.deadlines);
        run["missed"] = json!(report.missed);
    }
    if !report.classes.is_empty() {
        run["classes"] = classes(outcome);
    }
    run
}

fn classes(outcome: &Outcome) -> Value {
    let unit = outcome.report.mean_service;
    let classes = outcome.report.classes.iter().enumerate();
    let class = classes.map(|(number, class)| {
        let mut fields = Map::new();
        fields.insert("class".to_owned(), json!(number));
        fields.insert("priority".to_owned(), json!(class.priority));
        fields.insert("jobs".to_owned(), json!(class.jobs));
        fields.insert("refused".to_owned(), json!(class.refused));
        for (name, of) in [("wait", &class.wait), ("sojourn", &class.sojourn)] {
            fields.insert(format!("mean_{name}"), json!(of.mean() / unit));
            for (prefix, percent) in [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p999", 99.9)] {
                let value = of.percentile(percent) / unit;
                fields.insert(format!("{prefix}_{name}"), json!(value));
            }
        }
        fields.insert("deadlines".to_owned(), json!(class.deadlines));
        fields.insert("missed".to_owned(), json!(class.missed));
        Value::Object(fields)
    });
    class.collect()
}

/// Which columns the table has beside those that it always has.
struct Columns {
    order: bool,
    missed: bool,
}

pub(crate) fn table(title: &str, legend: &[String], outcomes: &[Outcome]) {
    println!("{title}");
    println!("time in system, in units of the mean service time");
    for line in legend {
        println!("{line}");
    }
    let columns = Columns {
        order: outcomes.iter().any(|outcome| outcome.order.is_some()),
        missed: outcomes.iter().any(|outcome| outcome.report.deadlines > 0),
    };
    columns.line(
        "strategy",
        "order",
        "load",
        ["mean", "p50", "p99", "p99.9"].map(str::to_owned),
        ["busy", "fairness", "missed"],
    );
    for outcome in outcomes {
        let report = &outcome.report;
        let unit = report.mean_service;
        let load = outcome.load.map_or("-".to_owned(), |load| load.to_string());
        let fair = report.fairness();
        let fair = fair.map_or("-".to_owned(), |fair| format!("{fair:.3}"));
        columns.line(
            &outcome.strategy,
            outcome.order.as_deref().unwrap_or(""),
            &load,
            figures(&report.sojourn, unit),
            [
                &format!("{:.3}", report.utilisation),
                &fair,
                &percent(report.missed_share()),
            ],
        );
        // A single one is as the whole run.
        let classes = report.classes.iter().enumerate();
        for (number, class) in classes.filter(|_| report.classes.len() > 1) {
            columns.line(
                &format!("  class {number}"),
                "",
                "",
                figures(&class.sojourn, unit),
                ["", "", &percent(class.missed_share())],
            );
        }
    }
    println!();
    println!(
        "fairness: Jain's index of the work done for each key, relative to its max-min share; 1 is fair"
    );
    if columns.missed {
        println!(
            "missed: jobs that started after their deadline, of those that have one and were run"
        );
    }
}

impl Columns {
    fn line(&self, strategy: &str, order: &str, load: &str, times: [String; 4], rest: [&str; 3]) {
        let mut line = format!("{strategy:<18}");
        if self.order {
            line += &format!("{order:<18}");
        }
        line += &format!("{load:>6}");
        for time in times {
            line += &format!("{time:>10}");
        }
        let [busy, fair, missed] = rest;
        line += &format!("{busy:>8}{fair:>10}");
        if self.missed {
            line += &format!("{missed:>9}");
        }
        println!("{}", line.trim_end());
    }
}

fn figures(of: &Distribution, unit: f64) -> [String; 4] {
    let of = [
        of.mean(),
        of.percentile(50.0),
        of.percentile(99.0),
        of.percentile(99.9),
    ];
    of.map(|time| format!("{:.2}", time / unit))
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.2} %", 100.0 * share))
}
