//! Workers that do not let the runtime read what they ask for.

use crate::harness::shared_port::{
    ask, connect_to, send, stop, v4, wait_ready, wait_rotation, worker,
};
use crate::harness::{Runtime, Signal, free_port, scratch, source, until};

/// Worker 0 puts the address of its `bind` into memory that it fills itself (userfaultfd), and does not fill it.
fn stalling(name: &str, instances: u16) -> (Runtime, u16) {
    let port = free_port();
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", instances.to_string())
        .env("RPM_READY", "listen")
        .env("RPM_READY_TIMEOUT", "1h")
        .arg("/usr/bin/python3")
        .arg(source("tests/payloads/stalling.py"))
        .arg(port.to_string())
        .arg(scratch(name).join("mark"))
        .start();
    runtime.wait_for_line(|line| line == "stalls");
    (runtime, port)
}

fn answer(port: u16) -> String {
    let reply = ask(&mut connect_to(v4(port))).unwrap();
    reply.trim().to_owned()
}

#[test]
fn a_worker_that_stalls_its_bind_stalls_no_other_and_is_served_when_it_goes_on() {
    let (runtime, port) = stalling("stalling", 3);
    wait_ready(&runtime, 2);
    let line = runtime.wait_for_line(|line| line.contains("does not let its memory be read"));
    assert!(line.contains(" slot=0 "), "{line}");
    // The successor of another one is served as well, while it stalls.
    send(worker(&runtime, 1), Signal::SIGKILL);
    wait_ready(&runtime, 3);
    wait_rotation(&runtime, &[1, 2]);
    for _ in 0..20 {
        assert_ne!(answer(port), "slot 0");
    }
    assert_eq!(runtime.get("/livez").status, 200);
    send(worker(&runtime, 0), Signal::SIGUSR1);
    wait_ready(&runtime, 4);
    wait_rotation(&runtime, &[0, 1, 2]);
    until("it serves", || answer(port) == "slot 0");
    stop(runtime);
}

#[test]
fn a_worker_that_stalls_its_bind_can_be_killed_and_its_successor_is_served() {
    let (runtime, port) = stalling("stalled", 2);
    wait_ready(&runtime, 1);
    send(worker(&runtime, 0), Signal::SIGKILL);
    wait_ready(&runtime, 2);
    wait_rotation(&runtime, &[0, 1]);
    until("it serves", || answer(port) == "slot 0");
    stop(runtime);
}

/// Each question is a change of threads, twice.
#[test]
fn a_bind_asks_once_what_socket_it_is() {
    let (port, calls) = (free_port(), scratch("asked-once").join("calls"));
    let bind = format!(
        "import os, socket; one = socket.socket(); one.bind(('127.0.0.1', {port})); print('pid', os.getpid(), flush=True)"
    );
    let mut runtime = Runtime::builder()
        .traced(&calls)
        .env("RPM_RESTART", "never")
        .env("RPM_EXEC_MODE", "cluster")
        .env("RPM_HANDOVER", "intercept")
        .program(["/usr/bin/python3", "-c", &bind])
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(0), "{}", runtime.shown());
    let text = std::fs::read_to_string(&calls).unwrap();
    let texts = runtime.texts();
    let worker = texts.iter().find_map(|line| line.strip_prefix("pid "));
    let worker = worker.unwrap();
    let asked = format!("getxattr(\"/proc/{worker}/fd/");
    let asked = text.lines().filter(|line| line.contains(&asked)).count();
    assert_eq!(asked, 1, "{text}");
}
