//! Job types that callers write without naming them.

use fanpool::{Pool, handler_fn};
use std::convert::Infallible;

type Task = Box<dyn FnOnce() -> u64 + Send>;

pub(crate) fn main() {
    let tasks = Pool::builder(handler_fn(|task: Task| Ok::<_, Infallible>(task())))
        .build()
        .unwrap();
    let text = String::from("four");
    let handle = tasks
        .submit_blocking(Box::new(move || text.len() as u64))
        .unwrap();
    assert_eq!(handle.wait().unwrap(), 4);
    assert_eq!(tasks.run_blocking(Box::new(|| 5)).unwrap(), 5);
    tasks.send_blocking(Box::new(|| 6)).unwrap();
    futures_lite::future::block_on(async {
        let seven = tasks.submit(Box::new(|| 7)).await.unwrap();
        assert_eq!(seven.await.unwrap(), 7);
    });
    drop(tasks.try_submit(Box::new(|| 8)));
    let _ = tasks.shutdown_blocking();

    let lengths = Pool::builder(handler_fn(|text: String| Ok::<_, Infallible>(text.len())))
        .build()
        .unwrap();
    let handle = lengths.submit_blocking("x".into()).unwrap();
    assert_eq!(handle.wait().unwrap(), 1);
    assert_eq!(lengths.run_blocking("xx".into()).unwrap(), 2);
    lengths.send_blocking("xxx".into()).unwrap();
    lengths.try_send("xxx".into()).unwrap();
    let _ = lengths.shutdown_blocking();
}
