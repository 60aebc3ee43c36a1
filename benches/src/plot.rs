//! Plots as SVG files.

use crate::rounds::Table;
use crate::stats::Quartiles;
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
    #[allow(dead_code)] // Until a workload needs it.
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
    /// The median times of several tables with about the same rows, each table a series of its own.
    pub fn of_tables(
        name: impl Into<String>,
        title: impl Into<String>,
        tables: &[(String, Table)],
    ) -> Self {
        let mut rows: Vec<String> = Vec::new();
        for one in tables.iter().flat_map(|(_, table)| &table.rows) {
            if !rows.contains(&one.name) {
                rows.push(one.name.clone());
            }
        }
        let figures = |table: &Table| {
            let figure = |row: &String| {
                let one = table.rows.iter().find(|one| one.name == *row)?;
                Some(Quartiles::of(&one.ns_per_job).median)
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
                unit: "ns per job".to_owned(),
                rows,
                series,
            },
        }
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
    let (low, high) = span(figures.copied()).ok_or("a plot needs figures")?;
    let height = 110 + 22 * rows.len() as u32;
    let page = SVGBackend::new(path, (760, height)).into_drawing_area();
    page.fill(&WHITE)?;
    // Row 0 is the top one, half a row from the edge.
    let place = |row: usize| -(row as f64);
    let bottom = place(rows.len()) + 0.4;
    let mut chart = ChartBuilder::on(&page)
        .caption(title, ("sans-serif", 18))
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(130)
        .build_cartesian_2d((low * 0.8..high * 3.0).log_scale(), bottom..0.6)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .x_desc(unit)
        .light_line_style(WHITE)
        .y_labels(rows.len() + 2)
        .y_label_formatter(&|at| {
            let row = -at;
            let name = (row.fract() == 0.0).then(|| rows.get(row as usize));
            name.flatten().cloned().unwrap_or_default()
        })
        .draw()?;
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
    let (from, to) = span(points().map(|point| point.0)).ok_or("a plot needs figures")?;
    let (low, high) = span(points().map(|point| point.1)).ok_or("a plot needs figures")?;
    let page = SVGBackend::new(path, (760, 480)).into_drawing_area();
    page.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&page)
        .caption(title, ("sans-serif", 18))
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(
            (from..to * (to / from).powf(0.3)).log_scale(),
            (low * 0.9..high * 1.15).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc(x)
        .y_desc(y)
        .light_line_style(WHITE)
        .draw()?;
    for (at, (name, points)) in series.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
        chart
            .draw_series(line.point_size(3))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    legend(&mut chart)?;
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
    let (from, to) = span(points().map(|point| point.0)).ok_or("a plot needs figures")?;
    let (low, high) = span(points().map(|point| point.1)).ok_or("a plot needs figures")?;
    let page = SVGBackend::new(path, (760, 360)).into_drawing_area();
    page.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&page)
        .caption(title, ("sans-serif", 18))
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(from..to, (low * 0.7..high * 5.0).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("seconds")
        .y_desc(y)
        .light_line_style(WHITE)
        .draw()?;
    for (at, (name, points)) in series.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        chart
            .draw_series(LineSeries::new(
                points.iter().copied(),
                colour.stroke_width(2),
            ))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    legend(&mut chart)?;
    page.present()?;
    Ok(())
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

fn span(of: impl Iterator<Item = f64> + Clone) -> Option<(f64, f64)> {
    let low = of.clone().min_by(f64::total_cmp)?;
    let high = of.max_by(f64::total_cmp)?;
    Some((low, high))
}
