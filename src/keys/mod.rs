//! Keys: which jobs belong together, which desk they go to, which worker holds a key, and how many jobs of each key
//! wait.

pub(crate) mod affinity;
pub(crate) mod holders;
pub(crate) mod desks;
pub(crate) mod in_hand;
pub(crate) mod waiting;
