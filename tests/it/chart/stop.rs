//! The times of start and stop are calculated and checked.

use std::fs;

use super::helm::Render;
use crate::harness::source;

fn grace(values: &str) -> u64 {
    let rendered = Render::with(values).objects();
    rendered.pod()["terminationGracePeriodSeconds"]
        .as_u64()
        .unwrap()
}

const PORT: &str = "ports: {http: {port: 3000}}";

#[test]
fn the_grace_period_is_what_a_stop_needs() {
    let cases = [
        // 5s delay, 5s drain, 10s stop and 5s margin are less than Kubernetes' own 30s.
        ("{}", 30),
        ("{RPM_SHUTDOWN_DELAY: 20s}", 40),
        ("{RPM_SHUTDOWN_DELAY: 20s, RPM_DRAIN_TIMEOUT: 1500ms}", 37),
        ("{RPM_STOP_TIMEOUT: 2m}", 135),
        ("{RPM_STOP_TIMEOUT: 1h, RPM_DRAIN_TIMEOUT: 0}", 3610),
        // A last scrape of a second, and of a quarter of the grace.
        ("{RPM_STOP_TIMEOUT: 20s, RPM_APP_METRICS: /metrics}", 36),
        (
            "{RPM_SHUTDOWN_DELAY: 30s, RPM_STOP_TIMEOUT: 400ms, RPM_APP_METRICS: /metrics}",
            41,
        ),
        ("{RPM_STOP_TIMEOUT: 20s, RPM_APP_METRICS: multiproc}", 35),
        // Nothing is drained where no port is shared.
        ("{RPM_STOP_TIMEOUT: 30s, RPM_EXEC_MODE: fork}", 40),
        // In the role of tini the program decides.
        ("{RPM_STOP_TIMEOUT: 2m, RPM_RESTART: never}", 30),
        (
            "{RPM_STOP_TIMEOUT: 2m, RPM_RESTART: never, RPM_INSTANCES: 2}",
            135,
        ),
    ];
    for (runtime, expected) in cases {
        assert_eq!(
            grace(&format!("{{{PORT}, runtime: {runtime}}}")),
            expected,
            "{runtime}"
        );
    }
    assert_eq!(
        grace("runtime: {RPM_STOP_TIMEOUT: 30s}"),
        40,
        "no port, no drain"
    );
    assert_eq!(
        grace(&format!("{{{PORT}, terminationGracePeriodSeconds: 25}}")),
        25,
        "exactly what is needed"
    );
    assert_eq!(
        grace(&format!("{{{PORT}, terminationMarginSeconds: 40}}")),
        60
    );
    assert_eq!(
        grace(&format!(
            "{{{PORT}, lifecycle: {{preStop: {{sleep: {{seconds: 10}}}}}}}}"
        )),
        35
    );
}

#[test]
fn a_grace_period_that_is_too_short_is_refused_with_the_sum() {
    let said = Render::with(&format!(
        "{{{PORT}, terminationGracePeriodSeconds: 24, runtime: {{RPM_SHUTDOWN_DELAY: 4500ms, RPM_APP_METRICS: /metrics}}}}"
    ))
    .refused();
    let expected = "terminationGracePeriodSeconds: 24 is too short, a stop takes up to 26 seconds: RPM_SHUTDOWN_DELAY 4500ms + \
                    RPM_DRAIN_TIMEOUT 5s + the last scrape 1s + RPM_STOP_TIMEOUT 10s + terminationMarginSeconds 5s";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn the_startup_probe_leaves_room_for_each_attempt_and_the_stop_between() {
    let threshold = |values: &str| {
        let rendered = Render::with(values).objects();
        let deadline = rendered.one("Deployment")["spec"]["progressDeadlineSeconds"].as_u64();
        let probe = &rendered.app()["startupProbe"];
        assert_eq!(probe["httpGet"]["path"], "/startupz");
        (
            probe["failureThreshold"].as_u64().unwrap(),
            deadline.unwrap(),
        )
    };
    // 2 x 30s, a stop of 10s, a back-off of 110ms at most, and 10s: 81s in steps of 2s.
    assert_eq!(threshold("{}"), (41, 600));
    assert_eq!(threshold("runtime: {RPM_READY_TIMEOUT: 500ms}"), (11, 600));
    assert_eq!(threshold("runtime: {RPM_STOP_TIMEOUT: 1m}"), (66, 600));
    // The rollout waits longer than a start may take.
    assert_eq!(threshold("runtime: {RPM_READY_TIMEOUT: 5m}"), (311, 682));
    // 4 x 1s, 3 x 1s, a back-off of 4400ms, 8s and 8s, and 10s.
    assert_eq!(
        threshold(
            "{runtime: {RPM_READY_TIMEOUT: 1s, RPM_STOP_TIMEOUT: 1s, RPM_BACKOFF_MIN: 4s, RPM_BACKOFF_MAX: 8s}, probes: {startup: \
             {attempts: 4}}}"
        ),
        (19, 600)
    );
    assert_eq!(
        threshold(
            "{runtime: {RPM_READY_TIMEOUT: 100s}, probes: {startup: {periodSeconds: 7, attempts: 1}}}"
        ),
        (16, 600)
    );
    assert_eq!(
        threshold("probes: {startup: {failureThreshold: 41}}"),
        (41, 600)
    );
    let said = Render::with("probes: {startup: {failureThreshold: 40}}").refused();
    let expected = "probes.startup.failureThreshold: 40 x 2s is too short, a start takes up to 81 seconds: 2 x RPM_READY_TIMEOUT 30s + \
                    1 x RPM_STOP_TIMEOUT 10s + the back-off 110ms + 10s";
    assert!(said.contains(expected), "{said}");
}

/// The manifest of docs/kubernetes.md has the number of the chart.
#[test]
fn the_page_of_kubernetes_has_the_startup_probe_of_the_chart() {
    let page = fs::read_to_string(source("docs/kubernetes.md")).unwrap();
    let rendered = Render::with("{}").objects();
    let probe = &rendered.app()["startupProbe"];
    let period = probe["periodSeconds"].as_u64().unwrap();
    let threshold = probe["failureThreshold"].as_u64().unwrap();
    let budget = period * threshold;
    assert!(page.contains(&format!("failureThreshold: {threshold}\n")));
    assert!(page.contains(&format!("{period} s × {threshold} = {budget} s")));
}
