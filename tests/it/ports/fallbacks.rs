//! Where the kernel refuses the mechanisms of sharing, the runtime uses the next best one and always logs why.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::TcpStream;

use crate::harness::shared_port::{
    all_answer, ask, connect_to, freeze, gunicorn, send, sockets, stop, v4, wait_ready, worker,
};
use crate::harness::{
    self, Builder, Connection, Runtime, Signal, example, free_port, http_get, until,
};

fn without(what: &str) -> Builder {
    Runtime::builder().under([example("deny").into(), OsString::from(what)])
}

/// The choice is shown in the log and in the metrics.
#[track_caller]
fn chose(runtime: &Runtime, handover: &str, steering: &str, reason: &str) {
    let line = runtime.wait_for_line(|line| line.contains("] info: ports handover="));
    let start = format!("handover={handover} steering={steering} reason=");
    assert!(line.contains(&start) && line.contains(reason), "{line}");
    let metrics = runtime.wait_for_status("/metrics", 200).text();
    let info = metrics
        .lines()
        .find(|line| line.starts_with("rpm_handover_info{"))
        .unwrap();
    for part in [
        format!("handover=\"{handover}\""),
        format!("steering=\"{steering}\""),
        reason.to_owned(),
    ] {
        assert!(info.contains(&part), "no {part} in {info}");
    }
}

#[test]
fn without_interception_several_workers_are_refused() {
    let mut runtime = without("notify")
        .env("RPM_INSTANCES", "4")
        .program(["true"])
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(71));
    let texts = runtime.texts();
    let [line] = &texts[..] else {
        panic!("{texts:?}")
    };
    for part in [
        "rpm-runtime: cannot share a port among 4 workers",
        "seccomp user notification: Operation not permitted",
        "RPM_INSTANCES=1",
        "nothing was started",
    ] {
        assert!(line.contains(part), "no {part:?} in {line}");
    }
}

#[test]
fn a_second_notifier_is_called_that() {
    let mut runtime = without("notify=16")
        .env("RPM_INSTANCES", "4")
        .program(["true"])
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(71));
    runtime.wait_for_line(|line| {
        line.contains(
            "another notifier is on this process already, of a nested runtime or a sandbox",
        )
    });
}

#[test]
fn without_interception_one_worker_runs_with_its_own_port() {
    let port = free_port();
    let runtime = without("notify")
        .program(sockets([format!("a=0.0.0.0:{port}")]))
        .start();
    runtime.wait_for_line(|line| line.starts_with("ready "));
    chose(
        &runtime,
        "none",
        "none",
        "seccomp user notification: Operation not permitted",
    );
    all_answer(v4(port), "a", 1);
    stop(runtime);
}

#[test]
fn without_interception_the_worker_goes_before_its_successor_binds() {
    let port = free_port();
    let runtime = without("notify")
        .program(sockets([format!("a=0.0.0.0:{port}")]))
        .start();
    wait_ready(&runtime, 1);
    runtime.signal(Signal::SIGHUP);
    runtime.wait_for_line(|line| line.contains("reload finished result=success"));
    all_answer(v4(port), "a", 1);
    stop(runtime);
}

#[test]
fn on_a_common_socket_nobody_can_be_asked_and_a_reload_does_not_wait_for_it() {
    for surge in ["1", "0"] {
        let port = free_port();
        let runtime = without("steering")
            .env("RPM_INSTANCES", "2")
            .env("RPM_HEALTH", "tcp")
            .env("RPM_RELOAD_SURGE", surge)
            .program(sockets([format!("a=0.0.0.0:{port}")]))
            .start();
        runtime.wait_for_line(|line| {
            line.contains("RPM_HEALTH: single workers cannot be reached here")
        });
        wait_ready(&runtime, 2);
        runtime.signal(Signal::SIGHUP);
        runtime.wait_for_line(|line| line.contains("reload finished result=success"));
        stop(runtime);
    }
}

