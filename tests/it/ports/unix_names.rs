//! Unix paths whose file is changed by somebody, and programs that do something unusual with theirs.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use crate::harness::reloads::reload;
use crate::harness::shared_port::{send, stop, wait_ready, worker};
use crate::harness::unix_paths::{UnixProgram, get_path, socket_path};
use crate::harness::{Builder, Runtime, Signal, scratch, until};

/// The words of a Python program: `bind` makes the socket `s`, which is then served.
pub fn words(path: &Path, bind: &str) -> Vec<OsString> {
    let script = format!(
        "import os, signal, socket, sys\np = '{}'\n{bind}\ns.listen(16)\nwhile True:\n  c, _ = s.accept()\n  c.recv(1000)\n  body = b'{{\"pid\": %d, \"nonce\": \"n\"}}' % os.getpid()\n  c.sendall(b'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(body) + body)\n  c.close()",
        path.display()
    );
    ["/usr/bin/python3", "-c", &script]
        .map(OsString::from)
        .into()
}

pub fn python(count: usize, path: &Path, bind: &str) -> Builder {
    UnixProgram::started_by(count, words(path, bind))
}

/// Removes its path first, as most programs do.
const PLAIN: &str =
    "if os.path.exists(p): os.unlink(p)\ns = socket.socket(socket.AF_UNIX)\ns.bind(p)";

/// At the first start nobody has the path yet. The removal by one worker must not take away what another has just bound.
/// Each of many paths is one try.
#[test]
fn workers_that_remove_and_bind_unix_paths_at_the_same_moment_all_serve_them() {
    const WORKERS: usize = 4;
    const PATHS: usize = 12;
    let directory = scratch("unix-moment");
    let at = |number: usize| directory.join(format!("{number}.sock"));
    // Half of them are there already, left by an earlier container.
    for number in 0..PATHS / 2 {
        drop(UnixListener::bind(at(number)).unwrap());
    }
    let script = format!(
        "import os, select, socket\nd = '{}'\nall = []\ndef everybody(n):\n  b = os.open('%s/%d.count' % (d, n), os.O_CREAT | os.O_APPEND | os.O_WRONLY)\n  os.write(b, b'.')\n  while os.fstat(b).st_size < {WORKERS}: pass\nfor n in range({PATHS}):\n  p = '%s/%d.sock' % (d, n)\n  everybody(n)\n  try: os.unlink(p)\n  except FileNotFoundError: pass\n  s = socket.socket(socket.AF_UNIX)\n  s.bind(p)\n  all.append(s)\nfor s in all: s.listen(16)\nprint('serves', flush=True)\nwhile True:\n  for s in select.select(all, [], [])[0]:\n    s.setblocking(False)\n    try: c, _ = s.accept()\n    except BlockingIOError: continue\n    c.sendall(str(os.getpid()).encode())\n    c.close()",
        directory.display()
    );
    let runtime = UnixProgram::started_by(
        WORKERS,
        ["/usr/bin/python3", "-c", &script]
            .map(OsString::from)
            .into(),
    )
    .start();
    runtime.wait_for_lines(WORKERS, |line| line == "serves");
    wait_ready(&runtime, WORKERS);
    for number in 0..PATHS {
        let mut seen = BTreeSet::new();
        until("each worker serves the path", || {
            let mut pid = String::new();
            let mut client = UnixStream::connect(at(number)).unwrap();
            client.read_to_string(&mut pid).unwrap();
            seen.insert(pid);
            seen.len() == WORKERS
        });
    }
    assert!(
        !runtime.shown().contains("another name"),
        "{}",
        runtime.shown()
    );
    stop(runtime);
}

fn answers(path: &Path) -> i64 {
    let reply = get_path(path).unwrap();
    assert_eq!(reply.status, 200);
    reply.pid()
}

/// There is nothing from which the path could be made again: the next worker opens it anew.
#[test]
fn a_unix_path_that_somebody_removed_is_there_after_a_reload() {
    let path = socket_path("unix-removed");
    let runtime = python(1, &path, PLAIN).start();
    wait_ready(&runtime, 1);
    fs::remove_file(&path).unwrap();
    for _ in 0..2 {
        let before = worker(&runtime, 0);
        reload(&runtime);
        assert_ne!(answers(&path), i64::from(before));
    }
    stop(runtime);
}

#[test]
fn a_unix_path_whose_directory_was_replaced_is_there_after_a_reload() {
    let directory = scratch("unix-replaced").join("run");
    fs::create_dir(&directory).unwrap();
    let path = directory.join("a.sock");
    let runtime = python(2, &path, PLAIN).start();
    wait_ready(&runtime, 2);
    fs::remove_dir_all(&directory).unwrap();
    fs::create_dir(&directory).unwrap();
    reload(&runtime);
    answers(&path);
    stop(runtime);
}

/// A listener that was shut down accepts nothing, and `listen` does not mend it.
#[test]
fn a_program_that_shuts_its_unix_listener_down_at_its_stop_is_reloaded() {
    let path = socket_path("unix-shut");
    let bind = format!(
        "{PLAIN}\ndef end(*_):\n  s.shutdown(socket.SHUT_RDWR)\n  os._exit(0)\nsignal.signal(signal.SIGTERM, end)"
    );
    let runtime = python(1, &path, &bind).start();
    wait_ready(&runtime, 1);
    // The third worker gets the listener of the first one.
    for _ in 0..3 {
        let before = worker(&runtime, 0);
        reload(&runtime);
        assert_ne!(answers(&path), i64::from(before));
    }
    stop(runtime);
}

