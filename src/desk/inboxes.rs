//! Jobs that have left the backlog and wait on the desk: bound to one worker by the strategy, or free to go to any.
//!
//! Jobs and their marks lie in two parallel rows, not in one row of pairs. A pair is written word by word and moved in
//! larger parts; for that a processor waits until all its earlier writes have reached the cache, while all workers wait
//! for the desk.

use crate::keys::holders::Mark;
use crate::queue::block::move_first;
use crate::queue::envelope::Queued;
use std::collections::VecDeque;

/// Larger buffers are not swapped: otherwise the buffer that one burst needed would travel from worker to worker.
const SWAPPED: usize = 1024;

/// A row of jobs, such as a worker's inbox. Both deques have the same length and the same order.
///
/// Uses few of a deque's operations, and mostly those at its ends: each is compiled again for every job type.
pub(crate) struct Row<J> {
    jobs: VecDeque<Queued<J>>,
    marks: VecDeque<Mark>,
}

impl<J> Default for Row<J> {
    fn default() -> Self {
        Row {
            jobs: VecDeque::new(),
            marks: VecDeque::new(),
        }
    }
}

impl<J> Row<J> {
    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    #[inline]
    pub(crate) fn push(&mut self, job: Queued<J>, mark: Mark) {
        self.marks.push_back(mark);
        self.jobs.push_back(job);
    }

    #[inline(never)]
    pub(crate) fn pop(&mut self) -> Option<(Queued<J>, Mark)> {
        let mark = self.marks.pop_front()?;
        self.jobs.pop_front().map(|job| (job, mark))
    }

    /// Moves the first `count` jobs to the end of `to`. If these are all jobs and `to` is empty, mostly swaps the
    /// buffers.
    pub(crate) fn move_to(&mut self, count: usize, to: &mut VecDeque<Queued<J>>) {
        drop_first(&mut self.marks, count);
        let all = count == self.jobs.len() && to.is_empty();
        if all && self.jobs.capacity() <= SWAPPED {
            std::mem::swap(&mut self.jobs, to);
        } else {
            move_first(&mut self.jobs, count, to);
        }
    }

    #[inline(never)]
    pub(crate) fn push_front(&mut self, job: Queued<J>, mark: Mark) {
        self.marks.push_front(mark);
        self.jobs.push_front(job);
    }

    #[inline(never)]
    pub(crate) fn append_to(&mut self, to: &mut Row<J>) {
        to.marks.append(&mut self.marks);
        to.jobs.append(&mut self.jobs);
    }

    pub(crate) fn jobs(&self) -> &VecDeque<Queued<J>> {
        &self.jobs
    }

    pub(crate) fn marks(&self) -> &VecDeque<Mark> {
        &self.marks
    }

    /// Takes out the first job that workers of any desk may run.
    #[inline(never)]
    pub(crate) fn pop_first_unkeyed(&mut self) -> Option<Queued<J>> {
        let mut found = None;
        let mut passed = Row::default();
        while let Some((job, mark)) = self.pop() {
            if !job.stays_with_desk() {
                found = Some(job);
                break;
            }
            passed.push(job, mark);
        }
        while let (Some(job), Some(mark)) = (passed.jobs.pop_back(), passed.marks.pop_back()) {
            self.push_front(job, mark);
        }
        found
    }

    pub(crate) fn forget_keys(&mut self) {
        forget_keys(&mut self.marks);
    }

    pub(crate) fn take_tombstones(&mut self) -> Row<J> {
        self.take_out(|job, _| !job.is_full())
    }

    /// Takes out the jobs that `which` selects. The others keep their order.
    #[inline(never)]
    pub(crate) fn take_out(&mut self, mut which: impl FnMut(&Queued<J>, Mark) -> bool) -> Row<J> {
        let mut out = Row::default();
        for _ in 0..self.len() {
            let Some((job, mark)) = self.pop() else { break };
            let to = if which(&job, mark) {
                &mut out
            } else {
                &mut *self
            };
            to.push(job, mark);
        }
        out
    }

    /// Inserts the jobs of another row by their turns, behind equal ones.
    #[inline(never)]
    pub(crate) fn merge(&mut self, mut others: Row<J>) {
        // Mostly one pass: jobs that a strategy was asked about again lie behind jobs with later turns.
        while !others.is_empty() {
            let mut last = 0;
            for _ in 0..self.len() {
                let Some(first) = self.marks.front() else {
                    break;
                };
                let sooner = ascending(&others.marks, &mut last, first.turn);
                others.move_pairs(sooner, self);
                self.turn_over();
            }
            let later = ascending(&others.marks, &mut last, u64::MAX);
            others.move_pairs(later, self);
        }
    }

