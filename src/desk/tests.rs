use super::*;
use crate::dispatcher::KeyAffinity;
use crate::dispatcher::{Target, Workers};
use crate::id::JobId;
use crate::id::PoolNumber;
use crate::job::Job;
use crate::queue_order::Fifo;
use crate::sync::rng::Rng;
use std::collections::VecDeque;
use std::sync::Arc;

fn keyed(number: u64, key: u64) -> Queued<u64> {
    let mut job = Job::new(number);
    job.options_mut().key = Some(key);
    Queued::plain(JobId::from_ticket(number), PoolNumber::MAX, job)
}

#[test]
fn jobs_drawn_in_bulk_keep_their_order_when_the_strategy_lets_some_go_to_anyone() {
    for every in 1..6 {
        let mut asked = 0;
        let strategy = move |_: &Job<u64>, workers: &Workers<'_>| {
            asked += 1;
            match workers.get(0) {
                Some(worker) if asked % every > 0 => Target::Worker(worker.id()),
                _ => Target::Any,
            }
        };
        let mut desk = Desk::new(0, Box::new(Fifo::new()), Box::new(strategy), 1, 4);
        desk.set_present(0, true);
        let mut jobs = (0..40)
            .map(|number| {
                Queued::plain(
                    JobId::from_ticket(number),
                    PoolNumber::MAX,
                    Job::new(number),
                )
            })
            .collect();
        desk.append(&mut jobs);
        let mut taken = Vec::new();
        while taken.len() < 40 {
            desk.route();
            taken.extend(desk.take(0, &|_| false).map(|job| job.id().get() - 1));
        }
        assert_eq!(taken, (0..40).collect::<Vec<_>>(), "every {every}");
    }
}

#[test]
fn jobs_taken_in_bulk_are_weighed_and_their_keys_held_whether_some_stay_or_not() {
    for most in [2, 3, 4, 9] {
        let strategy = Box::new(KeyAffinity::new());
        let mut desk = Desk::new(0, Box::new(Fifo::new()), strategy, 1, 8);
        desk.set_present(0, true);
        // 1 + 2 + 3 + 4 + 5.
        for number in 1..=5 {
            let mut job = Job::new(number);
            job.options_mut().key = Some(number);
            job.options_mut().weight = std::num::NonZero::new(number);
            let id = JobId::from_ticket(number);
            desk.push(Queued::plain(id, PoolNumber::MAX, job));
        }
        desk.route();
        assert_eq!(desk.places[0].queued_weight, 15);
        let mut out = VecDeque::new();
        assert!(desk.take(0, &|_| false).is_some());
        desk.take_many_bound(0, most, &mut out);
        let moved = most.min(4);
        let taken: u64 = (1..=1 + moved as u64).sum();
        let place = &desk.places[0];
        assert_eq!(out.len(), moved);
        assert_eq!(
            (place.taken_weight, place.queued_weight),
            (taken, 15 - taken)
        );
        assert_eq!((place.ahead, place.queued), (moved, 4 - moved));
        assert_eq!(desk.holders.held(), 5);
        desk.release_keys(0, &|_| false);
        assert_eq!(desk.holders.held(), 4 - moved);
    }
}

#[test]
fn who_takes_while_jobs_are_routed_gets_no_more_than_it_wants_and_all_in_order() {
    let strategy = |job: &Job<u64>, workers: &Workers<'_>| {
        let worker = workers.get((job.data() % 2) as usize);
        worker.map_or(Target::Any, |worker| Target::Worker(worker.id()))
    };
    let mut desk = Desk::new(0, Box::new(Fifo::new()), Box::new(strategy), 2, 4);
    (0..2).for_each(|worker| desk.set_present(worker, true));
    let number = |number| JobId::from_ticket(number);
    let mut jobs = (0..40)
        .map(|n| Queued::plain(number(n), PoolNumber::MAX, Job::new(n)))
        .collect();
    desk.append(&mut jobs);
    let (mut tray, mut woken) = (VecDeque::new(), Vec::new());
    desk.route_and_take(0, 5, &mut tray, &mut woken);
    assert_eq!(tray.len(), 5);
    // What was routed to the other worker, and what this one got in its inbox afterwards.
    let mut taken = [tray, VecDeque::new()];
    for _ in 0..20 {
        for (worker, taken) in taken.iter_mut().enumerate() {
            desk.route();
            taken.extend(desk.take(worker, &|_| false));
        }
    }
    for (worker, taken) in taken.iter().enumerate() {
        let numbers: Vec<_> = taken.iter().map(|job| job.id().get() - 1).collect();
        let own: Vec<_> = (0..40).filter(|n| n % 2 == worker as u64).collect();
        assert_eq!(numbers, own, "worker {worker}");
    }
    assert!(woken.is_empty(), "nobody sleeps");
}

