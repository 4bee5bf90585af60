//! RPM_READY: what makes a worker ready.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::thread;
use std::time::Instant;

use crate::harness::shared_port::{
    Gate, all_answer, field, queue_length, send, sockets, stop, v4, wait_ready,
};
use crate::harness::{Builder, Runtime, Signal, example, free_port, http_get, source, until};

fn ready(rule: &str) -> Builder {
    Runtime::builder()
        .env("RPM_READY", rule)
        .env("RPM_MIN_UPTIME", "1ms")
}

/// Many times the minimum uptime, and long for a turn of the event loop.
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

/// ... but not by `tcp`.
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

/// It is told that it waits for a port, once, and its successors do not wait.
#[test]
fn auto_without_a_listener_is_the_ready_timeout_once() {
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_MIN_UPTIME", "1ms")
        .env("RPM_READY_TIMEOUT", "1s")
        .program(["sleep", "1000"])
        .start();
    let line = runtime.wait_for_line(|line| line.contains("worker ready"));
    assert_eq!(field(&line, "by"), "age", "{line}");
    assert_eq!(field(&line, "after").len(), "1000ms".len(), "{line}");
    let told = runtime.wait_for_line(|line| line.contains("it counts as one that serves none"));
    assert!(told.contains("RPM_PORTS=off"), "{told}");
    wait_ready(&runtime, 2);
    for worker in runtime.wait_workers(2) {
        send(worker.pid, Signal::SIGKILL);
    }
    let lines = runtime.wait_for_lines(4, |line| line.contains("worker ready"));
    for line in &lines[2..] {
        assert!(field(line, "after").len() < "1000ms".len(), "{line}");
    }
    let texts = runtime.texts();
    let told = texts.iter().filter(|line| line.contains("serves none"));
    assert_eq!(told.count(), 1, "{texts:?}");
    stop(runtime);
}

#[test]
fn without_shared_ports_auto_is_the_time_alive() {
    for (name, value) in [("RPM_PORTS", "off"), ("RPM_EXEC_MODE", "fork")] {
        let runtime = Runtime::builder()
            .env(name, value)
            .env("RPM_MIN_UPTIME", "200ms")
            .program(["sleep", "1000"])
            .start();
        let line = runtime.wait_for_line(|line| line.contains("worker ready"));
        let after: u64 = field(&line, "after")
            .trim_end_matches("ms")
            .parse()
            .unwrap();
        assert!(after >= 200 && field(&line, "by") == "age", "{line}");
        stop(runtime);
    }
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

/// Workers that listen at once and answer `/ready` with 503 until the gate releases each of them.
fn warming(gate: &Gate, port: u16, workers: u16) -> Builder {
    ready("http:/ready")
        .env("RPM_INSTANCES", workers.to_string())
        .env("GATE", &gate.path)
        .env("PORT", port.to_string())
        .program([
            OsString::from("/usr/bin/python3"),
            source("tests/payloads/warming.py").into(),
        ])
}

/// Each is checked over its own listener, which gets no client: clients go to ready workers.
#[test]
fn http_waits_for_a_success_and_until_then_only_the_probe_comes() {
    let (port, mut gate) = (free_port(), Gate::new("warming"));
    let runtime = warming(&gate, port, 2).start();
    runtime.wait_for_lines(2, |line| line == "listening");
    is_not_ready(&runtime);
    gate.open(1);
    let first = runtime.wait_for_line(|line| line.contains("worker ready"));
    let pid: i64 = field(&first, "pid").parse().unwrap();
    runtime.wait_for_status("/readyz", 200);
    for _ in 0..30 {
        assert_eq!(http_get(v4(port), "/").unwrap().pid(), pid);
    }
    gate.open(1);
    wait_ready(&runtime, 2);
    let mut seen = BTreeSet::new();
    until("both answer", || {
        let reply = http_get(v4(port), "/").unwrap();
        let told = reply.json();
        assert!(told["probes"].as_u64() > Some(0), "{told}");
        assert_eq!(told["others"], 0, "{told}");
        seen.insert(reply.pid());
        seen.len() == 2
    });
    stop(runtime);
}

/// Clients that come before any worker is ready wait, and reach none before that: neither with a listed port, where they
/// come before the first worker, nor after a crash of all.
#[test]
fn no_worker_gets_a_client_before_it_is_ready() {
    let (port, mut gate) = (free_port(), Gate::new("apart"));
    let runtime = warming(&gate, port, 2)
        .env("RPM_PORTS", format!("127.0.0.1:{port}"))
        .start();
    for ready in [1, 2] {
        runtime.wait_for_lines(2 * ready, |line| line == "listening");
        let waiting: Vec<_> = (0..20)
            .map(|_| thread::spawn(move || http_get(v4(port), "/").unwrap().json()))
            .collect();
        until("they wait", || spares_hold(&runtime) >= 20.0);
        gate.open(1);
        for client in waiting {
            let told = client.join().unwrap();
            assert_eq!(told["others"], 0, "{told}");
        }
        gate.open(1);
        wait_ready(&runtime, 2 * ready);
        runtime.wait_for_line(|line| line.contains("clients waited until a worker was ready"));
        for worker in runtime.wait_workers(2) {
            send(worker.pid, Signal::SIGKILL);
        }
    }
    runtime.wait_for_lines(6, |line| line == "listening");
    gate.open(2);
    stop(runtime);
}

/// Connections in the queues that no worker has.
fn spares_hold(runtime: &Runtime) -> f64 {
    let status = runtime.get("/status").json();
    let queues = status["queues"].as_array().unwrap().clone();
    let spares = queues.iter().filter(|queue| queue["worker"].is_null());
    spares.filter_map(|queue| queue["length"].as_f64()).sum()
}

#[test]
fn http_holds_for_the_new_worker_of_a_reload_too() {
    let (port, mut gate) = (free_port(), Gate::new("warming-anew"));
    let runtime = warming(&gate, port, 1).start();
    gate.open(1);
    let first = runtime.wait_for_line(|line| line.contains("worker ready"));
    let old: i64 = field(&first, "pid").parse().unwrap();
    runtime.signal(Signal::SIGHUP);
    runtime.wait_for_lines(2, |line| line == "listening");
    for _ in 0..30 {
        assert_eq!(http_get(v4(port), "/").unwrap().pid(), old);
    }
    gate.open(1);
    runtime.wait_for_line(|line| line.contains("reload finished"));
    let told = http_get(v4(port), "/").unwrap().json();
    assert_ne!(told["pid"], old);
    assert!(told["probes"].as_u64() > Some(0), "{told}");
    assert_eq!(told["others"], 0, "{told}");
    stop(runtime);
}

#[test]
fn a_worker_that_never_answers_with_a_success_is_replaced_for_it() {
    let (port, gate) = (free_port(), Gate::new("cold"));
    let runtime = warming(&gate, port, 1)
        .env("RPM_READY_TIMEOUT", "2s")
        .start();
    let late =
        runtime.wait_for_line(|line| line.contains("worker not ready within RPM_READY_TIMEOUT"));
    assert!(
        late.contains(
            "it does not answer the path of RPM_READY with a success (GET /ready on port"
        ),
        "{late}"
    );
    runtime.wait_for_line(|line| {
        line.contains("worker ended") && line.contains("cause=start_timeout")
    });
    runtime.wait_for_lines(2, |line| line.contains("worker started slot=0 "));
    stop(runtime);
}
