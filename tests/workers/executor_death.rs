//! Executors that die under the workers, drop their tasks, or refuse them.

use crate::common::{Ledger, Payload, poll_once, threads_named, watched};
use fanpool::{
    BoxFuture, BuildError, JobContext, JobError, JobHandler, JobHandlerFactory, Pool, PoolBuilder,
    SpawnError, Spawner, SubmitError, Threads, WorkerId, async_handler_fn_with, handler_fn,
};
use futures::executor::ThreadPool;
use futures_lite::future::{block_on, yield_now};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, mpsc};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, LocalSet};

/// Jobs say where they run and then wait here.
struct Gate {
    arrivals: mpsc::Receiver<(u64, WorkerId)>,
    passes: Arc<Semaphore>,
}

impl Gate {
    /// The next job that waits here, and its worker.
    fn arrival(&self) -> (u64, WorkerId) {
        self.arrivals.recv().unwrap()
    }

    fn open(&self) {
        self.passes.close();
    }
}

/// A pool whose jobs wait at a gate.
fn behind_a_gate() -> (
    PoolBuilder<
        Payload,
        impl JobHandlerFactory<Payload, Handler: JobHandler<Payload, Output = WorkerId, Error = String>>,
    >,
    Gate,
) {
    let (arrive, arrivals) = mpsc::channel();
    let passes = Arc::new(Semaphore::new(0));
    let gate = Gate {
        arrivals,
        passes: passes.clone(),
    };
    let builder = Pool::builder(async_handler_fn_with(
        move |job: Payload, cx: JobContext| {
            let (arrive, passes) = (arrive.clone(), passes.clone());
            async move {
                job.started();
                let _ = arrive.send((job.id(), cx.worker()));
                if let Ok(pass) = passes.acquire().await {
                    pass.forget();
                }
                job.ended();
                Ok(cx.worker())
            }
        },
    ));
    (builder, gate)
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap()
}

/// Two jobs at the gate, three in the queue, two submitters before it: then the runtime goes.
fn everybody_is_told<R>(
    ledger: &Ledger,
    runtime: R,
    spawner: impl Spawner,
    let_them_work: impl FnOnce(&R, &Gate),
) {
    let (builder, gate) = behind_a_gate();
    let pool = builder
        .spawner(spawner)
        .workers_per_dispatcher(2)
        .queue_capacity(3)
        .build()
        .unwrap();
    ledger.watch(&pool);
    let mut handles = Vec::new();
    for _ in 0..2 {
        handles.push(pool.submit_blocking(ledger.job()).unwrap());
    }
    let_them_work(&runtime, &gate);
    for _ in 0..3 {
        handles.push(pool.try_submit(ledger.job()).unwrap());
    }
    let mut pending = Box::pin(pool.submit(ledger.job()));
    assert!(poll_once(&mut pending).is_pending());
    let (at_it, starts) = mpsc::channel();
    let blocked = {
        let (pool, job) = (pool.clone(), ledger.job());
        std::thread::spawn(move || {
            at_it.send(()).unwrap();
            pool.submit_blocking(job).map(drop)
        })
    };
    starts.recv().unwrap();
    let waiting = handles.pop().unwrap();
    let waiting = std::thread::spawn(move || waiting.wait());
    let mut shutdown = Box::pin(async { pool.shutdown().await });

    drop(runtime);

    assert!(matches!(waiting.join().unwrap(), Err(JobError::Abandoned)));
    for handle in handles {
        assert!(matches!(handle.wait(), Err(JobError::Abandoned)));
    }
    match blocked.join().unwrap() {
        Err(SubmitError::Closed(job)) => assert_eq!(job.id(), 6),
        other => panic!("{other:?}"),
    }
    match block_on(pending) {
        Err(SubmitError::Closed(job)) => assert_eq!(job.id(), 5),
        other => panic!("{other:?}"),
    }
    assert!(pool.is_closed());
    assert!(
        poll_once(&mut shutdown).is_ready(),
        "nobody is left to wait for"
    );
    drop(shutdown);
    let counts = pool.shutdown_blocking().counts;
    assert_eq!((counts.abandoned, counts.workers), (5, 0));
    pool.join_blocking();
    ledger.close(counts);
}

