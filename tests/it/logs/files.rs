//! Log files: which lines go where, rotation, and everything that may happen to a file and its directory.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::harness::{
    self, Builder, Entry, Form, Ledger, Runtime, Signal, Stream, Tally, example, lines_of,
    log_bytes, log_files, log_lines, scratch, tally, until,
};

fn service(workers: usize) -> Builder {
    Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_INSTANCES", workers.to_string())
        .env("RPM_READY", "delay:1ms")
        .env("RPM_APP_NAME", "web")
        .env("RPM_LOG_FORMAT", "prefix")
        .env("RPM_SIGNALS", "USR2=ignore,WINCH=reopen")
}

fn once(workers: usize) -> Builder {
    service(workers).env("RPM_RESTART", "never")
}

fn writers(builder: Builder, words: &[&str]) -> Builder {
    builder
        .arg(example("writer"))
        .program(words.iter().copied())
}

fn entries(lines: &[String]) -> Vec<Entry> {
    lines.iter().map(|line| Form::Prefix.entry(line)).collect()
}

#[track_caller]
fn complete(lines: &[String], streams: usize) {
    let written = Form::Prefix.written(lines);
    let tallies = tally(written.iter().map(String::as_str), false);
    assert_eq!(tallies.len(), streams);
    assert!(tallies.values().all(Tally::is_complete), "{tallies:?}");
}

#[test]
fn a_file_gets_what_stdout_gets_and_its_directory_is_made() {
    for form in [Form::Raw, Form::Prefix, Form::Json] {
        let name = format!("same-{}", form.name());
        let file = scratch(&name).join("not/there/all.log");
        let builder = once(3)
            .env("RPM_LOG_FORMAT", form.name())
            .env("RPM_LOG_FILE", &file);
        let mut runtime = writers(builder, &["500"]).start();
        assert_eq!(runtime.wait_exit().code(), Some(0));
        assert_eq!(runtime.bytes(Stream::Out), fs::read(&file).unwrap());
        assert_eq!(log_files(&file), [file]);
        let lines = runtime.texts();
        let own = lines.iter().filter(|line| form.entry(line).own.is_some());
        assert!(own.count() > 3);
    }
}

#[test]
fn what_a_file_held_before_stays() {
    let file = scratch("append").join("all.log");
    fs::write(&file, "before\n").unwrap();
    let builder = once(1).env("RPM_LOG_FILE", &file);
    let mut runtime = builder.program(["echo", "after"]).start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let text = fs::read_to_string(&file).unwrap();
    let rest = text.strip_prefix("before\n").unwrap();
    assert_eq!(rest.as_bytes(), runtime.bytes(Stream::Out));
}

#[test]
fn a_slot_in_the_name_gives_each_worker_a_file_and_the_runtime_none() {
    let directory = scratch("slots");
    let pattern = directory.join("{slot}/out-{slot}.log");
    let mut runtime = writers(once(3).env("RPM_LOG_FILE", pattern), &["500"]).start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let mut all = 0;
    for slot in 0..3 {
        let lines = log_lines(&directory.join(format!("{slot}/out-{slot}.log")));
        let own = entries(&lines).into_iter().any(|entry| {
            assert_eq!(entry.slot, Some(slot), "{entry:?}");
            entry.own.is_some()
        });
        assert!(!own);
        complete(&lines, 2);
        all += lines.len();
    }
    let out = runtime.texts();
    let own = entries(&out)
        .into_iter()
        .filter(|entry| entry.own.is_some());
    assert_eq!(all + own.count(), out.len());
}

#[test]
fn an_error_file_takes_stderr_and_nothing_else() {
    let directory = scratch("errors");
    let (out, error) = (directory.join("out.log"), directory.join("error.log"));
    let builder = once(3)
        .env("RPM_LOG_FILE", &out)
        .env("RPM_LOG_ERROR_FILE", &error);
    let mut runtime = writers(builder, &["500"]).start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    for (file, stream, own) in [(out, " out ", true), (error, " err ", false)] {
        let lines = log_lines(&file);
        complete(&lines, 3);
        let entries = entries(&lines);
        assert_eq!(entries.iter().any(|entry| entry.own.is_some()), own);
        let theirs = entries.iter().filter(|entry| entry.own.is_none());
        assert!(theirs.into_iter().all(|entry| entry.text.contains(stream)));
    }
    complete(&runtime.texts(), 6);
}

