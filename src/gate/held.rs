//! Room held for later: a permit is used, or goes back.

use super::{Gate, Lane, Refusal};
use crate::sync::atomic::Ordering::*;
use crate::sync::fault::{Fault, seeded};
use crate::sync::lock;

impl Gate {
    /// Turns held units into those of one waiting job. Refused once the gate is closed; then they are still held.
    pub(crate) fn redeem(&self, units: u64) -> Result<(), Refusal> {
        let closed = lock(&self.apart.closed);
        if *closed && !seeded(Fault::PermitApart) {
            return Err(Refusal::Closed);
        }
        self.apart.surplus.fetch_sub(1, Relaxed);
        // SeqCst, like the tickets: a worker that stops searching compares it.
        self.apart.held.fetch_sub(units, SeqCst);
        Ok(())
    }

    /// Gives held units back. Returns whether that drained a closed gate.
    pub(crate) fn give_back(&self, held: u64) -> bool {
        if seeded(Fault::HeldTooLong) {
            let drained = self.release(held, Lane::COMMON);
            self.take_off_held(held);
            return drained;
        }
        self.take_off_held(held);
        self.release(held, Lane::COMMON)
    }

    pub(super) fn take_off_held(&self, units: u64) {
        let _writes = lock(&self.apart.closed);
        self.apart.held.fetch_sub(units, SeqCst);
    }
}
