//! The executor alone: a task for each job, whose end is awaited.

use super::{About, Awaited};
use crate::contender::Note;
use crate::runtime::Runtime;

pub struct Spawn<R>(R);

impl<R: Runtime> Awaited<R> for Spawn<R> {
    const ABOUT: About = About {
        name: "spawn",
        package: R::NAME,
        notes: &[Note::Unbounded, Note::Boxed],
        used: "`spawn` for each job and its join handle; no workers",
    };

    type Client = R;

    fn build(runtime: &R, _: usize) -> Self {
        Spawn(runtime.clone())
    }

    fn client(&self) -> R {
        self.0.clone()
    }

    async fn run(runtime: &mut R, job: u64) -> u64 {
        runtime.spawn(async move { job + 1 }).await
    }

    fn shut_down(self) {}
}
