//! `benchmarks.md`: a template into which the figures are put.

use crate::contender::{About, Note};
use crate::machine;
use crate::section::{self, Section};
use std::error::Error;
use std::fs;
use std::path::Path;

const TEMPLATE: &str = include_str!("../template/benchmarks.md");

/// Writes the page into `folder`, and the plots into `plots` there.
pub fn write(
    folder: &Path,
    contenders: &[About],
    sections: &[Section],
) -> Result<(), Box<dyn Error>> {
    let plots = folder.join("plots");
    fs::create_dir_all(&plots)?;
    for plot in sections.iter().flat_map(|section| &section.plots) {
        plot.draw(&plots)?;
    }
    fs::write(folder.join("benchmarks.md"), page(contenders, sections)?)?;
    Ok(())
}

fn page(contenders: &[About], sections: &[Section]) -> Result<String, Box<dyn Error>> {
    let bars: Vec<String> = sections
        .iter()
        .filter(|section| !section.bars.is_empty())
        .map(|section| format!("**{}**\n\n{}", section.title, section::bars(&section.bars)))
        .collect();
    let sections: Vec<String> = sections.iter().map(Section::markdown).collect();
    let mut page = TEMPLATE.to_owned();
    for (place, text) in [
        ("{{machine}}", machine::markdown()),
        ("{{bars}}", bars.join("\n")),
        ("{{contenders}}", table(contenders)),
        ("{{notes}}", notes()),
        ("{{sections}}", sections.join("\n")),
    ] {
        if !page.contains(place) {
            return Err(format!("the template has no {place}").into());
        }
        page = page.replace(place, text.trim_end());
    }
    Ok(page)
}

fn table(contenders: &[About]) -> String {
    let rows = contenders.iter().map(|one| {
        let About {
            name,
            package,
            notes,
            used,
        } = one;
        let notes: Vec<_> = notes.iter().map(|note| note.word()).collect();
        let version = machine::version(package);
        let notes = notes.join(", ");
        format!("| {name} | {package} {version} | {notes} | {used} |\n")
    });
    format!(
        "| contender | crate | | used |\n|---|---|---|---|\n{}",
        rows.collect::<String>()
    )
}

fn notes() -> String {
    Note::ALL
        .iter()
        .map(|note| format!("- *{}*: {}.\n", note.word(), note.meaning()))
        .collect()
}
