//! What a case found, for `fanpool-bench` to read.

use std::io::{self, Write};

/// One line: a name and figures.
pub fn say(name: &str, figures: &[f64]) {
    let mut out = io::stdout().lock();
    let figures: String = figures.iter().map(|figure| format!(" {figure}")).collect();
    writeln!(out, "{name}{figures}").expect("who started this reads it");
}
