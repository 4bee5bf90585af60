//! A port that another process holds, or the runtime itself.

use std::net::TcpListener;

use crate::harness::shared_port::field;
use crate::harness::{Runtime, example, free_port};

#[test]
fn a_port_that_another_process_holds_is_called_that() {
    let other = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let mut runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_MAX_RESTARTS", "1")
        .env("PORT", port.to_string())
        .arg(example("echo_server"))
        .start();
    let line = runtime.wait_for_line(|line| line.contains("another process already listens on"));
    let words =
        format!("another process already listens on {port}; the program's own bind fails too");
    assert!(line.contains(&words), "{line}");
    // Its own bind fails too, and the program says so.
    assert_ne!(runtime.wait_exit().code(), Some(0));
}

/// 9464 is the default of RPM_ADMIN_ADDR, and of OpenTelemetry's exporter for Prometheus.
#[test]
fn a_port_that_the_admin_endpoints_hold_is_called_that() {
    let port = free_port();
    let mut runtime = Runtime::builder()
        .env("RPM_ADMIN_ADDR", format!("127.0.0.1:{port}"))
        .env("RPM_MAX_RESTARTS", "1")
        .env("PORT", port.to_string())
        .arg(example("echo_server"))
        .start();
    let words = format!("the admin endpoints (RPM_ADMIN_ADDR) already listen on {port}");
    let line = runtime.wait_for_line(|line| line.contains(&words));
    assert!(line.contains("RPM_ADMIN_ADDR=off"), "{line}");
    assert_ne!(runtime.wait_exit().code(), Some(0));
}

/// The second worker ends of it, and its own message does not say why.
#[test]
fn a_port_that_is_not_listed_is_told_when_a_worker_binds_it() {
    let listed = free_port();
    let port = free_port();
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_PORTS", listed.to_string())
        .env("PORT", port.to_string())
        .arg(example("echo_server"))
        .start();
    let words = "a worker binds a port that RPM_PORTS does not list";
    let line = runtime.wait_for_line(|line| line.contains(words));
    assert!(
        field(&line, "port").ends_with(&format!(":{port}")),
        "{line}"
    );
}
