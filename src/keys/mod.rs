//! Keys of jobs: which jobs belong together, which desk they go to, who holds a key, and how many of each wait.

pub(crate) mod affinity;
pub(crate) mod holders;
pub(crate) mod desks;
pub(crate) mod in_hand;
pub(crate) mod waiting;
