//! Socket options that a program sets before `bind` are those of its listener.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::harness::reloads::reload;
use crate::harness::shared_port::{ask, connect_to, stop, v4, wait_ready};
use crate::harness::{Runtime, free_port, scratch, source};

const PROGRAM: &str = "tests/payloads/options.py";

/// What the program prints without the runtime.
fn alone(kind: &str) -> String {
    let mut child = Command::new("/usr/bin/python3")
        .arg(source(PROGRAM))
        .arg(kind)
        .arg(free_port().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    line.trim_end().to_owned()
}

/// Also for the workers after a reload; and a version that sets no options gets a listener without them.
#[test]
fn options_that_are_set_before_bind_are_set_on_the_listener() {
    let (set, plain) = (alone("tcp"), alone("plain"));
    assert!(set.starts_with("options ") && plain.starts_with("options "));
    assert_ne!(set, plain);
    let port = free_port();
    let without = scratch("options").join("plain");
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_RELOAD_SURGE", "1")
        .env("PLAIN", &without)
        .arg("/usr/bin/python3")
        .arg(source(PROGRAM))
        .arg("tcp")
        .arg(port.to_string())
        .start();
    wait_ready(&runtime, 2);
    runtime.wait_for_lines(2, |line| line == set);
    let answer = ask(&mut connect_to(v4(port))).unwrap();
    assert!(answer.starts_with("0 rcvbuf="), "{answer}");
    reload(&runtime);
    runtime.wait_for_lines(4, |line| line == set);
    std::fs::write(&without, "").unwrap();
    // Each of the three listeners is handed over once without the options.
    for generation in 2..4 {
        reload(&runtime);
        runtime.wait_for_lines(2 * (generation - 1), |line| line == plain);
    }
    stop(runtime);
}

/// HAProxy asks whether its socket listens, and calls `listen` only if it does not. The listener that it has got does.
#[test]
fn a_program_that_asks_whether_its_socket_listens_need_not_call_listen() {
    let port = free_port();
    let program = format!(
        "import socket\n\
         s = socket.socket()\n\
         s.bind(('127.0.0.1', {port}))\n\
         if not s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN): s.listen()\n\
         while True:\n\
         \x20   c, _ = s.accept()\n\
         \x20   c.recv(64)\n\
         \x20   c.sendall(b'served')\n\
         \x20   c.close()\n"
    );
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .program(["/usr/bin/python3", "-c", &program])
        .start();
    runtime.wait_for_lines(2, |line| {
        line.contains("worker ready") && line.ends_with("by=listen")
    });
    reload(&runtime);
    assert_eq!(ask(&mut connect_to(v4(port))).unwrap(), "served");
    stop(runtime);
}
