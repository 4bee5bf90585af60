//! External programs that check a page: `promtool` for text 0.0.4, the strict parser of prometheus_client for
//! OpenMetrics.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a program on `page` and returns its output, as an error if the program failed.
fn judged(program: &mut Command, page: &str) -> Result<String, String> {
    let mut judge = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("scripts/test-deps installs the judges");
    let mut input = judge.stdin.take().unwrap();
    input.write_all(page.as_bytes()).unwrap();
    drop(input);
    let verdict = judge.wait_with_output().unwrap();
    let said = [verdict.stdout, verdict.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if verdict.status.success() {
        Ok(said)
    } else {
        Err(said)
    }
}

/// `promtool check metrics`, which reads text 0.0.4.
#[expect(clippy::disallowed_methods, reason = "the judge is a program")]
pub(crate) fn promtool(page: &str) -> Result<String, String> {
    judged(Command::new("promtool").args(["check", "metrics"]), page)
}

/// The strict parser of prometheus_client. Returns the number of families that it found.
#[expect(clippy::disallowed_methods, reason = "the judge is a program")]
pub(crate) fn strict_reader(page: &str) -> Result<usize, String> {
    let program = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
        print(len(list(read(sys.stdin.read()))))";
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python");
    let mut python = Command::new("python3");
    let said = judged(
        python.args(["-c", program]).env("PYTHONPATH", packages),
        page,
    )?;
    said.trim().parse().map_err(|_| said)
}