fn both_at_the_gate(_: &Runtime, gate: &Gate) {
    gate.arrival();
    gate.arrival();
}

fn both_at_the_gate_of_one_thread(runtime: &Runtime, gate: &Gate) {
    runtime.block_on(both_arrived(gate));
}

/// Gives way to the workers until both are at the gate.
async fn both_arrived(gate: &Gate) {
    for _ in 0..2 {
        while gate.arrivals.try_recv().is_err() {
            yield_now().await;
        }
    }
}

/// Spawns through a handle, which works on any thread, even after the runtime is gone.
fn through_a_handle(runtime: &Runtime) -> impl Spawner + use<> {
    let handle = runtime.handle().clone();
    move |task: BoxFuture<'static, ()>| {
        handle.spawn(task);
    }
}

#[test]
fn a_multi_thread_runtime_is_dropped_under_its_workers() {
    watched(|ledger| {
        let runtime = multi_thread();
        let spawner = through_a_handle(&runtime);
        everybody_is_told(&ledger, runtime, spawner, both_at_the_gate);
    });
}

#[test]
fn a_current_thread_runtime_is_dropped_under_its_workers() {
    watched(|ledger| {
        let runtime = Builder::new_current_thread().build().unwrap();
        let spawner = through_a_handle(&runtime);
        everybody_is_told(&ledger, runtime, spawner, both_at_the_gate_of_one_thread);
    });
}

#[test]
fn a_smol_executor_is_dropped_under_its_workers() {
    watched(|ledger| {
        let executor = Arc::new(smol::Executor::new());
        let there = Arc::downgrade(&executor);
        let spawner = move |task: BoxFuture<'static, ()>| match there.upgrade() {
            Some(executor) => executor.spawn(task).detach(),
            None => drop(task),
        };
        everybody_is_told(&ledger, executor, spawner, |executor, gate| {
            block_on(executor.run(both_arrived(gate)));
        });
    });
}

/// Whether the executor drops them before the pool is built or afterwards: nobody waits for them.
#[test]
fn smol_tasks_that_are_not_detached_leave_a_closed_pool_or_none() {
    watched(|ledger| {
        for _ in 0..100 {
            let (builder, _gate) = behind_a_gate();
            let spawner = |task: BoxFuture<'static, ()>| drop(smol::spawn(task));
            let built = builder.spawner(spawner).workers_per_dispatcher(2).build();
            match built {
                Ok(pool) => {
                    ledger.watch(&pool);
                    let outcome = pool.submit_blocking(ledger.job()).map(|job| job.wait());
                    assert!(
                        matches!(
                            outcome,
                            Ok(Err(JobError::Abandoned)) | Err(SubmitError::Closed(_))
                        ),
                        "{outcome:?}"
                    );
                    while !pool.is_closed() {
                        std::thread::yield_now();
                    }
                    pool.shutdown_blocking();
                }
                Err(error) => assert!(error.to_string().contains("needs a `detach`"), "{error}"),
            }
        }
        ledger.close_without_counts();
    });
}

#[test]
fn a_local_set_is_dropped_under_its_workers() {
    watched(|ledger| {
        let local = LocalSet::new();
        let inside = local.enter();
        let runtime = Builder::new_current_thread().build().unwrap();
        let spawner = |task: BoxFuture<'static, ()>| {
            tokio::task::spawn_local(task);
        };
        let parts = (inside, local, runtime);
        everybody_is_told(&ledger, parts, spawner, |(_, local, runtime), gate| {
            local.block_on(runtime, both_arrived(gate));
        });
    });
}

/// A task of `futures`' thread pool holds the pool. So workers keep it alive, and not the other way
/// round.
#[test]
fn workers_outlive_the_handle_of_a_futures_thread_pool() {
    watched(|ledger| {
        let executor = ThreadPool::builder().pool_size(1).create().unwrap();
        let (builder, gate) = behind_a_gate();
        let spawner = {
            let executor = Mutex::new(Some(executor.clone()));
            move |task: BoxFuture<'static, ()>| {
                let executor = crate::common::lock(&executor).take();
                executor.expect("one worker").spawn_ok(task);
            }
        };
        let pool = builder
            .spawner(spawner)
            .workers_per_dispatcher(1)
            .build()
            .unwrap();
        ledger.watch(&pool);
        drop(executor);
        gate.open();
        for _ in 0..10 {
            pool.run_blocking(ledger.job()).unwrap();
        }
        ledger.close(pool.shutdown_blocking().counts);
    });
}

