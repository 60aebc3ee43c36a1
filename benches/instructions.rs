//! Instructions that a job costs on the way through the pool, counted by callgrind and compared with what
//! `instructions.json` beside this file says. Times differ from machine to machine and from run to run;
//! these counts differ by less than a thousandth from run to run.
//!
//! `cargo bench --bench instructions` fails when a path costs more than the margin above its record;
//! `-- --record` writes the record anew. Needs valgrind.
//!
//! One thread does all, in an order that is always the same: the workers are futures that it polls itself, and
//! the pool's clock goes on by a fixed step at each look. Each case is run twice, with a different number of
//! jobs, and what the additional jobs took is divided by their number: so neither the start nor the end of
//! the program counts.

use clap::{Parser, ValueEnum};
use fanpool::clock::Clock;
use fanpool::{BoxFuture, Pool, handler_fn};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// How much more than recorded is too much, in percent.
const MARGIN: f64 = 3.0;
/// Jobs at a time.
const BURST: u64 = 256;
const BURSTS: [u64; 2] = [20, 60];

#[derive(Parser)]
#[command(about = "Counts the instructions that a job costs")]
struct Arguments {
    /// Write the counts down instead of comparing them
    #[arg(long)]
    record: bool,

    /// Run one case, to be counted
    #[arg(long, hide = true, requires = "bursts")]
    case: Option<Case>,

    #[arg(long, hide = true)]
    bursts: Option<u64>,

    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Case {
    /// `send_blocking` of a burst, nobody awake to call.
    Send,
    /// The same, and the worker runs the jobs: taken ahead from the queue, run, counted.
    SendAndRun,
    /// The same by a strategy that binds.
    SendAndRunBound,
    /// `submit_blocking`, then the worker runs the jobs, then `wait` for each.
    SubmitAndWait,
    /// `submit_all_blocking`, the worker, `wait` for all.
    SubmitAllAndWait,
    /// One job at a time for a worker that sleeps: called, run, asleep again.
    WakeAndRun,
}

impl Case {
    fn name(self) -> String {
        let value = self.to_possible_value().expect("no case is left out");
        value.get_name().to_owned()
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let (Some(case), Some(bursts)) = (arguments.case, arguments.bursts) {
        run(case, bursts);
        return ExitCode::SUCCESS;
    }
    match compare(arguments.record) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("instructions: {why}");
            ExitCode::FAILURE
        }
    }
}

// ---- what is counted ----------------------------------------------------------------------------

/// Goes on by a tenth of a microsecond at each look: jobs seem tiny.
struct Steps {
    begin: Instant,
    looks: AtomicU64,
}

impl Clock for Steps {
    fn now(&self) -> Instant {
        self.begin + Duration::from_nanos(100) * self.looks.fetch_add(1, Relaxed) as u32
    }

    fn park_until(&self, _: Option<Instant>) {
        std::thread::park();
    }
}

type Tasks = Arc<Mutex<Vec<BoxFuture<'static, ()>>>>;

