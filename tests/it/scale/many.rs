//! Many workers on one port.

use std::collections::BTreeSet;

use crate::harness::shared_port::{
    self, connect_to_slot, queue_length, v4, wait_ready, wait_rotation, worker,
};
use crate::harness::{Runtime, Signal, example, free_port, http_get, until};

#[test]
fn sixty_four_workers_all_answer() {
    let port = free_port();
    let mut runtime = Runtime::builder()
        .env("RPM_INSTANCES", "64")
        .env("RPM_READY", "listen")
        .env("PORT", port.to_string())
        .arg(example("echo_server"))
        .start();
    wait_ready(&runtime, 64);
    wait_rotation(&runtime, &(0..64).collect::<Vec<u16>>());
    let mut seen = BTreeSet::new();
    until("all answer", || {
        for _ in 0..50 {
            seen.insert(http_get(v4(port), "/").unwrap().pid());
        }
        seen.len() == 64
    });
    // Every second worker dies, so the steering program has as many gaps as possible.
    for slot in (0..64).step_by(2) {
        shared_port::send(worker(&runtime, slot), Signal::SIGKILL);
    }
    wait_ready(&runtime, 96);
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}

/// The maximum number of workers, with a minimal program that never binds its port.
#[test]
fn five_hundred_and_twelve_workers_start_and_stop() {
    let port = free_port();
    let mut runtime = Runtime::builder()
        .env("RPM_INSTANCES", "512")
        .env("RPM_READY", "delay:10ms")
        .env("RPM_PORTS", format!("0.0.0.0:{port}"))
        .program(["sh", "-c", "exec sleep 1000"])
        .start();
    wait_ready(&runtime, 512);
    assert_eq!(runtime.metric("rpm_workers{state=\"ready\"}"), Some(512.0));
    assert_eq!(runtime.get("/readyz").status, 200);
    let _client = connect_to_slot(v4(port), 511, 1);
    until("the last slot has it", || {
        queue_length(&runtime, &format!("0.0.0.0:{port}"), 511) > 0.5
    });
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}
