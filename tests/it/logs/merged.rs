//! The merged log with real programs: every byte of a worker comes out once, in complete lines and in order, whatever
//! the reader does.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;

use crate::harness::{
    self, Builder, Form, Runtime, Signal, Stream, example, process, scratch, tally, terminal, until,
};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use rpm_runtime::sys::io::unread;

/// A program that runs once, but in the merged log.
fn once(program: &[&str]) -> Builder {
    let builder = Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_RESTART", "never")
        .env("RPM_LOG_FORMAT", "raw")
        .env("RPM_LOG_LEVEL", "info");
    builder.program(program.iter().copied())
}

fn is_own(line: &str) -> bool {
    line.starts_with("[rpm-runtime] ")
}

/// What the workers wrote to the merged stream.
fn workers_bytes(runtime: &Runtime) -> Vec<u8> {
    let all = runtime.bytes(Stream::Out);
    let lines = all.split_inclusive(|byte| *byte == b'\n');
    let theirs = lines.filter(|line| !line.starts_with(b"[rpm-runtime] "));
    theirs.flatten().copied().collect()
}

/// The pipe for a runtime's stdout: our end, and its end.
fn pipe(size: i32) -> (File, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(size)).unwrap();
    (OwnedFd::from(reader).into(), writer.into())
}

fn flags(fd: impl AsFd) -> OFlag {
    OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap())
}

/// The lines of `writer` in `texts` without their format; every other line must be one of the runtime's own.
#[track_caller]
fn tallied(texts: &[String], form: Form) -> BTreeMap<(String, String), harness::Tally> {
    let entries = texts.iter().map(|text| form.entry(text));
    let lines: Vec<String> = entries
        .filter(|entry| entry.own.is_none())
        .map(|entry| {
            let mut words = entry.text.split(' ');
            assert_eq!(words.next(), Some("w"), "{entry:?}");
            let (id, stream) = (words.next().unwrap(), words.next().unwrap());
            if let Some(slot) = entry.slot {
                assert_eq!(slot.to_string(), id, "{entry:?}");
            }
            if let Some(said) = &entry.stream {
                assert_eq!(*said, format!("std{stream}"), "{entry:?}");
            }
            entry.text
        })
        .collect();
    tally(lines.iter().map(String::as_str), false)
}

/// Eight workers write to both streams while the runtime logs continuously.
fn every_line(form: Form) {
    const WORKERS: usize = 8;
    let mut runtime = Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_INSTANCES", WORKERS.to_string())
        .env("RPM_LOG_FORMAT", form.name())
        .env("RPM_SIGNALS", "USR1=ignore")
        .arg(example("writer"))
        .program(["4000", "--stay"])
        .start();
    runtime.wait_for_lines(WORKERS, |line| line.contains("worker started"));
    let ends = |runtime: &Runtime| {
        let texts = runtime.texts();
        texts.iter().filter(|text| text.contains(" end ")).count()
    };
    until("every writer has written its last line", || {
        runtime.signal(Signal::SIGUSR1);
        ends(&runtime) >= 2 * WORKERS
    });
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
    assert_eq!(runtime.bytes(Stream::Err), b"");
    let texts = runtime.texts();
    let tallies = tallied(&texts, form);
    assert_eq!(tallies.len(), 2 * WORKERS);
    for (key, tally) in &tallies {
        assert!(tally.is_complete(), "{key:?}: {tally:?}");
    }
    let lines: u64 = tallies.values().map(|tally| tally.lines).sum();
    assert_eq!(lines, 4000 * WORKERS as u64);
    let ignored = |text: &&String| text.contains("signal received, ignoring it");
    assert!(texts.iter().filter(ignored).count() > 1);
}

#[test]
fn every_line_arrives_once_whole_and_in_order() {
    every_line(Form::Raw);
}

#[test]
fn every_line_arrives_once_whole_and_in_order_behind_its_prefix() {
    every_line(Form::Prefix);
}

#[test]
fn every_line_arrives_once_whole_and_in_order_as_json() {
    every_line(Form::Json);
}

/// 20 000 lines from each of two Node programs that end at once. Returns how many arrived of each, in order and without
/// a gap.
fn node_lines(first: &str) -> [usize; 2] {
    let script = format!(
        "{first}; for (let i = 0; i < 20000; i++) \
         console.log(`line ${{process.env.NODE_APP_INSTANCE}} ${{i}} ` + 'x'.repeat(80)); process.exit(0)"
    );
    let mut runtime = once(&["node", "-e", &script])
        .env("RPM_INSTANCES", "2")
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let texts = runtime.texts();
    [0, 1].map(|slot| {
        let start = format!("line {slot} ");
        let lines = texts.iter().filter(|text| text.starts_with(&start));
        lines.enumerate().fold(0, |count, (number, line)| {
            assert_eq!(*line, format!("{start}{number} {}", "x".repeat(80)));
            count + 1
        })
    })
}

