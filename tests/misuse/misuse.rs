//! What must not compile, and what the compiler says to it.

/// The compiler whose messages the `.stderr` files have.
const MINOR: &str = "1.95.";

#[test]
fn misuse_does_not_compile() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = std::process::Command::new(rustc).arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    match version {
        Ok(version) if version.starts_with(&format!("rustc {MINOR}")) => {
            trybuild::TestCases::new().compile_fail("fail/*.rs");
        }
        other => println!("skipped: the messages are those of rustc {MINOR}x, this is {other:?}"),
    }
}
