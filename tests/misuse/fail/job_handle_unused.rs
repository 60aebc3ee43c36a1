#![deny(unused_must_use)]

use fanpool::{Pool, handler_fn};

fn main() {
    let pool = Pool::builder(handler_fn(|job: u64| Ok::<u64, String>(job)))
        .build()
        .unwrap();
    pool.submit_blocking(1).unwrap();
    pool.try_send(2).unwrap();
    let _ = pool.shutdown_blocking();
}
