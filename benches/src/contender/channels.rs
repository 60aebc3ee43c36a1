//! Bounded channels with bare threads: what moving a job costs at least.

use super::{About, CAPACITY, Contender, Note, Sends};
use crate::work::Work;
use std::marker::PhantomData;
use std::sync::Once;
use std::thread::{self, JoinHandle};

pub type Crossfire<W> = Bare<CrossfireChannel, W>;
pub type Crossbeam<W> = Bare<CrossbeamChannel, W>;
pub type Kanal<W> = Bare<KanalChannel, W>;
pub type Flume<W> = Bare<FlumeChannel, W>;

/// A channel and threads that receive from it.
pub struct Bare<C: Channel, W> {
    sender: C::Sender,
    threads: Vec<JoinHandle<()>>,
    _work: PhantomData<fn() -> W>,
}

/// A bounded channel with many senders and many receivers.
pub trait Channel: 'static {
    const ABOUT: About;
    type Sender: Clone + Send + Sync;
    type Receiver: Clone + Send + 'static;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver);

    /// Blocks while there is no room.
    fn send(sender: &Self::Sender, job: u64);

    /// `None`: all senders are gone.
    fn receive(receiver: &Self::Receiver) -> Option<u64>;
}

impl<C: Channel, W: Work> Contender for Bare<C, W> {
    const ABOUT: About = C::ABOUT;

    fn build(workers: usize) -> Self {
        let (sender, receiver) = C::bounded(CAPACITY);
        let threads = (0..workers).map(|_| {
            let receiver = receiver.clone();
            thread::spawn(move || {
                while let Some(job) = C::receive(&receiver) {
                    W::run(job);
                }
            })
        });
        Bare {
            threads: threads.collect(),
            sender,
            _work: PhantomData,
        }
    }

    fn shut_down(self) {
        drop(self.sender);
        for thread in self.threads {
            thread.join().expect("no job panics");
        }
    }
}

impl<C: Channel, W: Work> Sends for Bare<C, W> {
    type Sender = C::Sender;

    fn sender(&self) -> Self::Sender {
        self.sender.clone()
    }

    fn send(sender: &Self::Sender, job: u64) {
        C::send(sender, job);
    }
}

/// What is the same for all of them.
const fn about(name: &'static str, package: &'static str, used: &'static str) -> About {
    About {
        name,
        package,
        notes: &[Note::Floor, Note::NoResult],
        used,
    }
}

pub struct CrossfireChannel;

impl Channel for CrossfireChannel {
    const ABOUT: About = about(
        "crossfire",
        "crossfire",
        "`mpmc::bounded_blocking(1024)` after `detect_backoff_cfg`",
    );
    type Sender = crossfire::MTx<crossfire::mpmc::Array<u64>>;
    type Receiver = crossfire::MRx<crossfire::mpmc::Array<u64>>;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        // Its documentation recommends this at the start of a program, for machines with few cores.
        static BACKOFF: Once = Once::new();
        BACKOFF.call_once(crossfire::detect_backoff_cfg);
        crossfire::mpmc::bounded_blocking(capacity)
    }

    fn send(sender: &Self::Sender, job: u64) {
        sender.send(job).expect("the threads receive");
    }

    fn receive(receiver: &Self::Receiver) -> Option<u64> {
        receiver.recv().ok()
    }
}

pub struct CrossbeamChannel;

impl Channel for CrossbeamChannel {
    const ABOUT: About = about("crossbeam", "crossbeam-channel", "`bounded(1024)`");
    type Sender = crossbeam_channel::Sender<u64>;
    type Receiver = crossbeam_channel::Receiver<u64>;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        crossbeam_channel::bounded(capacity)
    }

    fn send(sender: &Self::Sender, job: u64) {
        sender.send(job).expect("the threads receive");
    }

    fn receive(receiver: &Self::Receiver) -> Option<u64> {
        receiver.recv().ok()
    }
}

pub struct KanalChannel;

impl Channel for KanalChannel {
    const ABOUT: About = about("kanal", "kanal", "`bounded(1024)`");
    type Sender = kanal::Sender<u64>;
    type Receiver = kanal::Receiver<u64>;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        kanal::bounded(capacity)
    }

    fn send(sender: &Self::Sender, job: u64) {
        sender.send(job).expect("the threads receive");
    }

    fn receive(receiver: &Self::Receiver) -> Option<u64> {
        receiver.recv().ok()
    }
}

pub struct FlumeChannel;

impl Channel for FlumeChannel {
    const ABOUT: About = about("flume", "flume", "`bounded(1024)`");
    type Sender = flume::Sender<u64>;
    type Receiver = flume::Receiver<u64>;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        flume::bounded(capacity)
    }

    fn send(sender: &Self::Sender, job: u64) {
        sender.send(job).expect("the threads receive");
    }

    fn receive(receiver: &Self::Receiver) -> Option<u64> {
        receiver.recv().ok()
    }
}
