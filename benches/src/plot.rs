//! Plots as SVG files.

use crate::contender::Note;
use crate::rounds::{Measured, Table};
use crate::stats::Quartiles;
use plotters::coord::combinators::{LogCoord, WithKeyPoints};
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;

const TITLE: (&str, u32) = ("sans-serif", 18);
const LABEL: (&str, u32) = ("sans-serif", 13);

const COLOURS: [RGBColor; 7] = [
    RGBColor(0x1b, 0x6c, 0xa8),
    RGBColor(0xd9, 0x5f, 0x02),
    RGBColor(0x1b, 0x9e, 0x77),
    RGBColor(0xc5, 0x1b, 0x7d),
    RGBColor(0x75, 0x70, 0xb3),
    RGBColor(0x8c, 0x6d, 0x1f),
    RGBColor(0x40, 0x40, 0x40),
];

/// A plot and what it shows.
pub struct Plot {
    /// Of the file: `send` becomes `bench-send.svg`.
    pub name: String,
    pub title: String,
    pub chart: Chart,
}

pub enum Chart {
    /// A row for each name, with a dot for each series that has a figure there; the figures' axis is
    /// logarithmic.
    Dots {
        /// What the figures are.
        unit: String,
        rows: Vec<String>,
        /// Each with a figure for each row, if it has one there.
        series: Vec<(String, Vec<Option<f64>>)>,
    },
    /// A line for each series; both axes are logarithmic.
    Lines {
        x: String,
        y: String,
        series: Vec<(String, Vec<(f64, f64)>)>,
    },
    /// A line for each series, against seconds; the other axis is logarithmic.
    OverTime {
        y: String,
        series: Vec<(String, Vec<(f64, f64)>)>,
    },
}

impl Plot {
    /// A figure of each contender in each of several tables with about the same rows, each table a series of
    /// its own.
    pub fn of_figures(
        name: impl Into<String>,
        title: impl Into<String>,
        unit: &str,
        tables: &[(String, Table)],
        figure: impl Fn(&Table, &Measured) -> Option<f64>,
    ) -> Self {
        let label = |one: &Measured| match one.has(Note::Floor) {
            true => format!("{} ({})", one.name, Note::Floor.word()),
            false => one.name.clone(),
        };
        let mut rows: Vec<String> = Vec::new();
        for one in tables.iter().flat_map(|(_, table)| &table.rows) {
            if !rows.contains(&label(one)) {
                rows.push(label(one));
            }
        }
        let figures = |table: &Table| {
            let figure = |row: &String| {
                let one = table.rows.iter().find(|one| label(one) == *row)?;
                figure(table, one)
            };
            rows.iter().map(figure).collect()
        };
        let series = tables
            .iter()
            .map(|(name, table)| (name.clone(), figures(table)))
            .collect();
        Plot {
            name: name.into(),
            title: title.into(),
            chart: Chart::Dots {
                unit: unit.to_owned(),
                rows,
                series,
            },
        }
    }

    /// The median times.
    pub fn of_tables(
        name: impl Into<String>,
        title: impl Into<String>,
        tables: &[(String, Table)],
    ) -> Self {
        let median = |_: &Table, one: &Measured| Some(Quartiles::of(&one.ns_per_job).median);
        Self::of_figures(name, title, "ns per job", tables, median)
    }

    pub fn file(&self) -> String {
        format!("bench-{}.svg", self.name)
    }

    /// Into a folder.
    pub fn draw(&self, folder: &Path) -> Result<(), Box<dyn Error>> {
        let path = folder.join(self.file());
        match &self.chart {
            Chart::Dots { unit, rows, series } => dots(&path, &self.title, unit, rows, series),
            Chart::Lines { x, y, series } => lines(&path, &self.title, x, y, series),
            Chart::OverTime { y, series } => over_time(&path, &self.title, y, series),
        }
    }
}

