//! A worker's place: the task given to a spawner holds it, and frees it however it ends.

use crate::engine::{Common, Core};
use crate::id::WorkerId;
use crate::job::Job;
use crate::spawner::SpawnError;
use crate::sync::atomic::{AtomicU8, Ordering::*};
use crate::sync::boxed::BoxFuture;
use crate::sync::panics::{contain, dispose};
use crate::wait::current::{self, Frame};
use crate::wait::signal::hold_wakes;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The task given to a spawner: holds a worker's place, and frees it when dropped.
struct Task<J: Send + 'static> {
    /// `Some` until its end.
    life: Option<BoxFuture<'static, ()>>,
    core: Arc<Core<J>>,
    worker: WorkerId,
    /// `Some` until it is polled.
    handover: Option<Arc<Handover>>,
}

/// Tells a spawner that refuses a task from one that accepts it and throws it away.
///
/// A task dropped unpolled while `Core::spawn` is under way leaves the case to `Core::spawn`, which will know the
/// spawner's answer.
struct Handover {
    state: AtomicU8,
    /// The worker was lost before.
    replacement: bool,
}

impl Handover {
    const UNDER_WAY: u8 = 0;
    const OVER: u8 = 1;
    const DROPPED: u8 = 2;

    fn new(replacement: bool) -> Arc<Self> {
        let state = AtomicU8::new(Self::UNDER_WAY);
        Arc::new(Handover { state, replacement })
    }

    /// The task was dropped unpolled. Returns whether `Core::spawn` handles it.
    fn drop_under_way(&self) -> bool {
        self.settle(Self::DROPPED) == Self::UNDER_WAY
    }

    /// The spawner has answered. Returns whether the task was dropped before.
    fn end(&self) -> bool {
        self.settle(Self::OVER) == Self::DROPPED
    }

    fn settle(&self, to: u8) -> u8 {
        let settled = self
            .state
            .compare_exchange(Self::UNDER_WAY, to, AcqRel, Acquire);
        settled.unwrap_or_else(|before| before)
    }
}

impl<J: Send + 'static> Task<J> {
    fn frame(&self) -> Frame {
        Frame {
            pool: self.core.number,
            seat: self.worker,
            job: None,
        }
    }
}

impl<J: Send + 'static> Future for Task<J> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.handover = None;
        let _working = current::enter(self.frame());
        let Some(life) = &mut self.life else {
            return Poll::Ready(());
        };
        let poll = life.as_mut().poll(cx);
        if poll.is_ready() {
            self.life = None;
        }
        poll
    }
}

impl<J: Send + 'static> Drop for Task<J> {
    fn drop(&mut self) {
        // First what the worker holds: a job in its hands gets its outcome here.
        let Some(life) = self.life.take() else {
            return self.core.worker_left(self.worker);
        };
        let working = current::enter(self.frame());
        dispose(life);
        drop(working);
        match &self.handover {
            None => self.core.worker_lost(self.worker),
            Some(handover) if handover.drop_under_way() => {}
            Some(handover) => {
                let replacement = handover.replacement;
                self.core.worker_thrown_away(self.worker, replacement);
            }
        }
    }
}

impl Common {
    fn hand_to_spawner(
        &self,
        worker: WorkerId,
        task: BoxFuture<'static, ()>,
    ) -> Result<(), SpawnError> {
        let spawned = contain(|| self.spawner.spawn(worker, task));
        let panicked = |panic| Err(SpawnError::new(format!("the spawner panicked: {panic}")));
        spawned.unwrap_or_else(panicked)
    }
}

impl<J: Send + 'static> Core<J> {
    /// Spawns a worker. On an error, its place still has to be freed.
    #[inline(never)]
    pub(crate) fn spawn(
        self: &Arc<Self>,
        worker: WorkerId,
        replacement: bool,
    ) -> Result<(), SpawnError> {
        let handover = Handover::new(replacement);
        let task = Box::pin(Task {
            life: Some(self.workers_of.life(self.clone(), worker)),
            core: self.clone(),
            worker,
            handover: Some(handover.clone()),
        });
        let spawned = self.hand_to_spawner(worker, task);
        if handover.end() && spawned.is_ok() {
            self.worker_thrown_away(worker, replacement);
        }
        spawned
    }

    /// A worker's task was accepted and dropped before its first poll.
    #[inline(never)]
    fn worker_thrown_away(self: &Arc<Self>, worker: WorkerId, replacement: bool) {
        if replacement {
            self.roster.give_up(worker);
            for job in self.collapse() {
                dispose(job);
            }
            self.worker_left(worker);
        } else {
            self.worker_lost(worker);
        }
    }

    #[inline(never)]
    fn worker_lost(self: &Arc<Self>, worker: WorkerId) {
        if self.desk(worker).step_out(worker.index()) {
            self.wake_for_work();
        }
        let started = self.seat(worker).vitals().counts.total_started();
        let replaced = !self.is_over()
            && self.roster.may_replace(worker, started)
            && self.spawn(worker, true).is_ok();
        if !replaced {
            self.roster.give_up(worker);
            self.worker_left(worker);
        }
    }

    /// Frees a worker's place for good. The last one to leave handles the jobs that still wait.
    #[inline(never)]
    pub(crate) fn worker_left(&self, worker: WorkerId) {
        let calls = hold_wakes();
        let abandoned = self.leave(worker);
        drop(calls);
        for job in abandoned {
            dispose(job);
        }
    }

    /// Returns the abandoned jobs.
    #[inline(never)]
    fn leave(&self, worker: WorkerId) -> Vec<Job<J>> {
        let mut abandoned = Vec::new();
        let Some(live) = self.roster.leave(worker) else {
            return abandoned;
        };
        if self.desk(worker).set_present(worker.index(), false) {
            self.wake_for_work();
        }
        if live == 0 {
            if !self.is_over() {
                if self.reports.load(SeqCst) {
                    self.take_back();
                } else {
                    abandoned = self.collapse();
                }
            }
            self.time.stop();
            self.end_errors();
        }
        self.self_waits.set_live(live);
        self.roster.notify();
        abandoned
    }
}
