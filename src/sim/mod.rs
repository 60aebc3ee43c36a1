//! A simulator: runs a pool's own desk, dispatcher and queue order under virtual time.
//!
//! It runs the code of a live pool, not a model of it; only the time that jobs take is simulated. It shows how a
//! strategy of your own behaves with a thousand workers and a million jobs, within seconds, on a laptop.
//!
//! ```
//! use fanpool::LeastBusy;
//! use fanpool::sim::{Arrivals, Depth, Service, Simulation};
//!
//! let report = Simulation::new()
//!     .workers(8)
//!     .dispatcher(LeastBusy::new)
//!     .depth(Depth::Unbounded)
//!     .arrivals(Arrivals::poisson())
//!     .service(Service::bimodal((1.0, 0.9), (20.0, 0.1)))
//!     .load(0.8)
//!     .jobs(20_000)
//!     .seed(7)
//!     .run()?;
//! println!("{report}");
//! assert_eq!(report.jobs, 20_000);
//! assert!((report.utilisation - 0.8).abs() < 0.1);
//! # Ok::<(), fanpool::sim::SimError>(())
//! ```
//!
//! # What is simulated
//!
//! One dispatcher with its workers, as in a pool with [`dispatchers(1)`](crate::PoolBuilder::dispatchers), on an
//! executor that polls them at once and has nothing else to do. Dispatching, waking and taking cost no time, and the
//! jobs' time is given; so for jobs that run for microseconds, a live pool is slower by its own costs. Workers do not
//! fail.
//!
//! # Time
//!
//! Time is virtual, in seconds, and counted in nanoseconds. With services of mean 1, as all but [`Service::bimodal`]
//! and traces have, figures are in units of the mean service time, as in the literature; otherwise divide by
//! [`Report::mean_service`].
//!
//! # Repeatable
//!
//! The same settings give the same report, to the byte and on every machine: the generator (xoshiro256**) and the
//! logarithms are our own. The streams of arrival times, service times, keys, classes and deadlines are independent of
//! each other, of the strategy and of the order, so strategies and orders are compared on the same jobs.
//!
//! # Traces
//!
//! A [`Trace`] is a recorded workload. It gives the arrivals, the service times, or both.

mod arrivals;
mod classes;
mod error;
mod events;
mod keys;
mod math;
mod report;
mod run;
mod service;
mod settings;
mod shares;
mod tally;
mod trace;

pub use arrivals::Arrivals;
pub use classes::{Classes, Deadline};
pub use error::SimError;
pub use keys::Keys;
pub use report::{ClassReport, Distribution, KeyReport, Report, Start, jain_index, max_min_shares};
pub use service::Service;
pub use settings::{Depth, Simulation};
pub use trace::{Recorded, Trace};

use events::ticks;
use std::time::Duration;

/// A simulated job, as strategies and queue orders see it in [`Job::data`](crate::Job::data).
///
/// A strategy or order that reads [`service`](Self::service) knows more than it would of a live job.
#[derive(Debug)]
pub struct SimJob {
    number: u64,
    /// In ticks.
    arrived: u64,
    service: u64,
    class: usize,
}

impl SimJob {
    /// Returns its number in order of arrival, from 1, as [`JobId::get`](crate::JobId::get).
    pub fn number(&self) -> u64 {
        self.number + 1
    }

    /// Returns when it came, since the start of the simulation.
    pub fn arrived(&self) -> Duration {
        Duration::from_nanos(self.arrived)
    }

    /// Returns how long it runs on a worker of speed 1.
    pub fn service(&self) -> Duration {
        Duration::from_nanos(self.service)
    }

    /// Returns its class, as in [`Classes`]; 0 if there are none.
    pub fn class(&self) -> usize {
        self.class
    }
}
