//! Cancelling jobs, dropping and forgetting handles, at every stage of a job's journey.

use crate::common::{Door, Ledger, Payload, poll_once, watched};
use fanpool::clock::ManualClock;
use fanpool::{
    Cancellation, JobError, JobHandler, JobHandlerFactory, Pool, async_handler_fn_with, handler_fn,
    handler_fn_with,
};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::time::Duration;

/// One worker, busy behind the door.
fn busy(
    ledger: &Ledger,
    door: &Door,
    capacity: usize,
) -> Pool<
    Payload,
    impl JobHandlerFactory<Payload, Handler: JobHandler<Payload, Output = u64, Error = String>> + use<>,
> {
    let behind = door.clone();
    let pool = Pool::builder(handler_fn(move |job: Payload| {
        job.run(|| behind.pass());
        Ok::<_, String>(job.id())
    }))
    .workers_per_dispatcher(1)
    .queue_capacity(capacity)
    .build()
    .unwrap();
    ledger.watch(&pool);
    pool.send_blocking(ledger.job()).unwrap();
    door.wait_for(1);
    pool
}

#[test]
fn a_removed_job_never_runs_and_frees_its_room_at_once() {
    watched(|ledger| {
        let door = Door::new();
        let pool = busy(&ledger, &door, 1);
        let handle = pool.try_submit(ledger.job()).unwrap();
        assert!(pool.try_submit(ledger.job()).is_err());
        assert_eq!(handle.cancel(), Cancellation::Removed);
        assert_eq!(pool.metrics().waiting, 0);
        assert_eq!(handle.cancel(), Cancellation::TooLate);
        assert!(handle.is_finished());
        assert!(matches!(handle.wait(), Err(JobError::Cancelled)));
        // The room is free although the worker has not moved.
        let next = pool.try_submit(ledger.job()).unwrap();
        door.open();
        next.wait().unwrap();
        let counts = pool.shutdown_blocking().counts;
        assert_eq!((counts.cancelled, counts.completed), (1, 2));
        ledger.close(counts);
    });
}

#[test]
fn a_cancelled_job_is_dropped_at_once() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let pool = Pool::builder(handler_fn(move |_: Option<Arc<()>>| {
            behind.pass();
            Ok::<_, String>(())
        }))
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
        pool.send_blocking(None).unwrap();
        door.wait_for(1);
        let held = Arc::new(());
        let handle = pool.submit_blocking(Some(held.clone())).unwrap();
        assert_eq!(Arc::strong_count(&held), 2);
        assert_eq!(handle.cancel(), Cancellation::Removed);
        assert_eq!(Arc::strong_count(&held), 1, "a cancelled job is kept");
        door.open();
        ledger.close_with_foreign_jobs(pool.shutdown_blocking().counts);
    });
}

#[test]
fn cancelled_jobs_do_not_pile_up_in_the_queue() {
    watched(|ledger| {
        let door = Door::new();
        let pool = busy(&ledger, &door, 8);
        // Far more than the capacity passes through while nobody takes anything out.
        for _ in 0..50_000 {
            let handle = pool.try_submit(ledger.job()).unwrap();
            assert_eq!(handle.cancel(), Cancellation::Removed);
        }
        assert_eq!(pool.metrics().cancelled, 50_000);
        door.open();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn cancelling_in_the_middle_keeps_the_order_of_the_rest() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let (ran, order) = mpsc::channel();
        let pool = Pool::builder(handler_fn(move |job: Payload| {
            job.run(|| behind.pass());
            ran.send(job.id()).unwrap();
            Ok::<_, String>(())
        }))
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
        pool.send_blocking(ledger.job()).unwrap();
        door.wait_for(1);
        let handles: Vec<_> = (0..500)
            .map(|_| pool.submit_blocking(ledger.job()).unwrap())
            .collect();
        for handle in handles.iter().skip(1).step_by(2) {
            assert_eq!(handle.cancel(), Cancellation::Removed);
        }
        drop(handles);
        door.open();
        ledger.close(pool.shutdown_blocking().counts);
        let kept: Vec<u64> = (0..1).chain((1..=500).step_by(2)).collect();
        assert_eq!(order.try_iter().collect::<Vec<_>>(), kept);
    });
}

