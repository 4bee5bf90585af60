//! External programs that check pages.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use crate::harness::source;

/// Runs a program on `input` and returns its output. Panics if the program reports an error.
#[track_caller]
fn judged(program: &mut Command, input: &[u8]) -> String {
    let mut judge = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = judge.stdin.take().unwrap();
    // It may end before it has read everything; its output is shown below.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = judge.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let shown = String::from_utf8_lossy(&input[..input.len().min(100_000)]);
    assert_eq!(output.status.code(), Some(0), "{said}\n{shown}");
    said
}

/// `promtool check metrics` accepts each of these pages in the text format. It reads one page at a time.
#[track_caller]
pub fn promtool(pages: &[&str]) {
    thread::scope(|scope| {
        for half in pages.chunks(pages.len().div_ceil(2).max(1)) {
            scope.spawn(move || {
                for page in half {
                    let mut promtool = Command::new("promtool");
                    let said = judged(promtool.args(["check", "metrics"]), page.as_bytes());
                    assert_eq!(said, "", "{page}");
                }
            });
        }
    });
}

/// Number of samples that the strict parser of prometheus_client finds in each of these OpenMetrics pages.
#[track_caller]
pub fn strict_reader(pages: &[&str]) -> Vec<usize> {
    let program = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
        for page in sys.stdin.buffer.read().decode().split('\\0'):\n    \
        print(sum(len(family.samples) for family in read(page)), flush=True)";
    let mut python = Command::new("python3");
    python
        .args(["-c", program])
        .env("PYTHONPATH", source("target/python"));
    let said = judged(&mut python, pages.join("\0").as_bytes());
    said.lines().map(|line| line.parse().unwrap()).collect()
}