#[test]
fn node_may_exit_right_after_its_last_line() {
    let blocking = "process.stdout._handle.setBlocking(true)";
    assert_eq!(node_lines(blocking), [20_000; 2]);
}

#[test]
fn what_node_keeps_to_itself_when_it_exits_is_a_tail() {
    // Node makes its end of the pipe non-blocking, and at process.exit() it drops what the pipe did not take yet, with
    // any reader. Everything that it wrote is here.
    assert!(node_lines("").iter().all(|count| *count >= 500));
}

#[test]
fn a_last_line_without_an_end_is_ended() {
    let mut runtime = once(&["sh", "-c", "echo whole; printf open"]).start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    assert_eq!(workers_bytes(&runtime), b"whole\nopen\n");
    // The runtime's own text has a line of its own.
    let last = runtime.texts().pop().unwrap();
    assert!(is_own(&last), "{last}");
}

#[test]
fn bytes_that_are_no_text_pass() {
    let mut runtime = once(&["sh", "-c", r"printf '\377\376 a\0b\r\033[31m\n\303'"]).start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    assert_eq!(workers_bytes(&runtime), b"\xff\xfe a\0b\r\x1b[31m\n\xc3\n");
}

#[test]
fn a_worker_killed_in_mid_line_leaves_what_it_wrote() {
    let mut runtime = once(&["sh", "-c", "printf 'whole\\nhalf'; kill -KILL $$"]).start();
    assert_eq!(runtime.wait_exit().code(), Some(137));
    assert_eq!(workers_bytes(&runtime), b"whole\nhalf\n");
}

#[test]
fn an_orphan_that_holds_the_pipe_does_not_hold_up_the_end() {
    let mut runtime = Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_RESTART", "never")
        .env("RPM_LOG_FORMAT", "raw")
        .arg(example("leaver"))
        .program(["--deaf", "--session", "--exit"])
        .allow_leftovers()
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let alive = runtime.alive();
    assert_eq!(alive.len(), 1, "the orphan still has the pipe: {alive:?}");
    runtime.wait_for_line(|line| line.starts_with("ready pid"));
}

/// The only own line with `message`, and its level.
#[track_caller]
fn told<'a>(texts: &'a [String], message: &str) -> (&'a str, &'a str) {
    let fits = |text: &&String| is_own(text) && text.contains(&format!(": {message} "));
    let found: Vec<&String> = texts.iter().filter(fits).collect();
    assert_eq!(found.len(), 1, "{message}: {texts:#?}");
    let line = found[0].strip_prefix("[rpm-runtime] ").unwrap();
    line.split_once(": ").unwrap()
}

/// The value of `key` in an own line, with its quotes.
#[track_caller]
fn field<'a>(line: &'a str, key: &str) -> &'a str {
    let start = format!(" {key}=");
    let (_, rest) = line
        .split_once(&start)
        .unwrap_or_else(|| panic!("no {key}: {line}"));
    if let Some(quoted) = rest.strip_prefix('"') {
        let end = quoted.find('"').unwrap();
        return &rest[..end + 2];
    }
    rest.split(' ').next().unwrap()
}

#[test]
fn a_start_a_crash_and_what_follows_are_one_line_each() {
    let mut runtime = Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_READY", "delay:1ms")
        .env("RPM_MAX_RESTARTS", "2")
        .env("RPM_BACKOFF_MIN", "20ms")
        .arg(example("crasher"))
        .program(["3", "200"])
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(3));
    let texts = runtime.texts();
    let all = |message: &str| -> Vec<&String> {
        let fits = |text: &&String| text.contains(&format!(": {message} "));
        texts.iter().filter(fits).collect()
    };
    let (started, ready, ended) = (
        all("worker started"),
        all("worker ready"),
        all("worker ended"),
    );
    assert!(started.len() >= 2, "{texts:#?}");
    assert_eq!(started.len(), ended.len(), "{texts:#?}");
    assert_eq!(started.len(), ready.len(), "{texts:#?}");
    for ((started, ready), ended) in started.iter().zip(ready).zip(&ended) {
        assert!(started.starts_with("[rpm-runtime] info: "), "{started}");
        assert!(ready.starts_with("[rpm-runtime] info: "), "{ready}");
        assert!(ended.starts_with("[rpm-runtime] error: "), "{ended}");
        for line in [*started, ready, ended] {
            assert_eq!(field(line, "slot"), "0");
            assert_eq!(field(line, "pid"), field(started, "pid"));
        }
        assert_eq!(field(ended, "cause"), "exit");
        assert!(field(ended, "exit").contains('3'), "{ended}");
        field(ended, "uptime");
    }
    let next = |line: &str| field(line, "next").to_owned();
    assert!(next(ended[0]).contains("restart "), "{}", ended[0]);
    assert_eq!(next(ended.last().unwrap()), "\"giving up\"");
    let (level, line) = told(&texts, "giving up");
    assert_eq!((level, field(line, "slot")), ("error", "0"));
    assert_eq!(field(line, "code"), "3");
}

