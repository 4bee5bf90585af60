//! Reloads of all kinds of programs and environments: behind a shell, without a shared port, without steering, with
//! descriptors by activation, frozen, ignoring the stop signal, replaced on disk, in back-off.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::reloads::{pids, reload, reload_fails};
use crate::harness::shared_port::{
    self, connect_to_slot, field, freeze, gunicorn, sockets, stop, v4, wait_ready, wait_rotation,
    worker,
};
use crate::harness::status::{
    counter, drains, echo, exits, most_alive, status, wait_reload_ends, wait_status,
};
use crate::harness::{
    Builder, Connection, Runtime, Signal, example, free_port, free_ports, http_get, scratch,
    source, until,
};

/// Checks that a reload leaves nothing of the old workers: no shell, no child of one.
#[track_caller]
fn replaces_all(runtime: &Runtime) {
    let below = || -> BTreeSet<i32> {
        let all = runtime.alive().into_iter().map(|process| process.pid);
        all.filter(|pid| *pid != runtime.pid()).collect()
    };
    let before = below();
    reload(runtime);
    until("nothing of the old generation is left", || {
        below().is_disjoint(&before)
    });
}

#[test]
fn a_program_behind_a_shell_is_replaced_with_its_shell() {
    let port = free_port();
    let server = source("examples/node/server.js");
    // Without the last word the shell would exec the program.
    let line = format!("node {}; true", server.display());
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("PORT", port.to_string())
        .env("RPM_READY", "listen")
        .program(["sh", "-c", &line])
        .start();
    wait_ready(&runtime, 2);
    assert_eq!(runtime.alive().len(), 5, "{}", runtime.shown());
    replaces_all(&runtime);
    assert_eq!(runtime.alive().len(), 5, "{}", runtime.shown());
    assert_eq!(http_get(v4(port), "/").unwrap().status, 200);
    assert_eq!(most_alive(&runtime), 3);
    stop(runtime);
}

#[test]
fn npm_start_is_reloaded() {
    let port = free_port();
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("PORT", port.to_string())
        .env("RPM_READY", "listen")
        .env("HOME", scratch("npm"))
        .directory(source("examples/node"))
        .program(["npm", "start"])
        .start();
    wait_ready(&runtime, 2);
    replaces_all(&runtime);
    assert_eq!(http_get(v4(port), "/").unwrap().status, 200);
    stop(runtime);
}

/// Two processes cannot bind the same port by themselves: each leaves before its successor starts.
#[test]
fn without_a_shared_port_each_worker_is_replaced_in_its_place() {
    let port = free_ports(2);
    let runtime = echo(port, 2)
        .env("RPM_EXEC_MODE", "fork")
        .env("RPM_INCREMENT_VAR", "PORT")
        .env("RPM_MIN_UPTIME", "200ms")
        .start();
    let answers = |slot: u16| {
        let reply = http_get(v4(port + slot), "/").ok();
        let slot = slot.to_string();
        reply.filter(|reply| reply.json()["slot"].as_str() == Some(&slot))
    };
    for slot in 0..2 {
        until("it serves", || answers(slot).is_some());
    }
    wait_ready(&runtime, 2);
    reload(&runtime);
    assert_eq!(most_alive(&runtime), 2, "{}", runtime.shown());
    for slot in 0..2 {
        until("it serves", || answers(slot).is_some());
        assert_eq!(answers(slot).unwrap().json()["generation"], "1");
    }
    // New connections cannot be kept away, so the drain does not wait.
    assert_eq!(
        counter(&runtime, "rpm_worker_drain_duration_seconds_count"),
        0
    );
    stop(runtime);
}

