//! A port that another process holds.

use std::net::TcpListener;

use crate::harness::{Runtime, example};

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
    let words = format!("another process already listens on {port}; the worker binds it by itself");
    assert!(line.contains(&words), "{line}");
    // Its own bind fails too, and the program says so.
    assert_ne!(runtime.wait_exit().code(), Some(0));
}
