//! Files under paths, in bytewise order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

/// The files under some paths, lazily and in bytewise order.
///
/// Every path found and not visited yet waits in a heap, a directory's with a slash at its end. What a
/// directory holds sorts after that, and nothing else sorts between: so the least path is the next one,
/// across all arguments, and a directory is read only when its turn comes.
pub(crate) struct Walk {
    pending: BinaryHeap<Reverse<OsString>>,
}

impl Walk {
    /// Follows symlinks among the arguments, and only there. Arguments that do not exist are found like
    /// files: opening them says what is wrong.
    pub(crate) fn new(paths: Vec<OsString>) -> Self {
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
