//! Those who find fault with pages.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use crate::harness::source;

/// What a program says of `input`, after it was content with it.
#[track_caller]
fn judged(program: &mut Command, input: &[u8]) -> String {
    let mut judge = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = judge.stdin.take().unwrap();
    // It may end before it has read all; what it says is shown below.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = judge.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let shown = String::from_utf8_lossy(&input[..input.len().min(100_000)]);
    assert_eq!(output.status.code(), Some(0), "{said}\n{shown}");
    said
}

/// `promtool check metrics` has nothing to say of any of these, which are in the text format. It reads one page at a time.
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

/// How many samples the strict reader of prometheus_client finds in each of these, which are in OpenMetrics.
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