/// The kernel says so to a program that runs twice.
#[test]
fn a_worker_that_binds_its_unix_path_twice_is_refused() {
    let path = socket_path("unix-twice");
    let bind = format!(
        "{PLAIN}\nt = socket.socket(socket.AF_UNIX)\ntry:\n  t.bind(p)\nexcept OSError as e:\n  print('errno', e.errno, flush=True)\nos.unlink(p)\nt.bind(p)\nprint('bound', flush=True)\ns = t"
    );
    let runtime = python(2, &path, &bind).start();
    runtime.wait_for_lines(2, |line| line == "errno 98");
    runtime.wait_for_lines(2, |line| line == "bound");
    wait_ready(&runtime, 2);
    answers(&path);
    stop(runtime);
}

/// `/var/run` is a link to `/run`, and programs make their directory there.
#[test]
fn a_listed_unix_path_whose_directory_a_worker_makes_behind_a_link_is_shared() {
    let directory = scratch("unix-made");
    fs::create_dir(directory.join("real")).unwrap();
    symlink("real", directory.join("link")).unwrap();
    let path = directory.join("link/app/a.sock");
    let bind = format!("os.makedirs(os.path.dirname(p), exist_ok=True)\n{PLAIN}");
    let runtime = python(2, &path, &bind)
        .env("RPM_PORTS", format!("unix:{}", path.display()))
        .start();
    wait_ready(&runtime, 2);
    let first = answers(&path);
    until("the other worker answers", || answers(&path) != first);
    runtime.wait_for_line(|line| line.contains("cannot open this path of RPM_PORTS before"));
    stop(runtime);
}

/// So programs bind a path that is too long for an address.
#[test]
fn a_unix_path_that_is_named_through_a_descriptor_is_shared() {
    let path = socket_path("unix-descriptor");
    let bind = "d = os.open(os.path.dirname(p), os.O_PATH)\np = '/proc/self/fd/%d/a.sock' % d\nif os.path.exists(p): os.unlink(p)\ns = socket.socket(socket.AF_UNIX)\ns.bind(p)";
    let runtime = python(2, &path, bind).start();
    wait_ready(&runtime, 2);
    let first = answers(&path);
    until("the other worker answers", || answers(&path) != first);
    reload(&runtime);
    answers(&path);
    stop(runtime);
}

/// The mode that the program gives its socket before `bind` is that of the file (fchmod(2)).
#[test]
fn the_mode_of_the_socket_is_that_of_its_unix_path() {
    use std::os::unix::fs::PermissionsExt;

    let path = socket_path("unix-fchmod");
    let bind = "if os.path.exists(p): os.unlink(p)\ns = socket.socket(socket.AF_UNIX)\nos.fchmod(s.fileno(), 0o640)\ns.bind(p)";
    let runtime = python(1, &path, bind).start();
    wait_ready(&runtime, 1);
    for _ in 0..2 {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        reload(&runtime);
    }
    stop(runtime);
}

/// Another name of the socket's file is the program's own business.
#[test]
fn a_second_name_of_a_unix_path_can_be_removed() {
    let path = socket_path("unix-second");
    let bind = format!("{PLAIN}\nq = '%s.%d' % (p, os.getpid())\nos.link(p, q)\nos.unlink(q)");
    let runtime = python(2, &path, &bind).start();
    wait_ready(&runtime, 2);
    stop(runtime);
    let left = fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(left, 1);
}

fn haproxy(bind: &str, directory: &Path) -> Builder {
    let file = directory.join("haproxy.cfg");
    let text = format!(
        "defaults\n  mode http\n  timeout client 9s\n  timeout server 9s\n  timeout connect 9s\nfrontend f\n  bind {bind}\n  http-request return status 200 content-type text/plain string \"yes\"\n"
    );
    fs::write(&file, text).unwrap();
    Runtime::builder().program([
        "haproxy".into(),
        "-db".into(),
        "-f".into(),
        file.into_os_string(),
    ])
}

/// haproxy binds a name of its own and renames it to the path.
#[test]
fn a_unix_path_that_the_program_renames_is_left_to_it() {
    let path = socket_path("haproxy-unix");
    let runtime = haproxy(&format!("unix@{}", path.display()), path.parent().unwrap()).start();
    runtime.wait_for_line(|line| line.contains("the program gave it another name"));
    runtime.wait_for_line(|line| line.contains("worker ready") && line.ends_with("by=listen"));
    assert_eq!(get_path(&path).unwrap().text(), "yes");
    reload(&runtime);
    assert_eq!(get_path(&path).unwrap().text(), "yes");
    send(worker(&runtime, 0), Signal::SIGKILL);
    until("the next worker answers", || get_path(&path).is_ok());
    stop(runtime);
}

/// Two runtimes of different users may have paths in one directory.
#[test]
fn a_directory_of_names_that_others_can_change_is_not_used() {
    use std::os::unix::fs::PermissionsExt;

    let program = UnixProgram::socketserver("unix-inner");
    let strange = program.directory().join(".rpm");
    fs::create_dir(&strange).unwrap();
    fs::set_permissions(&strange, fs::Permissions::from_mode(0o777)).unwrap();
    let runtime = program.workers(2).start();
    wait_ready(&runtime, 2);
    answers(&program.path);
    assert_eq!(fs::read_dir(&strange).unwrap().count(), 0);
    stop(runtime);
}