    /// Moves the first job to the end.
    #[inline(never)]
    fn turn_over(&mut self) {
        if let Some((job, mark)) = self.pop() {
            self.push(job, mark);
        }
    }

    #[inline(never)]
    fn move_pairs(&mut self, count: usize, to: &mut Row<J>) {
        for _ in 0..count {
            let Some((job, mark)) = self.pop() else { break };
            to.push(job, mark);
        }
    }
}

// These functions see only marks, so they are compiled once for all job types.

fn drop_first(marks: &mut VecDeque<Mark>, count: usize) {
    marks.drain(..count);
}

/// Returns how many of the first marks have ascending turns, from `last` on and below `limit`. Sets `last` to the last
/// of these turns.
fn ascending(marks: &VecDeque<Mark>, last: &mut u64, limit: u64) -> usize {
    let in_turn = |mark: &&Mark| {
        let fits = (*last..limit).contains(&mark.turn);
        if fits {
            *last = mark.turn;
        }
        fits
    };
    marks.iter().take_while(in_turn).count()
}

fn forget_keys(marks: &mut VecDeque<Mark>) {
    marks.iter_mut().for_each(|mark| mark.key = None);
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests {
    use super::*;
    use crate::queue::block::tests::jobs;

    fn bound(count: usize) -> Row<usize> {
        let mut bound = Row::default();
        for job in jobs(0..count) {
            let (turn, id) = (job.id().get(), job.id());
            bound.push(
                job,
                Mark {
                    turn,
                    id,
                    key: None,
                },
            );
        }
        bound
    }

    /// Reads the numbers from both rows, which must agree.
    fn numbers(bound: &Row<usize>) -> Vec<u64> {
        let jobs: Vec<_> = bound.jobs().iter().map(|job| job.id().get()).collect();
        let marks: Vec<_> = bound.marks().iter().map(|mark| mark.turn).collect();
        assert_eq!(jobs, marks);
        jobs
    }

    #[test]
    fn a_job_and_its_mark_stay_together_whatever_is_taken_out() {
        let mut row = bound(9);
        let (job, mark) = row.pop().expect("there are nine");
        assert_eq!((job.id().get(), mark.turn), (1, 1));
        let mut out = row.take_out(|job, mark| {
            assert_eq!(job.id(), mark.id);
            mark.turn > 5 && mark.turn != 7
        });
        assert_eq!(numbers(&out), [6, 8, 9]);
        assert_eq!(numbers(&row), [2, 3, 4, 5, 7]);
        out.append_to(&mut row);
        assert_eq!(numbers(&row), [2, 3, 4, 5, 7, 6, 8, 9]);
        let mut first = row.take_out(|_, mark| mark.turn % 2 == 0);
        assert_eq!(numbers(&first), [2, 4, 6, 8]);
        first.merge(row);
        assert_eq!(numbers(&first), [2, 3, 4, 5, 6, 7, 8, 9]);
        let mut unsorted = bound(6).take_out(|_, mark| mark.turn > 3);
        bound(3).append_to(&mut unsorted);
        let mut row = bound(2);
        row.merge(unsorted);
        assert_eq!(numbers(&row), [1, 1, 2, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn the_buffer_of_a_burst_does_not_go_round() {
        let (mut row, mut to) = (bound(5000), VecDeque::new());
        row.move_to(4990, &mut to);
        let mut next = VecDeque::new();
        row.move_to(10, &mut next);
        assert_eq!(next.len(), 10);
        assert!(next.capacity() <= SWAPPED, "{}", next.capacity());
    }

    #[test]
    fn jobs_are_moved_in_order_behind_what_is_there() {
        for count in 0..=5 {
            for before in [0, 2] {
                let mut row = bound(5);
                let mut to: VecDeque<_> = jobs(10..10 + before).collect();
                row.move_to(count, &mut to);
                let moved: Vec<_> = to.iter().map(|job| job.id().get()).collect();
                let expected = (11..11 + before as u64).chain(1..=count as u64);
                assert_eq!(moved, expected.collect::<Vec<_>>());
                assert_eq!(numbers(&row), (count as u64 + 1..=5).collect::<Vec<_>>());
            }
        }
    }
}
