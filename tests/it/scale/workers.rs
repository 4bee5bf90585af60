//! TTIN and TTOU: one worker more or less, as an operator sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::Write;

use crate::harness::reloads::{pids, reload, wait_scale};
use crate::harness::shared_port::{Gate, connect_to, field, stop, v4, wait_ready, wait_rotation};
use crate::harness::status::{
    self, counter, drains, echo, exits, status, wait_reload_ends, wait_status,
};
use crate::harness::{
    Connection, Runtime, Signal, example, free_port, free_ports, http_get, until,
};

/// One signal after the other: the kernel may merge two equal signals.
fn scale(runtime: &Runtime, signal: Signal, through: impl IntoIterator<Item = u32>) {
    for wanted in through {
        runtime.signal(signal);
        wait_scale(runtime, wanted);
    }
}

fn started(port: u16, workers: u16) -> Runtime {
    let runtime = echo(port, workers).env("RPM_READY", "listen").start();
    wait_ready(&runtime, workers.into());
    wait_scale(&runtime, workers.into());
    runtime
}

/// The workers that answer on the shared port, by slot, until `slots` slots have answered.
#[track_caller]
fn answers(port: u16, slots: usize) -> BTreeMap<String, i64> {
    let mut seen = BTreeMap::new();
    until(&format!("{slots} slots answer"), || {
        let reply = http_get(v4(port), "/").unwrap();
        seen.insert(
            reply.json()["slot"].as_str().unwrap().to_owned(),
            reply.pid(),
        );
        seen.len() == slots
    });
    seen
}

fn slots(count: u16) -> Vec<u16> {
    (0..count).collect()
}

/// At the start, one listener and a spare for a reload were opened. The group grows beyond that, and no listener
/// changes its index.
#[test]
fn workers_beyond_those_of_the_start_serve_the_shared_port() {
    let port = free_port();
    let runtime = started(port, 1);
    let first = pids(&runtime);
    scale(&runtime, Signal::SIGTTIN, 2..=6);
    wait_rotation(&runtime, &slots(6));
    assert!(pids(&runtime).is_superset(&first));
    let seen = answers(port, 6);
    let names: Vec<&str> = seen.keys().map(String::as_str).collect();
    assert_eq!(names, ["0", "1", "2", "3", "4", "5"]);
    let answered: BTreeSet<i64> = seen.values().copied().collect();
    let alive: BTreeSet<i64> = pids(&runtime).into_iter().map(i64::from).collect();
    assert_eq!(answered, alive);
    let seen = status(&runtime);
    assert_eq!((seen.desired, seen.ready()), (6, 6));
    let steps = runtime.wait_for_lines(5, |line| line.contains("number of workers changed"));
    assert_eq!(field(&steps[4], "from"), "5");
    assert_eq!(field(&steps[4], "to"), "6");
    // Each worker knows the number of workers at its start.
    let mut told = BTreeSet::new();
    until("all tell", || {
        told.insert(http_get(v4(port), "/env/RPM_WORKERS").unwrap().text());
        told.len() == 6
    });
    assert!(told.iter().eq(["1", "2", "3", "4", "5", "6"]), "{told:?}");
    stop(runtime);
}

#[test]
fn each_slot_has_a_number_of_its_own_through_up_down_and_up_again() {
    let port = free_port();
    let runtime = started(port, 3);
    scale(&runtime, Signal::SIGTTIN, 4..=5);
    scale(&runtime, Signal::SIGTTOU, [4, 3, 2]);
    wait_rotation(&runtime, &slots(2));
    answers(port, 2);
    scale(&runtime, Signal::SIGTTIN, 3..=5);
    wait_rotation(&runtime, &slots(5));
    let seen = answers(port, 5);
    let names: Vec<&str> = seen.keys().map(String::as_str).collect();
    assert_eq!(names, ["0", "1", "2", "3", "4"]);
    stop(runtime);
}

#[test]
fn one_worker_stays_however_often_one_less_is_asked_for() {
    let port = free_port();
    let runtime = started(port, 3);
    let last = status(&runtime).pid(0);
    scale(&runtime, Signal::SIGTTOU, [2, 1]);
    until("both are reaped", || exits(&runtime, "scale") == 2);
    runtime.signal(Signal::SIGTTOU);
    let refused = runtime.wait_for_line(|line| line.contains("cannot be changed further"));
    assert_eq!(field(&refused, "workers"), "1");
    assert_eq!(http_get(v4(port), "/").unwrap().pid(), i64::from(last));
    assert_eq!(counter(&runtime, "rpm_workers_desired"), 1);
    stop(runtime);
}

#[test]
fn a_worker_that_is_given_up_finishes_what_it_has() {
    let port = free_port();
    let runtime = started(port, 2);
    let leaves = status(&runtime).pid(1);
    let mut busy: Connection = status::to_slot(v4(port), 1);
    busy.stream()
        .write_all(b"GET /slow/1500 HTTP/1.1\r\nConnection: close\r\n\r\n")
        .unwrap();
    runtime.signal(Signal::SIGTTOU);
    wait_rotation(&runtime, &[0]);
    for _ in 0..20 {
        assert_ne!(http_get(v4(port), "/").unwrap().pid(), i64::from(leaves));
    }
    assert_eq!(busy.reply().unwrap().pid(), i64::from(leaves));
    wait_scale(&runtime, 1);
    assert_eq!(drains(&runtime, "empty"), 1);
    stop(runtime);
}