#[test]
fn without_interception_listed_ports_are_handed_over_by_activation() {
    let port = free_port();
    let runtime = without("notify")
        .env("RPM_INSTANCES", "4")
        .env("RPM_PORTS", format!("0.0.0.0:{port}"))
        .program(sockets(["activated"]))
        .start();
    chose(
        &runtime,
        "activation",
        "adaptive",
        "seccomp user notification",
    );
    runtime.wait_for_lines(4, |line| {
        line == format!("activated 1 pid True names port-{port}")
    });
    runtime.wait_for_lines(4, |line| {
        line == format!("bound port-{port} inet 0.0.0.0 {port} nonblock=0,cloexec=0")
    });
    wait_ready(&runtime, 4);
    all_answer(v4(port), &format!("port-{port}"), 4);
    stop(runtime);
}

#[test]
fn activation_can_be_chosen_and_names_every_port() {
    let port = harness::free_ports(2);
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_HANDOVER", "activation")
        .env("RPM_PORTS", format!("0.0.0.0:{port},[::]:{}", port + 1))
        .program(sockets(["activated"]))
        // By then the payload has called listen.
        .env("RPM_MIN_UPTIME", "3s")
        .start();
    chose(
        &runtime,
        "activation",
        "adaptive",
        "RPM_HANDOVER=activation",
    );
    runtime.wait_for_lines(2, |line| {
        line == format!("activated 2 pid True names port-{port},port-{}", port + 1)
    });
    wait_ready(&runtime, 2);
    all_answer(v4(port), &format!("port-{port}"), 2);
    all_answer(v4(port + 1), &format!("port-{}", port + 1), 2);
    // The payload calls listen(5).
    let series = format!("rpm_listen_queue_limit{{listener=\"0.0.0.0:{port}\",worker=\"1\"}}");
    let limit = runtime.metric(&series).unwrap();
    assert!(limit > 100.0, "{limit}");
    stop(runtime);
}

/// The listener of the last worker is made for it: none was spare.
#[test]
fn a_listener_that_a_change_of_scale_made_for_activation_is_repaired_too() {
    const PROGRAM: &str = "
import os, signal, socket
listener = socket.socket(fileno=3)
if os.environ['RPM_INSTANCE'] == '3':
    listener.shutdown(socket.SHUT_RDWR)
signal.pause()
";
    let runtime = Runtime::builder()
        .env("RPM_HANDOVER", "activation")
        .env("RPM_PORTS", format!("0.0.0.0:{}", free_port()))
        .env("RPM_READY", "delay:10ms")
        .program(["/usr/bin/python3", "-c", PROGRAM])
        .start();
    wait_ready(&runtime, 1);
    for workers in 2..=4 {
        runtime.signal(Signal::SIGTTIN);
        wait_ready(&runtime, workers);
    }
    runtime.wait_for_line(|line| line.contains("a worker shut its listener down; listening again"));
    stop(runtime);
}

/// gunicorn compares LISTEN_PID with its own PID and forks a worker of its own: WEB_CONCURRENCY is 1.
#[test]
fn gunicorn_takes_its_listener_by_activation() {
    let port = free_port();
    let runtime = gunicorn(port, 4).start();
    wait_ready(&runtime, 4);
    let mut seen = BTreeSet::new();
    until("all four answer", || {
        let reply = http_get(v4(port), "/").unwrap();
        seen.insert(reply.json()["slot"].as_str().unwrap().to_owned());
        seen.len() == 4
    });
    assert_eq!(runtime.workers().len(), 4);
    stop(runtime);
}