fn dots(
    path: &Path,
    title: &str,
    unit: &str,
    rows: &[String],
    series: &[(String, Vec<Option<f64>>)],
) -> Result<(), Box<dyn Error>> {
    let figures = series
        .iter()
        .flat_map(|(_, figures)| figures.iter().flatten());
    let axis = Axis::around(figures.copied()).ok_or("a plot needs figures")?;
    let height = 110 + 22 * rows.len().max(3) as u32;
    let page = SVGBackend::new(path, (760, height)).into_drawing_area();
    page.fill(&WHITE)?;
    // Row 0 is the top one.
    let place = |row: usize| -(row as f64);
    let bottom = place(rows.len()) + 0.4;
    let mut chart = ChartBuilder::on(&page)
        .caption(title, TITLE)
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(140)
        .build_cartesian_2d(axis.with_room_for_legend(), bottom..0.6)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .x_desc(unit)
        .x_label_formatter(&number)
        .light_line_style(WHITE)
        .label_style(LABEL)
        .axis_desc_style(LABEL)
        .y_labels(rows.len() + 2)
        .y_label_formatter(&|at| {
            let row = -at;
            let name = (row.fract() == 0.0).then(|| rows.get(row as usize));
            name.flatten().cloned().unwrap_or_default()
        })
        .draw()?;
    for row in 0..rows.len() {
        let line = [axis.from, axis.to].map(|x| (x, place(row)));
        chart.draw_series(LineSeries::new(line, BLACK.mix(0.07)))?;
    }
    for (at, (name, figures)) in series.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let points = figures.iter().enumerate();
        let points = points.filter_map(|(row, figure)| Some(((*figure)?, place(row))));
        chart
            .draw_series(points.map(|point| Circle::new(point, 4, colour.filled())))?
            .label(name)
            .legend(move |(x, y)| Circle::new((x + 9, y), 4, colour.filled()));
    }
    legend(&mut chart)?;
    page.present()?;
    Ok(())
}

fn lines(
    path: &Path,
    title: &str,
    x: &str,
    y: &str,
    series: &[(String, Vec<(f64, f64)>)],
) -> Result<(), Box<dyn Error>> {
    let points = || series.iter().flat_map(|(_, points)| points);
    let across = Axis::around(points().map(|point| point.0)).ok_or("a plot needs figures")?;
    let up = Axis::around(points().map(|point| point.1)).ok_or("a plot needs figures")?;
    let page = SVGBackend::new(path, (760, 480)).into_drawing_area();
    page.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&page)
        .caption(title, TITLE)
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(across.with_room_for_legend(), up.range())?;
    chart
        .configure_mesh()
        .x_desc(x)
        .y_desc(y)
        .x_label_formatter(&number)
        .y_label_formatter(&number)
        .light_line_style(WHITE)
        .label_style(LABEL)
        .axis_desc_style(LABEL)
        .draw()?;
    draw_lines(&mut chart, series, true)?;
    page.present()?;
    Ok(())
}

fn over_time(
    path: &Path,
    title: &str,
    y: &str,
    series: &[(String, Vec<(f64, f64)>)],
) -> Result<(), Box<dyn Error>> {
    let points = || series.iter().flat_map(|(_, points)| points);
    let seconds = points().map(|point| point.0).reduce(f64::max);
    let seconds = seconds.ok_or("a plot needs figures")?;
    let up = Axis::around(points().map(|point| point.1)).ok_or("a plot needs figures")?;
    let page = SVGBackend::new(path, (760, 360)).into_drawing_area();
    page.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&page)
        .caption(title, TITLE)
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(64)
        // With room for the legend.
        .build_cartesian_2d(0.0..seconds * 1.4, up.range())?;
    chart
        .configure_mesh()
        .x_desc("seconds")
        .y_desc(y)
        .y_label_formatter(&number)
        .light_line_style(WHITE)
        .label_style(LABEL)
        .axis_desc_style(LABEL)
        .draw()?;
    draw_lines(&mut chart, series, false)?;
    page.present()?;
    Ok(())
}

