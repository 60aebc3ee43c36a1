//! Foreign futures and errors, in boxes.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Any error, boxed: how a factory may fail.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;
