//! What a workload gives back: data, that is printed on the terminal and written as a part of a page.

use crate::plot::Plot;
use crate::report::{Grid, Reading};
use crate::rounds::Table;
use std::fmt;

/// Everything about one workload.
pub struct Section {
    pub title: String,
    /// What is done and how it is timed, in a few sentences.
    pub method: String,
    pub grids: Vec<Grid>,
    pub plots: Vec<Plot>,
    pub bars: Vec<Bar>,
}

/// What is to be reached, and whether it was.
pub struct Bar {
    /// What is measured, as in `1x2: times as fast as the fastest pool`.
    pub what: String,
    pub limit: Limit,
    /// What the figures are counted in, as in `x` or ` ns`; it follows them.
    pub unit: &'static str,
    /// `None`: what it needs was left out.
    pub reading: Option<Reading>,
}

/// On which side of a number a figure must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

impl Bar {
    /// About a figure that is compared with nothing and that other programs do not disturb.
    pub fn plain(what: &str, limit: Limit, unit: &'static str, figure: Option<f64>) -> Self {
        Bar {
            what: what.to_owned(),
            limit,
            unit,
            reading: figure.map(|figure| Reading {
                figure,
                against: String::new(),
                doubtful: false,
            }),
        }
    }
}

impl Section {
    pub fn new(title: impl Into<String>, method: impl Into<String>) -> Self {
        Section {
            title: title.into(),
            method: method.into(),
            grids: Vec::new(),
            plots: Vec::new(),
            bars: Vec::new(),
        }
    }

    /// Takes a table in, under a heading.
    pub fn table(&mut self, title: impl Into<String>, table: &Table) {
        self.grids.push(Grid::of(title, table));
    }

    pub fn print(&self) {
        println!();
        println!("# {}", self.title);
        println!();
        println!("{}", self.method);
        for grid in &self.grids {
            grid.print();
        }
        if !self.bars.is_empty() {
            println!();
        }
        for bar in &self.bars {
            println!("bar: {bar}");
        }
    }

    /// As a part of a page, which has all bars at its head; the plots are beside it in `plots/`.
    pub fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n", self.title, self.method);
        for plot in &self.plots {
            text += &format!("\n![{}](plots/{})\n", plot.title, plot.file());
        }
        for grid in &self.grids {
            text += &format!("\n{}", grid.markdown());
        }
        text
    }
}

/// A table of bars, as markdown.
pub fn bars<'a>(bars: impl Iterator<Item = &'a Bar>) -> String {
    let rows: String = bars
        .map(|bar| {
            let Bar {
                what, limit, unit, ..
            } = bar;
            let (measured, against) = match &bar.reading {
                Some(reading) => (bar.shown(reading.figure), &*reading.against),
                None => (String::new(), ""),
            };
            let verdict = bar.verdict();
            format!("| {what} | {limit}{unit} | {measured} | {against} | {verdict} |\n")
        })
        .collect();
    format!("| what | wanted | measured | | |\n|---|---|---|---|---|\n{rows}")
}

impl Bar {
    /// A figure with its unit, to about three digits.
    fn shown(&self, figure: f64) -> String {
        let digits = match figure.abs() {
            ..10.0 => 2,
            10.0..100.0 => 1,
            _ => 0,
        };
        format!("{figure:.digits$}{}", self.unit)
    }

    /// Met or missed, and whether that can be believed.
    pub fn verdict(&self) -> &'static str {
        match &self.reading {
            None => "not measured",
            Some(Reading {
                figure, doubtful, ..
            }) => match (self.limit.admits(*figure), doubtful) {
                (true, false) => "met",
                (false, false) => "**missed**",
                (true, true) => "met, but DOUBTFUL",
                (false, true) => "**missed**, but DOUBTFUL",
            },
        }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bar {
            what, limit, unit, ..
        } = self;
        let verdict = self.verdict().replace('*', "");
        write!(f, "{what}, {limit}{unit}: ")?;
        if let Some(Reading {
            figure, against, ..
        }) = &self.reading
        {
            write!(f, "{} ", self.shown(*figure))?;
            if !against.is_empty() {
                write!(f, "({against}) ")?;
            }
        }
        f.write_str(&verdict)
    }
}

impl Limit {
    pub fn admits(self, figure: f64) -> bool {
        match self {
            Limit::AtLeast(least) => figure >= least,
            Limit::AtMost(most) => figure <= most,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::AtLeast(least) => write!(f, "at least {least}"),
            Limit::AtMost(most) => write!(f, "at most {most}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(reading: Option<Reading>) -> Bar {
        Bar {
            what: "1x2: times as fast as the fastest pool".to_owned(),
            limit: Limit::AtLeast(3.0),
            unit: "x",
            reading,
        }
    }

    #[test]
    fn a_bar_is_met_missed_or_not_measured() {
        let read = |figure, doubtful| {
            bar(Some(Reading {
                figure,
                against: "threadpool".to_owned(),
                doubtful,
            }))
        };
        let start = "1x2: times as fast as the fastest pool, at least 3x: ";
        for (bar, end) in [
            (read(3.0, false), "3.00x (threadpool) met"),
            (read(2.99, false), "2.99x (threadpool) missed"),
            (read(2.99, true), "2.99x (threadpool) missed, but DOUBTFUL"),
            (bar(None), "not measured"),
        ] {
            assert_eq!(bar.to_string(), format!("{start}{end}"));
        }
    }

    #[test]
    fn limits_are_included() {
        assert!(Limit::AtMost(0.6).admits(0.6));
        assert!(!Limit::AtMost(0.6).admits(0.61));
        assert!(Limit::AtLeast(2.0).admits(2.0));
        assert!(!Limit::AtLeast(2.0).admits(1.99));
    }
}