#[test]
fn an_error_file_alone_takes_stderr() {
    let directory = scratch("only-errors");
    let pattern = directory.join("error-{slot}.log");
    let builder = once(2).env("RPM_LOG_ERROR_FILE", pattern);
    let mut runtime = writers(builder, &["200"]).start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    for slot in 0..2 {
        complete(&log_lines(&directory.join(format!("error-{slot}.log"))), 1);
    }
    complete(&runtime.texts(), 4);
}

#[test]
fn a_file_is_rotated_before_it_grows_too_large() {
    const SIZE: u64 = 64 << 10;
    let file = scratch("size").join("all.log");
    let builder = once(4)
        .env("RPM_LOG_FILE", &file)
        .env("RPM_LOG_ROTATE_SIZE", "64Ki")
        .env("RPM_LOG_ROTATE_EVERY", "off")
        .env("RPM_LOG_RETAIN", "all");
    let mut runtime = writers(builder, &["2000"]).start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let out = runtime.bytes(Stream::Out);
    assert_eq!(log_bytes(&file), out);
    let files = log_files(&file);
    // One write may have the size of a batch and is not split.
    let most = 2 * SIZE;
    assert!(files.len() as u64 >= out.len() as u64 / most, "{files:?}");
    for file in &files {
        let size = file.metadata().unwrap().len();
        assert!(size <= most, "{}: {size}", file.display());
    }
}

#[test]
fn as_many_rotated_files_stay_as_are_wanted() {
    for retain in [0, 3] {
        let file = scratch(&format!("retain-{retain}")).join("all.log");
        let other = file.with_file_name("all.log.1");
        fs::write(&other, "somebody else's\n").unwrap();
        let builder = service(2)
            .env("RPM_LOG_FILE", &file)
            .env("RPM_LOG_ROTATE_SIZE", "32Ki")
            .env("RPM_LOG_RETAIN", retain.to_string());
        let mut runtime = writers(builder, &["2000", "--stay"]).start();
        runtime.wait_for_lines(4, |line| line.contains(" end "));
        until("the rest is removed", || {
            log_files(&file).len() <= retain + 1
        });
        let rotations = [("result", "success")];
        let rotations = runtime.metric_sum("rpm_log_file_rotations_total", &rotations);
        assert!(rotations > Some(10), "{rotations:?}");
        runtime.signal(Signal::SIGTERM);
        assert_eq!(runtime.wait_exit().code(), Some(0));
        // The newest lines are kept.
        let out = runtime.bytes(Stream::Out);
        let kept = log_bytes(&file);
        assert!(out.ends_with(&kept) && kept.len() < out.len());
        let untouched = fs::read_to_string(other).unwrap();
        assert_eq!(untouched, "somebody else's\n");
    }
}

#[test]
fn rotated_files_are_packed_and_gzip_can_read_them() {
    let file = scratch("packed").join("all.log");
    let builder = service(2)
        .env("RPM_LOG_FILE", &file)
        .env("RPM_LOG_ROTATE_SIZE", "64Ki")
        .env("RPM_LOG_RETAIN", "all")
        .env("RPM_LOG_COMPRESS", "true");
    let mut runtime = writers(builder, &["1000", "--stay"]).start();
    runtime.wait_for_lines(4, |line| line.contains(" end "));
    let packed = |path: &PathBuf| path.extension().is_some_and(|end| end == "gz");
    until(
        "all but the active file are packed, and nothing else is left",
        || {
            let files = log_files(&file);
            let entries = fs::read_dir(file.parent().unwrap()).unwrap();
            let active = files.iter().filter(|path| !packed(path)).count();
            files.len() > 3 && active == 1 && entries.count() == files.len()
        },
    );
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
    assert_eq!(log_bytes(&file), runtime.bytes(Stream::Out));
}

#[test]
fn a_file_is_rotated_by_time() {
    let file = scratch("time").join("all.log");
    let builder = service(2)
        .env("RPM_LOG_FILE", &file)
        .env("RPM_LOG_ROTATE_SIZE", "off")
        .env("RPM_LOG_ROTATE_EVERY", "1s")
        .env("RPM_LOG_RETAIN", "all");
    let words = ["--forever", "--burst", "20", "--pause", "20"];
    let mut runtime = writers(builder, &words).start();
    let rotations = || {
        let labels = [("result", "success")];
        runtime.metric_sum("rpm_log_file_rotations_total", &labels)
    };
    until("it was rotated", || rotations() >= Some(3));
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
    assert_eq!(log_bytes(&file), runtime.bytes(Stream::Out));
    assert!(log_files(&file).len() >= 4);
}

