//! A worker is ready when it serves what it is expected to serve: the ports of its predecessor, of its siblings, of its
//! environment.

use std::fs::File;
use std::net::TcpListener;
use std::thread;

use nix::sched::{CloneFlags, setns};

use crate::harness::reloads::reload;
use crate::harness::shared_port::{
    Gate, ask, connect_to, field, send, sockets, stop, v4, wait_ready,
};
use crate::harness::status::echo;
use crate::harness::{Builder, Runtime, Signal, free_port, http_get, scratch, until};

/// Workers that open the port of their metrics, wait at the gate, and open their main port.
fn two_ports(gate: &Gate, metrics: u16, main: u16) -> Builder {
    Runtime::builder()
        .env("GATE", &gate.path)
        .env("RPM_MIN_UPTIME", "10ms")
        .program(sockets([
            format!("metrics=127.0.0.1:{metrics}"),
            format!("main=127.0.0.1:{main},gate"),
        ]))
}

#[track_caller]
fn nobody_took_over(runtime: &Runtime) {
    let texts = runtime.texts();
    let over = texts.iter().any(|line| line.contains("took over"));
    assert!(!over, "{texts:?}");
}

#[test]
fn a_new_worker_is_ready_with_every_port_of_its_predecessor() {
    let (metrics, main, mut gate) = (free_port(), free_port(), Gate::new("known"));
    let runtime = two_ports(&gate, metrics, main).start();
    let first = runtime.wait_for_line(|line| line.contains("worker ready"));
    assert_eq!(field(&first, "by"), "listen");
    gate.open(1);
    let late = runtime.wait_for_line(|line| line.contains("a port was opened only after"));
    assert_eq!(field(&late, "port"), main.to_string());
    assert!(
        late.contains(&format!("RPM_PORTS={metrics},{main}")),
        "{late}"
    );
    runtime.signal(Signal::SIGHUP);
    let waits = runtime.wait_for_line(|line| line.contains("worker is not ready yet"));
    let missing = format!("it listens on port {metrics}, but not on port {main}");
    assert!(waits.contains(&missing), "{waits}");
    nobody_took_over(&runtime);
    assert!(ask(&mut connect_to(v4(main))).unwrap().starts_with("main "));
    gate.open(1);
    runtime.wait_for_line(|line| line.contains("reload finished result=success"));
    wait_ready(&runtime, 2);
    stop(runtime);
}

#[test]
fn a_restarted_worker_is_ready_with_every_port_of_the_one_before() {
    let (metrics, main, mut gate) = (free_port(), free_port(), Gate::new("restarted"));
    let runtime = two_ports(&gate, metrics, main).start();
    gate.open(1);
    runtime.wait_for_line(|line| line.contains("a port was opened only after"));
    let old = runtime.wait_workers(1)[0].pid;
    send(old, Signal::SIGKILL);
    let waits = runtime.wait_for_line(|line| line.contains("worker is not ready yet"));
    assert!(
        waits.contains(&format!("but not on port {main}")),
        "{waits}"
    );
    gate.open(1);
    wait_ready(&runtime, 2);
    stop(runtime);
}

/// It is not kept down for ever: what was only concluded may be wrong.
#[test]
fn a_worker_that_lacks_a_port_of_the_one_before_is_ready_in_the_end() {
    let (metrics, main, mut gate) = (free_port(), free_port(), Gate::new("lacks"));
    let runtime = two_ports(&gate, metrics, main)
        .env("RPM_READY_TIMEOUT", "1s")
        .start();
    gate.open(1);
    runtime.wait_for_line(|line| line.contains("a port was opened only after"));
    let old = runtime.wait_workers(1)[0].pid;
    send(old, Signal::SIGKILL);
    let lacks = runtime.wait_for_line(|line| line.contains("does not listen on all ports"));
    assert_eq!(field(&lacks, "lacks"), main.to_string(), "{lacks}");
    wait_ready(&runtime, 2);
    gate.open(1);
    stop(runtime);
}

