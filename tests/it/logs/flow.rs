//! What happens if the output is slow or gone: which processes wait, what is lost, and how it is reported.

use std::collections::BTreeMap;
use std::fs;

use crate::harness::{
    self, Builder, Form, Ledger, Reader, Runtime, Signal, Speed, example, lines_of, process,
    scratch, tally, until,
};

/// Writers in the merged log, one for each slot.
fn writers(form: Form, workers: usize, words: &[&str]) -> Builder {
    Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_INSTANCES", workers.to_string())
        .env("RPM_READY", "delay:1ms")
        .env("RPM_LOG_FORMAT", form.name())
        .arg(example("writer"))
        .program(words.iter().copied())
}

/// Waits until all workers block in a write to a pipe.
#[track_caller]
fn all_stuck(runtime: &Runtime, workers: usize) {
    until("every worker waits in a write", || {
        let workers_now = runtime.workers();
        let stuck = workers_now.iter().filter(|worker| {
            let place = fs::read_to_string(format!("/proc/{}/wchan", worker.pid));
            place.is_ok_and(|place| place.contains("pipe"))
        });
        stuck.count() == workers
    });
}

fn count(runtime: &Runtime, name: &str, labels: &[(&str, &str)]) -> u64 {
    let value = runtime.metric_sum(name, labels);
    value.unwrap_or_else(|| panic!("no {name} {labels:?}"))
}

fn dropped(runtime: &Runtime, reason: &str) -> u64 {
    count(
        runtime,
        "rpm_log_dropped_lines_total",
        &[("reason", reason)],
    )
}

fn worker_dropped(runtime: &Runtime, slot: usize, reason: &str) -> u64 {
    let labels = [("worker", &*slot.to_string()), ("reason", reason)];
    count(runtime, "rpm_worker_log_dropped_lines_total", &labels)
}

/// The numbers of lines in the reports.
fn announced(form: Form, lines: &[String]) -> Vec<u64> {
    let told = lines
        .iter()
        .filter(|line| line.contains("lines were dropped, the output did not keep up"));
    told.map(|line| {
        assert!(form.entry(line).own.is_some(), "{line}");
        let mark = if form == Form::Json {
            "\"lines\":"
        } else {
            " lines="
        };
        let rest = line.split_once(mark);
        let (_, rest) = rest.unwrap_or_else(|| panic!("{line}"));
        let end = rest.find(|c: char| !c.is_ascii_digit());
        rest[..end.unwrap_or(rest.len())].parse().unwrap()
    })
    .collect()
}

/// Complete lines of each slot that arrived, including the last ones (`end`); there may be gaps and nothing else.
#[track_caller]
fn arrived(form: Form, lines: &[String]) -> BTreeMap<String, u64> {
    let written = form.written(lines);
    tally(written.iter().map(String::as_str), true);
    let mut arrived = BTreeMap::new();
    for line in &written {
        let slot = line.split(' ').nth(1).unwrap();
        *arrived.entry(slot.to_owned()).or_default() += 1;
    }
    arrived
}

#[test]
fn everything_else_goes_on_while_the_reader_is_stuck() {
    let (reader, stdout) = Reader::pipe(4096, Speed::Stopped);
    let ledger = Ledger::new("stuck");
    let path = ledger.path().to_str().unwrap();
    let words = ["--forever", "--unique", "--ledger", path];
    let mut runtime = writers(Form::Raw, 2, &words).stdout(stdout).start();
    all_stuck(&runtime, 2);
    let old: Vec<i32> = runtime.workers().iter().map(|worker| worker.pid).collect();
    for path in ["/livez", "/readyz", "/startupz", "/status"] {
        assert_eq!(runtime.get(path).status, 200, "{path}");
    }
    let blocked = || runtime.metric("rpm_log_write_blocked_seconds_total");
    let before = blocked().unwrap();

    runtime.signal(Signal::SIGHUP);
    until("the reload is over", || {
        count(&runtime, "rpm_reloads_total", &[("result", "success")]) == 1
    });
    until("the old ones are gone", || {
        let mut now = runtime.children().into_iter();
        now.all(|worker| !old.contains(&worker.pid))
    });
    runtime.signal(Signal::SIGTTIN);
    runtime.wait_workers(3);
    all_stuck(&runtime, 3);
    assert_eq!(runtime.get("/readyz").status, 200);
    until("the wait is counted", || blocked().unwrap() > before);
    assert_eq!(
        runtime.metric_sum("rpm_log_dropped_lines_total", &[]),
        Some(0)
    );

    // And nothing was lost by all that.
    reader.speed(Speed::Fast);
    reader.wait_bytes(1 << 20);
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let lines = lines_of(&reader.rest());
    let written = Form::Raw.written(&lines);
    harness::account(written.iter().map(String::as_str), &ledger.written());
}

