//! RPM_HEALTH: each worker is checked separately, and a failing one is replaced while the others serve.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::Write;

use crate::harness::programs::Program;
use crate::harness::reloads::{pids, reload_fails};
use crate::harness::shared_port::{
    Gate, connect_to_slot, freeze, send, stop, v4, wait_ready, wait_rotation, worker,
};
use crate::harness::status::{Sampler, ask_slot, counter, echo, exits, status, wait_status};
use crate::harness::{
    Builder, Connection, Runtime, Signal, example, free_port, http_get, scratch, until,
};

const PASSED: &str = "rpm_health_checks_total{result=\"pass\"}";
const FAILED: &str = "rpm_health_checks_total{result=\"fail\"}";

/// Frequent checks, and two failures are enough.
fn checked(service: Builder, how: &str) -> Builder {
    service
        .env("RPM_READY", "listen")
        .env("RPM_HEALTH", how)
        .env("RPM_HEALTH_INTERVAL", "200ms")
        .env("RPM_HEALTH_TIMEOUT", "1s")
        .env("RPM_HEALTH_FAILURES", "2")
}

/// Three workers of `examples/echo_server`; their successors wait at the gate.
fn three_at_a_gate(gate: &mut Gate, port: u16) -> Runtime {
    let program = gate.before(vec![OsString::from(example("echo_server"))]);
    let service = Runtime::builder()
        .env("RPM_INSTANCES", "3")
        .env("PORT", port.to_string())
        .program(program);
    let runtime = checked(service, "http:/health").start();
    gate.open(3);
    wait_ready(&runtime, 3);
    wait_rotation(&runtime, &[0, 1, 2]);
    runtime
}

/// Waits until `more` further checks have this result.
#[track_caller]
fn wait_checks(runtime: &Runtime, series: &str, more: u32) {
    let goal = counter(runtime, series) + more;
    until("the workers are asked", || counter(runtime, series) >= goal);
}

#[test]
fn a_sick_worker_leaves_the_steering_and_is_replaced_while_the_others_serve() {
    let (port, mut gate) = (free_port(), Gate::new("sick"));
    let runtime = three_at_a_gate(&mut gate, port);
    let sick = worker(&runtime, 1);
    let well = [worker(&runtime, 0), worker(&runtime, 2)];
    wait_checks(&runtime, PASSED, 6);
    assert_eq!(counter(&runtime, FAILED), 0);
    ask_slot(v4(port), 1, "/sicken");
    wait_rotation(&runtime, &[0, 2]);
    for _ in 0..40 {
        let pid = http_get(v4(port), "/").unwrap().pid();
        assert!(well.map(i64::from).contains(&pid), "{pid}");
    }
    runtime.wait_for_line(|line| line.contains("worker failed a check") && line.contains("503"));
    runtime.wait_for_line(|line| {
        line.contains("replacing a worker slot=1 ") && line.contains("it is unhealthy")
    });
    gate.open(1);
    wait_rotation(&runtime, &[0, 1, 2]);
    until("it has ended", || exits(&runtime, "unhealthy") == 1);
    let seen = status(&runtime);
    assert_eq!([seen.pid(0), seen.pid(2)], well);
    assert_ne!(seen.pid(1), sick);
    // It is no reload.
    assert_eq!((seen.generation, seen.state.as_str()), (0, "running"));
    stop(runtime);
}

/// All workers fail and no successor starts: all except one continue to serve as well as they can.
#[test]
fn never_more_than_one_is_taken_out_though_all_are_sick() {
    let (port, mut gate) = (free_port(), Gate::new("all-sick"));
    let runtime = three_at_a_gate(&mut gate, port);
    let sampler = Sampler::of_rotation(&runtime);
    for slot in 0..3 {
        ask_slot(v4(port), slot, "/sicken");
    }
    let two = || sharing_of(&runtime) == 2;
    until("one is out", two);
    wait_checks(&runtime, FAILED, 12);
    assert!(two());
    for _ in 0..20 {
        assert_eq!(http_get(v4(port), "/").unwrap().status, 200);
    }
    gate.open(3);
    until("all are replaced", || exits(&runtime, "unhealthy") == 3);
    wait_rotation(&runtime, &[0, 1, 2]);
    let fewest = sampler.end().iter().map(BTreeSet::len).min();
    assert_eq!(fewest, Some(2), "{}", runtime.shown());
    assert_eq!(http_get(v4(port), "/health").unwrap().status, 200);
    stop(runtime);
}

/// How many workers get new connections.
fn sharing_of(runtime: &Runtime) -> usize {
    let queues = status(runtime).queues;
    queues.iter().filter(|queue| queue.in_rotation).count()
}

