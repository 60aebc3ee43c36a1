//! A figure against the load, one colour for each strategy and order.

use crate::Outcome;
use crate::plot_of::PlotOf;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::coord::types::RangedCoordf64;
use plotters::element::DashedPathElement;
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
/// Pixels of a dash, by the place among a run's lines.
const DASHES: [i32; 4] = [0, 8, 4, 2];

/// One line of the plot.
struct Line {
    name: String,
    colour: RGBColor,
    /// Of a run's several lines the first is drawn through; 0 for that one.
    dash: i32,
    points: Vec<(f64, f64)>,
}

fn lines(of: PlotOf, outcomes: &[Outcome]) -> Vec<Line> {
    let first = outcomes.first().map(|outcome| &outcome.strategy);
    let one_strategy = outcomes.iter().all(|other| Some(&other.strategy) == first);
    let mut runs: Vec<String> = Vec::new();
    let mut lines: Vec<Line> = Vec::new();
    for outcome in outcomes {
        let Some(load) = outcome.load else { continue };
        let run = match &outcome.order {
            Some(order) if one_strategy => order.clone(),
            Some(order) => format!("{}, {order}", outcome.strategy),
            None => outcome.strategy.clone(),
        };
        if !runs.contains(&run) {
            runs.push(run.clone());
        }
        for (at, (what, figure)) in of.figures(&outcome.report).into_iter().enumerate() {
            let name = match what.as_str() {
                "" => run.clone(),
                what => format!("{run}: {what}"),
            };
            match lines.iter_mut().find(|line| line.name == name) {
                Some(line) => line.points.push((load, figure)),
                None => lines.push(Line {
                    name,
                    colour: COLOURS[(runs.len() - 1) % COLOURS.len()],
                    dash: DASHES[at.min(DASHES.len() - 1)],
                    points: vec![(load, figure)],
                }),
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
    let points = || lines.iter().flat_map(|line| &line.points);
    let (from, to) =
        span(points().map(|point| point.0)).ok_or("a plot needs runs at a `--load`")?;
    let (low, high) = span(points().map(|point| point.1)).unwrap_or((1.0, 10.0));
    // Beside the lines there is room for their names.
    let long = lines.iter().any(|line| line.name.len() > 16);
    let room = if long { 0.45 } else { 0.3 };
    let loads = from - 0.02..to + 0.02 + room * (to - from);
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
    for line in lines {
        let style = line.colour.stroke_width(2);
        let points = || line.points.iter().copied();
        let name = |x, y| [(x, y), (x + 18, y)];
        if line.dash == 0 {
            chart
                .draw_series(LineSeries::new(points(), style).point_size(3))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new(name(x, y), style));
        } else {
            let dash = line.dash;
            chart.draw_series(points().map(|point| Circle::new(point, 3, style)))?;
            chart
                .draw_series(DashedLineSeries::new(points(), dash, dash, style))?
                .label(&line.name)
                .legend(move |(x, y)| {
                    DashedPathElement::new(name(x, y), dash / 2 + 1, dash / 2 + 1, style)
                });
        }
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