#[test]
fn a_death_by_signal_is_an_error_and_names_it() {
    let mut runtime = Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_MAX_RESTARTS", "1")
        .arg(example("crasher"))
        .program(["signal:SEGV"])
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(139));
    let texts = runtime.texts();
    let (level, line) = told(&texts, "worker ended");
    assert_eq!((level, field(line, "cause")), ("error", "signal"));
    assert!(field(line, "exit").contains("SEGV"), "{line}");
}

#[test]
fn a_clean_end_is_no_error() {
    let mut runtime = once(&["true"]).start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let texts = runtime.texts();
    let (level, line) = told(&texts, "worker ended");
    assert_eq!((level, field(line, "cause")), ("info", "exit"));
    assert!(texts.iter().all(|text| !text.contains("] error: ")));
}

#[test]
fn a_stop_is_one_line_for_each_step() {
    let mut runtime = Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_INSTANCES", "2")
        .env("RPM_READY", "delay:1ms")
        .arg(example("slow_start"))
        .program(["0"])
        .start();
    runtime.wait_for_lines(2, |line| line.contains("worker ready"));
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let texts = runtime.texts();
    let (level, line) = told(&texts, "signal received, stopping");
    assert_eq!((level, field(line, "signal")), ("info", "SIGTERM"));
    let (level, line) = told(&texts, "stopping all workers");
    assert_eq!((level, field(line, "workers")), ("info", "2"));
    for slot in ["0", "1"] {
        let fits = |text: &&String| {
            text.contains(": worker ended ") && text.contains(&format!(" slot={slot} "))
        };
        let ended: Vec<&String> = texts.iter().filter(fits).collect();
        assert_eq!(ended.len(), 1, "{texts:#?}");
        assert!(ended[0].starts_with("[rpm-runtime] info: "), "{}", ended[0]);
        assert_eq!(field(ended[0], "cause"), "stop");
        assert_eq!(field(ended[0], "next"), "stopping");
    }
    let (level, line) = told(&texts, "stopped");
    assert_eq!((level, field(line, "code")), ("info", "0"));
    assert!(texts.last().unwrap().contains(": stopped "), "{texts:#?}");
}

/// Endless writers on a pipe that is not read, once all of them block in a write.
fn stuck(reader: &File, runtime: &Runtime, workers: usize) {
    let held = runtime.wait_workers(workers);
    // A page with room, but not for the next piece, counts as full.
    until("something is in the output", || unread(reader).unwrap() > 0);
    until("every worker waits in a write", || {
        held.iter().all(|worker| {
            let place = fs::read_to_string(format!("/proc/{}/wchan", worker.pid));
            place.is_ok_and(|place| place.contains("pipe"))
        })
    });
}

#[test]
fn a_stuck_reader_stops_the_workers_and_nothing_else() {
    let (reader, writer) = pipe(4096);
    let last_words = scratch("stuck").join("termination-log");
    fs::write(&last_words, "").unwrap();
    let mut runtime = Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_INSTANCES", "2")
        .env("RPM_READY", "delay:1ms")
        .env("RPM_TERMINATION_LOG", &last_words)
        .arg(example("writer"))
        .arg("1000000000")
        .stdout(writer)
        .start();
    stuck(&reader, &runtime, 2);
    for path in ["/livez", "/readyz", "/startupz"] {
        runtime.wait_for_status(path, 200);
    }
    let lines = || runtime.metric("rpm_log_lines_total{stream=\"stdout\"}");
    let before = lines();
    assert_eq!(runtime.get("/status").status, 200);
    assert_eq!(lines(), before, "nobody reads");
    let closed = [("reason", "closed")];
    let dropped = runtime.metric_sum("rpm_log_dropped_lines_total", &closed);
    assert_eq!(dropped, Some(0));
    runtime.signal(Signal::SIGTERM);
    // Nobody ever reads: an end without a bound would not come.
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let words = fs::read_to_string(&last_words).unwrap();
    let (_, tail) = words
        .split_once("the output was stuck, up to ")
        .unwrap_or_else(|| panic!("{words}"));
    let bytes = tail.split(' ').next().unwrap();
    assert!(bytes.parse::<u64>().unwrap() > 4096, "{words}");
    assert!(tail.contains("bytes were not written"), "{words}");
}

