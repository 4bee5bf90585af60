//! Records of several lines, and lines that are endless or too long.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use crate::harness::{Builder, Form, Runtime, Signal, Stream, lines_of, scratch, source};
use serde_json::Value;

fn once(form: Form) -> Builder {
    Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_RESTART", "never")
        .env("RPM_APP_NAME", "web")
        .env("RPM_LOG_FORMAT", form.name())
        .env("RPM_LOG_LEVEL", "off")
}

fn messages(runtime: &Runtime) -> Vec<String> {
    let lines = lines_of(&runtime.bytes(Stream::Out));
    let entries = lines.iter().map(|line| Form::Json.entry(line));
    entries.map(|entry| entry.text).collect()
}

/// The lines of a file, each in a write of its own, as a logger flushes them.
const LINE_BY_LINE: &str = "while IFS= read -r line; do printf '%s\\n' \"$line\"; done < \"$0\"";

#[test]
fn a_stack_trace_of_java_is_one_object() {
    let java = "2026-11-22 04:40:12.345  INFO 1 --- [main] o.e.App : started\n\
        2026-11-22 04:40:13.001 ERROR 1 --- [exec-3] o.e.Pay : it failed\n\
        java.lang.IllegalStateException: no more\n\
        \tat org.example.Pay.charge(Pay.java:17)\n\
        \tat org.example.Pay.run(Pay.java:99)\n\
        Caused by: java.io.IOException: \"closed\"\n\
        \t... 12 more\n\
        \n\
        2026-11-22 04:40:13.002  INFO 1 --- [main] o.e.App : going on\n";
    let file = scratch("java").join("input");
    fs::write(&file, java).unwrap();
    let mut runtime = once(Form::Json)
        .env("RPM_LOG_MULTILINE", r"^\d{4}-\d{2}-\d{2} ")
        .program(["sh", "-c", LINE_BY_LINE])
        .arg(file)
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let lines: Vec<&str> = java.lines().collect();
    let trace = lines[1..8].join("\n");
    assert_eq!(messages(&runtime), [lines[0], trace.as_str(), lines[8]]);
}

#[test]
fn a_traceback_of_python_is_one_object() {
    let mut runtime = once(Form::Json)
        .env("RPM_LOG_MULTILINE", r"^\d{4}-\d{2}-\d{2} ")
        .program(["/usr/bin/python3"])
        .arg(source("tests/payloads/excepting.py"))
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let messages = messages(&runtime);
    assert_eq!(messages.len(), 3, "{messages:#?}");
    assert!(messages[0].ends_with(" before"), "{messages:#?}");
    let trace: Vec<&str> = messages[1].lines().collect();
    assert!(trace[0].ends_with(" it failed"), "{trace:#?}");
    assert_eq!(trace[1], "Traceback (most recent call last):");
    let last = trace[trace.len() - 1];
    assert_eq!(last, "ZeroDivisionError: division by zero");
    assert!(messages[2].ends_with(" after"), "{messages:#?}");
}

#[test]
fn records_of_two_workers_stay_apart_in_raw() {
    // Slowly, so that other workers' lines would come between if lines went out separately.
    let script = "for i in $(seq 20); do \
        for part in 'start' ' one' ' two' ' three'; do echo \"$part $RPM_INSTANCE $i\"; sleep 0.005; done; done";
    let mut runtime = once(Form::Raw)
        .env("RPM_INSTANCES", "3")
        .env("RPM_LOG_MULTILINE", "^start")
        .program(["sh", "-c", script])
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let lines = lines_of(&runtime.bytes(Stream::Out));
    assert_eq!(lines.len(), 3 * 20 * 4, "{lines:#?}");
    for record in lines.chunks(4) {
        let mark = record[0].strip_prefix("start ").unwrap_or_else(|| {
            panic!("{record:?}");
        });
        let want = ["start", " one", " two", " three"].map(|part| format!("{part} {mark}"));
        assert_eq!(record, want);
    }
}

#[test]
fn a_record_that_nothing_follows_ends_after_a_time() {
    let script = "printf 'start\\n more\\n'; read line; printf ' late\\nstart again\\n'";
    let mut runtime = once(Form::Json)
        .env("RPM_LOG_MULTILINE", "^start")
        .stdin(Stdio::piped())
        .program(["sh", "-c", script])
        .start();
    // The worker writes nothing more before it is told to.
    runtime.wait_for_line(|line| Form::Json.entry(line).text == "start\n more");
    runtime.stdin().write_all(b"go on\n").unwrap();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    assert_eq!(messages(&runtime), ["start\n more", " late", "start again"]);
}

