//! A block: a row of envelopes, some of which hold several jobs.
//!
//! Jobs of a group travel in one envelope per cell of the group, so there is no need to write, count and move an
//! envelope per job. A block still counts jobs one by one, and splits an envelope where only some of its jobs are
//! wanted. Queue orders know nothing of this: they are given [`singles`](Block::singles).

use crate::queue::envelope::Queued;
use std::collections::VecDeque;

/// Larger buffers than this are not kept once they are empty.
const KEPT_BUFFER: usize = 4096;

pub(crate) struct Block<J> {
    row: VecDeque<Queued<J>>,
    /// How many more jobs than envelopes there are. Mostly zero, and then counting costs nothing.
    folded: usize,
}

impl<J> Default for Block<J> {
    fn default() -> Self {
        Block {
            row: VecDeque::new(),
            folded: 0,
        }
    }
}

impl<J> Block<J> {
    pub(crate) fn len(&self) -> usize {
        self.row.len() + self.folded
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.row.is_empty()
    }

    pub(crate) fn with_capacity(envelopes: usize) -> Self {
        Block {
            row: VecDeque::with_capacity(envelopes),
            folded: 0,
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.row.capacity()
    }

    #[inline]
    pub(crate) fn envelopes_len(&self) -> usize {
        self.row.len()
    }

    #[inline]
    pub(crate) fn push(&mut self, job: Queued<J>) {
        debug_assert_eq!(job.others(), 0);
        self.row.push_back(job);
    }

    pub(crate) fn push_bundle(&mut self, jobs: Queued<J>) {
        self.folded += jobs.others();
        self.row.push_back(jobs);
    }

    /// Takes out the first job, in an envelope of its own.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Queued<J>> {
        if self.folded == 0 {
            return self.row.pop_front();
        }
        self.take_first_of(0)
    }

    /// Takes out the first job of the first envelope that `wanted` accepts.
    pub(crate) fn pop_first(&mut self, wanted: impl Fn(&Queued<J>) -> bool) -> Option<Queued<J>> {
        let at = self.row.iter().position(wanted)?;
        self.take_first_of(at)
    }

    #[inline(never)]
    fn take_first_of(&mut self, at: usize) -> Option<Queued<J>> {
        let envelope = self.row.get_mut(at)?;
        if envelope.others() == 0 {
            return take_from(&mut self.row, at);
        }
        self.folded -= 1;
        Some(envelope.take_first(1))
    }

    /// Starts the first job in place. If `start` returns `None`, the job stays.
    #[inline(always)]
    pub(crate) fn start_first<R>(
        &mut self,
        start: impl FnOnce(&mut Queued<J>) -> Option<R>,
    ) -> Option<R> {
        let envelope = self.row.front_mut()?;
        let others = envelope.others();
        let started = start(envelope)?;
        debug_assert!(
            others == 0 || envelope.others() == others - 1,
            "not started"
        );
        if others == 0 {
            // It is empty, so skipping its drop loses nothing.
            std::mem::forget(self.row.pop_front());
        } else {
            self.folded -= 1;
        }
        Some(started)
    }

    pub(crate) fn move_to(&mut self, most: usize, to: &mut Block<J>) {
        if most == 0 || self.row.is_empty() {
            return;
        }
        if self.folded == 0 {
            let most = most.min(self.row.len());
            return move_first(&mut self.row, most, &mut to.row);
        }
        let mut left = most;
        while left > 0 {
            let Some(envelope) = self.row.front_mut() else {
                return;
            };
            let others = envelope.others();
            let part = if others < left {
                self.folded -= others;
                self.row.pop_front()
            } else {
                self.folded -= left;
                Some(envelope.take_first(left))
            };
            if let Some(part) = part {
                left -= 1 + part.others();
                to.push_bundle(part);
            }
        }
    }

    /// Moves all jobs to the end of `to`. If `to` is empty, swaps the buffers.
    pub(crate) fn append_to(&mut self, to: &mut Block<J>) {
        if to.is_empty() {
            return std::mem::swap(self, to);
        }
        to.folded += std::mem::take(&mut self.folded);
        to.row.append(&mut self.row);
    }

    /// Frees the buffer of a burst once its jobs have gone.
    pub(crate) fn forget_burst(&mut self) {
        forget_burst(&mut self.row);
    }

    /// Returns the same jobs, each in an envelope of its own.
    pub(crate) fn singles(&mut self) -> &mut VecDeque<Queued<J>> {
        if self.folded > 0 {
            let mut singles = VecDeque::with_capacity(self.len());
            while let Some(job) = self.pop() {
                singles.push_back(job);
            }
            self.row = singles;
        }
        &mut self.row
    }

    pub(crate) fn into_singles(mut self) -> VecDeque<Queued<J>> {
        std::mem::take(self.singles())
    }

    pub(crate) fn envelopes(&self) -> &VecDeque<Queued<J>> {
        &self.row
    }

    /// Returns whether workers of any desk may run some job.
    pub(crate) fn has_unkeyed(&self) -> bool {
        has_unkeyed(&self.row)
    }
}

/// Takes one envelope out of a row, using only the ends of the deque: see desk/inboxes.rs.
fn take_from<J>(row: &mut VecDeque<Queued<J>>, at: usize) -> Option<Queued<J>> {
    if at == 0 {
        return row.pop_front();
    }
    let mut found = None;
    for index in 0..row.len() {
        let Some(envelope) = row.pop_front() else {
            break;
        };
        if index == at {
            found = Some(envelope);
        } else {
            row.push_back(envelope);
        }
    }
    found
}