#[test]
fn every_listed_port_is_waited_for() {
    let (metrics, main, mut gate) = (free_port(), free_port(), Gate::new("listed"));
    let runtime = two_ports(&gate, metrics, main)
        .env("RPM_PORTS", format!("127.0.0.1:{metrics},127.0.0.1:{main}"))
        .env("RPM_READY_TIMEOUT", "3s")
        .start();
    let late = runtime.wait_for_line(|line| line.contains("worker not ready within"));
    let missing = format!("it listens on port {metrics}, but not on port {main} (RPM_PORTS)");
    assert!(late.contains(&missing), "{late}");
    // The one that is stopped must not take the line.
    runtime.wait_for_lines(2, |line| line.starts_with("bound metrics "));
    gate.open(1);
    wait_ready(&runtime, 1);
    stop(runtime);
}

#[test]
fn the_port_that_the_environment_names_is_waited_for() {
    let (metrics, main, mut gate) = (free_port(), free_port(), Gate::new("named"));
    let runtime = two_ports(&gate, metrics, main)
        .env("PORT", main.to_string())
        .start();
    let waits = runtime.wait_for_line(|line| line.contains("worker is not ready yet"));
    assert!(
        waits.contains(&format!("but not on port {main}")),
        "{waits}"
    );
    assert_eq!(runtime.get("/readyz").status, 503);
    gate.open(1);
    let ready = runtime.wait_for_line(|line| line.contains("worker ready"));
    assert_eq!(field(&ready, "by"), "listen");
    stop(runtime);
}

#[test]
fn a_port_of_the_environment_that_nobody_uses_is_told_and_not_waited_for_again() {
    let (port, other) = (free_port(), free_port());
    let runtime = Runtime::builder()
        .env("RPM_READY_TIMEOUT", "1s")
        .env("RPM_MIN_UPTIME", "1ms")
        .env("PORT", other.to_string())
        .program(sockets([format!("a=127.0.0.1:{port}")]))
        .start();
    let told = runtime.wait_for_line(|line| line.contains("the port that PORT names"));
    let fields = (field(&told, "port"), field(&told, "listens"));
    assert_eq!(fields, (&*other.to_string(), &*port.to_string()), "{told}");
    wait_ready(&runtime, 1);
    runtime.signal(Signal::SIGHUP);
    let lines = runtime.wait_for_lines(2, |line| line.contains("worker ready"));
    assert!(
        field(&lines[1], "after").len() < "1000ms".len(),
        "{lines:?}"
    );
    stop(runtime);
}

#[test]
fn a_worker_on_another_port_than_its_siblings_is_not_ready() {
    let (port, other) = (free_port(), free_port());
    let [shared, free] = [port, other].map(|port| sockets([format!("a=127.0.0.1:{port}")]));
    let words = |words: &[std::ffi::OsString]| {
        let words: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
        words.join(" ")
    };
    let script = format!(
        "[ $RPM_INSTANCE = 0 ] && exec {}; exec {}",
        words(&shared),
        words(&free)
    );
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_READY_TIMEOUT", "1s")
        .env("RPM_MIN_UPTIME", "1ms")
        .program(["sh", "-c", &script])
        .start();
    let late = runtime.wait_for_line(|line| line.contains("worker not ready within"));
    assert!(late.contains("and the other workers on port"), "{late}");
    assert!(late.contains("RPM_EXEC_MODE=fork"), "{late}");
    stop(runtime);
}

