//! The protocols under model checkers: CONTRIBUTING.md says how to run them.
//!
//! loom explores every interleaving of the gate, with the memory orderings as written; shuttle explores random
//! schedules of whole pools. Each model has a positive control: the same model with a fault seeded (sync/fault.rs),
//! which must fail.

#[cfg(all(test, fanpool_loom))]
mod gate;
#[cfg(test)]
mod intake;
#[cfg(all(test, fanpool_shuttle, not(fanpool_loom)))]
mod pool;

#[cfg(test)]
const CONTROL: &str = "FANPOOL_SEEDED_FAULT";

/// Returns whether this process runs a model with its fault seeded.
#[cfg(all(test, fanpool_shuttle))]
fn is_control() -> bool {
    std::env::var_os(CONTROL).is_some()
}

/// Explores every interleaving. `FANPOOL_MODEL=deep` lifts the bound on preemptions from 3 to 5.
#[cfg(all(test, fanpool_loom))]
fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    let deep = std::env::var("FANPOOL_MODEL").is_ok_and(|depth| depth == "deep");
    builder.preemption_bound = Some(if deep { 5 } else { 3 });
    builder.check(model);
}

/// Explores random schedules. `FANPOOL_MODEL=deep` tries fifty times as many. A control tries far more, because it ends
/// with the first that fails.
#[cfg(all(test, fanpool_shuttle, not(fanpool_loom)))]
fn check(model: impl Fn() + Sync + Send + 'static) {
    let deep = std::env::var("FANPOOL_MODEL").is_ok_and(|depth| depth == "deep");
    let schedules = match (is_control(), deep) {
        (true, _) => 1_000_000,
        (false, true) => 50_000,
        (false, false) => 1_000,
    };
    let model = std::sync::Arc::new(model);
    let again = model.clone();
    // Long runs of one thread first: what hides between two steps of another is found sooner so.
    shuttle::check_pct(move || again(), schedules, 3);
    shuttle::check_random(move || model(), schedules);
}

/// Explores a model, then explores it again with a fault seeded, which must fail.
///
/// The second run is a process of its own: a checker that finds a deadlock often aborts, because it unwinds through
/// destructors that need it.
#[cfg(test)]
fn with_control(fault: crate::sync::fault::Fault, explore: impl FnOnce()) {
    if std::env::var(CONTROL).is_ok_and(|seeded| seeded == format!("{fault:?}")) {
        return crate::sync::fault::with_fault(fault, explore);
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
