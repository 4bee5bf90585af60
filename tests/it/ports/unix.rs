//! Unix paths: one for all workers, and what a program sees of it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};

use crate::harness::reloads::reload;
use crate::harness::shared_port::{Gate, freeze, send, stop, wait_ready, worker};
use crate::harness::unix_paths::{UnixProgram, connect_to_path, get_path, socket_path};
use crate::harness::{Connection, Runtime, Signal, free_port, until};

/// Asks until `count` workers have answered.
fn answerers(program: &UnixProgram, count: usize) -> BTreeSet<i64> {
    let mut seen = BTreeSet::new();
    until(&format!("{count} workers answer"), || {
        seen.insert(get_path(&program.path).unwrap().pid());
        seen.len() == count
    });
    seen
}

#[test]
fn all_workers_serve_one_unix_path_in_turn() {
    let program = UnixProgram::node("unix-turn");
    let runtime = program.workers(3).start();
    wait_ready(&runtime, 3);
    let pids = answerers(&program, 3);
    // Each connection that arrives passes the path on, so none is far behind.
    let mut counts = std::collections::BTreeMap::<i64, u32>::new();
    for _ in 0..90 {
        *counts
            .entry(get_path(&program.path).unwrap().pid())
            .or_default() += 1;
    }
    assert_eq!(counts.keys().copied().collect::<BTreeSet<i64>>(), pids);
    assert!(counts.values().all(|count| *count >= 10), "{counts:?}");
    let status = runtime.get("/status").text();
    let shown = format!("unix:{}", program.path.display());
    assert!(status.contains(&shown), "{status}");
    stop(runtime);
}

#[test]
fn a_crashed_workers_clients_on_a_unix_path_wait_for_its_successor() {
    let program = UnixProgram::node("unix-crash");
    let runtime = program.workers(1).start();
    wait_ready(&runtime, 1);
    let pid = worker(&runtime, 0);
    freeze(pid);
    let clients: Vec<_> = (0..5)
        .map(|_| connect_to_path(&program.path).unwrap())
        .collect();
    send(pid, Signal::SIGKILL);
    for client in clients {
        let reply = Connection::from(client).get("/?nonce=n").unwrap();
        assert_ne!(reply.pid(), i64::from(pid));
    }
    stop(runtime);
}