/// One common socket: all workers serve, and if one is stopped or dies, the others accept the waiting connections.
fn one_common_socket(what: &str, reason: &str) {
    let port = free_port();
    let runtime = without(what)
        .env("RPM_INSTANCES", "4")
        .env("RPM_READY", "listen")
        .env("PORT", port.to_string())
        .arg(example("echo_server"))
        .start();
    chose(&runtime, "intercept", "none", reason);
    wait_ready(&runtime, 4);
    let mut seen = BTreeSet::new();
    until("all four answer", || {
        seen.insert(http_get(v4(port), "/").unwrap().pid());
        seen.len() == 4
    });
    let victim = worker(&runtime, 1);
    freeze(victim);
    for _ in 0..50 {
        assert_ne!(http_get(v4(port), "/").unwrap().pid(), i64::from(victim));
    }
    let others: Vec<i32> = [0, 2, 3].map(|slot| worker(&runtime, slot)).to_vec();
    others.iter().copied().for_each(freeze);
    let clients: Vec<TcpStream> = (0..50).map(|_| connect_to(v4(port))).collect();
    send(victim, Signal::SIGKILL);
    for client in clients {
        let reply = Connection::from(client).request("/", &["Connection: close"]);
        assert_ne!(reply.unwrap().pid(), i64::from(victim));
    }
    for other in others {
        send(other, Signal::SIGCONT);
    }
    stop(runtime);
}

#[test]
fn without_steering_all_serve_one_common_socket() {
    one_common_socket(
        "steering",
        "SO_ATTACH_REUSEPORT_CBPF: EPERM: Operation not permitted",
    );
}

#[test]
fn steering_that_is_taken_and_ignored_is_found_out() {
    one_common_socket("steering-silent", "the steering program has no effect");
}

/// The kernel's own hash may happen to choose the listener that the ignored program names: that must not count as a
/// proof.
#[test]
fn ignored_steering_is_found_out_at_every_start() {
    for _ in 0..20 {
        let mut runtime = without("steering-silent")
            .env("RPM_INSTANCES", "2")
            .env("RPM_RESTART", "never")
            .env("RPM_EXEC_MODE", "cluster")
            .program(["true"])
            .start();
        runtime
            .wait_for_line(|line| line.contains("] info: ports handover=intercept steering=none"));
        assert_eq!(runtime.wait_exit().code(), Some(0));
    }
}

/// The listed port conflicts with the one that the program binds: without SO_REUSEPORT both cannot be open.
#[test]
fn without_steering_another_family_than_listed_is_served() {
    let port = free_port();
    let runtime = without("steering")
        .env("RPM_INSTANCES", "4")
        .env("RPM_PORTS", port.to_string())
        .program(sockets([format!("a=0.0.0.0:{port}")]))
        .start();
    runtime.wait_for_line(|line| line.contains("warn: the program binds another address"));
    wait_ready(&runtime, 4);
    all_answer(v4(port), "a", 4);
    stop(runtime);
}

/// O_NONBLOCK belongs to the common socket: a new worker must not clear it for those that rely on it.
#[test]
fn without_steering_a_newcomer_leaves_the_common_socket_nonblocking() {
    let port = free_port();
    let runtime = without("steering")
        .env("RPM_INSTANCES", "2")
        .env("RPM_HANDOVER", "activation")
        .env("RPM_PORTS", format!("0.0.0.0:{port}"))
        .program(sockets(["activated", "unblock-first"]))
        .start();
    let name = format!("port-{port}");
    wait_ready(&runtime, 2);
    runtime.wait_for_lines(2, |line| line.starts_with("ready "));
    let flags = |pid: i32| {
        let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/3")).unwrap();
        let line = info
            .lines()
            .find(|line| line.starts_with("flags:"))
            .unwrap();
        i32::from_str_radix(line["flags:".len()..].trim(), 8).unwrap()
    };
    let nonblocking = |pid: i32| flags(pid) & nix::libc::O_NONBLOCK != 0;
    assert!(nonblocking(worker(&runtime, 0)));
    send(worker(&runtime, 1), Signal::SIGKILL);
    runtime.wait_for_lines(3, |line| line.starts_with("ready "));
    assert!(
        nonblocking(worker(&runtime, 0)),
        "the newcomer made the socket block"
    );
    all_answer(v4(port), &name, 2);
    stop(runtime);
}

