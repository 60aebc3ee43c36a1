//! Runs a case in a process of its own: see `cases/cases.rs`.

use std::env;
use std::path::PathBuf;
use std::process::{self, Command};

/// What a case printed.
#[derive(Debug, PartialEq)]
pub struct Lines(Vec<(String, Vec<f64>)>);

/// Builds the program with the cases, if need be, and runs it. Ends this program if that fails.
pub fn run(arguments: &[&str]) -> Lines {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--bin", "fanpool-bench-cases"]);
    command.args([
        "--manifest-path",
        concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
    ]);
    if env!("BENCH_PROFILE") == "release" {
        command.arg("--release");
    }
    // Where this program was built, wherever that is.
    if let Some(target) = target() {
        command.arg("--target-dir").arg(target);
    }
    command.arg("--").args(arguments);
    let failed = match command.output() {
        Ok(output) if output.status.success() => {
            match Lines::parse(&String::from_utf8_lossy(&output.stdout)) {
                Some(lines) => return lines,
                None => "it says something else than names and figures".to_owned(),
            }
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    eprintln!("the case {} failed: {failed}", arguments.join(" "));
    process::exit(1);
}

/// The folder that has this program's profile in it.
fn target() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let mut folders = program.ancestors();
    let profile = folders.find(|folder| folder.ends_with(env!("BENCH_PROFILE")))?;
    Some(profile.parent()?.to_owned())
}

impl Lines {
    fn parse(text: &str) -> Option<Self> {
        let line = |line: &str| {
            let mut words = line.split(' ');
            let name = words.next()?.to_owned();
            let figures: Result<_, _> = words.map(str::parse).collect();
            Some((name, figures.ok()?))
        };
        text.lines().map(line).collect::<Option<_>>().map(Lines)
    }

    /// The figures of every line with this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [f64]> {
        self.0
            .iter()
            .filter(move |line| line.0 == name)
            .map(|line| &*line.1)
    }

    /// The figures of the one line with this name.
    pub fn one<const N: usize>(&self, name: &str) -> [f64; N] {
        let figures = self.all(name).next().and_then(|line| line.try_into().ok());
        figures.unwrap_or_else(|| panic!("a line {name} with {N} figures: {self:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_names_and_figures() {
        let lines = Lines::parse("bytes 40.5 41\nsample 1\nsample 2\n").expect("figures");
        assert_eq!(lines.one("bytes"), [40.5, 41.0]);
        let samples: Vec<_> = lines.all("sample").map(|line| line[0]).collect();
        assert_eq!(samples, [1.0, 2.0]);
        assert_eq!(Lines::parse("thread panicked"), None);
    }

    #[test]
    fn a_case_is_run() {
        let lines = run(&["queued", "1000"]);
        let [bytes, _resident] = lines.one("bytes");
        assert!((40.0..200.0).contains(&bytes), "{bytes} bytes a job");
    }
}
