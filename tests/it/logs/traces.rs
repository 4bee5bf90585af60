//! RPM_LOG_MULTILINE with the name of a language: real traces of the real interpreters are one record each.

use crate::harness::{Form, Runtime, Stream, go_build, lines_of, scratch, source};

/// The first and the last line of each record that the program writes to stderr.
#[track_caller]
fn records(language: &str, program: &[&str], code: i32) -> Vec<(String, String)> {
    let mut runtime = Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_RESTART", "never")
        .env("RPM_LOG_FORMAT", "json")
        .env("RPM_LOG_LEVEL", "off")
        .env("RPM_LOG_MULTILINE", language)
        .program(program)
        .start();
    assert_eq!(
        runtime.wait_exit().code(),
        Some(code),
        "{}",
        runtime.shown()
    );
    let lines = lines_of(&runtime.bytes(Stream::Out));
    let records = lines.iter().map(|line| {
        let text = Form::Json.entry(line).text;
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default().to_owned();
        (first.clone(), lines.last().map_or(first, str::to_owned))
    });
    records.collect()
}

/// Compares records with the beginnings of their first and last lines. `=` stands for a record of one line.
#[track_caller]
fn compare(records: &[(String, String)], wanted: &[(&str, &str)]) {
    let fits = |(record, wanted): (&(String, String), &(&str, &str))| {
        let last = match wanted.1 {
            "=" => record.0 == record.1,
            last => record.1.trim_start().starts_with(last),
        };
        record.0.starts_with(wanted.0) && last
    };
    let all = records.len() == wanted.len() && records.iter().zip(wanted).all(fits);
    assert!(all, "{records:#?}\nwanted: {wanted:#?}");
}

#[test]
fn a_record_of_python_holds_its_chained_tracebacks() {
    let file = source("tests/payloads/traces/trace.py");
    let got = records("python", &["/usr/bin/python3", file.to_str().unwrap()], 1);
    compare(
        &got,
        &[
            ("INFO:web:before", "="),
            ("ERROR:web:with its cause", "ValueError: a bad value"),
            ("INFO:web:between", "="),
            ("ERROR:web:while another", "ZeroDivisionError: "),
            ("INFO:web:with its stack", "log.info("),
            ("Exception in thread Thread-1", "KeyError: 'missing'"),
            ("ERROR:asyncio:Task exception", "KeyError: 'missing'"),
            ("ERROR:web:with a place", "SyntaxError: "),
            ("INFO:web:after", "="),
            ("Traceback (most recent call last):", "ValueError: nobody"),
        ],
    );
}

#[test]
fn a_record_of_java_holds_its_causes() {
    let file = source("tests/payloads/traces/Trace.java");
    let got = records("java", &["java", file.to_str().unwrap()], 1);
    // java.util.logging writes the time and the place in a line of their own.
    let months: Vec<&str> = got.iter().map(|(first, _)| first.as_str()).collect();
    let logged = |first: &str| first.contains(" Trace main");
    let which: Vec<bool> = months.iter().map(|first| logged(first)).collect();
    assert_eq!(
        which,
        [true, true, true, false, true, false, false],
        "{got:#?}"
    );
    compare(
        &got,
        &[
            ("", "INFO: before"),
            ("", ""),
            ("", "INFO: between"),
            ("java.lang.RuntimeException: it \"failed\"", "... "),
            ("", "WARNING: after"),
            ("Exception in thread \"Thread-0\" ", "... "),
            ("Exception in thread \"main\" ", "at "),
        ],
    );
}

#[test]
fn a_record_of_node_holds_its_causes_and_properties() {
    let file = source("tests/payloads/traces/trace.js");
    let got = records("node", &["node", file.to_str().unwrap()], 1);
    compare(
        &got,
        &[
            ("before", "="),
            ("Error: printed", "}"),
            ("between", "="),
            ("Error: Cannot find module './missing'", "}"),
            ("AggregateError: many", "}"),
            ("(node:", "(Use `node --trace-warnings"),
            ("after", "="),
            (file.to_str().unwrap(), "Node.js v"),
        ],
    );
}

#[test]
fn a_record_of_go_holds_all_goroutines() {
    let file = source("tests/payloads/traces/trace.go");
    let off = [("GO111MODULE", "off")];
    let program = go_build(
        &source("tests/payloads/traces"),
        &file,
        &scratch("traces"),
        &off,
    );
    let got = records("go", &[program.to_str().unwrap()], 2);
    compare(
        &got,
        &[
            ("20", "="),
            ("20", ""),
            ("20", "="),
            ("panic: runtime error: index out of range", ""),
        ],
    );
    assert!(got[1].0.contains("http: panic serving"), "{got:#?}");
    assert!(got[1].1.contains("/net/http/server.go:"), "{got:#?}");
    assert!(got[3].1.contains("trace.go:"), "{got:#?}");
}

#[test]
fn a_record_of_ruby_holds_its_causes() {
    let file = source("tests/payloads/traces/trace.rb");
    let got = records("ruby", &["ruby", file.to_str().unwrap()], 1);
    compare(
        &got,
        &[
            ("I, [", "="),
            ("E, [", file.to_str().unwrap()),
            ("I, [", "="),
            ("#<Thread:", "from "),
            ("W, [", "="),
            (file.to_str().unwrap(), "from "),
            ("I, [", "="),
            (file.to_str().unwrap(), "^^^"),
        ],
    );
}
