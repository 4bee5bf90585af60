//! The end of a serving worker: requests in progress are finished before the program gets a signal, and other clients
//! lose no more than an idle connection. The program has no signal handler, so its stop signal ends it at once.

use std::io::{Read, Write};
use std::time::Duration;

use crate::harness::reloads::reload;
use crate::harness::shared_port::{connect_to, field, stop, v4, wait_ready, worker};
use crate::harness::status::{Status, counter, drains, echo, wait_reload_ends, wait_status};
use crate::harness::{Builder, Connection, Runtime, Signal, example, free_port, http_get};

const DRAINED: &str = "rpm_worker_drain_duration_seconds_count";

/// One ready worker of `examples/echo_server`.
fn one(port: u16, settings: &[(&str, &str)]) -> Runtime {
    let service = echo(port, 1).env("RPM_READY", "listen");
    let settings = settings.iter();
    started(settings.fold(service, |service, (name, value)| service.env(name, value)))
}

fn started(service: Builder) -> Runtime {
    let runtime = service.start();
    wait_ready(&runtime, 1);
    wait_status(&runtime, "it serves", |seen| seen.ready() == 1);
    runtime
}

/// A client that was answered and keeps its connection.
fn idle(port: u16) -> Connection {
    let mut client = Connection::open(v4(port)).unwrap();
    client.get("/").unwrap();
    client
}

/// A client whose answer takes `milliseconds`; the worker already has its request.
fn in_work(port: u16, milliseconds: u32, connection: &str) -> Connection {
    let mut client = connect_to(v4(port));
    let head = format!("GET /slow/{milliseconds} HTTP/1.1\r\nConnection: {connection}\r\n\r\n");
    client.write_all(head.as_bytes()).unwrap();
    client.into()
}

/// Whether the server has closed the connection.
fn is_cut(mut client: Connection) -> bool {
    client.stream().read(&mut [0]).is_ok_and(|count| count == 0)
}

fn millis(line: &str, name: &str) -> u64 {
    let value = field(line, name);
    let seconds = value.strip_suffix("ms").map_or_else(
        || value.trim_end_matches('s').parse::<u64>().unwrap() * 1000,
        |millis| millis.parse().unwrap(),
    );
    Duration::from_millis(seconds)
        .as_millis()
        .try_into()
        .unwrap()
}

/// A worker drains.
fn drains_now(seen: &Status) -> bool {
    seen.retiring
        .iter()
        .any(|worker| worker.state == "draining")
}

#[test]
fn an_idle_connection_holds_a_worker_until_the_drain_is_over_and_is_cut_between_two_requests() {
    let port = free_port();
    let runtime = one(port, &[("RPM_DRAIN_TIMEOUT", "1500ms")]);
    let old = worker(&runtime, 0);
    let mut client = idle(port);
    runtime.signal(Signal::SIGHUP);
    wait_status(&runtime, "the old one drains", drains_now);
    // The client is served as long as it sends requests, and new clients go to the new worker.
    assert_eq!(client.get("/").unwrap().pid(), i64::from(old));
    assert_ne!(http_get(v4(port), "/").unwrap().pid(), i64::from(old));
    let cut = runtime.wait_for_line(|line| line.contains("none has a request in work"));
    assert_eq!(field(&cut, "pid"), old.to_string());
    assert!(millis(&cut, "took") >= 1500, "{cut}");
    wait_reload_ends(&runtime, 0);
    assert!(is_cut(client));
    assert_eq!(drains(&runtime, "quiet"), 1);
    assert_eq!(counter(&runtime, DRAINED), 1);
    stop(runtime);
}

#[test]
fn a_client_that_leaves_ends_the_drain() {
    let port = free_port();
    let runtime = one(port, &[("RPM_DRAIN_TIMEOUT", "1h")]);
    let client = idle(port);
    runtime.signal(Signal::SIGHUP);
    wait_status(&runtime, "the old one drains", drains_now);
    drop(client);
    wait_reload_ends(&runtime, 0);
    assert_eq!(drains(&runtime, "empty"), 1);
    stop(runtime);
}

#[test]
fn a_request_in_work_is_answered_before_the_worker_is_told_to_stop() {
    let port = free_port();
    let runtime = one(port, &[("RPM_DRAIN_TIMEOUT", "1h")]);
    let old = worker(&runtime, 0);
    let mut client = in_work(port, 2000, "close");
    reload(&runtime);
    assert_eq!(client.reply().unwrap().pid(), i64::from(old));
    assert_eq!(drains(&runtime, "empty"), 1);
    stop(runtime);
}

