//! A plot of the 99th percentile of the time in system against the load.

use crate::Outcome;
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;

const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 0, 0),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(150, 120, 0),
    RGBColor(86, 180, 233),
];

/// One strategy's points: load and 99th percentile.
type Line = (String, Vec<(f64, f64)>);

pub(crate) fn draw(path: &Path, title: &str, outcomes: &[Outcome]) -> Result<(), Box<dyn Error>> {
    let lines = lines(outcomes);
    let points = || lines.iter().flat_map(|(_, points)| points);
    let bounds = |of: fn(&(f64, f64)) -> f64| {
        let least = points().map(of).fold(f64::INFINITY, f64::min);
        let most = points().map(of).fold(0.0, f64::max);
        (least, most)
    };
    let (left, right) = bounds(|point| point.0);
    let (low, high) = bounds(|point| point.1);
    let margin = 0.02_f64.max((right - left) * 0.02);
    let root = SVGBackend::new(path, (720, 440)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(60)
        .build_cartesian_2d(
            left - margin..right + margin,
            (low * 0.8..high * 1.25).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("load")
        .y_desc("99th percentile, in mean service times")
        .draw()?;
    for (at, (name, points)) in lines.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    root.present()?;
    Ok(())
}

fn lines(outcomes: &[Outcome]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for outcome in outcomes {
        let report = &outcome.report;
        let high = report.sojourn.percentile(99.0) / report.mean_service;
        // A trace that is played as it is has the load that it makes.
        let point = (outcome.load.unwrap_or(report.utilisation), high);
        match lines.last_mut().filter(|line| line.0 == outcome.strategy) {
            Some(line) => line.1.push(point),
            None => lines.push((outcome.strategy.clone(), vec![point])),
        }
    }
    for line in &mut lines {
        line.1.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    lines
}
