//! `RPM_BALANCE=source`: a client stays with its worker.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use crate::harness::reloads::reload;
use crate::harness::shared_port::{
    Gate, ask, connect_from, send, sockets, stop, v4, v6, wait_ready, wait_rotation, worker,
};
use crate::harness::{Runtime, Signal, free_port};

/// The slot that answers each client; the clients are addresses of the loopback network.
fn slots(port: u16) -> BTreeMap<Ipv4Addr, String> {
    let clients = (0..200).map(|number| Ipv4Addr::new(127, 1, number % 4, number));
    let slot = |client: Ipv4Addr| {
        let source = SocketAddr::from((client, 0));
        let reply = ask(&mut connect_from(source, v4(port)).unwrap()).unwrap();
        reply.split_whitespace().nth(2).unwrap().to_owned()
    };
    clients.map(|client| (client, slot(client))).collect()
}

#[test]
fn by_source_only_the_clients_of_a_worker_that_is_gone_move_and_they_come_back() {
    let port = free_port();
    let mut gate = Gate::new("by-source");
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "4")
        .env("RPM_READY", "listen")
        .env("RPM_BALANCE", "source")
        .program(gate.before(sockets([format!("a=[::]:{port},dual")])))
        .start();
    runtime.wait_for_line(|line| line.contains(" ports handover=intercept steering=source"));
    gate.open(4);
    wait_ready(&runtime, 4);
    wait_rotation(&runtime, &[0, 1, 2, 3]);
    let home = slots(port);
    for slot in ["0", "1", "2", "3"] {
        let count = home.values().filter(|home| *home == slot).count();
        assert!((25..=75).contains(&count), "slot {slot}: {count} of 200");
    }
    // Each connection has another port.
    assert_eq!(slots(port), home);
    let of_ipv6 = || ask(&mut connect_from(v6(0), v6(port)).unwrap()).unwrap();
    let first = of_ipv6();
    assert!((0..20).all(|_| of_ipv6() == first), "{first}");

    // The next worker waits at the gate.
    send(worker(&runtime, 2), Signal::SIGKILL);
    wait_rotation(&runtime, &[0, 1, 3]);
    for (client, slot) in slots(port) {
        if home[&client] == "2" {
            assert_ne!(slot, "2");
        } else {
            assert_eq!(slot, home[&client], "{client}");
        }
    }
    gate.open(1);
    wait_rotation(&runtime, &[0, 1, 2, 3]);
    assert_eq!(slots(port), home);

    // A new worker on another listener takes over the clients of its slot.
    gate.open(4);
    reload(&runtime);
    wait_rotation(&runtime, &[0, 1, 2, 3]);
    assert_eq!(slots(port), home);
    stop(runtime);
}
