//! A pool of threads that hash files.

use fanpool::{BuildError, JobContext, JobHandle, JobHandler, Pool, Submitter, handler_factory};
use sha2::{Digest, Sha256, digest::Output};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::available_parallelism;

/// How many files may be submitted and not printed yet. While a large file is at the head of the window,
/// the other workers get so far ahead of it, and no further.
const WINDOW: usize = 512;

/// Each worker reads files in pieces of this size.
const PIECE: usize = 64 * 1024;

/// What a file's bytes come to.
pub(crate) type Sum = Output<Sha256>;

/// A pool of hashers, without the type of its factory.
pub(crate) type Hashers = Submitter<OsString, Sum, io::Error>;

/// Threads, since hashers block in reads. `hashed` is how many bytes they have read so far.
pub(crate) fn start_pool(
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

    fn digest(&mut self, mut source: impl Read) -> io::Result<Sum> {
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
    type Output = Sum;
    type Error = io::Error;

    async fn handle(&mut self, path: OsString, _: &JobContext) -> io::Result<Sum> {
        if path == "-" {
            self.digest(io::stdin().lock())
        } else {
            self.digest(File::open(path)?)
        }
    }
}

// ---- The window ---------------------------------------------------------------------------------------

/// Files that were submitted and not printed yet, in order.
#[derive(Default)]
pub(crate) struct Window {
    files: VecDeque<InFlight>,
    /// Everything up to the last file is to be printed before the next one is submitted.
    barrier: bool,
}

/// A file that was submitted, or could not be.
pub(crate) struct InFlight {
    pub(crate) path: OsString,
    pub(crate) job: io::Result<JobHandle<Sum, io::Error>>,
}

impl Window {
    pub(crate) fn push(&mut self, path: OsString, job: io::Result<JobHandle<Sum, io::Error>>) {
        // Standard input has one reader at a time: of two `-`, the first gets it all.
        self.barrier = path == "-";
        self.files.push_back(InFlight { path, job });
    }

    /// The file to be printed before another one is submitted, if need be.
    pub(crate) fn due(&mut self) -> Option<InFlight> {
        let room = if self.barrier { 0 } else { WINDOW };
        let is_due = self.files.len() > room || self.files.front().is_some_and(InFlight::is_over);
        if is_due { self.next() } else { None }
    }
}

/// What is left, at the end.
impl Iterator for Window {
    type Item = InFlight;

    fn next(&mut self) -> Option<InFlight> {
        self.files.pop_front()
    }
}

impl InFlight {
    fn is_over(&self) -> bool {
        self.job.as_ref().map_or(true, JobHandle::is_finished)
    }
}