/// gunicorn removes its path at SIGTERM; after a reload that was the end of it.
#[test]
fn a_unix_path_is_there_after_a_reload_and_gone_after_the_stop() {
    let program = UnixProgram::gunicorn("unix-there");
    let runtime = program.workers(1).start();
    wait_ready(&runtime, 1);
    for _ in 0..2 {
        reload(&runtime);
        assert_eq!(get_path(&program.path).unwrap().status, 200);
    }
    stop(runtime);
    let left: Vec<_> = fs::read_dir(program.directory()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_program_that_does_not_remove_its_unix_path_leaves_it() {
    let program = UnixProgram::node("unix-leaves");
    // With a channel the program leaves the removal to the runtime.
    let runtime = program.workers(2).env("RPM_NODE", "off").start();
    wait_ready(&runtime, 2);
    stop(runtime);
    let left: Vec<_> = fs::read_dir(program.directory()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let kind = fs::symlink_metadata(&program.path).unwrap().file_type();
    assert!(kind.is_socket());
    assert!(UnixStream::connect(&program.path).is_err());
}

/// uvicorn sets the mode after it listens, at the path: during a reload that is the file of the old worker.
#[test]
fn the_mode_that_a_program_gives_its_unix_path_survives_a_reload() {
    let program = UnixProgram::uvicorn("unix-mode");
    let runtime = program.workers(1).start();
    wait_ready(&runtime, 1);
    let mode = || fs::metadata(&program.path).unwrap().permissions().mode() & 0o777;
    until("the program has set the mode", || mode() == 0o666);
    for _ in 0..2 {
        reload(&runtime);
        assert_eq!(mode(), 0o666);
    }
    stop(runtime);
}

/// As long as one process alone uses a path, nothing is beside it, and closing it removes it.
#[test]
fn a_unix_path_of_one_worker_looks_as_without_the_runtime() {
    let program = UnixProgram::gunicorn("unix-own");
    let runtime = program.workers(1).start();
    wait_ready(&runtime, 1);
    let names: Vec<_> = fs::read_dir(program.directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["a.sock"]);
    stop(runtime);
}

/// A program that does not remove the file of an earlier life fails, as it does without the runtime.
#[test]
fn a_unix_path_that_somebody_else_has_is_not_taken() {
    let path = socket_path("unix-taken");
    let other = UnixListener::bind(&path).unwrap();
    let script = format!(
        "import socket; s = socket.socket(socket.AF_UNIX)\ntry:\n  s.bind('{}')\nexcept OSError as e:\n  print('errno', e.errno, flush=True)\nimport time; time.sleep(60)",
        path.display()
    );
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .program(["/usr/bin/python3", "-c", &script])
        .start();
    runtime.wait_for_lines(2, |line| line == "errno 98");
    drop(other);
    stop(runtime);
}

/// RPM_PORTS names the path: clients wait while no worker listens, and are answered when one does.
#[test]
fn early_clients_of_a_listed_unix_path_wait() {
    let program = UnixProgram::node("unix-early");
    let mut gate = Gate::new("unix-gate");
    let runtime = UnixProgram::started_by(2, gate.before(program.words()))
        .env("RPM_PORTS", format!("unix:{}", program.path.display()))
        .start();
    runtime.wait_for_lines(2, |line| line == "waiting");
    let clients: Vec<_> = (0..4)
        .map(|_| connect_to_path(&program.path).unwrap())
        .collect();
    gate.open(2);
    for client in clients {
        assert_eq!(
            Connection::from(client).get("/?nonce=n").unwrap().status,
            200
        );
    }
    wait_ready(&runtime, 2);
    answerers(&program, 2);
    stop(runtime);
}

#[test]
fn a_unix_path_that_is_not_listed_is_left_alone() {
    let program = UnixProgram::gunicorn("unix-unlisted");
    let port = free_port();
    let runtime = program
        .workers(1)
        .env("RPM_PORTS", port.to_string())
        .env("RPM_READY", "delay:10ms")
        .start();
    until("gunicorn serves its path", || {
        get_path(&program.path).is_ok()
    });
    let lines = runtime.texts();
    assert!(
        !lines
            .iter()
            .any(|line| line.contains("unix:") && line.contains("sharing"))
    );
    stop(runtime);
    assert!(!program.path.exists());
}

/// As php-fpm does: it connects first, and ends if somebody answers. The runtime keeps the listener of a crashed worker,
/// which answers.
#[test]
fn a_program_that_looks_whether_somebody_answers_comes_back_after_a_crash() {
    let path = socket_path("unix-looks");
    let script = format!(
        "import os, socket, sys\np = '{}'\ns = socket.socket(socket.AF_UNIX)\ntry:\n  s.connect(p)\n  sys.exit('somebody answers')\nexcept OSError:\n  pass\ns.close()\nif os.path.exists(p): os.unlink(p)\ns = socket.socket(socket.AF_UNIX)\ns.bind(p); s.listen(5)\nprint('serves', flush=True)\nwhile True: s.accept()[0].close()",
        path.display()
    );
    let runtime = Runtime::builder()
        .env("RPM_READY", "listen")
        .program(["/usr/bin/python3", "-c", &script])
        .start();
    wait_ready(&runtime, 1);
    // It says so after it listens.
    runtime.wait_for_line(|line| line == "serves");
    send(worker(&runtime, 0), Signal::SIGKILL);
    let waits = UnixStream::connect(&path).unwrap();
    runtime.wait_for_lines(2, |line| line == "serves");
    // Who waited is served by the one that comes up in the end.
    assert_eq!((&waits).read(&mut [0]).unwrap(), 0);
    let told = |line: &String| line.contains("from now on its workers find nobody there");
    assert_eq!(runtime.texts().iter().filter(|line| told(line)).count(), 1);
    stop(runtime);
}
