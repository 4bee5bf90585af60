//! The answers of the admin endpoints of a real runtime, in each state.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::harness::exposition::{counters, page, series};
use crate::harness::{
    self, Builder, Connection, Runtime, Signal, Stream, example, free_port, scratch, until,
};
use nix::sys::stat::Mode;

/// Workers that serve a port that only this test uses.
fn serving(workers: usize) -> Builder {
    Runtime::builder()
        .env("PORT", free_port().to_string())
        .env("RPM_INSTANCES", workers.to_string())
        .arg(example("echo_server"))
}

/// A gate at which programs wait until the test releases them.
struct Gate {
    path: PathBuf,
    file: fs::File,
}

impl Gate {
    fn new(name: &str) -> Self {
        let path = scratch(name).join("gate");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        // Opened for both reading and writing, so that neither side blocks on opening or sees an end of file.
        let file = fs::File::options().read(true).write(true).open(&path);
        Self {
            file: file.unwrap(),
            path,
        }
    }

    /// A runtime whose workers execute `program` once they are released.
    fn before(&self, program: PathBuf) -> Builder {
        Runtime::builder()
            .env("PORT", free_port().to_string())
            .program(["sh", "-c", "read -r _ < \"$0\"; exec \"$1\""])
            .arg(&self.path)
            .arg(program)
    }

    /// Releases this number of workers, now or when they arrive.
    fn open(&self, workers: usize) {
        (&self.file).write_all(&b"\n".repeat(workers)).unwrap();
    }
}

#[test]
fn every_path_answers() {
    let runtime = serving(2).start();
    runtime.wait_for_status("/startupz", 200);
    let text = "text/plain; charset=utf-8";
    let json = "application/json";
    let page = "text/plain; version=0.0.4; charset=utf-8";
    let table = [
        ("/", 200, "text/html; charset=utf-8", "href=\"metrics\""),
        ("/livez", 200, text, "ok\n"),
        ("/readyz", 200, json, "\"ready\":true"),
        ("/startupz", 200, json, "\"started\":true"),
        ("/status", 200, json, "\"slots\":["),
        ("/metrics", 200, page, "\nrpm_ready 1\n"),
        ("/metrics/runtime", 200, page, "\nrpm_ready 1\n"),
        ("/livez?verbose", 200, text, "ok\n"),
        ("/reload", 404, text, "no such page"),
        ("/metrics/", 404, text, "no such page"),
    ];
    let mut kept = Connection::open(runtime.admin()).unwrap();
    for (path, status, kind, part) in table {
        for reply in [runtime.get(path), kept.get(path).unwrap()] {
            assert_eq!(reply.status, status, "{path}");
            assert_eq!(reply.header("content-type"), Some(kind), "{path}");
            assert!(reply.text().contains(part), "{path}: {}", reply.text());
        }
    }
    let mut post = Connection::open(runtime.admin()).unwrap();
    let request = b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    post.stream().write_all(request).unwrap();
    assert_eq!(post.reply().unwrap().status, 405);
}

#[test]
fn the_status_names_every_worker() {
    let runtime = serving(2).start();
    runtime.wait_for_status("/startupz", 200);
    let status = runtime.get("/status").json();
    assert_eq!(status["app"]["name"], "echo_server");
    assert_eq!(status["runtime"]["pid"], runtime.pid());
    assert_eq!(status["runtime"]["state"], "running");
    let pids: Vec<i64> = runtime.workers().iter().map(|w| w.pid.into()).collect();
    let slots = status["slots"].as_array().unwrap();
    assert_eq!(slots.len(), 2);
    for (number, slot) in slots.iter().enumerate() {
        assert_eq!(slot["slot"], number);
        assert_eq!(slot["state"], "ready");
        assert!(pids.contains(&slot["pid"].as_i64().unwrap()), "{slot}");
    }
    let queues = status["queues"].as_array().unwrap();
    let held = queues.iter().filter(|queue| queue["worker"].is_number());
    assert_eq!(held.count(), 2, "{status}");
}

