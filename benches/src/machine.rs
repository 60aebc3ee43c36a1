//! What the figures were taken on.

use std::fs;
use std::process::Command;
use std::thread;

pub fn print() {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    println!("machine: {cores} cores, {}", model());
    println!("load before: {}", load());
    println!("compiler: {}", env!("BENCH_RUSTC"));
    println!("crates: {}", env!("BENCH_VERSIONS"));
    println!("fanpool's revision: {}", revision());
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