#[test]
fn lines_before_the_first_record_are_not_lost() {
    let script = "printf 'no start\\nneither\\nstart\\n more\\nstart\\n open'";
    let mut runtime = once(Form::Json)
        .env("RPM_LOG_MULTILINE", "^start")
        .program(["sh", "-c", script])
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let all = messages(&runtime).join("\n");
    assert_eq!(all, "no start\nneither\nstart\n more\nstart\n open");
    let records = messages(&runtime);
    assert_eq!(
        records[records.len() - 2..],
        ["start\n more", "start\n open"]
    );
}

#[test]
fn a_record_beyond_the_longest_line_passes_in_pieces() {
    let script = "echo start; for i in $(seq 1000); do echo \" and line $i\"; done; echo start";
    let mut runtime = once(Form::Json)
        .env("RPM_LOG_MULTILINE", "^start")
        .env("RPM_LOG_MAX_LINE", "1Ki")
        .program(["sh", "-c", script])
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let lines = lines_of(&runtime.bytes(Stream::Out));
    assert!(lines.len() > 10, "{lines:#?}");
    for line in &lines {
        let value: Value = serde_json::from_str(line).unwrap();
        assert!(value["message"].as_str().unwrap().len() <= 1024, "{line}");
    }
    // Whether it is cut between lines or inside one, only newlines may differ.
    let joined: String = messages(&runtime).concat();
    let numbers = (1..=1000).map(|number| format!(" and line {number}"));
    let want: String = numbers.collect();
    assert_eq!(joined.replace('\n', ""), format!("start{want}start"));
}

#[test]
fn an_end_without_a_newline_is_a_line() {
    for (form, want) in [
        (Form::Raw, "whole\nopen\n"),
        (Form::Prefix, "[web:0] whole\n[web:0] open\n"),
    ] {
        let mut runtime = once(form)
            .env("RPM_LOG_TIMESTAMP", "none")
            .program(["sh", "-c", "printf 'whole\\nopen'"])
            .start();
        assert_eq!(runtime.wait_exit().code(), Some(0));
        let out = String::from_utf8(runtime.bytes(Stream::Out)).unwrap();
        assert_eq!(out, want);
    }
    let mut runtime = once(Form::Json)
        .program(["sh", "-c", "printf 'whole\\n{\"a\":1}'"])
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let lines = lines_of(&runtime.bytes(Stream::Out));
    assert_eq!(lines.len(), 2, "{lines:?}");
    let last: Value = serde_json::from_str(&lines[1]).unwrap();
    assert_eq!((&last["a"], &last["worker"]), (&1.into(), &0.into()));
}

#[test]
fn a_killed_worker_leaves_its_open_line_and_its_successor_begins_anew() {
    let script = "printf \"open $$\"; kill -KILL $$";
    let mut runtime = once(Form::Prefix)
        .env_remove("RPM_RESTART")
        .env("RPM_BACKOFF_MIN", "10ms")
        .env("RPM_LOG_TIMESTAMP", "none")
        .program(["sh", "-c", script])
        .start();
    let first = runtime.wait_for_lines(3, |line| line.starts_with("[web:0] open "));
    let pids: Vec<&str> = first
        .iter()
        .map(|line| line.strip_prefix("[web:0] open ").unwrap())
        .collect();
    assert!(
        pids.iter().all(|pid| pid.parse::<u32>().is_ok()),
        "{pids:?}"
    );
    runtime.signal(Signal::SIGTERM);
    runtime.wait_exit();
}

#[test]
fn a_line_is_held_until_its_end_comes() {
    let script = "printf 'a, '; read line; printf 'b\\n'; read line";
    let mut runtime = once(Form::Raw)
        .env("RPM_LOG_LEVEL", "info")
        .stdin(Stdio::piped())
        .program(["sh", "-c", script])
        .start();
    runtime.wait_for_line(|line| line.contains("worker ready"));
    let mut stdin = runtime.stdin();
    stdin.write_all(b"go on\n").unwrap();
    runtime.wait_for_line(|line| line == "a, b");
    stdin.write_all(b"end\n").unwrap();
    assert_eq!(runtime.wait_exit().code(), Some(0));
    let lines = lines_of(&runtime.bytes(Stream::Out));
    assert_eq!(Form::Raw.written(&lines), ["a, b"]);
}
