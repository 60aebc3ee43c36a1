//! Executors on threads of their own, for tasks of clients and for workers.

use smol::channel::{Receiver, Sender, bounded};
use smol::{Executor, future};
use std::future::Future;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// A handle to an executor: its clones are the same one.
pub trait Runtime: Clone + Send + Sync + 'static {
    const NAME: &'static str;

    /// With the means to end it.
    fn start(threads: usize) -> (Self, Running<Self>);

    /// The task runs at once; if the answer is dropped, it may be cancelled.
    fn spawn<F>(&self, task: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future<Output: Send> + Send + 'static;

    /// The task runs to its end.
    fn detach<F>(&self, task: F)
    where
        F: Future<Output: Send> + Send + 'static;
}

/// The threads of an executor, and what ends them.
pub struct Running<R> {
    runtime: R,
    end: Box<dyn FnOnce()>,
}

impl<R: Runtime> Running<R> {
    /// Waits on this thread for a task that runs on the others.
    pub fn wait<F>(&self, task: F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        future::block_on(self.runtime.spawn(task))
    }

    /// Tasks that are left are dropped.
    pub fn end(self) {
        (self.end)();
    }
}

#[derive(Clone)]
pub struct Tokio(tokio::runtime::Handle);

impl Runtime for Tokio {
    const NAME: &'static str = "tokio";

    fn start(threads: usize) -> (Self, Running<Self>) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()
            .expect("the system has threads");
        let handle = Tokio(runtime.handle().clone());
        let running = Running {
            runtime: handle.clone(),
            end: Box::new(move || drop(runtime)),
        };
        (handle, running)
    }

    fn spawn<F>(&self, task: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let task = self.0.spawn(task);
        async { task.await.expect("no task panics") }
    }

    fn detach<F>(&self, task: F)
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.0.spawn(task);
    }
}

impl Tokio {
    /// For what wants to be called inside.
    pub fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.0.enter()
    }
}

/// smol's executor on several threads, each in smol's `block_on`, as those of its global one are.
#[derive(Clone)]
pub struct Smol(Arc<Executor<'static>>);

impl Runtime for Smol {
    const NAME: &'static str = "smol";

    fn start(threads: usize) -> (Self, Running<Self>) {
        let executor = Arc::new(Executor::new());
        let (stop, stopped): (Sender<()>, Receiver<()>) = bounded(1);
        let threads: Vec<JoinHandle<()>> = (0..threads)
            .map(|_| {
                let (executor, stopped) = (executor.clone(), stopped.clone());
                thread::spawn(move || {
                    // An error: the sender is gone.
                    let _ = smol::block_on(executor.run(stopped.recv()));
                })
            })
            .collect();
        let runtime = Smol(executor);
        let running = Running {
            runtime: runtime.clone(),
            end: Box::new(move || {
                drop(stop);
                for thread in threads {
                    thread.join().expect("no task panics");
                }
            }),
        };
        (runtime, running)
    }

    fn spawn<F>(&self, task: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.0.spawn(task)
    }

    fn detach<F>(&self, task: F)
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.0.spawn(task).detach();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs_tasks<R: Runtime>() {
        let (runtime, running) = R::start(2);
        let (sender, receiver) = bounded(1);
        runtime.detach(async move { sender.send(3).await });
        let inner = runtime.clone();
        let sum = running.wait(async move { inner.spawn(async { 4 }).await + 5 });
        assert_eq!(sum, 9);
        assert_eq!(receiver.recv_blocking(), Ok(3));
        running.end();
    }

    #[test]
    fn tokio_runs_tasks() {
        runs_tasks::<Tokio>();
    }

    #[test]
    fn smol_runs_tasks() {
        runs_tasks::<Smol>();
    }
}
