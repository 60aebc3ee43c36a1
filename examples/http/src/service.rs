//! The service: `POST /work` takes a body and answers what some slow backend makes of it.
//!
//! The backend is scarce, as a database is: it has a few connections, and each of them is busy for a while
//! with each request. There are two ways to stand in line for it:
//!
//! * `pool`: each worker of a pool owns a connection. When its queue is full, a request is refused at once
//!   with 503 and `Retry-After`, and its body is dropped.
//! * `spawn`: each request gets a task of its own, which waits for a connection. Nothing bounds how many
//!   tasks there are, nor the bodies they hold.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header::RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use clap::{Args, ValueEnum};
use fanpool::{
    BuildError, JobContext, JobError, JobHandler, Pool, SubmitError, Submitter, handler_factory,
};
use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// How a server is set up.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// How requests wait for the backend
    #[arg(long, value_enum, default_value_t = Mode::Pool)]
    pub mode: Mode,

    /// Where to listen; port 0 takes any that is free
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 3000)))]
    pub listen: SocketAddr,

    #[command(flatten)]
    pub backend: Backend,
}

/// What both modes share, and the load has to know about.
#[derive(Args, Clone, Copy, Debug)]
pub struct Backend {
    /// How many connections the backend has, and the pool workers
    #[arg(long, default_value = "4")]
    pub connections: NonZeroUsize,

    /// How many milliseconds a connection is busy with one request
    #[arg(long, default_value_t = 20)]
    pub busy_ms: u64,

    /// How many requests the pool accepts beyond those it works on
    #[arg(long, default_value = "64")]
    pub queue: NonZeroUsize,
}

/// How requests wait for the backend.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In a pool's queue, or are refused
    Pool,
    /// In a task for each request
    Spawn,
}

// ---- The backend --------------------------------------------------------------------------------------

/// A connection to something slow. Takes one request at a time: hence `&mut self`.
struct Connection {
    busy: Duration,
}

impl Connection {
    async fn work(&mut self, body: &[u8]) -> String {
        tokio::time::sleep(self.busy).await;
        let sum: u64 = body.iter().map(|&byte| u64::from(byte)).sum();
        format!("{} bytes, sum {sum}\n", body.len())
    }
}

impl JobHandler<Bytes> for Connection {
    type Output = String;
    type Error = Infallible;

    async fn handle(&mut self, body: Bytes, _: &JobContext) -> Result<String, Infallible> {
        Ok(self.work(&body).await)
    }
}

// ---- With a pool --------------------------------------------------------------------------------------

type Workers = Submitter<Bytes, String, Infallible>;

/// Workers on the tokio runtime that serves the requests.
fn start_pool(backend: Backend) -> Result<Workers, BuildError> {
    let busy = Duration::from_millis(backend.busy_ms);
    let pool = Pool::builder(handler_factory(move |_worker| {
        Ok::<_, Infallible>(Connection { busy })
    }))
    .name("backend")
    .workers_per_dispatcher(backend.connections.get())
    .queue_capacity(backend.queue.get())
    .spawner(|worker| {
        tokio::spawn(worker);
    })
    .build()?;
    Ok(pool.submitter())
}

async fn with_pool(State(pool): State<Workers>, body: Bytes) -> Response {
    match pool.try_submit(body) {
        Ok(job) => match job.await {
            Ok(answer) => answer.into_response(),
            Err(JobError::Failed(never)) => match never {},
            Err(lost) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{lost}\n")).into_response(),
        },
        // The body goes with the refusal: nothing of it is kept.
        Err(SubmitError::Full(_body)) => refuse("the queue is full\n"),
        Err(_) => refuse("shutting down\n"),
    }
}

fn refuse(why: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], why).into_response()
}

// ---- With a task for each request ---------------------------------------------------------------------

#[derive(Clone)]
struct Connections {
    free: Arc<Semaphore>,
    busy: Duration,
}

async fn with_task(State(connections): State<Connections>, body: Bytes) -> Response {
    let task = tokio::spawn(async move {
        let _connection = connections.free.acquire().await;
        let busy = connections.busy;
        Connection { busy }.work(&body).await
    });
    match task.await {
        Ok(answer) => answer.into_response(),
        Err(lost) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{lost}\n")).into_response(),
    }
}

// ---- The server ---------------------------------------------------------------------------------------

/// Serves until Ctrl-C. Says on stdout where it listens.
///
/// # Errors
///
/// When the pool cannot be built, or the address cannot be listened at.
pub async fn serve(settings: Settings) -> io::Result<()> {
    let backend = settings.backend;
    let (app, pool) = match settings.mode {
        Mode::Pool => {
            let pool = start_pool(backend).map_err(io::Error::other)?;
            (app(with_pool, pool.clone()), Some(pool))
        }
        Mode::Spawn => {
            let connections = Connections {
                free: Arc::new(Semaphore::new(backend.connections.get())),
                busy: Duration::from_millis(backend.busy_ms),
            };
            (app(with_task, connections), None)
        }
    };
    let listener = TcpListener::bind(settings.listen).await?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    let interrupted = async {
        // Without it there is no graceful end, and still a server.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(interrupted)
        .await?;
    if let Some(pool) = pool {
        eprintln!("{}", pool.shutdown().await.counts);
    }
    Ok(())
}

fn app<T, S>(work: impl axum::handler::Handler<T, S>, state: S) -> Router
where
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    Router::new().route("/work", post(work)).with_state(state)
}