/// All workers serve the same socket, so no worker can be kept from getting connections: only the stop signal and the
/// grace apply.
#[test]
fn without_steering_workers_are_replaced_by_signal_alone() {
    let port = free_port();
    let runtime = Runtime::builder()
        .under([example("deny").into(), OsString::from("steering")])
        .env("RPM_INSTANCES", "3")
        .env("RPM_READY", "listen")
        .env("PORT", port.to_string())
        .arg(example("echo_server"))
        .start();
    wait_ready(&runtime, 3);
    let idle: Vec<Connection> = (0..6)
        .map(|_| {
            let mut client = Connection::open(v4(port)).unwrap();
            client.get("/").unwrap();
            client
        })
        .collect();
    reload(&runtime);
    drop(idle);
    assert_eq!(most_alive(&runtime), 4, "{}", runtime.shown());
    assert_eq!(
        counter(&runtime, "rpm_worker_drain_duration_seconds_count"),
        0
    );
    assert_eq!(exits(&runtime, "reload"), 3);
    for _ in 0..20 {
        let reply = http_get(v4(port), "/").unwrap();
        assert_eq!(reply.json()["generation"], "1");
    }
    stop(runtime);
}

/// gunicorn, which supports LISTEN_FDS, with its worker below it.
#[test]
fn gunicorn_with_its_listener_by_activation_is_reloaded() {
    let port = free_port();
    let runtime = gunicorn(port, 2).start();
    wait_ready(&runtime, 2);
    // From its own queue to the last listener: each is handed over in turn.
    for _ in 0..3 {
        replaces_all(&runtime);
    }
    let mut seen = BTreeSet::new();
    until("both answer", || {
        let reply = http_get(v4(port), "/").unwrap();
        seen.insert(reply.json()["slot"].as_str().unwrap().to_owned());
        seen.len() == 2
    });
    stop(runtime);
}

#[test]
fn a_program_with_descriptors_by_activation_gets_the_spare_listener() {
    let port = free_port();
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_HANDOVER", "activation")
        .env("RPM_READY", "tcp")
        .env("RPM_PORTS", format!("127.0.0.1:{port}"))
        .program(sockets(["activated"]))
        .start();
    wait_ready(&runtime, 2);
    wait_rotation(&runtime, &[0, 1]);
    reload(&runtime);
    wait_rotation(&runtime, &[0, 1]);
    // The last one is for clients that wait while no worker is ready.
    assert_eq!(status(&runtime).order(), [Some(1), None, Some(0), None]);
    shared_port::all_answer(v4(port), &format!("port-{port}"), 2);
    stop(runtime);
}

fn short_times(builder: Builder) -> Builder {
    builder
        .env("RPM_READY", "listen")
        .env("RPM_DRAIN_TIMEOUT", "300ms")
        .env("RPM_STOP_TIMEOUT", "700ms")
}

/// Its queue does not empty, so the reload waits for the whole limit. A waiting client is served by another worker.
#[test]
fn a_frozen_worker_holds_the_reload_up_for_its_time_only() {
    let port = free_port();
    let runtime = short_times(echo(port, 2)).start();
    wait_ready(&runtime, 2);
    wait_rotation(&runtime, &[0, 1]);
    let frozen = worker(&runtime, 0);
    freeze(frozen);
    let mut waiting = connect_to_slot(v4(port), 0, 1);
    waiting
        .write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        .unwrap();
    reload(&runtime);
    // Its client is passed on, and then it has no request in work. If the other old worker answers that client, it keeps
    // the connection too, because the client does not close it.
    let ends = drains(&runtime, "timeout") + drains(&runtime, "quiet");
    assert!([1, 2].contains(&ends), "{}", runtime.shown());
    let emptied = format!("worker has no connections left slot=0 pid={frozen} ");
    assert!(!runtime.shown().contains(&emptied), "{}", runtime.shown());
    let reply = Connection::from(waiting).reply().unwrap();
    assert_ne!(reply.pid(), i64::from(frozen));
    stop(runtime);
}