/// The drain's time limit passes before the answer. Then the runtime waits for a quiet moment, which comes after the
/// answer.
#[test]
fn a_request_in_work_outlives_the_drain_by_the_grace() {
    let port = free_port();
    let runtime = one(port, &[("RPM_DRAIN_TIMEOUT", "300ms")]);
    let old = worker(&runtime, 0);
    let mut client = in_work(port, 2000, "keep-alive");
    reload(&runtime);
    assert_eq!(client.reply().unwrap().pid(), i64::from(old));
    assert_eq!(drains(&runtime, "quiet"), 1, "{}", runtime.shown());
    assert!(is_cut(client));
    stop(runtime);
}

/// Everything has a time limit: a request that does not end within drain and grace is cut.
#[test]
fn a_request_that_never_ends_is_cut_when_drain_and_grace_are_over() {
    let port = free_port();
    let settings = [
        ("RPM_DRAIN_TIMEOUT", "300ms"),
        ("RPM_STOP_TIMEOUT", "500ms"),
    ];
    let runtime = one(port, &settings);
    let client = in_work(port, 3_600_000, "close");
    reload(&runtime);
    assert_eq!(drains(&runtime, "timeout"), 1);
    assert!(is_cut(client));
    stop(runtime);
}

/// The connections belong to a child of the worker.
#[test]
fn a_request_in_work_behind_a_shell_is_answered() {
    let port = free_port();
    let line = format!("{}; true", example("echo_server").display());
    let service = Runtime::builder()
        .env("PORT", port.to_string())
        .env("RPM_READY", "listen")
        .program(["sh", "-c", &line]);
    let runtime = started(service);
    let mut client = in_work(port, 1500, "close");
    reload(&runtime);
    assert_eq!(client.reply().unwrap().status, 200);
    assert_eq!(drains(&runtime, "empty"), 1, "{}", runtime.shown());
    stop(runtime);
}

#[test]
fn without_a_drain_the_worker_is_told_to_stop_at_once() {
    let port = free_port();
    let runtime = one(port, &[("RPM_DRAIN_TIMEOUT", "0s")]);
    let (idle, busy) = (idle(port), in_work(port, 3_600_000, "close"));
    reload(&runtime);
    assert!(is_cut(idle) && is_cut(busy));
    assert_eq!(counter(&runtime, DRAINED), 0);
    stop(runtime);
}

#[test]
fn a_worker_that_ends_by_itself_while_it_drains_is_counted_as_that() {
    let port = free_port();
    let runtime = one(port, &[("RPM_DRAIN_TIMEOUT", "1h")]);
    let mut client = idle(port);
    runtime.signal(Signal::SIGHUP);
    wait_status(&runtime, "the old one drains", drains_now);
    client
        .stream()
        .write_all(b"GET /exit/7 HTTP/1.1\r\n\r\n")
        .unwrap();
    wait_reload_ends(&runtime, 0);
    assert_eq!(drains(&runtime, "exited"), 1);
    stop(runtime);
}

/// SIGTERM during the drain of a reload: the stop has a drain of its own, and the reload's drain counts as ended by the
/// stop.
#[test]
fn a_stop_in_the_middle_of_a_drain_waits_for_what_is_in_work_there() {
    let port = free_port();
    let mut runtime = one(port, &[("RPM_DRAIN_TIMEOUT", "1h")]);
    let mut client = in_work(port, 2000, "close");
    runtime.signal(Signal::SIGHUP);
    wait_status(&runtime, "the old one drains", drains_now);
    runtime.signal(Signal::SIGTERM);
    assert_eq!(client.reply().unwrap().status, 200);
    assert_eq!(runtime.wait_exit().code(), Some(0), "{}", runtime.shown());
    let ended = runtime.wait_for_line(|line| line.contains("reload finished"));
    assert_eq!(field(&ended, "result"), "superseded");
}

#[test]
fn a_stop_waits_for_a_request_in_work_and_for_no_idle_connection() {
    let port = free_port();
    let mut runtime = one(port, &[("RPM_DRAIN_TIMEOUT", "1h")]);
    let kept: Vec<Connection> = (0..5).map(|_| idle(port)).collect();
    let mut busy = in_work(port, 2000, "keep-alive");
    runtime.signal(Signal::SIGTERM);
    assert_eq!(busy.reply().unwrap().status, 200, "{}", runtime.shown());
    // The limit is an hour, so the drain ended because the request did.
    assert_eq!(runtime.wait_exit().code(), Some(0));
    assert!(kept.into_iter().all(is_cut));
}

