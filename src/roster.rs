//! Who works here: the life of each worker, from its spawn to its end.

use crate::error::FactoryError;
use crate::signal::{Listener, Signal};
use crate::sync::atomic::{AtomicUsize, Ordering::*};
use crate::sync::{Mutex, lock};
use crate::unwind::dispose;
use crate::worker::WorkerId;
use std::collections::{BTreeMap, BTreeSet};

/// A worker that is replaced this often without starting a job in between is given up.
const REPLACEMENTS: u32 = 3;

pub(crate) struct Roster {
    entries: Mutex<BTreeMap<WorkerId, Entry>>,
    /// How many entries have not left: a copy for readers that should not wait.
    live: AtomicUsize,
    changed: Signal,
}

#[derive(Debug)]
struct Entry {
    stage: Stage,
    /// Its future was dropped this often since it last started a job.
    replaced: u32,
    started_then: u64,
}

/// Where a worker is in its life.
#[derive(Debug, Clone)]
pub(crate) enum Stage {
    /// It has no handler yet.
    Starting,
    Ready,
    /// Its factory failed, and is asked again later.
    Failing(FactoryError),
    /// It is gone; with the error that kept it from ever coming back to work, if any.
    Left(Option<FactoryError>),
}

impl Roster {
    pub(crate) fn new(workers: impl Iterator<Item = WorkerId>) -> Self {
        let entries: BTreeMap<_, _> = workers
            .map(|worker| {
                let entry = Entry {
                    stage: Stage::Starting,
                    replaced: 0,
                    started_then: 0,
                };
                (worker, entry)
            })
            .collect();
        Roster {
            live: AtomicUsize::new(entries.len()),
            entries: Mutex::new(entries),
            changed: Signal::new(),
        }
    }

    pub(crate) fn live(&self) -> usize {
        self.live.load(SeqCst)
    }

    /// How many have no handler because their factory failed.
    pub(crate) fn failing(&self) -> usize {
        let entries = lock(&self.entries);
        let failing = |entry: &&Entry| matches!(entry.stage, Stage::Failing(_));
        entries.values().filter(failing).count()
    }

    pub(crate) fn listen(&self) -> Listener {
        self.changed.listen()
    }

    pub(crate) fn notify(&self) {
        self.changed.notify_all();
    }

    pub(crate) fn set(&self, worker: WorkerId, stage: Stage) {
        // The stage before has a foreign error, maybe: dropped after the lock.
        let mut stage = Some(stage);
        if let Some(entry) = lock(&self.entries).get_mut(&worker) {
            if !matches!(entry.stage, Stage::Left(_)) {
                stage = stage.map(|stage| std::mem::replace(&mut entry.stage, stage));
            }
        }
        dispose(stage);
        self.notify();
    }

    /// Nobody runs the worker: if it has no handler yet, that is why.
    pub(crate) fn give_up(&self, worker: WorkerId) {
        if let Some(entry) = lock(&self.entries).get_mut(&worker) {
            if matches!(entry.stage, Stage::Starting) {
                let why = "its task was dropped before it had one".into();
                entry.stage = Stage::Failing(FactoryError::new(worker, why));
            }
        }
    }

    /// The worker is gone. Answers how many are left, or `None` if it was gone before.
    pub(crate) fn leave(&self, worker: WorkerId) -> Option<usize> {
        let mut entries = lock(&self.entries);
        let entry = entries.get_mut(&worker)?;
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

    /// Whether a worker whose future was dropped may have a new one. `started`: jobs it has started.
    pub(crate) fn may_replace(&self, worker: WorkerId, started: u64) -> bool {
        let mut entries = lock(&self.entries);
        let Some(entry) = entries.get_mut(&worker) else {
            return false;
        };
        if entry.started_then != started {
            entry.started_then = started;
            entry.replaced = 0;
        }
        entry.replaced += 1;
        entry.replaced <= REPLACEMENTS
    }

    /// `Some` when the answer to "is everybody ready" is known: every worker has its handler, or one
    /// of them failed to get it.
    pub(crate) fn all_ready(&self) -> Option<Result<(), FactoryError>> {
        let entries = lock(&self.entries);
        let mut known = Some(Ok(()));
        for entry in entries.values() {
            match &entry.stage {
                Stage::Failing(error) | Stage::Left(Some(error)) => {
                    return Some(Err(error.clone()));
                }
                Stage::Starting => known = None,
                Stage::Ready | Stage::Left(None) => {}
            }
        }
        known
    }

    pub(crate) fn has_left(&self, worker: WorkerId) -> bool {
        lock(&self.entries)
            .get(&worker)
            .is_none_or(|entry| matches!(entry.stage, Stage::Left(_)))
    }

    /// How many dispatchers have a worker.
    pub(crate) fn dispatchers(&self) -> usize {
        lock(&self.entries)
            .iter()
            .filter(|(_, entry)| !matches!(entry.stage, Stage::Left(_)))
            .map(|(worker, _)| worker.dispatcher())
            .collect::<BTreeSet<_>>()
            .len()
    }

    /// Whether everybody has left, but for those that `exempt` names.
    pub(crate) fn all_left(&self, exempt: impl Fn(WorkerId) -> bool) -> bool {
        lock(&self.entries)
            .iter()
            .all(|(&worker, entry)| matches!(entry.stage, Stage::Left(_)) || exempt(worker))
    }
}
