//! RPM_READY=notify: the worker's own reports by sd_notify(3) count.

use std::ffi::OsString;
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::time::Instant;

use crate::harness::reloads::{pids, reload, reload_fails};
use crate::harness::shared_port::{Gate, field, stop, v4, wait_ready, wait_rotation, worker};
use crate::harness::status::{ask_slot, counter, exits, status, wait_status};
use crate::harness::{Builder, Runtime, free_port, http_get, source, until};

fn notified(program: impl IntoIterator<Item = impl Into<OsString>>) -> Builder {
    Runtime::builder()
        .env("RPM_READY", "notify")
        .program(program.into_iter().map(Into::into))
}

/// `workers` workers of `examples/python/notify.py`.
fn example(port: u16, workers: u16) -> Builder {
    let path = source("examples/python/notify.py");
    notified([OsString::from("/usr/bin/python3"), path.into()])
        .env("RPM_INSTANCES", workers.to_string())
        .env("PORT", port.to_string())
}

/// A shell with a command `say` for reports, as scripts use systemd-notify: each report comes from a short-lived
/// process.
fn shell(script: &str) -> Builder {
    let say = "say() { /usr/bin/python3 -c 'import os, socket, sys\n\
               name = os.environ[\"NOTIFY_SOCKET\"].replace(\"@\", \"\\0\", 1)\n\
               socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(sys.argv[1].encode(), name)' \"$1\"; }";
    notified(["sh".to_owned(), "-c".to_owned(), format!("{say}\n{script}")])
}

/// The status text of the worker of slot 0.
fn word(runtime: &Runtime) -> Option<String> {
    status(runtime).slots[0].status.clone()
}

#[test]
fn a_worker_is_ready_when_it_says_so_and_its_status_is_shown() {
    let port = free_port();
    let runtime = example(port, 2).start();
    wait_ready(&runtime, 2);
    wait_rotation(&runtime, &[0, 1]);
    let said = format!("serving on {port}");
    wait_status(&runtime, "both say what they do", |seen| {
        let mut words = seen.slots.iter().map(|worker| worker.status.as_deref());
        words.all(|word| word == Some(&said))
    });
    reload(&runtime);
    assert_eq!(http_get(v4(port), "/").unwrap().status, 200);
    stop(runtime);
}

/// It listens at once but starts slowly: it gets no connection before it reports that it is ready.
#[test]
fn a_worker_that_listens_is_not_ready_before_it_says_so() {
    let (port, mut gate) = (free_port(), Gate::new("says"));
    let path = gate.path.display().to_string();
    let script = format!(
        "/usr/bin/python3 {} & read line < {path}; say READY=1; wait",
        source("examples/python/server.py").display()
    );
    let runtime = shell(&script)
        .env("RPM_MIN_UPTIME", "1ms")
        .env("PORT", port.to_string())
        .start();
    runtime.wait_for_line(|line| line.contains("listening on"));
    let start = Instant::now();
    until("time passes", || start.elapsed().as_millis() > 300);
    assert_eq!(runtime.get("/readyz").status, 503);
    assert_eq!(status(&runtime).slots[0].state, "starting");
    gate.open(1);
    wait_ready(&runtime, 1);
    runtime.wait_for_status("/readyz", 200);
    stop(runtime);
}

#[test]
fn a_shell_script_says_that_it_is_ready_and_how_it_does() {
    let mut gate = Gate::new("script");
    let path = gate.path.display().to_string();
    let script = format!(
        "say 'STATUS=warming up'; read line < {path}; say 'READY=1\nSTATUS=at work'; exec sleep 1000"
    );
    let runtime = shell(&script).start();
    runtime.wait_for_status("/livez", 200);
    until("it warms up", || {
        word(&runtime).as_deref() == Some("warming up")
    });
    assert_eq!(status(&runtime).slots[0].state, "starting");
    gate.open(1);
    wait_ready(&runtime, 1);
    until("it is at work", || {
        word(&runtime).as_deref() == Some("at work")
    });
    stop(runtime);
}

