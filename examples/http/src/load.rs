//! Floods the service in both modes with more than it can serve, and watches its memory.
//!
//! ```text
//! cargo run --release --manifest-path examples/http/Cargo.toml --bin load
//! ```
//!
//! Half a minute later one sees a table: the server's resident memory second by second, flat with a pool,
//! growing as long as the load lasts with a task for each request; and what became of the requests.
//! `README.md` beside this crate has one, and says how it is measured.
//!
//! The load is open: requests come at a steady rate, each over a connection of its own, whether or not
//! earlier ones were answered, as those of many independent clients do. Linux only: the memory is read
//! from `/proc`.

use axum::body::Bytes;
use axum::http::{Request, StatusCode, header};
use clap::{Parser, Subcommand};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use service::{Backend, Mode, Settings, serve};
use std::error::Error;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, timeout_at};

/// Flood the service with a pool, then with a task for each request, and compare its memory.
#[derive(Parser)]
#[command(name = "load", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    server: Option<Server>,

    #[command(flatten)]
    load: Load,
}

#[derive(Subcommand)]
enum Server {
    /// What this program starts itself as: the service
    #[command(hide = true)]
    Serve(Settings),
}

#[derive(clap::Args, Clone, Copy)]
struct Load {
    /// Requests each second
    #[arg(long, default_value = "600")]
    rate: NonZeroU32,

    /// For how many seconds
    #[arg(long, default_value = "10")]
    seconds: NonZeroU32,

    /// How many seconds to go on watching after the last request
    #[arg(long, default_value_t = 3)]
    after: u32,

    /// The size of each request's body in KiB
    #[arg(long, default_value_t = 64)]
    body_kib: usize,

    /// How many requests may be unanswered at once; beyond that, none are made
    #[arg(long, default_value = "6000")]
    open: NonZeroUsize,

    #[command(flatten)]
    backend: Backend,
}

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    // Asked for before there are threads, and inherited by the server.
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(0);
    let cli = Cli::parse();
    let outcome = tokio::runtime::Runtime::new()
        .map_err(Failure::from)
        .and_then(|runtime| {
            runtime.block_on(async {
                match cli.server {
                    Some(Server::Serve(settings)) => Ok(serve(settings).await?),
                    None => compare(cli.load, files).await,
                }
            })
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn compare(mut load: Load, files: u64) -> Result<(), Failure> {
    // A connection is a file in each of the two programs, which have some others, too.
    let most = usize::try_from(files.saturating_sub(100)).unwrap_or(usize::MAX);
    load.open = load
        .open
        .min(NonZeroUsize::new(most).ok_or("too few files may be open")?);
    let backend = load.backend;
    println!(
        "{} requests/s of {} KiB for {} s, each over its own connection, at most {} open;\n\
         the backend has {} connections, each busy for {} ms with a request; the pool's queue holds {}.\n",
        load.rate,
        load.body_kib,
        load.seconds,
        load.open,
        backend.connections,
        backend.busy_ms,
        backend.queue,
    );
    let pool = flood(load, Mode::Pool).await?;
    let spawn = flood(load, Mode::Spawn).await?;
    print_table(load, &pool, &spawn);
    Ok(())
}

// ---- One flood ----------------------------------------------------------------------------------------

struct Flooded {
    memory: Memory,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    sent: u64,
    ok: u64,
    refused: u64,
    /// The connection failed, or the answer was none of those above.
    failed: u64,
    last_failure: Option<Failure>,
    unanswered: u64,
    /// Not made, since too many were open.
    held_back: u64,
}

async fn flood(load: Load, mode: Mode) -> Result<Flooded, Failure> {
    let (server, address) = start_server(load.backend, mode).await?;
    let pid = server.id().ok_or("the server ended")?;
    eprintln!("flooding {address}, mode {mode:?}, process {pid}");

    let start = Instant::now();
    let load_ends = start + Duration::from_secs(load.seconds.get().into());
    let end = load_ends + Duration::from_secs(load.after.into());
    let watch = tokio::spawn(watch(pid, end));
    let counts = send_requests(load, address, load_ends, end).await;
    let memory = watch.await??;
    Ok(Flooded { memory, counts })
}

/// Starts this program as a server, which is killed when it is dropped.
async fn start_server(backend: Backend, mode: Mode) -> Result<(Child, SocketAddr), Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    command.args(["--mode", if mode == Mode::Pool { "pool" } else { "spawn" }]);
    for (name, value) in [
        ("--connections", backend.connections.get() as u64),
        ("--busy-ms", backend.busy_ms),
        ("--queue", backend.queue.get() as u64),
    ] {
        command.args([name, &value.to_string()]);
    }
    let mut server = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = server.stdout.take().ok_or("the server has no stdout")?;
    let said = BufReader::new(stdout).lines().next_line().await?;
    let address = said.ok_or("the server did not start")?.parse()?;
    Ok((server, address))
}

async fn send_requests(load: Load, to: SocketAddr, load_ends: Instant, end: Instant) -> Counts {
    let body = Bytes::from(vec![b'x'; load.body_kib << 10]);
    let open = Arc::new(Semaphore::new(load.open.get()));
    let mut ticks = interval(Duration::from_secs(1) / load.rate.get());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut counts, mut requests) = (Counts::default(), JoinSet::new());
    while ticks.tick().await < load_ends {
        let Ok(place) = open.clone().try_acquire_owned() else {
            counts.held_back += 1;
            continue;
        };
        counts.sent += 1;
        let body = body.clone();
        requests.spawn(async move {
            let _place = place;
            request(to, body).await
        });
        while let Some(answered) = requests.try_join_next() {
            counts.answered(answered);
        }
    }
    while let Ok(Some(answered)) = timeout_at(end, requests.join_next()).await {
        counts.answered(answered);
    }
    counts.unanswered = requests.len() as u64;
    // The connections stay until the memory was looked at for the last time.
    tokio::time::sleep_until(end).await;
    requests.shutdown().await;
    counts
}

