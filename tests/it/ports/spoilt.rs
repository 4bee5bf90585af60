//! A worker cannot spoil its listener for its successors, nor the port for the other workers, by socket options.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::reloads::reload;
use crate::harness::shared_port::{ask, connect_to, freeze, say, stop, v4, wait_ready};
use crate::harness::{Builder, Runtime, Signal, free_port, source, until};

/// Two workers of the payload.
fn service(port: u16) -> Builder {
    Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_LOG_FORMAT", "raw")
        .arg("/usr/bin/python3")
        .arg(source("tests/payloads/spoil.py"))
        .arg(port.to_string())
}

/// As [`service`], with descriptors that the workers get at their start: no call of theirs is seen.
fn activated(port: u16) -> Builder {
    service(port)
        .env("RPM_HANDOVER", "activation")
        .env("RPM_READY", "tcp")
        .env("RPM_PORTS", format!("127.0.0.1:{port}"))
}

/// Every one of many requests is answered, and both slots answer.
#[track_caller]
fn all_is_well(port: u16, generation: &str) {
    let mut slots = BTreeSet::new();
    for _ in 0..60 {
        let answer = ask(&mut connect_to(v4(port))).unwrap();
        let (slot, of) = answer.split_once(' ').unwrap();
        assert_eq!(of, generation, "{answer}");
        slots.insert(slot.to_owned());
    }
    assert_eq!(slots.len(), 2, "{slots:?}");
}

/// A request that may be lost: the packets of a spoilt listener are dropped. True if it was answered.
fn try_to_ask(port: u16) -> bool {
    const LIMIT: Duration = Duration::from_millis(200);
    let Ok(mut client) = TcpStream::connect_timeout(&v4(port), LIMIT) else {
        return false;
    };
    client.set_read_timeout(Some(LIMIT)).unwrap();
    let mut answer = String::new();
    client.write_all(b"hello\n").is_ok() && client.read_to_string(&mut answer).is_ok()
}

/// Each call is answered, and nothing of it is done: all requests are served, after a reload too.
#[test]
fn a_worker_is_told_that_its_options_are_set_or_that_it_may_not_and_nothing_is_changed() {
    let port = free_port();
    let runtime = service(port)
        .env(
            "SPOIL",
            "lock filter bpf unfilter device md5 md5-ext reuse-off steer steer-bpf steer-off nodelay",
        )
        .start();
    let answers = "spoilt lock=done filter=EPERM bpf=EPERM unfilter=ENOENT device=EPERM md5=EPERM \
        md5-ext=EPERM reuse-off=done steer=done steer-bpf=done steer-off=done nodelay=done";
    runtime.wait_for_lines(2, |line| line == answers);
    // On its own socket it does what it likes, and the kernel answers.
    let own = "own filter=done unfilter=done lock=done filter=EPERM";
    runtime.wait_for_lines(2, |line| line == own);
    wait_ready(&runtime, 2);
    all_is_well(port, "0");
    for generation in ["1", "2"] {
        reload(&runtime);
        all_is_well(port, generation);
    }
    // Once for each worker, of three generations, though each sets several.
    let told = |line: &str| line.contains("it is answered and not set");
    runtime.wait_for_lines(6, told);
    let lines = runtime.texts();
    let lines: Vec<&String> = lines.iter().filter(|line| told(line)).collect();
    let pids: BTreeSet<&str> = lines
        .iter()
        .map(|line| line.split(" pid=").nth(1).unwrap())
        .map(|rest| rest.split(' ').next().unwrap())
        .collect();
    assert_eq!((lines.len(), pids.len()), (6, 6), "{lines:?}");
    stop(runtime);
}

/// What keeps clients away would be lost with the socket that a listener replaces.
#[test]
fn a_program_with_a_filter_on_its_socket_before_bind_keeps_the_socket_and_the_log_says_so() {
    let port = free_port();
    let runtime = service(port)
        .env("RPM_INSTANCES", "1")
        .env("BEFORE", "filter lock")
        .start();
    runtime.wait_for_line(|line| line == "before filter=done lock=done filter 1");
    runtime.wait_for_line(|line| {
        line.contains("cannot share a port") && line.contains("its socket has a filter")
    });
    stop(runtime);
}

