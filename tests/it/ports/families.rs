//! A program gets the socket that it asked for (family, address, flags), and sockets that are not to be shared stay its
//! own.

use std::net::SocketAddr;

use crate::harness::shared_port::{
    all_answer, ask, connect_to, connect_to_slot, sockets, stop, v4, v6, wait_ready,
};
use crate::harness::{Builder, Runtime, free_port, free_ports, until};

const WORKERS: usize = 4;

fn four() -> Builder {
    Runtime::builder().env("RPM_INSTANCES", WORKERS.to_string())
}

fn start<const N: usize>(builder: Builder, words: [String; N]) -> Runtime {
    let runtime = builder.program(sockets(words)).start();
    wait_ready(&runtime, WORKERS);
    runtime.wait_for_lines(WORKERS, |line| line.starts_with("ready "));
    runtime
}

/// Every worker printed this line.
#[track_caller]
fn all_say(runtime: &Runtime, line: &str) {
    runtime.wait_for_lines(WORKERS, |text| text == line);
}

#[test]
fn ipv4_wildcard() {
    let port = free_port();
    let runtime = start(four(), [format!("a=0.0.0.0:{port}")]);
    all_say(
        &runtime,
        &format!("bound a inet 0.0.0.0 {port} nonblock=0,cloexec=1"),
    );
    all_answer(v4(port), "a", WORKERS);
    stop(runtime);
}

#[test]
fn dual_stack_serves_both_families() {
    let port = free_port();
    let runtime = start(four(), [format!("a=[::]:{port},dual")]);
    all_say(
        &runtime,
        &format!("bound a inet6 :: {port} nonblock=0,cloexec=1"),
    );
    all_answer(v4(port), "a", WORKERS);
    all_answer(v6(port), "a", WORKERS);
    stop(runtime);
}

/// As asyncio and nginx do: natively the second bind would fail without IPV6_V6ONLY, which is lost with the replaced
/// descriptor.
#[test]
fn ipv6_only_beside_ipv4_on_one_port() {
    let port = free_port();
    let words = [
        format!("four=0.0.0.0:{port}"),
        format!("six=[::]:{port},v6only"),
    ];
    let runtime = start(four(), words);
    all_answer(v4(port), "four", WORKERS);
    all_answer(v6(port), "six", WORKERS);
    stop(runtime);
}

#[test]
fn ipv6_only_refuses_ipv4() {
    let port = free_port();
    let runtime = start(four(), [format!("six=[::]:{port},v6only")]);
    all_answer(v6(port), "six", WORKERS);
    assert!(std::net::TcpStream::connect(v4(port)).is_err());
    stop(runtime);
}

#[test]
fn specific_addresses_are_ports_of_their_own() {
    let port = free_port();
    let words = [
        format!("one=127.0.0.1:{port}"),
        format!("two=127.0.0.2:{port}"),
        format!("six=[::1]:{port}"),
    ];
    let runtime = start(four(), words);
    all_say(
        &runtime,
        &format!("bound two inet 127.0.0.2 {port} nonblock=0,cloexec=1"),
    );
    all_answer(v4(port), "one", WORKERS);
    all_answer(SocketAddr::from(([127, 0, 0, 2], port)), "two", WORKERS);
    all_answer(v6(port), "six", WORKERS);
    stop(runtime);
}

/// As the JVM binds an IPv4 address. Each worker keeps the IPv6 socket that it asked for.
#[test]
fn an_ipv4_mapped_address_is_shared_whether_it_is_listed_or_not() {
    let lists = [
        None,
        Some(""),
        Some("127.0.0.1:"),
        Some("[::ffff:127.0.0.1]:"),
    ];
    for list in lists {
        let port = free_port();
        let builder = match list {
            Some(address) => four().env("RPM_PORTS", format!("{address}{port}")),
            None => four(),
        };
        let words = [format!("a=[::ffff:127.0.0.1]:{port},dual")];
        let runtime = start(builder, words);
        all_say(
            &runtime,
            &format!("bound a inet6 ::ffff:127.0.0.1 {port} nonblock=0,cloexec=1"),
        );
        all_answer(v4(port), "a", WORKERS);
        for slot in 0..4 {
            let mut steered = connect_to_slot(v4(port), slot, 1);
            let reply = ask(&mut steered).unwrap();
            assert!(reply.ends_with(&format!(" {slot}\n")), "{reply}");
        }
        stop(runtime);
    }
}

#[test]
fn several_ports_are_each_shared() {
    let port = free_ports(3);
    let words = [
        format!("a=0.0.0.0:{port}"),
        format!("b=[::]:{},dual", port + 1),
        format!("c=127.0.0.1:{}", port + 2),
    ];
    let runtime = start(four(), words);
    all_answer(v4(port), "a", WORKERS);
    all_answer(v6(port + 1), "b", WORKERS);
    all_answer(v4(port + 2), "c", WORKERS);
    stop(runtime);
}

