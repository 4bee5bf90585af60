//! Slots are stopped and started by `rpmctl` while clients send requests.

use std::io::{Read, Write};

use super::lost_nothing;
use crate::control::Home;
use crate::control::halt::{done, states};
use crate::harness::load::{Load, Plan, Style};
use crate::harness::programs::Program;
use crate::harness::shared_port::{connect_to, stop, v4, wait_rotation};
use crate::harness::{Runtime, Signal, patience};

/// Workers of this program, whose slots are halted and started by `rpmctl`.
fn start(home: &Home, program: &Program, workers: usize) -> Runtime {
    let runtime = program
        .workers(workers)
        .env("RPM_CONTROL", "on")
        .env("RPM_HOME", home.path())
        .start();
    runtime.wait_for_status("/startupz", 200);
    runtime
}

#[test]
fn no_request_is_lost_while_slots_are_stopped_and_started() {
    let home = Home::new("halt-load");
    let program = Program::rust();
    let runtime = start(&home, &program, 3);
    let short = Load::run(program.plan(8, Style::Short).strict());
    let pooled = Load::run(program.plan(8, Style::Bounded(20)).strict());
    for slot in 0..3_u16 {
        let number = slot.to_string();
        let stopped = format!("slot {slot} is stopped\n");
        done(&home, &["stop", &number, "--wait"], &stopped);
        assert_eq!(states(&home)[usize::from(slot)], "halted");
        let others: Vec<u16> = (0..3).filter(|other| *other != slot).collect();
        wait_rotation(&runtime, &others);
        short.wait_answers(100);
        pooled.wait_answers(100);
        let started = format!("slot {slot} is started\n");
        done(&home, &["start", &number, "--wait"], &started);
        wait_rotation(&runtime, &[0, 1, 2]);
        short.wait_answers(100);
        pooled.wait_answers(100);
    }
    lost_nothing("a connection each", &short.stop(), &runtime);
    lost_nothing("kept connections", &pooled.stop(), &runtime);
    let halted = "rpm_worker_exits_total{cause=\"halt\"}";
    assert_eq!(runtime.metric(halted), Some(3.0));
    stop(runtime);
}

#[test]
fn a_runtime_whose_slots_are_all_stopped_lives_on_and_its_clients_wait() {
    let home = Home::new("halt-all");
    let program = Program::rust();
    let runtime = start(&home, &program, 2);
    let plan = Plan {
        patience: patience(),
        ..program.plan(8, Style::Short).strict()
    };
    let load = Load::run(plan);
    load.wait_answers(100);
    done(
        &home,
        &["stop", "all", "--wait"],
        "slots: 2; each is stopped\n",
    );
    assert_eq!(states(&home), ["halted", "halted"]);
    let page = runtime.wait_for_status("/readyz", 503).json();
    assert_eq!(
        page["reason"],
        "0 of 2 workers are ready; 2 stopped by an operator (rpmctl start)"
    );
    assert_eq!(runtime.get("/livez").status, 200);
    assert_eq!(runtime.metric("rpm_workers{state=\"halted\"}"), Some(2.0));
    let health = home.ctl(&["health"]);
    assert!(health.out.contains("2 halted"), "{health:?}");
    for words in [&["reload"][..], &["restart", "all"]] {
        let refused = home.ctl(words);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains("rpmctl start all"), "{refused:?}");
    }
    // A signal cannot be refused; it closes no port.
    runtime.signal(Signal::SIGHUP);
    runtime.wait_for_line(|line| line.contains("reload finished"));
    let mut client = connect_to(v4(program.port));
    // One is enough for all who wait.
    done(&home, &["start", "1", "--wait"], "slot 1 is started\n");
    client
        .write_all(b"GET / HTTP/1.0\r\nHost: here\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.") && answer.contains(" 200 "),
        "{answer}"
    );
    load.wait_answers(100);
    done(
        &home,
        &["start", "all", "--wait"],
        "slots: 1; each is started\n",
    );
    load.wait_answers(100);
    lost_nothing("a connection each", &load.stop(), &runtime);
    stop(runtime);
}