/// The outer runtime has the only notifier that a process may have.
#[test]
fn a_runtime_inside_a_runtime_shares_by_the_outer_one() {
    let port = free_port();
    let inner = env!("CARGO_BIN_EXE_rpm-runtime");
    let program: Vec<OsString> = ["env", "RPM_INSTANCES=1", "RPM_ADMIN_ADDR=off", inner]
        .into_iter()
        .map(OsString::from)
        .chain(sockets([format!("a=0.0.0.0:{port}")]))
        .collect();
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .program(program)
        .start();
    runtime.wait_for_lines(2, |line| {
        line.contains("ports handover=none steering=none")
            && line.contains("Device or resource busy")
    });
    runtime.wait_for_lines(2, |line| line.starts_with("ready "));
    // Both inner workers are slot 0 of their own runtime.
    let mut seen = BTreeSet::new();
    until("both inner workers answer", || {
        let reply = ask(&mut connect_to(v4(port))).unwrap();
        seen.insert(reply.split_whitespace().nth(1).unwrap().to_owned());
        seen.len() == 2
    });
    stop(runtime);
}

#[test]
fn a_runtime_inside_a_runtime_refuses_several_workers() {
    let inner = env!("CARGO_BIN_EXE_rpm-runtime");
    let mut runtime = Runtime::builder()
        .env("RPM_RESTART", "never")
        .env("RPM_EXEC_MODE", "cluster")
        .program([
            "env",
            "RPM_INSTANCES=2",
            "RPM_RESTART=always",
            "RPM_ADMIN_ADDR=off",
            inner,
            "true",
        ])
        .start();
    runtime.wait_for_line(|line| line.contains("Device or resource busy"));
    assert_eq!(runtime.wait_exit().code(), Some(71));
}

#[test]
fn without_steering_the_common_queue_is_nobodys() {
    let port = free_port();
    let runtime = without("steering")
        .env("RPM_INSTANCES", "2")
        .env("RPM_PORTS", format!("0.0.0.0:{port}"))
        .program(sockets([format!("a=0.0.0.0:{port}")]))
        .start();
    wait_ready(&runtime, 2);
    let metrics = runtime.get("/metrics").text();
    let series: Vec<&str> = metrics
        .lines()
        .filter(|line| line.starts_with("rpm_listen_queue_length{"))
        .collect();
    assert_eq!(series.len(), 1, "{series:?}");
    assert!(!series[0].contains("worker=\"0\""), "{series:?}");
    stop(runtime);
}

/// The runtime decides once what all addresses are, so that it does not refuse by its own rule what workers bind there.
#[test]
fn without_ipv6_a_port_on_all_addresses_is_shared_over_ipv4() {
    let port = free_port();
    let runtime = without("ipv6")
        .env("RPM_INSTANCES", "2")
        .env("RPM_PORTS", format!("[::]:{port}"))
        .program(sockets([format!("a=0.0.0.0:{port}")]))
        .start();
    runtime.wait_for_line(|line| {
        line.contains("there is no IPv6 on this host")
            && line.contains(&format!("RPM_PORTS=[::]:{port} is 0.0.0.0:{port}"))
    });
    wait_ready(&runtime, 2);
    all_answer(v4(port), "a", 2);
    stop(runtime);
}

/// As where the module tcp_diag is not loaded.
#[test]
fn a_missing_module_of_the_kernel_is_named_in_a_drain() {
    let port = free_port();
    let runtime = without("sock_diag=93")
        .env("RPM_PORTS", format!("0.0.0.0:{port}"))
        .program(sockets([format!("a=0.0.0.0:{port}")]))
        .start();
    wait_ready(&runtime, 1);
    runtime.signal(Signal::SIGHUP);
    runtime.wait_for_line(|line| {
        line.contains("connections cannot be read over netlink here")
            && line.contains("modprobe tcp_diag")
    });
    runtime.wait_for_line(|line| line.contains("reload finished result=success"));
    stop(runtime);
}
