//! The examples, as a user runs them.

mod examples;
mod sha256sum;
#[cfg(feature = "sim")]
mod sim_example;

use std::process::Command;

/// An example's program. A plain `cargo test` builds the examples before it runs tests, and puts them
/// beside the tests' own directory. With `--test` or `-p` it does not look after them.
fn example(name: &str) -> Command {
    let this = std::env::current_exe().expect("this test has a path");
    let profile = this.ancestors().nth(2).expect("target/profile/deps/test");
    let program = profile.join("examples").join(name);
    let program = program.with_extension(std::env::consts::EXE_EXTENSION);
    assert!(program.exists(), "first: cargo build --example {name}");
    Command::new(program)
}