#[test]
fn readiness_follows_the_workers_and_ends_with_the_first_signal() {
    let gate = Gate::new("readiness");
    let mut runtime = gate
        .before(example("echo_server"))
        .env("RPM_READY", "listen")
        .env("RPM_SHUTDOWN_DELAY", "1m")
        .start();
    let starting = runtime.wait_for_status("/readyz", 503).json();
    assert_eq!(starting["state"], "starting");
    assert_eq!(starting["reason"], "0 of 1 workers are ready");
    assert_eq!(runtime.get("/startupz").status, 503);
    assert_eq!(runtime.get("/livez").status, 200);
    gate.open(1);
    let ready = runtime.wait_for_status("/readyz", 200).json();
    assert_eq!(
        (&ready["workers_ready"], &ready["desired"]),
        (&1.into(), &1.into())
    );
    assert!(ready["reason"].is_null());
    assert_eq!(runtime.get("/startupz").status, 200);
    // Without its worker it is not ready, but it has started.
    let worker = runtime.workers()[0].pid;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker), Signal::SIGKILL).unwrap();
    runtime.wait_for_line(|line| line.contains("worker ended"));
    // The next worker waits at the gate.
    let reply = runtime.wait_for_status("/readyz", 503);
    assert_eq!(reply.json()["started"], true);
    assert_eq!(runtime.get("/startupz").status, 200);
    assert_eq!(runtime.get("/livez").status, 200);
    gate.open(1);
    runtime.wait_for_status("/readyz", 200);
    runtime.signal(Signal::SIGTERM);
    let stopping = runtime.wait_for_status("/readyz", 503).json();
    assert_eq!(stopping["reason"], "the runtime is stopping");
    assert_eq!(runtime.get("/startupz").status, 200);
    assert_eq!(runtime.get("/livez").status, 200);
    assert_eq!(runtime.workers().len(), 1, "it still serves");
    runtime.signal(Signal::SIGTERM);
    runtime.wait_exit();
}

/// `rpm-runtime --healthcheck` with these variables.
fn healthcheck(variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rpm-runtime"))
        .arg("--healthcheck")
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn the_health_check_tells_by_its_code_and_one_line() {
    let check = |addr: &str, code: i32, words: &str| {
        let output = healthcheck(&[("RPM_ADMIN_ADDR", addr)]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert_eq!(output.stdout, b"");
        if code == 0 {
            assert_eq!(said, "");
            return;
        }
        let start = "rpm-runtime: not healthy: ";
        let why = said.strip_prefix(start).unwrap_or_else(|| panic!("{said}"));
        assert!(why.contains(words), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    };
    let gate = Gate::new("health");
    let runtime = gate
        .before(example("echo_server"))
        .env("RPM_READY", "listen")
        .start();
    runtime.wait_for_status("/livez", 200);
    let addr = runtime.admin().to_string();
    check(&addr, 1, "answered 503: {");
    check(&addr, 1, "0 of 1 workers are ready");
    gate.open(1);
    runtime.wait_for_status("/startupz", 200);
    check(&addr, 0, "");
    // A wildcard address is asked on loopback.
    check(&format!("0.0.0.0:{}", runtime.admin().port()), 0, "");
    check(&format!("[::]:{}", runtime.admin().port()), 0, "");
    drop(runtime);
    check(&addr, 1, "cannot connect to");
    check("off", 1, "RPM_ADMIN_ADDR is off");
    // A listener that never answers.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    check(
        &mute.local_addr().unwrap().to_string(),
        1,
        "did not answer within 3s",
    );
}

/// Checks that no label is a PID, by name or by value.
#[track_caller]
fn no_pid_in(page: &str, runtime: &Runtime) {
    let mut pids: Vec<String> = runtime
        .children()
        .iter()
        .map(|p| p.pid.to_string())
        .collect();
    pids.push(runtime.pid().to_string());
    for series in series(page).into_keys() {
        let Some((_, labels)) = series.split_once('{') else {
            continue;
        };
        assert!(!labels.contains("pid="), "{series}");
        for pid in &pids {
            assert!(!labels.contains(&format!("\"{pid}\"")), "{series}");
        }
    }
}

#[test]
fn the_metrics_are_clean_in_every_state() {
    let gate = Gate::new("states");
    let port = free_port();
    let mut runtime = gate
        .before(example("echo_server"))
        .env("PORT", port.to_string())
        .env("RPM_INSTANCES", "2")
        .env("RPM_READY", "listen")
        .env("RPM_BACKOFF_MIN", "1m")
        .env("RPM_BACKOFF_MAX", "1m")
        .env("RPM_SHUTDOWN_DELAY", "1m")
        .start();
    runtime.wait_for_status("/livez", 200);
    let state = |page: &str, state: &str| {
        let shown = format!("rpm_state{{state=\"{state}\"}}");
        assert_eq!(series(page).get(&shown), Some(&1.0), "{page}");
    };
    let starting = page(&runtime);
    state(&starting, "starting");
    gate.open(2);
    runtime.wait_for_status("/startupz", 200);
    let running = page(&runtime);
    state(&running, "running");
    no_pid_in(&running, &runtime);
    let workers = runtime.workers();
    for worker in &workers {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker.pid), Signal::SIGKILL).unwrap();
    }
    runtime.wait_for_lines(2, |line| line.contains("worker ended"));
    let crashed = page(&runtime);
    no_pid_in(&crashed, &runtime);
    assert_eq!(
        series(&crashed).get("rpm_worker_exits_total{cause=\"signal\"}"),
        Some(&2.0)
    );
    runtime.signal(Signal::SIGTERM);
    // Two at once could be merged into one: signals do not queue.
    runtime.wait_for_line(|line| line.contains("RPM_SHUTDOWN_DELAY"));
    runtime.signal(Signal::SIGTERM);
    runtime.wait_exit();
}

