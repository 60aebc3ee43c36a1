use super::*;
use crate::desk::appetite::Appetite;
use crate::desk::appetite::Usual;
use crate::dispatcher::{Any, Dispatcher, Target, Workers};
use crate::job::Job;
use crate::queue::block::tests::{bundle, jobs};
use crate::queue::intake::Intake;
use crate::queue_order::Fifo;

#[test]
fn nobody_lies_down_beside_what_waits_nor_takes_it_apart() {
    let strategy = Box::new(Any::new());
    let desk = Desk::new(0, Box::new(Fifo::new()), strategy, 2, 4);
    let live = LiveDesk::new(0, desk, 2, true, true, 2);
    let intake = Intake::new();
    for first in (0..320).step_by(64) {
        intake.push_bundle(bundle(first..first + 64));
    }
    let appetite = Usual::new().get();
    let taken = live.take(&live.seats[0], appetite, &intake);
    assert_eq!(taken.map(|taken| taken.ahead), Some(0));
    live.begin_search();
    let waker = Waker::noop().clone();
    assert!(!live.fall_asleep(1, waker, &intake, || false));
    live.wake_one(&intake, false);
    assert!(!live.still_asleep(1, Waker::noop().clone()));
    live.note_busy(&live.seats[1]);
    let state = live.enter();
    let (front, mut behind) = (&state.front, Block::default());
    intake.refill(&mut behind);
    assert_eq!(
        (
            front.len() + behind.len(),
            front.envelopes().len() + behind.envelopes().len()
        ),
        (319, 5)
    );
}

#[test]
fn a_worker_leaves_to_others_what_may_wait_for_it_longer_than_for_them() {
    let of_twenty = |alone, dedicated| {
        let strategy = Box::new(Any::new());
        let desk = Desk::new(0, Box::new(Fifo::new()), strategy, 4, 4);
        let live = LiveDesk::new(0, desk, 4, alone, dedicated, 2);
        let intake = Intake::new();
        jobs(0..20).for_each(|job| intake.push(job));
        let tiny = Appetite::of_jobs_that_take(100);
        let taken = live.take(&live.seats[0], tiny, &intake);
        1 + taken.expect("twenty wait").ahead
    };
    assert_eq!(of_twenty(true, true), 10, "threads");
    assert_eq!(of_twenty(true, false), 20, "tasks, whose trays are open");
    assert_eq!(of_twenty(false, true), 5, "threads of several desks");
}

#[test]
fn the_buffer_of_a_burst_is_not_kept_however_it_is_drawn() {
    let any = || Box::new(Any::new()) as Box<dyn Dispatcher<usize>>;
    let to_first = || {
        let to_first = |_: &Job<usize>, workers: &Workers<'_>| {
            let first = workers.get(0).expect("there is one");
            Target::Worker(first.id())
        };
        Box::new(to_first) as Box<dyn Dispatcher<usize>>
    };
    let cases = [
        (any(), true, false),
        (any(), false, false),
        (to_first(), false, false),
        (any(), true, true),
    ];
    for (case, (strategy, alone, seen)) in cases.into_iter().enumerate() {
        let desk = Desk::new(0, Box::new(Fifo::new()), strategy, 1, 4);
        let live = LiveDesk::new(0, desk, 1, alone, true, 1);
        live.set_present(0, true);
        let intake = Intake::new();
        let (seat, tiny) = (&live.seats[0], Appetite::of_jobs_that_take(100));
        let run = |count: usize| {
            jobs(0..count).for_each(|job| intake.push(job));
            if seen && count > 1000 {
                // Puts the jobs on the desk.
                live.visit(&intake, &mut |_| ());
            }
            let mut next = 0;
            while let Some(taken) = live.take(seat, tiny, &intake) {
                let tray = std::iter::from_fn(|| live.take_from_tray(seat, seat));
                for job in std::iter::once(taken.job).chain(tray) {
                    assert_eq!(job.id().get() - 1, next, "case {case}");
                    next += 1;
                }
            }
            assert_eq!(next, count as u64, "case {case}");
        };
        // The buffers change places.
        for count in [5000, 1, 300, 1, 5000, 300, 1, 1] {
            run(count);
            let kept = intake.capacity() + {
                let state = live.enter();
                state.drawn.capacity() + state.front.capacity()
            };
            assert!(kept < 5000, "case {case}, after {count}: {kept}");
        }
    }
}

#[test]
fn a_worker_that_sleeps_leaves_its_tray_but_not_that_of_a_burst() {
    for (burst, kept) in [(KEPT_TRAY, 1), (KEPT_TRAY + 1, 0)] {
        let strategy = Box::new(Any::new());
        let desk = Desk::new(0, Box::new(Fifo::new()), strategy, 1, 4);
        let live = LiveDesk::new(0, desk, 1, true, true, 1);
        {
            let tray = &mut live.seats[0].tray.lock().jobs;
            jobs(0..burst).for_each(|job| tray.push(job));
            while tray.pop().is_some() {}
        }
        live.begin_search();
        let waker = Waker::noop().clone();
        assert!(live.fall_asleep(0, waker, &Intake::new(), || false));
        assert_eq!(live.enter().trays.len(), kept, "{burst}");
    }
}
