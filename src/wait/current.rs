//! What the current thread is doing: which job it polls, and whether it holds a desk.
//!
//! This answers two questions. Would a wait on this pool, from inside one of its jobs, ever end (engine/self_wait.rs)?
//! And is this foreign code under a desk's lock, such as a strategy, so that whatever needs that lock must be put off
//! until it is free?

use crate::id::{JobId, PoolNumber, WorkerId};
use crate::sync::local;
use crate::sync::panics::{contain, dispose};
use std::cell::{Cell, RefCell};

/// A worker that is being polled, and its job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) pool: PoolNumber,
    pub(crate) seat: WorkerId,
    /// `None` between jobs: in a factory, or in the drop of a handler.
    pub(crate) job: Option<JobId>,
}

/// The innermost frame, field by field: as one value it would be written in small parts and read as a whole, for which
/// a processor waits.
struct Now {
    pool: Cell<Option<PoolNumber>>,
    seat: Cell<WorkerId>,
    job: Cell<Option<JobId>>,
}

local! {
    static NOW: Now = Now {
        pool: Cell::new(None),
        seat: Cell::new(WorkerId::FIRST),
        job: Cell::new(None),
    };
}
local! { static DESK: Cell<u8> = Cell::new(0); }
local! { static PUT_OFF: RefCell<Vec<Box<dyn FnOnce()>>> = RefCell::new(Vec::new()); }

/// In `DESK`: this thread holds a desk.
const HELD: u8 = 1;
/// In `DESK`: something is put off.
const PUT_OFF_SOME: u8 = 2;

/// Returns the job this thread polls for `pool`, if any.
pub(crate) fn of(pool: PoolNumber) -> Option<Frame> {
    NOW.try_with(|now| {
        (now.pool.get() == Some(pool)).then(|| Frame {
            pool,
            seat: now.seat.get(),
            job: now.job.get(),
        })
    })
    .ok()
    .flatten()
}

/// Returns whether this thread neither works on a job of `pool` nor holds a desk, so that it may wait for the pool.
#[inline]
pub(crate) fn is_outside(pool: PoolNumber) -> bool {
    let about_pool = NOW.try_with(|now| now.pool.get() == Some(pool));
    !about_pool.unwrap_or(false) && !in_desk()
}

/// Marks this thread as polling a job until the guard is dropped. Frames nest.
#[inline]
pub(crate) fn enter(frame: Frame) -> Entered {
    change(Some(frame.pool), frame.seat, frame.job)
}

/// Marks what follows as no part of a job, until the guard is dropped.
pub(crate) fn leave() -> Entered {
    change(None, WorkerId::FIRST, None)
}

#[inline]
fn change(pool: Option<PoolNumber>, seat: WorkerId, job: Option<JobId>) -> Entered {
    let entered = NOW.try_with(|now| Entered {
        pool: now.pool.replace(pool),
        seat: now.seat.replace(seat),
        job: now.job.replace(job),
    });
    // Created lazily: dropping it would undo the change.
    entered.unwrap_or_else(|_| Entered {
        pool: None,
        seat: WorkerId::FIRST,
        job: None,
    })
}

/// The outer frame, restored when this is dropped.
pub(crate) struct Entered {
    pool: Option<PoolNumber>,
    seat: WorkerId,
    job: Option<JobId>,
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        let _ = NOW.try_with(|now| {
            now.pool.set(self.pool);
            now.seat.set(self.seat);
            now.job.set(self.job);
        });
    }
}

pub(crate) fn mark_desk() -> AtDesk {
    let _ = DESK.try_with(|desk| desk.set(desk.get() | HELD));
    AtDesk(())
}

/// Its drop, after the lock is free, removes the mark and does what was put off.
pub(crate) struct AtDesk(());

impl Drop for AtDesk {
    fn drop(&mut self) {
        unmark_desk();
    }
}

fn unmark_desk() {
    let before = DESK.try_with(Cell::take).unwrap_or(0);
    if before & PUT_OFF_SOME != 0 {
        do_what_was_put_off();
    }
}

#[cold]
fn do_what_was_put_off() {
    loop {
        let due = PUT_OFF
            .try_with(|due| std::mem::take(&mut *due.borrow_mut()))
            .unwrap_or_default();
        if due.is_empty() {
            break;
        }
        // An act may ask a new strategy what it is, and must not stop the callers from calling their wakers: a panic is
        // contained.
        for act in due {
            if let Err(panic) = contain(act) {
                dispose(panic);
            }
        }
    }
}

/// Marks this thread as holding a desk until the guard is dropped, for foreign code that may do no more than a strategy
/// may.
pub(crate) fn as_in_desk() -> AsInDesk {
    AsInDesk {
        _outermost: (!in_desk()).then(mark_desk),
    }
}

pub(crate) struct AsInDesk {
    _outermost: Option<AtDesk>,
}

/// Returns whether this thread holds a desk, of any pool, so that foreign code runs under its lock. Then it must lock
/// no other desk: the desk's own strategy may be running further up the stack, or another thread may hold the other
/// desk and want this one.
#[inline]
pub(crate) fn in_desk() -> bool {
    DESK.try_with(Cell::get).unwrap_or(0) & HELD != 0
}

/// Does `act` now, or as soon as this thread holds no desk.
pub(crate) fn outside_desk(act: impl FnOnce() + 'static) {
    if in_desk() {
        put_off(Box::new(act));
    } else {
        act();
    }
}

fn put_off(act: Box<dyn FnOnce()>) {
    let _ = PUT_OFF.try_with(|due| due.borrow_mut().push(act));
    let _ = DESK.try_with(|desk| desk.set(desk.get() | PUT_OFF_SOME));
}
