//! Ports on which nobody listens any more, because a process that was no worker listened there and was killed. Clients
//! are refused, as they are without the runtime, and do not wait for ever.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::path::Path;

use crate::harness::reloads::pids;
use crate::harness::shared_port::{field, freeze, send, stop, v4, wait_ready};
use crate::harness::{Builder, Runtime, Signal, example, free_port, http_get, scratch, until};

/// Answers every client with its PID.
const SIDE: &str = "
import os, socket
with socket.create_server(('127.0.0.1', int(os.environ['SIDE']))) as listener:
    print('side listens pid=%d' % os.getpid(), flush=True)
    while True:
        client, _ = listener.accept()
        client.sendall(b'%d' % os.getpid())
        client.close()
";

/// Binds and listens, and ends as soon as its child has left the session: as daemons do.
const DAEMON: &str = "
import os, socket
listener = socket.create_server(('127.0.0.1', int(os.environ['SIDE'])))
left, leaves = os.pipe()
if os.fork():
    os.close(leaves)
    os.read(left, 1)
    print('the parent ends', flush=True)
    os._exit(0)
os.setsid()
print('side listens pid=%d' % os.getpid(), flush=True)
os.close(leaves)
while True:
    client, _ = listener.accept()
    client.sendall(b'%d' % os.getpid())
    client.close()
";

/// Each worker runs `before`, and is then a server on its own port.
fn service(before: &str, (port, side): (u16, u16)) -> Builder {
    let script = format!("{before}\nexec '{}'", example("echo_server").display());
    Runtime::builder()
        .env("PORT", port.to_string())
        .env("SIDE", side.to_string())
        .env("CODE", SIDE)
        .program(["sh", "-c", &script])
}

/// As [`service`], whose ports are closed soon: a worker is ready by its age, so the ready timeout does not limit its
/// start, however slow the machine is.
fn closes_soon(before: &str, ports: (u16, u16)) -> Builder {
    service(before, ports)
        .env("RPM_READY", "delay:500ms")
        .env("RPM_READY_TIMEOUT", "1s")
}

/// Waits until the worker itself serves. Its port may have been closed before it could bind it.
#[track_caller]
fn wait_served(port: u16) {
    until("the worker serves", || {
        http_get(v4(port), "/").is_ok_and(|answer| answer.status == 200)
    });
}

/// The next process that listens beside a worker.
fn side_pid(runtime: &Runtime, mark: usize) -> i32 {
    let line = runtime.wait_for_line_after(mark, |line| line.contains("side listens"));
    field(&line, "pid").parse().unwrap()
}

#[track_caller]
fn is_served_by(side: u16, pid: i32) {
    let mut answer = String::new();
    let mut client = TcpStream::connect(v4(side)).unwrap();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, pid.to_string());
}

#[track_caller]
fn wait_refused(side: u16) {
    until("clients are refused", || {
        let client = TcpStream::connect(v4(side));
        client.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
}

/// What is run once alone: in the first life of the worker.
fn once(directory: &Path, what: &str) -> String {
    let mark = directory.join("mark");
    let mark = mark.display();
    format!("if [ ! -e '{mark}' ]; then : > '{mark}'; {what} fi")
}

#[test]
fn clients_of_a_killed_child_are_refused_and_its_worker_goes_on() {
    let ports = (free_port(), free_port());
    let runtime = closes_soon("python3 -c \"$CODE\" &", ports).start();
    wait_ready(&runtime, 1);
    let child = side_pid(&runtime, 0);
    is_served_by(ports.1, child);
    let workers = pids(&runtime);
    send(child, Signal::SIGKILL);
    wait_refused(ports.1);
    runtime.wait_for_line(|line| {
        line.contains("the process of a worker that listened here has ended")
    });
    assert_eq!(http_get(v4(ports.0), "/").unwrap().status, 200);
    assert_eq!(pids(&runtime), workers);
    stop(runtime);
}

#[test]
fn a_daemon_whose_parent_bound_the_port_and_ended_keeps_its_clients() {
    let ports = (free_port(), free_port());
    let runtime = service("python3 -c \"$CODE\"", ports)
        .env("CODE", DAEMON)
        .env("RPM_LOG_LEVEL", "debug")
        .start();
    wait_ready(&runtime, 1);
    let daemon = side_pid(&runtime, 0);
    let look = runtime.wait_for_line(|line| line.contains("another one has its listener"));
    assert_eq!(field(&look, "process"), daemon.to_string());
    is_served_by(ports.1, daemon);
    assert_eq!(http_get(v4(ports.0), "/").unwrap().status, 200);
    stop(runtime);
}

#[test]
fn clients_of_a_killed_child_wait_for_the_one_that_its_worker_starts_later() {
    let ports = (free_port(), free_port());
    let directory = scratch("nobody-later");
    let mark = directory.join("mark");
    let again = "(python3 -c \"$CODE\"; until [ -e \"$MARK\" ]; do sleep 0.1; done; exec python3 -c \"$CODE\") &";
    let runtime = service(again, ports)
        .env("MARK", mark.to_str().unwrap())
        .env("RPM_READY_TIMEOUT", "1h")
        .start();
    wait_ready(&runtime, 1);
    let child = side_pid(&runtime, 0);
    let marked = runtime.mark();
    send(child, Signal::SIGKILL);
    runtime.wait_for_line(|line| {
        line.contains("the process of a worker that listened here has ended")
    });
    let mut waiting = TcpStream::connect(v4(ports.1)).unwrap();
    std::fs::write(&mark, "").unwrap();
    let next = side_pid(&runtime, marked);
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, next.to_string());
    stop(runtime);
}

#[test]
fn a_listed_port_of_a_killed_child_stays_open_and_its_successor_serves_who_waits() {
    let ports = (free_port(), free_port());
    let again = "(while :; do python3 -c \"$CODE\"; done) &";
    let runtime = service(again, ports)
        .env("RPM_PORTS", format!("{},127.0.0.1:{}", ports.0, ports.1))
        .start();
    wait_ready(&runtime, 1);
    let child = side_pid(&runtime, 0);
    let mark = runtime.mark();
    freeze(child);
    let mut waiting = TcpStream::connect(v4(ports.1)).unwrap();
    send(child, Signal::SIGKILL);
    let next = side_pid(&runtime, mark);
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, next.to_string());
    stop(runtime);
}

/// `side` starts a child that listens on a port which the next worker does not open.
#[track_caller]
fn refused_when_its_worker_has_ended(name: &str, side: &str) {
    let ports = (free_port(), free_port());
    let directory = scratch(name);
    let before = once(&directory, side);
    let runtime = closes_soon(&before, ports).start();
    let child = side_pid(&runtime, 0);
    wait_ready(&runtime, 1);
    is_served_by(ports.1, child);
    let worker = *pids(&runtime).first().unwrap();
    send(worker, Signal::SIGKILL);
    wait_refused(ports.1);
    wait_served(ports.0);
    stop(runtime);
}

#[test]
fn clients_of_a_port_that_only_an_ended_worker_had_are_refused_and_those_of_the_next_are_not() {
    refused_when_its_worker_has_ended("nobody-ended", "python3 -c \"$CODE\" &");
}

#[test]
fn clients_of_what_an_ended_worker_left_in_another_session_are_refused_when_it_was_stopped() {
    refused_when_its_worker_has_ended("nobody-left", "setsid python3 -c \"$CODE\" &");
}
