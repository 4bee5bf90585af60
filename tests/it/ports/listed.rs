//! RPM_PORTS as a list: the ports are open before the first worker, so clients wait instead of being refused.

use std::net::{SocketAddr, TcpListener};

use crate::harness::shared_port::{
    Gate, all_answer, ask, connect_to, queue_length, sockets, stop, v4, v6, wait_ready,
};
use crate::harness::{Builder, Runtime, example, free_port};

fn listed(ports: &str) -> Builder {
    Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_PORTS", ports)
}

/// Clients connect while no worker listens, wait, and are answered when one does.
fn early_clients_are_served(name: &str, list: &str, words: &[&str], addresses: &[SocketAddr]) {
    let mut gate = Gate::new(name);
    let runtime = listed(list).program(gate.before(sockets(words))).start();
    runtime.wait_for_lines(2, |line| line == "waiting");
    let mut clients: Vec<_> = addresses
        .iter()
        .flat_map(|address| [connect_to(*address), connect_to(*address)])
        .collect();
    gate.open(2);
    for client in &mut clients {
        let reply = ask(client).unwrap_or_else(|error| panic!("{error}\n{}", runtime.shown()));
        assert!(reply.starts_with("a "), "{reply}");
    }
    wait_ready(&runtime, 2);
    for address in addresses {
        all_answer(*address, "a", 2);
    }
    stop(runtime);
}

#[test]
fn early_clients_of_a_bare_port_wait() {
    let port = free_port();
    early_clients_are_served(
        "bare",
        &port.to_string(),
        &[&format!("a=[::]:{port},dual")],
        &[v4(port), v6(port)],
    );
}

#[test]
fn early_clients_of_an_ipv4_address_wait() {
    let port = free_port();
    early_clients_are_served(
        "four",
        &format!("0.0.0.0:{port}"),
        &[&format!("a=0.0.0.0:{port}")],
        &[v4(port)],
    );
}

#[test]
fn early_clients_of_an_ipv6_address_wait() {
    let port = free_port();
    early_clients_are_served(
        "six",
        &format!("[::1]:{port}"),
        &[&format!("a=[::1]:{port}")],
        &[v6(port)],
    );
}

#[test]
fn early_clients_of_both_families_side_by_side_wait() {
    let port = free_port();
    let words = [format!("a=0.0.0.0:{port}"), format!("a=[::]:{port},v6only")];
    early_clients_are_served(
        "both",
        &format!("0.0.0.0:{port},[::]:{port}"),
        &[&words[0], &words[1]],
        &[v4(port), v6(port)],
    );
}

#[test]
fn another_family_than_listed_is_warned_of_and_served() {
    let port = free_port();
    let runtime = listed(&port.to_string())
        .program(sockets([format!("a=0.0.0.0:{port}")]))
        .start();
    let line =
        runtime.wait_for_line(|line| line.contains("warn: the program binds another address"));
    assert!(
        line.contains(&format!("opened=[::]:{port} bound=0.0.0.0:{port}")),
        "{line}"
    );
    wait_ready(&runtime, 2);
    all_answer(v4(port), "a", 2);
    assert!(std::net::TcpStream::connect(v6(port)).is_err());
    stop(runtime);
}

/// If a slot's worker had not taken its listener, clients in its queue would wait forever.
#[test]
fn clients_wait_in_the_queue_of_a_listed_port() {
    let port = free_port();
    let gate = Gate::new("queue");
    let program = gate.before(vec![
        example("echo_server").into(),
        format!("0.0.0.0:{port}").into(),
    ]);
    let address = format!("0.0.0.0:{port}");
    let runtime = listed(&address).program(program).start();
    runtime.wait_for_lines(2, |line| line == "waiting");
    let clients: Vec<_> = (0..10).map(|_| connect_to(v4(port))).collect();
    let waiting: f64 = (0..2)
        .map(|slot| queue_length(&runtime, &address, slot))
        .sum();
    assert!((waiting - 10.0).abs() < 0.5, "{waiting} wait");
    drop(clients);
    stop(runtime);
}

/// The start is refused: exit code 71, one line with the reason, no worker.
#[track_caller]
fn refused(builder: Builder, says: &[&str]) {
    let mut runtime = builder.program(["true"]).start();
    assert_eq!(runtime.wait_exit().code(), Some(71), "{}", runtime.shown());
    let texts = runtime.texts();
    for word in says {
        assert!(
            texts
                .iter()
                .any(|line| line.starts_with("rpm-runtime: ") && line.contains(word)),
            "no {word:?} in {texts:?}"
        );
    }
    assert!(
        !texts.iter().any(|line| line.contains("worker started")),
        "{texts:?}"
    );
}

#[test]
fn a_taken_port_refuses_the_start_and_its_holder_is_named() {
    let port = free_port();
    let _holder = TcpListener::bind(("0.0.0.0", port)).unwrap();
    let own = std::process::id();
    let words = format!(
        "cannot open the shared port 0.0.0.0:{port} of RPM_PORTS: another process has this port (pid {own}, "
    );
    refused(
        listed(&format!("0.0.0.0:{port}")),
        &[&words, "nothing was started"],
    );
}

/// Both set SO_REUSEPORT and have the same user, so the kernel would let them share.
#[test]
fn a_second_runtime_on_the_same_port_is_refused() {
    for protocol in ["", "udp:"] {
        let port = free_port();
        let entry = format!("{protocol}127.0.0.1:{port}");
        let first = listed(&entry).program(["sleep", "1000"]).start();
        first.wait_for_line(|line| line.contains("worker started"));
        let words = format!(
            "another process has this port (pid {}, rpm-runtime)",
            first.pid()
        );
        refused(listed(&entry), &[&words, "nothing was started"]);
    }
}

#[test]
fn a_port_below_1024_without_the_right_to_it_refuses_the_start() {
    let user = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--bounding-set=-all",
        "--",
    ];
    refused(
        listed("81").under(user),
        &[
            "cannot open the shared port [::]:81",
            "need CAP_NET_BIND_SERVICE",
        ],
    );
}

#[test]
fn an_address_of_another_host_refuses_the_start() {
    refused(
        listed("192.0.2.1:8080"),
        &[
            "cannot open the shared port 192.0.2.1:8080",
            "not of this host",
        ],
    );
}