/// `tokio::spawn` finds its runtime by thread: while the pool is built, and nowhere else.
fn where_it_was_built(runtime: &Runtime) -> impl Spawner + use<> {
    let handle = Mutex::new(Some(runtime.handle().clone()));
    move |task: BoxFuture<'static, ()>| {
        let first = crate::common::lock(&handle).clone();
        match tokio::runtime::Handle::try_current() {
            // A replacement, on whatever thread drops the tasks.
            Ok(_) => drop(tokio::spawn(task)),
            Err(_) => {
                let _inside = first.as_ref().map(|handle| handle.enter());
                tokio::spawn(task);
            }
        }
    }
}

#[test]
fn a_runtime_is_dropped_whose_spawner_asks_for_the_current_one() {
    watched(|ledger| {
        let runtime = multi_thread();
        let spawner = where_it_was_built(&runtime);
        everybody_is_told(&ledger, runtime, spawner, both_at_the_gate);
    });
}

#[test]
fn a_runtime_is_dropped_before_its_workers_ever_ran() {
    watched(|ledger| {
        let runtime = Builder::new_current_thread().build().unwrap();
        let spawner = through_a_handle(&runtime);
        let (builder, _gate) = behind_a_gate();
        let pool = builder
            .spawner(spawner)
            .workers_per_dispatcher(3)
            .build()
            .unwrap();
        ledger.watch(&pool);
        let handles: Vec<_> = (0..4)
            .map(|_| pool.submit_blocking(ledger.job()).unwrap())
            .collect();
        drop(runtime);
        for handle in handles {
            assert!(matches!(handle.wait(), Err(JobError::Abandoned)));
        }
        assert!(
            pool.try_send(ledger.job())
                .is_err_and(|refused| refused.is_closed())
        );
        let never = pool.ready_blocking().unwrap_err().to_string();
        assert!(never.contains("dropped before it had one"), "{never}");
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_shutdown_under_way_survives_the_death_of_the_runtime() {
    watched(|ledger| {
        let runtime = multi_thread();
        let (builder, gate) = behind_a_gate();
        let pool = builder
            .spawner(through_a_handle(&runtime))
            .workers_per_dispatcher(1)
            .build()
            .unwrap();
        ledger.watch(&pool);
        let running = pool.submit_blocking(ledger.job()).unwrap();
        gate.arrival();
        let waiting = pool.submit_blocking(ledger.job()).unwrap();
        let mut polled = Box::pin(pool.shutdown());
        assert!(poll_once(&mut polled).is_pending());
        let mut joining = Box::pin(pool.join());
        assert!(poll_once(&mut joining).is_pending());
        let other = pool.clone();
        let blocked = std::thread::spawn(move || other.shutdown_blocking().counts);
        drop(runtime);
        let counts = block_on(polled).counts;
        assert_eq!(counts, blocked.join().unwrap());
        block_on(joining);
        assert!(matches!(running.wait(), Err(JobError::Abandoned)));
        assert!(matches!(waiting.wait(), Err(JobError::Abandoned)));
        assert_eq!(counts.abandoned, 2);
        ledger.close(counts);
    });
}

// ---- single tasks -------------------------------------------------------------------------------

/// What a spawner does with replacements.
#[derive(Clone, Copy)]
enum Replacements {
    Welcome,
    Refused,
    Panic,
}

/// Tokio, telling about each task how to abort it.
struct Abortable {
    runtime: tokio::runtime::Handle,
    tasks: mpsc::Sender<(WorkerId, AbortHandle)>,
    replacements: Replacements,
    seen: Mutex<BTreeSet<WorkerId>>,
}

impl Abortable {
    fn new(
        runtime: &Runtime,
        replacements: Replacements,
    ) -> (Self, mpsc::Receiver<(WorkerId, AbortHandle)>) {
        let (tasks, told) = mpsc::channel();
        let spawner = Abortable {
            runtime: runtime.handle().clone(),
            tasks,
            replacements,
            seen: Mutex::default(),
        };
        (spawner, told)
    }
}

impl Spawner for Abortable {
    fn spawn(&self, worker: WorkerId, task: BoxFuture<'static, ()>) -> Result<(), SpawnError> {
        let first = crate::common::lock(&self.seen).insert(worker);
        match self.replacements {
            Replacements::Refused if !first => return Err(SpawnError::new("no more room")),
            Replacements::Panic if !first => panic!("no more room"),
            _ => {}
        }
        let task = self.runtime.spawn(task);
        let _ = self.tasks.send((worker, task.abort_handle()));
        Ok(())
    }
}

#[test]
fn a_worker_whose_task_is_aborted_is_replaced_and_loses_its_job_alone() {
    watched(|ledger| {
        let runtime = multi_thread();
        let (spawner, tasks) = Abortable::new(&runtime, Replacements::Welcome);
        let (builder, gate) = behind_a_gate();
        let pool = builder
            .spawner(spawner)
            .workers_per_dispatcher(2)
            .build()
            .unwrap();
        ledger.watch(&pool);
        let mut handles: Vec<_> = (0..2)
            .map(|_| Some(pool.submit_blocking(ledger.job()).unwrap()))
            .collect();
        let ((first, there), (_, elsewhere)) = (gate.arrival(), gate.arrival());
        assert_ne!(there, elsewhere);
        let waiting = pool.submit_blocking(ledger.job()).unwrap();
        let aborts: Vec<_> = tasks.iter().take(2).collect();
        let (_, abort) = aborts.iter().find(|(worker, _)| *worker == there).unwrap();
        abort.abort();

        let lost = handles[first as usize].take().unwrap();
        assert!(matches!(lost.wait(), Err(JobError::Abandoned)));
        let (replaced, _) = tasks.recv().unwrap();
        assert_eq!(replaced, there);
        // The waiting job comes to the replacement, while the other one still runs.
        assert_eq!(gate.arrival(), (2, there));
        let mut other = handles.into_iter().flatten().next().unwrap();
        assert!(poll_once(&mut other).is_pending());
        assert_eq!(pool.metrics().workers, 2);
        gate.open();
        assert_eq!(other.wait().unwrap(), elsewhere);
        assert_eq!(waiting.wait().unwrap(), there);
        let counts = pool.shutdown_blocking().counts;
        assert_eq!((counts.abandoned, counts.completed), (1, 2));
        ledger.close(counts);
    });
}

#[test]
fn a_worker_that_is_aborted_time_and_again_for_its_jobs_is_always_replaced() {
    watched(|ledger| {
        let runtime = multi_thread();
        let (spawner, tasks) = Abortable::new(&runtime, Replacements::Welcome);
        let (builder, gate) = behind_a_gate();
        let pool = builder
            .spawner(spawner)
            .workers_per_dispatcher(1)
            .build()
            .unwrap();
        ledger.watch(&pool);
        for _ in 0..20 {
            let handle = pool.submit_blocking(ledger.job()).unwrap();
            gate.arrival();
            let (_, abort) = tasks.recv().unwrap();
            abort.abort();
            assert!(matches!(handle.wait(), Err(JobError::Abandoned)));
        }
        gate.open();
        pool.run_blocking(ledger.job()).unwrap();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

fn goes_on_with_fewer(ledger: &Ledger, replacements: Replacements) {
    let runtime = multi_thread();
    let (spawner, tasks) = Abortable::new(&runtime, replacements);
    let (builder, gate) = behind_a_gate();
    let pool = builder
        .spawner(spawner)
        .workers_per_dispatcher(2)
        .build()
        .unwrap();
    ledger.watch(&pool);
    let mut handles: Vec<_> = (0..4)
        .map(|_| Some(pool.submit_blocking(ledger.job()).unwrap()))
        .collect();
    let ((first, there), (second, elsewhere)) = (gate.arrival(), gate.arrival());
    let aborts: Vec<_> = tasks.iter().take(2).collect();
    let abort = |worker| {
        let task = aborts.iter().find(|(name, _)| *name == worker).unwrap();
        task.1.abort();
    };
    abort(there);
    let lost = handles[first as usize].take().unwrap();
    assert!(matches!(lost.wait(), Err(JobError::Abandoned)));
    while pool.metrics().workers > 1 {
        std::thread::yield_now();
    }
    assert!(!pool.is_closed());
    // The one that is left goes on: its job ends, and the next one starts there.
    gate.passes.add_permits(1);
    let done = handles[second as usize].take().unwrap();
    assert_eq!(done.wait().unwrap(), elsewhere);
    assert_eq!(gate.arrival(), (2, elsewhere));
    // When that one is gone, too, nobody is left.
    abort(elsewhere);
    for handle in handles.into_iter().flatten() {
        assert!(matches!(handle.wait(), Err(JobError::Abandoned)));
    }
    let counts = pool.shutdown_blocking().counts;
    assert_eq!(
        (counts.completed, counts.abandoned, counts.workers),
        (1, 3, 0)
    );
    assert!(
        pool.try_send(ledger.job())
            .is_err_and(|refused| refused.is_closed())
    );
    ledger.close(pool.metrics());
}

#[test]
fn a_pool_whose_spawner_refuses_replacements_goes_on_with_fewer() {
    watched(|ledger| goes_on_with_fewer(&ledger, Replacements::Refused));
}

#[test]
fn a_pool_whose_spawner_panics_on_replacements_goes_on_with_fewer() {
    watched(|ledger| goes_on_with_fewer(&ledger, Replacements::Panic));
}

#[test]
fn a_worker_that_is_aborted_before_it_works_is_given_up_in_the_end() {
    watched(|ledger| {
        let runtime = multi_thread();
        let (spawner, tasks) = Abortable::new(&runtime, Replacements::Welcome);
        let (create, created) = mpsc::channel();
        let pool = Pool::builder(fanpool::handler_factory(move |worker| {
            // A task that asks for its handler has been polled.
            create.send(worker).unwrap();
            Ok::<_, String>(Plain)
        }))
        .spawner(spawner)
        .workers_per_dispatcher(2)
        .build()
        .unwrap();
        ledger.watch(&pool);
        let aborts: Vec<_> = tasks.iter().take(2).collect();
        let started: BTreeSet<_> = created.iter().take(2).collect();
        assert_eq!(started.len(), 2);
        let (doomed, mut task) = aborts.into_iter().next().unwrap();
        for _ in 0..3 {
            task.abort();
            let (worker, replacement) = tasks.recv().unwrap();
            assert_eq!(worker, doomed);
            assert_eq!(created.recv().unwrap(), doomed);
            task = replacement;
        }
        task.abort();
        while pool.metrics().workers > 1 {
            std::thread::yield_now();
        }
        for _ in 0..20 {
            assert_ne!(pool.run_blocking(ledger.job()).unwrap(), doomed);
        }
        assert!(tasks.try_recv().is_err());
        ledger.close(pool.shutdown_blocking().counts);
    });
}

struct Plain;

impl JobHandler<Payload> for Plain {
    type Output = WorkerId;
    type Error = String;

    async fn handle(&mut self, job: Payload, cx: &JobContext) -> Result<WorkerId, String> {
        job.run(|| ());
        Ok(cx.worker())
    }
}

// ---- spawners -----------------------------------------------------------------------------------

#[test]
fn a_spawner_that_throws_every_task_away_is_told_at_once() {
    watched(|_| {
        let (builder, _gate) = behind_a_gate();
        let refused = builder
            .spawner(drop::<BoxFuture<'static, ()>>)
            .workers_per_dispatcher(3)
            .build();
        let why = refused.expect_err("a pool without workers").to_string();
        assert!(why.contains("dropped unpolled"), "{why}");
    });
}

#[test]
fn a_spawner_that_throws_every_task_away_later_leaves_a_closed_pool() {
    watched(|ledger| {
        let (builder, _gate) = behind_a_gate();
        let kept: Arc<Mutex<Vec<BoxFuture<'static, ()>>>> = Arc::default();
        let keeps = kept.clone();
        let pool = builder
            .spawner(move |task| {
                let mut kept = crate::common::lock(&keeps);
                if kept.len() < 3 {
                    kept.push(task);
                }
            })
            .workers_per_dispatcher(3)
            .build()
            .unwrap();
        let tasks = std::mem::take(&mut *crate::common::lock(&kept));
        crate::common::lock(&kept)
            .extend((0..3).map(|_| Box::pin(async {}) as BoxFuture<'static, ()>));
        drop(tasks);
        ledger.watch(&pool);
        assert!(pool.is_closed());
        match pool.submit_blocking(ledger.job()) {
            Err(SubmitError::Closed(job)) => assert_eq!(job.id(), 0),
            other => panic!("{other:?}"),
        }
        let counts = pool.shutdown_blocking().counts;
        assert_eq!(counts.workers, 0);
        ledger.close(counts);
    });
}

#[test]
fn tasks_that_are_kept_for_a_while_and_thrown_away_take_nothing_with_them() {
    watched(|ledger| {
        let shelf: Arc<Mutex<Vec<BoxFuture<'static, ()>>>> = Arc::default();
        let keep = shelf.clone();
        let (builder, _gate) = behind_a_gate();
        let pool = builder
            .spawner(move |task| crate::common::lock(&keep).push(task))
            .workers_per_dispatcher(2)
            .queue_capacity(2)
            .build()
            .unwrap();
        ledger.watch(&pool);
        let handles: Vec<_> = (0..2)
            .map(|_| pool.submit_blocking(ledger.job()).unwrap())
            .collect();
        let mut pending = Box::pin(pool.submit(ledger.job()));
        assert!(poll_once(&mut pending).is_pending());
        loop {
            let tasks = std::mem::take(&mut *crate::common::lock(&shelf));
            if tasks.is_empty() {
                break;
            }
            drop(tasks);
        }
        for handle in handles {
            assert!(matches!(handle.wait(), Err(JobError::Abandoned)));
        }
        assert!(block_on(pending).is_err_and(|refused| refused.is_closed()));
        ledger.close(pool.shutdown_blocking().counts);
    });
}

/// Threads, but not for everyone.
struct Selective {
    threads: Threads,
    refused: WorkerIndex,
    panics: bool,
}

type WorkerIndex = usize;

impl Spawner for Selective {
    fn spawn(&self, worker: WorkerId, task: BoxFuture<'static, ()>) -> Result<(), SpawnError> {
        if worker.index() != self.refused {
            return self.threads.spawn(worker, task);
        }
        if self.panics {
            panic!("out of threads");
        }
        Err(SpawnError::new("out of threads"))
    }

    fn set_pool_name(&mut self, name: &str) {
        self.threads.set_pool_name(name);
    }

    fn join(&self, worker: WorkerId) {
        self.threads.join(worker);
    }
}

#[test]
fn a_spawner_that_fails_half_way_fails_the_build_and_leaves_nothing_behind() {
    watched(|ledger| {
        for (refused, panics) in (0..3).flat_map(|k| [(k, false), (k, true)]) {
            let kept = Arc::new(());
            let in_handler = kept.clone();
            let spawner = Selective {
                threads: Threads::new(),
                refused,
                panics,
            };
            let built = Pool::builder(handler_fn(move |job: Payload| {
                let _ = &in_handler;
                job.run(|| ());
                Ok::<_, String>(())
            }))
            .name("halfway")
            .workers_per_dispatcher(3)
            .spawner(spawner)
            .build();
            let error = built.unwrap_err();
            match &error {
                BuildError::Spawn { worker, .. } => assert_eq!(worker.index(), refused),
                other => panic!("{other:?}"),
            }
            let said = if panics {
                "the spawner panicked: out of threads"
            } else {
                "out of threads"
            };
            assert_eq!(
                error.to_string(),
                format!("worker 0.{refused} could not be spawned: {said}")
            );
            // Those that had started end by themselves, and the factory goes with them.
            while threads_named("halfway-") > 0 || Arc::strong_count(&kept) > 1 {
                std::thread::yield_now();
            }
        }
        assert_eq!(ledger.made(), 0);
    });
}

#[test]
fn tokio_spawn_without_a_runtime_is_a_build_error_that_says_so() {
    watched(|ledger| {
        let (builder, _gate) = behind_a_gate();
        let error = builder
            .spawner(|task| {
                tokio::spawn(task);
            })
            .build()
            .unwrap_err()
            .to_string();
        assert!(error.contains("worker 0.0"), "{error}");
        assert!(error.contains("the spawner panicked"), "{error}");
        assert!(error.contains("runtime"), "{error}");
        assert_eq!(ledger.made(), 0);
    });
}