#[test]
fn sigusr1_opens_the_file_anew_after_somebody_renamed_it_and_reaches_the_worker() {
    let file = scratch("reopen").join("all.log");
    let script = "trap 'echo got it' USR1; echo up; while :; do sleep 0.05; done";
    let mut runtime = service(1)
        .env("RPM_LOG_FILE", &file)
        .program(["sh", "-c", script])
        .start();
    runtime.wait_for_line(|line| line.ends_with(" up"));
    let mut renamed = Vec::new();
    for turn in 1..=3 {
        let away = file.with_file_name(format!("all.log.{turn}"));
        fs::rename(&file, &away).unwrap();
        renamed.push(away);
        runtime.signal(Signal::SIGUSR1);
        until("the file is there again", || file.exists());
        runtime.wait_for_lines(turn, |line| line.ends_with(" got it"));
    }
    runtime.signal(Signal::SIGTERM);
    runtime.wait_exit();
    renamed.push(file);
    let parts: Vec<Vec<u8>> = renamed.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(parts.iter().all(|part| part.ends_with(b"\n")));
    assert_eq!(parts.concat(), runtime.bytes(Stream::Out));
}

fn lost(runtime: &Runtime) -> u64 {
    let labels = [("reason", "write_error")];
    let lost = runtime.metric_sum("rpm_log_file_dropped_lines_total", &labels);
    lost.unwrap()
}

fn told(lines: &[String], text: &str) -> Vec<String> {
    let lines = lines.iter().filter(|line| line.contains(text));
    lines.cloned().collect()
}

pub(super) const BROKEN: &str = "cannot write to a log file";
pub(super) const MENDED: &str = "a log file can be written again";

/// The number in the single report of a file that works again.
#[track_caller]
fn told_lost(lines: &[String]) -> u64 {
    let told = told(lines, MENDED);
    assert_eq!(told.len(), 1, "{told:?}");
    let (_, number) = told[0].split_once(" lost=").unwrap();
    number.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_directory_that_vanishes_is_made_again() {
    let directory = scratch("vanishes");
    let file = directory.join("logs/all.log");
    let gone = directory.join("gone");
    let mut runtime = service(1)
        .env("RPM_LOG_FILE", &file)
        .program(["sh", "-c", "echo up; exec sleep 1000"])
        .start();
    runtime.wait_for_line(|line| line.ends_with(" up"));
    fs::rename(directory.join("logs"), &gone).unwrap();
    runtime.signal(Signal::SIGWINCH);
    until("the file is there again", || file.exists());
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
    assert!(told(&runtime.texts(), BROKEN).is_empty());
    let both = [fs::read(gone.join("all.log")), fs::read(&file)];
    let both = both.map(Result::unwrap).concat();
    assert_eq!(both, runtime.bytes(Stream::Out));
}

#[test]
fn a_directory_that_cannot_be_made_costs_lines_of_the_file_and_nothing_else() {
    let directory = scratch("in-the-way");
    let logs = directory.join("logs");
    let file = logs.join("all.log");
    let gone = directory.join("gone");
    let ledger = Ledger::new("in-the-way");
    let path = ledger.path().to_str().unwrap();
    let builder = service(2).env("RPM_LOG_FILE", &file);
    let words = [
        "--forever",
        "--unique",
        "--burst",
        "20",
        "--pause",
        "10",
        "--ledger",
        path,
    ];
    let mut runtime = writers(builder, &words).start();
    until("the file grows", || {
        fs::metadata(&file).is_ok_and(|data| data.len() > 1000)
    });
    // A file is in the way, also for root.
    fs::rename(&logs, &gone).unwrap();
    fs::write(&logs, "").unwrap();
    runtime.signal(Signal::SIGWINCH);
    until("a loss is counted", || lost(&runtime) > 100);
    assert_eq!(runtime.get("/readyz").status, 200);
    let writing = ledger.total();
    until("the workers go on", || ledger.total() > writing + 500);
    fs::remove_file(&logs).unwrap();
    runtime.wait_for_line(|line| line.contains(MENDED));
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let out = lines_of(&runtime.bytes(Stream::Out));
    let written = Form::Prefix.written(&out);
    harness::account(written.iter().map(String::as_str), &ledger.written());
    assert_eq!(told(&out, BROKEN).len(), 1);
    let mut kept = log_lines(&gone.join("all.log"));
    kept.extend(log_lines(&file));
    assert_eq!(kept.len() as u64 + told_lost(&out), out.len() as u64);
    is_part(&kept, &out);
}

/// Checks that all lines of `part` are in `all`, complete and in order.
#[track_caller]
fn is_part(part: &[String], all: &[String]) {
    let mut rest = all.iter();
    for line in part {
        assert!(rest.any(|other| other == line), "not in stdout: {line:?}");
    }
}

/// Creates a small, almost full disk at `at` that only the runtime sees; works for any user that may create namespaces.
pub(super) fn small_disk(at: &Path) -> Vec<OsString> {
    let script = format!(
        "mount -t tmpfs -o size=256k none {0} && head -c 200000 /dev/zero > {0}/filler && exec \"$@\"",
        at.display()
    );
    let mut words = vec!["unshare", "--mount"];
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        words.extend(["--user", "--map-root-user"]);
    }
    words.extend(["sh", "-c", &script, "sh"]);
    words.into_iter().map(OsString::from).collect()
}

