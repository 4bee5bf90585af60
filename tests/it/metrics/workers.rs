//! What the runtime's page tells of each worker, independent of the worker's own metrics.

use std::collections::BTreeMap;
use std::path::Path;

use crate::harness::shared_port::{
    connect_to, connect_to_slot, freeze, send, stop, v4, wait_ready, wait_rotation, worker,
};
use crate::harness::status::{self, echo, exits, status, wait_status};
use crate::harness::{Builder, Connection, Runtime, Signal, example, free_port, process, until};
use rpm_runtime::sys::cgroup::{Places, Pressure};

/// A family of whole numbers with only the label `worker`, by slot.
fn by_slot(runtime: &Runtime, name: &str) -> BTreeMap<u16, u64> {
    let page = runtime.get("/metrics/runtime").text();
    let lines = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?.strip_prefix("{worker=\"")?;
        let (slot, value) = rest.split_once("\"} ")?;
        Some((slot.parse().unwrap(), value.parse().unwrap()))
    });
    lines.collect()
}

/// Open connections, by slot.
fn connections(runtime: &Runtime) -> Vec<u64> {
    let counts = by_slot(runtime, "rpm_worker_connections");
    let (slots, counts): (Vec<u16>, Vec<u64>) = counts.into_iter().unzip();
    assert!((0..).zip(&slots).all(|(at, slot)| at == *slot), "{slots:?}");
    counts
}

#[track_caller]
fn until_connections(runtime: &Runtime, expected: &[u64]) {
    until(&format!("connections are {expected:?}"), || {
        connections(runtime) == expected
    });
}

fn serving(program: Builder, workers: u16) -> Runtime {
    let runtime = program.start();
    wait_ready(&runtime, workers.into());
    wait_rotation(&runtime, &(0..workers).collect::<Vec<u16>>());
    runtime
}

/// A client of that slot that was answered and stays.
fn client(port: u16, slot: u16, number: u8) -> Connection {
    let mut client = Connection::from(connect_to_slot(v4(port), slot, number));
    client.get("/").unwrap();
    client
}

#[test]
fn each_worker_has_the_connections_that_it_accepted() {
    let port = free_port();
    let runtime = serving(echo(port, 4).env("RPM_READY", "listen"), 4);
    assert_eq!(connections(&runtime), [0, 0, 0, 0]);
    let mut clients: Vec<Connection> = (1..=3).map(|number| client(port, 1, number)).collect();
    let other = client(port, 3, 1);
    assert_eq!(connections(&runtime), [0, 3, 0, 1]);
    // A connection that the worker has closed no longer counts for it.
    assert_eq!(
        clients[0]
            .request("/", &["Connection: close"])
            .unwrap()
            .status,
        200
    );
    until_connections(&runtime, &[0, 2, 0, 1]);
    clients.clear();
    until_connections(&runtime, &[0, 0, 0, 1]);
    // Connections of an ended worker do not count for its successor.
    send(worker(&runtime, 3), Signal::SIGKILL);
    wait_ready(&runtime, 5);
    until_connections(&runtime, &[0, 0, 0, 0]);
    drop(other);
    stop(runtime);
}

#[test]
fn a_worker_that_drains_keeps_its_connections_in_its_slots_count() {
    let port = free_port();
    let service = echo(port, 2)
        .env("RPM_READY", "listen")
        .env("RPM_DRAIN_TIMEOUT", "1m");
    let runtime = serving(service, 2);
    let held = client(port, 0, 1);
    let before = status(&runtime).pid(0);
    runtime.signal(Signal::SIGHUP);
    wait_status(&runtime, "the first drains", |seen| {
        let drains = |one: &status::Worker| one.pid == Some(before) && one.state == "draining";
        seen.retiring.iter().any(drains)
    });
    // The new worker has the listener that was spare.
    let new = client(port, 2, 1);
    assert_eq!(connections(&runtime)[0], 2);
    drop(held);
    wait_status(&runtime, "it is gone", |seen| {
        seen.retiring.iter().all(|one| one.pid != Some(before))
    });
    until_connections(&runtime, &[1, 0]);
    drop(new);
    runtime.signal(Signal::SIGTERM);
    stop(runtime);
}

#[test]
fn a_worker_behind_a_shell_is_counted() {
    let port = free_port();
    let service = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_READY", "listen")
        .env("PORT", port.to_string())
        .program(["sh", "-c", "\"$0\"; exit"])
        .arg(example("echo_server"));
    let runtime = serving(service, 2);
    assert_eq!(process(worker(&runtime, 1)).unwrap().name, "sh");
    let clients = [client(port, 1, 1), client(port, 1, 2)];
    assert_eq!(connections(&runtime), [0, 2]);
    drop(clients);
    until_connections(&runtime, &[0, 0]);
    stop(runtime);
}