/// Reads to the end, a little at a time, from a small pipe.
fn sip(mut reader: File) -> thread::JoinHandle<Vec<String>> {
    thread::spawn(move || {
        let (mut all, mut sip) = (Vec::new(), [0; 700]);
        loop {
            match reader.read(&mut sip).unwrap() {
                0 => break,
                count => all.extend_from_slice(&sip[..count]),
            }
        }
        let lines = String::from_utf8(all).unwrap();
        lines.lines().map(str::to_owned).collect()
    })
}

/// Four writers into `stdout`, to their ends; `reader` must get everything.
fn loses_nothing(reader: File, writer: OwnedFd) {
    let lines = sip(reader);
    let mut runtime = Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_INSTANCES", "4")
        .env("RPM_RESTART", "never")
        .arg(example("writer"))
        .arg("3000")
        .stdout(writer)
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let texts = lines.join().unwrap();
    let tallies = tallied(&texts, Form::Raw);
    assert_eq!(tallies.len(), 8);
    assert!(tallies.values().all(harness::Tally::is_complete));
    let lines: u64 = tallies.values().map(|tally| tally.lines).sum();
    assert_eq!(lines, 12_000);
}

#[test]
fn a_slow_reader_loses_nothing() {
    let (reader, writer) = pipe(4096);
    loses_nothing(reader, writer);
}

#[test]
fn an_output_that_somebody_made_nonblocking_loses_nothing() {
    let (reader, writer) = pipe(4096);
    // The flag belongs to all processes that share the pipe, and any of them may have set it.
    let all = flags(&writer) | OFlag::O_NONBLOCK;
    fcntl(&writer, FcntlArg::F_SETFL(all)).unwrap();
    loses_nothing(reader, writer);
}

#[test]
fn the_flags_of_the_output_are_left_alone() {
    let (reader, writer) = pipe(4096);
    let before = flags(&writer);
    let mut runtime = once(&["echo", "hello"])
        .stdout(writer.try_clone().unwrap())
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    assert_eq!(flags(&writer), before);
    drop(writer);
    assert!(sip(reader).join().unwrap().contains(&"hello".to_owned()));
}

#[test]
fn workers_outlive_the_reader_and_the_loss_is_counted() {
    let (reader, writer) = pipe(65536);
    let mut runtime = Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_INSTANCES", "2")
        .arg(example("writer"))
        .arg("1000000000")
        .stdout(writer)
        .start();
    let workers = runtime.wait_workers(2);
    drop(reader);
    let dropped = || {
        let closed = [("reason", "closed")];
        let dropped = runtime.metric_sum("rpm_log_dropped_lines_total", &closed);
        dropped.unwrap()
    };
    until("a loss is counted", || dropped() > 0);
    let before = dropped();
    until("the workers go on writing", || dropped() > before + 1000);
    for worker in workers {
        let now = process(worker.pid).unwrap();
        assert!(!now.is_zombie() && now.parent == runtime.pid());
    }
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}

#[test]
fn inherit_gives_the_worker_our_own_streams() {
    let mut runtime = once(&[
        "sh",
        "-c",
        "readlink /proc/$$/fd/1; readlink /proc/$$/fd/2 >&2",
    ])
    .env("RPM_LOG_FORMAT", "inherit")
    .start();
    let ours = |fd: u32| fs::read_link(format!("/proc/{}/fd/{fd}", runtime.pid()));
    let ours = [ours(1), ours(2)];
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let out = String::from_utf8(runtime.bytes(Stream::Out)).unwrap();
    let err = String::from_utf8(runtime.bytes(Stream::Err)).unwrap();
    // Only the worker's own bytes on stdout.
    assert!(
        out.starts_with("pipe:[") && out.lines().count() == 1,
        "{out}"
    );
    let theirs: Vec<&str> = err.lines().filter(|line| !is_own(line)).collect();
    assert_eq!(theirs.len(), 1, "{err}");
    assert_ne!(theirs[0], out.trim_end());
    for (ours, theirs) in ours.iter().zip([out.trim_end(), theirs[0]]) {
        // It may have ended before we looked.
        if let Ok(ours) = ours {
            assert_eq!(ours.to_string_lossy(), theirs);
        }
    }
    assert!(err.lines().any(is_own), "{err}");
}

#[test]
fn inherit_leaves_a_terminal_a_terminal() {
    let (mut master, slave) = terminal();
    let copy = || slave.try_clone().unwrap();
    let mut runtime = once(&[
        "sh",
        "-c",
        "test -t 0 && test -t 1 && test -t 2 && echo all three",
    ])
    .env("RPM_LOG_FORMAT", "inherit")
    .env("RPM_LOG_LEVEL", "error")
    .stdin(copy())
    .stdout(copy())
    .stderr(copy())
    .start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    drop(slave);
    let mut said = Vec::new();
    // The end of a terminal is an error (EIO); the data read so far stays.
    let _ = master.read_to_end(&mut said);
    assert_eq!(String::from_utf8_lossy(&said), "all three\r\n");
}
