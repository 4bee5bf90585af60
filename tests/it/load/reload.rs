//! A rolling reload has no effect on clients, whatever the program does on SIGTERM.
//!
//! The tests named `soak` are the long form; `make soak` runs them.

use std::time::Duration;

use super::{WORKERS, lost_nothing};
use crate::harness::load::{Load, Pace, Style};
use crate::harness::programs::Program;
use crate::harness::reloads::reload;
use crate::harness::shared_port::{stop, wait_ready};
use crate::harness::{Builder, Runtime};

/// Length of a test: the minimum number of reloads, and of requests in all.
pub(super) struct Length {
    pub(super) reloads: u32,
    pub(super) requests: u64,
}

pub(super) const SHORT: Length = Length {
    reloads: 3,
    requests: 5_000,
};
const LONG: Length = Length {
    reloads: 20,
    requests: 100_000,
};

/// Clients with a new connection for each request and clients of a pool, at the same time and without pauses; none
/// resends a request.
fn loses_nothing(program: &Program, service: Builder, workers: usize, length: &Length) {
    let runtime = service.start();
    wait_ready(&runtime, workers);
    reloads_lose_nothing(program, &runtime, length);
    stop(runtime);
}

/// As [`loses_nothing`], of a runtime whose workers are ready. Returns the number of answers.
pub(super) fn reloads_lose_nothing(program: &Program, runtime: &Runtime, length: &Length) -> u64 {
    let short = Load::run(program.plan(8, Style::Short).strict());
    let pooled = Load::run(program.plan(8, Style::Bounded(20)).strict());
    for _ in 0..length.reloads {
        short.wait_answers(100);
        pooled.wait_answers(100);
        reload(runtime);
    }
    // In steps that a slow machine completes within the time limit.
    while short.answered() < length.requests {
        short.wait_answers(500);
    }
    short.wait_answers(100);
    pooled.wait_answers(100);
    let reports = [short.stop(), pooled.stop()];
    lost_nothing("a connection each", &reports[0], runtime);
    lost_nothing("kept connections", &reports[1], runtime);
    reports.iter().map(|report| report.answered).sum()
}

fn four(program: &Program, length: &Length) {
    loses_nothing(program, program.workers(WORKERS), WORKERS, length);
}

#[test]
fn reloads_of_node_without_a_handler_lose_nothing() {
    four(&Program::node(), &SHORT);
}

#[test]
fn reloads_of_python_http_server_lose_nothing() {
    four(&Program::python_http_server(), &SHORT);
}

#[test]
fn reloads_of_a_static_go_server_lose_nothing() {
    four(&Program::go(), &SHORT);
}

#[test]
fn reloads_of_a_rust_server_lose_nothing() {
    four(&Program::rust(), &SHORT);
}

#[test]
fn reloads_of_netty_lose_nothing() {
    let program = Program::netty();
    let length = Length {
        reloads: 1,
        requests: 1_000,
    };
    loses_nothing(&program, program.workers(2), 2, &length);
}

#[test]
fn reloads_of_asio_lose_nothing() {
    four(&Program::asio(), &SHORT);
}

/// The JVM binds an IPv4 address as an IPv4-mapped one. Each worker is checked over its own listener.
#[test]
fn reloads_of_java_on_one_ipv4_address_lose_nothing() {
    let program = Program::java();
    let address = format!("127.0.0.1:{}", program.port);
    let service = |ports: &str| {
        let checked = program.workers(2).env("RPM_PORTS", ports);
        checked
            .env("RPM_READY", "http:/")
            .env("RPM_HEALTH", "http:/")
            .env("RPM_HEALTH_INTERVAL", "100ms")
    };
    let length = Length {
        reloads: 1,
        requests: 1_000,
    };
    loses_nothing(&program, service("auto"), 2, &length);
    loses_nothing(&program, service(&address), 2, &length);
}

/// Never more workers than before: each leaves before its successor starts.
#[test]
fn reloads_without_a_surplus_worker_lose_nothing() {
    let program = Program::rust();
    let service = program
        .workers(WORKERS)
        .env("RPM_RELOAD_SURGE", "0")
        .env("RPM_RELOAD_UNAVAILABLE", "1");
    loses_nothing(&program, service, WORKERS, &SHORT);
}

#[test]
fn reloads_of_several_workers_at_a_time_lose_nothing() {
    let program = Program::rust();
    let service = program.workers(WORKERS).env("RPM_RELOAD_SURGE", "50%");
    loses_nothing(&program, service, WORKERS, &SHORT);
}

/// Connections that never end last longer than every drain. The worker is stopped at a moment between two of their
/// requests, and the client sees the end of an idle connection, which every client handles.
#[test]
fn reloads_lose_nothing_of_connections_that_never_end() {
    let program = Program::node();
    let runtime = program
        .workers(WORKERS)
        .env("RPM_DRAIN_TIMEOUT", "500ms")
        .start();
    wait_ready(&runtime, WORKERS);
    let think = Pace::Think(Duration::from_millis(20));
    let load = Load::run(program.plan(16, Style::KeepAlive).pace(think));
    for _ in 0..SHORT.reloads {
        load.wait_answers(200);
        reload(&runtime);
    }
    load.wait_answers(200);
    lost_nothing("connections that never end", &load.stop(), &runtime);
    stop(runtime);
}

#[test]
#[ignore = "long: make soak"]
fn soak_reloads_of_node_without_a_handler() {
    four(&Program::node(), &LONG);
}

#[test]
#[ignore = "long: make soak"]
fn soak_reloads_of_python_http_server() {
    four(&Program::python_http_server(), &LONG);
}

#[test]
#[ignore = "long: make soak"]
fn soak_reloads_of_a_static_go_server() {
    four(&Program::go(), &LONG);
}

#[test]
#[ignore = "long: make soak"]
fn soak_reloads_of_a_rust_server() {
    four(&Program::rust(), &LONG);
}
