//! RPM_READY: what makes a worker count as serving.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start, signal and await processes from outside"
)]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;
mod sharing;

use std::time::Instant;

use harness::{Builder, Runtime, example, free_port, until};
use sharing::{Gate, all_answer, field, queue_length, sockets, stop, v4, wait_ready};

fn ready(rule: &str) -> Builder {
    Runtime::builder()
        .env("RPM_READY", rule)
        .env("RPM_MIN_UPTIME", "1ms")
}

/// Many times the minimum uptime, and long for a turn of the loop.
fn a_while() {
    let start = Instant::now();
    until("time passes", || start.elapsed().as_millis() > 300);
}

#[track_caller]
fn is_not_ready(runtime: &Runtime) {
    a_while();
    assert_eq!(runtime.wait_for_status("/readyz", 503).status, 503);
    let texts = runtime.texts();
    assert!(
        !texts.iter().any(|line| line.contains("worker ready")),
        "{texts:?}"
    );
}

#[test]
fn listen_is_the_moment_of_listen() {
    let (port, mut gate) = (free_port(), Gate::new("listen"));
    let program = gate.before(sockets([format!("a=0.0.0.0:{port}")]));
    let runtime = ready("listen").program(program).start();
    runtime.wait_for_line(|line| line == "waiting");
    is_not_ready(&runtime);
    gate.open(1);
    wait_ready(&runtime, 1);
    runtime.wait_for_status("/readyz", 200);
    stop(runtime);
}

/// A listening worker that accepts nothing is ready by `listen` ...
#[test]
fn listen_does_not_wait_for_accept() {
    let (port, gate) = (free_port(), Gate::new("not-accept"));
    let runtime = ready("listen")
        .env("GATE", &gate.path)
        .program(sockets(["wait".to_owned(), format!("a=0.0.0.0:{port}")]))
        .start();
    wait_ready(&runtime, 1);
    stop(runtime);
}

/// ... and not by `tcp`.
#[test]
fn tcp_waits_for_accept() {
    let (port, mut gate) = (free_port(), Gate::new("accept"));
    let runtime = ready("tcp")
        .env("RPM_INSTANCES", "2")
        .env("GATE", &gate.path)
        .program(sockets(["wait".to_owned(), format!("a=0.0.0.0:{port}")]))
        .start();
    runtime.wait_for_lines(2, |line| line.starts_with("ready "));
    let listener = format!("0.0.0.0:{port}");
    until("both are asked", || {
        (0..2).all(|slot| queue_length(&runtime, &listener, slot) > 0.5)
    });
    is_not_ready(&runtime);
    gate.open(1);
    wait_ready(&runtime, 1);
    assert_eq!(
        runtime
            .texts()
            .iter()
            .filter(|line| line.contains("worker ready"))
            .count(),
        1
    );
    gate.open(1);
    wait_ready(&runtime, 2);
    all_answer(v4(port), "a", 2);
    stop(runtime);
}

#[test]
fn tcp_over_ipv6_and_a_specific_address() {
    for address in ["[::1]", "127.0.0.1", "[::]"] {
        let port = free_port();
        let runtime = ready("tcp")
            .env("RPM_INSTANCES", "2")
            .arg(example("echo_server"))
            .arg(format!("{address}:{port}"))
            .start();
        wait_ready(&runtime, 2);
        stop(runtime);
    }
}

#[test]
fn a_worker_that_never_accepts_is_stopped_and_started_again() {
    let port = free_port();
    let runtime = ready("tcp")
        .env("RPM_READY_TIMEOUT", "500ms")
        .env("PORT", port.to_string())
        .arg(example("echo_server"))
        .arg("--stuck")
        .start();
    let late =
        runtime.wait_for_line(|line| line.contains("worker not ready within RPM_READY_TIMEOUT"));
    let pid = field(&late, "pid").to_owned();
    runtime.wait_for_line(|line| {
        line.contains("worker ended")
            && line.contains(&format!("pid={pid} "))
            && line.contains("cause=start_timeout")
    });
    runtime.wait_for_lines(2, |line| line.contains("worker started slot=0 "));
    stop(runtime);
}

#[test]
fn delay_is_the_time_alive() {
    let runtime = ready("delay:400ms").program(["sleep", "1000"]).start();
    let line = runtime.wait_for_line(|line| line.contains("worker ready"));
    let after: u64 = field(&line, "after")
        .trim_end_matches("ms")
        .parse()
        .unwrap();
    assert!(after >= 400, "{line}");
    stop(runtime);
}

#[test]
fn auto_without_a_listener_is_the_time_alive() {
    let runtime = Runtime::builder()
        .env("RPM_MIN_UPTIME", "200ms")
        .program(["sleep", "1000"])
        .start();
    let line = runtime.wait_for_line(|line| line.contains("worker ready"));
    let after: u64 = field(&line, "after")
        .trim_end_matches("ms")
        .parse()
        .unwrap();
    assert!(after >= 200, "{line}");
    stop(runtime);
}

#[test]
fn auto_with_a_listener_is_the_moment_of_listen() {
    let port = free_port();
    let runtime = Runtime::builder()
        .env("RPM_MIN_UPTIME", "1h")
        .program(sockets([format!("a=0.0.0.0:{port}")]))
        .start();
    wait_ready(&runtime, 1);
    stop(runtime);
}

#[test]
fn auto_with_a_listed_port_waits_for_listen() {
    let (port, mut gate) = (free_port(), Gate::new("auto"));
    let program = gate.before(sockets([format!("a=0.0.0.0:{port}")]));
    let runtime = ready("auto")
        .env("RPM_PORTS", format!("0.0.0.0:{port}"))
        .program(program)
        .start();
    runtime.wait_for_line(|line| line == "waiting");
    is_not_ready(&runtime);
    gate.open(1);
    wait_ready(&runtime, 1);
    stop(runtime);
}
