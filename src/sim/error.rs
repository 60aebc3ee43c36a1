//! Errors of a simulation.

use std::fmt;

/// Why a simulation cannot be run, or a trace cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum SimError {
    /// A setting is out of range.
    Setting {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// A line of a trace is malformed.
    Trace {
        /// Its number, from 1.
        line: usize,
        /// The line, or the part of it that is wrong.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A trace could not be read.
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Virtual time, counted in nanoseconds, exceeded 2^64 of them: 584 years.
    TimeOverflow {
        /// How many jobs had arrived by then.
        jobs: u64,
    },
}

impl SimError {
    pub(super) fn setting(
        setting: &'static str,
        value: impl fmt::Display,
        allowed: impl Into<String>,
    ) -> Self {
        SimError::Setting {
            setting,
            value: value.to_string(),
            allowed: allowed.into(),
        }
    }
}

impl fmt::Display for SimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SimError::Setting {
                setting,
                value,
                allowed,
            } => write!(f, "{setting} is {value}; allowed: {allowed}"),
            SimError::Trace {
                line,
                text,
                problem,
            } => write!(f, "line {line} of the trace, {text:?}: {problem}"),
            SimError::Read { path, source } => {
                write!(f, "cannot read the trace {}: {source}", path.display())
            }
            SimError::TimeOverflow { jobs } => write!(
                f,
                "virtual time went beyond 2^64 ns after {jobs} jobs; choose shorter services or a higher rate"
            ),
        }
    }
}

impl std::error::Error for SimError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SimError::Read { source, .. } => Some(source),
            _ => None,
        }
    }
}