#[test]
fn the_last_lines_tell_how_long_each_part_of_the_stop_took() {
    let port = free_port();
    let settings = [
        ("RPM_SHUTDOWN_DELAY", "300ms"),
        ("RPM_DRAIN_TIMEOUT", "1h"),
        ("RPM_STOP_TIMEOUT", "600ms"),
    ];
    let line = format!("trap '' TERM; exec {}", example("echo_server").display());
    let service = Runtime::builder()
        .env("PORT", port.to_string())
        .program(["sh", "-c", &line]);
    let settings = settings.iter();
    let service = settings.fold(service, |service, (name, value)| service.env(name, value));
    let mut runtime = started(service);
    let mut busy = in_work(port, 4000, "close");
    runtime.signal(Signal::SIGTERM);
    assert_eq!(busy.reply().unwrap().status, 200);
    // The program ignores its stop signal.
    assert_eq!(runtime.wait_exit().code(), Some(1));
    let texts = runtime.texts();
    let [.., told, last] = &texts[..] else {
        panic!("{texts:?}")
    };
    assert!(told.contains("all workers have ended"), "{told}");
    assert!(last.contains("stopped") || last.contains("ended"), "{last}");
    let [delay, drain, stop, total] =
        ["delay", "drain", "stop", "total"].map(|part| millis(told, part));
    assert!(delay >= 300 && drain >= 500 && stop >= 600, "{told}");
    // Each is cut by itself, and to whole seconds if it is long.
    assert!(total.abs_diff(delay + drain + stop) < 3000, "{told}");
    let said = |part: &str| texts.iter().any(|line| line.contains(part));
    assert!(said(
        "not ready any more, still serving (RPM_SHUTDOWN_DELAY)"
    ));
    assert!(said(
        "waiting until no request is in work (RPM_DRAIN_TIMEOUT)"
    ));
}

/// A program that makes itself unreadable by that line as soon as it listens; it keeps every connection open.
fn closed(port: u16, how: &str, settings: &[(&str, &str)]) -> Runtime {
    let program = format!(
        "import ctypes, os, socket\n\
         s = socket.create_server(('0.0.0.0', {port}))\n\
         {how}\n\
         print('closed', flush=True)\n\
         kept = []\n\
         while True:\n\
         \x20   kept.append(s.accept()[0])\n\
         \x20   if kept[-1].recv(4096): kept[-1].sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')\n"
    );
    let service = Runtime::builder()
        // Each look reads all processes: here, as in a container, only ours exist.
        .pid1()
        // Root may inspect other processes only because of this capability.
        .under(["setpriv", "--bounding-set=-sys_ptrace", "--"])
        .env("RPM_READY", "listen")
        .program(["/usr/bin/python3", "-c", &program]);
    let settings = settings.iter();
    let runtime =
        started(settings.fold(service, |service, (name, value)| service.env(name, value)));
    runtime.wait_for_line(|line| line == "closed");
    runtime
}

const UNDUMPABLE: &str = "ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)";
const ANOTHER_UID: &str = "os.setresuid(65534, 65534, 65534)";

/// Its connection belongs to no visible process, so it counts as the worker's: it holds the drain up to its limit, and is
/// cut between two requests.
#[test]
fn an_idle_connection_of_a_worker_that_cannot_be_looked_into_is_cut_between_two_requests() {
    for how in [UNDUMPABLE, ANOTHER_UID] {
        let port = free_port();
        let runtime = closed(port, how, &[("RPM_DRAIN_TIMEOUT", "1500ms")]);
        let client = idle(port);
        reload(&runtime);
        let cut = runtime.wait_for_line(|line| line.contains("none has a request in work"));
        assert!(millis(&cut, "took") >= 1500, "{cut}");
        assert_eq!(field(&cut, "unseen"), "1");
        assert!(cut.contains("cannot be inspected"), "{cut}");
        assert_eq!(drains(&runtime, "quiet"), 1);
        assert!(is_cut(client));
        stop(runtime);
    }
}

/// The kernel tells that there is no connection on the port. It leaves as any other, after five looks, and need not be
/// left alone for a second, as where connections are not told at all.
#[test]
fn a_worker_that_cannot_be_looked_into_and_has_no_connection_leaves_at_once() {
    let port = free_port();
    let runtime = closed(port, UNDUMPABLE, &[("RPM_DRAIN_TIMEOUT", "1h")]);
    reload(&runtime);
    let line = runtime.wait_for_line(|line| line.contains("worker has no connections left"));
    assert!(!line.contains(BLIND), "{line}");
    assert_eq!(drains(&runtime, "empty"), 1);
    stop(runtime);
}

const BLIND: &str =
    "the kernel does not report connections here; only its accept queue was watched";

/// Neither netlink nor /proc/net.
#[test]
fn where_no_connections_are_told_a_drain_says_so_and_takes_a_second() {
    let port = free_port();
    let bare = "mount -t proc -o subset=pid proc /proc && exec \"$@\"";
    let service = echo(port, 1)
        .pid1()
        .under(["unshare", "--mount", "sh", "-c", bare, "sh"])
        .under([example("deny").into_os_string(), "sock_diag".into()])
        .env("RPM_READY", "listen");
    let runtime = started(service);
    reload(&runtime);
    let line = runtime.wait_for_line(|line| line.contains("worker has no connections left"));
    assert!(
        line.contains(BLIND) && millis(&line, "took") >= 1000,
        "{line}"
    );
    stop(runtime);
}