#[test]
fn a_running_job_is_asked_and_decides() {
    watched(|ledger| {
        let (started, running) = mpsc::channel();
        let pool = Pool::builder(handler_fn_with(
            move |job: Payload, cx: &fanpool::JobContext| {
                job.run(|| {
                    started.send(cx.clone()).unwrap();
                    futures_lite::future::block_on(cx.cancelled());
                    assert!(cx.is_cancelled());
                    Err::<u64, _>("stopped half-way")
                })
            },
        ))
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let handle = pool.submit_blocking(ledger.job()).unwrap();
        let cx = running.recv().unwrap();
        assert_eq!(cx.id(), handle.id());
        assert!(!cx.is_cancelled());
        let cancel = handle.cancel_handle();
        assert_eq!(cancel.cancel(), Cancellation::Requested);
        assert!(matches!(
            handle.wait(),
            Err(JobError::Failed("stopped half-way"))
        ));
        assert_eq!(cancel.clone().cancel(), Cancellation::TooLate);
        let counts = pool.shutdown_blocking().counts;
        assert_eq!((counts.failed, counts.cancelled), (1, 0));
        ledger.close(counts);
    });
}

#[test]
fn a_context_that_is_kept_does_not_hear_of_later_jobs() {
    watched(|ledger| {
        let (started, contexts) = mpsc::channel();
        let pool = Pool::builder(async_handler_fn_with(
            move |job: Payload, cx: fanpool::JobContext| {
                let started = started.clone();
                async move {
                    job.started();
                    started.send(cx.clone()).unwrap();
                    cx.cancelled().await;
                    job.ended();
                    Ok::<_, String>(())
                }
            },
        ))
        .workers_per_dispatcher(1)
        .build()
        .unwrap();
        let first = pool.submit_blocking(ledger.job()).unwrap();
        let first_cx = contexts.recv().unwrap();
        let _ = first.cancel();
        first.wait().unwrap();
        let second = pool.submit_blocking(ledger.job()).unwrap();
        let second_cx = contexts.recv().unwrap();
        assert!(first_cx.is_cancelled() && !second_cx.is_cancelled());
        assert_ne!(first_cx.id(), second_cx.id());
        let _ = second.cancel();
        second.wait().unwrap();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn dropped_and_forgotten_handles_detach() {
    watched(|ledger| {
        let door = Door::new();
        let pool = busy(&ledger, &door, 8);
        drop(pool.submit_blocking(ledger.job()).unwrap());
        std::mem::forget(pool.submit_blocking(ledger.job()).unwrap());
        let mut polled = pool.submit_blocking(ledger.job()).unwrap();
        assert!(poll_once(&mut polled).is_pending());
        drop(polled);
        door.open();
        let report = pool.shutdown_blocking();
        assert_eq!(report.counts.completed, 4);
        ledger.close(report.counts);
    });
}

#[test]
fn a_timed_wait_gives_the_handle_back() {
    watched(|ledger| {
        let door = Door::new();
        let behind = door.clone();
        let clock = ManualClock::new();
        let pool = Pool::builder(handler_fn(move |job: Payload| {
            job.run(|| behind.pass());
            Ok::<_, String>(job.id())
        }))
        .workers_per_dispatcher(1)
        .clock(clock.clone())
        .build()
        .unwrap();
        let handle = pool.submit_blocking(ledger.job()).unwrap();
        door.wait_for(1);
        let waiter = std::thread::spawn(move || handle.wait_timeout(Duration::from_secs(5)));
        while !waiter.is_finished() {
            clock.advance(Duration::from_secs(1));
            std::thread::yield_now();
        }
        let handle = waiter.join().unwrap().unwrap_err();
        assert!(!handle.is_finished());
        door.open();
        assert_eq!(handle.wait_timeout(Duration::MAX).unwrap().unwrap(), 0);
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_handle_outlives_its_pool() {
    watched(|ledger| {
        let door = Door::new();
        let pool = busy(&ledger, &door, 8);
        let mut done = pool.submit_blocking(ledger.job()).unwrap();
        let handed_back = {
            door.see_one_through();
            door.wait_for(1);
            let handle = pool.submit_blocking(ledger.job()).unwrap();
            let closing = pool.clone();
            let end = std::thread::spawn(move || closing.shutdown_now_blocking());
            while !handle.is_finished() {
                std::thread::yield_now();
            }
            door.open();
            let report = end.join().unwrap();
            assert_eq!(report.unrun.len(), 1);
            drop(pool);
            ledger.close({
                let counts = report.counts;
                drop(report);
                counts
            });
            handle
        };
        let cancel = handed_back.cancel_handle();
        assert_eq!(cancel.cancel(), Cancellation::TooLate);
        assert!(matches!(
            handed_back.wait_timeout(Duration::ZERO),
            Ok(Err(JobError::HandedBack))
        ));
        assert!(matches!(poll_once(&mut done), Poll::Ready(Ok(1))));
    });
}
