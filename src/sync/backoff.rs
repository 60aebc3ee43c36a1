//! Backoff for something that pays only at times: each try in vain doubles how many tries are skipped after it, up to a
//! bound.

#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    /// How many tries are skipped at most after one in vain.
    most: u8,
    /// How many were skipped after the last try; none if it paid.
    skipped: u8,
    /// How many of these are still to be skipped.
    to_skip: u8,
}

impl Backoff {
    /// `most` must be below 128.
    pub(crate) const fn new(most: u8) -> Self {
        assert!(most < 128);
        Backoff {
            most,
            skipped: 0,
            to_skip: 0,
        }
    }

    /// Returns whether to try now. If not, counts this try as skipped.
    pub(crate) fn is_due(&mut self) -> bool {
        if self.to_skip == 0 {
            return true;
        }
        self.to_skip -= 1;
        false
    }

    /// Records whether a try paid.
    pub(crate) fn tried(&mut self, worth_it: bool) {
        self.skipped = if worth_it {
            0
        } else {
            (2 * self.skipped + 1).min(self.most)
        };
        self.to_skip = self.skipped;
    }

    /// Returns whether the next try is not skipped.
    pub(crate) fn leaves_none_out(&self) -> bool {
        self.to_skip == 0
    }

    /// Returns whether skipping has reached its bound.
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
