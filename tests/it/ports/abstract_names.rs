//! Abstract names of unix sockets: one listener for all workers.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;
use std::thread;

use super::unix_names::words;
use crate::harness::reloads::reload;
use crate::harness::shared_port::{Gate, freeze, send, stop, wait_ready, worker};
use crate::harness::unix_paths::UnixProgram;
use crate::harness::{Connection, Signal, patience, until};

/// The words of a Python program that listens at an abstract name.
fn program(name: &str) -> Vec<OsString> {
    let bind = format!("s = socket.socket(socket.AF_UNIX)\ns.bind('\\0{name}')");
    words(Path::new("/"), &bind)
}

fn ask_name(name: &str) -> io::Result<i64> {
    let address = SocketAddr::from_abstract_name(name)?;
    let stream = UnixStream::connect_addr(&address)?;
    stream.set_read_timeout(Some(patience()))?;
    let stream = TcpStream::from(OwnedFd::from(stream));
    let reply = Connection::from(stream).request("/?nonce=n", &["Connection: close"])?;
    Ok(reply.pid())
}

/// One listener for all: the kernel allows no second one.
#[test]
fn all_workers_serve_one_abstract_name_and_a_reload_refuses_nobody() {
    let name = format!("rpm-abstract-{}", std::process::id());
    let runtime = UnixProgram::started_by(2, program(&name)).start();
    wait_ready(&runtime, 2);
    let mut seen = BTreeSet::new();
    until("both workers answer", || {
        seen.insert(ask_name(&name).unwrap());
        seen.len() == 2
    });
    reload(&runtime);
    let new = ask_name(&name).unwrap();
    assert!(!seen.contains(&new), "an old worker answers");
    stop(runtime);
    assert!(ask_name(&name).is_err(), "the name is free");
}

#[test]
fn clients_of_an_abstract_name_wait_for_the_successor_of_a_worker_that_is_killed() {
    let name = format!("rpm-abstract-killed-{}", std::process::id());
    let runtime = UnixProgram::started_by(1, program(&name)).start();
    wait_ready(&runtime, 1);
    let pid = worker(&runtime, 0);
    freeze(pid);
    let client = {
        let name = name.clone();
        thread::spawn(move || ask_name(&name))
    };
    let series = format!("rpm_listen_queue_length{{listener=\"unix:@{name}\"");
    until("the client waits", || {
        let metrics = runtime.get("/metrics").text();
        let mut lines = metrics.lines();
        lines.any(|line| line.starts_with(&series) && line.ends_with(" 1"))
    });
    send(pid, Signal::SIGKILL);
    assert_ne!(client.join().unwrap().unwrap(), i64::from(pid));
    stop(runtime);
}

/// Clients wait before the first worker, as at a path that is listed.
#[test]
fn a_listed_abstract_name_is_open_before_the_first_worker() {
    let name = format!("rpm-abstract-listed-{}", std::process::id());
    let mut gate = Gate::new("abstract-gate");
    let runtime = UnixProgram::started_by(2, gate.before(program(&name)))
        .env("RPM_PORTS", format!("unix:@{name}"))
        .start();
    runtime.wait_for_lines(2, |line| line == "waiting");
    let client = thread::spawn(move || ask_name(&name));
    gate.open(2);
    client.join().unwrap().unwrap();
    wait_ready(&runtime, 2);
    stop(runtime);
}
