//! Programs that put their socket into an epoll set before `bind`, as C++ Asio and Netty do.

use std::ffi::OsString;
use std::fs;

use crate::harness::programs::Program;
use crate::harness::reloads::reload;
use crate::harness::shared_port::{
    Gate, connect_to_slot, field, send, stop, v4, wait_ready, worker,
};
use crate::harness::{
    Builder, Runtime, Signal, asio_server, example, free_port, free_ports, http_get, source, until,
};

/// Workers of `tests/payloads/watching.py`.
fn watching(count: u16, port: u16, style: &str, sets: u16) -> Builder {
    watching_under(&[], count, port, style, sets)
}

fn watching_under(under: &[OsString], count: u16, port: u16, style: &str, sets: u16) -> Builder {
    Runtime::builder()
        .under(under.to_vec())
        .env("RPM_INSTANCES", count.to_string())
        .env("RPM_MAX_RESTARTS", "1")
        .arg("/usr/bin/python3")
        .arg(source("tests/payloads/watching.py"))
        .program([port.to_string(), style.to_owned(), sets.to_string()])
}

/// Waits until so many different workers have answered.
#[track_caller]
fn all_answer(runtime: &Runtime, port: u16, count: usize) {
    let mut seen = std::collections::BTreeSet::new();
    until("all workers answer", || {
        let reply = http_get(v4(port), "/");
        let reply = reply.unwrap_or_else(|error| panic!("{error}\n{}", runtime.shown()));
        seen.insert(reply.pid());
        seen.len() == count
    });
}

#[track_caller]
fn serves(count: u16, style: &str) {
    let port = free_port();
    let runtime = watching(count, port, style, 2)
        .env("RPM_READY", "listen")
        .start();
    wait_ready(&runtime, usize::from(count));
    all_answer(&runtime, port, usize::from(count));
    stop(runtime);
}

#[test]
fn a_socket_that_is_watched_before_bind_is_served() {
    for style in ["level", "edge", "exclusive", "none"] {
        serves(3, style);
    }
}

#[test]
fn one_worker_that_watches_its_socket_before_bind_is_served() {
    for style in ["edge", "none"] {
        serves(1, style);
    }
}

/// The set is still known, or it would wait for ever.
/// A single worker could not be answered either.
#[test]
fn one_worker_of_asio_or_netty_is_served_and_reloaded() {
    for program in [Program::asio(), Program::netty()] {
        let runtime = program.workers(1).start();
        wait_ready(&runtime, 1);
        for _ in 0..2 {
            assert_eq!(http_get(v4(program.port), "/").unwrap().status, 200);
            reload(&runtime);
        }
        assert_eq!(http_get(v4(program.port), "/").unwrap().status, 200);
        stop(runtime);
    }
}

#[test]
fn a_port_that_asio_opens_later_is_shared_too() {
    let port = free_ports(2);
    let mut gate = Gate::new("late");
    let late = [
        "late".into(),
        gate.path.clone().into_os_string(),
        (port + 1).to_string().into(),
    ];
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_READY", "listen")
        .arg(asio_server())
        .program([OsString::from(port.to_string())].into_iter().chain(late))
        .start();
    wait_ready(&runtime, 2);
    all_answer(&runtime, port, 2);
    gate.open(2);
    let listens = format!("listening on {}", port + 1);
    runtime.wait_for_lines(2, |line| line.contains(&listens));
    all_answer(&runtime, port + 1, 2);
    stop(runtime);
}

/// Number of epoll sets of which the runtime has a descriptor.
fn sets(runtime: &Runtime) -> usize {
    let entries = fs::read_dir(format!("/proc/{}/fd", runtime.pid())).unwrap();
    let links = entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    links
        .filter(|link| link.as_os_str() == "anon_inode:[eventpoll]")
        .count()
}

