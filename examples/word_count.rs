//! Counts words over many files: the most frequent ones, and how many there are in all, as `wc -w` counts.
//!
//! ```text
//! cargo run --release --example word_count -- --top 3 src/*.rs
//! cat src/*.rs | wc -w                                            # the same total
//! ```
//!
//! What one sees:
//!
//! ```text
//!     1590 {
//!     1423 }
//!     1343 ///
//! 37369 words, 7245 different, in 37 files
//! ```
//!
//! A word is what is between white space. What cannot be read is reported on stderr; the rest goes on, and
//! the exit status is 1.
//!
//! What is there to see of the library: each worker counts into a map of its own, the `&mut self` of its
//! handler, and takes no lock. When the pool is shut down, its handlers are dropped, and each merges its
//! map into that of all: one lock for each worker, not for each word.

#[path = "shared/message.rs"]
mod message;

use clap::Parser;
use fanpool::{JobContext, JobError, JobHandler, Pool, RunError, handler_factory};
use message::{quoted, reason};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

/// Print the most frequent words of all the files, and how many words there are.
#[derive(Parser)]
#[command(name = "word_count")]
struct Cli {
    #[arg(value_name = "FILE", required = true)]
    files: Vec<OsString>,

    /// How many of the most frequent words to print
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,

    /// How many threads count [default: the machine's parallelism]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let cli = Cli::parse();
    let of_all = Arc::new(Mutex::new(Words::default()));
    let counters = {
        let of_all = of_all.clone();
        handler_factory(move |_worker| Ok::<_, Infallible>(Counter::new(of_all.clone())))
    };
    let mut builder = Pool::builder(counters).name("word_count");
    if let Some(threads) = cli.threads {
        builder = builder.workers_per_dispatcher(threads.get());
    }
    let pool = builder.build()?;

    let (mut files, mut status) = (0, ExitCode::SUCCESS);
    // In order, and never more than a few files ahead.
    let outcomes = pool.map_blocking(cli.files.clone());
    for (file, outcome) in cli.files.iter().zip(outcomes) {
        match outcome {
            Ok(()) => files += 1,
            Err(error) => {
                status = ExitCode::FAILURE;
                match error {
                    RunError::Job(JobError::Failed(error)) => complain(file, &reason(&error)),
                    other => complain(file, &other),
                }
            }
        }
    }
    pool.shutdown_blocking();
    let words = std::mem::take(&mut *of_all.lock().unwrap_or_else(PoisonError::into_inner));
    print(cli.top, files, words)?;
    Ok(status)
}

fn complain(file: &OsStr, why: &dyn fmt::Display) {
    eprintln!("word_count: {}: {why}", quoted(file));
}

// ---- Counting -----------------------------------------------------------------------------------------

/// How often each word occurs.
type Words = HashMap<Vec<u8>, u64>;

/// Counts the words of one worker's files.
struct Counter {
    words: Words,
    line: Vec<u8>,
    of_all: Arc<Mutex<Words>>,
}

impl Counter {
    fn new(of_all: Arc<Mutex<Words>>) -> Self {
        Counter {
            words: Words::default(),
            line: Vec::new(),
            of_all,
        }
    }

    /// After an error, what was read before it is counted, as `wc` does it.
    fn count(&mut self, mut text: impl BufRead) -> io::Result<()> {
        loop {
            self.line.clear();
            if text.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(());
            }
            let words = self.line.split(|&byte| is_space(byte));
            for word in words.filter(|word| !word.is_empty()) {
                add(&mut self.words, word, 1);
            }
        }
    }
}

/// A job is a file. Its worker has a thread to itself, which may block in reads.
impl JobHandler<OsString> for Counter {
    type Output = ();
    type Error = io::Error;

    async fn handle(&mut self, file: OsString, _: &JobContext) -> io::Result<()> {
        self.count(BufReader::new(File::open(file)?))
    }
}

/// The worker's end.
impl Drop for Counter {
    fn drop(&mut self) {
        let mut of_all = self.of_all.lock().unwrap_or_else(PoisonError::into_inner);
        for (word, times) in self.words.drain() {
            add(&mut of_all, &word, times);
        }
    }
}

fn add(words: &mut Words, word: &[u8], times: u64) {
    match words.get_mut(word) {
        Some(count) => *count += times,
        None => {
            words.insert(word.to_vec(), times);
        }
    }
}

/// What C calls white space; Rust's ASCII white space lacks the vertical tab.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == b'\x0b'
}

// ---- What one sees ------------------------------------------------------------------------------------

/// The most frequent words, those of the same frequency in their bytes' order, and the totals.
fn print(top: usize, files: usize, words: Words) -> io::Result<()> {
    let (total, different) = (words.values().sum::<u64>(), words.len());
    let mut ranked: Vec<_> = words.into_iter().collect();
    ranked.sort_unstable_by(|(a, times_a), (b, times_b)| {
        (Reverse(times_a), a).cmp(&(Reverse(times_b), b))
    });
    let mut out = io::stdout().lock();
    for (word, times) in ranked.iter().take(top) {
        writeln!(out, "{times:>8} {}", String::from_utf8_lossy(word))?;
    }
    writeln!(
        out,
        "{total} words, {different} different, in {files} files"
    )
}
