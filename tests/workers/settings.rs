//! Settings: what they are when nobody sets them, and what they refuse.

use crate::common::{Door, Payload, threads_named, watched};
use fanpool::{BuildError, JobHandler, JobHandlerFactory, Pool, PoolBuilder, Threads, handler_fn};
use std::convert::Infallible;

fn builder(
    door: &Door,
) -> PoolBuilder<
    Payload,
    impl JobHandlerFactory<Payload, Handler: JobHandler<Payload, Output = (), Error = Infallible>>
    + use<>,
> {
    let door = door.clone();
    Pool::builder(handler_fn(move |job: Payload| {
        job.run(|| door.pass());
        Ok(())
    }))
}

/// The message must name the setting, its value and what is allowed.
#[track_caller]
fn refused<J: Send + 'static, H: JobHandlerFactory<J>>(
    builder: PoolBuilder<J, H>,
    name: &str,
    given: &str,
    range: &str,
) {
    let error = builder.build().unwrap_err();
    let text = error.to_string();
    for part in [name, given, range] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    match error {
        BuildError::Setting {
            setting,
            value,
            allowed,
        } => {
            assert_eq!(setting, name);
            assert_eq!(value, given);
            assert!(allowed.contains(range));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_defaults_are_as_documented() {
    watched(|ledger| {
        let door = Door::new();
        let pool = builder(&door).build().unwrap();
        ledger.watch(&pool);
        let parallelism = std::thread::available_parallelism().unwrap().get();
        assert_eq!(pool.size(), 1);
        assert_eq!(pool.metrics().workers, parallelism as u64);
        assert!(format!("{pool:?}").contains("\"fanpool\""));
        for _ in 0..parallelism {
            pool.try_send(ledger.job()).unwrap();
        }
        door.wait_for(parallelism);
        for _ in 0..1000 {
            pool.try_send(ledger.job()).unwrap();
        }
        assert!(
            pool.try_send(ledger.job())
                .is_err_and(|refused| refused.is_full())
        );
        door.open();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn the_machine_is_shared_out_among_dispatchers() {
    watched(|ledger| {
        let parallelism = std::thread::available_parallelism().unwrap().get();
        for dispatchers in [2, 3, 64] {
            let pool = builder(&Door::new())
                .dispatchers(dispatchers)
                .build()
                .unwrap();
            let each = parallelism.div_ceil(dispatchers);
            assert_eq!(pool.size(), dispatchers);
            assert_eq!(pool.metrics().workers, (each * dispatchers) as u64);
            ledger.close(pool.shutdown_blocking().counts);
        }
    });
}

#[test]
fn the_smallest_settings_work() {
    watched(|ledger| {
        let door = Door::new();
        door.open();
        let pool = builder(&door)
            .name("x")
            .dispatchers(1)
            .workers_per_dispatcher(1)
            .queue_capacity(1)
            .build()
            .unwrap();
        ledger.watch(&pool);
        for _ in 0..100 {
            pool.send_blocking(ledger.job()).unwrap();
        }
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
#[cfg(target_pointer_width = "64")]
fn the_largest_capacity_costs_nothing() {
    watched(|ledger| {
        let door = Door::new();
        door.open();
        let pool = builder(&door).queue_capacity(1 << 48).build().unwrap();
        ledger.watch(&pool);
        pool.run_blocking(ledger.job()).unwrap();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
#[cfg(target_pointer_width = "64")]
fn sizes_out_of_range_are_refused_with_what_is_allowed() {
    watched(|_| {
        let max = usize::MAX.to_string();
        let new = || builder(&Door::new());
        refused(new().dispatchers(0), "dispatchers", "0", "1 to 4096");
        refused(new().dispatchers(4097), "dispatchers", "4097", "1 to 4096");
        refused(
            new().dispatchers(usize::MAX),
            "dispatchers",
            &max,
            "1 to 4096",
        );
        let workers = "workers_per_dispatcher";
        refused(
            new().workers_per_dispatcher(0),
            workers,
            "0",
            "1 to 1048576",
        );
        refused(
            new().workers_per_dispatcher(usize::MAX),
            workers,
            &max,
            "1 to 1048576",
        );
        let many = new().dispatchers(4096).workers_per_dispatcher(257);
        refused(many, workers, "257", "1 to 256");
        refused(
            new().queue_capacity(0),
            "queue_capacity",
            "0",
            "1 to 281474976710656",
        );
        refused(
            new().queue_capacity(usize::MAX),
            "queue_capacity",
            &max,
            "1 to 281474976710656",
        );
        refused(new().inbox_depth(0), "inbox_depth", "0", "1 to 4294967295");
        refused(
            new().inbox_depth(usize::MAX),
            "inbox_depth",
            &max,
            "1 to 4294967295",
        );
        let beyond = (1 << 48) + 1;
        refused(
            new().queue_capacity(beyond),
            "queue_capacity",
            &beyond.to_string(),
            "1 to 281474976710656",
        );
    });
}

#[test]
fn names_that_no_thread_can_have_are_refused() {
    watched(|_| {
        let new = || builder(&Door::new());
        refused(new().name(""), "name", "\"\"", "not empty");
        refused(new().name("a\0b"), "name", "\"a\\0b\"", "no NUL");
    });
}

#[test]
fn a_long_name_that_is_not_ascii_works() {
    watched(|ledger| {
        let door = Door::new();
        door.open();
        let pool = builder(&door).name("köche-".repeat(40)).build().unwrap();
        ledger.watch(&pool);
        pool.run_blocking(ledger.job()).unwrap();
        ledger.close(pool.shutdown_blocking().counts);
    });
}

#[test]
fn a_refused_setting_starts_no_thread() {
    watched(|_| {
        let new = || builder(&Door::new()).name("refused");
        assert!(new().queue_capacity(0).build().is_err());
        assert!(new().workers_per_dispatcher(0).build().is_err());
        assert!(new().dispatchers(0).build().is_err());
        assert_eq!(threads_named("refused"), 0);
    });
}

#[test]
#[cfg(target_pointer_width = "64")]
fn a_stack_that_no_machine_has_is_a_spawn_error() {
    watched(|_| {
        for bytes in [1 << 60, usize::MAX] {
            let built = builder(&Door::new())
                .workers_per_dispatcher(2)
                .spawner(Threads::new().stack_size(bytes))
                .build();
            let error = built.unwrap_err();
            let text = error.to_string();
            assert!(
                text.starts_with("worker 0.0 could not be spawned: "),
                "{text}"
            );
            match error {
                BuildError::Spawn { worker, .. } => assert_eq!(worker.index(), 0),
                other => panic!("{other:?}"),
            }
        }
    });
}