/// Frees the buffer of a burst once its jobs have gone.
#[inline]
pub(crate) fn forget_burst<J>(row: &mut VecDeque<Queued<J>>) {
    if row.is_empty() && row.capacity() > KEPT_BUFFER {
        *row = VecDeque::new();
    }
}

pub(crate) fn move_first<J>(
    from: &mut VecDeque<Queued<J>>,
    count: usize,
    to: &mut VecDeque<Queued<J>>,
) {
    if count >= from.len() {
        return to.append(from);
    }
    to.reserve(count);
    for _ in 0..count {
        let Some(job) = from.pop_front() else { break };
        to.push_back(job);
    }
}

/// Returns whether workers of any desk may run some job.
pub(crate) fn has_unkeyed<J>(jobs: &VecDeque<Queued<J>>) -> bool {
    for job in jobs {
        if !job.stays_with_desk() {
            return true;
        }
    }
    false
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
pub(crate) mod tests {
    use super::*;
    use crate::id::JobId;
    use crate::id::PoolNumber;
    use crate::job::Job;
    use crate::outcome::cell::Cell;
    use std::ops::Range;
    use std::sync::Arc;

    const POOL: PoolNumber = PoolNumber::MAX;

    pub(crate) fn jobs(numbers: Range<usize>) -> impl Iterator<Item = Queued<usize>> {
        numbers.map(|n| Queued::plain(JobId::from_ticket(n as u64), POOL, Job::new(n)))
    }

    /// The jobs in one envelope.
    pub(crate) fn bundle(numbers: Range<usize>) -> Queued<usize> {
        let cell: Arc<Cell<usize, (), ()>> = Cell::group(POOL, numbers.clone().map(Job::new), None);
        let first = JobId::from_ticket(numbers.start as u64);
        Queued::bundle(first, cell, 0..numbers.len())
    }

    pub(crate) fn numbers(jobs: &mut Block<usize>) -> Vec<u64> {
        let numbered = |job: &Queued<_>| job.id().get() - 1;
        jobs.singles().iter().map(numbered).collect()
    }

    /// 0 to 20: some alone, some in bundles.
    fn mixed() -> Block<usize> {
        let mut row = Block::default();
        row.push_bundle(bundle(0..5));
        jobs(5..7).for_each(|job| row.push(job));
        row.push_bundle(bundle(7..8));
        row.push_bundle(bundle(8..20));
        row
    }

    fn is_numbered(job: &mut Queued<usize>) -> u64 {
        let number = job.id().get() - 1;
        let job = job.claim().expect("nobody else claims").job;
        assert_eq!(job.into_inner() as u64, number);
        number
    }

    #[test]
    fn jobs_are_counted_one_by_one_and_come_out_in_order_however_they_are_taken() {
        for most in 1..=21 {
            let (mut row, mut taken) = (mixed(), Vec::new());
            while !row.is_empty() {
                let before = row.len();
                let mut part = Block::default();
                row.move_to(most, &mut part);
                assert_eq!(
                    (part.len(), row.len()),
                    (most.min(before), before - part.len())
                );
                taken.append(&mut numbers(&mut part));
                assert_eq!(part.len(), part.envelopes().len());
                let first = row.pop();
                taken.extend(first.map(|mut job| is_numbered(&mut job)));
                // In place, in an envelope of several jobs or of one.
                let mut token = None;
                let started = row.start_first(|job| {
                    let number = job.id().get() - 1;
                    if job.others() == 0 {
                        return Some(is_numbered(job));
                    }
                    let started = job.claim_first(&mut token, &mut None)?;
                    assert_eq!(started.into_inner() as u64, number);
                    Some(number)
                });
                taken.extend(started);
            }
            assert_eq!(row.len(), 0);
            assert_eq!(taken, (0..20).collect::<Vec<_>>(), "{most} at once");
        }
    }

    #[test]
    fn a_job_is_taken_out_of_the_middle_of_a_row() {
        let mut row = mixed();
        let third = row.pop_first(|job| job.id().get() > 7);
        assert_eq!(third.map(|mut job| is_numbered(&mut job)), Some(7));
        let from_bundle = row.pop_first(|job| job.others() > 5);
        assert_eq!(from_bundle.map(|mut job| is_numbered(&mut job)), Some(8));
        let left = (0..7).chain(9..20).collect::<Vec<_>>();
        assert_eq!(row.len(), left.len());
        assert_eq!(numbers(&mut row), left);
    }

    #[test]
    fn a_share_in_a_cell_is_kept_from_one_job_to_the_next() {
        let mut both = [bundle(0..3), bundle(3..6)];
        let (mut token, mut stale) = (None, None);
        for at in 0..2 {
            both[0].claim_first(&mut token, &mut stale);
            assert!(stale.is_none());
            assert_eq!(token.as_ref().map(|token| token.at), Some(at));
        }
        both[1].claim_first(&mut token, &mut stale);
        let (cell, old) = (token.unwrap().cell, stale.unwrap().cell);
        assert!(!Arc::ptr_eq(&cell, &old));
        // Its own share, and that of the jobs that wait.
        assert_eq!((Arc::strong_count(&cell), Arc::strong_count(&old)), (2, 2));
    }
}
