//! The examples `sha256sum` and `sha256sum_async`, as a user runs them, beside GNU `sha256sum`.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// The example with threads, and the one with async code, on each runtime.
fn examples() -> [Command; 3] {
    let mut on_tokio = crate::example("sha256sum_async");
    on_tokio.args(["--runtime", "tokio"]);
    let mut on_smol = crate::example("sha256sum_async");
    on_smol.args(["--runtime", "smol"]);
    [crate::example("sha256sum"), on_tokio, on_smol]
}

/// Runs all examples with these arguments, where `dir` is the current directory. They give the same.
fn run<S: AsRef<OsStr>>(dir: &Path, args: impl IntoIterator<Item = S>) -> Output {
    let args: Vec<S> = args.into_iter().collect();
    let [first, on_tokio, on_smol] = examples().map(|mut command| {
        command.current_dir(dir).args(&args).stdin(Stdio::null());
        command.output().expect("the example runs")
    });
    for other in [on_tokio, on_smol] {
        assert_same(&other.stdout, &first.stdout);
        assert_same(&other.stderr, &first.stderr);
        assert_eq!(other.status.code(), first.status.code());
    }
    first
}

/// The same with GNU's, or `None` with a note where there is none.
fn gnu<S: AsRef<OsStr>>(dir: &Path, args: impl IntoIterator<Item = S>) -> Option<Output> {
    let mut command = Command::new("sha256sum");
    command.current_dir(dir).env("LC_ALL", "C").arg("--version");
    let is_gnu = |version: Output| version.stdout.windows(3).any(|word| word == b"GNU");
    if !command.output().is_ok_and(is_gnu) {
        println!("skipped: no GNU sha256sum on the PATH to compare with");
        return None;
    }
    let mut command = Command::new("sha256sum");
    command.current_dir(dir).env("LC_ALL", "C").arg("--");
    Some(command.args(args).output().expect("sha256sum runs"))
}

/// What `find dir -type f` finds under `dir` in the current directory `base`, in no order.
fn files(base: &Path, dir: &str) -> Vec<OsString> {
    let mut found = Vec::new();
    let mut unread = vec![PathBuf::from(dir)];
    while let Some(dir) = unread.pop() {
        for entry in fs::read_dir(base.join(&dir)).expect("a directory of the test") {
            let entry = entry.expect("an entry");
            let (path, kind) = (dir.join(entry.file_name()), entry.file_type());
            match kind.expect("an entry's type") {
                kind if kind.is_dir() => unread.push(path),
                kind if kind.is_file() => found.push(path.into_os_string()),
                _ => {}
            }
        }
    }
    found
}

/// The same as `LC_ALL=C sort` sorts it.
fn sorted_files(base: &Path, dir: &str) -> Vec<OsString> {
    let mut found = files(base, dir);
    found.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    found
}

fn write(base: &Path, name: impl AsRef<OsStr>, content: impl AsRef<[u8]>) {
    let path = base.join(name.as_ref());
    fs::create_dir_all(path.parent().expect("a parent")).expect("a new directory");
    fs::write(path, content).expect("a new file");
}

/// A tree of everything awkward, in `tree`.
fn awkward() -> TempDir {
    let temp = TempDir::new().expect("a temporary directory");
    let base = temp.path();
    let names: [&[u8]; 24] = [
        b"plain",
        b"two words",
        b" ",
        b"-",
        b"-c",
        b"back\\slash",
        b"new\nline",
        b"carriage\rreturn",
        b"\\\n\r",
        b"tab\tbell\x07",
        b"it's \"quoted\"",
        b"not utf-8 \xff\xfe\x80",
        "na\u{ef}ve \u{65e5}\u{672c}".as_bytes(),
        b"*",
        b".hidden",
        // A directory sorts as if a slash were part of its name: a-b, a.b, a/c, a0.
        b"a/c",
        b"a-b",
        b"a.b",
        b"a0",
        b"a/c-/deep/er/file",
        b"a/c!",
        b"dir\nwith\\newline/file",
        b"dir \xff/\xff",
        b"z/z/z/z/z",
    ];
    for name in names {
        let path = OsString::from_vec([b"tree/", name].concat());
        write(base, path, name);
    }
    write(base, "tree/empty", "");
    write(base, "tree/large", pattern(3 << 20 | 77));
    for len in [55, 56, 63, 64, 65, 65_535, 65_536, 65_537] {
        write(base, format!("tree/sizes/{len}"), pattern(len));
    }
    fs::create_dir(base.join("tree/empty directory")).expect("a new directory");
    symlink("nowhere", base.join("tree/dangling")).expect("a symlink");
    symlink("plain", base.join("tree/link to a file")).expect("a symlink");
    symlink("..", base.join("tree/a/link to a directory")).expect("a symlink");
    temp
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 + n / 251) as u8).collect()
}

