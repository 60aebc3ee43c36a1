//! What this process uses.

use rustix::param::page_size;
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::time::Duration;

/// Processor time of all its threads so far.
pub fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("processor time is not negative")
}

/// Bytes of its memory that are resident.
pub fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("this is a Linux with /proc");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    let pages: u64 = pages.expect("the second figure of statm");
    pages * page_size() as u64
}