/// Writers that finish although nothing is read; then the output is read.
fn drops_exactly(form: Form) {
    const WORKERS: usize = 4;
    const LINES: u64 = 3000;
    // The pipe contains something from the start: no write succeeds before it is read.
    let (reader, stdout) = Reader::pipe(4096, Speed::Stopped);
    let filler = [b"x".repeat(4095), b"\n".to_vec()].concat();
    assert_eq!(nix::unistd::write(&stdout, &filler), Ok(4096));
    let ledger = Ledger::new(&format!("drop-{}", form.name()));
    let lines = LINES.to_string();
    let path = ledger.path().to_str().unwrap();
    let mut runtime = writers(form, WORKERS, &[&lines, "--ledger", path, "--stay"])
        .env("RPM_LOG_OVERFLOW", "drop")
        .env("RPM_LOG_BUFFER", "256Ki")
        .env("RPM_SIGNALS", "USR2=ignore")
        .stdout(stdout)
        .start();
    let limit = runtime.metric_sum("rpm_log_buffer_limit_bytes", &[]);
    assert_eq!(limit, Some(262_144));
    // No worker waits for the reader.
    until("all is written", || {
        ledger.total() == LINES * WORKERS as u64
    });
    let before = dropped(&runtime, "buffer_full");
    assert!(before > 0);
    let used = runtime.metric("rpm_log_buffer_bytes").unwrap();
    assert!(used > 0.0 && used <= 262_144.0, "{used}");
    assert_eq!(runtime.get("/readyz").status, 200);

    // Two more lines of each worker: the ends of its streams.
    reader.speed(Speed::Fast);
    let all = LINES + 2;
    let lines = || -> Vec<String> { reader.lines().into_iter().skip(1).collect() };
    until("what was kept has come, and the rest is counted", || {
        let arrived = arrived(form, &lines());
        (0..WORKERS).all(|slot| {
            let came = arrived.get(&slot.to_string()).copied().unwrap_or_default();
            came + worker_dropped(&runtime, slot, "buffer_full") == all
        })
    });
    until("it is told", || {
        runtime.signal(Signal::SIGUSR2);
        !announced(form, &lines()).is_empty()
    });
    let lost = dropped(&runtime, "buffer_full");
    assert!(lost >= before);
    assert_eq!(announced(form, &lines()), [lost]);
    for reason in ["rate_limit", "closed"] {
        assert_eq!(dropped(&runtime, reason), 0);
        assert_eq!(worker_dropped(&runtime, 0, reason), 0);
    }
    // The runtime's own lines may be among them.
    let by_worker = (0..WORKERS).map(|slot| worker_dropped(&runtime, slot, "buffer_full"));
    let runtimes = [("reason", "buffer_full"), ("stream", "runtime")];
    let runtimes = count(&runtime, "rpm_log_dropped_lines_total", &runtimes);
    assert_eq!(by_worker.sum::<u64>() + runtimes, lost);

    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let lines = lines_of(&reader.rest()).split_off(1);
    assert_eq!(announced(form, &lines), [lost], "told once");
    let came: u64 = arrived(form, &lines).values().sum();
    assert_eq!(came + lost - runtimes, all * WORKERS as u64);
}

#[test]
fn dropped_lines_are_whole_counted_and_announced_once_in_raw() {
    drops_exactly(Form::Raw);
}

#[test]
fn dropped_lines_are_whole_counted_and_announced_once_in_json() {
    drops_exactly(Form::Json);
}

