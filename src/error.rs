//! Why a pool could not be built.

use crate::id::WorkerId;
use crate::spawner::SpawnError;
use std::error::Error;
use std::fmt;

/// An error from [`PoolBuilder::build`](crate::PoolBuilder::build).
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting is out of range.
    Setting {
        /// The method's name, of the builder or of a queue order.
        setting: &'static str,
        /// The value it was given.
        value: String,
        /// The values it allows.
        allowed: String,
    },
    /// A worker could not be spawned.
    Spawn {
        /// The worker.
        worker: WorkerId,
        /// The spawner's error.
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
            // The text of `source` is already part of this error's.
            BuildError::Spawn { source, .. } => source.source(),
        }
    }
}
