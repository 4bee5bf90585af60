//! The log thread with real pipes at both ends.

mod flow;
mod inserted;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use super::{Flushed, Format, Log, LogSettings, Stream, WorkerLabel, start, subscriber};
use crate::model::{Generation, Pid, SlotId};
use crate::sys::epoll::{Interest, Poller};
use crate::sys::io::{OutputPipe, set_nonblocking, write_all};

/// Limit of each wait for something that must come at once.
pub const PATIENCE: Duration = Duration::from_mins(1);

fn log_to(out: impl Into<OwnedFd>, format: Format, max_line: usize) -> Log {
    start(settings(out, format, max_line)).unwrap()
}

pub fn settings(out: impl Into<OwnedFd>, format: Format, max_line: usize) -> LogSettings {
    LogSettings {
        format,
        app_name: "web".to_owned(),
        max_line,
        buffer: LogSettings::BUFFER,
        out: Some(out.into()),
        ..LogSettings::default()
    }
}

/// A log, and a thread that returns the whole output once the log has ended.
fn collected(format: Format, max_line: usize) -> (Log, JoinHandle<Vec<u8>>) {
    let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC).unwrap();
    (log_to(write_end, format, max_line), collector(read_end))
}

/// A thread that returns everything that it reads.
pub fn collector(read_end: impl Into<OwnedFd>) -> JoinHandle<Vec<u8>> {
    let mut reader = File::from(read_end.into());
    thread::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        all
    })
}

/// A worker's stream: the log reads what the test writes here.
pub fn stream(log: &Log, slot: u16, stream: Stream) -> File {
    let OutputPipe { read, write } = OutputPipe::new().unwrap();
    attach(log, slot, stream, read);
    File::from(write)
}

pub fn attach(log: &Log, slot: u16, stream: Stream, read: OwnedFd) {
    let worker = WorkerLabel {
        slot: SlotId(slot),
        generation: Generation(0),
        pid: Pid::new(17).unwrap(),
    };
    log.attach(worker, stream, read, None);
}

/// The read end of a full pipe, and its write end.
pub fn full_pipe() -> (File, OwnedFd) {
    let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC).unwrap();
    set_nonblocking(&write_end, true).unwrap();
    while nix::unistd::write(&write_end, &[b'.'; 4096]).is_ok() {}
    set_nonblocking(&write_end, false).unwrap();
    (File::from(read_end), write_end)
}

pub fn text(collector: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8(collector.join().unwrap()).unwrap()
}

#[test]
fn partial_writes_of_two_streams_come_out_as_whole_lines() {
    let (log, collector) = collected(Format::Raw, LogSettings::MAX_LINE);
    let mut one = stream(&log, 0, Stream::Stdout);
    let mut two = stream(&log, 1, Stream::Stderr);
    for number in 0..200 {
        for part in ["one ", "and ", &format!("{number}\n")] {
            one.write_all(part.as_bytes()).unwrap();
            two.write_all(part.replace("one", "two").as_bytes())
                .unwrap();
        }
    }
    drop((one, two));
    let handle = log.clone();
    drop(log);
    assert_eq!(handle.flush(PATIENCE), Flushed::Done);
    let totals = handle.totals();
    drop(handle);
    let out = text(collector);
    for word in ["one", "two"] {
        let got: Vec<_> = out.lines().filter(|line| line.starts_with(word)).collect();
        let want: Vec<_> = (0..200).map(|n| format!("{word} and {n}")).collect();
        assert_eq!(got, want);
    }
    assert_eq!(totals.lines, [200, 200, 0].into());
    assert_eq!(
        totals.bytes.stdout + totals.bytes.stderr + totals.bytes.runtime,
        out.len() as u64
    );
    assert_eq!(totals.dropped, [[0; 4]; 3].into());
}

