//! Shared UDP ports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};

use nix::sys::signal::Signal;

use crate::harness::datagrams::Asker;
use crate::harness::reloads::reload;
use crate::harness::shared_port::{
    Gate, ask, connect_to, send, sockets, stop, v4, v6, wait_ready, wait_rotation, worker,
};
use crate::harness::{Builder, Runtime, free_port, patience, source, until};

const ECHO: &str = "tests/payloads/udp_echo.py";

fn echo(workers: usize, port: u16) -> Builder {
    Runtime::builder()
        .env("RPM_INSTANCES", workers.to_string())
        .arg("/usr/bin/python3")
        .arg(source(ECHO))
        .arg(port.to_string())
}

/// Which slot answers each of `count` clients.
fn homes(clients: &mut [Asker]) -> Vec<String> {
    let answers = clients
        .iter_mut()
        .map(|one| one.ask().expect("an answer").1);
    answers.collect()
}

fn clients(target: SocketAddr, count: usize) -> Vec<Asker> {
    (0..count).map(|_| Asker::new(target)).collect()
}

/// A worker that serves UDP alone is ready when it has bound its port.
#[test]
fn a_fixed_udp_port_is_shared_and_each_client_has_one_worker() {
    for (address, to) in [("0.0.0.0", v4 as fn(u16) -> SocketAddr), ("::", v6)] {
        let port = free_port();
        let runtime = echo(4, port).arg(address).start();
        wait_ready(&runtime, 4);
        wait_rotation(&runtime, &[0, 1, 2, 3]);
        runtime.wait_for_line(|line| line.contains("sharing a port port=udp:"));
        let mut clients = clients(to(port), 60);
        let first = homes(&mut clients);
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 4, "{first:?}");
        assert_eq!(homes(&mut clients), first);
        // Only the new workers of the same slots take over.
        reload(&runtime);
        wait_rotation(&runtime, &[0, 1, 2, 3]);
        assert_eq!(homes(&mut clients), first);
        let listener = if address == "::" {
            format!("udp:[::]:{port}")
        } else {
            format!("udp:0.0.0.0:{port}")
        };
        let series = format!("rpm_udp_queue_limit_bytes{{listener=\"{listener}\",worker=\"0\"}}");
        // SO_RCVBUF was set before `bind`; the kernel doubles it.
        assert_eq!(runtime.metric(&series), Some(120_000.0));
        let dropped = format!("rpm_udp_dropped_datagrams_total{{listener=\"{listener}\"}}");
        assert_eq!(runtime.metric(&dropped), Some(0.0));
        stop(runtime);
    }
}

#[test]
fn a_udp_socket_has_the_address_that_the_program_bound() {
    let port = free_port();
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "4")
        .program(sockets([format!("u=127.0.0.1:{port},udp,nonblock")]))
        .start();
    let bound = format!("bound u inet 127.0.0.1 {port} nonblock=1,cloexec=1");
    runtime.wait_for_lines(4, |line| line == bound);
    stop(runtime);
}

#[test]
fn tcp_and_udp_on_one_port_are_reloaded() {
    let port = free_port();
    let runtime = echo(2, port).env("TCP", "1").start();
    let both = || {
        let mut slots: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        until("both workers answer over TCP and UDP", || {
            let tcp = ask(&mut connect_to(v4(port))).unwrap();
            let slot = tcp.split(' ').nth(1).unwrap().to_owned();
            slots.entry("tcp").or_default().insert(slot);
            let udp = Asker::new(v4(port)).ask().unwrap().1;
            slots.entry("udp").or_default().insert(udp);
            slots.values().all(|slots| slots.len() == 2)
        });
    };
    wait_ready(&runtime, 2);
    until("it listens", || {
        std::net::TcpStream::connect(v4(port)).is_ok()
    });
    both();
    reload(&runtime);
    both();
    stop(runtime);
}

#[test]
fn the_datagrams_of_a_killed_worker_are_served_by_its_successor() {
    let port = free_port();
    let runtime = echo(1, port).start();
    wait_ready(&runtime, 1);
    let client = Asker::new(v4(port));
    client.send("sleep");
    until("the worker has read it", || {
        let series = format!("rpm_udp_queue_bytes{{listener=\"udp:0.0.0.0:{port}\",worker=\"0\"}}");
        runtime.metric(&series) == Some(0.0)
    });
    for word in ["one", "two", "three"] {
        client.send(word);
    }
    let first = worker(&runtime, 0);
    send(first, Signal::SIGKILL);
    for word in ["one", "two", "three"] {
        let (pid, _, answered) = client.receive().expect("an answer");
        assert!(pid != first && answered == word, "{answered}");
    }
    stop(runtime);
}

#[test]
fn while_one_worker_is_down_its_clients_are_served_by_others() {
    let port = free_port();
    let runtime = echo(3, port)
        .env("RPM_MIN_UPTIME", "1h")
        .env("RPM_BACKOFF_MIN", "1h")
        .env("RPM_BACKOFF_MAX", "1h")
        .start();
    wait_ready(&runtime, 3);
    wait_rotation(&runtime, &[0, 1, 2]);
    let mut clients = clients(v4(port), 30);
    let before = homes(&mut clients);
    send(worker(&runtime, 1), Signal::SIGKILL);
    runtime.wait_for_line(|line| line.contains("worker ended slot=1"));
    until("its clients have another worker", || {
        !homes_without_waiting(&mut clients).contains(&"1".to_owned())
    });
    let after = homes(&mut clients);
    for (old, new) in before.iter().zip(&after) {
        assert!(old == new || old == "1", "{old} {new}");
    }
    stop(runtime);
}

