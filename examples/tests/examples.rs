//! The small examples, as a user runs them. `sha256sum` has tests of its own.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

fn run<S: AsRef<OsStr>>(name: &str, args: impl IntoIterator<Item = S>) -> Output {
    let mut command = crate::example(name);
    command.args(args).stdin(Stdio::null());
    command.output().expect("the example runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn quick_start_does_what_the_readme_says() {
    let output = run("quick_start", [""; 0]);
    assert!(output.status.success());
    assert_eq!(
        text(&output.stdout),
        "the squares of 1 to 10 add up to 385\nHello, world!\n"
    );
}

/// Each time: no worker's part is ever missing.
#[test]
fn sum_prints_55() {
    for _ in 0..20 {
        let output = run("sum", [""; 0]);
        assert!(output.status.success());
        assert_eq!(text(&output.stdout), "55\n");
        let parts = text(&output.stderr).lines().map(|line| {
            let (_, part) = line.rsplit_once(' ').expect("a part");
            part.parse::<u64>().expect("a number")
        });
        assert_eq!(parts.sum::<u64>(), 55);
    }
}

/// `wc -w` over all the files together, or `None` with a note where there is none.
fn wc(files: &[PathBuf]) -> Option<u64> {
    let mut command = Command::new("wc");
    let Ok(output) = command
        .env("LC_ALL", "C")
        .args(["-w", "--"])
        .args(files)
        .output()
    else {
        println!("skipped: no `wc` on the PATH to compare with");
        return None;
    };
    let total = text(&output.stdout)
        .lines()
        .last()?
        .split_whitespace()
        .next()?;
    Some(total.parse().expect("a number"))
}

fn file(dir: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, content).expect("a new file");
    path
}

#[test]
fn word_count_counts_as_wc_does() {
    let dir = TempDir::new().expect("a temporary directory");
    let dir = dir.path();
    let many: String = (0..50_000)
        .map(|n| format!("{}{}", n % 1000, [" ", "\n", "\t\t", " \r\n"][n % 4]))
        .collect();
    let files = [
        file(dir, "empty", ""),
        file(dir, "only space", " \t\n\x0b\x0c\r\n  "),
        file(dir, "every space", "a b\tb\nc\x0bc\x0cc\rd"),
        file(dir, "one word", "unended".repeat(100_000)),
        file(dir, "many", many),
    ];
    for threads in ["1", "4"] {
        let mut args = ["--threads", threads, "--top", "3"]
            .map(PathBuf::from)
            .to_vec();
        args.extend_from_slice(&files);
        let output = run("word_count", &args);
        assert!(output.status.success());
        assert_eq!(text(&output.stderr), "");
        // Ranked by frequency, then by the bytes.
        assert_eq!(
            text(&output.stdout),
            "      50 0\n      50 1\n      50 10\n50008 words, 1005 different, in 5 files\n"
        );
    }
    if let Some(total) = wc(&files) {
        assert_eq!(total, 50_008);
    }
}

#[test]
fn word_count_reports_what_it_cannot_read_and_goes_on() {
    let dir = TempDir::new().expect("a temporary directory");
    let good = file(dir.path(), "good", "to be or not to be");
    let missing = dir.path().join("missing");
    let output = run("word_count", [&missing, &good]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stdout),
        "       2 be\n       2 to\n       1 not\n       1 or\n6 words, 4 different, in 1 files\n"
    );
    let complaint = text(&output.stderr);
    assert!(
        complaint.starts_with("word_count: ") && complaint.lines().count() == 1,
        "{complaint}"
    );
}
