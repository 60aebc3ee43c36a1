//! A figure against the load, one line for each strategy and order.

use crate::Outcome;
use clap::ValueEnum;
use fanpool::sim::{ClassReport, KeyReport, Report};
use plotters::coord::ranged1d::ValueFormatter;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;

const COLOURS: [RGBColor; 7] = [
    RGBColor(0x1b, 0x6c, 0xa8),
    RGBColor(0xd9, 0x5f, 0x02),
    RGBColor(0x1b, 0x9e, 0x77),
    RGBColor(0xc5, 0x1b, 0x7d),
    RGBColor(0x75, 0x70, 0xb3),
    RGBColor(0x8c, 0x6d, 0x1f),
    RGBColor(0x40, 0x40, 0x40),
];

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
    fn axis(self) -> &'static str {
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
    fn figures(self, report: &Report) -> Vec<(String, f64)> {
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

/// The mean of the key with the most jobs, and that of all others' jobs.
fn of_keys(report: &Report) -> Vec<(String, f64)> {
    let Some(busiest) = report.keys.iter().max_by_key(|key| key.jobs) else {
        return Vec::new();
    };
    let others = || report.keys.iter().filter(|key| key.key != busiest.key);
    let sum: f64 = others().map(|key| key.mean_sojourn * key.jobs as f64).sum();
    let jobs: u64 = others().map(|key: &KeyReport| key.jobs).sum();
    let others = sum / jobs.max(1) as f64;
    [
        ("busiest key", busiest.mean_sojourn),
        ("other keys", others),
    ]
    .map(|(name, mean)| (name.to_owned(), mean / report.mean_service))
    .to_vec()
}

/// A line's name, and its points.
type Line = (String, Vec<(f64, f64)>);

fn lines(of: PlotOf, outcomes: &[Outcome]) -> Vec<Line> {
    let first = outcomes.first().map(|outcome| &outcome.strategy);
    let one_strategy = outcomes.iter().all(|other| Some(&other.strategy) == first);
    let mut lines: Vec<Line> = Vec::new();
    for outcome in outcomes {
        let Some(load) = outcome.load else { continue };
        let run = match &outcome.order {
            Some(order) if one_strategy => order.clone(),
            Some(order) => format!("{}, {order}", outcome.strategy),
            None => outcome.strategy.clone(),
        };
        for (what, figure) in of.figures(&outcome.report) {
            let name = match what.as_str() {
                "" => run.clone(),
                what => format!("{run}: {what}"),
            };
            match lines.iter_mut().find(|line| line.0 == name) {
                Some(line) => line.1.push((load, figure)),
                None => lines.push((name, vec![(load, figure)])),
            }
        }
    }
    lines
}

pub(crate) fn draw(
    path: &Path,
    title: &str,
    of: PlotOf,
    outcomes: &[Outcome],
) -> Result<(), Box<dyn Error>> {
    let lines = lines(of, outcomes);
    let points = || lines.iter().flat_map(|line| &line.1);
    let (from, to) =
        span(points().map(|point| point.0)).ok_or("a plot needs runs at a `--load`")?;
    let (low, high) = span(points().map(|point| point.1)).unwrap_or((1.0, 10.0));
    let loads = from - 0.02..to + 0.02 + 0.3 * (to - from);
    let page = SVGBackend::new(path, (760, 480)).into_drawing_area();
    page.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&page);
    chart
        .caption(title, ("sans-serif", 18))
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(64);
    if of == PlotOf::Missed {
        // May be 0, which has no place on a logarithmic scale.
        let shares = 0.0..(high * 1.15).max(1.0);
        fill(chart.build_cartesian_2d(loads, shares)?, of, &lines)?;
    } else {
        let times = (low.min(1.0) * 0.9..high * 1.15).log_scale();
        fill(chart.build_cartesian_2d(loads, times)?, of, &lines)?;
    }
    page.present()?;
    Ok(())
}

type Chart<'a, Y> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, Y>>;

fn fill<Y: Ranged<ValueType = f64> + ValueFormatter<f64>>(
    mut chart: Chart<'_, Y>,
    of: PlotOf,
    lines: &[Line],
) -> Result<(), Box<dyn Error>> {
    chart
        .configure_mesh()
        .x_desc("load")
        .y_desc(of.axis())
        .light_line_style(WHITE)
        .draw()?;
    for (at, (name, points)) in lines.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let points = points.iter().copied();
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)).point_size(3))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .border_style(BLACK.mix(0.3))
        .background_style(WHITE.mix(0.85))
        .label_font(("sans-serif", 13))
        .draw()?;
    Ok(())
}

fn span(of: impl Iterator<Item = f64> + Clone) -> Option<(f64, f64)> {
    let low = of.clone().min_by(f64::total_cmp)?;
    let high = of.max_by(f64::total_cmp)?;
    Some((low, high))
}