#[test]
fn a_filter_that_no_interception_sees_is_taken_off_while_its_worker_lives() {
    let port = free_port();
    let runtime = activated(port).start();
    wait_ready(&runtime, 2);
    say(&mut connect_to(v4(port)), "spoil filter").unwrap();
    let undone = |line: &str| {
        line.contains("has spoilt a listener")
            && line.contains("option=SO_ATTACH_FILTER")
            && line.contains("that is undone")
    };
    // It is seen while connections arrive.
    until("the filter is taken off", || {
        try_to_ask(port);
        runtime.texts().iter().any(|line| undone(line))
    });
    all_is_well(port, "0");
    stop(runtime);
}

/// No connection arrives any more, so only a look from elsewhere finds it.
#[test]
fn a_filter_on_the_only_listener_is_taken_off_when_the_metrics_are_read() {
    let port = free_port();
    let runtime = activated(port).env("RPM_INSTANCES", "1").start();
    wait_ready(&runtime, 1);
    say(&mut connect_to(v4(port)), "spoil filter").unwrap();
    until("the filter is taken off", || {
        runtime.get("/metrics");
        let undone = |line: &String| line.contains("option=SO_ATTACH_FILTER");
        runtime.texts().iter().any(undone)
    });
    assert!(ask(&mut connect_to(v4(port))).is_ok());
    stop(runtime);
}

#[test]
fn a_listener_with_a_filter_that_is_locked_is_replaced_and_its_successor_serves() {
    let port = free_port();
    let runtime = activated(port).start();
    wait_ready(&runtime, 2);
    let answer = say(&mut connect_to(v4(port)), "spoil filter lock").unwrap();
    assert!(answer.ends_with("filter=done lock=done"), "{answer}");
    let replaced = |line: &str| {
        line.contains("has spoilt a listener") && line.contains("it is replaced by a new one")
    };
    until("the listener is replaced", || {
        try_to_ask(port);
        runtime.texts().iter().any(|line| replaced(line))
    });
    // Its worker cannot accept any more and ends. The next one serves.
    wait_ready(&runtime, 3);
    all_is_well(port, "0");
    reload(&runtime);
    all_is_well(port, "1");
    stop(runtime);
}

/// A lock on every listener would freeze the steering, and the reload would fail.
#[test]
fn workers_that_lock_their_listeners_are_reloaded_again_and_again() {
    let port = free_port();
    let runtime = activated(port).env("SPOIL", "lock").start();
    runtime.wait_for_lines(2, |line| line == "spoilt lock=done");
    wait_ready(&runtime, 2);
    for generation in ["1", "2", "3"] {
        reload(&runtime);
        all_is_well(port, generation);
    }
    stop(runtime);
}

#[test]
fn a_worker_that_steers_all_clients_to_one_slot_does_so_for_a_moment() {
    let port = free_port();
    let runtime = activated(port).start();
    wait_ready(&runtime, 2);
    // While the runtime stands still, nobody undoes it: all clients come to one slot.
    freeze(runtime.pid());
    let answer = say(&mut connect_to(v4(port)), "spoil steer").unwrap();
    assert!(answer.ends_with("steer=done"), "{answer}");
    let steered: BTreeSet<String> = (0..60)
        .map(|_| ask(&mut connect_to(v4(port))).unwrap())
        .collect();
    assert_eq!(steered.len(), 1, "{steered:?}");
    runtime.signal(Signal::SIGCONT);
    let mut slots = BTreeSet::new();
    until("both slots answer", || {
        let answer = ask(&mut connect_to(v4(port))).unwrap();
        slots.insert(answer);
        slots.len() == 2
    });
    stop(runtime);
}
