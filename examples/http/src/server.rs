//! The service by itself.
//!
//! ```text
//! cargo run --release --manifest-path examples/http/Cargo.toml        # or with: -- --mode spawn
//! curl --data-binary @README.md http://127.0.0.1:3000/work
//! ```
//!
//! The server prints where it listens, and curl what a worker made of the file after 20 ms:
//!
//! ```text
//! 5521 bytes, sum 474865
//! ```
//!
//! Ctrl-C ends it: what was accepted is answered first, and the pool's counts are printed.

use clap::Parser;
use service::{Settings, serve};

/// Answers POST /work, at the pace of a slow backend.
#[derive(Parser)]
#[command(name = "server")]
struct Cli {
    #[command(flatten)]
    settings: Settings,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    serve(Cli::parse().settings).await
}
