//! Pools and their parts as fields, with no more bounds than the types themselves ask for.

use fanpool::{
    CancelHandle, DrainGuard, JobHandle, JobHandler, JobHandlerFactory, Pool, RunError,
    ShutdownReport, SubmitError, Submitter, WeakPool, WeakSubmitter, handler_fn,
};
use std::convert::Infallible;
use std::error::Error;

#[derive(Clone, Debug)]
struct Service<J, H: JobHandlerFactory<J>> {
    pool: Pool<J, H>,
    weak: WeakPool<J, H>,
}

impl<J, H: JobHandlerFactory<J>> Service<J, H> {
    fn new(pool: Pool<J, H>) -> Self {
        let weak = pool.downgrade();
        Service { pool, weak }
    }

    fn again(&self) -> Option<Pool<J, H>> {
        self.weak.upgrade()
    }
}

impl<J, H> Service<J, H>
where
    J: Send + 'static,
    H: JobHandlerFactory<J>,
{
    fn ask(
        &self,
        job: J,
    ) -> Result<
        <H::Handler as JobHandler<J>>::Output,
        RunError<J, <H::Handler as JobHandler<J>>::Error>,
    > {
        self.pool.run_blocking(job)
    }
}

/// Without the factory's type, and without any bound.
#[derive(Clone, Debug)]
struct Client<J, T, E> {
    pool: Submitter<J, T, E>,
    weak: WeakSubmitter<J, T, E>,
}

#[derive(Debug)]
struct Ticket<T, E> {
    handle: JobHandle<T, E>,
    cancel: CancelHandle,
}

#[derive(Debug)]
struct Leftovers<J> {
    report: Option<ShutdownReport<J>>,
    refused: Option<SubmitError<J>>,
}

/// Errors go through `?`, with or without the job's type being printable.
struct Opaque;

fn question_mark() -> Result<(), Box<dyn Error>> {
    let pool = Pool::builder(handler_fn(|_: Opaque| Ok::<_, std::io::Error>(7))).build()?;
    pool.ready_blocking()?;
    let seven: i32 = pool.submit_blocking(Opaque)?.wait()?;
    assert_eq!(seven + pool.run_blocking(Opaque)?, 14);
    pool.send_blocking(Opaque)?;
    let _guard: DrainGuard<Opaque, i32, std::io::Error> = pool.drain_on_drop();
    Ok(())
}

fn question_mark_between_threads() -> Result<(), Box<dyn Error + Send + Sync>> {
    let pool =
        Pool::builder(handler_fn(|n: u8| n.checked_add(1).ok_or(std::fmt::Error))).build()?;
    pool.ready_blocking()?;
    assert_eq!(pool.run_blocking(1)?, 2);
    pool.send_blocking(1)?;
    assert_eq!(pool.submit_blocking(2)?.wait()?, 3);
    let _ = pool.shutdown_blocking();
    Ok(())
}

pub(crate) fn main() {
    let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, Infallible>(n + 1)))
        .build()
        .unwrap();
    let client = Client {
        pool: pool.submitter(),
        weak: pool.submitter().downgrade(),
    };
    let service = Service::new(pool);
    assert_eq!(service.clone().ask(1).unwrap(), 2);
    assert!(service.again().is_some());
    let handle = client.pool.submit_blocking(3).unwrap();
    let ticket = Ticket {
        cancel: handle.cancel_handle(),
        handle,
    };
    assert_eq!(ticket.cancel.id(), ticket.handle.id());
    assert_eq!(ticket.handle.wait().unwrap(), 4);
    assert!(client.weak.upgrade().is_some());
    let mut leftovers = Leftovers {
        report: Some(client.pool.shutdown_blocking()),
        refused: None,
    };
    leftovers.refused = client.pool.try_send(5).err();
    assert!(leftovers.refused.is_some_and(|refused| refused.is_closed()));
    assert!(
        leftovers
            .report
            .is_some_and(|report| report.unrun.is_empty())
    );
    question_mark().unwrap();
    question_mark_between_threads().unwrap();
}
