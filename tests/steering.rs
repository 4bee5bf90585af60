//! Who gets a new connection: by chance, by the client's address, or by a source port that names the slot.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start, signal and await processes from outside"
)]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;
mod sharing;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;

use harness::{Builder, Runtime, Signal, example, free_port, free_ports, until};
use nix::sched::{CloneFlags, setns};
use sharing::{
    ask, connect_from, connect_to, connect_to_slot, queue_length, send, sockets, spread,
    steered_port, stop, v4, v6, wait_ready, wait_rotation, worker,
};

fn four(port: u16) -> Builder {
    Runtime::builder()
        .env("RPM_INSTANCES", "4")
        .env("RPM_READY", "listen")
        .env("PORT", port.to_string())
}

fn slot_of(reply: &str) -> String {
    reply.split_whitespace().nth(2).unwrap().to_owned()
}

/// 2 400 connections: 600 each, and six standard deviations (21) of chance.
#[test]
fn connections_are_spread_evenly() {
    let port = free_port();
    let runtime = four(port).arg(example("echo_server")).start();
    wait_ready(&runtime, 4);
    wait_rotation(&runtime, &[0, 1, 2, 3]);
    let slots = spread(v4(port), 2400);
    assert_eq!(slots.len(), 4, "{slots:?}");
    assert!(
        slots.values().all(|count| (474..=726).contains(count)),
        "{slots:?}"
    );
    stop(runtime);
}

/// No run of one client to one worker: that would be a hash.
#[test]
fn one_client_port_meets_all_workers_by_chance() {
    let port = free_ports(2);
    let runtime = four(port)
        .program(sockets([format!("a=0.0.0.0:{port}")]))
        .start();
    wait_ready(&runtime, 4);
    wait_rotation(&runtime, &[0, 1, 2, 3]);
    let mut seen = BTreeSet::new();
    until("all slots answer one client port", || {
        let mut client = connect_from(v4(port + 1), v4(port)).unwrap();
        seen.insert(slot_of(&ask(&mut client).unwrap()));
        seen.len() == 4
    });
    stop(runtime);
}

#[test]
fn a_hash_keeps_a_client_port_at_its_worker() {
    let port = free_ports(41);
    let runtime = four(port)
        .env("RPM_BALANCE", "hash")
        .program(sockets([format!("a=[::]:{port},dual")]))
        .start();
    runtime.wait_for_line(|line| line.contains(" ports handover=intercept steering=hash"));
    wait_ready(&runtime, 4);
    wait_rotation(&runtime, &[0, 1, 2, 3]);
    for target in [v4(port), v6(port)] {
        let mut seen = BTreeSet::new();
        for own in port + 1..=port + 40 {
            let source = SocketAddr::new(target.ip(), own);
            let slots: BTreeSet<String> = (0..5)
                .map(|_| slot_of(&ask(&mut connect_from(source, target).unwrap()).unwrap()))
                .collect();
            assert_eq!(slots.len(), 1, "{source}: {slots:?}");
            seen.extend(slots);
        }
        assert_eq!(seen.len(), 4, "40 clients met {seen:?} only");
    }
    stop(runtime);
}

#[test]
fn a_source_port_reaches_its_slot_over_both_families() {
    let port = free_port();
    let runtime = four(port)
        .program(sockets([format!("a=[::]:{port},dual")]))
        .start();
    wait_ready(&runtime, 4);
    wait_rotation(&runtime, &[0, 1, 2, 3]);
    for slot in 0..4 {
        for nr in 1..=10 {
            for address in [v4(port), v6(port)] {
                let reply = ask(&mut connect_to_slot(address, slot, nr)).unwrap();
                assert_eq!(slot_of(&reply), slot.to_string(), "{reply}");
            }
        }
    }
    stop(runtime);
}

#[test]
fn a_source_port_reaches_a_slot_that_gets_nothing_else() {
    let port = free_port();
    let runtime = four(port)
        .env("RPM_MIN_UPTIME", "1h")
        .env("RPM_BACKOFF_MIN", "2s")
        .env("RPM_BACKOFF_MAX", "2s")
        .program(sockets([format!("a=0.0.0.0:{port}")]))
        .start();
    wait_ready(&runtime, 4);
    wait_rotation(&runtime, &[0, 1, 2, 3]);
    send(worker(&runtime, 3), Signal::SIGKILL);
    runtime.wait_for_line(|line| line.contains("worker ended"));
    let mut client = connect_to_slot(v4(port), 3, 1);
    assert!((queue_length(&runtime, &format!("0.0.0.0:{port}"), 3) - 1.0).abs() < 0.5);
    let reply = ask(&mut client).unwrap();
    assert_eq!(slot_of(&reply), "3", "{reply}");
    stop(runtime);
}

/// A client behind NAT may have any source port: only loopback addresses choose.
#[test]
fn a_source_port_from_elsewhere_chooses_nothing() {
    const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
    let script = format!("ip link set lo up && ip addr add {ELSEWHERE}/32 dev lo && exec \"$@\"");
    let network = ["unshare", "--net", "sh", "-c", &script, "sh"].map(OsString::from);
    let port = free_port();
    let runtime = four(port)
        .under(network)
        .program(sockets([format!("a=0.0.0.0:{port}")]))
        .start();
    wait_ready(&runtime, 4);
    let inside = File::open(format!("/proc/{}/ns/net", runtime.pid())).unwrap();
    let client = thread::spawn(move || {
        setns(inside, CloneFlags::CLONE_NEWNET).unwrap();
        let target = SocketAddr::from((ELSEWHERE, port));
        let ask_from = |ip: Ipv4Addr| -> BTreeSet<String> {
            let source = SocketAddr::from((ip, steered_port(1)));
            (0..40)
                .map(|_| slot_of(&ask(&mut connect_from(source, target).unwrap()).unwrap()))
                .collect()
        };
        // All 40 at one of four by chance: less likely than 1 in 10^20.
        assert!(ask_from(ELSEWHERE).len() > 1);
        assert_eq!(
            ask_from(Ipv4Addr::new(127, 0, 0, 9)),
            BTreeSet::from(["1".to_owned()])
        );
        let any: BTreeSet<String> = (0..40)
            .map(|_| slot_of(&ask(&mut connect_to(target)).unwrap()))
            .collect();
        assert!(any.len() > 1);
    });
    client.join().unwrap();
    stop(runtime);
}
