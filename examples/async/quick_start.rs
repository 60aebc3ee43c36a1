//! A pool in sync code, and one in async code: the two examples of the README.
//!
//! ```text
//! cargo run --example quick_start
//! ```
//!
//! What one sees:
//!
//! ```text
//! the squares of 1 to 10 add up to 385
//! Hello, world!
//! ```

use fanpool::{Pool, async_handler_fn, handler_fn};
use std::error::Error;

/// Workers on four threads; this thread submits and waits.
fn from_sync_code() -> Result<(), Box<dyn Error>> {
    let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, std::io::Error>(n * n)))
        .workers_per_dispatcher(4)
        .queue_capacity(100)
        .build()?;
    let handles: Vec<_> = (1..=10)
        .map(|n| pool.submit_blocking(n))
        .collect::<Result<_, _>>()?;
    let squares: Result<Vec<u64>, _> = handles.into_iter().map(|handle| handle.wait()).collect();
    let sum = squares?.iter().sum::<u64>();
    println!("the squares of 1 to 10 add up to {sum}");
    pool.shutdown_blocking();
    Ok(())
}

/// Workers on tokio, where this task lives, too.
async fn from_async_code() -> Result<(), Box<dyn Error>> {
    let pool = Pool::builder(async_handler_fn(|name: String| async move {
        Ok::<_, std::io::Error>(format!("Hello, {name}!"))
    }))
    .spawner(|worker| {
        tokio::spawn(worker);
    })
    .build()?;
    println!("{}", pool.run("world".into()).await?);
    pool.shutdown().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    from_sync_code()?;
    tokio::runtime::Runtime::new()?.block_on(from_async_code())
}
