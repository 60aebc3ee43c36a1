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
//! * each worker has its own [`Hasher`], and so its own buffer: `&mut self`, no lock;
//! * `main` submits files in the order of their paths and prints digests in that order, through a window
//!   of job handles. The window and the queue behind it are bounded, and so is the memory: the names of
//!   one window, and of the directories on the way to the current file.

use clap::Parser;
use fanpool::{
    BuildError, JobContext, JobError, JobHandle, JobHandler, Pool, Submitter, handler_factory,
};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use sha2::{Digest, Sha256, digest::Output};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, DirEntry, File};
use std::io::{self, BufWriter, IsTerminal, Read, StdoutLock, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{self, available_parallelism};
use std::time::Duration;

/// How many files may be submitted and not printed yet. While a large file is at the head of the window,
/// the other workers get so far ahead of it, and no further.
const WINDOW: usize = 512;

/// Each worker reads files in pieces of this size.
const PIECE: usize = 64 * 1024;

/// What a shell reports for a program that died of SIGPIPE, as GNU `sha256sum | head` does. Rust programs
/// ignore that signal and get an error from the write instead.
const BROKEN_PIPE: u8 = 128 + 13;

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
    let mut report = Report::new(progress_bar(&cli.paths, hashed));
    let written = hash_all(cli.paths, &pool, &mut report).and_then(|()| report.out.flush());
    report.bar.finish_and_clear();
    match written {
        Ok(()) if report.complained => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(BROKEN_PIPE),
        Err(error) => fail(&format_args!("write error: {}", reason(&error))),
    }
}

fn fail(why: &dyn fmt::Display) -> ExitCode {
    say(why);
    ExitCode::FAILURE
}

fn say(what: &dyn fmt::Display) {
    // If stderr is gone, the exit status has to do.
    let _ = writeln!(io::stderr(), "sha256sum: {what}");
}

// ---- The pool -----------------------------------------------------------------------------------------

/// A pool of hashers, without the type of its factory.
type Hashers = Submitter<OsString, Output<Sha256>, io::Error>;

fn start_pool(
    threads: Option<NonZeroUsize>,
    hashed: &Arc<AtomicU64>,
) -> Result<Hashers, BuildError> {
    let threads = threads.or_else(|| available_parallelism().ok());
    let hashed = hashed.clone();
    let hashers = handler_factory(move |_| Ok::<_, Infallible>(Hasher::new(hashed.clone())));
    let pool = Pool::builder(hashers)
        .name("sha256sum")
        .workers_per_dispatcher(threads.map_or(1, NonZeroUsize::get))
        .queue_capacity(WINDOW)
        .build()?;
    Ok(pool.submitter())
}

/// Hashes the files of one worker.
struct Hasher {
    buffer: Box<[u8]>,
    /// Bytes hashed by all workers: for the progress bar, which moves within a large file, too.
    hashed: Arc<AtomicU64>,
}

impl Hasher {
    fn new(hashed: Arc<AtomicU64>) -> Self {
        let buffer = vec![0; PIECE].into();
        Hasher { buffer, hashed }
    }

