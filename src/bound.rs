//! The jobs that a strategy has bound to one worker, and that wait for it on the desk.
//!
//! Jobs and what the desk knows of them lie in two rows and not in one of pairs: a pair would be put together by words
//! and moved in greater parts, and for that a processor waits until all that it wrote before has reached the cache, while
//! everybody waits for the desk.

use crate::envelope::Queued;
use crate::holders::Slot;
use crate::job::JobId;
use std::collections::VecDeque;

/// Greater buffers are not changed for others: what one burst needed would go round among all workers.
const SWAPPED: usize = 1024;

/// A job that has left the backlog, apart from the job itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    /// How many left it before; 0 for those that were taken ahead and came back, which are first.
    pub(crate) turn: u64,
    /// The job's, so that the job need not be looked at, which may be in another core's cache.
    pub(crate) id: JobId,
    /// Kept with one worker, if the strategy has an affinity.
    pub(crate) key: Option<Slot>,
}

/// A worker's inbox. The first row is as long as the second, and in the same order.
pub(crate) struct Bound<J> {
    jobs: VecDeque<Queued<J>>,
    marks: VecDeque<Mark>,
}

impl<J> Default for Bound<J> {
    fn default() -> Self {
        Bound {
            jobs: VecDeque::new(),
            marks: VecDeque::new(),
        }
    }
}

impl<J> Bound<J> {
    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, job: Queued<J>, mark: Mark) {
        self.marks.push_back(mark);
        self.jobs.push_back(job);
    }

    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<(Queued<J>, Mark)> {
        let mark = self.marks.pop_front()?;
        self.jobs.pop_front().map(|job| (job, mark))
    }

    /// Moves the first `count` jobs to the end of `to`: if they are all, and it is empty, the two mostly change their
    /// buffers.
    pub(crate) fn move_to(&mut self, count: usize, to: &mut VecDeque<Queued<J>>) {
        self.marks.drain(..count);
        let all = count == self.jobs.len() && to.is_empty();
        if all && self.jobs.capacity() <= SWAPPED {
            std::mem::swap(&mut self.jobs, to);
        } else {
            to.extend(self.jobs.drain(..count));
        }
    }

    pub(crate) fn jobs(&self) -> impl Iterator<Item = &Queued<J>> {
        self.jobs.iter()
    }

    pub(crate) fn marks(&self) -> &VecDeque<Mark> {
        &self.marks
    }

    pub(crate) fn marks_mut(&mut self) -> impl Iterator<Item = &mut Mark> {
        self.marks.iter_mut()
    }

    /// Takes out those that `which` says yes to.
    pub(crate) fn take_out(
        &mut self,
        mut which: impl FnMut(&Queued<J>, Mark) -> bool,
    ) -> Vec<(Queued<J>, Mark)> {
        let all = std::mem::take(self);
        let mut out = Vec::new();
        for (job, mark) in all.jobs.into_iter().zip(all.marks) {
            if which(&job, mark) {
                out.push((job, mark));
            } else {
                self.push(job, mark);
            }
        }
        out
    }
}

#[cfg(all(test, not(any(fanpool_loom, fanpool_shuttle))))]
mod tests {
    use super::*;
    use crate::envelopes::tests::jobs;

    fn bound(count: usize) -> Bound<usize> {
        let mut bound = Bound::default();
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

    /// Of both rows, which are to be the same.
    fn numbers(bound: &Bound<usize>) -> Vec<u64> {
        let jobs: Vec<_> = bound.jobs().map(|job| job.id().get()).collect();
        let marks: Vec<_> = bound.marks().iter().map(|mark| mark.turn).collect();
        assert_eq!(jobs, marks);
        jobs
    }

    #[test]
    fn a_job_and_its_mark_stay_together_whatever_is_taken_out() {
        let mut row = bound(9);
        let (job, mark) = row.pop().expect("there are nine");
        assert_eq!((job.id().get(), mark.turn), (1, 1));
        let out = row.take_out(|job, mark| {
            assert_eq!(job.id(), mark.id);
            mark.turn > 5 && mark.turn != 7
        });
        let out: Vec<_> = out
            .iter()
            .map(|(job, mark)| (job.id().get(), mark.turn))
            .collect();
        assert_eq!(out, [(6, 6), (8, 8), (9, 9)]);
        assert_eq!(numbers(&row), [2, 3, 4, 5, 7]);
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
