//! Clients that come one after another, and stay.

use super::kept::{Service, echoes};
use crate::harness::shared_port::{v4, v6};
use crate::harness::{Runtime, free_port, free_ports, source};

#[test]
fn few_clients_that_stay_differ_by_one_at_most_after_each() {
    let port = free_port();
    let mut service = Service::start(echoes(port), 4);
    service.even_after_each(64, |_| v4(port));
    service.wait_connections();
    // 16 is the mean.
    let most = *service.tally().iter().max().unwrap();
    let spread = f64::from(u32::try_from(most).unwrap()) / 16.0;
    let told = service.runtime.metric("rpm_connection_spread");
    assert_eq!(told, Some(spread));
    service.stop();
}

#[test]
fn clients_of_ipv6_are_counted_as_well() {
    let port = free_port();
    let mut service = Service::start(echoes(port).arg(format!("[::1]:{port}")), 4);
    service.even_after_each(16, |_| v6(port));
    service.stop();
}

#[test]
fn clients_of_both_families_at_one_wildcard_are_counted_together() {
    let port = free_port();
    let mut service = Service::start(echoes(port).arg(format!("[::]:{port}")), 4);
    service.even_after_each(16, |client| match client % 3 {
        0 => v6(port),
        _ => v4(port),
    });
    service.stop();
}

#[test]
fn a_load_is_the_sum_over_the_ports_of_a_program() {
    let port = free_ports(2);
    let service = Runtime::builder()
        .env("RPM_READY", "listen")
        .arg("/usr/bin/python3")
        .arg(source("tests/payloads/keeping.py"))
        .program([port, port + 1].map(|port| format!("0.0.0.0:{port}")));
    let mut service = Service::start(service, 4);
    // All listen on both.
    service
        .runtime
        .wait_for_lines(4, |line| line == "serving as 0");
    service.wait_rotation();
    // One port alone gives one each to three workers; the other port knows of them.
    service.even_after_each(3, |_| v4(port));
    service.even_after_each(6, |_| v4(port + 1));
    service.even_after_each(11, |client| v4(port + u16::try_from(client % 2).unwrap()));
    service.stop();
}
