//! RPM_NODE_DRAIN=close: the HTTP servers of a draining Node worker let their clients go. With Node 18, 20, 22 and 24.

use std::io::Read;

use super::{WORKERS, lost_nothing};
use crate::harness::load::{Load, Plan, Style};
use crate::harness::nodes::{VERSIONS, node, packages, payload};
use crate::harness::reloads::reload;
use crate::harness::shared_port::{send, stop, v4, wait_ready};
use crate::harness::{Builder, Connection, Reply, Runtime, Signal, free_port, http_get, until};

/// Requests of each version, at least.
const REQUESTS: u64 = 100_000;

/// The options that the program has without the runtime.
const OPTIONS: &str = "--max-old-space-size=300 --no-warnings";

/// So many workers of `tests/payloads/node/PROGRAM`.
fn service(version: u32, program: &str, port: u16, workers: usize) -> Builder {
    Runtime::builder()
        .env("RPM_INSTANCES", workers.to_string())
        .env("RPM_READY", "listen")
        .env("PORT", port.to_string())
        .env("NODE_PATH", packages())
        .env("NODE_OPTIONS", OPTIONS)
        .arg(node(version))
        .arg(payload(program))
}

/// Eight ends of workers, and clients that never give up a connection, never pause, and never send a request twice.
fn loses_nothing(version: u32, program: &str) {
    let port = free_port();
    let runtime = service(version, program, port, WORKERS)
        .env("RPM_NODE_DRAIN", "close")
        .start();
    wait_ready(&runtime, WORKERS);
    let load = Load::run(Plan::new(v4(port), 16, Style::KeepAlive).strict());
    for _ in 0..2 {
        load.wait_answers(REQUESTS / 10);
        reload(&runtime);
    }
    while load.answered() < REQUESTS {
        load.wait_answers(500);
    }
    let what = format!("Node {version}, {program}");
    lost_nothing(&what, &load.stop(), &runtime);
    stop(runtime);
}

#[test]
fn clients_that_never_pause_lose_no_request_of_express_with_drain_close() {
    for version in [18, 22] {
        loses_nothing(version, "kept.js");
    }
}

#[test]
fn clients_that_never_pause_lose_no_request_of_an_es_module_with_drain_close() {
    for version in [20, 24] {
        loses_nothing(version, "kept.mjs");
    }
}

/// Runs with each version, as CommonJS and as an ES module.
fn with_each(test: impl Fn(u32, &str)) {
    for version in VERSIONS {
        for program in ["kept.js", "kept.mjs"] {
            println!("Node {version}, {program}");
            test(version, program);
        }
    }
}

#[test]
fn drain_close_changes_nothing_that_a_program_sees_before_the_drain() {
    with_each(|version, program| {
        let mut facts = ["off", "close"].map(|drain| {
            let port = free_port();
            let service = service(version, program, port, 1).env("RPM_NODE_DRAIN", drain);
            let runtime = service.start();
            wait_ready(&runtime, 1);
            let mut client = Connection::open(v4(port)).unwrap();
            for path in ["/", "/told"] {
                let kept = client.get(path).unwrap();
                assert_eq!(kept.header("connection"), Some("keep-alive"), "{path}");
            }
            let facts = http_get(v4(port), "/facts").unwrap().json();
            stop(runtime);
            facts
        });
        // It hears the runtime's messages, as Node's cluster does.
        let internal = &mut facts[1]["own"]["internal"];
        *internal = (internal.as_u64().unwrap() - 1).into();
        assert_eq!(facts[0], facts[1], "Node {version}, {program}");
        assert_eq!(facts[1]["spawned"]["options"], OPTIONS);
        assert_eq!(facts[1]["own"]["observed"], false);
    });
}

/// A request in work holds up the drain of all workers before the stop.
#[test]
fn the_drain_of_a_stop_with_drain_close_ends_each_connection_after_its_answer() {
    let port = free_port();
    let service = service(22, "kept.mjs", port, 1).env("RPM_DRAIN_TIMEOUT", "10m");
    let mut runtime = service.env("RPM_NODE_DRAIN", "close").start();
    wait_ready(&runtime, 1);
    let pid = runtime.workers()[0].pid;
    let mut client = Connection::open(v4(port)).unwrap();
    client.get("/").unwrap();
    let slow = std::thread::spawn(move || Connection::open(v4(port)).unwrap().get("/slow"));
    runtime.wait_for_line(|line| line == "slow begins");
    runtime.signal(Signal::SIGTERM);
    until("the worker answers with `Connection: close`", || {
        let reply = client.get("/").unwrap();
        reply.header("connection") == Some("close")
    });
    // Whoever comes now is served, once.
    let late = http_get(v4(port), "/told").unwrap();
    assert_eq!(late.header("connection"), Some("close"));
    send(pid, Signal::SIGUSR2);
    let slow = slow.join().unwrap().unwrap();
    assert_eq!(slow.header("connection"), Some("close"));
    assert_eq!(runtime.wait_exit().code(), Some(0));
}

#[test]
fn drain_close_without_a_channel_has_no_effect_and_says_so() {
    let port = free_port();
    let service = service(22, "kept.mjs", port, 1).env("RPM_NODE_DRAIN", "close");
    let runtime = service.env("RPM_NODE", "off").start();
    runtime.wait_for_line(|line| {
        line.contains("RPM_NODE_DRAIN=close has no effect") && line.contains("RPM_NODE=off")
    });
    wait_ready(&runtime, 1);
    let facts = http_get(v4(port), "/facts").unwrap().json();
    assert_eq!(facts["own"]["options"], OPTIONS);
    assert_eq!(facts["own"]["internal"], 0);
    stop(runtime);
}

/// Clients are between two requests, idle, or wait for their answer when the drain begins.
#[test]
fn a_draining_worker_with_drain_close_ends_each_connection_after_its_answer() {
    with_each(|version, program| {
        let port = free_port();
        let runtime = service(version, program, port, 1)
            .env("RPM_NODE_DRAIN", "close")
            .env("RPM_DRAIN_TIMEOUT", "10m")
            .start();
        wait_ready(&runtime, 1);
        let pid = runtime.workers()[0].pid;
        let open = || {
            let mut client = Connection::open(v4(port)).unwrap();
            client.get("/").unwrap();
            client
        };
        let (idle, mut next, mut told) = (open(), open(), open());
        let slow = std::thread::spawn(move || Connection::open(v4(port)).unwrap().get("/slow"));
        runtime.wait_for_line(|line| line == "slow begins");
        runtime.signal(Signal::SIGHUP);
        runtime.wait_for_line(|line| line.contains("new worker took over"));
        let close = |reply: Reply| reply.header("connection") == Some("close");
        until("the worker answers with `Connection: close`", || {
            close(told.get("/told").unwrap())
        });
        assert!(close(next.get("/").unwrap()));
        for mut client in [told, next, idle] {
            assert_eq!(client.stream().read(&mut [0]).unwrap(), 0);
        }
        send(pid, Signal::SIGUSR2);
        let slow = slow.join().unwrap().unwrap();
        assert_eq!(slow.header("connection"), Some("close"));
        assert_eq!(slow.text(), "slow");
        runtime.wait_for_line(|line| line.contains("worker has no connections left"));
        runtime.wait_for_line(|line| line.contains("reload finished"));
        assert!(
            !runtime
                .texts()
                .iter()
                .any(|line| line.starts_with("message"))
        );
        stop(runtime);
    });
}