#[test]
fn without_shared_ports_nothing_is_told_of_connections_or_balance() {
    let runtime = Runtime::builder()
        .env("RPM_PORTS", "off")
        .arg(example("slow_start"))
        .program(["0"])
        .start();
    runtime.wait_for_line(|line| line.starts_with("started"));
    let page = runtime.get("/metrics/runtime").text();
    for name in [
        "rpm_worker_connections",
        "rpm_connection_spread",
        "rpm_worker_passed_over",
        "rpm_balance_changes_total",
        "rpm_balance_arrivals_total",
        "rpm_balance_counts_total",
        "rpm_worker_memory_limit_bytes",
    ] {
        assert!(!page.contains(name), "{name}\n{page}");
    }
}

#[test]
fn a_worker_that_stands_still_is_told_to_be_passed_over() {
    const CHANGES: &str = "rpm_balance_changes_total";
    let port = free_port();
    let runtime = serving(echo(port, 3).env("RPM_READY", "listen"), 3);
    let passed_over = || by_slot(&runtime, "rpm_worker_passed_over");
    assert_eq!(passed_over(), [(0, 0), (1, 0), (2, 0)].into());
    assert_eq!(runtime.metric(CHANGES), Some(0.0));
    let still = worker(&runtime, 1);
    freeze(still);
    let waits = connect_to_slot(v4(port), 1, 1);
    let is = |value: u64| {
        until(&format!("passed over: {value}"), || {
            // The queues are read when a connection arrives.
            drop(connect_to(v4(port)));
            passed_over()[&1] == value
        });
    };
    is(1);
    assert!(runtime.metric(CHANGES).unwrap() >= 1.0);
    // It is still in the rotation.
    assert_eq!(by_slot(&runtime, "rpm_worker_in_rotation")[&1], 1);
    send(still, Signal::SIGCONT);
    is(0);
    assert!(runtime.metric(CHANGES).unwrap() >= 2.0);
    drop(waits);
    stop(runtime);
}

#[test]
fn memory_is_told_as_the_kernel_tells_it() {
    let port = free_port();
    let service = echo(port, 2)
        .env("RPM_READY", "listen")
        .env("RPM_MAX_MEMORY", "256Mi");
    let runtime = serving(service, 2);
    let limits = by_slot(&runtime, "rpm_worker_memory_limit_bytes");
    assert_eq!(limits, [(0, 256 << 20), (1, 256 << 20)].into());
    let share = || by_slot(&runtime, "rpm_worker_proportional_memory_bytes");
    let before = share();
    assert_eq!(before.len(), 2);
    let mut client = client(port, 1, 1);
    assert_eq!(client.get("/alloc/40").unwrap().status, 200);
    let (after, resident) = (
        share(),
        by_slot(&runtime, "rpm_worker_resident_memory_bytes"),
    );
    let grown = after[&1] - before[&1];
    assert!(
        (40_000_000..60_000_000).contains(&grown),
        "{before:?} {after:?}"
    );
    assert!(
        after[&1] < resident[&1] + (1 << 20),
        "{after:?} {resident:?}"
    );
    assert!(after[&0].abs_diff(before[&0]) < 10_000_000);
    stop(runtime);
}

#[test]
fn pressure_is_what_the_kernel_counts() {
    let pressure = Pressure::find(&Places::find(Path::new("/")));
    let port = free_port();
    let runtime = serving(echo(port, 2).env("RPM_READY", "listen"), 2);
    let before = pressure.read();
    let page = runtime.get("/metrics/runtime").text();
    let after = pressure.read();
    if before.is_empty() {
        assert!(!page.contains("rpm_cgroup_pressure"), "{page}");
    }
    for (before, after) in before.iter().zip(&after) {
        for (kind, least, most) in [
            ("waiting", before.some, after.some),
            ("stalled", before.full, after.full),
        ] {
            let name = format!("rpm_cgroup_pressure_{kind}_seconds_total");
            let series = format!("{name}{{resource=\"{}\"}} ", before.resource);
            let mut lines = page.lines().filter_map(|line| line.strip_prefix(&series));
            let told: Option<f64> = lines.next().map(|value| value.parse().unwrap());
            let within = |least: f64, most: f64, told: f64| (least..=most).contains(&told);
            match (least, most, told) {
                (Some(least), Some(most), Some(told)) => assert!(
                    within(least.as_secs_f64(), most.as_secs_f64(), told),
                    "{series} {least:?} {told} {most:?}"
                ),
                (None, None, None) => {}
                other => panic!("{series} {other:?}"),
            }
        }
    }
    stop(runtime);
}

#[test]
fn what_has_not_happened_is_told_to_be_zero_for_a_slot_that_was_added_too() {
    let port = free_port();
    let runtime = serving(echo(port, 2).env("RPM_READY", "listen"), 2);
    runtime.signal(Signal::SIGTTIN);
    wait_ready(&runtime, 3);
    wait_rotation(&runtime, &[0, 1, 2]);
    for name in [
        "rpm_worker_restarts_total",
        "rpm_worker_connections",
        "rpm_worker_passed_over",
    ] {
        let all = by_slot(&runtime, name);
        assert_eq!(all, [(0, 0), (1, 0), (2, 0)].into(), "{name}");
    }
    assert_eq!(exits(&runtime, "signal"), 0);
    stop(runtime);
}
