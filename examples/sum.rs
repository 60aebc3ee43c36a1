//! The sum of 1 to 10, with two dispatchers of five workers each, as `andy2046/pool` in Go has it.
//!
//! ```text
//! cargo run --example sum
//! ```
//!
//! What one sees, on stdout the sum alone, and on stderr who did how much of it, which differs from run
//! to run:
//!
//! ```text
//! worker 0.1 adds 27
//! worker 1.4 adds 28
//! 55
//! ```
//!
//! Each worker adds up its own jobs in a handler of its own, without a lock. At the end the pool drops the
//! handlers, and each adds its part to the total.

use fanpool::{JobContext, JobHandler, Pool, WorkerId, handler_factory};
use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

struct Adder {
    worker: WorkerId,
    part: u64,
    total: Arc<AtomicU64>,
}

impl JobHandler<u64> for Adder {
    type Output = ();
    type Error = Infallible;

    async fn handle(&mut self, n: u64, _: &JobContext) -> Result<(), Infallible> {
        self.part += n;
        Ok(())
    }
}

impl Drop for Adder {
    fn drop(&mut self) {
        if self.part > 0 {
            eprintln!("worker {} adds {}", self.worker, self.part);
            self.total.fetch_add(self.part, Relaxed);
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let total = Arc::new(AtomicU64::new(0));
    let of_all = total.clone();
    let pool = Pool::builder(handler_factory(move |worker| {
        Ok::<_, Infallible>(Adder {
            worker,
            part: 0,
            total: of_all.clone(),
        })
    }))
    .dispatchers(2)
    .workers_per_dispatcher(5)
    .build()?;
    for n in 1..=10 {
        pool.send_blocking(n)?;
    }
    // Runs what was sent, and joins the workers' threads: then all handlers are gone.
    pool.shutdown_blocking();
    println!("{}", total.load(Relaxed));
    Ok(())
}
