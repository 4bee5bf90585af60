//! Where something of the balance is refused, the program is served all the same.

use std::ffi::OsString;

use super::kept::{Service, echoes};
use crate::harness::shared_port::{spread, v4};
use crate::harness::{Runtime, example, free_port, threads};

/// All workers get clients, and nothing is said of it. That one of four gets none of 120 by chance alone has a chance of
/// 4 * (3/4)^120, below 1e-13.
#[track_caller]
fn serves(service: &Service, port: u16) {
    let slots = spread(v4(port), 120);
    assert_eq!(slots.len(), 4, "{slots:?}");
    let lines = service.runtime.texts();
    let faults = lines
        .iter()
        .filter(|line| line.contains("] error:") || line.contains("] warn:"));
    assert_eq!(faults.count(), 0, "{}", service.runtime.shown());
}

pub fn has_thread(runtime: &Runtime, name: &str) -> bool {
    let threads = threads(runtime.pid());
    threads.iter().any(|(other, _)| other == name)
}

#[test]
fn without_kernel_aio_the_program_is_served() {
    let port = free_port();
    let service = echoes(port).under([example("deny").into(), OsString::from("aio")]);
    let service = Service::start(service, 4);
    serves(&service, port);
    assert!(has_thread(&service.runtime, "balance"));
    service.stop();
}

#[test]
fn with_few_descriptors_the_program_is_served() {
    for limit in [48, 56, 64, 72] {
        let port = free_port();
        let limit = format!("--nofile={limit}:{limit}");
        let service = echoes(port).under(["prlimit", &limit, "--"]);
        let service = Service::start(service, 4);
        serves(&service, port);
        service.stop();
    }
}

#[test]
fn with_one_common_socket_there_is_nothing_to_count() {
    let port = free_port();
    let service = echoes(port).under([example("deny").into(), OsString::from("steering")]);
    let runtime = service
        .env("RPM_INSTANCES", "4")
        .env("RPM_BALANCE", "least")
        .start();
    runtime.wait_for_line(|line| line.contains(" ports handover=intercept steering=none"));
    runtime.wait_for_lines(4, |line| line.contains("worker ready"));
    assert!(!spread(v4(port), 20).is_empty());
    let balance = runtime.get("/status").json()["balance"].clone();
    assert_eq!(balance["counts_connections"], false, "{balance}");
    assert!(balance["arrivals"].is_null(), "{balance}");
    assert!(!has_thread(&runtime, "balance"));
    crate::harness::shared_port::stop(runtime);
}
