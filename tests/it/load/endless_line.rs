//! A gigabyte without a newline: it passes in pieces, and the runtime's memory stays limited.

use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread;

use crate::harness::{Builder, Runtime, Signal, process, until};

const GIGABYTE: usize = 1 << 30;
/// The default of RPM_LOG_BUFFER, and (below) of RPM_LOG_MAX_LINE.
const BUFFER: u64 = 8 << 20;
const PIECE: usize = 256 << 10;
/// Memory that the runtime may need besides the buffer, bytes: data being read, formatted and written, and the answer
/// to a scrape.
const BESIDE: u64 = 6 << 20;

/// Writes it, closes its streams, and waits.
fn endless(format: &str) -> Builder {
    let script = format!(
        "read go; head -c {GIGABYTE} /dev/zero | tr '\\0' x; exec sleep 1000 >/dev/null 2>&1"
    );
    Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_READY", "delay:1ms")
        .env("RPM_LOG_FORMAT", format)
        .stdin(Stdio::piped())
        .program(["sh", "-c", &script])
}

/// Peak resident memory, bytes.
fn high_water(runtime: &Runtime) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", runtime.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kilobytes.parse::<u64>().unwrap() * 1024
}

/// Pieces written, and pieces dropped.
fn pieces(runtime: &Runtime) -> (u64, u64) {
    let count = |name: &str| {
        let sum = runtime.metric_sum(name, &[("stream", "stdout")]);
        sum.unwrap_or_default()
    };
    (
        count("rpm_log_lines_total"),
        count("rpm_log_dropped_lines_total"),
    )
}

/// Sends a gigabyte through a pipe that is read from the start, or, if lines are dropped, only after everything was
/// written.
fn gigabyte(format: &str, overflow: &str) {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let (go, wait) = channel();
    let counting = thread::spawn(move || {
        let (mut chunk, mut count) = (vec![0; 1 << 20], 0);
        wait.recv().unwrap();
        loop {
            let read = reader.read(&mut chunk).unwrap();
            if read == 0 {
                return count;
            }
            count += memchr::memchr_iter(b'x', &chunk[..read]).count();
        }
    });
    let mut runtime = endless(format)
        .env("RPM_APP_NAME", "app")
        .env("RPM_LOG_LEVEL", "off")
        .env("RPM_LOG_OVERFLOW", overflow)
        .stdout(writer)
        .start();
    runtime.wait_for_status("/readyz", 200);
    let before = high_water(&runtime);
    let worker = runtime.workers()[0].pid;
    if overflow == "block" {
        go.send(()).unwrap();
    }
    drop(runtime.stdin());
    until("all is written", || {
        process(worker).is_some_and(|worker| worker.name == "sleep")
    });
    let all = (GIGABYTE / PIECE) as u64;
    if overflow == "drop" {
        // What is kept, and what may be in the two pipes.
        let kept = BUFFER / PIECE as u64 + 8;
        until("the rest is dropped", || pieces(&runtime).1 + kept >= all);
        go.send(()).unwrap();
    }
    until("all is counted", || {
        let (out, dropped) = pieces(&runtime);
        out + dropped >= all
    });
    let grown = high_water(&runtime) - before;
    assert!(grown <= BUFFER + BESIDE, "grew by {grown} bytes");
    assert_eq!(runtime.metric("rpm_log_split_lines_total"), Some(1.0));
    let (out, dropped) = pieces(&runtime);
    assert_eq!(out + dropped, all);
    assert_eq!(dropped > 0, overflow == "drop", "{out} and {dropped}");
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let lost = usize::try_from(dropped).unwrap() * PIECE;
    assert_eq!(counting.join().unwrap(), GIGABYTE - lost);
}

#[test]
fn a_gigabyte_without_a_newline_passes_in_raw() {
    gigabyte("raw", "block");
}

#[test]
fn a_gigabyte_without_a_newline_passes_in_json() {
    gigabyte("json", "block");
}

#[test]
fn a_gigabyte_without_a_newline_is_dropped_in_raw() {
    gigabyte("raw", "drop");
}

#[test]
fn a_gigabyte_without_a_newline_is_dropped_in_json() {
    gigabyte("json", "drop");
}