/// No worker of this program answers in time, neither the old nor the new.
#[test]
fn a_program_that_is_slow_everywhere_keeps_its_workers_and_serves() {
    let port = free_port();
    let service = echo(port, 3).program(["--delay", "700"]);
    let runtime = checked(service, "http:/")
        .env("RPM_HEALTH_TIMEOUT", "200ms")
        .env("RPM_READY_TIMEOUT", "1s")
        .start();
    wait_ready(&runtime, 3);
    wait_rotation(&runtime, &[0, 1, 2]);
    let old: Vec<i32> = (0..3).map(|slot| worker(&runtime, slot)).collect();
    let sampler = Sampler::of_rotation(&runtime);
    runtime.wait_for_lines(2, |line| line.contains("a new worker did not come up"));
    assert_eq!(http_get(v4(port), "/").unwrap().status, 200);
    let fewest = sampler.end().iter().map(BTreeSet::len).min();
    assert_eq!(fewest, Some(2), "{}", runtime.shown());
    let seen = status(&runtime);
    let now: Vec<i32> = (0..3).map(|slot| seen.pid(slot)).collect();
    assert_eq!(now, old);
    stop(runtime);
}

/// A frozen worker still listens, so connections to it are established; `tcp` checks whether it accepts them.
#[test]
fn a_frozen_worker_fails_tcp_and_is_replaced() {
    let port = free_port();
    let runtime = checked(echo(port, 2), "tcp")
        .env("RPM_DRAIN_TIMEOUT", "200ms")
        .start();
    wait_ready(&runtime, 2);
    wait_rotation(&runtime, &[0, 1]);
    let victim = worker(&runtime, 0);
    freeze(victim);
    until("it has ended", || exits(&runtime, "unhealthy") == 1);
    runtime.wait_for_line(|line| {
        line.contains("did not accept a connection") && line.contains(&format!("pid={victim} "))
    });
    wait_rotation(&runtime, &[0, 1]);
    assert_ne!(status(&runtime).pid(0), victim);
    assert_eq!(status(&runtime).pid(1), worker(&runtime, 1));
    stop(runtime);
}

/// `accept` opens no connection of its own: a waiting client shows that the queue does not move.
#[test]
fn a_frozen_worker_fails_accept_as_soon_as_somebody_waits_and_no_sooner() {
    let port = free_port();
    let runtime = checked(echo(port, 2), "accept")
        .env("RPM_DRAIN_TIMEOUT", "200ms")
        .start();
    wait_ready(&runtime, 2);
    wait_rotation(&runtime, &[0, 1]);
    let victim = worker(&runtime, 0);
    freeze(victim);
    wait_checks(&runtime, PASSED, 12);
    assert_eq!(counter(&runtime, FAILED), 0);
    let mut waiting = connect_to_slot(v4(port), 0, 1);
    waiting
        .write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        .unwrap();
    until("it has ended", || exits(&runtime, "unhealthy") == 1);
    runtime.wait_for_line(|line| line.contains("its queue did not move"));
    // The waiting client is served by another worker.
    let reply = Connection::from(waiting).reply().unwrap();
    assert_ne!(reply.pid(), i64::from(victim));
    wait_rotation(&runtime, &[0, 1]);
    stop(runtime);
}

/// A single failure has no effect; only several in a row do.
#[test]
fn a_worker_that_is_well_again_in_time_stays() {
    let port = free_port();
    let runtime = checked(echo(port, 2), "tcp")
        .env("RPM_HEALTH_FAILURES", "1000")
        .start();
    wait_ready(&runtime, 2);
    wait_rotation(&runtime, &[0, 1]);
    let before = pids(&runtime);
    let victim = worker(&runtime, 0);
    freeze(victim);
    wait_checks(&runtime, FAILED, 2);
    send(victim, Signal::SIGCONT);
    wait_checks(&runtime, PASSED, 8);
    assert_eq!(pids(&runtime), before);
    wait_rotation(&runtime, &[0, 1]);
    stop(runtime);
}

#[test]
fn a_new_worker_that_fails_its_checks_does_not_take_over() {
    let version = scratch("sick-version").join("version");
    fs::write(&version, "good").unwrap();
    let program = Program::python("tests/payloads/versioned.py");
    let service = program.workers(2).env("VERSION", &version);
    let runtime = checked(service, "http:/health").start();
    wait_ready(&runtime, 2);
    wait_status(&runtime, "both serve", |seen| seen.ready() == 2);
    fs::write(&version, "sick").unwrap();
    let sampler = Sampler::of_status(&runtime);
    reload_fails(&runtime);
    let history = sampler.end();
    let seated = history.iter().flat_map(|sample| &sample.slots);
    assert!(
        seated
            .clone()
            .all(|worker| worker.generation == 0 && worker.state == "ready")
    );
    let rises = history.iter().flat_map(|sample| &sample.rising);
    assert!(rises.filter(|worker| worker.state == "ready").count() > 0);
    let reply = http_get(v4(program.port), "/").unwrap();
    assert_eq!(reply.json()["version"], "good");
    stop(runtime);
}
