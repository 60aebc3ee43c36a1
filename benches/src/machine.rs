//! What the figures were taken on.

use std::env;
use std::fs;
use std::process::Command;
use std::thread;

/// What there is to know, each with its name.
fn facts() -> Vec<(&'static str, String)> {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    vec![
        ("machine", format!("{cores} cores, {}", model())),
        (
            "system",
            format!("{}, {}", env::consts::OS, env::consts::ARCH),
        ),
        ("compiler", env!("BENCH_RUSTC").to_owned()),
        ("profile", profile()),
        ("fanpool's revision", revision()),
    ]
}

pub fn print() {
    for (name, fact) in facts() {
        println!("{name}: {fact}");
    }
    println!("load before: {}", load());
    let packages = crate::contender::ALL.map(|one| one.package);
    let mut versions: Vec<_> = packages
        .iter()
        .map(|package| format!("{package} {}", version(package)))
        .collect();
    versions.dedup();
    println!("crates: {}", versions.join(", "));
}

pub fn markdown() -> String {
    facts()
        .iter()
        .map(|(name, fact)| format!("- {name}: {fact}\n"))
        .collect()
}

/// Of a crate that this program is built with.
pub fn version(package: &str) -> &'static str {
    env!("BENCH_VERSIONS")
        .split(',')
        .find_map(|one| one.strip_prefix(package)?.strip_prefix(' '))
        .unwrap_or("of unknown version")
}

fn profile() -> String {
    match env!("BENCH_PROFILE") {
        "release" => "release, thin LTO".to_owned(),
        other => format!("{other}: the figures are worth nothing"),
    }
}

fn model() -> String {
    fs::read_to_string("/proc/cpuinfo")
        .unwrap_or_default()
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(": "))
        .map_or("of unknown model".to_owned(), |(_, model)| model.to_owned())
}

fn load() -> String {
    fs::read_to_string("/proc/loadavg").map_or("unknown".to_owned(), |text| {
        text.split(' ').take(3).collect::<Vec<_>>().join(" ")
    })
}

fn revision() -> String {
    let answer = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR")])
        .args(["describe", "--always", "--dirty"])
        .output();
    match answer {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}
