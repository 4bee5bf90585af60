//! RPM_APP_METRICS_GAUGES: what the configuration accepts as a pattern, the merger accepts too, although neither uses
//! the other's code.

use std::io;

use proptest::prelude::*;
use rpm_runtime::app_metrics::merge::Pattern;
use rpm_runtime::config::{Input, resolve};
use rpm_runtime::policy::CpuBudget;

/// Whether the configuration accepts the pattern.
fn is_taken(pattern: &str) -> bool {
    let input = Input {
        vars: vec![
            ("RPM_APP_METRICS".into(), "/metrics".into()),
            (
                "RPM_APP_METRICS_GAUGES".into(),
                format!("{pattern}=sum").into(),
            ),
        ],
        args: vec!["true".into()],
        cpus: CpuBudget::default(),
        memory: None,
        read_file: &|_| Err(io::Error::from_raw_os_error(2)),
        found: &rpm_runtime::model::Found::default,
    };
    match resolve(&input) {
        Ok(resolved) => {
            let gauges = resolved.config.admin.app_metrics.gauges;
            assert_eq!(gauges.len(), 1);
            assert_eq!(gauges[0].0, pattern);
            true
        }
        Err(faults) => {
            assert_eq!(faults.faults.len(), 1, "{faults}");
            assert_eq!(faults.faults[0].name, "RPM_APP_METRICS_GAUGES");
            false
        }
    }
}

fn agree(pattern: &str) {
    // Names that no worker's metric may have, and patterns that mean the same with one star less.
    let is_refused = pattern.starts_with("rpm_") || pattern.contains("**");
    let expected = Pattern::new(pattern).is_some() && !is_refused;
    assert_eq!(is_taken(pattern), expected, "{pattern:?}");
}

#[test]
fn patterns_are_the_same_to_both() {
    for pattern in [
        "*",
        "**",
        "a*",
        "*1",
        "1*",
        "a:b*_total",
        "_",
        ":",
        "a-b",
        "a?",
        "a b",
        "é*",
        "a**b",
        "[a]*",
        "a.b",
        "{x}",
        "rpm",
        "rpm_",
        "rpm_*",
        "rpmx",
        "*rpm_",
        "a\u{0}b",
    ] {
        agree(pattern);
    }
    assert!(is_taken("queue_*"));
    assert!(!is_taken("queue-*"));
}

proptest! {
    #[test]
    fn whatever_is_written_is_the_same_to_both(pattern in "[a-c0-2_:*?!\\[\\]\\-. é]{1,8}") {
        // Blanks around an entry are not part of it.
        agree(pattern.trim());
    }
}
