//! The intake: a seal beside a desk that draws, and beside the last look of a worker that is about to sleep.

use super::with_control;
use crate::id::JobId;
use crate::id::NO_POOL;
use crate::job::Job;
use crate::queue::block::Block;
use crate::queue::envelope::Queued;
use crate::queue::intake::{BLOCK, Intake};
use crate::sync::atomic::{AtomicU64, Ordering::*};
use crate::sync::fault::Fault;
use std::sync::Arc;

#[cfg(fanpool_loom)]
use loom::thread;
#[cfg(not(fanpool_loom))]
use shuttle::thread;

fn push(intake: &Intake<u64>, number: u64) {
    intake.push(Queued::plain(
        JobId::from_ticket(number),
        NO_POOL,
        Job::new(number),
    ));
}

fn take(mut job: Queued<u64>) -> Option<u64> {
    Some(job.claim()?.job.into_inner())
}

/// By way of a desk's front: from the open block one at a time, as a desk does of few.
fn draw(intake: &Intake<u64>, front: &mut Block<u64>) -> Option<u64> {
    if front.is_empty() && !intake.receive(front) {
        let drawn = intake.draw_open(front, |open, _| open.pop());
        if let Some(job) = drawn {
            return job.and_then(take);
        }
    }
    front.pop().and_then(take)
}

/// One more than fills a block.
const JOBS: u64 = BLOCK as u64 + 1;

fn a_block_is_sealed_while_a_desk_draws() {
    let intake = Arc::new(Intake::new());
    let submitter = {
        let intake = intake.clone();
        thread::spawn(move || (0..JOBS).for_each(|number| push(&intake, number)))
    };
    let mut front = Block::default();
    let mut drawn: Vec<_> = (0..2).filter_map(|_| draw(&intake, &mut front)).collect();
    submitter.join().unwrap();
    drawn.extend(std::iter::from_fn(|| draw(&intake, &mut front)));
    assert_eq!(drawn, (0..JOBS).collect::<Vec<_>>());
    assert!(intake.is_empty());
}

#[test]
fn no_job_is_passed_by_when_a_block_is_sealed() {
    with_control(Fault::SealPassedBy, || {
        super::check(a_block_is_sealed_while_a_desk_draws);
    });
}

fn a_block_is_sealed_during_the_last_look() {
    let intake = Arc::new(Intake::new());
    let pushed = Arc::new(AtomicU64::new(0));
    let submitter = {
        let (intake, pushed) = (intake.clone(), pushed.clone());
        thread::spawn(move || {
            for number in 0..BLOCK as u64 {
                push(&intake, number);
                pushed.fetch_add(1, SeqCst);
            }
        })
    };
    let before = pushed.load(SeqCst);
    assert!(
        before == 0 || !intake.is_empty(),
        "{before} jobs are overlooked"
    );
    submitter.join().unwrap();
    assert!(!intake.is_empty());
    let mut front = Block::default();
    while draw(&intake, &mut front).is_some() {}
}

#[test]
fn no_job_is_overlooked_by_the_last_look_when_a_block_is_sealed() {
    with_control(Fault::SealOverlooked, || {
        super::check(a_block_is_sealed_during_the_last_look);
    });
}

/// Two desks draw: each job is found by one of them, and none is lost.
#[test]
fn two_desks_share_what_waits() {
    super::check(|| {
        let intake = Arc::new(Intake::new());
        (0..JOBS - 1).for_each(|number| push(&intake, number));
        let some = |intake: &Intake<u64>| {
            let mut front = Block::default();
            let mut drawn: Vec<_> = (0..2).filter_map(|_| draw(intake, &mut front)).collect();
            drawn.extend(std::iter::from_fn(|| front.pop().and_then(take)));
            drawn
        };
        let other = {
            let intake = intake.clone();
            thread::spawn(move || some(&intake))
        };
        push(&intake, JOBS - 1);
        let mut drawn = some(&intake);
        let others = other.join().unwrap();
        assert!(
            drawn.is_sorted() && others.is_sorted(),
            "{drawn:?} {others:?}"
        );
        drawn.extend(others);
        drawn.extend(some(&intake));
        drawn.sort_unstable();
        assert_eq!(drawn, (0..JOBS).collect::<Vec<_>>());
        assert!(intake.is_empty());
    });
}
