//! Time: the replaceable clock, and the timers of a pool.

pub mod clock;
pub(crate) mod timers;
