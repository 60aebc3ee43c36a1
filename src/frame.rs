//! What the current thread is in the middle of: which job it polls, which pool's desk it holds.
//!
//! Two questions are asked here. Would a wait on this pool, from inside one of its jobs, ever end
//! (standstill.rs)? And is this foreign code that runs under a desk's lock, such as a strategy, so
//! that whatever needs that lock has to be put off until it is free?

use crate::job::JobId;
use crate::registry::PoolNumber;
use crate::sync::local;
use crate::worker::WorkerId;
use std::cell::{Cell, RefCell};

/// A worker that is being polled, and its job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) pool: PoolNumber,
    pub(crate) seat: WorkerId,
    /// `None` between jobs: a factory, or the drop of a handler.
    pub(crate) job: Option<JobId>,
}

local! { static FRAME: Cell<Option<Frame>> = Cell::new(None); }
local! { static DESK: Cell<bool> = Cell::new(false); }
local! { static ANY_PUT_OFF: Cell<bool> = Cell::new(false); }
local! { static PUT_OFF: RefCell<Vec<Box<dyn FnOnce()>>> = RefCell::new(Vec::new()); }

/// The job this thread polls for `pool`, if any.
pub(crate) fn current(pool: PoolNumber) -> Option<Frame> {
    FRAME
        .try_with(Cell::get)
        .ok()
        .flatten()
        .filter(|frame| frame.pool == pool)
}

/// Marks this thread as polling a job until the guard is dropped; frames nest.
pub(crate) fn enter(frame: Frame) -> Entered {
    Entered(FRAME.try_with(|current| current.replace(Some(frame))).ok())
}

/// Marks what follows as no part of a job, until the guard is dropped.
pub(crate) fn leave() -> Entered {
    Entered(FRAME.try_with(Cell::take).ok())
}

pub(crate) struct Entered(Option<Option<Frame>>);

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(outer) = self.0 {
            let _ = FRAME.try_with(|current| current.set(outer));
        }
    }
}

/// Marks this thread as holding a desk.
pub(crate) fn mark_desk() {
    let _ = DESK.try_with(|desk| desk.set(true));
}

/// Takes the mark off, after the lock is free, and does what was put off.
pub(crate) fn unmark_desk() {
    let _ = DESK.try_with(|desk| desk.set(false));
    if ANY_PUT_OFF.try_with(Cell::take).unwrap_or(false) {
        loop {
            let due = PUT_OFF
                .try_with(|due| std::mem::take(&mut *due.borrow_mut()))
                .unwrap_or_default();
            if due.is_empty() {
                break;
            }
            due.into_iter().for_each(|act| act());
        }
    }
}

/// Whether this thread holds a desk, of whichever pool, so that foreign code runs under its lock. Then
/// no other is taken: the desk's own strategy may be running further up, or the other thread's that
/// holds the other desk and wants this one.
pub(crate) fn in_desk() -> bool {
    DESK.try_with(Cell::get).unwrap_or(false)
}

/// Does `act` now, or as soon as this thread holds no desk any more.
pub(crate) fn outside_desk(act: impl FnOnce() + 'static) {
    if in_desk() {
        let _ = PUT_OFF.try_with(|due| due.borrow_mut().push(Box::new(act)));
        let _ = ANY_PUT_OFF.try_with(|any| any.set(true));
    } else {
        act();
    }
}