#[test]
fn the_page_describes_the_processes() {
    let runtime = serving(2).start();
    runtime.wait_for_status("/startupz", 200);
    let page = page(&runtime);
    let all = series(&page);
    let at_least = |series: &str, least: f64| {
        let value = all.get(series);
        assert!(
            value.is_some_and(|value| *value >= least),
            "{series}\n{page}"
        );
    };
    for (name, least) in [
        ("process_resident_memory_bytes", 65536.0),
        ("process_virtual_memory_bytes", 65536.0),
        ("process_open_fds", 8.0),
        ("process_max_fds", 64.0),
        ("process_start_time_seconds", 1e9),
        ("process_threads", 2.0),
        ("process_cpu_seconds_total", 0.0),
    ] {
        at_least(name, least);
    }
    for slot in 0..2 {
        for (name, least) in [
            ("rpm_worker_resident_memory_bytes", 65536.0),
            ("rpm_worker_open_fds", 4.0),
            ("rpm_worker_threads", 1.0),
            ("rpm_worker_start_time_seconds", 1e9),
            ("rpm_worker_up", 1.0),
            ("rpm_worker_in_rotation", 1.0),
        ] {
            at_least(&format!("{name}{{worker=\"{slot}\"}}"), least);
        }
        for mode in ["user", "system"] {
            let labels = format!("{{mode=\"{mode}\",worker=\"{slot}\"}}");
            at_least(&format!("rpm_worker_cpu_seconds_total{labels}"), 0.0);
        }
    }
}

#[test]
fn counters_never_fall_and_every_label_is_there_from_the_start() {
    let port = free_port();
    let runtime = Runtime::builder()
        .env("PORT", port.to_string())
        .env("RPM_INSTANCES", "2")
        .env("RPM_READY", "listen")
        .env("RPM_BACKOFF_MIN", "10ms")
        .arg(example("echo_server"))
        .start();
    runtime.wait_for_status("/startupz", 200);
    let first = page(&runtime);
    for (name, label, values) in [
        (
            "rpm_state",
            "state",
            &["starting", "running", "draining", "stopping"][..],
        ),
        (
            "rpm_workers",
            "state",
            &["starting", "ready", "retiring", "backoff", "stopped"],
        ),
        (
            "rpm_worker_exits_total",
            "cause",
            &[
                "exit",
                "signal",
                "start_timeout",
                "stop",
                "stop_timeout",
                "restart",
                "exec_failed",
            ],
        ),
        ("rpm_worker_restarts_total", "worker", &["0", "1"]),
        (
            "rpm_signals_received_total",
            "signal",
            &["HUP", "TERM", "USR1"],
        ),
        (
            "rpm_log_lines_total",
            "stream",
            &["stdout", "stderr", "runtime"],
        ),
        (
            "rpm_log_file_dropped_lines_total",
            "reason",
            &["buffer_full", "write_error"],
        ),
        (
            "rpm_log_own_file_dropped_lines_total",
            "reason",
            &["buffer_full", "write_error"],
        ),
    ] {
        for value in values {
            let one = format!("{name}{{{label}=\"{value}\"}}");
            assert!(series(&first).contains_key(&one), "{one}\n{first}");
        }
    }
    let mut before = counters(&first);
    assert!(before.len() > 30, "{before:#?}");
    for round in 0..6 {
        let mark = runtime.mark();
        // Even rounds end with an exit code, odd ones with a signal.
        if round % 2 == 0 {
            // A worker that is told to exit does not answer.
            let _ = harness::http_get(("127.0.0.1", port), "/exit/3");
        } else {
            let victim = nix::unistd::Pid::from_raw(runtime.workers()[0].pid);
            nix::sys::signal::kill(victim, Signal::SIGKILL).unwrap();
        }
        runtime.wait_for_line_after(mark, |line| line.contains("worker ended"));
        runtime.wait_for_line_after(mark, |line| line.contains("worker ready"));
        let now = counters(&page(&runtime));
        for (series, value) in &before {
            let later = now.get(series);
            assert!(
                later.is_some_and(|later| later >= value),
                "{series} {value} {later:?}"
            );
        }
        let new: Vec<&String> = now
            .keys()
            .filter(|key| !before.contains_key(*key))
            .collect();
        assert_eq!(new, [""; 0], "series that were not there from the start");
        before = now;
    }
    let exits = |cause: &str| before[&format!("rpm_worker_exits_total{{cause=\"{cause}\"}}")];
    assert_eq!((exits("exit"), exits("signal")), (3.0, 3.0));
    let restarts = |slot: u8| before[&format!("rpm_worker_restarts_total{{worker=\"{slot}\"}}")];
    assert!((restarts(0) + restarts(1) - 6.0).abs() < 0.5, "{before:#?}");
}