#[test]
fn a_worker_that_never_says_ready_is_replaced_for_it() {
    let runtime = shell("say STATUS=lost; exec sleep 1000")
        .env("RPM_READY_TIMEOUT", "2s")
        .start();
    let late = runtime.wait_for_line(|line| line.contains("not ready within RPM_READY_TIMEOUT"));
    assert!(
        late.contains("it did not send READY=1 to NOTIFY_SOCKET"),
        "{late}"
    );
    until("it has ended", || exits(&runtime, "start_timeout") > 0);
    runtime.wait_for_lines(2, |line| line.contains("worker started slot=0 "));
    stop(runtime);
}

#[test]
fn a_reload_to_a_version_that_never_says_ready_fails() {
    let port = free_port();
    let script = format!(
        "test $RPM_GENERATION = 0 && exec /usr/bin/python3 {}; exec sleep 1000",
        source("examples/python/notify.py").display()
    );
    let runtime = shell(&script)
        .env("RPM_READY_TIMEOUT", "5s")
        .env("PORT", port.to_string())
        .start();
    wait_ready(&runtime, 1);
    reload_fails(&runtime);
    runtime.wait_for_line(|line| {
        line.contains("a new worker did not come up") && line.contains("it did not send READY=1")
    });
    assert_eq!(http_get(v4(port), "/").unwrap().status, 200);
    stop(runtime);
}

/// A migration that takes longer than expected.
#[test]
fn a_worker_that_asks_for_more_time_gets_it() {
    let mut gate = Gate::new("more-time");
    let path = gate.path.display().to_string();
    let script = format!(
        "say EXTEND_TIMEOUT_USEC=3600000000; echo asked; read line < {path}; say READY=1; exec sleep 1000"
    );
    let runtime = shell(&script).env("RPM_READY_TIMEOUT", "5s").start();
    runtime.wait_for_line(|line| line == "asked");
    let start = Instant::now();
    until("its first time is over", || {
        start.elapsed().as_millis() > 5500
    });
    assert_eq!(status(&runtime).slots[0].state, "starting");
    gate.open(1);
    let ready = runtime.wait_for_line(|line| line.contains("worker ready"));
    let after: u64 = field(&ready, "after")
        .trim_end_matches("ms")
        .parse()
        .unwrap();
    assert!(after > 5000, "{ready}");
    stop(runtime);
}

/// The watchdog's time comes from the environment, as with systemd; the worker reports often enough that it is alive.
#[test]
fn a_worker_that_says_no_more_that_it_is_alive_is_replaced() {
    let port = free_port();
    let runtime = example(port, 2).env("WATCHDOG_USEC", "2500000").start();
    wait_ready(&runtime, 2);
    wait_rotation(&runtime, &[0, 1]);
    let before = pids(&runtime);
    // Longer than its time, in which it is left alone.
    let start = Instant::now();
    until("time passes", || start.elapsed().as_millis() > 3500);
    assert_eq!(pids(&runtime), before);
    let (lost, other) = (worker(&runtime, 1), worker(&runtime, 0));
    assert_eq!(ask_slot(v4(port), 1, "/hang").pid(), i64::from(lost));
    until("it has ended", || exits(&runtime, "unhealthy") == 1);
    runtime.wait_for_line(|line| {
        line.contains("watchdog has expired") && line.contains(&format!("pid={lost}"))
    });
    let seen = wait_status(&runtime, "both serve", |seen| seen.ready() == 2);
    assert_eq!(seen.pid(0), other);
    assert_ne!(seen.pid(1), lost);
    wait_rotation(&runtime, &[0, 1]);
    stop(runtime);
}

/// Libraries compare WATCHDOG_PID with their own PID. The runtime's value is not passed on, because the watched process
/// is the worker.
#[test]
fn the_watchdog_of_the_runtime_itself_is_not_passed_on_by_number() {
    let script = "echo usec=$WATCHDOG_USEC pid=${WATCHDOG_PID-none}; say READY=1; exec sleep 1000";
    let runtime = shell(script)
        .env("WATCHDOG_USEC", "3600000000")
        .env("WATCHDOG_PID", "1")
        .start();
    runtime.wait_for_line(|line| line == "usec=3600000000 pid=none");
    wait_ready(&runtime, 1);
    stop(runtime);
}

