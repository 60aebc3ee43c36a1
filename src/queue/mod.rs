//! Tier 1: where accepted jobs wait until a desk draws them.

pub(crate) mod block;
pub(crate) mod envelope;
pub(crate) mod intake;
