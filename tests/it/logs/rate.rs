//! The rate limit: which lines pass, what is counted, and how it is reported.

use crate::harness::{Builder, Form, Runtime, Signal, Stream, lines_of, until};

fn service(form: Form, script: &str) -> Builder {
    Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_INSTANCES", "2")
        .env("RPM_LOG_FORMAT", form.name())
        .program(["sh", "-c", script])
}

fn limited(runtime: &Runtime, slot: u64) -> u64 {
    let labels = [("worker", &*slot.to_string()), ("reason", "rate_limit")];
    let name = "rpm_worker_log_dropped_lines_total";
    runtime.metric_sum(name, &labels).unwrap()
}

/// The sum of the numbers in the reports about a slot.
fn announced(lines: &[String], slot: u64) -> u64 {
    let text = "a worker wrote more lines than RPM_LOG_RATE allows; the rest was dropped";
    let told = lines.iter().filter(|line| line.contains(text));
    told.filter_map(|line| {
        let mut words = line.split(' ');
        words.find(|word| *word == format!("slot={slot}"))?;
        let lines = words.find_map(|word| word.strip_prefix("lines="))?;
        Some(lines.parse::<u64>().unwrap())
    })
    .sum()
}

/// Slot 0 writes a thousand lines at once, then a line from time to time; slot 1 writes little.
const LOUD: &str = "if [ $RPM_INSTANCE = 0 ]; then \
    seq -f 'burst %.0f' 1000; else echo quiet; fi; while sleep 0.3; do echo later; done";

#[test]
fn a_burst_passes_and_the_rest_is_counted_and_told() {
    let mut runtime = service(Form::Prefix, LOUD)
        .env("RPM_LOG_RATE", "10:20")
        .start();
    let lines = || lines_of_whole(&runtime.bytes(Stream::Out));
    until("it is told", || {
        let lost = limited(&runtime, 0);
        lost > 0 && announced(&lines(), 0) == lost
    });
    // Later lines of both pass again.
    runtime.wait_for_line(|line| line.contains("[sh:0] later"));
    runtime.wait_for_line(|line| line.contains("[sh:1] later"));
    let lost = limited(&runtime, 0);
    runtime.signal(Signal::SIGTERM);
    runtime.wait_exit();
    let lines = lines_of(&runtime.bytes(Stream::Out));
    let bursts: Vec<u64> = lines
        .iter()
        .filter_map(|line| line.split_once("[sh:0] burst ")?.1.parse().ok())
        .collect();
    assert_eq!(bursts.len() as u64 + lost, 1000);
    // The burst, and at most what the rate allowed while it was written.
    assert!((20..200).contains(&bursts.len()), "{}", bursts.len());
    let first: Vec<u64> = (1..=20).collect();
    assert_eq!(bursts[..20], first);
    assert!(bursts.is_sorted());
    // The other worker has a limit of its own.
    assert!(lines.iter().any(|line| line.ends_with("[sh:1] quiet")));
    assert_eq!(announced(&lines, 1), 0);
    assert_eq!(announced(&lines, 0), lost);
}

/// The complete lines so far.
fn lines_of_whole(bytes: &[u8]) -> Vec<String> {
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    lines_of(&bytes[..end.map_or(0, |at| at + 1)])
}

#[test]
fn the_burst_is_the_rate_if_it_is_not_named() {
    let mut runtime = service(Form::Raw, LOUD).env("RPM_LOG_RATE", "50").start();
    runtime.wait_for_lines(2, |line| line == "later");
    let lost = limited(&runtime, 0);
    assert_eq!(limited(&runtime, 1), 0);
    let total = [("reason", "rate_limit"), ("stream", "stdout")];
    let total = runtime.metric_sum("rpm_log_dropped_lines_total", &total);
    assert_eq!(total, Some(lost));
    runtime.signal(Signal::SIGTERM);
    runtime.wait_exit();
    let lines = lines_of(&runtime.bytes(Stream::Out));
    let bursts = lines.iter().filter(|line| line.starts_with("burst "));
    let bursts = bursts.count() as u64;
    assert_eq!(bursts + lost, 1000);
    assert!((50..300).contains(&bursts), "{bursts}");
}

#[test]
fn without_a_rate_everything_passes() {
    let mut runtime = service(Form::Raw, LOUD).start();
    runtime.wait_for_line(|line| line == "later");
    assert_eq!(limited(&runtime, 0), 0);
    runtime.wait_for_lines(1000, |line| line.starts_with("burst "));
    runtime.signal(Signal::SIGTERM);
    runtime.wait_exit();
}
