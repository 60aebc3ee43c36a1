//! The roster: the life of each worker, from its spawn to its end.

use crate::handler::FactoryError;
use crate::id::WorkerId;
use crate::sync::atomic::{AtomicUsize, Ordering::*};
use crate::sync::panics::dispose;
use crate::sync::{Mutex, lock};
use crate::wait::signal::{Listener, Signal};
use std::collections::BTreeSet;

/// A worker replaced this often without starting a job in between is given up.
const REPLACEMENTS: u32 = 3;

pub(crate) struct Roster {
    /// All workers, dispatcher by dispatcher.
    entries: Mutex<Box<[Entry]>>,
    /// How many workers each dispatcher has.
    each: usize,
    /// How many entries have not left: a copy for readers that should not wait for the lock.
    live: AtomicUsize,
    changed: Signal,
}

#[derive(Debug)]
struct Entry {
    stage: Stage,
    /// How often its future was dropped since it last started a job.
    replaced: u32,
    started_then: u64,
}

#[derive(Debug, Clone)]
pub(crate) enum Stage {
    Starting,
    Ready,
    /// Its factory failed, and is asked again later.
    Failing(Box<FactoryError>),
    /// It is gone; with the error that kept it from coming back to work, if any.
    Left(Option<Box<FactoryError>>),
}

impl Roster {
    pub(crate) fn new(dispatchers: usize, each: usize) -> Self {
        let entry = |_| Entry {
            stage: Stage::Starting,
            replaced: 0,
            started_then: 0,
        };
        let entries: Box<[_]> = (0..dispatchers * each).map(entry).collect();
        Roster {
            live: AtomicUsize::new(entries.len()),
            entries: Mutex::new(entries),
            each,
            changed: Signal::new(),
        }
    }

    fn place(&self, worker: WorkerId) -> usize {
        worker.dispatcher() * self.each + worker.index()
    }

    fn worker(&self, place: usize) -> WorkerId {
        WorkerId::new(place / self.each, place % self.each)
    }

    pub(crate) fn live(&self) -> usize {
        self.live.load(SeqCst)
    }

    pub(crate) fn failing(&self) -> usize {
        let entries = lock(&self.entries);
        let failing = |entry: &&Entry| matches!(entry.stage, Stage::Failing(_));
        entries.iter().filter(failing).count()
    }

    pub(crate) fn listen(&self) -> Listener {
        self.changed.listen()
    }

    pub(crate) fn notify(&self) {
        self.changed.notify_all();
    }

    pub(crate) fn set(&self, worker: WorkerId, stage: Stage) {
        // The stage before may hold a foreign error, so it is dropped after the lock.
        let mut stage = Some(stage);
        {
            let entry = &mut lock(&self.entries)[self.place(worker)];
            if !matches!(entry.stage, Stage::Left(_)) {
                stage = stage.map(|stage| std::mem::replace(&mut entry.stage, stage));
            }
        }
        dispose(stage);
        self.notify();
    }

    /// Nobody runs the worker. If it has no handler yet, that is recorded as the reason.
    pub(crate) fn give_up(&self, worker: WorkerId) {
        let entry = &mut lock(&self.entries)[self.place(worker)];
        if matches!(entry.stage, Stage::Starting) {
            let why = "its task was dropped before it had one".into();
            entry.stage = Stage::Failing(Box::new(FactoryError::new(worker, why)));
        }
    }

    /// The worker is gone. Returns how many are left, or `None` if it was gone before.
    pub(crate) fn leave(&self, worker: WorkerId) -> Option<usize> {
        let mut entries = lock(&self.entries);
        let entry = &mut entries[self.place(worker)];
        let why = match &entry.stage {
            Stage::Left(_) => return None,
            Stage::Failing(error) => Some(error.clone()),
            Stage::Starting | Stage::Ready => None,
        };
        entry.stage = Stage::Left(why);
        let live = self.live.fetch_sub(1, SeqCst) - 1;
        drop(entries);
        Some(live)
    }

    /// Returns whether a worker whose future was dropped may have a new one. `started`: how many jobs it has started.
    pub(crate) fn may_replace(&self, worker: WorkerId, started: u64) -> bool {
        let mut entries = lock(&self.entries);
        let entry = &mut entries[self.place(worker)];
        if entry.started_then != started {
            entry.started_then = started;
            entry.replaced = 0;
        }
        entry.replaced += 1;
        entry.replaced <= REPLACEMENTS
    }

    /// `Some` once it is known whether all are ready: every worker has its handler, or one of them failed to get it.
    pub(crate) fn all_ready(&self) -> Option<Result<(), FactoryError>> {
        let entries = lock(&self.entries);
        let mut known = Some(Ok(()));
        for entry in entries.iter() {
            match &entry.stage {
                Stage::Failing(error) | Stage::Left(Some(error)) => {
                    return Some(Err((**error).clone()));
                }
                Stage::Starting => known = None,
                Stage::Ready | Stage::Left(None) => {}
            }
        }
        known
    }

    pub(crate) fn has_left(&self, worker: WorkerId) -> bool {
        let entry = &lock(&self.entries)[self.place(worker)];
        matches!(entry.stage, Stage::Left(_))
    }

    pub(crate) fn dispatchers(&self) -> usize {
        lock(&self.entries)
            .iter()
            .enumerate()
            .filter(|(_, entry)| !matches!(entry.stage, Stage::Left(_)))
            .map(|(place, _)| place / self.each)
            .collect::<BTreeSet<_>>()
            .len()
    }

    pub(crate) fn all_left(&self, exempt: impl Fn(WorkerId) -> bool) -> bool {
        lock(&self.entries)
            .iter()
            .enumerate()
            .all(|(place, entry)| {
                matches!(entry.stage, Stage::Left(_)) || exempt(self.worker(place))
            })
    }
}
