//! Compiles and runs what `docs/writing-a-worker.md` shows.

/// The guide.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/writing-a-worker.md")]
struct Guide;
