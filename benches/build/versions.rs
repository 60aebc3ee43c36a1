//! Tells the program what it is built from: the versions in `Cargo.lock` and the compiler.

use std::env;
use std::fs;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build/versions.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");

    let lock = fs::read_to_string("Cargo.lock").expect("Cargo.lock can be read");
    let versions: Vec<String> = lock
        .split("[[package]]\n")
        .filter_map(|package| {
            Some(format!(
                "{} {}",
                value(package, "name")?,
                value(package, "version")?
            ))
        })
        .collect();
    println!("cargo::rustc-env=BENCH_VERSIONS={}", versions.join(","));
    let profile = env::var("PROFILE").expect("cargo sets PROFILE");
    println!("cargo::rustc-env=BENCH_PROFILE={profile}");

    let rustc = env::var_os("RUSTC").expect("cargo sets RUSTC");
    let output = Command::new(rustc)
        .arg("--version")
        .output()
        .expect("rustc answers");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("cargo::rustc-env=BENCH_RUSTC={}", text.trim());
}

/// Of a package in a lock file.
fn value<'a>(package: &'a str, key: &str) -> Option<&'a str> {
    package.lines().find_map(|line| {
        line.strip_prefix(key)?
            .strip_prefix(" = \"")?
            .strip_suffix('"')
    })
}
