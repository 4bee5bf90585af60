//! RPM_HEALTH and RPM_READY on a port of the worker that is not its first.

use std::fs;

use crate::harness::shared_port::{stop, wait_ready};
use crate::harness::status::counter;
use crate::harness::{Builder, Runtime, free_ports, scratch, source, until};

const PASSED: &str = "rpm_health_checks_total{result=\"pass\"}";

/// Two workers that speak HTTP on `side` only.
fn two(port: u16, side: u16) -> Builder {
    Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_HEALTH_INTERVAL", "200ms")
        .env("RPM_HEALTH_FAILURES", "2")
        .program([
            "/usr/bin/python3".into(),
            source("tests/payloads/two_ports.py"),
        ])
        .program([port.to_string(), side.to_string()])
}

#[test]
fn a_worker_is_asked_on_the_port_that_is_named_and_a_failure_tells_which() {
    let port = free_ports(2);
    let side = port + 1;
    let sick = scratch("named-port").join("sick");
    let how = format!("http::{side}/healthz");
    let runtime = two(port, side)
        .env("SICK", &sick)
        .env("RPM_READY", &how)
        .env("RPM_HEALTH", &how)
        .start();
    wait_ready(&runtime, 2);
    until("the workers are asked", || counter(&runtime, PASSED) >= 4);
    fs::write(&sick, "").unwrap();
    let line = runtime.wait_for_line(|line| line.contains("worker failed a check (RPM_HEALTH)"));
    assert!(
        line.contains(&format!(" port={side} failure=\"status 503\"")),
        "{line}"
    );
    fs::remove_file(&sick).unwrap();
    stop(runtime);
}

/// A path that is not there, for example: nobody should have to wait for RPM_READY_TIMEOUT to learn of it.
#[test]
fn an_answer_that_is_no_success_is_told_with_port_path_and_status() {
    let port = free_ports(2);
    let side = port + 1;
    let sick = scratch("no-success").join("sick");
    fs::write(&sick, "").unwrap();
    let runtime = two(port, side)
        .env("SICK", &sick)
        .env("RPM_READY", format!("http::{side}/ready"))
        .start();
    let what = format!(" port={side} path=/ready failure=\"status 503\"");
    let told = |line: &str| {
        line.contains("worker answers the question of RPM_READY, but not with a success")
            && line.contains(&what)
    };
    runtime.wait_for_lines(2, told);
    fs::remove_file(&sick).unwrap();
    wait_ready(&runtime, 2);
    // Once for each worker, however often it was asked.
    assert_eq!(runtime.texts().iter().filter(|line| told(line)).count(), 2);
    stop(runtime);
}

#[test]
fn a_port_can_be_named_for_tcp_and_the_first_one_is_asked_otherwise() {
    let port = free_ports(2);
    let side = port + 1;
    let how = format!("tcp:{side}");
    let runtime = two(port, side)
        .env("RPM_READY", &how)
        .env("RPM_HEALTH", &how)
        .start();
    wait_ready(&runtime, 2);
    until("the workers are asked", || counter(&runtime, PASSED) >= 4);
    stop(runtime);
    let runtime = two(port, side)
        .env("RPM_READY", "listen")
        .env("RPM_HEALTH", "http:/healthz")
        .start();
    let line = runtime.wait_for_line(|line| line.contains("worker failed a check (RPM_HEALTH)"));
    let what = format!(" port={port} failure=\"the answer is not HTTP");
    assert!(line.contains(&what), "{line}");
    stop(runtime);
}

#[test]
fn a_named_port_that_the_worker_does_not_have_is_told_and_replaces_nobody() {
    let port = free_ports(3);
    let runtime = two(port, port + 1)
        .env("RPM_READY", "listen")
        .env("RPM_HEALTH", format!("tcp:{}", port + 2))
        .start();
    wait_ready(&runtime, 2);
    runtime.wait_for_lines(2, |line| {
        line.contains("worker does not listen on the port of RPM_HEALTH, so it is not checked")
            && line.contains(&format!(" port={}", port + 2))
    });
    stop(runtime);
}