/// Byte for byte; on a difference, as text.
fn assert_same(ours: &[u8], expected: &[u8]) {
    if ours != expected {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string().replace("\\n", "\n");
        panic!("ours:\n{}\nexpected:\n{}", text(ours), text(expected));
    }
}

/// All went well, silently.
fn assert_clean(output: &Output) {
    assert_same(&output.stderr, b"");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn prints_what_gnu_prints_sorted_by_path() {
    let temp = awkward();
    let paths = sorted_files(temp.path(), "tree");
    assert_eq!(paths.len(), 34);
    for threads in ["1", "2", "7"] {
        let ours = run(temp.path(), ["--threads", threads, "tree"]);
        assert_clean(&ours);
        if let Some(gnus) = gnu(temp.path(), &paths) {
            assert_same(&ours.stdout, &gnus.stdout);
        }
    }
}

#[test]
fn gnu_checks_it() {
    let temp = awkward();
    let ours = run(temp.path(), ["tree"]);
    write(temp.path(), "SHA256SUMS", &ours.stdout);
    let sums = temp.path().join("SHA256SUMS");
    let mut check = Command::new("sha256sum");
    check.current_dir(temp.path()).args(["--check", "--strict"]);
    if gnu(temp.path(), [&sums]).is_some() {
        let checked = check.arg(&sums).output().expect("sha256sum runs");
        assert_clean(&checked);
        let lines = checked.stdout.split(|byte| *byte == b'\n');
        assert_eq!(lines.filter(|line| line.ends_with(b": OK")).count(), 34);
    }
}

#[test]
fn without_arguments_it_hashes_the_current_directory() {
    let temp = awkward();
    let tree = temp.path().join("tree");
    let ours = run(&tree, [""; 0]);
    assert_clean(&ours);
    assert_same(&ours.stdout, &run(&tree, ["."]).stdout);
    assert_same(&ours.stdout, &run(&tree, ["./"]).stdout);
    if let Some(gnus) = gnu(&tree, sorted_files(&tree, ".")) {
        assert_same(&ours.stdout, &gnus.stdout);
    }
}

#[test]
fn several_arguments_are_merged() {
    let temp = awkward();
    let args = ["tree/z", "tree/a", "tree/plain", "tree/", "tree/a"];
    let ours = run(temp.path(), args);
    assert_clean(&ours);
    let mut paths = vec![OsString::from("tree/plain")];
    for dir in ["tree/z", "tree/a", "tree", "tree/a"] {
        paths.extend(files(temp.path(), dir));
    }
    paths.sort();
    if let Some(gnus) = gnu(temp.path(), paths) {
        assert_same(&ours.stdout, &gnus.stdout);
    }
}

#[test]
fn symlinks_are_followed_among_the_arguments_only() {
    let temp = awkward();
    let base = temp.path();
    symlink("tree/a", base.join("to a directory")).expect("a symlink");
    let ours = run(base, ["tree/link to a file", "to a directory"]);
    assert_clean(&ours);
    let paths = [
        "to a directory/c",
        "to a directory/c!",
        "to a directory/c-/deep/er/file",
        "tree/link to a file",
    ];
    // Sorted: "c!" is after "c", and the directory "c-" is after both.
    if let Some(gnus) = gnu(base, paths) {
        assert_same(&ours.stdout, &gnus.stdout);
    }
}

#[test]
fn what_cannot_be_read_is_reported_and_the_rest_goes_on() {
    let temp = awkward();
    let base = temp.path();
    symlink("loop", base.join("loop")).expect("a symlink");
    let long = "n".repeat(300);
    // In order already, since GNU does not sort them.
    let args = [
        b"",
        b" missing" as &[u8],
        b"loop",
        b"missing",
        b"missing",
        long.as_bytes(),
        b"tree/plain",
        b"tree/plain/",
        b"tree/plain/x",
        b"x\ny\\\xffz\t\"\x7f.",
        b"y'\"$*",
        b"z missing",
    ];
    let args = args.map(OsStr::from_bytes);
    let ours = run(base, args.iter().rev());
    assert_eq!(ours.status.code(), Some(1));
    assert_eq!(ours.stdout.iter().filter(|byte| **byte == b'\n').count(), 1);
    let first = b"sha256sum: '': No such file or directory\n";
    assert_same(&ours.stderr[..first.len()], first);
    if let Some(gnus) = gnu(base, args) {
        assert_same(&ours.stdout, &gnus.stdout);
        assert_same(&ours.stderr, &gnus.stderr);
        assert_eq!(gnus.status.code(), Some(1));
    }
}

/// Root reads everything but this: the first page of a process is not mapped.
#[test]
#[cfg(target_os = "linux")]
fn a_read_error_is_reported() {
    let temp = awkward();
    let ours = run(temp.path(), ["tree/plain", "/proc/self/mem"]);
    assert_eq!(ours.status.code(), Some(1));
    assert_same(
        &ours.stderr,
        b"sha256sum: /proc/self/mem: Input/output error\n",
    );
    assert!(ours.stdout.ends_with(b"  tree/plain\n"));
}

#[test]
fn files_and_directories_without_permission_are_reported() {
    let temp = awkward();
    let base = temp.path();
    let forbid = |name: &str, mode| {
        let path = base.join(name);
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("a mode");
    };
    let all = run(base, ["tree"]).stdout;
    forbid("tree/a", 0);
    forbid("tree/plain", 0);
    let as_root = File::open(base.join("tree/plain")).is_ok();
    let ours = run(base, ["tree"]);
    forbid("tree/a", 0o755);
    if as_root {
        println!("skipped: root reads everything");
        assert_same(&ours.stdout, &all);
        return;
    }
    assert_same(
        &ours.stderr,
        b"sha256sum: tree/a/: Permission denied\nsha256sum: tree/plain: Permission denied\n",
    );
    assert_eq!(ours.status.code(), Some(1));
    // Three files in tree/a, and tree/plain.
    let lines = |text: &[u8]| -> BTreeSet<Vec<u8>> {
        text.split(|byte| *byte == b'\n').map(Vec::from).collect()
    };
    assert_eq!(lines(&all).len() - lines(&ours.stdout).len(), 4);
    assert!(lines(&ours.stdout).is_subset(&lines(&all)));
}

#[test]
fn a_dash_is_standard_input() {
    let temp = awkward();
    let hash = |mut command: Command| {
        command
            .current_dir(temp.path())
            .args(["-", "-", "tree/plain"]);
        let large = File::open(temp.path().join("tree/large")).expect("the large file");
        command.stdin(large).output().expect("a sha256sum runs")
    };
    for command in examples() {
        let ours = hash(command);
        assert_clean(&ours);
        if gnu(temp.path(), ["tree/plain"]).is_some() {
            assert_same(&ours.stdout, &hash(Command::new("sha256sum")).stdout);
        }
    }
}

/// 20 000 files. Only 1000 lines are left when its memory is looked at: they do not fit into the pipe,
/// so that it cannot have ended.
#[test]
#[cfg(target_os = "linux")]
fn memory_stays_small() {
    const FILES: usize = 20_000;
    let temp = TempDir::new().expect("a temporary directory");
    for number in 0..FILES {
        let (outer, inner) = (number % 4, number / 4 % 50);
        let name = format!("outer directory {outer}/inner directory {inner}/file {number}");
        write(temp.path(), name, number.to_string());
    }
    let paths = sorted_files(temp.path(), ".");
    assert_eq!(paths.len(), FILES);
    let gnus = gnu(temp.path(), paths);
    for mut command in examples() {
        command.current_dir(temp.path()).args(["--threads", "4"]);
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut text = Vec::new();
        for _ in 0..FILES - 1000 {
            stdout.read_until(b'\n', &mut text).expect("a line");
        }
        let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
        stdout.read_to_end(&mut text).expect("the rest");
        assert!(child.wait().expect("its status").success());
        if let Some(gnus) = &gnus {
            assert_same(&text, &gnus.stdout);
        }
        let peak = peak_memory(&status.expect("it still ran"));
        println!("peak memory: {peak} kB");
        assert!(peak < 32 << 10, "peak memory: {peak} kB");
    }
}

/// In kB.
#[cfg(target_os = "linux")]
fn peak_memory(status: &str) -> u64 {
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
    peak.and_then(|peak| peak.parse().ok())
        .expect("a peak in kB")
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let temp = awkward();
    for mut command in examples() {
        // More lines than a pipe holds.
        command.args(vec![temp.path().join("tree"); 100]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the example runs");
        let mut first = [0; 64];
        let mut stdout = child.stdout.take().expect("a pipe");
        stdout.read_exact(&mut first).expect("a digest");
        drop(stdout);
        let output = child.wait_with_output().expect("its status");
        assert_same(&output.stderr, b"");
        // What a shell reports for a program that died of SIGPIPE.
        assert_eq!(output.status.code(), Some(141));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error() {
    let temp = awkward();
    for mut command in examples() {
        let full = File::create("/dev/full").expect("/dev/full");
        command.arg(temp.path()).stdout(full);
        let output = command.output().expect("the example runs");
        assert_same(
            &output.stderr,
            b"sha256sum: write error: No space left on device\n",
        );
        assert_eq!(output.status.code(), Some(1));
    }
}

/// Under `script`, which gives it a terminal.
#[test]
#[cfg(target_os = "linux")]
fn a_terminal_gets_a_progress_bar_and_whole_lines() {
    let temp = awkward();
    let on_a_terminal = |redirection: &str| {
        let program = crate::example("sha256sum").get_program().to_owned();
        let command = format!("\"$SHA256SUM\" tree missing {redirection}");
        let mut script = Command::new("script");
        script
            .args(["-qec", &command, "/dev/null"])
            .env("SHA256SUM", program);
        script
            .current_dir(temp.path())
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh");
        script.stdin(Stdio::null()).output().ok()
    };
    let plain = run(temp.path(), ["tree"]).stdout;
    let Some(seen) = on_a_terminal("> sums") else {
        println!("skipped: no `script` on the PATH to make a terminal");
        return;
    };
    assert_eq!(seen.status.code(), Some(1));
    let text = String::from_utf8_lossy(&seen.stdout);
    assert!(text.contains(" files, "), "no bar in {text:?}");
    let complaint = "sha256sum: missing: No such file or directory\r\n";
    assert!(text.contains(complaint), "no complaint in {text:?}");
    let sums = fs::read(temp.path().join("sums")).expect("what went to stdout");
    assert_same(&sums, &plain);

    // Every line follows a line that was just cleared, and is whole.
    let seen = on_a_terminal("")
        .expect("`script` was here just now")
        .stdout;
    let clear_line = b"\x1b[2K";
    for line in plain.split_inclusive(|byte| *byte == b'\n') {
        let shown = [line.strip_suffix(b"\n").unwrap_or(line), b"\r\n"].concat();
        let at = seen.windows(shown.len()).position(|window| window == shown);
        let before = &seen[..at.expect("a whole line")];
        let first = before.is_empty();
        assert!(first || before.ends_with(clear_line) || before.ends_with(b"\r\n"));
    }
}

#[test]
fn help_is_there() {
    for mut command in examples() {
        let help = command.arg("--help").output().expect("the example runs");
        assert_clean(&help);
        assert!(String::from_utf8_lossy(&help.stdout).contains("--threads <N>"));
    }
}