#[test]
fn descriptor_flags_are_as_the_program_had_them() {
    let port = free_ports(4);
    let words = [
        format!("plain=0.0.0.0:{port}"),
        format!("nonblock=0.0.0.0:{},nonblock", port + 1),
        format!("inherit=0.0.0.0:{},inherit", port + 2),
        format!("both=0.0.0.0:{},nonblock,inherit", port + 3),
    ];
    let runtime = start(four(), words);
    for (at, name, flags) in [
        (0, "plain", "nonblock=0,cloexec=1"),
        (1, "nonblock", "nonblock=1,cloexec=1"),
        (2, "inherit", "nonblock=0,cloexec=0"),
        (3, "both", "nonblock=1,cloexec=0"),
    ] {
        all_say(
            &runtime,
            &format!("bound {name} inet 0.0.0.0 {} {flags}", port + at),
        );
    }
    stop(runtime);
}

#[test]
fn a_program_that_calls_listen_5_keeps_the_long_queue() {
    let port = free_port();
    let runtime = start(four(), [format!("a=0.0.0.0:{port},backlog=5")]);
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let most: f64 = most.trim().parse().unwrap();
    for worker in 0..WORKERS {
        let series =
            format!("rpm_listen_queue_limit{{listener=\"0.0.0.0:{port}\",worker=\"{worker}\"}}");
        assert_eq!(runtime.metric(&series), Some(most.min(4096.0)), "{series}");
    }
    stop(runtime);
}

#[test]
fn port_0_stays_each_workers_own() {
    let port = free_port();
    let words = ["any=127.0.0.1:0".to_owned(), format!("a=0.0.0.0:{port}")];
    let runtime = start(four(), words);
    let own = runtime.wait_for_lines(WORKERS, |line| line.starts_with("bound any "));
    let mut ports: Vec<&str> = own
        .iter()
        .map(|line| line.split(' ').nth(4).unwrap())
        .collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), WORKERS, "{own:?}");
    all_answer(v4(port), "a", WORKERS);
    stop(runtime);
}

#[test]
fn a_port_that_is_not_listed_is_left_alone() {
    let port = free_ports(2);
    let words = [
        format!("a=0.0.0.0:{port}"),
        format!("b=0.0.0.0:{}", port + 1),
    ];
    let listed = format!("0.0.0.0:{port}");
    let runtime = start(four().env("RPM_PORTS", listed), words);
    runtime.wait_for_lines(WORKERS - 1, |line| line == "failed b EADDRINUSE");
    all_answer(v4(port), "a", WORKERS);
    let replies: Vec<String> = (0..8)
        .map(|_| ask(&mut connect_to(v4(port + 1))).unwrap())
        .collect();
    assert!(
        replies.iter().all(|reply| *reply == replies[0]),
        "{replies:?}"
    );
    stop(runtime);
}

#[test]
fn fork_mode_leaves_every_port_alone() {
    let port = free_port();
    let builder = four().env("RPM_EXEC_MODE", "fork");
    let runtime = builder
        .program(sockets([format!("a=0.0.0.0:{port}")]))
        .start();
    runtime.wait_for_lines(WORKERS - 1, |line| line == "failed a EADDRINUSE");
    stop(runtime);
}

#[test]
fn a_bind_in_a_grandchild_is_shared() {
    let port = free_port();
    let builder = four().env("RPM_SIGNAL_SCOPE", "group");
    let runtime = start(
        builder,
        ["grandchild".to_owned(), format!("a=0.0.0.0:{port}")],
    );
    all_answer(v4(port), "a", WORKERS);
    stop(runtime);
}

/// Root without CAP_SYS_PTRACE: the program may change its uid, and the runtime may not inspect other users' processes.
fn no_ptrace() -> Builder {
    Runtime::builder().under(["setpriv", "--bounding-set=-sys_ptrace", "--"])
}

#[track_caller]
fn binds_by_itself(runtime: Runtime, port: u16) {
    runtime.wait_for_line(|line| line.starts_with("ready "));
    let bound = format!("bound a inet 0.0.0.0 {port} nonblock=0,cloexec=1");
    assert!(runtime.texts().contains(&bound), "{}", runtime.shown());
    assert!(
        !runtime
            .texts()
            .iter()
            .any(|line| line.contains("info: sharing a port")),
        "{}",
        runtime.shown()
    );
    let line =
        runtime.wait_for_line(|line| line.contains("cannot inspect a process of the worker"));
    assert!(
        line.contains("USER") && line.contains("SYS_PTRACE"),
        "{line}"
    );
    assert!(ask(&mut connect_to(v4(port))).unwrap().starts_with("a "));
    // That it listens is seen all the same, and so it is not waited for as one that serves no port.
    let ready = runtime.wait_for_line(|line| line.contains("worker ready"));
    assert!(ready.ends_with(" by=listen"), "{ready}");
    until("it is ready", || runtime.get("/readyz").status == 200);
    stop(runtime);
}

#[test]
fn a_program_whose_memory_is_closed_binds_by_itself() {
    let port = free_port();
    let words = ["undumpable".to_owned(), format!("a=0.0.0.0:{port}")];
    let runtime = no_ptrace().program(sockets(words)).start();
    binds_by_itself(runtime, port);
}

#[test]
fn a_program_under_another_uid_binds_by_itself() {
    let port = free_port();
    let runtime = no_ptrace()
        .program([
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--",
        ])
        .program(sockets([format!("a=0.0.0.0:{port}")]))
        .start();
    binds_by_itself(runtime, port);
}
