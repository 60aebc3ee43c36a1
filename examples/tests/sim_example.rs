//! The example `strategies`, as a user runs it.

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

fn strategies(args: &str) -> Command {
    let mut command = crate::example("strategies");
    command
        .args(args.split_whitespace())
        .args(["--strategy", "any", "--workers", "2"])
        .stdin(Stdio::null());
    command
}

fn printed(args: &str) -> String {
    let output = strategies(args).output().expect("the example runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args}: {complaint}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// One run a line.
fn runs(args: &str) -> Vec<Value> {
    let lines = printed(&format!("{args} --format json"));
    let run = |line| serde_json::from_str(line).expect("JSON");
    lines.lines().map(run).collect()
}

const URGENT: &str = "--load 0.9 --jobs 5000 --classes 1,4 --priorities 1,0 --deadlines 2,none";

/// Who reads the output with a program finds what was there before, and nothing else.
#[test]
fn without_classes_and_with_one_order_the_fields_are_the_old_ones() {
    let run = &runs("--load 0.5 --jobs 1000 --keys 3 --order fair-share")[0];
    let names: Vec<_> = run.as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        [
            "strategy",
            "load",
            "mean_wait",
            "mean_sojourn",
            "p50_sojourn",
            "p90_sojourn",
            "p99_sojourn",
            "p999_sojourn",
            "mean_slowdown",
            "utilisation",
            "jobs",
            "refused",
            "per_worker",
            "key_fairness",
            "key_slowdown_fairness",
            "keys"
        ]
    );
    let table = printed("--load 0.5 --jobs 1000");
    for new in ["order", "class", "missed"] {
        assert!(!table.contains(new), "{new:?} is in {table}");
    }
}

#[test]
fn each_order_has_a_run_with_figures_for_each_class() {
    let orders = ["fifo", "priority", "priority:10", "earliest-deadline"];
    let flags = orders.map(|order| format!("--order {order}")).join(" ");
    let runs = runs(&format!("{URGENT} {flags}"));
    let of_runs: Vec<_> = runs.iter().map(|run| run["order"].as_str()).collect();
    assert_eq!(of_runs, orders.map(Some));
    let p99 = |run: usize, class: usize| runs[run]["classes"][class]["p99_wait"].as_f64();
    assert!(p99(1, 0) < p99(2, 0) && p99(2, 0) < p99(0, 0));
    assert!(p99(1, 1) > p99(0, 1));
    for run in &runs {
        let [urgent, others] = &run["classes"].as_array().unwrap()[..] else {
            panic!("{run}");
        };
        assert_eq!(
            (&urgent["priority"], &others["priority"]),
            (&1.into(), &0.into())
        );
        assert_eq!(
            (&urgent["deadlines"], &others["deadlines"]),
            (&urgent["jobs"], &0.into())
        );
        assert_eq!(run["missed"], urgent["missed"]);
    }
}

#[test]
fn the_table_has_a_line_for_each_class() {
    let table = printed(&format!("{URGENT} --order fifo --order priority"));
    for part in [
        "class 0: 20 % of the jobs, priority 1, deadline 2\n",
        "class 1: 80 % of the jobs, priority 0, deadline none\n",
        "strategy          order               load ",
        "any               priority             0.9 ",
        "fairness   missed\n",
    ] {
        assert!(table.contains(part), "{part:?} is not in {table}");
    }
    let rows = |class: &str| table.lines().filter(|line| line.starts_with(class)).count();
    assert_eq!((rows("  class 0"), rows("  class 1")), (2, 2));
}

#[test]
fn a_plot_has_a_line_for_each_order_and_is_the_same_again() {
    let dir = TempDir::new().expect("a temporary directory");
    let draw = |name: &str, args: &str| {
        let path = dir.path().join(name);
        let mut command = strategies(&format!("--jobs 2000 --load 0.5,0.8 {args}"));
        let status = command
            .arg("--plot")
            .arg(&path)
            .stdout(Stdio::null())
            .status();
        assert!(status.expect("the example runs").success(), "{args}");
        fs::read_to_string(path).expect("a plot")
    };
    let classes = "--classes 1,4 --priorities 1,0 --deadlines 1..9 --order fifo --order priority";
    for (args, axis, lines) in [
        (
            "--order fifo --order lifo",
            "p99 of the time",
            vec!["fifo", "lifo"],
        ),
        ("--order lifo --plot-of p50", "median time", vec!["any"]),
        (
            "--keys 8,1,1 --order fifo --order fair-share --plot-of key-mean",
            "mean time",
            vec!["fair-share: busiest key", "fair-share: other keys"],
        ),
        (
            &format!("{classes} --plot-of class-p99"),
            "p99 of the time",
            vec!["fifo: class 1", "priority: class 0", "priority: class 1"],
        ),
        (
            &format!("{classes} --plot-of missed"),
            "in per cent",
            vec!["fifo", "priority"],
        ),
    ] {
        let plot = draw("one.svg", args);
        assert_eq!(plot, draw("other.svg", args), "{args}");
        assert!(plot.contains(axis), "{args}");
        for line in lines {
            let label = format!(">\n{line}\n<");
            assert!(
                plot.contains(&label),
                "{line:?} is not in the plot of {args}"
            );
        }
    }
}

#[test]
fn what_is_wrong_is_said_before_anything_runs() {
    for (args, parts) in [
        ("--order prio", ["'prio'", "priority[:AGEING]"]),
        ("--order fifo:3", ["'fifo:3'", "allowed is fifo"]),
        ("--order priority:0", ["'priority:0'", "1 or more jobs"]),
        ("--order adaptive-lifo:-1", ["-1", "0 or more jobs"]),
        (
            "--order priority",
            ["needs jobs of unequal priority", "--priorities"],
        ),
        (
            "--order priority --priorities 3",
            ["needs jobs of unequal priority", "1,0"],
        ),
        (
            "--order earliest-deadline",
            ["needs jobs with deadlines", "--deadlines"],
        ),
        ("--classes 0", ["'0'", "1 to 64"]),
        ("--classes 1,-1", ["a class's share is -1", "0 or more"]),
        (
            "--classes 2 --priorities 1,2,3",
            ["priorities is 3", "up to 2"],
        ),
        ("--deadlines soon", ["\"soon\"", "2..20"]),
        ("--deadlines 5..2", ["5..2", "greater one last"]),
        (
            "--plot no/plot.svg --plot-of missed",
            ["missed", "--deadlines"],
        ),
        (
            "--plot no/plot.svg --plot-of class-p99",
            ["class-p99", "--classes"],
        ),
        (
            "--plot no/plot.svg --plot-of key-mean",
            ["key-mean", "--keys"],
        ),
    ] {
        let output = strategies(args).output().expect("the example runs");
        assert_eq!(output.status.code(), Some(2), "{args}");
        assert!(output.stdout.is_empty(), "{args}");
        let complaint = String::from_utf8_lossy(&output.stderr);
        for part in parts {
            assert!(complaint.contains(part), "{part:?} is not in {complaint:?}");
        }
    }
}

/// The commands of the guide draw its plots, byte for byte.
#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes unless optimised")]
fn the_plots_of_the_guide_are_what_its_commands_draw() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let guide = fs::read_to_string(here.join("docs/choosing-a-dispatcher.md")).unwrap();
    let dir = TempDir::new().expect("a temporary directory");
    let mut drawn = Vec::new();
    for block in guide.split("```text\nstrategies ").skip(1) {
        let (command, _) = block.split_once("```").expect("an end of the block");
        let Some((args, plot)) = command.trim().split_once("--plot docs/") else {
            continue;
        };
        let copy = dir.path().join("copy.svg");
        let output = crate::example("strategies")
            .args(args.split_whitespace())
            .arg("--plot")
            .arg(&copy)
            .output()
            .expect("the example runs");
        assert!(output.status.success(), "{command}");
        let kept = fs::read(here.join("docs").join(plot)).expect(plot);
        assert!(fs::read(copy).unwrap() == kept, "{plot} is another one");
        drawn.push(plot);
    }
    let shown: Vec<_> = guide.split("](plots/").skip(1).collect();
    assert_eq!(shown.len(), drawn.len(), "each plot has its command");
    for (shown, drawn) in shown.iter().zip(drawn) {
        assert!(
            format!("plots/{shown}").starts_with(&format!("{drawn})")),
            "{drawn}"
        );
    }
}
