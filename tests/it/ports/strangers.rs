//! Processes of the same user that join the group of a shared port by SO_REUSEPORT. The test is such a process.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket,
    sockopt,
};

use crate::harness::shared_port::{
    all_answer, ask, connect_to, field, sockets, stop, v4, wait_ready, wait_rotation,
};
use crate::harness::{Runtime, Signal, free_port, until};

/// A listener that shares its address.
fn joined(addr: SocketAddr) -> TcpListener {
    let fd = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None,
    )
    .unwrap();
    setsockopt(&fd, sockopt::ReuseAddr, &true).unwrap();
    setsockopt(&fd, sockopt::ReusePort, &true).unwrap();
    bind(fd.as_raw_fd(), &SockaddrStorage::from(addr)).unwrap();
    listen(&fd, Backlog::new(64).unwrap()).unwrap();
    fd.into()
}

fn servers(port: u16, count: u16) -> Runtime {
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", count.to_string())
        .env("RPM_READY", "listen")
        .program(sockets([format!("a=0.0.0.0:{port}")]))
        .start();
    wait_ready(&runtime, usize::from(count));
    runtime
}

/// Every slot gets clients, and no client meets nobody.
#[track_caller]
fn every_slot_answers(port: u16, slots: usize) {
    all_answer(v4(port), "a", slots);
    for _ in 0..200 {
        assert!(ask(&mut connect_to(v4(port))).unwrap().starts_with("a "));
    }
}

/// After two scale-ups a quarter of the clients met the stranger.
#[test]
fn a_stranger_in_the_group_is_told_of_once_and_gets_no_client_whatever_is_added() {
    let port = free_port();
    let runtime = servers(port, 2);
    let strangers = [0, 1].map(|_| joined(([0, 0, 0, 0], port).into()));
    for count in [3, 4] {
        runtime.signal(Signal::SIGTTIN);
        wait_ready(&runtime, count);
    }
    wait_rotation(&runtime, &[0, 1, 2, 3]);
    every_slot_answers(port, 4);
    let line = runtime.wait_for_line(|line| line.contains("has joined the shared port"));
    assert_eq!(field(&line, "port"), format!("0.0.0.0:{port}"));
    let own = std::process::id();
    assert!(line.contains(&format!("holder=\"pid {own}, ")), "{line}");
    for stranger in &strangers {
        assert!(stranger.accept().is_err(), "it got a client");
    }
    // Its end moves those that were added after it.
    drop(strangers);
    runtime.wait_for_status("/readyz", 200);
    runtime.signal(Signal::SIGTTIN);
    wait_ready(&runtime, 5);
    wait_rotation(&runtime, &[0, 1, 2, 3, 4]);
    every_slot_answers(port, 5);
    let texts = runtime.texts();
    let told = texts
        .iter()
        .filter(|line| line.contains("has joined the shared port"));
    assert_eq!(told.count(), 2, "once for each: {}", runtime.shown());
    stop(runtime);
}

/// It takes the clients of its address: the kernel prefers it.
#[test]
fn a_stranger_at_an_address_that_the_port_includes_is_told_of() {
    let port = free_port();
    let runtime = servers(port, 1);
    let _stranger = joined(v4(port));
    // Whoever reads the metrics or the status causes a look.
    until("it is told", || {
        runtime.get("/status");
        runtime
            .shown()
            .contains("takes the clients that come to it")
    });
    let line = runtime.wait_for_line(|line| line.contains("takes the clients that come to it"));
    assert_eq!(field(&line, "addr"), format!("127.0.0.1:{port}"));
    stop(runtime);
}
