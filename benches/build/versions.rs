//! Tells the program what it is built from: the versions in `Cargo.lock` and the compiler.

use std::env;
use std::fs;
use std::process::Command;

const PACKAGES: [&str; 5] = [
    "fanpool",
    "threadpool",
    "rusty_pool",
    "crossfire",
    "crossbeam-channel",
];

fn main() {
    println!("cargo::rerun-if-changed=build/versions.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");

    let lock = fs::read_to_string("Cargo.lock").expect("Cargo.lock can be read");
    let versions = PACKAGES.map(|name| format!("{name} {}", version(&lock, name)));
    println!("cargo::rustc-env=BENCH_VERSIONS={}", versions.join(", "));

    let rustc = env::var_os("RUSTC").expect("cargo sets RUSTC");
    let output = Command::new(rustc)
        .arg("--version")
        .output()
        .expect("rustc answers");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("cargo::rustc-env=BENCH_RUSTC={}", text.trim());
}

/// The version that follows `name` in a lock file.
fn version<'a>(lock: &'a str, name: &str) -> &'a str {
    lock.split_once(&format!("name = \"{name}\"\nversion = \""))
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or("of unknown version", |(version, _)| version)
}