/// One client: connects, posts, and waits for the answer.
async fn request(to: SocketAddr, body: Bytes) -> Result<StatusCode, Failure> {
    let stream = TcpStream::connect(to).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::post("/work")
        .header(header::HOST, to.to_string())
        .header(header::CONNECTION, "close")
        .body(Full::new(body))?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        if status == StatusCode::SERVICE_UNAVAILABLE
            && !response.headers().contains_key(header::RETRY_AFTER)
        {
            return Err("503 without Retry-After".into());
        }
        response.into_body().collect().await?;
        Ok(status)
    };
    tokio::join!(exchange, connection).0
}

impl Counts {
    fn answered(&mut self, answer: Result<Result<StatusCode, Failure>, tokio::task::JoinError>) {
        match answer.map_err(Failure::from).and_then(|answer| answer) {
            Ok(StatusCode::OK) => self.ok += 1,
            Ok(StatusCode::SERVICE_UNAVAILABLE) => self.refused += 1,
            Ok(other) => self.fail(other.to_string().into()),
            Err(failure) => self.fail(failure),
        }
    }

    fn fail(&mut self, why: Failure) {
        self.failed += 1;
        self.last_failure = Some(why);
    }
}

// ---- The server's memory ------------------------------------------------------------------------------

const LOOKS_PER_SECOND: u32 = 20;

/// Resident memory in KiB, from the start on, `LOOKS_PER_SECOND` times a second.
struct Memory(Vec<u64>);

async fn watch(pid: u32, end: Instant) -> Result<Memory, Failure> {
    let mut seen = vec![resident(pid)?];
    let pause = Duration::from_secs(1) / LOOKS_PER_SECOND;
    let mut ticks = interval_at(Instant::now() + pause, pause);
    while ticks.tick().await < end {
        seen.push(resident(pid)?);
    }
    seen.push(resident(pid)?);
    Ok(Memory(seen))
}

fn resident(pid: u32) -> Result<u64, Failure> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kib.ok_or("no VmRSS of the server")?.parse()?)
}

impl Memory {
    fn start(&self) -> u64 {
        self.after(0)
    }

    fn after(&self, second: u32) -> u64 {
        let at = (second * LOOKS_PER_SECOND) as usize;
        self.0[at.min(self.0.len() - 1)]
    }

    fn peak(&self) -> u64 {
        self.0.iter().copied().max().unwrap_or(0)
    }

    fn end(&self) -> u64 {
        self.0.last().copied().unwrap_or(0)
    }
}

// ---- The table ----------------------------------------------------------------------------------------

fn print_table(load: Load, pool: &Flooded, spawn: &Flooded) {
    println!("{:28} {:>12} {:>20}", "", "pool", "a task per request");
    let memory = |what: &str, of: &dyn Fn(&Memory) -> u64| {
        let mib = |flooded: &Flooded| format!("{:.1}", of(&flooded.memory) as f64 / 1024.0);
        println!("{what:28} {:>12} {:>20}", mib(pool), mib(spawn));
    };
    memory("resident MiB, start", &Memory::start);
    for second in 1..=load.seconds.get() {
        memory(&format!("  after {second} s"), &|of| of.after(second));
    }
    memory("resident MiB, peak", &Memory::peak);
    let end = format!("resident MiB, {} s later", load.after);
    memory(&end, &Memory::end);
    let count = |what: &str, of: &dyn Fn(&Counts) -> u64| {
        let (pool, spawn) = (of(&pool.counts), of(&spawn.counts));
        println!("{what:28} {pool:>12} {spawn:>20}");
    };
    count("requests sent", &|of| of.sent);
    count("  200, with the result", &|of| of.ok);
    count("  503, try again later", &|of| of.refused);
    count("  not answered by the end", &|of| of.unanswered);
    count("  failed otherwise", &|of| of.failed);
    count("requests not made", &|of| of.held_back);
    for (mode, flooded) in [("pool", pool), ("a task per request", spawn)] {
        if let Some(failure) = &flooded.counts.last_failure {
            println!("the last failure with {mode}: {failure}");
        }
    }
}
