//! The log thread with user settings: overflow, buffer, records, rates, files.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use regex::bytes::Regex;

use crate::log::file::Rotation;
use crate::log::tests::{PATIENCE, attach, collector, full_pipe, settings, stream, text};
use crate::log::{
    FileSettings, Flushed, Format, Log, LogSettings, RECORD_WAIT, RecordRule, Stream, start,
};
use crate::model::{Overflow, SlotId};
use crate::policy::Rate;
use crate::sys::io;

/// A log with these settings, and a thread that returns the whole output once the log has ended.
fn collected(change: impl FnOnce(&mut LogSettings)) -> (Log, thread::JoinHandle<Vec<u8>>) {
    let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let mut settings = settings(write_end, Format::Raw, LogSettings::MAX_LINE);
    change(&mut settings);
    (start(settings).unwrap(), collector(read_end))
}

fn pattern(first: &str) -> RecordRule {
    RecordRule::Pattern(Arc::new(Regex::new(first).unwrap()))
}

/// Bytes that a worker wrote and nothing has read.
fn unread(worker: &File) -> usize {
    io::unread(worker).unwrap()
}

fn own(text: &str) -> String {
    format!("[rpm-runtime] {text}\n")
}

#[test]
fn a_stuck_reader_costs_whole_lines_that_are_counted_and_told_when_lines_are_to_be_dropped() {
    const LINES: u64 = 100_000;
    let (reader, out) = full_pipe();
    let mut settings = settings(out, Format::Raw, 1024);
    settings.overflow = Overflow::Drop;
    settings.buffer = 256 * 1024;
    let log = start(settings).unwrap();
    let mut worker = stream(&log, 3, Stream::Stdout);
    for number in 0..LINES {
        writeln!(worker, "line {number}").unwrap();
    }
    // The output is not read yet, and the worker never waited.
    while log.totals().dropped.stdout.buffer_full == 0 || unread(&worker) > 0 {
        thread::yield_now();
    }
    let collector = collector(reader);
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    let totals = log.totals();
    let dropped = totals.dropped.stdout.buffer_full;
    assert_eq!(totals.workers[&SlotId(3)], [dropped, 0, 0, 0].into());
    assert_eq!(totals.lines.stdout + dropped, LINES);
    assert_eq!(totals.buffer, 0);
    assert!(totals.bytes.stdout >= 128 * 1024 / 2, "{totals:?}");
    assert!(totals.blocked > std::time::Duration::ZERO);
    writeln!(worker, "flows again").unwrap();
    drop((worker, log));
    let out = text(collector);
    let out = out.trim_start_matches('.');
    let mut next = 0;
    let mut told = 0;
    for line in out.lines() {
        if let Some(number) = line.strip_prefix("line ") {
            let number: u64 = number.parse().unwrap();
            assert!(number >= next, "{number} after {next}");
            next = number + 1;
        } else if line != "flows again" {
            let lead = "[rpm-runtime] warn: lines were dropped, the output did not keep up output=stdout lines=";
            let rest = line.strip_prefix(lead).unwrap_or_else(|| panic!("{line}"));
            told += rest.split(' ').next().unwrap().parse::<u64>().unwrap();
        }
    }
    assert_eq!(told, dropped);
    assert!(out.ends_with("flows again\n"));
}

#[test]
fn of_a_line_that_was_cut_no_piece_is_missing_before_another() {
    let (reader, out) = full_pipe();
    let mut settings = settings(out, Format::Json, 8 * 1024);
    settings.overflow = Overflow::Drop;
    settings.buffer = 256 * 1024;
    let log = start(settings).unwrap();
    let mut worker = stream(&log, 0, Stream::Stdout);
    let line = "x".repeat(100_000) + "\n";
    worker.write_all(line.repeat(20).as_bytes()).unwrap();
    let collector = collector(reader);
    for _ in 0..20 {
        worker.write_all(line.as_bytes()).unwrap();
    }
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    let dropped = log.totals().dropped.stdout.buffer_full;
    assert!(dropped > 0);
    drop((worker, log));
    let out = text(collector);
    let mut pieces = std::collections::BTreeMap::<String, u64>::new();
    for line in out.trim_start_matches('.').lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        if let Some(id) = object["partial_id"].as_str() {
            let before = pieces.entry(id.to_owned()).or_default();
            *before += 1;
            assert_eq!(object["partial_ordinal"], *before, "{line:.120}");
        }
    }
    assert_eq!(pieces.values().sum::<u64>() + dropped, 40 * 13);
}

