//! What a plot shows.

use clap::ValueEnum;
use fanpool::sim::{ClassReport, KeyReport, Report};

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
pub(crate) enum PlotOf {
    /// The 99th percentile of the time in system.
    P99,
    /// The median of the time in system.
    P50,
    /// The mean time in system.
    Mean,
    /// The 99th percentile of the time in system, a line for each class.
    ClassP99,
    /// The mean time in system, a line for each class.
    ClassMean,
    /// The mean time in system, a line for the key with the most jobs and one for all others.
    KeyMean,
    /// How many of the jobs that have a deadline started after it, in per cent.
    Missed,
}

impl PlotOf {
    pub(crate) fn axis(self) -> &'static str {
        match self {
            PlotOf::P99 | PlotOf::ClassP99 => "p99 of the time in system, in mean service times",
            PlotOf::P50 => "median time in system, in mean service times",
            PlotOf::Mean | PlotOf::ClassMean | PlotOf::KeyMean => {
                "mean time in system, in mean service times"
            }
            PlotOf::Missed => "started after their deadline, in per cent",
        }
    }

    /// The figures of one run, each with what it is of, if there are several.
    pub(crate) fn figures(self, report: &Report) -> Vec<(String, f64)> {
        let unit = report.mean_service;
        let of_classes = |figure: fn(&ClassReport) -> f64| {
            let classes = report.classes.iter().enumerate();
            let named = classes.map(|(at, class)| (format!("class {at}"), figure(class) / unit));
            named.collect()
        };
        let one = |figure: f64| vec![(String::new(), figure)];
        match self {
            PlotOf::P99 => one(report.sojourn.percentile(99.0) / unit),
            PlotOf::P50 => one(report.sojourn.percentile(50.0) / unit),
            PlotOf::Mean => one(report.sojourn.mean() / unit),
            PlotOf::ClassP99 => of_classes(|class| class.sojourn.percentile(99.0)),
            PlotOf::ClassMean => of_classes(|class| class.sojourn.mean()),
            PlotOf::KeyMean => of_keys(report),
            PlotOf::Missed => one(100.0 * report.missed_share().unwrap_or(0.0)),
        }
    }
}

/// The mean of all jobs but those of the key with the most, and the mean of that one.
fn of_keys(report: &Report) -> Vec<(String, f64)> {
    let Some(busiest) = report.keys.iter().max_by_key(|key| key.jobs) else {
        return Vec::new();
    };
    let others = || report.keys.iter().filter(|key| key.key != busiest.key);
    let sum: f64 = others().map(|key| key.mean_sojourn * key.jobs as f64).sum();
    let jobs: u64 = others().map(|key: &KeyReport| key.jobs).sum();
    let others = sum / jobs.max(1) as f64;
    [
        ("other keys", others),
        ("busiest key", busiest.mean_sojourn),
    ]
    .map(|(name, mean)| (name.to_owned(), mean / report.mean_service))
    .to_vec()
}
