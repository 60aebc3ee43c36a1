//! Tables, as text for a terminal and as markdown.

use crate::contender::{About, Note};
use crate::machine;
use crate::rounds::{Measured, Table};
use crate::stats::Quartiles;

/// From how many cores in others' use on the figures are called doubtful.
const DISTURBED: f64 = 0.1;

/// Rows and columns of text.
pub struct Grid {
    pub title: String,
    /// The first one and those whose heading is empty are set flush left.
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
    /// What is to be said below.
    pub remarks: Vec<String>,
}

impl Grid {
    pub fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        Grid {
            title: title.into(),
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            rows: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// Contenders side by side.
    pub fn of(title: impl Into<String>, table: &Table) -> Self {
        let versus = format!("vs {}", table.base);
        let columns = ["contender", "ns/job", "cores", &versus, "quartiles", ""];
        let mut grid = Grid::new(title, &columns);
        for one in &table.rows {
            let Measured { name, .. } = one;
            let (median, quartiles) = match ratio(table, name) {
                Some(ratio) if *name != table.base => (
                    format!("{:.2}x", ratio.median),
                    format!("{:.2} to {:.2}", ratio.lower, ratio.upper),
                ),
                _ => (String::new(), String::new()),
            };
            grid.rows.push(vec![
                name.clone(),
                ns(Quartiles::of(&one.ns_per_job).median),
                format!("{:.2}", Quartiles::of(&one.cores).median),
                median,
                quartiles,
                words(one.notes),
            ]);
        }
        grid.remarks.extend(disturbance(table));
        grid
    }

    /// Who takes part, for a workload whose contenders are its own.
    pub fn contenders(abouts: &[About]) -> Self {
        let mut grid = Grid::new("contenders", &["contender", "", "", ""]);
        for about in abouts {
            grid.rows.push(vec![
                about.name.to_owned(),
                format!("{} {}", about.package, machine::version(about.package)),
                words(about.notes),
                about.used.to_owned(),
            ]);
        }
        grid
    }

    pub fn print(&self) {
        println!();
        println!("{}", self.title);
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|at| {
                let cells = self.rows.iter().map(|row| row[at].chars().count());
                cells
                    .max()
                    .unwrap_or(0)
                    .max(self.columns[at].chars().count())
            })
            .collect();
        for row in std::iter::once(&self.columns).chain(&self.rows) {
            let cells = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(at, (cell, &width))| {
                    if self.is_text(at) {
                        format!("{cell:<width$}")
                    } else {
                        format!("{cell:>width$}")
                    }
                });
            println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
        for remark in &self.remarks {
            println!("{remark}");
        }
    }

    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rules: Vec<String> = (0..self.columns.len())
            .map(|at| if self.is_text(at) { "---" } else { "--:" }.to_owned())
            .collect();
        let mut text = format!(
            "**{}**\n\n{}{}",
            self.title,
            line(&self.columns),
            line(&rules)
        );
        text.extend(self.rows.iter().map(|row| line(row)));
        for remark in &self.remarks {
            text += &format!("\n{remark}.\n");
        }
        text
    }

    fn is_text(&self, column: usize) -> bool {
        column == 0 || self.columns[column].is_empty()
    }
}

/// How many times as long as the table's base `name` takes, round by round.
pub fn ratio(table: &Table, name: &str) -> Option<Quartiles> {
    ratio_of(table, name, &table.base)
}

/// How many times as long as `under` `over` takes, round by round.
pub fn ratio_of(table: &Table, over: &str, under: &str) -> Option<Quartiles> {
    let times = |name: &str| table.rows.iter().find(|one| one.name == name);
    let (over, under) = (times(over)?, times(under)?);
    Some(Quartiles::of_ratios(&over.ns_per_job, &under.ns_per_job))
}

/// What was measured for a bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    pub figure: f64,
    /// What it was compared with, or another remark; may be empty.
    pub against: String,
    /// Other programs used the cores meanwhile.
    pub doubtful: bool,
}

/// How many times as long as `under` `over` takes, for a bar.
pub fn compared(table: &Table, over: &str, under: &str) -> Option<Reading> {
    Some(Reading {
        figure: ratio_of(table, over, under)?.median,
        against: under.to_owned(),
        doubtful: is_doubtful(table),
    })
}

/// How many times as long as the table's base the fastest of the others takes that `counts`.
pub fn fastest(table: &Table, counts: impl Fn(&Measured) -> bool) -> Option<Reading> {
    readings(table, counts).min_by(|a, b| a.figure.total_cmp(&b.figure))
}

/// How many times as long as the table's base the slowest of the others takes.
pub fn slowest(table: &Table) -> Option<Reading> {
    readings(table, |_| true).max_by(|a, b| a.figure.total_cmp(&b.figure))
}