#[test]
fn what_many_unfinished_lines_take_is_bounded() {
    let (log, collector) = collected(|settings| {
        settings.buffer = 128 * 1024;
        settings.max_line = 8 * 1024;
    });
    let mut workers: Vec<_> = (0..40)
        .map(|slot| stream(&log, slot, Stream::Stdout))
        .collect();
    for (worker, letter) in workers.iter_mut().zip((b'a'..=b'z').cycle()) {
        worker.write_all(&[letter; 4000]).unwrap();
    }
    while workers.iter().any(|worker| unread(worker) > 0) {
        thread::yield_now();
    }
    for worker in &mut workers {
        worker.write_all(b" end\n").unwrap();
    }
    drop(workers);
    let log_too = log.clone();
    drop(log);
    let flushed = log_too.flush(PATIENCE);
    let totals = log_too.totals();
    drop(log_too);
    let out = text(collector);
    assert_eq!(flushed, Flushed::Done);
    assert_eq!(
        out.lines()
            .map(|line| line.matches(" end").count())
            .sum::<usize>(),
        40
    );
    assert_eq!(out.bytes().filter(|byte| *byte != b'\n').count(), 40 * 4004);
    // Half of the buffer holds at most sixteen of them.
    assert!(totals.split >= 20, "{totals:?}");
}

