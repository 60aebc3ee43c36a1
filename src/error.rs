//! Why a pool could not be built.

use crate::id::WorkerId;
use crate::spawner::SpawnError;
use std::error::Error;
use std::fmt;

/// Why a pool could not be built.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting is out of range.
    Setting {
        /// The builder's method, or a queue order's.
        setting: &'static str,
        /// What it was given.
        value: String,
        /// What it takes.
        allowed: String,
    },
    /// A worker could not be spawned.
    Spawn {
        /// The worker.
        worker: WorkerId,
        /// What the spawner said.
        source: SpawnError,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Setting {
                setting,
                value,
                allowed,
            } => write!(f, "{setting} is {value}, allowed is {allowed}"),
            BuildError::Spawn { worker, source } => {
                write!(f, "worker {worker} could not be spawned: {source}")
            }
        }
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            BuildError::Setting { .. } => None,
            // Its own text is part of this one's.
            BuildError::Spawn { source, .. } => source.source(),
        }
    }
}
