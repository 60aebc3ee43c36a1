//! Time: the clock that can be replaced, and the timers of a pool.

pub mod clock;
pub(crate) mod timers;