#[test]
fn a_record_is_one_object_and_goes_out_when_the_next_begins_or_time_is_up() {
    let (log, collector) = collected(|settings| {
        settings.format = Format::Json;
        settings.multiline = Some(pattern("^E"));
    });
    let mut worker = stream(&log, 0, Stream::Stderr);
    worker.write_all(b"E one\n  at a\n").unwrap();
    // Written after the wait, without a further line.
    while log.totals().lines.stderr == 0 {
        thread::yield_now();
    }
    worker
        .write_all(b"E two\n  at b\nE three\n  at c\n")
        .unwrap();
    drop((worker, log));
    let out = text(collector);
    let messages: Vec<_> = out
        .lines()
        .map(|line| {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            object["message"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(
        messages,
        ["E one\n  at a", "E two\n  at b", "E three\n  at c"]
    );
}

#[test]
fn lines_that_never_match_do_not_stay_away() {
    let (log, collector) = collected(|settings| {
        settings.multiline = Some(pattern(r"^\d"));
    });
    let mut worker = stream(&log, 0, Stream::Stdout);
    let mut written = 0;
    while log.totals().lines.stdout == 0 {
        // Faster than the wait for one more line, until the record goes out.
        written += 1;
        assert!(written < 1000, "nothing came out");
        worker.write_all(b" beat\n").unwrap();
        thread::park_timeout(RECORD_WAIT / 20);
    }
    drop((worker, log));
    assert_eq!(text(collector), " beat\n".repeat(written));
}

#[test]
fn what_a_record_was_cut_into_is_settled() {
    let (log, collector) = collected(|settings| {
        settings.multiline = Some(pattern(r"^\d"));
        settings.max_line = 1024;
    });
    let mut worker = stream(&log, 0, Stream::Stdout);
    let line = format!(" at {}\n", "x".repeat(100));
    let record = format!("1\n{}", line.repeat(100));
    worker.write_all(record.as_bytes()).unwrap();
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    assert_eq!(log.totals().buffer, 0);
    drop((worker, log));
    assert_eq!(text(collector), record);
}

#[test]
fn no_more_lines_pass_than_the_rate_allows_and_the_rest_is_told() {
    let (log, collector) = collected(|settings| {
        settings.rate = Some(Rate {
            per_second: 1,
            burst: 10,
        });
    });
    let mut worker = stream(&log, 2, Stream::Stdout);
    for number in 0..500 {
        writeln!(worker, "{number}").unwrap();
    }
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    let totals = log.totals();
    drop((worker, log));
    let out = text(collector);
    let passed = out.lines().filter(|line| !line.starts_with('[')).count() as u64;
    assert!((10..20).contains(&passed), "{out}");
    assert_eq!(totals.dropped.stdout, [0, 500 - passed, 0, 0].into());
    assert_eq!(totals.workers[&SlotId(2)], [0, 500 - passed, 0, 0].into());
    let text = "warn: a worker wrote more lines than RPM_LOG_RATE allows; the rest was dropped";
    let told = own(&format!("{text} slot=2 lines={}", 500 - passed));
    assert!(out.ends_with(&told), "{out}");
    assert!(out.starts_with("0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"));
}

#[test]
fn stderr_apart_goes_to_its_own_place_with_the_own_lines() {
    let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let (log, out) = collected(|settings| settings.err = Some(write_end));
    let err = collector(read_end);
    stream(&log, 0, Stream::Stdout).write_all(b"out\n").unwrap();
    stream(&log, 0, Stream::Stderr).write_all(b"err\n").unwrap();
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    log.line(tracing::Level::INFO, "own");
    drop(log);
    assert_eq!(text(out), "out\n");
    assert_eq!(text(err), "err\n".to_owned() + &own("info: own"));
}

#[test]
fn what_was_said_before_a_worker_came_is_written_before_its_lines() {
    for _ in 0..50 {
        let (log, out) = collected(|_| ());
        log.line(tracing::Level::INFO, "starting");
        let pipe = io::OutputPipe::new().unwrap();
        io::write_all(&pipe.write, b"of the worker\n").unwrap();
        attach(&log, 0, Stream::Stdout, pipe.read);
        log.line(tracing::Level::INFO, "stopped");
        assert_eq!(log.flush(PATIENCE), Flushed::Done);
        drop((log, pipe.write));
        let out = text(out);
        let started = own("info: starting") + "of the worker\n";
        assert!(out.starts_with(&own("info: starting")), "{out}");
        assert_eq!(out.len(), started.len() + own("info: stopped").len());
    }
}

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rpm-flow-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn files_get_the_lines_of_their_stream_and_slot() {
    for overflow in [Overflow::Block, Overflow::Drop] {
        let directory = Directory::new("routes");
        let (log, out) = collected(|settings| {
            settings.overflow = overflow;
            settings.files = FileSettings {
                out: Some(directory.path("deep/er/out-{slot}.log")),
                error: Some(directory.path("err.log")),
                rotation: Arc::default(),
            };
        });
        for slot in [0, 1] {
            let mut one = stream(&log, slot, Stream::Stdout);
            writeln!(one, "out {slot}").unwrap();
            let mut other = stream(&log, slot, Stream::Stderr);
            writeln!(other, "err {slot}").unwrap();
            drop((one, other));
            assert_eq!(log.flush(PATIENCE), Flushed::Done);
        }
        log.line(tracing::Level::INFO, "own");
        drop(log);
        let want = "out 0\nerr 0\nout 1\nerr 1\n";
        let mut got: Vec<_> = text(out).lines().map(str::to_owned).collect();
        let mut want: Vec<_> = want.lines().map(str::to_owned).collect();
        want.push(own("info: own").trim_end().to_owned());
        got.sort();
        want.sort();
        assert_eq!(got, want);
        assert_eq!(directory.read("deep/er/out-0.log"), "out 0\n");
        assert_eq!(directory.read("deep/er/out-1.log"), "out 1\n");
        assert_eq!(directory.read("err.log"), "err 0\nerr 1\n");
    }
}

#[test]
fn a_file_that_was_renamed_is_opened_anew_and_one_that_cannot_be_is_told_once() {
    let directory = Directory::new("reopen");
    let (log, out) = collected(|settings| {
        settings.files.out = Some(directory.path("all.log"));
        settings.files.error = Some(directory.path("all.log/no.log"));
        settings.files.rotation = Arc::new(Rotation::default());
    });
    let mut worker = stream(&log, 0, Stream::Stdout);
    worker.write_all(b"one\n").unwrap();
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    fs::rename(directory.0.join("all.log"), directory.0.join("old.log")).unwrap();
    log.reopen();
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    worker.write_all(b"two\n").unwrap();
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    let mut stderr = stream(&log, 0, Stream::Stderr);
    for _ in 0..10 {
        stderr.write_all(b"lost\n").unwrap();
        assert_eq!(log.flush(PATIENCE), Flushed::Done);
    }
    assert_eq!(log.totals().files, [0, 10].into());
    assert_eq!(log.totals().lines.stderr, 10, "stdout has them");
    drop((worker, stderr, log));
    assert_eq!(directory.read("old.log"), "one\n");
    let all = directory.read("all.log");
    assert!(all.starts_with("two\n"), "{all}");
    let told = "cannot write to a log file";
    assert_eq!(all.matches(told).count(), 1, "own lines go there too");
    assert_eq!(text(out).matches(told).count(), 1);
}

#[test]
fn a_log_file_and_a_stuck_stdout_do_not_concern_each_other_when_lines_are_to_be_dropped() {
    let directory = Directory::new("apart");
    let (mut reader, out) = full_pipe();
    let mut settings = settings(out, Format::Raw, 1024);
    settings.overflow = Overflow::Drop;
    settings.buffer = 128 * 1024;
    settings.files.out = Some(directory.path("all.log"));
    let log = start(settings).unwrap();
    let mut worker = stream(&log, 0, Stream::Stdout);
    let line = "x".repeat(99) + "\n";
    for round in 1..=100 {
        worker.write_all(line.repeat(100).as_bytes()).unwrap();
        let file = directory.0.join("all.log");
        while fs::metadata(&file).map_or(0, |file| file.len()) < round * 10_000 {
            thread::yield_now();
        }
    }
    assert!(log.totals().dropped.stdout.buffer_full > 0);
    assert_eq!(log.totals().files, [0, 0].into());
    let mut byte = [0; 1];
    reader.read_exact(&mut byte).unwrap();
    drop::<File>(reader);
}
