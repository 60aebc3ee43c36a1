//! Bounded channels with bare threads: what moving a job costs at least.

use super::{About, CAPACITY, Contender, Note, Sends};
use crate::work::Work;
use std::marker::PhantomData;
use std::sync::Once;
use std::thread::{self, JoinHandle};

pub struct Crossbeam<W> {
    sender: crossbeam_channel::Sender<u64>,
    threads: Vec<JoinHandle<()>>,
    _work: PhantomData<fn() -> W>,
}

impl<W: Work> Contender for Crossbeam<W> {
    const ABOUT: About = About {
        name: "crossbeam",
        package: "crossbeam-channel",
        notes: &[Note::Floor, Note::NoResult],
        used: "`bounded(1024)`, threads that `recv`",
    };

    fn build(workers: usize) -> Self {
        let (sender, receiver) = crossbeam_channel::bounded(CAPACITY);
        let threads = threads(workers, || {
            let receiver = receiver.clone();
            move || {
                while let Ok(job) = receiver.recv() {
                    W::run(job);
                }
            }
        });
        Crossbeam {
            sender,
            threads,
            _work: PhantomData,
        }
    }

    fn shut_down(self) {
        drop(self.sender);
        join(self.threads);
    }
}

impl<W: Work> Sends for Crossbeam<W> {
    type Sender = crossbeam_channel::Sender<u64>;

    fn sender(&self) -> Self::Sender {
        self.sender.clone()
    }

    fn send(sender: &Self::Sender, job: u64) {
        sender.send(job).expect("the threads receive");
    }
}

type CrossfireSender = crossfire::MTx<crossfire::mpmc::Array<u64>>;

pub struct Crossfire<W> {
    sender: CrossfireSender,
    threads: Vec<JoinHandle<()>>,
    _work: PhantomData<fn() -> W>,
}

impl<W: Work> Contender for Crossfire<W> {
    const ABOUT: About = About {
        name: "crossfire",
        package: "crossfire",
        notes: &[Note::Floor, Note::NoResult],
        used: "`mpmc::bounded_blocking(1024)` after `detect_backoff_cfg`, threads that `recv`",
    };

    fn build(workers: usize) -> Self {
        // Its documentation recommends this at the start of a program, for machines with few cores.
        static BACKOFF: Once = Once::new();
        BACKOFF.call_once(crossfire::detect_backoff_cfg);

        let (sender, receiver) = crossfire::mpmc::bounded_blocking(CAPACITY);
        let threads = threads(workers, || {
            let receiver = receiver.clone();
            move || {
                while let Ok(job) = receiver.recv() {
                    W::run(job);
                }
            }
        });
        Crossfire {
            sender,
            threads,
            _work: PhantomData,
        }
    }

    fn shut_down(self) {
        drop(self.sender);
        join(self.threads);
    }
}

impl<W: Work> Sends for Crossfire<W> {
    type Sender = CrossfireSender;

    fn sender(&self) -> Self::Sender {
        self.sender.clone()
    }

    fn send(sender: &Self::Sender, job: u64) {
        sender.send(job).expect("the threads receive");
    }
}

fn threads<F>(count: usize, run: impl Fn() -> F) -> Vec<JoinHandle<()>>
where
    F: FnOnce() + Send + 'static,
{
    (0..count).map(|_| thread::spawn(run())).collect()
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("no job panics");
    }
}