/// The whole range of ports is for clients, so no source port is left that selects a worker: what cannot be asked is
/// told once, and a worker is ready when it listens.
#[test]
fn where_no_worker_can_be_asked_alone_readiness_health_and_metrics_say_so() {
    let range = "/proc/sys/net/ipv4/ip_local_port_range";
    let script = format!("ip link set lo up && echo '1024 65535' > {range} && exec \"$@\"");
    let port = free_port();
    for rule in ["http:/ready", "tcp"] {
        let runtime = Runtime::builder()
            .under(["unshare", "--net", "sh", "-c", &script, "sh"])
            .env("RPM_INSTANCES", "2")
            .env("RPM_READY", rule)
            .env("RPM_HEALTH", "tcp")
            .env("RPM_APP_METRICS", "/metrics")
            .program(sockets([format!("a=127.0.0.1:{port}")]))
            .start();
        let lines = runtime.wait_for_lines(2, |line| line.contains("worker ready"));
        assert!(
            lines.iter().all(|line| field(line, "by") == "listen"),
            "{lines:?}"
        );
        for told in [
            "RPM_READY: single workers cannot be reached here; a worker is ready when it listens",
            "RPM_HEALTH: single workers cannot be reached here",
            "RPM_APP_METRICS: single workers cannot be reached here",
        ] {
            runtime
                .wait_for_line(|line| line.contains(told) && line.contains("ip_local_port_range"));
        }
        let inside = File::open(format!("/proc/{}/ns/net", runtime.pid())).unwrap();
        let admin = runtime.admin();
        let status = thread::spawn(move || {
            setns(inside, CloneFlags::CLONE_NEWNET).unwrap();
            let mut status = None;
            until("the status is there", || {
                status = http_get(admin, "/status").ok();
                status.is_some()
            });
            status.unwrap().json()
        });
        let seen = &status.join().unwrap()["observation"];
        assert_eq!(
            (&seen["ready"], &seen["health"], &seen["app_metrics"]),
            (
                &"listen".into(),
                &"unavailable".into(),
                &"unavailable".into()
            ),
            "{seen}"
        );
        stop(runtime);
    }
}

/// Python's multiprocessing listens at a path with a random name, in each of its lives at another one.
#[test]
fn a_unix_path_with_another_name_in_each_life_is_not_expected_of_the_next_worker() {
    let port = free_port();
    let program = format!(
        "import multiprocessing.connection as mc, socket, threading\n\
         own = mc.Listener(family='AF_UNIX')\n\
         s = socket.create_server(('127.0.0.1', {port}), backlog=128)\n\
         while True:\n\
         \x20   c, _ = s.accept()\n\
         \x20   c.recv(64)\n\
         \x20   c.sendall(b'served')\n\
         \x20   c.close()\n"
    );
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("TMPDIR", scratch("random-path"))
        .env("RPM_MIN_UPTIME", "10ms")
        .program(["/usr/bin/python3", "-c", &program])
        .start();
    wait_ready(&runtime, 2);
    for _ in 0..2 {
        reload(&runtime);
    }
    let old = runtime.wait_workers(2)[0].pid;
    send(old, Signal::SIGKILL);
    wait_ready(&runtime, 7);
    let waited = |line: &String| line.contains("not ready") || line.contains("does not listen");
    assert!(!runtime.texts().iter().any(waited), "{}", runtime.shown());
    assert_eq!(ask(&mut connect_to(v4(port))).unwrap(), "served");
    stop(runtime);
}

/// Nothing keeps another process from the ports by which the runtime reaches one worker.
#[test]
fn a_reload_succeeds_while_another_process_listens_on_the_source_ports() {
    let script = "ip link set lo up && exec \"$@\"";
    let runtime = echo(free_port(), 2)
        .under(["unshare", "--net", "sh", "-c", script, "sh"])
        .env("RPM_READY", "http:/")
        .start();
    runtime.wait_for_lines(2, |line| line.contains("worker ready"));
    let inside = File::open(format!("/proc/{}/ns/net", runtime.pid())).unwrap();
    // The first ones above the range of clients, which is the default in a new network.
    let ports = 61_000..61_010_u16;
    let listen = ports.clone();
    let strangers = thread::spawn(move || {
        setns(inside, CloneFlags::CLONE_NEWNET).unwrap();
        let listen = listen.map(|port| TcpListener::bind(("0.0.0.0", port)).unwrap());
        listen.collect::<Vec<TcpListener>>()
    });
    let strangers = strangers.join().unwrap();
    runtime.signal(Signal::SIGHUP);
    let ended = runtime.wait_for_line(|line| line.contains("reload finished"));
    assert_eq!(field(&ended, "result"), "success", "{ended}");
    let told =
        runtime.wait_for_line(|line| line.contains("another process listens on a source port"));
    let taken: u16 = field(&told, "source_port").parse().unwrap();
    assert!(ports.contains(&taken), "{told}");
    assert!(told.contains("using others"), "{told}");
    drop(strangers);
    stop(runtime);
}