#[test]
fn reloads_after_up_and_down_replace_those_that_are_there() {
    let port = free_port();
    let runtime = started(port, 2);
    scale(&runtime, Signal::SIGTTIN, 3..=5);
    reload(&runtime);
    wait_rotation(&runtime, &slots(5));
    answers(port, 5);
    scale(&runtime, Signal::SIGTTOU, [4, 3]);
    // More often than there are listeners: each is used in turn, including those of removed slots.
    for generation in 2..=8 {
        reload(&runtime);
        wait_rotation(&runtime, &slots(3));
        answers(port, 3);
        let seen = status(&runtime);
        assert_eq!((seen.desired, seen.generation), (3, generation));
    }
    scale(&runtime, Signal::SIGTTIN, 4..=6);
    wait_rotation(&runtime, &slots(6));
    assert_eq!(answers(port, 6).len(), 6);
    stop(runtime);
}

/// The percentage refers to the present number of workers.
#[test]
fn the_surge_grows_with_the_number_of_workers() {
    let port = free_port();
    let runtime = echo(port, 2)
        .env("RPM_READY", "listen")
        .env("RPM_RELOAD_SURGE", "50%")
        .env("RPM_MIN_READY", "300ms")
        .start();
    wait_ready(&runtime, 2);
    scale(&runtime, Signal::SIGTTIN, 3..=6);
    assert_eq!(status::most_alive(&runtime), 6);
    reload(&runtime);
    assert_eq!(status::most_alive(&runtime), 9, "{}", runtime.shown());
    stop(runtime);
}

/// Two workers in the middle of a reload: the first new one waits at the gate.
fn in_a_reload(gate: &mut Gate, port: u16) -> Runtime {
    let program = gate.before(vec![OsString::from(example("echo_server"))]);
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_READY", "listen")
        .env("PORT", port.to_string())
        .program(program)
        .start();
    gate.open(2);
    wait_ready(&runtime, 2);
    runtime.signal(Signal::SIGHUP);
    runtime.wait_for_lines(3, |line| line == "waiting");
    runtime
}

#[test]
fn one_more_during_a_reload_is_of_the_new_generation() {
    let (port, mut gate) = (free_port(), Gate::new("more"));
    let runtime = in_a_reload(&mut gate, port);
    runtime.signal(Signal::SIGTTIN);
    runtime.wait_for_lines(4, |line| line == "waiting");
    assert_eq!(status(&runtime).state, "reloading");
    gate.open(3);
    let ended = wait_reload_ends(&runtime, 0);
    assert_eq!(field(&ended, "result"), "success");
    wait_scale(&runtime, 3);
    wait_rotation(&runtime, &slots(3));
    let seen = status(&runtime);
    assert!(
        seen.slots.iter().all(|worker| worker.generation == 1),
        "{seen:?}"
    );
    answers(port, 3);
    stop(runtime);
}

#[test]
fn one_less_during_a_reload_is_the_highest_and_the_reload_goes_on() {
    let (port, mut gate) = (free_port(), Gate::new("less"));
    let runtime = in_a_reload(&mut gate, port);
    let old = status(&runtime);
    runtime.signal(Signal::SIGTTOU);
    wait_status(&runtime, "one is wanted", |seen| seen.desired == 1);
    gate.open(1);
    let ended = wait_reload_ends(&runtime, 0);
    assert_eq!(field(&ended, "result"), "success");
    wait_scale(&runtime, 1);
    let seen = status(&runtime);
    assert_eq!((seen.generation, seen.slots.len()), (1, 1));
    assert!(!pids(&runtime).contains(&old.pid(0)) && !pids(&runtime).contains(&old.pid(1)));
    until("it is reaped", || exits(&runtime, "scale") == 1);
    answers(port, 1);
    stop(runtime);
}

/// The removed slot is the one whose successor is starting: both leave.
#[test]
fn one_less_takes_the_successor_that_was_to_come_there() {
    let (port, mut gate) = (free_port(), Gate::new("successor"));
    let runtime = in_a_reload(&mut gate, port);
    // Slot 0 has its new worker; the new worker of slot 1 waits.
    gate.open(1);
    runtime.wait_for_lines(4, |line| line == "waiting");
    runtime.signal(Signal::SIGTTOU);
    let ended = wait_reload_ends(&runtime, 0);
    assert_eq!(field(&ended, "result"), "success");
    wait_scale(&runtime, 1);
    assert_eq!(status(&runtime).slots[0].generation, 1);
    answers(port, 1);
    stop(runtime);
}

/// A stop comes first, whatever is in progress.
#[test]
fn a_stop_ends_workers_that_are_on_their_way_up_and_down() {
    let port = free_port();
    let mut runtime = started(port, 4);
    let mut idle = Connection::from(connect_to(v4(port)));
    idle.get("/").unwrap();
    for signal in [Signal::SIGTTOU, Signal::SIGTTIN, Signal::SIGHUP] {
        runtime.signal(signal);
    }
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0), "{}", runtime.shown());
}

/// If workers have sockets of their own, each new slot gets the next port.
#[test]
fn without_a_shared_port_one_more_has_a_port_of_its_own() {
    let port = free_ports(3);
    let runtime = echo(port, 2)
        .env("RPM_EXEC_MODE", "fork")
        .env("RPM_INCREMENT_VAR", "PORT")
        .env("RPM_MIN_UPTIME", "100ms")
        .start();
    wait_ready(&runtime, 2);
    scale(&runtime, Signal::SIGTTIN, [3]);
    let serves = |slot: u16| http_get(v4(port + slot), "/").is_ok();
    until("the third serves", || serves(2));
    scale(&runtime, Signal::SIGTTOU, [2]);
    assert!(!serves(2) && serves(0) && serves(1));
    stop(runtime);
}
