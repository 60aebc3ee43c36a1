//! Something that is worth its cost at times only: each time in vain has twice as many left out after it, up to a bound.

#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    /// Left out after each time in vain at most.
    most: u8,
    /// Left out after the last time: none, if it was worth it.
    skipped: u8,
    /// Of these, still to be left out.
    to_skip: u8,
}

impl Backoff {
    /// `most` is below 128.
    pub(crate) const fn new(most: u8) -> Self {
        assert!(most < 128);
        Backoff {
            most,
            skipped: 0,
            to_skip: 0,
        }
    }

    /// Whether this time is not to be left out. One that is counts as left out.
    pub(crate) fn is_due(&mut self) -> bool {
        if self.to_skip == 0 {
            return true;
        }
        self.to_skip -= 1;
        false
    }

    /// What came of a time that was not left out.
    pub(crate) fn tried(&mut self, worth_it: bool) {
        self.skipped = if worth_it {
            0
        } else {
            (2 * self.skipped + 1).min(self.most)
        };
        self.to_skip = self.skipped;
    }

    /// Whether the next time is not to be left out.
    pub(crate) fn leaves_none_out(&self) -> bool {
        self.to_skip == 0
    }

    /// Whether so many were in vain that the most are left out.
    pub(crate) fn is_at_most(&self) -> bool {
        self.skipped == self.most
    }
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn each_time_in_vain_leaves_twice_as_many_out_until_one_is_worth_it() {
        let mut backoff = Backoff::new(15);
        let mut skipped = |worth_it| {
            let skipped = (0..).find(|_| backoff.is_due()).unwrap();
            backoff.tried(worth_it);
            (skipped, backoff.is_at_most())
        };
        let in_vain = [0, 1, 3, 7, 15, 15].map(|skipped| (skipped, skipped >= 7));
        assert_eq!([(); 6].map(|()| skipped(false)), in_vain);
        assert_eq!(skipped(true), (15, false));
        assert_eq!((skipped(false).0, skipped(false).0), (0, 1));
    }
}