fn run(case: Case, bursts: u64) {
    let tasks = Tasks::default();
    let spawned = tasks.clone();
    let handled = Arc::new(AtomicU64::new(0));
    let handler = {
        let handled = handled.clone();
        move |n: u64| {
            handled.fetch_add(1, Relaxed);
            Ok::<_, std::io::Error>(n + 1)
        }
    };
    let mut builder = Pool::builder(handler_fn(handler))
        .workers_per_dispatcher(1)
        .queue_capacity(if let Case::Send = case {
            (BURST * (bursts + 1)) as usize
        } else {
            BURST as usize
        })
        .clock(Steps {
            begin: Instant::now(),
            looks: AtomicU64::new(0),
        })
        .spawner(move |task| spawned.lock().expect("not poisoned").push(task));
    if let Case::SendAndRunBound = case {
        builder = builder.dispatcher(fanpool::RoundRobin::new);
    }
    let pool = builder.build().expect("the settings are right");
    let tasks = std::mem::take(&mut *tasks.lock().expect("not poisoned"));
    let [mut worker]: [_; 1] = tasks.try_into().ok().expect("there is one worker");
    // Until it has run so many jobs, and sleeps: it gives way in between.
    let mut work = |jobs: u64| {
        for _ in 0..BURST {
            let polled = worker
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending(), "the pool is open");
            if handled.load(Relaxed) == jobs {
                break;
            }
        }
        for _ in 0..2 {
            let _ = worker
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
        }
    };
    work(0);
    for burst in 1..=bursts {
        let all = burst * BURST;
        match case {
            Case::Send => (0..BURST).for_each(|n| pool.send_blocking(n).expect("there is room")),
            Case::SendAndRun | Case::SendAndRunBound => {
                (0..BURST).for_each(|n| pool.send_blocking(n).expect("there is room"));
                work(all);
            }
            Case::SubmitAndWait => {
                let submit = |n| pool.submit_blocking(n).expect("there is room");
                let handles: Vec<_> = (0..BURST).map(submit).collect();
                work(all);
                for (n, handle) in (0..).zip(handles) {
                    assert_eq!(handle.wait().expect("it runs"), n + 1);
                }
            }
            Case::SubmitAllAndWait => {
                let group = pool.submit_all_blocking(0..BURST).expect("there is room");
                work(all);
                assert_eq!(group.wait().len() as u64, BURST);
            }
            Case::WakeAndRun => {
                for n in 0..BURST {
                    pool.send_blocking(n).expect("there is room");
                    work(all - BURST + n + 1);
                }
            }
        }
    }
    let counts = pool.metrics();
    assert_eq!(counts.accepted, BURST * bursts);
    if !matches!(case, Case::Send) {
        assert_eq!(counts.completed, BURST * bursts);
    }
    // What is left is ended with the process, whose end is not to be counted.
    std::process::exit(0);
}

// ---- counting -----------------------------------------------------------------------------------

/// Answers whether no path costs too much more than recorded.
fn compare(record: bool) -> Result<bool, String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.json");
    let mut counted = BTreeMap::new();
    for case in Case::value_variants() {
        counted.insert(case.name(), each(*case)?);
    }
    if record {
        let text = serde_json::to_string_pretty(&counted).map_err(|error| error.to_string())?;
        std::fs::write(&path, text + "\n").map_err(|error| error.to_string())?;
    }
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("no record in benches/instructions.json: {error}"))?;
    let recorded: BTreeMap<String, f64> =
        serde_json::from_str(&text).map_err(|error| format!("instructions.json: {error}"))?;
    println!("instructions a job       counted  recorded  change");
    let mut fine = true;
    for (name, &count) in &counted {
        let Some(&before) = recorded.get(name) else {
            println!("{name:22} {count:9.1}         -  not recorded: run with `-- --record`");
            fine = false;
            continue;
        };
        let change = 100.0 * (count / before - 1.0);
        let verdict = if change > MARGIN {
            fine = false;
            "too much"
        } else if change < -MARGIN {
            "better: record it"
        } else {
            ""
        };
        println!("{name:22} {count:9.1} {before:9.1} {change:+6.1} %  {verdict}");
    }
    if !fine {
        println!(
            "More than {MARGIN} % above the record. If that is worth it: `cargo bench --bench instructions -- \
             --record`, and say why."
        );
    }
    Ok(fine)
}

fn each(case: Case) -> Result<f64, String> {
    let [few, many] = BURSTS;
    let more = count(case, many)? - count(case, few)?;
    Ok((more / ((many - few) * BURST) as f64 * 10.0).round() / 10.0)
}

/// All instructions of a process that runs the case.
fn count(case: Case, bursts: u64) -> Result<f64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["--case", &case.name(), "--bursts", &bursts.to_string()])
        .output()
        .map_err(|error| format!("valgrind, which counts, cannot be run: {error}"))?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("{} failed under valgrind: {told}", case.name()));
    }
    let collected = told
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .and_then(|(_, count)| count.trim().parse().ok());
    collected.ok_or_else(|| format!("callgrind told no count: {told}"))
}