    fn digest(&mut self, mut source: impl Read) -> io::Result<Output<Sha256>> {
        let mut sha = Sha256::new();
        loop {
            match source.read(&mut self.buffer) {
                Ok(0) => return Ok(sha.finalize()),
                Ok(len) => {
                    sha.update(&self.buffer[..len]);
                    self.hashed.fetch_add(len as u64, Relaxed);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A job is a path. Its worker has a thread to itself, which may block in reads.
impl JobHandler<OsString> for Hasher {
    type Output = Output<Sha256>;
    type Error = io::Error;

    async fn handle(&mut self, path: OsString, _: &JobContext) -> io::Result<Output<Sha256>> {
        if path == "-" {
            self.digest(io::stdin().lock())
        } else {
            self.digest(File::open(path)?)
        }
    }
}

// ---- The window ---------------------------------------------------------------------------------------

/// Submits all files in the order of their paths, and reports them in that order while it goes.
///
/// Fails only when stdout does: all else that goes wrong is part of the report.
fn hash_all(paths: Vec<OsString>, pool: &Hashers, report: &mut Report) -> io::Result<()> {
    let mut window = VecDeque::new();
    for (path, found) in Walk::new(paths) {
        // Standard input has one reader at a time: of two `-`, the first gets it all.
        let room = if path == "-" { 0 } else { WINDOW };
        window.push_back(InFlight::start(path, found, pool));
        while window.len() > room || window.front().is_some_and(InFlight::is_over) {
            if let Some(file) = window.pop_front() {
                report.file(file)?;
            }
        }
    }
    window.into_iter().try_for_each(|file| report.file(file))
}

/// A file that was submitted, or could not be.
struct InFlight {
    path: OsString,
    job: io::Result<JobHandle<Output<Sha256>, io::Error>>,
}

impl InFlight {
    fn start(path: OsString, found: io::Result<()>, pool: &Hashers) -> Self {
        let submit = |()| pool.submit_blocking(path.clone()).map_err(io::Error::other);
        let job = found.and_then(submit);
        InFlight { path, job }
    }

    fn is_over(&self) -> bool {
        self.job.as_ref().map_or(true, JobHandle::is_finished)
    }
}

// ---- The walk -----------------------------------------------------------------------------------------

/// The files under some paths, lazily and in bytewise order.
///
/// Every path found and not visited yet waits in a heap, a directory's with a slash at its end. What a
/// directory holds sorts after that, and nothing else sorts between: so the least path is the next one,
/// across all arguments, and a directory is read only when its turn comes.
struct Walk {
    pending: BinaryHeap<Reverse<OsString>>,
}

impl Walk {
    /// Follows symlinks among the arguments, and only there. Arguments that do not exist are found like
    /// files: opening them says what is wrong.
    fn new(paths: Vec<OsString>) -> Self {
        let slashed = |mut path: OsString| {
            if path != "-" && Path::new(&path).is_dir() && !ends_with_slash(&path) {
                path.push("/");
            }
            Reverse(path)
        };
        let pending = paths.into_iter().map(slashed).collect();
        Walk { pending }
    }

    /// Reads a directory. An error does not lose what was read before and after it.
    fn enter(&mut self, dir: &OsStr) -> io::Result<()> {
        let mut outcome = Ok(());
        for entry in fs::read_dir(dir)? {
            outcome = outcome.and(entry.and_then(|entry| self.add(&entry)));
        }
        outcome
    }

    fn add(&mut self, entry: &DirEntry) -> io::Result<()> {
        let kind = entry.file_type()?;
        let mut path = entry.path().into_os_string();
        if kind.is_dir() {
            path.push("/");
        }
        if kind.is_dir() || kind.is_file() {
            self.pending.push(Reverse(path));
        }
        Ok(())
    }
}

impl Iterator for Walk {
    /// A file to be hashed, or a directory that could not be read.
    type Item = (OsString, io::Result<()>);

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(Reverse(path)) = self.pending.pop() {
            if !ends_with_slash(&path) {
                return Some((path, Ok(())));
            }
            if let Err(error) = self.enter(&path) {
                return Some((path, Err(error)));
            }
        }
        None
    }
}

fn ends_with_slash(path: &OsStr) -> bool {
    path.as_encoded_bytes().ends_with(b"/")
}

// ---- What one sees ------------------------------------------------------------------------------------

/// A bar that draws itself on stderr if that is a terminal, and does nothing otherwise.
fn progress_bar(paths: &[OsString], hashed: Arc<AtomicU64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
    if bar.is_hidden() {
        return bar;
    }
    let bytes = move |_: &ProgressState, out: &mut dyn fmt::Write| {
        let _ = write!(out, "{}", HumanBytes(hashed.load(Relaxed)));
    };
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len} files, {hashed} in {elapsed}")
        .expect("the template is well-formed")
        .with_key("hashed", bytes);
    bar.set_style(style);
    bar.enable_steady_tick(Duration::from_millis(100));
    // The walk that feeds the pool is never far ahead of it. The bar's length comes from a second walk
    // that only counts; it is soon done, and nobody waits for it.
    let (paths, total) = (paths.to_vec(), bar.clone());
    thread::spawn(move || {
        for (_, files) in Walk::new(paths).zip(1..) {
            total.set_length(files);
        }
    });
    bar
}

/// Digests to stdout, complaints to stderr, and the progress bar out of their way.
struct Report {
    out: BufWriter<StdoutLock<'static>>,
    /// Stdout is a terminal: each line goes out at once.
    live: bool,
    bar: ProgressBar,
    complained: bool,
}

impl Report {
    fn new(bar: ProgressBar) -> Self {
        let out = io::stdout().lock();
        Report {
            live: out.is_terminal(),
            out: BufWriter::new(out),
            bar,
            complained: false,
        }
    }

    /// Waits for a file's digest, and prints it or what went wrong.
    fn file(&mut self, InFlight { path, job }: InFlight) -> io::Result<()> {
        match job.map_err(JobError::Failed).and_then(JobHandle::wait) {
            Ok(digest) => self.print(&line(&path, &digest))?,
            Err(JobError::Failed(error)) => self.complain(&path, &reason(&error))?,
            Err(lost) => self.complain(&path, &lost)?,
        }
        self.bar.inc(1);
        Ok(())
    }

    fn print(&mut self, line: &[u8]) -> io::Result<()> {
        if !self.live {
            return self.out.write_all(line);
        }
        self.bar.suspend(|| {
            self.out.write_all(line)?;
            self.out.flush()
        })
    }

    /// Flushes stdout first: where both go to one file, complaints are in their place.
    fn complain(&mut self, path: &OsStr, why: &dyn fmt::Display) -> io::Result<()> {
        self.complained = true;
        self.out.flush()?;
        self.bar
            .suspend(|| say(&format_args!("{}: {why}", quoted(path))));
        Ok(())
    }
}

/// A line of GNU sha256sum. A name that would break the line is escaped, and a backslash at the very
/// beginning says so.
fn line(path: &OsStr, digest: &Output<Sha256>) -> Vec<u8> {
    let name = path.as_encoded_bytes();
    let mut line = Vec::new();
    if name.iter().any(|byte| b"\\\n\r".contains(byte)) {
        line.push(b'\\');
    }
    line.extend(format!("{digest:x}  ").bytes());
    for &byte in name {
        match byte {
            b'\\' => line.extend(br"\\"),
            b'\n' => line.extend(br"\n"),
            b'\r' => line.extend(br"\r"),
            plain => line.push(plain),
        }
    }
    line.push(b'\n');
    line
}

/// The system's words, without the number that Rust adds.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let number = error
        .raw_os_error()
        .map(|code| format!(" (os error {code})"));
    match number.and_then(|number| text.strip_suffix(&number)) {
        Some(words) => words.to_owned(),
        None => text,
    }
}

/// A name in a message, as a shell would take it back: if need be in `'…'`, and in that, much as GNU does
/// it, what cannot be printed as `'$'\n''`.
fn quoted(name: &OsStr) -> String {
    let plain = |c: char| c.is_alphanumeric() || "%+,-./@_".contains(c);
    if let Some(name) = name
        .to_str()
        .filter(|name| !name.is_empty() && name.chars().all(plain))
    {
        return name.to_owned();
    }
    let octal = |byte: u8| format!(r"'$'\{byte:03o}''");
    let mut text = String::new();
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\'' => text.push_str(r"'\''"),
                '\n' | '\r' | '\t' => text += &format!("'$'{}''", c.escape_default()),
                '\0'..' ' | '\x7f' => text += &octal(c as u8),
                c => text.push(c),
            }
        }
        text.extend(chunk.invalid().iter().map(|&byte| octal(byte)));
    }
    format!("'{text}'")
}
