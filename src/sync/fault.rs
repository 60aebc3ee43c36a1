//! Faults that the model checkers must find. Each model runs once with the code as it is and once with a fault seeded,
//! and the second run must fail. A normal build contains none of this.

/// Each fault removes a step of a protocol that looks dispensable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A submitter that found the gate full waits without looking again after it listened.
    NoSecondLook,
    /// A worker goes to sleep without looking into the intake after it said so.
    NoLastLook,
    /// A close is noticed before the ticket is taken, not by the word that issues it.
    ClosedApart,
    /// A permit is used without checking, in the word that the use changes, whether the gate is closed.
    PermitApart,
    /// A permit's units are released before they are taken off the held units.
    HeldTooLong,
    /// A waiter that leaves the line calls nobody.
    NotCalledOn,
    /// A thread that sets a flag of the gate looks at what is free without passing the locks under which others count.
    LocksNotPassed,
    /// Workers that counted under locks sum up without a fence.
    NotFenced,
    /// A woken waiter that is served does not wake the next although room is left.
    BatonDropped,
    /// A notified waiter that is dropped keeps its notification to itself.
    WakeSwallowed,
    /// Nobody checks for a waiter that was notified and forgotten.
    ForgottenUnhealed,
    /// A cancelled job is taken out of its cell in two steps.
    ClaimTwice,
    /// A cell gets its next job although it is still shared.
    SharedAgain,
    /// A worker reports the end of a job before it has left the job's seat.
    SeatKept,
    /// A worker goes to sleep without looking into the trays of the others, then or before.
    TrayUnseen,
    /// A worker goes to sleep without looking into its desk's intake for jobs with a key.
    KeyedUnseen,
    /// A shutdown is over once all workers have left, although the last one still hands jobs back.
    LeftUnswept,
    /// Joins are told of a job's end while the next one is taken and its room is not free.
    RoomKept,
    /// A woken worker that is dropped does not wake another.
    CallSwallowed,
    /// A desk takes the open block without a second look at whether one was sealed before it.
    SealPassedBy,
    /// The last look checks whether a block is sealed before it locks the open one.
    SealOverlooked,
}

#[cfg(not(any(fanpool_loom, fanpool_shuttle)))]
#[inline(always)]
pub(crate) fn seeded(_: Fault) -> bool {
    false
}

#[cfg(any(fanpool_loom, fanpool_shuttle))]
mod seed {
    use super::Fault;
    use std::cell::Cell;

    // Both checkers run all of a model's threads on the thread of the test.
    std::thread_local!(static SEEDED: Cell<Option<Fault>> = const { Cell::new(None) });

    pub(crate) fn seeded(fault: Fault) -> bool {
        SEEDED.get() == Some(fault)
    }

    #[cfg(test)]
    pub(crate) fn with_fault<R>(fault: Fault, run: impl FnOnce() -> R) -> R {
        struct Restore;
        impl Drop for Restore {
            fn drop(&mut self) {
                SEEDED.set(None);
            }
        }
        SEEDED.set(Some(fault));
        let _restore = Restore;
        run()
    }
}

#[cfg(any(fanpool_loom, fanpool_shuttle))]
pub(crate) use seed::*;
