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
    quick: bool,
    contenders: &[About],
    sections: &[Section],
) -> Result<(), Box<dyn Error>> {
    let plots = folder.join("plots");
    fs::create_dir_all(&plots)?;
    // Before anything is written: it says whether the tree is as it was committed.
    let page = page(quick, contenders, sections)?;
    for plot in sections.iter().flat_map(|section| &section.plots) {
        plot.draw(&plots)?;
    }
    fs::write(folder.join("benchmarks.md"), page)?;
    Ok(())
}

fn page(quick: bool, contenders: &[About], sections: &[Section]) -> Result<String, Box<dyn Error>> {
    let bars = section::bars(sections.iter().flat_map(|section| &section.bars));
    let mut machine = machine::markdown();
    if quick {
        machine += "- a quick test: the figures are worth nothing\n";
    }
    let sections: Vec<String> = sections.iter().map(Section::markdown).collect();
    let mut page = TEMPLATE.to_owned();
    for (place, text) in [
        ("{{machine}}", machine),
        ("{{bars}}", bars),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender;

    #[test]
    fn every_place_of_the_template_is_filled() {
        let sections = [Section::new("A title", "A method.")];
        let page = page(true, &contender::ALL, &sections).expect("the template has all places");
        assert!(!page.contains("{{"), "{page}");
        assert!(page.contains("## A title\n\nA method."), "{page}");
        assert!(!page.contains("of unknown version"), "{page}");
    }
}