fn readings(table: &Table, counts: impl Fn(&Measured) -> bool) -> impl Iterator<Item = Reading> {
    table
        .rows
        .iter()
        .filter(move |one| one.name != table.base && counts(one))
        .filter_map(|one| {
            Some(Reading {
                figure: ratio(table, &one.name)?.median,
                against: one.name.clone(),
                doubtful: is_doubtful(table),
            })
        })
}

/// Whether others used the machine meanwhile.
pub fn is_doubtful(table: &Table) -> bool {
    is_disturbing(table.others)
}

/// Whether so many cores in others' use are too many.
pub fn is_disturbing(others: Option<f64>) -> bool {
    others.is_some_and(|others| others >= DISTURBED)
}

/// What others did meanwhile, in a sentence without its full stop.
pub fn disturbance(table: &Table) -> Option<String> {
    disturbed_by(table.others)
}

/// The same, of what kept so many cores busy.
pub fn disturbed_by(others: Option<f64>) -> Option<String> {
    let others = others?;
    let verdict = if is_disturbing(Some(others)) {
        ": the figures are DOUBTFUL"
    } else {
        ""
    };
    Some(format!(
        "Other programs kept {others:.2} cores busy{verdict}"
    ))
}

/// A number of nanoseconds, no finer than it can be told.
pub fn ns(time: f64) -> String {
    if time < 1000.0 {
        format!("{time:.1}")
    } else {
        format!("{time:.0}")
    }
}

/// So many of something.
pub fn count(number: impl Into<u64>, thing: &str) -> String {
    match number.into() {
        1 => format!("1 {thing}"),
        more => format!("{more} {thing}s"),
    }
}

pub fn words(notes: &[Note]) -> String {
    let words: Vec<_> = notes.iter().map(|note| note.word()).collect();
    words.join(", ")
}

/// How to read the tables, for a terminal.
pub fn print_legend() {
    println!();
    println!("ns/job: median of the rounds, less is better");
    println!("cores: processor time over wall time, median of the rounds");
    println!("vs: its time over the other's in the same round, median and quartiles");
    for note in Note::ALL {
        println!("{}: {}", note.word(), note.meaning());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In three rounds, of which the second one was slow for all.
    fn table() -> Table {
        let row = |name: &str, notes, ns_per_job: [f64; 3]| Measured {
            name: name.to_owned(),
            notes,
            ns_per_job: ns_per_job.to_vec(),
            cores: vec![1.0, 2.0, 3.0],
        };
        Table {
            rows: vec![
                row("fanpool", &[], [10.0, 100.0, 20.0]),
                row("quick", &[Note::Unbounded], [20.0, 200.0, 60.0]),
                row("slow", &[], [50.0, 500.0, 100.0]),
                row("bare", &[Note::Floor], [5.0, 50.0, 10.0]),
            ],
            base: "fanpool".to_owned(),
            others: Some(0.2),
        }
    }

    #[test]
    fn contenders_are_compared_round_by_round() {
        let table = table();
        let pool = |one: &Measured| !one.has(Note::Floor);
        let fastest = fastest(&table, pool).expect("there are pools");
        assert_eq!((fastest.figure, &*fastest.against), (2.0, "quick"));
        let slowest = slowest(&table).expect("there are others");
        assert_eq!((slowest.figure, &*slowest.against), (5.0, "slow"));
        let floor = compared(&table, "fanpool", "bare").expect("both are there");
        assert_eq!((floor.figure, floor.doubtful), (2.0, true));
        assert_eq!(compared(&table, "fanpool", "left out"), None);
    }

    #[test]
    fn a_table_reads_well() {
        let text = Grid::of("title", &table()).markdown();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "**title**");
        assert_eq!(
            lines[2],
            "| contender | ns/job | cores | vs fanpool | quartiles |  |"
        );
        assert_eq!(lines[4], "| fanpool | 20.0 | 2.00 |  |  |  |");
        assert_eq!(
            lines[5],
            "| quick | 60.0 | 2.00 | 2.00x | 2.00 to 2.50 | unbounded |"
        );
        let end = "Other programs kept 0.20 cores busy: the figures are DOUBTFUL.";
        assert_eq!(lines.last(), Some(&end));
    }

    #[test]
    fn runs_are_joined() {
        let joined = Table::joined(&[table(), table()]);
        assert_eq!(joined.rows.len(), 4);
        assert_eq!(
            joined.rows[0].ns_per_job,
            [10.0, 100.0, 20.0, 10.0, 100.0, 20.0]
        );
        assert_eq!(joined.others, Some(0.2));
    }
}
