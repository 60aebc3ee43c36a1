use fanpool::*;
#[test]
fn smoke() {
    let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, String>(n + 1)))
        .dispatchers(2)
        .workers_per_dispatcher(2)
        .queue_capacity(16)
        .build()
        .unwrap();
    pool.ready_blocking().unwrap();
    let hs: Vec<_> = (0..1000u64)
        .map(|n| pool.submit_blocking(n).unwrap())
        .collect();
    for (n, h) in hs.into_iter().enumerate() {
        assert_eq!(h.wait().unwrap(), n as u64 + 1);
    }
    for n in 0..1000 {
        pool.send_blocking(n).unwrap();
    }
    pool.join_blocking();
    let r = pool.shutdown_blocking();
    println!("{:?}", r);
    assert_eq!(r.counts.completed, 2000);
}
#[test]
fn tokio_smoke() {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let pool = Pool::builder(async_handler_fn(
            |n: u64| async move { Ok::<_, String>(n + 1) },
        ))
        .workers_per_dispatcher(3)
        .queue_capacity(4)
        .spawner(|task| {
            tokio::spawn(task);
        })
        .build()
        .unwrap();
        let p = pool.clone();
        tokio::spawn(async move {
            for n in 0..1000 {
                p.send(n).await.unwrap();
            }
        })
        .await
        .unwrap();
        for n in 0..1000 {
            assert_eq!(pool.run(n).await.unwrap(), n + 1);
        }
        let r = pool.shutdown().await;
        println!("{:?}", r);
    });
}
#[test]
fn closures() {
    let pool = Pool::builder(handler_fn(|f: Box<dyn FnOnce() + Send>| {
        f();
        Ok::<_, String>(())
    }))
    .dispatcher(|| {
        |_: &Job<Box<dyn FnOnce() + Send>>, w: &Workers<'_>| {
            w.iter()
                .next()
                .map_or(Target::Any, |w| Target::Worker(w.id()))
        }
    })
    .build()
    .unwrap();
    pool.submit_blocking(Box::new(|| println!("hi")))
        .unwrap()
        .wait()
        .unwrap();
    let pool2 = Pool::builder(handler_fn(|f: u64| Ok::<_, String>(f)))
        .dispatcher(LeastBusy::new)
        .workers_per_dispatcher(3)
        .build()
        .unwrap();
    for n in 0..1000 {
        assert_eq!(pool2.run_blocking(n).unwrap(), n);
    }
    let r = pool2.shutdown_now_blocking();
    println!("{:?}", r);
}