#[test]
fn idle_connections_do_not_keep_a_probe_waiting_for_long() {
    let runtime = serving(1).start();
    runtime.wait_for_status("/startupz", 200);
    let idle: Vec<TcpStream> = (0..70)
        .map(|_| TcpStream::connect(runtime.admin()).unwrap())
        .collect();
    // An idle client keeps its place for five seconds. None of them leaves by itself.
    assert_eq!(runtime.get("/livez").status, 200);
    drop(idle);
}

#[test]
fn a_taken_address_stops_the_start_and_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let mut runtime = serving(2).env("RPM_ADMIN_ADDR", addr.to_string()).start();
    assert_eq!(runtime.wait_exit().code(), Some(71));
    let said = String::from_utf8(runtime.bytes(Stream::Err)).unwrap();
    assert!(
        said.starts_with(&format!(
            "rpm-runtime: cannot open the admin address {addr} (RPM_ADMIN_ADDR): "
        )),
        "{said}"
    );
    assert!(
        said.ends_with("; set another, or off; nothing was started\n"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        runtime
            .texts()
            .iter()
            .all(|text| !text.contains("worker started"))
    );
}

/// The addresses on which a process listens.
fn listening(pid: i32) -> Vec<SocketAddr> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let sockets: Vec<String> = entries
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|link| {
            Some(
                link.to_str()?
                    .strip_prefix("socket:[")?
                    .strip_suffix(']')?
                    .to_owned(),
            )
        })
        .collect();
    let mut found = Vec::new();
    for (table, any) in [("tcp", "0.0.0.0"), ("tcp6", "::")] {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            // Local address, state (0A means LISTEN), inode.
            if words[3] == "0A" && sockets.iter().any(|inode| inode == words[9]) {
                let port = u16::from_str_radix(words[1].rsplit(':').next().unwrap(), 16).unwrap();
                found.push(SocketAddr::new(any.parse().unwrap(), port));
            }
        }
    }
    found
}

#[test]
fn off_opens_nothing() {
    let start = |admin: Option<&str>| {
        let mut builder = Runtime::builder().env("RPM_PORTS", "off");
        if let Some(addr) = admin {
            builder = builder.env("RPM_ADMIN_ADDR", addr);
        }
        let runtime = builder.arg(example("slow_start")).program(["0"]).start();
        runtime.wait_for_line(|line| line.starts_with("started"));
        runtime
    };
    let with = start(None);
    assert_eq!(
        listening(with.pid()),
        [SocketAddr::from(([0, 0, 0, 0], with.admin().port()))]
    );
    let without = start(Some("off"));
    assert_eq!(listening(without.pid()), []);
    assert!(
        without
            .texts()
            .iter()
            .all(|text| !text.contains("admin endpoints"))
    );
    until("its port is free", || {
        TcpListener::bind(without.admin()).is_ok()
    });
}