fn homes_without_waiting(clients: &mut [Asker]) -> Vec<String> {
    let answers = clients.iter_mut().filter_map(Asker::ask);
    answers.map(|(_, slot)| slot).collect()
}

#[test]
fn datagrams_wait_at_a_listed_udp_port_until_a_worker_serves() {
    let port = free_port();
    let mut gate = Gate::new("udp");
    let program = [
        "/usr/bin/python3".into(),
        source(ECHO).into_os_string(),
        port.to_string().into(),
        "127.0.0.1".into(),
    ];
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_PORTS", format!("udp:127.0.0.1:{port}"))
        .env("RPM_READY", "listen")
        .program(gate.before(program.to_vec()))
        .start();
    runtime.wait_for_lines(2, |line| line == "waiting");
    let client = Asker::new(v4(port));
    client.send("early");
    gate.open(2);
    let (_, _, word) = client.receive().expect("an answer");
    assert_eq!(word, "early");
    wait_ready(&runtime, 2);
    stop(runtime);
}

/// Its datagrams reach every socket of the port, whatever the steering says.
#[test]
fn a_worker_that_joins_a_multicast_group_is_told() {
    let port = free_port();
    let runtime = echo(2, port).env("GROUP", "1").start();
    wait_ready(&runtime, 2);
    let line = runtime.wait_for_line(|line| line.contains("is in a multicast group"));
    assert!(
        line.contains(&format!("port=udp:0.0.0.0:{port}")) && line.contains("RPM_RELOAD_SURGE=0")
    );
    stop(runtime);
}

/// The kernel refuses to join a group twice with one socket, and the next worker gets the socket of the last one.
#[test]
fn the_successor_of_a_killed_worker_joins_the_same_multicast_group() {
    let port = free_port();
    let runtime = echo(1, port).env("GROUP", "1").start();
    wait_ready(&runtime, 1);
    let mut client = Asker::new(v4(port));
    for _ in 0..2 {
        let (first, _) = client.ask().expect("an answer");
        send(first, Signal::SIGKILL);
        runtime.wait_for_line(|line| line.contains(&format!("worker ended slot=0 pid={first}")));
        let (second, _) = client.ask().expect("an answer");
        assert_ne!(first, second);
    }
    assert!(!runtime.shown().contains("Address already in use"));
    stop(runtime);
}

/// Each client keeps the worker that it has reached, and new clients are served, at both kinds of addresses: older kernels
/// take a connected socket out of the group at the wildcard alone.
#[test]
fn a_program_that_connects_a_socket_to_each_client_serves_all_of_them() {
    for (workers, address) in [(1, "0.0.0.0"), (3, "0.0.0.0"), (3, "127.0.0.1")] {
        let port = free_port();
        let runtime = Runtime::builder()
            .env("RPM_INSTANCES", workers.to_string())
            .arg("/usr/bin/python3")
            .arg(source("tests/payloads/udp_sessions.py"))
            .arg(port.to_string())
            .arg(address)
            .start();
        wait_ready(&runtime, workers);
        let served = || {
            let mut clients = clients(v4(port), 30);
            let first = homes(&mut clients);
            assert_eq!(homes(&mut clients), first, "{address}");
        };
        served();
        runtime.wait_for_line(|line| line.contains("the kernel chooses among the workers"));
        reload(&runtime);
        served();
        send(worker(&runtime, 0), Signal::SIGKILL);
        // What is sent at the moment of its death is lost. These are those of the start, of the reload, and its successor.
        wait_ready(&runtime, 2 * workers + 1);
        served();
        // At another address than the wildcard the kernel prefers the worker with most clients.
        if address == "0.0.0.0" {
            until("all workers serve new clients", || {
                let slots = homes_without_waiting(&mut clients(v4(port), 30));
                slots.into_iter().collect::<BTreeSet<String>>().len() == workers
            });
        }
        stop(runtime);
    }
}

/// A query for the address of `name`, and its answer's last four bytes: the address.
fn resolve(target: SocketAddr, name: &str) -> Option<[u8; 4]> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(patience())).unwrap();
    let mut query = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    socket.send_to(&query, target).ok()?;
    let mut answer = [0; 512];
    let len = socket.recv(&mut answer).ok()?;
    answer[..len].last_chunk().copied()
}

/// Debian's dnsmasq, over UDP and TCP: each worker serves the port, and a reload leaves no query unanswered.
#[test]
fn dnsmasq_is_served_by_every_worker_and_reloaded() {
    let port = free_port();
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "3")
        .program(["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null"])
        .program([
            "--no-resolv",
            "--no-hosts",
            "--user=root",
            "--group=root",
            "--pid-file",
        ])
        .program(["--listen-address=127.0.0.1", "--bind-interfaces"])
        .program(["--address=/shop.test/10.1.2.3", "--log-facility=-"])
        .arg(format!("--port={port}"))
        .start();
    wait_ready(&runtime, 3);
    let served = |count: usize| {
        for _ in 0..count {
            let address = resolve(v4(port), "shop.test");
            assert_eq!(address, Some([10, 1, 2, 3]), "{}", runtime.shown());
        }
    };
    served(50);
    for _ in 0..3 {
        reload(&runtime);
        served(50);
    }
    for slot in 0..3 {
        let listener = format!("udp:127.0.0.1:{port}");
        let series =
            format!("rpm_udp_queue_limit_bytes{{listener=\"{listener}\",worker=\"{slot}\"}}");
        assert!(runtime.metric(&series).is_some(), "{series}");
    }
    assert!(
        !runtime
            .texts()
            .iter()
            .any(|line| line.contains("Address already in use"))
    );
    stop(runtime);
}
