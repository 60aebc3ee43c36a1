//! The protocols under model checkers: see CONTRIBUTING.md for how to run them.
//!
//! loom explores every interleaving of the gate, with the memory orderings as they are written;
//! shuttle explores random schedules of whole pools. Each model has a positive control: the same
//! model with a fault seeded (fault.rs), which has to fail.

pub(crate) mod event;

#[cfg(all(test, fanpool_loom))]
mod gate;
#[cfg(all(test, fanpool_shuttle, not(fanpool_loom)))]
mod pool;

#[cfg(test)]
const CONTROL: &str = "FANPOOL_SEEDED_FAULT";

/// Whether this process is the run of a model with its fault seeded.
#[cfg(all(test, fanpool_shuttle))]
fn is_control() -> bool {
    std::env::var_os(CONTROL).is_some()
}

/// Explores a model, then explores it again with a fault seeded, which must fail.
///
/// The second run is a process of its own: a checker that finds a deadlock often ends in an abort,
/// because it unwinds through destructors that need it.
#[cfg(test)]
fn with_control(fault: crate::fault::Fault, explore: impl FnOnce()) {
    if std::env::var(CONTROL).is_ok_and(|seeded| seeded == format!("{fault:?}")) {
        return crate::fault::with_fault(fault, explore);
    }
    explore();
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let started = std::time::Instant::now();
    let control = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--test-threads=1"])
        .env(CONTROL, format!("{fault:?}"))
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    assert!(
        !control.status.success(),
        "{name} passes although {fault:?} is seeded: it cannot find what it is for\n{}",
        String::from_utf8_lossy(&control.stdout)
    );
    println!("{name}: found {fault:?} in {:?}", started.elapsed());
}
