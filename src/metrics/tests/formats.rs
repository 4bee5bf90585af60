//! The page in both formats, checked by external programs.

use crate::exposition::Format;
use crate::exposition::render::judges::{promtool, strict_reader};

use super::{facts, full, has, written};

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