#[test]
fn every_line_before_a_close_comes_out() {
    let (log, collector) = collected(Format::Raw, LogSettings::MAX_LINE);
    let writers: Vec<_> = (0..4)
        .map(|slot| {
            let mut out = stream(&log, slot, Stream::Stdout);
            thread::spawn(move || {
                for number in 0..20_000 {
                    writeln!(out, "worker {slot} line {number}").unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    drop(log);
    let out = text(collector);
    for slot in 0..4 {
        let mut want = 0;
        for line in out
            .lines()
            .filter(|line| line.starts_with(&format!("worker {slot} ")))
        {
            assert_eq!(line, format!("worker {slot} line {want}"));
            want += 1;
        }
        assert_eq!(want, 20_000);
    }
}

#[test]
fn the_end_of_a_stream_ends_its_line() {
    let (log, collector) = collected(Format::Raw, LogSettings::MAX_LINE);
    stream(&log, 0, Stream::Stdout)
        .write_all(b"last \xff\0words")
        .unwrap();
    drop(log);
    assert_eq!(collector.join().unwrap(), b"last \xff\0words\n");
}

#[test]
fn a_flush_does_not_wait_for_an_orphan() {
    let (log, collector) = collected(Format::Raw, LogSettings::MAX_LINE);
    let mut orphan = stream(&log, 0, Stream::Stdout);
    orphan.write_all(b"whole\nhalf").unwrap();
    log.line(tracing::Level::INFO, "stopped");
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    // Two lines of the orphan and one of our own, in any order.
    assert_eq!(log.totals().lines, [2, 0, 1].into());
    orphan.write_all(b"later\n").unwrap();
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    drop((orphan, log));
    let out = text(collector).replace("[rpm-runtime] info: stopped\n", "");
    assert_eq!(out, "whole\nhalf\nlater\n");
}

#[test]
fn a_flush_does_not_wait_for_an_orphan_that_goes_on_writing() {
    let (log, collector) = collected(Format::Raw, LogSettings::MAX_LINE);
    let mut orphan = stream(&log, 0, Stream::Stdout);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = thread::spawn(move || {
        let mut rounds = 0;
        while rounds == 0 || stopped.try_recv().is_err() {
            orphan.write_all(&b"again and again\n".repeat(100)).unwrap();
            rounds += 100;
        }
        rounds
    });
    for _ in 0..20 {
        assert_eq!(log.flush(PATIENCE), Flushed::Done);
    }
    stop.send(()).unwrap();
    let rounds = writer.join().unwrap();
    drop(log);
    // A flush in the middle of a line only ends the line.
    assert!(text(collector).replace('\n', "") == "again and again".repeat(rounds));
}

#[test]
fn a_stuck_reader_costs_own_lines_only_and_they_are_counted() {
    let (reader, out) = full_pipe();
    let log = log_to(out, Format::Raw, LogSettings::MAX_LINE);
    let mut worker = stream(&log, 0, Stream::Stdout);
    worker.write_all(b"from a worker\n").unwrap();
    for number in 0..5000 {
        log.line(tracing::Level::INFO, &format!("number {number}"));
    }
    let dropped = log.totals().dropped;
    assert_eq!(
        [dropped.stdout, dropped.stderr],
        [[0; 4]; 2].map(Into::into)
    );
    let dropped = dropped.runtime.own_queue_full;
    assert!(dropped >= 5000 - 2 * 1024, "{dropped:?}");
    let Flushed::Unfinished { bytes } = log.flush(Duration::from_millis(1)) else {
        panic!("flushed into a full pipe");
    };
    assert!(bytes > 1024 * 20, "{bytes}");
    let collector = collector(reader);
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    log.line(tracing::Level::INFO, "flows again");
    drop((worker, log));
    let out = text(collector);
    let out = out.trim_start_matches('.');
    assert!(out.contains("from a worker\n"));
    // Every number is there, or is in a gap whose size is reported in its place.
    let (mut next, mut gaps) = (0, 0);
    for line in out.lines() {
        if let Some(number) = line.strip_prefix("[rpm-runtime] info: number ") {
            assert_eq!(number.parse(), Ok(next));
            next += 1;
        } else if let Some(gap) = line.strip_prefix("[rpm-runtime] warn: lines of the runtime are missing here, the output was stuck lines=") {
            next += gap.parse::<u64>().unwrap();
            gaps += gap.parse::<u64>().unwrap();
        }
    }
    assert_eq!((next, gaps), (5000, dropped));
    assert_eq!(out.lines().last(), Some("[rpm-runtime] info: flows again"));
}

#[test]
fn a_stuck_reader_makes_a_worker_wait_and_loses_nothing() {
    let (reader, out) = full_pipe();
    let log = log_to(out, Format::Raw, LogSettings::MAX_LINE);
    let mut worker = stream(&log, 0, Stream::Stdout);
    let lines = b"a line of a busy worker\n".repeat(50_000);
    let copy = lines.clone();
    let writer = thread::spawn(move || worker.write_all(&copy).unwrap());
    let collector = collector(reader);
    writer.join().unwrap();
    drop(log);
    let out = collector.join().unwrap();
    let dots = out.iter().take_while(|byte| **byte == b'.').count();
    assert!(out[dots..] == lines[..]);
}

#[test]
fn a_closed_reader_is_survived_and_counted() {
    let (read_end, out) = pipe2(OFlag::O_CLOEXEC).unwrap();
    drop(read_end);
    let log = log_to(out, Format::Raw, LogSettings::MAX_LINE);
    let mut worker = stream(&log, 0, Stream::Stdout);
    // Far more than the pipes hold: the worker would block forever if nothing read them.
    for _ in 0..1000 {
        worker.write_all(&b"into the void\n".repeat(100)).unwrap();
    }
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    assert_eq!(log.totals().dropped.stdout, [0, 0, 100_000, 0].into());
    assert_eq!(log.totals().workers[&SlotId(0)], [0, 0, 100_000, 0].into());
    assert_eq!(log.totals().lines, [0; 3].into());
}

#[test]
fn a_reader_that_comes_back_is_served_and_told() {
    let path = std::env::temp_dir().join(format!("rpm-log-{}", std::process::id()));
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let open = |flags| nix::fcntl::open(&path, flags, nix::sys::stat::Mode::empty()).unwrap();
    let first = open(OFlag::O_RDONLY | OFlag::O_NONBLOCK);
    let log = log_to(open(OFlag::O_WRONLY), Format::Raw, LogSettings::MAX_LINE);
    drop(first);
    let mut worker = stream(&log, 0, Stream::Stdout);
    worker.write_all(b"one\ntwo\n").unwrap();
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    let mut second = File::from(open(OFlag::O_RDONLY | OFlag::O_NONBLOCK));
    std::fs::remove_file(&path).unwrap();
    worker.write_all(b"three\n").unwrap();
    drop(worker);
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    drop(log);
    set_nonblocking(&second, false).unwrap();
    let mut out = String::new();
    second.read_to_string(&mut out).unwrap();
    let told = "[rpm-runtime] error: lines were lost before this one, the output did not take them lines=2 error=EPIPE\n";
    assert_eq!(out, format!("three\n{told}"));
}

#[test]
fn a_full_disk_is_survived() {
    let log = log_to(
        File::options().write(true).open("/dev/full").unwrap(),
        Format::Raw,
        100,
    );
    let mut worker = stream(&log, 0, Stream::Stderr);
    worker.write_all(b"one\ntwo\n").unwrap();
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    assert_eq!(log.totals().dropped.stderr, [0, 0, 2, 0].into());
}

#[test]
fn the_prefix_tells_the_slot_and_marks_the_rest_of_a_cut_line() {
    let (log, collector) = collected(Format::Prefix, 8);
    let mut worker = stream(&log, 3, Stream::Stdout);
    worker
        .write_all("one\n\ntwo ab1é more, and\nhal".as_bytes())
        .unwrap();
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    worker.write_all(b"f\n").unwrap();
    drop(worker);
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    let totals = log.totals();
    drop(log);
    let want = "[web:3] one\n[web:3] \n[web:3] two ab1\n[web:3+] é more,\n[web:3+]  and\n[web:3] hal\n[web:3] f\n";
    assert_eq!(text(collector), want);
    assert_eq!(totals.lines, [7, 0, 0].into());
    assert_eq!(totals.bytes, [want.len() as u64, 0, 0].into());
    assert_eq!(totals.split, 1);
}

#[test]
fn an_event_is_one_line_with_its_fields_after_the_message() {
    let (log, collector) = collected(Format::Prefix, 8);
    tracing::subscriber::with_default(
        subscriber(&log, Targets::new().with_default(LevelFilter::INFO)),
        || {
            tracing::info!(slot = 0, pid = 17, "worker started");
            tracing::debug!("not at this level");
            tracing::warn!(reason = "two\nlines", exit = %"SIGKILL", ok = true, "worker \"x\" ended;\nrestarting");
            tracing::error!(address = ?"[::]:80", "bad");
        },
    );
    tracing::subscriber::with_default(subscriber(&log, Targets::new()), || {
        tracing::error!("nobody listens");
    });
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    assert_eq!(log.totals().lines, [0, 0, 3].into());
    drop(log);
    let want = "[rpm-runtime] info: worker started slot=0 pid=17\n\
        [rpm-runtime] warn: worker \"x\" ended;\\nrestarting reason=\"two\\nlines\" exit=SIGKILL ok=true\n\
        [rpm-runtime] error: bad address=\"\\\"[::]:80\\\"\"\n";
    assert_eq!(text(collector), want);
}

#[test]
fn many_streams_come_and_go() {
    let (log, collector) = collected(Format::Prefix, LogSettings::MAX_LINE);
    for round in 0..20 {
        let mut files: Vec<_> = (0..20)
            .map(|slot| stream(&log, slot, Stream::Stdout))
            .collect();
        for file in &mut files {
            writeln!(file, "round {round}").unwrap();
        }
    }
    drop(log);
    let out = text(collector);
    assert_eq!(out.lines().count(), 400);
    for slot in 0..20 {
        let label = format!("[web:{slot}] ");
        let rounds: std::collections::BTreeSet<_> = out
            .lines()
            .filter_map(|line| line.strip_prefix(&label))
            .collect();
        assert_eq!(rounds.len(), 20);
    }
}

#[test]
fn the_log_ends_after_its_last_handle_and_stream() {
    let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let log = log_to(write_end, Format::Raw, 100);
    let worker = stream(&log, 0, Stream::Stdout);
    drop(log);
    write_all(&worker, b"still read\n").unwrap();
    drop(worker);
    let mut poller = Poller::new().unwrap();
    poller.add(&read_end, 1, Interest::Hangup).unwrap();
    let mut ready = Vec::new();
    while !ready
        .iter()
        .any(|ready: &crate::sys::epoll::ReadyFd| ready.hangup)
    {
        poller.wait(&mut ready, Some(PATIENCE)).unwrap();
        assert!(!ready.is_empty());
    }
    let mut out = String::new();
    File::from(read_end).read_to_string(&mut out).unwrap();
    assert_eq!(out, "still read\n");
}
