//! The page in both formats, before the judges.
#![forbid(unsafe_code)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::metrics::expose::Format;

use super::{facts, full, has, written};

/// What a program says of `page`, if it is not content.
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
pub(in crate::metrics) fn promtool(page: &str) -> Result<String, String> {
    judged(Command::new("promtool").args(["check", "metrics"]), page)
}

/// The strict reader of prometheus_client; how many families it found.
#[expect(clippy::disallowed_methods, reason = "the judge is a program")]
pub(in crate::metrics) fn strict_reader(page: &str) -> Result<usize, String> {
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

#[test]
fn promtool_finds_nothing_to_complain_of() {
    let page = written(&full(facts("/proc")), Format::Text);
    assert_eq!(promtool(&page), Ok(String::new()), "{page}");
}

#[test]
fn the_strict_reader_takes_all_of_it() {
    let full = full(facts("/proc"));
    let page = written(&full, Format::OpenMetrics);
    assert_eq!(strict_reader(&page), Ok(full.families.len()), "{page}");
}

#[test]
fn both_formats_have_the_same_series() {
    let full = full(facts("/proc"));
    let samples = |format| -> Vec<String> {
        let page = written(&full, format);
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(samples(Format::Text), samples(Format::OpenMetrics));
}

#[test]
fn openmetrics_is_told_of_units_and_kinds() {
    let page = written(&full(facts("/proc")), Format::OpenMetrics);
    for line in [
        "# TYPE rpm_build info",
        "# TYPE rpm_worker_exits counter",
        "# TYPE rpm_worker_ready_duration_seconds histogram",
        "# UNIT rpm_worker_ready_duration_seconds seconds",
        "# UNIT rpm_worker_cpu_seconds seconds",
        "# UNIT rpm_log_bytes bytes",
        "# UNIT rpm_cgroup_cpu_limit_cores cores",
        "rpm_worker_ready_duration_seconds_bucket{le=\"1.0\"} 1",
        "rpm_worker_exits_total{cause=\"signal\"} 1",
    ] {
        assert!(has(&page, line), "{line}\n{page}");
    }
    assert!(page.ends_with("\n# EOF\n"));
}