#[test]
fn a_worker_that_is_deaf_to_the_stop_signal_is_killed_and_the_reload_ends() {
    let port = free_port();
    let line = format!("trap '' TERM; exec {}", example("echo_server").display());
    let mut runtime = short_times(Runtime::builder())
        .env("RPM_INSTANCES", "2")
        .env("PORT", port.to_string())
        .program(["sh", "-c", &line])
        .start();
    wait_ready(&runtime, 2);
    reload(&runtime);
    let killed = runtime.wait_for_lines(2, |line| line.contains("did not stop in time"));
    assert!(killed.iter().all(|line| field(line, "grace") == "700ms"));
    assert_eq!(exits(&runtime, "reload"), 2);
    assert_eq!(http_get(v4(port), "/").unwrap().status, 200);
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(1));
}

/// Replaces the file, as a release does: running processes keep the old one.
fn release(program: &Path, version: &str) {
    let script = format!(
        "#!/bin/sh\necho version {version}\nexport VERSION={version}\nexec {}\n",
        example("echo_server").display()
    );
    let new = program.with_extension("new");
    fs::write(&new, script).unwrap();
    fs::set_permissions(&new, Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, program).unwrap();
}

#[test]
fn what_stands_in_the_place_of_the_program_is_what_runs() {
    let port = free_port();
    let directory = scratch("release");
    let program = directory.join("server");
    release(&program, "1");
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("PORT", port.to_string())
        .env("RPM_READY", "listen")
        .directory(&directory)
        .program(["./server"])
        .start();
    wait_ready(&runtime, 2);
    let version = || http_get(v4(port), "/env/VERSION").unwrap().text();
    assert_eq!(version(), "1");
    release(&program, "2");
    reload(&runtime);
    for _ in 0..10 {
        assert_eq!(version(), "2");
    }
    // The file is gone: the new version cannot be executed, and the old workers stay.
    fs::remove_file(&program).unwrap();
    reload_fails(&runtime);
    runtime.wait_for_line(|line| line.contains("cannot execute the program"));
    assert_eq!(version(), "2");
    stop(runtime);
}

/// Slot 1 has no worker and waits for hours; the others serve.
fn in_backoff(fault: &Path, port: u16) -> Runtime {
    fs::write(fault, "").unwrap();
    let line = format!(
        "test \"$NODE_APP_INSTANCE\" = 1 && test -e {} && exit 3; exec {}",
        fault.display(),
        example("echo_server").display()
    );
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "3")
        .env("PORT", port.to_string())
        .env("RPM_READY", "listen")
        .env("RPM_BACKOFF_MIN", "2h")
        .env("RPM_BACKOFF_MAX", "2h")
        .program(["sh", "-c", &line])
        .start();
    wait_ready(&runtime, 2);
    wait_status(&runtime, "slot 1 is in back-off", |seen| {
        seen.slots[1].state == "backoff"
    });
    runtime
}

#[test]
fn a_reload_starts_the_slot_that_waits_in_backoff() {
    let port = free_port();
    let fault = scratch("mended").join("fault");
    let runtime = in_backoff(&fault, port);
    fs::remove_file(&fault).unwrap();
    let mark = runtime.mark();
    runtime.signal(Signal::SIGHUP);
    let ended = wait_reload_ends(&runtime, mark);
    assert_eq!(field(&ended, "result"), "success");
    assert_eq!(field(&ended, "replaced"), "3");
    wait_rotation(&runtime, &[0, 1, 2]);
    let seen = status(&runtime);
    assert!(seen.slots.iter().all(|worker| worker.generation == 1));
    stop(runtime);
}

/// The new version is tried on the empty slot first, so that no serving worker is put at risk.
#[test]
fn a_reload_that_does_not_mend_the_slot_in_backoff_fails_before_it_touches_another() {
    let port = free_port();
    let fault = scratch("not-mended").join("fault");
    let runtime = in_backoff(&fault, port);
    let old = pids(&runtime);
    let mark = runtime.mark();
    runtime.signal(Signal::SIGHUP);
    let ended = wait_reload_ends(&runtime, mark);
    assert_eq!(field(&ended, "result"), "failure");
    assert_eq!(field(&ended, "replaced"), "0");
    until("only the old ones are left", || pids(&runtime) == old);
    assert_eq!(http_get(v4(port), "/").unwrap().status, 200);
    stop(runtime);
}
