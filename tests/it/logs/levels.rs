//! Which of the runtime's own lines are written.

use crate::harness::{self, Builder, Form, Runtime, Signal};

fn service(level: &str) -> Builder {
    Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_READY", "delay:1ms")
        .env("RPM_LOG_LEVEL", level)
        .program([
            "sh",
            "-c",
            "trap '' USR2; echo up; while :; do sleep 1000; done",
        ])
}

/// The runtime's own lines, with levels, of a run in which a signal is forwarded.
fn life(level: &str) -> Vec<(String, String)> {
    let mut runtime = service(level).start();
    runtime.wait_for_line(|line| line == "up");
    runtime.wait_for_status("/readyz", 200);
    runtime.signal(Signal::SIGUSR2);
    harness::until("the signal was seen", || {
        let labels = [("signal", "USR2")];
        runtime.metric_sum("rpm_signals_received_total", &labels) == Some(1)
    });
    runtime.signal(Signal::SIGTERM);
    runtime.wait_exit();
    let entries = runtime.texts();
    let entries = entries.iter().map(|line| Form::Raw.entry(line));
    entries
        .filter_map(|entry| Some((entry.own?, entry.text)))
        .collect()
}

fn has(lines: &[(String, String)], text: &str) -> bool {
    lines.iter().any(|(_, line)| line.starts_with(text))
}

#[test]
fn a_level_is_for_all() {
    assert_eq!(life("off"), []);
    let info = life("info");
    assert!(has(&info, "worker started"), "{info:?}");
    assert!(!has(&info, "signal received and forwarded"), "{info:?}");
    assert!(info.iter().all(|(level, _)| level != "debug"), "{info:?}");
    let debug = life("debug");
    assert!(has(&debug, "worker started"), "{debug:?}");
    assert!(has(&debug, "signal received and forwarded"), "{debug:?}");
    let warn = life("warn");
    assert!(!has(&warn, "worker started"), "{warn:?}");
}

#[test]
fn a_directive_is_for_one_part() {
    let lines = life("off,rpm_runtime::supervisor=debug");
    assert!(has(&lines, "signal received and forwarded"), "{lines:?}");
    assert!(has(&lines, "worker started"), "{lines:?}");
    let lines = life("info,rpm_runtime::supervisor=off");
    assert!(!has(&lines, "worker started"), "{lines:?}");
    // The longest target name decides.
    let lines = life("debug,rpm_runtime::supervisor=off,rpm_runtime::supervisor::spawn=info");
    assert!(has(&lines, "worker started"), "{lines:?}");
    assert!(!has(&lines, "signal received and forwarded"), "{lines:?}");
}

#[test]
fn what_is_no_level_is_refused() {
    for level in ["loud", "rpm_runtime::ports=loud", "info,=debug"] {
        let mut runtime = service(level).start();
        assert_eq!(runtime.wait_exit().code(), Some(64), "{level}");
        runtime.wait_for_line(|line| line.contains("RPM_LOG_LEVEL"));
    }
}