/// A worker that reports STOPPING=1 gets no new connection, and its successor starts when it is gone.
#[test]
fn a_worker_that_says_it_stops_gets_nothing_new_and_is_followed_when_it_ends() {
    let (port, mut gate) = (free_port(), Gate::new("stopping"));
    let path = gate.path.display().to_string();
    let script = format!(
        "/usr/bin/python3 {} &\n\
         say READY=1\n\
         if test $NODE_APP_INSTANCE = 0; then read line < {path}; say STOPPING=1; read line < {path}; kill $!; exit 0; fi\n\
         wait",
        source("examples/python/server.py").display()
    );
    let runtime = shell(&script)
        .env("RPM_INSTANCES", "2")
        .env("PORT", port.to_string())
        .start();
    wait_ready(&runtime, 2);
    runtime.wait_for_lines(2, |line| line.contains("listening on"));
    wait_rotation(&runtime, &[0, 1]);
    let leaves = worker(&runtime, 0);
    gate.open(1);
    wait_rotation(&runtime, &[1]);
    for _ in 0..30 {
        let reply = http_get(v4(port), "/").unwrap();
        assert_eq!(reply.json()["slot"], "1");
    }
    assert_eq!(status(&runtime).pid(0), leaves);
    gate.open(1);
    runtime.wait_for_line(|line| {
        line.contains("worker ended")
            && line.contains(&format!("pid={leaves} exit=\"exit code 0\""))
    });
    wait_rotation(&runtime, &[0, 1]);
    assert_ne!(status(&runtime).pid(0), leaves);
    assert_eq!(exits(&runtime, "exit"), 1);
    stop(runtime);
}

/// The name of the socket of the worker in slot 0.
fn socket_of(runtime: &Runtime) -> SocketAddr {
    let pid = worker(runtime, 0);
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let name = environment
        .split(|byte| *byte == 0)
        .find_map(|variable| variable.strip_prefix(b"NOTIFY_SOCKET=@"));
    SocketAddr::from_abstract_name(name.unwrap()).unwrap()
}

/// `WATCHDOG=trigger` of anybody in the pod replaced every worker.
#[test]
fn what_a_stranger_says_for_a_worker_is_refused_counted_and_told_once() {
    let runtime = example(free_port(), 1).start();
    wait_ready(&runtime, 1);
    let before = worker(&runtime, 0);
    let to = socket_of(&runtime);
    let stranger = UnixDatagram::unbound().unwrap();
    let words = ["WATCHDOG=trigger", "STOPPING=1", "STATUS=mine"];
    for word in words {
        stranger.send_to_addr(word.as_bytes(), &to).unwrap();
    }
    // One that has ended when it is read, and is another user.
    let name = String::from_utf8(to.as_abstract_name().unwrap().to_vec()).unwrap();
    let script = "import os, socket, sys\n\
                  os.setuid(65534)\n\
                  socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'STOPPING=1', chr(0) + sys.argv[1])";
    let ended = Command::new("/usr/bin/python3")
        .args(["-c", script, &name])
        .status();
    assert!(ended.unwrap().success());
    until("all are counted", || {
        counter(&runtime, "rpm_notify_refused_total") == 4
    });
    let told = runtime.wait_for_line(|line| line.contains("somebody else speaks for a worker"));
    assert_eq!(field(&told, "pid"), before.to_string());
    assert_eq!(field(&told, "sender"), std::process::id().to_string());
    // What the worker itself says counts as before: a reload waits for it.
    reload(&runtime);
    let lines = runtime.wait_for_lines(1, |line| line.contains("somebody else speaks"));
    assert_eq!(lines.len(), 1);
    for cause in ["unhealthy", "exit"] {
        assert_eq!(exits(&runtime, cause), 0);
    }
    stop(runtime);
}

/// As a program does that keeps its first process as root.
#[test]
fn a_child_that_became_another_user_speaks_for_its_worker() {
    let script = "/usr/bin/python3 -c 'import os, socket, time\n\
                  os.setuid(65534)\n\
                  name = os.environ[\"NOTIFY_SOCKET\"].replace(\"@\", \"\\0\", 1)\n\
                  socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b\"READY=1\", name)\n\
                  time.sleep(1000)' & wait";
    let runtime = shell(script).start();
    wait_ready(&runtime, 1);
    assert_eq!(counter(&runtime, "rpm_notify_refused_total"), 0);
    stop(runtime);
}
