//! The example `sha256sum` from async code, on tokio or smol: the same output, byte for byte.
//!
//! ```text
//! cargo run --release --example sha256sum_async -- src Cargo.toml
//! cargo run --release --example sha256sum_async -- --runtime smol src Cargo.toml
//! ```
//!
//! What one sees is what `sha256sum` prints; see there. Reading files blocks, so it is done by the same
//! pool of threads. What is there to see is how async code uses it:
//!
//! * `submit(..).await` and a job's handle, `job.await`, suspend the task and leave its thread to others;
//! * nothing but `main` knows which runtime that is: the pool belongs to none;
//! * reading directories blocks, too. One worker of a second pool does it, and its handler *is* the walk:
//!   a pool with one worker serves a piece of state in turn, from any task.

#[path = "../shared/hasher.rs"]
mod hasher;
#[path = "../shared/message.rs"]
mod message;
#[path = "../shared/report.rs"]
mod report;
#[path = "../shared/walk.rs"]
mod walk;

use clap::{Parser, ValueEnum};
use fanpool::{
    BuildError, JobContext, JobError, JobHandler, Pool, RunError, Submitter, handler_factory,
};
use hasher::{Hashers, InFlight, Window, start_pool};
use report::{Report, fail};
use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use walk::Walk;

/// How many paths the walk is asked for at once.
const BATCH: usize = 64;

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

    /// Where the async code runs
    #[arg(long, value_enum, default_value_t = Runtime::Tokio)]
    runtime: Runtime,
}

#[derive(ValueEnum, Clone, Copy)]
enum Runtime {
    Tokio,
    Smol,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let hashed = Arc::new(AtomicU64::new(0));
    let pools =
        start_pool(cli.threads, &hashed).and_then(|pool| Ok((pool, start_walk(&cli.paths)?)));
    let (pool, walk) = match pools {
        Ok(pools) => pools,
        Err(error) => return fail(&error),
    };
    let mut report = Report::new(&cli.paths, hashed);
    let hash_all = hash_all(&walk, &pool, &mut report);
    let written = match cli.runtime {
        Runtime::Tokio => match tokio::runtime::Builder::new_current_thread().build() {
            Ok(tokio) => tokio.block_on(hash_all),
            Err(error) => return fail(&error),
        },
        Runtime::Smol => smol::block_on(hash_all),
    };
    report.end(written)
}

/// Submits all files in the order of their paths, and reports them in that order while it goes.
///
/// Fails only when stdout does: all else that goes wrong is part of the report.
async fn hash_all(walk: &Paths, pool: &Hashers, report: &mut Report) -> io::Result<()> {
    let mut window = Window::default();
    loop {
        let paths = walk.run(BATCH).await.map_err(RunError::without_job);
        let paths = paths.map_err(io::Error::other)?;
        if paths.is_empty() {
            break;
        }
        for (path, found) in paths {
            let job = match found {
                Ok(()) => pool.submit(path.clone()).await.map_err(io::Error::other),
                Err(error) => Err(error),
            };
            window.push(path, job);
            while let Some(file) = window.due() {
                report_on(file, report).await?;
            }
        }
    }
    for file in window {
        report_on(file, report).await?;
    }
    Ok(())
}

/// Waits for the outcome.
async fn report_on(InFlight { path, job }: InFlight, report: &mut Report) -> io::Result<()> {
    let outcome = match job {
        Ok(job) => job.await,
        Err(error) => Err(JobError::Failed(error)),
    };
    report.file(&path, outcome)
}

/// A pool whose one worker walks through the directories. A job is the number of paths wanted.
type Paths = Submitter<usize, Vec<(OsString, io::Result<()>)>, Infallible>;

fn start_walk(paths: &[OsString]) -> Result<Paths, BuildError> {
    let paths = paths.to_vec();
    let pool = Pool::builder(handler_factory(move |_| {
        Ok::<_, Infallible>(Walker(Walk::new(paths.clone())))
    }))
    .name("walk")
    .workers_per_dispatcher(1)
    .build()?;
    Ok(pool.submitter())
}

struct Walker(Walk);

impl JobHandler<usize> for Walker {
    type Output = Vec<(OsString, io::Result<()>)>;
    type Error = Infallible;

    async fn handle(&mut self, most: usize, _: &JobContext) -> Result<Self::Output, Infallible> {
        Ok(self.0.by_ref().take(most).collect())
    }
}
