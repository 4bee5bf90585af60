//! Real, unmodified programs: four workers of each answer on one port.

use std::collections::BTreeSet;
use std::ffi::OsString;

use crate::harness::{
    Builder, Reply, Runtime, Signal, asio_server, example, free_port, go_server, http_get,
    netty_server, scratch, source, until,
};

const WORKERS: usize = 4;

fn four(port: u16) -> Builder {
    Runtime::builder()
        .env("RPM_INSTANCES", WORKERS.to_string())
        .env("PORT", port.to_string())
        // Otherwise a slow start counts as ready before it listens.
        .env("RPM_READY", "listen")
}

/// All workers answer, each with its own identity, and the runtime exits with 0.
fn serves(builder: Builder, port: u16, who: fn(&Reply) -> i64) {
    let mut runtime = builder.start();
    runtime.wait_for_lines(WORKERS, |line| line.contains("worker ready"));
    let mut seen = BTreeSet::new();
    until("all workers answer", || {
        let reply = http_get(("127.0.0.1", port), "/");
        let reply = reply.unwrap_or_else(|error| panic!("{error}\n{}", runtime.shown()));
        assert_eq!(reply.status, 200);
        seen.insert(who(&reply));
        seen.len() == WORKERS
    });
    let opened: Vec<String> = runtime
        .texts()
        .into_iter()
        .filter(|line| line.contains("info: sharing a port"))
        .collect();
    assert!(
        opened.len() == 1 && opened[0].contains("listeners=6"),
        "{opened:?}"
    );
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}

/// The lowest number to which a directory listing links: of /proc/self/task, the PID.
fn first_link(reply: &Reply) -> i64 {
    let text = reply.text();
    let links = text.split("href=\"").skip(1);
    links
        .filter_map(|link| link.split('/').next()?.parse().ok())
        .min()
        .unwrap()
}

#[test]
fn rust() {
    let port = free_port();
    serves(four(port).arg(example("echo_server")), port, Reply::pid);
}

#[test]
fn node() {
    let port = free_port();
    let server = source("examples/node/server.js");
    serves(four(port).arg("node").arg(server), port, Reply::pid);
}

#[test]
fn npm_start() {
    let port = free_port();
    let home = scratch("npm");
    let builder = four(port)
        .env("HOME", &home)
        .env("npm_config_update_notifier", "false")
        .directory(source("examples/node"))
        .program(["npm", "start"]);
    serves(builder, port, Reply::pid);
}

#[test]
fn python_http_server() {
    let port = free_port();
    let builder = four(port)
        .program(["/usr/bin/python3", "-m", "http.server"])
        .arg(port.to_string())
        .program(["--directory", "/proc/self/task"]);
    serves(builder, port, first_link);
}

#[test]
fn python_threading_server() {
    let port = free_port();
    let server = source("examples/python/server.py");
    serves(
        four(port).arg("/usr/bin/python3").arg(server),
        port,
        Reply::pid,
    );
}

#[test]
fn ruby() {
    let port = free_port();
    let server = source("examples/ruby/server.rb");
    serves(four(port).arg("ruby").arg(server), port, Reply::pid);
}

#[test]
fn go_static() {
    let port = free_port();
    let builder = four(port).arg(go_server(&scratch("go")));
    serves(builder, port, Reply::pid);
}

/// C++ with Asio, which watches its socket before `bind`.
#[test]
fn asio() {
    let port = free_port();
    serves(four(port).arg(asio_server()), port, Reply::pid);
}

/// Java with Netty's native transport, which watches its socket before `bind`.
#[test]
fn netty() {
    let port = free_port();
    serves(four(port).program(netty_server()), port, Reply::pid);
}

/// The shell stays: the server is its child, and still gets the listener.
#[test]
fn behind_a_shell() {
    let port = free_port();
    let script = OsString::from(format!("{}; true", example("echo_server").display()));
    let builder = four(port)
        .program(["sh", "-c"])
        .arg(script)
        .env("RPM_SIGNAL_SCOPE", "group");
    serves(builder, port, Reply::pid);
}
