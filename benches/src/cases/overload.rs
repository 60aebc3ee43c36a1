//! More requests than a slow service can answer: the memory over time.

use crate::process::resident;
use crate::say::say;
use clap::{Args, ValueEnum};
use fanpool::{Pool, async_handler_fn};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The bytes of a request's body.
const BODY: usize = 1024;

#[derive(Args)]
pub struct Arguments {
    way: Way,

    /// Requests of all producers together
    #[arg(long)]
    requests: u64,

    /// Tasks that make requests as fast as they can
    #[arg(long)]
    producers: u64,

    /// How many requests the service answers at once
    #[arg(long)]
    width: usize,

    /// How long it takes for one
    #[arg(long)]
    service_microseconds: u64,

    /// Between two samples
    #[arg(long)]
    sample_milliseconds: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Way {
    /// Through a pool with as many workers as the service has room for
    Pool,
    /// A task for each request
    Spawn,
}

/// A service that others share: it answers so many requests at once, the others wait for it.
struct Service {
    room: Semaphore,
    time: Duration,
    answered: AtomicU64,
}

struct Request {
    _body: Vec<u8>,
}

impl Request {
    fn new() -> Self {
        // Written to, so that it is resident.
        Request {
            _body: vec![1; BODY],
        }
    }
}

impl Service {
    async fn answer(&self, request: Request) {
        let room = self.room.acquire().await.expect("it is never closed");
        tokio::time::sleep(self.time).await;
        drop((room, request));
        self.answered.fetch_add(1, Relaxed);
    }
}

pub fn measure(arguments: &Arguments) {
    let service = Arc::new(Service {
        room: Semaphore::new(arguments.width),
        time: Duration::from_micros(arguments.service_microseconds),
        answered: AtomicU64::new(0),
    });
    let made = Arc::new(AtomicU64::new(0));
    let runtime = super::workers::runtime(2);
    let _inside = runtime.enter();
    let pause = Duration::from_millis(arguments.sample_milliseconds);
    let sampler = thread::spawn({
        let (service, made, requests) = (service.clone(), made.clone(), arguments.requests);
        move || sample(&service, &made, requests, pause)
    });
    match arguments.way {
        Way::Pool => {
            let service = service.clone();
            let pool = Pool::builder(async_handler_fn(move |request: Request| {
                let service = service.clone();
                async move {
                    service.answer(request).await;
                    Ok::<_, Infallible>(())
                }
            }))
            .workers_per_dispatcher(arguments.width)
            .spawner(|worker| {
                tokio::spawn(worker);
            })
            .build()
            .expect("the settings are allowed");
            let submitter = pool.submitter();
            runtime.block_on(produce(arguments, made, move |request| {
                let pool = submitter.clone();
                async move { pool.send(request).await.expect("the pool is open") }
            }));
            let counts = pool.shutdown_blocking().counts;
            assert_eq!(counts.completed, arguments.requests);
        }
        Way::Spawn => runtime.block_on(produce(arguments, made, move |request| {
            let service = service.clone();
            tokio::spawn(async move { service.answer(request).await });
            async {}
        })),
    }
    sampler.join().expect("the sampler does not panic");
}

/// Has every producer make its requests, each after the one before was taken.
async fn produce<F>(
    arguments: &Arguments,
    made: Arc<AtomicU64>,
    take: impl Fn(Request) -> F + Clone + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let share = arguments.requests / arguments.producers;
    let mut producers = JoinSet::new();
    for _ in 0..arguments.producers {
        let (made, take) = (made.clone(), take.clone());
        producers.spawn(async move {
            for _ in 0..share {
                take(Request::new()).await;
                made.fetch_add(1, Relaxed);
            }
        });
    }
    while let Some(ended) = producers.join_next().await {
        ended.expect("no producer panics");
    }
}

/// Says at each look: seconds, resident bytes, requests that were taken, and those that were answered.
fn sample(service: &Service, made: &AtomicU64, requests: u64, pause: Duration) {
    let begun = Instant::now();
    loop {
        let resident = resident();
        // In this order, so that what was answered in between does not count as waiting.
        let made = made.load(Relaxed);
        let answered = service.answered.load(Relaxed);
        let seconds = begun.elapsed().as_secs_f64();
        say(
            "sample",
            &[seconds, resident as f64, made as f64, answered as f64],
        );
        if answered == requests {
            return;
        }
        thread::sleep(pause);
    }
}
