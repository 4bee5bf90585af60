//! Which worker gets a new connection: by chance, by the client's address, or by a source port that selects the slot.

mod checking;
mod closing;
mod kept;
mod opening;
mod programs;
mod replacing;
mod without;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use self::without::has_thread;
use crate::harness::shared_port::{
    ask, connect_from, connect_to, connect_to_slot, freeze, queue_length, send, sockets, spread,
    steered_port, stop, v4, v6, wait_ready, wait_rotation, worker,
};
use crate::harness::{
    Builder, Connection, Runtime, Signal, example, free_port, free_ports, http_get, threads, until,
};
use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, setns};
use nix::unistd::Pid;

fn four(port: u16) -> Builder {
    Runtime::builder()
        .env("RPM_INSTANCES", "4")
        .env("RPM_READY", "listen")
        .env("PORT", port.to_string())
}

fn slot_of(reply: &str) -> String {
    reply.split_whitespace().nth(2).unwrap().to_owned()
}

/// 2 400 connections: 600 each, with a tolerance of six standard deviations (21).
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

/// One client must not always reach the same worker: that would be a hash.
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
    // By the next worker of the slot, or by another one if that takes longer than a second.
    ask(&mut client).unwrap();
    stop(runtime);
}

/// A client behind NAT may have any source port, so only loopback addresses may select a slot.
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
        // The chance that all 40 reach one of four is below 1 in 10^20.
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

/// All connections of one CPU reach one worker: on the loopback device a request stays on its CPU.
#[test]
fn by_cpu_a_client_that_stays_on_its_cpu_keeps_its_worker() {
    let port = free_port();
    let runtime = four(port)
        .env("RPM_BALANCE", "cpu")
        .arg(example("echo_server"))
        .start();
    runtime.wait_for_line(|line| line.contains(" ports handover=intercept steering=cpu"));
    wait_ready(&runtime, 4);
    wait_rotation(&runtime, &[0, 1, 2, 3]);
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    for cpu in (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap()) {
        let mut only = CpuSet::new();
        only.set(cpu).unwrap();
        sched_setaffinity(Pid::from_raw(0), &only).unwrap();
        let slots = spread(v4(port), 20);
        assert_eq!(
            slots.into_keys().collect::<Vec<_>>(),
            [(cpu % 4).to_string()]
        );
    }
    sched_setaffinity(Pid::from_raw(0), &allowed).unwrap();
    stop(runtime);
}

/// One request on a new connection, with a short timeout.
fn impatient(port: u16) -> io::Result<String> {
    let stream = connect_to(v4(port));
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    let reply = Connection::from(stream).request("/", &["Connection: close"])?;
    Ok(reply.json()["slot"].as_str().unwrap().to_owned())
}

#[test]
fn a_stopped_worker_costs_what_it_had_taken_and_gets_nothing_new() {
    const CLIENTS: usize = 8;
    let port = free_port();
    let runtime = four(port).arg(example("echo_server")).start();
    runtime.wait_for_line(|line| line.contains(" ports handover=intercept steering=adaptive"));
    wait_ready(&runtime, 4);
    wait_rotation(&runtime, &[0, 1, 2, 3]);
    let stopped = worker(&runtime, 2);
    freeze(stopped);
    let client = || {
        let lost = (0..300).filter(|_| match impatient(port) {
            Ok(slot) => {
                assert_ne!(slot, "2");
                false
            }
            Err(_) => true,
        });
        lost.count()
    };
    let lost: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().map(|one| one.join().unwrap()).sum()
    });
    // By chance it would be 600. Allow a few for each client on a slow machine.
    assert!((1..=5 * CLIENTS).contains(&lost), "{lost}");
    // Only the connections that wait there were lost.
    let waiting = queue_length(&runtime, &format!("0.0.0.0:{port}"), 2);
    assert!((waiting - f64::from(u32::try_from(lost).unwrap())).abs() < 0.5);
    // A connection from its probe port still reaches it, and the rotation still includes it.
    let mut asked = Connection::from(connect_to_slot(v4(port), 2, 1));
    wait_rotation(&runtime, &[0, 1, 2, 3]);
    send(stopped, Signal::SIGCONT);
    assert_eq!(asked.get("/").unwrap().json()["slot"], "2");
    until("it gets work again", || impatient(port).unwrap() == "2");
    stop(runtime);
}

/// How often the thread of that name has been scheduled.
fn switches(runtime: &Runtime, name: &str) -> u64 {
    let mut threads = threads(runtime.pid()).into_iter();
    let named = threads.find(|(other, _)| other == name);
    let (_, path) = named.unwrap_or_else(|| panic!("no thread {name}"));
    let status = fs::read_to_string(path.join("status")).unwrap();
    let counts = status.lines().filter(|line| line.contains("ctxt_switches"));
    counts
        .map(|line| {
            line.split_whitespace()
                .nth(1)
                .unwrap()
                .parse::<u64>()
                .unwrap()
        })
        .sum()
}

/// Waits until it is at rest, then checks that it sleeps for two seconds. Counts of connections follow an arrival for some
/// seconds, with pauses. The passing of time itself is tested here, so this sleeps.
#[track_caller]
fn rests(runtime: &Runtime, name: &str) {
    until("it comes to rest", || {
        let before = switches(runtime, name);
        thread::sleep(Duration::from_secs(5));
        switches(runtime, name) == before
    });
    let before = switches(runtime, name);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(switches(runtime, name), before);
}

#[test]
fn nothing_wakes_the_balance_while_nothing_arrives() {
    let port = free_port();
    let runtime = four(port).arg(example("echo_server")).start();
    wait_ready(&runtime, 4);
    wait_rotation(&runtime, &[0, 1, 2, 3]);
    rests(&runtime, "balance");
    let before = switches(&runtime, "balance");
    // Open connections are no reason to wake up.
    let mut kept: Vec<Connection> = (0..20)
        .map(|_| Connection::open(v4(port)).unwrap())
        .collect();
    for one in &mut kept {
        assert_eq!(one.get("/").unwrap().status, 200);
    }
    assert!(switches(&runtime, "balance") > before);
    rests(&runtime, "balance");
    // A stopped worker with a queue is no reason either.
    let stopped = worker(&runtime, 1);
    freeze(stopped);
    let waiting = [1, 2, 3].map(|nr| connect_to_slot(v4(port), 1, nr));
    rests(&runtime, "balance");
    // It knows the queue: the next connection goes elsewhere.
    for _ in 0..40 {
        assert_eq!(http_get(v4(port), "/").unwrap().status, 200);
    }
    rests(&runtime, "balance");
    send(stopped, Signal::SIGCONT);
    drop(waiting);
    until("it gets work again", || impatient(port).unwrap() == "1");
    stop(runtime);
}

#[test]
fn who_has_nothing_to_balance_has_no_thread_for_it() {
    for (instances, balance) in [("1", "adaptive"), ("2", "random")] {
        let port = free_port();
        let runtime = Runtime::builder()
            .env("RPM_INSTANCES", instances)
            .env("RPM_BALANCE", balance)
            .env("RPM_READY", "listen")
            .env("PORT", port.to_string())
            .arg(example("echo_server"))
            .start();
        wait_ready(&runtime, 1);
        assert!(has_thread(&runtime, "handover"));
        assert!(!has_thread(&runtime, "balance"));
        stop(runtime);
    }
}
