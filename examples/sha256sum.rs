//! `sha256sum` for whole trees, on all cores: every file under the paths goes through a pool of threads.
//!
//! ```text
//! cargo run --release --example sha256sum -- src Cargo.toml
//! cargo run --release --example sha256sum -- ~/photos > SHA256SUMS    # a progress bar, and then
//! sha256sum --check SHA256SUMS                                        # GNU agrees
//! ```
//!
//! What one sees is what GNU `sha256sum` prints, sorted by path (bytewise, as `LC_ALL=C sort` does):
//!
//! ```text
//! 4a5f…c1  Cargo.toml
//! 90b2…7e  src/builder.rs
//! 1d33…08  src/clock.rs
//! ```
//!
//! On a terminal, a bar on stderr shows how many files and bytes are done. What cannot be read is
//! reported on stderr, in its place in the order; the rest goes on, and the exit status is 1.
//!
//! What is there to see of the library:
//!
//! * each worker has its own `Hasher` (`shared/hasher.rs`), and so its own buffer: `&mut self`, no lock;
//! * `main` submits files in the order of their paths and prints digests in that order, through a window
//!   of job handles. The window and the queue behind it are bounded, and so is the memory: the names of
//!   one window, and of the directories on the way to the current file.

#[path = "shared/hasher.rs"]
mod hasher;
#[path = "shared/message.rs"]
mod message;
#[path = "shared/report.rs"]
mod report;
#[path = "shared/walk.rs"]
mod walk;

use clap::Parser;
use fanpool::{JobError, JobHandle};
use hasher::{Hashers, InFlight, Window, start_pool};
use report::{Report, fail};
use std::ffi::OsString;
use std::io;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use walk::Walk;

/// Print SHA-256 checksums of all files under the paths, sorted by path, in the format of GNU sha256sum.
#[derive(Parser)]
#[command(name = "sha256sum")]
struct Cli {
    /// Files and directories; `-` is standard input
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<OsString>,

    /// How many threads hash [default: the machine's parallelism]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let hashed = Arc::new(AtomicU64::new(0));
    let pool = match start_pool(cli.threads, &hashed) {
        Ok(pool) => pool,
        Err(error) => return fail(&error),
    };
    let mut report = Report::new(&cli.paths, hashed);
    let written = hash_all(cli.paths, &pool, &mut report);
    report.end(written)
}

/// Submits all files in the order of their paths, and reports them in that order while it goes.
///
/// Fails only when stdout does: all else that goes wrong is part of the report.
fn hash_all(paths: Vec<OsString>, pool: &Hashers, report: &mut Report) -> io::Result<()> {
    let mut window = Window::default();
    for (path, found) in Walk::new(paths) {
        let submit = |()| pool.submit_blocking(path.clone()).map_err(io::Error::other);
        let job = found.and_then(submit);
        window.push(path, job);
        while let Some(file) = window.due() {
            report_on(file, report)?;
        }
    }
    window.try_for_each(|file| report_on(file, report))
}

/// Waits for the outcome.
fn report_on(InFlight { path, job }: InFlight, report: &mut Report) -> io::Result<()> {
    let outcome = job.map_err(JobError::Failed).and_then(JobHandle::wait);
    report.file(&path, outcome)
}
