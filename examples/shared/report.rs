//! What one sees of `sha256sum`: sums, complaints, a progress bar, and the exit status.

use crate::hasher::Sum;
use crate::message::{quoted, reason};
use crate::walk::Walk;
use fanpool::JobError;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// What a shell reports for a program that died of SIGPIPE, as GNU `sha256sum | head` does. Rust programs
/// ignore that signal and get an error from the write instead.
const BROKEN_PIPE: u8 = 128 + 13;

pub(crate) fn fail(why: &dyn fmt::Display) -> ExitCode {
    say(why);
    ExitCode::FAILURE
}

fn say(what: &dyn fmt::Display) {
    // If stderr is gone, the exit status has to do.
    let _ = writeln!(io::stderr(), "sha256sum: {what}");
}

/// Digests to stdout, complaints to stderr, and the progress bar out of their way.
pub(crate) struct Report {
    out: BufWriter<StdoutLock<'static>>,
    /// Stdout is a terminal: each line goes out at once.
    live: bool,
    bar: ProgressBar,
    complained: bool,
}

impl Report {
    /// On all files under `paths`; `hashed` is how many bytes of them have been hashed so far.
    pub(crate) fn new(paths: &[OsString], hashed: Arc<AtomicU64>) -> Self {
        let out = io::stdout().lock();
        Report {
            live: out.is_terminal(),
            out: BufWriter::new(out),
            bar: progress_bar(paths, hashed),
            complained: false,
        }
    }

    /// Prints a file's digest, or what went wrong.
    pub(crate) fn file(
        &mut self,
        path: &OsStr,
        outcome: Result<Sum, JobError<io::Error>>,
    ) -> io::Result<()> {
        match outcome {
            Ok(digest) => self.print(&line(path, &digest))?,
            Err(JobError::Failed(error)) => self.complain(path, &reason(&error))?,
            Err(lost) => self.complain(path, &lost)?,
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

    /// The exit status. What was `written` is an error only if stdout could not take it.
    pub(crate) fn end(mut self, written: io::Result<()>) -> ExitCode {
        let written = written.and_then(|()| self.out.flush());
        self.bar.finish_and_clear();
        match written {
            Ok(()) if self.complained => ExitCode::FAILURE,
            Ok(()) => ExitCode::SUCCESS,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(BROKEN_PIPE),
            Err(error) => fail(&format_args!("write error: {}", reason(&error))),
        }
    }
}

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

/// A line of GNU sha256sum. A name that would break the line is escaped, and a backslash at the very
/// beginning says so.
fn line(path: &OsStr, digest: &Sum) -> Vec<u8> {
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
