//! A port that another process holds, another worker, or the runtime itself.

use std::net::{TcpListener, TcpStream};

use crate::harness::reloads::reload;
use crate::harness::shared_port::{field, spread, stop, v4, wait_ready};
use crate::harness::{Runtime, Signal, example, free_port, source, until};

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

/// Both set SO_REUSEPORT and have the same user, so the kernel would let the second runtime join the first. A quarter of the
/// clients would meet it.
#[test]
fn a_worker_of_a_second_runtime_cannot_bind_the_port_of_the_first() {
    let port = free_port();
    let server = || {
        Runtime::builder()
            .env("RPM_INSTANCES", "2")
            .env("RPM_MAX_RESTARTS", "1")
            .env("PORT", port.to_string())
            .arg(example("echo_server"))
            .start()
    };
    let first = server();
    wait_ready(&first, 2);
    let mut second = server();
    let line = second.wait_for_line(|line| line.contains("another process already listens on"));
    let holder = format!("holder=\"pid {}, rpm-runtime\"", first.pid());
    assert!(line.contains(&holder), "{line}");
    assert_ne!(second.wait_exit().code(), Some(0));
    assert_eq!(spread(v4(port), 50).values().sum::<usize>(), 50);
    stop(first);
}

/// The connections of its clients are still there, as after a restart of a container in the network of the host.
#[test]
fn a_runtime_after_one_that_was_killed_has_its_port() {
    let port = free_port();
    let server = || {
        Runtime::builder()
            .env("RPM_INSTANCES", "2")
            .env("RPM_PORTS", port.to_string())
            .env("PORT", port.to_string())
            .arg(example("echo_server"))
            .start()
    };
    let mut first = server();
    wait_ready(&first, 2);
    let clients: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(v4(port)).unwrap())
        .collect();
    spread(v4(port), 20);
    first.signal(Signal::SIGKILL);
    first.wait_exit();
    until("its workers are gone", || first.alive().is_empty());
    let second = server();
    wait_ready(&second, 2);
    spread(v4(port), 20);
    drop(clients);
    stop(second);
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

/// Its second process could not bind the address while the first one lives, so a reload ends the old worker first. One
/// line says so.
#[test]
fn a_program_at_a_multicast_address_is_reloaded_without_surge() {
    let port = free_port();
    let runtime = Runtime::builder()
        .env("RPM_READY_TIMEOUT", "2s")
        .env("GROUP", "1")
        .arg("/usr/bin/python3")
        .arg(source("tests/payloads/udp_echo.py"))
        .arg(port.to_string())
        .arg("239.7.7.7")
        .start();
    wait_ready(&runtime, 1);
    for _ in 0..2 {
        reload(&runtime);
    }
    runtime.wait_for_lines(3, |line| line.starts_with("bound "));
    let told: Vec<String> = runtime.texts();
    let told: Vec<&String> = told
        .iter()
        .filter(|line| line.contains("warn:") && line.contains("239.7.7.7"))
        .collect();
    let [line] = told[..] else { panic!("{told:?}") };
    for word in [
        format!("port=udp:239.7.7.7:{port}"),
        "protocol=UDP".to_owned(),
        "RPM_INSTANCES=1".to_owned(),
        "RPM_RELOAD_SURGE=0".to_owned(),
    ] {
        assert!(line.contains(&word), "{line}");
    }
    assert!(!runtime.shown().contains("Address already in use"));
    stop(runtime);
}

#[test]
fn the_second_worker_at_a_multicast_address_is_told_who_has_it() {
    let port = free_port();
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_READY_TIMEOUT", "2s")
        .arg("/usr/bin/python3")
        .arg(source("tests/payloads/udp_echo.py"))
        .arg(port.to_string())
        .arg("239.7.7.7")
        .start();
    let line = runtime.wait_for_line(|line| line.contains("another worker has it"));
    for word in [
        format!("port=udp:239.7.7.7:{port}"),
        "protocol=UDP".to_owned(),
        "held_by=".to_owned(),
        "RPM_INSTANCES=1".to_owned(),
    ] {
        assert!(line.contains(&word), "{line}");
    }
    stop(runtime);
}

/// The program binds a second port, which RPM_PORTS does not list. The first reload learns that by a start that fails; the
/// next one knows it.
#[test]
fn a_port_that_is_not_listed_does_not_fail_a_reload() {
    let (port, side) = (free_port(), free_port());
    let runtime = Runtime::builder()
        .env("RPM_PORTS", format!("127.0.0.1:{port}"))
        .arg("/usr/bin/python3")
        .arg(source("tests/payloads/two_ports.py"))
        .arg(port.to_string())
        .arg(side.to_string())
        .start();
    wait_ready(&runtime, 1);
    until("both ports are bound", || {
        std::net::TcpStream::connect(("127.0.0.1", side)).is_ok()
    });
    for _ in 0..2 {
        reload(&runtime);
        until("the new worker has both ports", || {
            std::net::TcpStream::connect(("127.0.0.1", side)).is_ok()
        });
    }
    let line = runtime.wait_for_line(|line| line.contains("a new worker cannot bind"));
    assert!(
        line.contains(&format!("port=127.0.0.1:{side}")) && line.contains("RPM_RELOAD_SURGE=0"),
        "{line}"
    );
    let failed = runtime.texts();
    let failed = failed
        .iter()
        .filter(|line| line.contains("Address already in use"));
    assert_eq!(failed.count(), 1, "{}", runtime.shown());
    stop(runtime);
}
