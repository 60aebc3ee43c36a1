//! Guides: how to choose a setup, how to move to this crate, and how to extend it.
//!
//! The same texts are in the folder `docs` of the repository. There they have their plots, which these
//! pages cannot show.
//!
//! | you want to | read |
//! |---|---|
//! | choose who gets a job, and in which order jobs run | [`choosing_a_dispatcher`] |
//! | replace another pool | [`coming_from`] |
//! | run workers on threads, tokio, smol or another executor | [`runtimes`] |
//! | put code around every job | [`writing_a_worker`] |

#[doc = include_str!("../docs/choosing-a-dispatcher.md")]
pub mod choosing_a_dispatcher {}

#[doc = include_str!("../docs/coming-from.md")]
pub mod coming_from {}

#[doc = include_str!("../docs/runtimes.md")]
pub mod runtimes {}

// Its code needs SQLite, so the package `examples/sqlite` compiles and runs it, and `cargo test` does not.
#[cfg_attr(not(doctest), doc = include_str!("../docs/writing-a-worker.md"))]
pub mod writing_a_worker {}
