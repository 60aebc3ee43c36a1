//! What has happened in a program so far, and the first thing that was wrong with it.

use crate::sync::panics::{Panic, contain};
use std::fmt::Write;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// This many of the last steps are shown.
const SHOWN: usize = 40;

/// Clones are the same log.
#[derive(Clone)]
pub(super) struct Log {
    what: &'static str,
    seed: u64,
    entries: Arc<Mutex<Entries>>,
}

#[derive(Default)]
struct Entries {
    steps: Vec<String>,
    complaint: Option<String>,
    panics: u64,
}

impl Log {
    pub(super) fn new(what: &'static str, seed: u64) -> Self {
        Log {
            what,
            seed,
            entries: Arc::default(),
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn step(&self, step: String) {
        let entries = &mut *self.entries();
        // Later steps explain nothing.
        if entries.complaint.is_none() {
            entries.steps.push(step);
        }
    }

    /// Records a broken promise. Later complaints are ignored, because they may follow from the first.
    pub(super) fn complain(&self, complaint: String) {
        let entries = &mut *self.entries();
        if entries.complaint.is_none() {
            entries.complaint = Some(complaint);
        }
    }

    pub(super) fn has_complaint(&self) -> bool {
        self.entries().complaint.is_some()
    }

    pub(super) fn panics(&self) -> u64 {
        self.entries().panics
    }

    /// Calls foreign code. A panic is noted, and goes on.
    pub(super) fn guard<R>(&self, call: &str, act: impl FnOnce() -> R) -> R {
        contain(act).unwrap_or_else(|panic: Panic| {
            self.complain(format!(
                "it panicked in `{call}`: {panic}. (A pool bears that, and counts it in `Metrics::faults`.)"
            ));
            self.entries().panics += 1;
            resume_unwind(panic.into_inner())
        })
    }

    /// Checks what no strategy and no order can be blamed for.
    pub(super) fn expect(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds && !self.has_complaint() {
            let what = what();
            self.complain(format!(
                "{what}; this is a fault of fanpool's, please report it"
            ));
        }
    }

    /// Panics if there was a complaint.
    pub(super) fn close(&self) {
        let entries = self.entries();
        let Some(complaint) = &entries.complaint else {
            return;
        };
        let (what, seed) = (self.what, self.seed);
        let mut text = format!("{what} breaks its contract: {complaint}\nseed: {seed}, so far:\n");
        let skipped = entries.steps.len().saturating_sub(SHOWN);
        if skipped > 0 {
            let _ = writeln!(text, "  ({skipped} earlier steps)");
        }
        for step in &entries.steps[skipped..] {
            let _ = writeln!(text, "  {step}");
        }
        drop(entries);
        panic!("{text}");
    }
}
