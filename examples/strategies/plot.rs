//! The 99th percentile against the load, one line for each strategy.

use crate::Outcome;
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

pub(crate) fn draw(path: &Path, title: &str, outcomes: &[Outcome]) -> Result<(), Box<dyn Error>> {
    let p99 =
        |outcome: &Outcome| outcome.report.sojourn.percentile(99.0) / outcome.report.mean_service;
    let loads: Vec<f64> = outcomes.iter().filter_map(|outcome| outcome.load).collect();
    let (from, to) = span(&loads).ok_or("a plot needs runs at a `--load`")?;
    let (low, high) = span(&outcomes.iter().map(p99).collect::<Vec<_>>()).unwrap_or((1.0, 10.0));
    let page = SVGBackend::new(path, (760, 480)).into_drawing_area();
    page.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&page)
        .caption(title, ("sans-serif", 18))
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(
            from - 0.02..to + 0.02 + 0.3 * (to - from),
            (low.min(1.0) * 0.9..high * 1.15).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("load")
        .y_desc("p99 of the time in system, in mean service times")
        .light_line_style(WHITE)
        .draw()?;
    let mut names: Vec<&str> = Vec::new();
    for outcome in outcomes {
        if !names.contains(&outcome.strategy.as_str()) {
            names.push(&outcome.strategy);
        }
    }
    for (at, name) in names.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let points: Vec<(f64, f64)> = outcomes
            .iter()
            .filter(|outcome| outcome.strategy == *name)
            .filter_map(|outcome| Some((outcome.load?, p99(outcome))))
            .collect();
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)).point_size(3))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .border_style(BLACK.mix(0.3))
        .background_style(WHITE.mix(0.85))
        .label_font(("sans-serif", 13))
        .draw()?;
    page.present()?;
    Ok(())
}

fn span(of: &[f64]) -> Option<(f64, f64)> {
    let low = of.iter().copied().min_by(f64::total_cmp)?;
    let high = of.iter().copied().max_by(f64::total_cmp)?;
    Some((low, high))
}