#[test]
fn behind_a_slow_reader_every_line_comes_or_is_counted() {
    const WORKERS: usize = 4;
    const LINES: u64 = 5000;
    let (reader, stdout) = Reader::pipe(4096, Speed::Slow);
    let lines = LINES.to_string();
    let mut runtime = writers(Form::Prefix, WORKERS, &[&lines, "--only", "out", "--stay"])
        .env("RPM_LOG_OVERFLOW", "drop")
        .env("RPM_LOG_BUFFER", "128Ki")
        .env("RPM_SIGNALS", "USR2=ignore")
        .stdout(stdout)
        .start();
    let all = LINES + 2;
    until("every line has come or is counted", || {
        let arrived = arrived(Form::Prefix, &reader.lines());
        (0..WORKERS).all(|slot| {
            let came = arrived.get(&slot.to_string()).copied().unwrap_or_default();
            came + worker_dropped(&runtime, slot, "buffer_full") == all
        })
    });
    until("every loss is told", || {
        runtime.signal(Signal::SIGUSR2);
        let told: u64 = announced(Form::Prefix, &reader.lines()).iter().sum();
        told == dropped(&runtime, "buffer_full")
    });
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}

#[test]
fn with_room_for_all_nothing_is_dropped() {
    let (reader, stdout) = Reader::pipe(65536, Speed::Fast);
    let mut runtime = writers(Form::Raw, 4, &["1000", "--burst", "50", "--pause", "10"])
        .env("RPM_RESTART", "never")
        .env("RPM_LOG_OVERFLOW", "drop")
        .stdout(stdout)
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let lines = lines_of(&reader.rest());
    let written = Form::Raw.written(&lines);
    let tallies = tally(written.iter().map(String::as_str), false);
    assert_eq!(tallies.len(), 8);
    assert!(tallies.values().all(harness::Tally::is_complete));
    assert!(announced(Form::Raw, &lines).is_empty());
}

#[test]
fn workers_outlive_a_closed_output_in_drop_too() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut runtime = writers(Form::Json, 2, &["--forever"])
        .env("RPM_LOG_OVERFLOW", "drop")
        .stdout(writer)
        .start();
    let workers = runtime.wait_workers(2);
    drop(reader);
    until("a loss is counted", || dropped(&runtime, "closed") > 0);
    let before: Vec<u64> = (0..2)
        .map(|slot| worker_dropped(&runtime, slot, "closed"))
        .collect();
    until("both go on writing", || {
        let mut slots = before.iter().enumerate();
        slots.all(|(slot, before)| worker_dropped(&runtime, slot, "closed") > before + 1000)
    });
    for worker in workers {
        let now = process(worker.pid).unwrap();
        assert!(!now.is_zombie() && now.parent == runtime.pid());
    }
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}

#[test]
fn lines_that_a_full_disk_refused_are_said_at_the_end() {
    let last_words = scratch("last-words-refused").join("termination-log");
    fs::write(&last_words, "").unwrap();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut runtime = Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_RESTART", "never")
        .env("RPM_LOG_FORMAT", "raw")
        .env("RPM_TERMINATION_LOG", &last_words)
        .arg("sh")
        .arg("-c")
        .arg("echo one; echo two >&2; echo three")
        .stdout(full)
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let words = fs::read_to_string(&last_words).unwrap();
    assert!(
        words.contains("the output did not accept 3 lines"),
        "{words}"
    );
}

#[test]
fn the_end_is_bounded_and_says_what_was_not_written() {
    for overflow in ["block", "drop"] {
        let (reader, stdout) = Reader::pipe(4096, Speed::Stopped);
        let last_words = scratch(&format!("last-words-{overflow}")).join("termination-log");
        fs::write(&last_words, "").unwrap();
        let mut runtime = writers(Form::Json, 2, &["--forever"])
            .env("RPM_LOG_OVERFLOW", overflow)
            .env("RPM_TERMINATION_LOG", &last_words)
            .stdout(stdout)
            .start();
        if overflow == "block" {
            all_stuck(&runtime, 2);
        } else {
            until("the buffer is full", || {
                dropped(&runtime, "buffer_full") > 0
            });
        }
        runtime.signal(Signal::SIGTERM);
        // Nobody ever reads: an end without a bound would not come.
        assert_eq!(runtime.wait_exit().code(), Some(0), "{overflow}");
        let words = fs::read_to_string(&last_words).unwrap();
        let (_, tail) = words
            .split_once("the output was stuck, up to ")
            .unwrap_or_else(|| panic!("{overflow}: {words}"));
        let bytes: u64 = tail.split(' ').next().unwrap().parse().unwrap();
        let least = if overflow == "block" { 4096 } else { 1 << 20 };
        assert!(bytes > least, "{overflow}: {words}");
        assert!(tail.contains("bytes were not written"), "{words}");
        drop(reader.rest());
    }
}
