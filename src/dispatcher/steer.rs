use super::{Dispatcher, Target, Workers};
use crate::job::Job;
use std::fmt;

/// Sends a job wherever a closure says.
///
/// A closure is a strategy by itself, but only with its argument types written out. Given to [`Steer::new`] it needs
/// none, or only the job's if it looks at the job's data. Costs what the closure costs.
///
/// ```
/// use fanpool::{Pool, Steer, Target, handler_fn};
///
/// // What is urgent to the first worker, which is kept free for it.
/// let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, std::io::Error>(n)))
///     .workers_per_dispatcher(4)
///     .dispatcher(|| {
///         Steer::new(|job, workers| {
///             let mut others = workers.iter().skip(1).filter(|worker| worker.has_room());
///             match if job.priority() > 0 { workers.get(0) } else { others.next() } {
///                 Some(worker) => Target::Worker(worker.id()),
///                 None => Target::Any,
///             }
///         })
///     })
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct Steer<F> {
    choose: F,
}

impl<F> Steer<F> {
    /// Creates a strategy from a closure. See [`Dispatcher`] for what the closure may do.
    pub fn new<J>(choose: F) -> Self
    where
        F: FnMut(&Job<J>, &Workers<'_>) -> Target,
    {
        Steer { choose }
    }
}

impl<J, F> Dispatcher<J> for Steer<F>
where
    F: FnMut(&Job<J>, &Workers<'_>) -> Target + Send + 'static,
{
    fn dispatch(&mut self, job: &Job<J>, workers: &Workers<'_>) -> Target {
        (self.choose)(job, workers)
    }
}

impl<F> fmt::Debug for Steer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steer").finish_non_exhaustive()
    }
}