#[test]
fn what_a_worker_gives_back_weighs_on_it_no_more() {
    let weights = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = weights.clone();
    let strategy = move |_: &Job<u64>, workers: &Workers<'_>| {
        let worker = workers.get(0);
        seen.lock()
            .unwrap()
            .extend(worker.as_ref().map(|worker| worker.weight()));
        worker.map_or(Target::Any, |worker| Target::Worker(worker.id()))
    };
    let mut desk = Desk::new(0, Box::new(Fifo::new()), Box::new(strategy), 1, 4);
    desk.set_present(0, true);
    (0..4).for_each(|number| desk.push(keyed(number, number)));
    desk.route();
    let running = desk.take(0, &|_| false);
    let mut tray = VecDeque::new();
    desk.take_many_bound(0, 3, &mut tray);
    // The worker waits for its own pool: the others go elsewhere.
    desk.set_away(0, true);
    desk.put_back(0, tray, true);
    desk.set_away(0, false);
    while desk.take_spare().is_some() {}
    weights.lock().unwrap().clear();
    desk.push(keyed(4, 4));
    desk.route();
    assert_eq!(*weights.lock().unwrap(), [1], "only what it runs");
    drop(running);
}

#[test]
fn a_key_is_held_from_the_tray_on_until_its_job_is_over() {
    let mut desk = Desk::new(0, Box::new(Fifo::new()), Box::new(KeyAffinity::new()), 2, 4);
    (0..2).for_each(|worker| desk.set_present(worker, true));
    (0..40).for_each(|number| desk.push(keyed(number, number)));
    let mut tray = VecDeque::new();
    desk.route_and_take(0, 5, &mut tray, &mut Vec::new());
    assert_eq!(tray.len(), 5);
    let keys: Vec<_> = tray.iter().filter_map(Queued::key).collect();
    let holders = |desk: &Desk<u64>| -> Vec<_> {
        keys.iter()
            .map(|&key| desk.holders.holder_of(key))
            .collect()
    };
    assert_eq!(holders(&desk), [Some(0); 5]);
    desk.release_keys(0, &|id| id == tray[4].id());
    assert_eq!(holders(&desk), [None, None, None, None, Some(0)]);
}

#[test]
fn no_key_is_held_once_its_jobs_are_over_whatever_came_between() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let mut desk = Desk::new(0, Box::new(Fifo::new()), Box::new(KeyAffinity::new()), 3, 2);
        (0..3).for_each(|worker| desk.set_present(worker, true));
        let mut tray = VecDeque::new();
        for number in 0..60 {
            let worker = rng.below(3);
            match rng.below(8) {
                0..4 => desk.push(keyed(number, rng.below(5) as u64)),
                4 => drop(desk.take(worker, &|_| false)),
                5 => {
                    drop(desk.take(worker, &|_| false));
                    let most = rng.below(3);
                    desk.take_many_bound(worker, most, &mut tray);
                    desk.route_and_take(worker, most, &mut tray, &mut Vec::new());
                    assert!(tray.len() <= most, "seed {seed}");
                    let run = rng.below(tray.len() + 1);
                    tray.drain(..run);
                    desk.put_back(worker, std::mem::take(&mut tray), true);
                }
                6 => desk.set_present(worker, rng.below(2) == 0),
                _ => drop(desk.route()),
            }
        }
        (0..3).for_each(|worker| desk.set_present(worker, true));
        for _ in 0..100 {
            desk.route();
            (0..3).for_each(|worker| drop(desk.take(worker, &|_| false)));
        }
        assert_eq!(desk.backlog(), 0, "seed {seed}");
        assert_eq!(desk.holders.held(), 0, "seed {seed}: {:?}", desk.holders);
        assert!(desk.in_hand.is_empty(), "seed {seed}");
    }
}