fn draw_lines<'a, 'b: 'a, C: CoordTranslate<From = (f64, f64)>>(
    chart: &mut ChartContext<'a, SVGBackend<'b>, C>,
    series: &[(String, Vec<(f64, f64)>)],
    dots: bool,
) -> Result<(), Box<dyn Error>> {
    for (at, (name, points)) in series.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
        chart
            .draw_series(if dots { line.point_size(3) } else { line })?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    legend(chart)
}

fn legend<'a, 'b: 'a, C: CoordTranslate>(
    chart: &mut ChartContext<'a, SVGBackend<'b>, C>,
) -> Result<(), Box<dyn Error>> {
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .border_style(BLACK.mix(0.3))
        .background_style(WHITE.mix(0.85))
        .label_font(("sans-serif", 13))
        .draw()?;
    Ok(())
}

/// A logarithmic axis from one round number to another.
#[derive(Debug, PartialEq)]
struct Axis {
    from: f64,
    to: f64,
    /// The round numbers that are written.
    ticks: Vec<f64>,
}

type LogAxis = WithKeyPoints<LogCoord<f64>>;

impl Axis {
    /// Wide enough for all figures above 0, of which there must be one.
    fn around(figures: impl Iterator<Item = f64> + Clone) -> Option<Self> {
        let figures = figures.filter(|figure| *figure > 0.0);
        let low = figures.clone().min_by(f64::total_cmp)?;
        let high = figures.max_by(f64::total_cmp)?;
        // Those of each decade; with its end, the next one's start.
        let parts: &[f64] = if high < 5.0 * low {
            &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0]
        } else {
            &[1.0, 2.0, 5.0, 10.0]
        };
        let decades = low.log10().floor() as i32..=high.log10().floor() as i32;
        let round =
            decades.flat_map(|decade| parts.iter().map(move |part| part * 10f64.powi(decade)));
        let mut round: Vec<f64> = round.collect();
        round.dedup();
        let from = round.iter().copied().rfind(|tick| *tick <= low)?;
        let to = round.iter().copied().find(|tick| *tick > high)?;
        let mut ticks = round;
        ticks.retain(|tick| (from..=to).contains(tick));
        // More would be crowded.
        if ticks.len() > 9 {
            ticks.retain(|tick| tick.log10().fract() == 0.0);
        }
        Some(Axis { from, to, ticks })
    }

    fn range(&self) -> LogAxis {
        let range = (self.from..self.to).log_scale();
        range.with_key_points(self.ticks.clone())
    }

    /// Wider than the figures need, on the right.
    fn with_room_for_legend(&self) -> LogAxis {
        let Axis { from, to, ticks } = self;
        let range = (*from..to * (to / from).powf(0.25)).log_scale();
        range.with_key_points(ticks.clone())
    }
}

fn number(number: &f64) -> String {
    // Without the noise of powers of ten that are less than 1.
    let digits = (1.9 - number.log10()).clamp(0.0, 9.0) as usize;
    let text = format!("{number:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_round_numbers() {
        let axis = Axis::around([320.0, 45.0].into_iter()).expect("there are figures");
        assert_eq!((axis.from, axis.to), (20.0, 500.0));
        assert_eq!(axis.ticks, [20.0, 50.0, 100.0, 200.0, 500.0]);
        let wide = Axis::around([1e3, 1e7].into_iter()).expect("there are figures");
        assert_eq!(wide.ticks, [1e3, 1e4, 1e5, 1e6, 1e7]);
        let narrow = Axis::around([120.0, 180.0].into_iter()).expect("there are figures");
        assert_eq!(narrow.ticks, [100.0, 150.0, 200.0]);
        assert_eq!(Axis::around([0.0].into_iter()), None);
    }

    #[test]
    fn numbers_have_no_noise() {
        let numbers = [20_000.0, 1.0, 0.5, 0.02, 1.1].map(|one| number(&one));
        assert_eq!(numbers, ["20000", "1", "0.5", "0.02", "1.1"]);
    }
}
