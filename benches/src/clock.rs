//! Wall time and processor time, this program's and everybody else's.

use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::time::{Duration, Instant};

/// A moment.
#[derive(Clone, Copy)]
pub struct Moment {
    pub wall: Instant,
    /// Processor time of the whole program so far.
    cpu: Duration,
}

/// From one moment to another.
#[derive(Clone, Copy, Default)]
pub struct Span {
    pub wall: Duration,
    pub cpu: Duration,
}

impl Moment {
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Moment {
            wall: Instant::now(),
            cpu: Duration::try_from(time).expect("processor time is not negative"),
        }
    }

    pub fn since(self, earlier: Moment) -> Span {
        Span {
            wall: self.wall - earlier.wall,
            cpu: self.cpu.saturating_sub(earlier.cpu),
        }
    }
}

impl Span {
    /// One part of so many.
    pub fn each(self, parts: u64) -> Self {
        let each = |time: Duration| time.div_f64(parts as f64);
        Span {
            wall: each(self.wall),
            cpu: each(self.cpu),
        }
    }
}

/// Looks at what others make of the machine meanwhile.
pub struct Others {
    begun: Moment,
    busy: Option<f64>,
}

impl Others {
    pub fn watch() -> Self {
        Others {
            busy: machine_busy(),
            begun: Moment::now(),
        }
    }

    /// How many cores others kept busy since the watch began; includes what a hypervisor took away.
    pub fn cores(&self) -> Option<f64> {
        let busy = machine_busy()? - self.busy?;
        let span = Moment::now().since(self.begun);
        let others = busy - span.cpu.as_secs_f64();
        Some((others / span.wall.as_secs_f64()).max(0.0))
    }
}

/// Seconds that all cores together were busy since the machine started.
fn machine_busy() -> Option<f64> {
    /// `USER_HZ`, which is this on every Linux that matters.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let ticks: Vec<f64> = stat
        .lines()
        .next()?
        .split_whitespace()
        .skip(1)
        .map_while(|word| word.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal
    let [user, nice, system, _, _, irq, softirq, steal] = *ticks.first_chunk()?;
    Some((user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND)
}