/// Node has three sets, and listens in one of them.
#[test]
fn the_runtime_keeps_no_more_than_one_set_of_a_worker_after_its_start() {
    let port = free_port();
    let node = |workers: u16| {
        Runtime::builder()
            .env("RPM_INSTANCES", workers.to_string())
            .env("PORT", port.to_string())
            .env("RPM_READY", "listen")
            .arg("node")
            .arg(source("examples/node/server.js"))
            .start()
    };
    let runtime = node(2);
    wait_ready(&runtime, 2);
    let kept = sets(&runtime);
    let mut last = kept;
    until("most of the sets are dropped", || {
        last = sets(&runtime);
        last < kept
    });
    assert!(kept - last >= 2, "{kept} -> {last}");
    all_answer(&runtime, port, 2);
    stop(runtime);
}

/// The line in which the runtime explains why it does not share.
fn refusal(runtime: &Runtime) -> String {
    let words = "cannot share a port whose socket is in an epoll set before bind";
    runtime.wait_for_line(|line| line.contains(words))
}

#[test]
fn several_workers_in_sets_that_are_not_known_are_refused_in_words() {
    let port = free_port();
    let mut runtime = watching(2, port, "edge", 20).start();
    let line = refusal(&runtime);
    assert!(line.contains("error: "), "{line}");
    assert!(line.contains("that set is not among the last 16"), "{line}");
    assert!(line.contains("RPM_INSTANCES=1"), "{line}");
    assert_eq!(field(&line, "port"), format!("0.0.0.0:{port}"));
    runtime.wait_for_line(|line| line.contains("Operation not supported"));
    assert_ne!(runtime.wait_exit().code(), Some(0));
}

#[test]
fn one_worker_in_a_set_that_is_not_known_binds_by_itself() {
    let port = free_port();
    let runtime = watching(1, port, "edge", 20)
        .env("RPM_PORTS", port.to_string())
        .start();
    let line = refusal(&runtime);
    assert!(
        line.contains("warn: ") && line.contains("RPM_RELOAD_SURGE=0"),
        "{line}"
    );
    runtime.wait_for_line(|line| line.contains("listening"));
    all_answer(&runtime, port, 1);
    stop(runtime);
}

/// No thread can have a descriptor table of its own there.
#[test]
fn without_close_range_it_is_refused_in_words_and_others_are_served() {
    let under = [example("deny").into(), OsString::from("close_range")];
    let mut runtime = watching_under(&under, 2, free_port(), "edge", 0).start();
    let line = refusal(&runtime);
    assert!(line.contains("close_range"), "{line}");
    assert_ne!(runtime.wait_exit().code(), Some(0));

    let port = free_port();
    let runtime = Runtime::builder()
        .under(under.to_vec())
        .env("RPM_INSTANCES", "2")
        .env("PORT", port.to_string())
        .env("RPM_READY", "listen")
        .arg(example("echo_server"))
        .start();
    wait_ready(&runtime, 2);
    all_answer(&runtime, port, 2);
    stop(runtime);
}

/// The kernel removes a closed descriptor from its sets with the last descriptor of the file, and the runtime has one.
#[test]
fn a_listener_that_a_worker_closes_leaves_its_epoll_set() {
    for count in [1, 2] {
        let port = free_port();
        let runtime = Runtime::builder()
            .env("RPM_INSTANCES", count.to_string())
            .env("RPM_READY", "listen")
            .env("RPM_DRAIN_TIMEOUT", "500ms")
            .arg("/usr/bin/python3")
            .arg(source("tests/payloads/leaving.py"))
            .arg(port.to_string())
            .start();
        wait_ready(&runtime, count);
        // Its handler is there.
        runtime.wait_for_lines(count, |line| line == "listening");
        send(worker(&runtime, 0), Signal::SIGUSR2);
        runtime.wait_for_line(|line| line == "closed");
        let client = connect_to_slot(v4(port), 0, 1);
        runtime.wait_for_line(|line| line == "woken");
        let told = "a worker closed its listener and lives on";
        let line = runtime.wait_for_line(|line| line.contains(told));
        assert_eq!(field(&line, "waiting"), "1");
        runtime.wait_for_line(|line| line == "quiet");
        drop(client);
        stop(runtime);
    }
}