#[test]
fn a_full_disk_costs_lines_of_the_file_that_are_counted_and_nothing_else() {
    const WORKERS: usize = 2;
    let disk = scratch("full-disk");
    let file = disk.join("all.log");
    let builder = service(WORKERS)
        .under(small_disk(&disk))
        .env("RPM_LOG_FILE", &file);
    let mut runtime = writers(builder, &["3000", "--stay"]).start();
    // Another mount namespace, seen through its process.
    let seen = |path: &Path| {
        let root = PathBuf::from(format!("/proc/{}/root", runtime.pid()));
        root.join(path.strip_prefix("/").unwrap())
    };
    let (seen_file, filler) = (seen(&file), seen(&disk.join("filler")));
    runtime.wait_for_lines(2 * WORKERS, |line| line.contains(" end "));
    assert!(lost(&runtime) > 100);
    assert_eq!(runtime.get("/readyz").status, 200);
    assert!(!disk.join("filler").exists(), "only the runtime sees it");
    let out = || {
        let bytes = runtime.bytes(Stream::Out);
        let end = bytes.iter().rposition(|byte| *byte == b'\n').unwrap();
        lines_of(&bytes[..=end])
    };
    complete(&out(), 2 * WORKERS);
    assert_eq!(told(&out(), BROKEN).len(), 1);
    assert!(told(&out(), BROKEN)[0].contains("error=ENOSPC"));

    fs::remove_file(filler).unwrap();
    until("the file takes lines again", || {
        runtime.signal(Signal::SIGUSR2);
        !told(&out(), MENDED).is_empty()
    });
    until("every line is in the file or counted", || {
        let kept = log_lines(&seen_file).len() as u64;
        kept + lost(&runtime) == out().len() as u64
    });
    let out = out();
    is_part(&log_lines(&seen_file), &out);
    assert_eq!(told_lost(&out), lost(&runtime));
    assert_eq!(told(&out, BROKEN).len(), 1);
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}

#[test]
fn a_file_that_cannot_be_opened_at_the_start_is_no_hindrance() {
    let directory = scratch("no-start");
    fs::write(directory.join("logs"), "").unwrap();
    let file = directory.join("logs/all.log");
    let mut runtime = service(1)
        .env("RPM_LOG_FILE", &file)
        .program(["sh", "-c", "echo up; exec sleep 1000"])
        .start();
    runtime.wait_for_line(|line| line.ends_with(" up"));
    runtime.wait_for_line(|line| line.contains(BROKEN));
    fs::remove_file(directory.join("logs")).unwrap();
    until("it is mended", || {
        runtime.signal(Signal::SIGUSR2);
        !told(&runtime.texts(), MENDED).is_empty()
    });
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let out = lines_of(&runtime.bytes(Stream::Out));
    let kept = log_lines(&file);
    assert_eq!(kept.len() as u64 + told_lost(&out), out.len() as u64);
    is_part(&kept, &out);
}
