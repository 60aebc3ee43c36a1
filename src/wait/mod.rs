//! How threads and tasks wait and are woken. Knows nothing of pools.

pub(crate) mod current;
pub(crate) mod spin;
pub(crate) mod park;
pub(crate) mod self_waits;
pub(crate) mod signal;
