//! Futures of the pool are `Send` for every way to make handlers: they are held across awaits in
//! tasks that may move between threads.

use fanpool::{
    BoxError, JobContext, JobHandler, JobHandlerFactory, Pool, Submitter, WorkerId,
    async_handler_fn, async_handler_fn_with, handler_factory, handler_fn, handler_fn_with,
};
use std::error::Error;
use std::io;
use std::time::Duration;

struct Own(u64);

impl JobHandler<u64> for Own {
    type Output = u64;
    type Error = io::Error;

    async fn handle(&mut self, job: u64, cx: &JobContext) -> Result<u64, io::Error> {
        self.0 += job;
        tokio::task::yield_now().await;
        assert!(!cx.is_cancelled());
        Ok(job + 1)
    }
}

struct OwnFactory;

impl JobHandlerFactory<u64> for OwnFactory {
    type Handler = Own;

    async fn create(&self, _: WorkerId) -> Result<Own, BoxError> {
        tokio::task::yield_now().await;
        Ok(Own(0))
    }
}

/// All waiting calls, in a task.
async fn in_a_task<H: JobHandlerFactory<u64>>(factory: H)
where
    H::Handler: JobHandler<u64, Output = u64, Error = io::Error>,
{
    let pool = Pool::builder(factory)
        .spawner(|worker| {
            tokio::spawn(worker);
        })
        .build()
        .unwrap();
    let task = tokio::spawn(async move {
        pool.ready().await.unwrap();
        let handle = pool.submit(1).await.unwrap();
        assert_eq!(handle.await.unwrap(), 2);
        pool.send(2).await.unwrap();
        assert_eq!(pool.run(3).await.unwrap(), 4);
        let handle = pool
            .submit_timeout(4, Duration::from_secs(60))
            .await
            .unwrap();
        assert_eq!(handle.await.unwrap(), 5);
        pool.join().await;
        let counts = pool.shutdown().await.counts;
        assert_eq!(counts.completed, 4);
        let _ = pool.shutdown_now().await;
        let _ = pool.shutdown_timeout(Duration::from_secs(60)).await;
    });
    task.await.unwrap();
}

/// The same in the types of each factory, without a generic in between.
macro_rules! inline {
    ($factory:expr) => {{
        let pool = Pool::builder($factory)
            .spawner(|worker| {
                tokio::spawn(worker);
            })
            .build()
            .unwrap();
        let submitter: Submitter<u64, u64, io::Error> = pool.submitter();
        tokio::spawn(async move {
            pool.ready().await.unwrap();
            assert_eq!(pool.submit(1).await.unwrap().await.unwrap(), 2);
            pool.send(2).await.unwrap();
            assert_eq!(pool.run(3).await.unwrap(), 4);
            let limit = Duration::from_secs(60);
            assert_eq!(
                pool.submit_timeout(4, limit).await.unwrap().await.unwrap(),
                5
            );
            pool.join().await;
            assert_eq!(pool.shutdown().await.counts.completed, 4);
            assert!(submitter.is_closed());
            let _ = submitter.shutdown_now().await;
            let _ = submitter.shutdown_timeout(limit).await;
        })
        .await
        .unwrap();
        in_a_task($factory).await;
    }};
}

fn fallible(_: WorkerId) -> Result<Own, Box<dyn Error + Send + Sync>> {
    Ok(Own(0))
}

pub(crate) fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        inline!(handler_fn(|n: u64| Ok(n + 1)));
        inline!(handler_fn_with(|n: u64, cx: &JobContext| {
            assert_eq!(cx.attempt(), 1);
            Ok(n + 1)
        }));
        inline!(async_handler_fn(|n: u64| async move {
            tokio::task::yield_now().await;
            Ok(n + 1)
        }));
        inline!(async_handler_fn_with(|n: u64, cx: JobContext| async move {
            tokio::task::yield_now().await;
            assert_eq!(cx.worker().dispatcher(), 0);
            Ok(n + 1)
        }));
        inline!(handler_factory(fallible));
        inline!(handler_factory(
            |_| -> Result<Own, Box<dyn Error + Send + Sync>> { Ok(Own(0)) }
        ));
        inline!(handler_factory(|_| Ok::<_, io::Error>(Own(0))));
        inline!(handler_factory(|_| Ok::<_, &'static str>(Own(0))));
        inline!(OwnFactory);
    });
}
