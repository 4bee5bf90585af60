//! The metrics of a program, merged over all workers, as a scrape of the runtime gets them.
//!
//! The program is Python with an unmodified prometheus_client, its own registry and pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::exposition::{OPENMETRICS, ask, page, series, types};
use crate::harness::{
    Builder, Connection, Runtime, Signal, example, free_port, http_get, scratch, source, until,
    until_some,
};
use flate2::read::GzDecoder;
use nix::sys::stat::Mode;
use nix::unistd::Pid;

/// Answers `/` with its PID and counts that; `/metrics` with its metrics; never answers `/late`.
const PROGRAM: &str = r#"
import os, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

requests = Counter('app_requests', 'Requests answered.', ['path'])
wait = Histogram('app_wait_seconds', 'Time in the queue.', buckets=[0.1, 1])
Gauge('app_pid', 'Who says it.').set(os.getpid())
Gauge('app_queue_length', 'Requests that wait.').set(5)

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        kind, body = 'application/json', b'{"pid":%d}\n' % os.getpid()
        if self.path == '/metrics':
            encode, kind = choose_encoder(self.headers.get('Accept', ''))
            body = encode(REGISTRY)
        elif self.path == '/late':
            print('asked', flush=True)
            threading.Event().wait()
        else:
            requests.labels(self.path).inc()
            wait.observe(0.5)
        self.send_response(200)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

ThreadingHTTPServer.daemon_threads = True
ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
"#;

/// Workers of the program, all on the port.
fn python(port: u16, workers: usize) -> Builder {
    Runtime::builder()
        .env("PORT", port.to_string())
        .env("RPM_INSTANCES", workers.to_string())
        .env("RPM_READY", "listen")
        .env("PYTHONPATH", source("target/python"))
        .program(["python3", "-c", PROGRAM])
}

/// Workers of the program that are asked for their metrics at each scrape and before they stop, and at no other time.
fn asked(port: u16, workers: usize) -> Builder {
    python(port, workers)
        .env("RPM_APP_METRICS", "/metrics")
        .env("RPM_APP_METRICS_INTERVAL", "0")
}

/// Sends `requests` requests, each on a new connection; returns which workers answered.
fn load(port: u16, requests: usize) -> BTreeSet<i64> {
    let answer = || http_get(("127.0.0.1", port), "/").unwrap().pid();
    (0..requests).map(|_| answer()).collect()
}

/// The values of the label `worker` in the series of that name, with the series' values.
fn by_worker(page: &str, name: &str) -> BTreeMap<String, f64> {
    let all = series(page).into_iter();
    all.filter_map(|(series, value)| {
        let labels = series.strip_prefix(name)?.strip_prefix('{')?;
        let (_, worker) = labels.split_once("worker=\"")?;
        Some((worker.split('"').next()?.to_owned(), value))
    })
    .collect()
}

/// Whether the worker of each slot was asked with success.
fn success(page: &str) -> BTreeMap<String, f64> {
    by_worker(page, "rpm_metrics_worker_scrape_success")
}

/// The PID that each slot's worker exports.
fn pids(page: &str) -> BTreeMap<String, i64> {
    let said = by_worker(page, "app_pid").into_iter();
    // A float, as all values are.
    said.map(|(slot, pid)| (slot, format!("{pid}").parse().unwrap()))
        .collect()
}

/// `slots`, each with the same value.
fn each<const N: usize>(slots: [&str; N], value: f64) -> BTreeMap<String, f64> {
    slots.map(|slot| (slot.to_owned(), value)).into()
}

/// Checks that these series exist with these values.
#[track_caller]
fn has(page: &str, wanted: &[(&str, f64)]) {
    let all = series(page);
    for (name, value) in wanted {
        assert_eq!(all.get(*name), Some(value), "{name}\n{page}");
    }
}

const ANSWERED: &str = "app_requests_total{path=\"/\"}";

#[test]
fn a_scrape_tells_of_all_workers_together() {
    let port = free_port();
    let runtime = asked(port, 4)
        .env("RPM_APP_METRICS_GAUGES", "*_length=sum")
        .start();
    runtime.wait_for_status("/startupz", 200);
    let workers = runtime.workers();
    let mut answered = load(port, 100);
    assert_eq!(answered.len(), 4, "who was not asked proves nothing");
    let first = page(&runtime);
    assert_eq!(success(&first), each(["0", "1", "2", "3"], 1.0));
    has(
        &first,
        &[
            (ANSWERED, 100.0),
            ("app_wait_seconds_bucket{le=\"0.1\"}", 0.0),
            ("app_wait_seconds_bucket{le=\"1.0\"}", 100.0),
            ("app_wait_seconds_bucket{le=\"+Inf\"}", 100.0),
            ("app_wait_seconds_sum", 50.0),
            ("app_wait_seconds_count", 100.0),
            ("app_queue_length", 20.0),
        ],
    );
    let of_all = |page: &str| pids(page).into_values().collect::<BTreeSet<i64>>();
    assert_eq!(of_all(&first), answered);

    let mark = runtime.mark();
    nix::sys::signal::kill(Pid::from_raw(workers[0].pid), Signal::SIGKILL).unwrap();
    runtime.wait_for_line_after(mark, |line| line.contains("worker ended"));
    runtime.wait_for_line_after(mark, |line| line.contains("worker ready"));
    answered = load(port, 100);
    let second = page(&runtime);
    has(&second, &[(ANSWERED, 200.0), ("app_queue_length", 20.0)]);
    assert_eq!(of_all(&second), answered);
    assert!(!answered.contains(&workers[0].pid.into()));
}

#[test]
fn without_the_variable_a_scrape_tells_of_the_runtime_alone() {
    let port = free_port();
    let runtime = python(port, 2).start();
    runtime.wait_for_status("/startupz", 200);
    load(port, 10);
    let page = page(&runtime);
    let own = runtime.get("/metrics/runtime").text();
    let families = types(&page);
    assert_eq!(families, types(&own));
    let others = families.keys().filter(|name| {
        let known = name.starts_with("rpm_") || name.starts_with("process_");
        !known || name.starts_with("rpm_metrics_")
    });
    assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
    let started = "process_start_time_seconds";
    has(&page, &[(started, series(&own)[started])]);
}

#[test]
fn process_metrics_are_of_the_workers_and_beside_it_of_the_runtime() {
    let port = free_port();
    let runtime = asked(port, 2).start();
    runtime.wait_for_status("/startupz", 200);
    let page = page(&runtime);
    let own = runtime.get("/metrics/runtime").text();
    let (all, own) = (series(&page), series(&own));
    for name in ["process_resident_memory_bytes", "process_open_fds"] {
        let slots = by_worker(&page, name).into_keys().collect::<Vec<_>>();
        assert_eq!(slots, ["0", "1"], "{name}");
        assert!(!all.contains_key(name), "{name}");
        assert!(own.contains_key(name), "{name}");
    }
    // The runtime is older than its workers; the merged value is that of the oldest worker.
    let started = "process_start_time_seconds";
    let workers = by_worker(&page, "rpm_worker_start_time_seconds");
    let oldest = workers.into_values().fold(f64::INFINITY, f64::min);
    // Python reads the boot time in whole seconds.
    assert!((all[started] - oldest).abs() < 1.5, "{page}");
    assert!(own[started] < oldest, "{own:#?}");
    // The runtime has no Python metrics of its own.
    assert!(all.contains_key("python_gc_collections_total{generation=\"0\"}"));
    assert!(!own.keys().any(|series| series.starts_with("python_")));
    let told = |series: &BTreeMap<String, f64>| series["rpm_metrics_series"];
    assert!(told(&all) > 10.0 && told(&own) > 10.0);
}

/// What must hold if the workers have no metrics at the given path.
#[track_caller]
fn is_told_once(builder: Builder, why: &str) {
    let runtime = builder.env("RPM_INSTANCES", "2").start();
    runtime.wait_for_status("/startupz", 200);
    let none = each(["0", "1"], 0.0);
    until("both were asked", || {
        success(&runtime.get("/metrics").text()) == none
    });
    for _ in 0..5 {
        let page = page(&runtime);
        assert_eq!(success(&page), none);
        has(&page, &[("rpm_ready", 1.0)]);
        let others = types(&page).into_keys().filter(|name| {
            // On this page `process_*` would belong to the workers, so there is none.
            !name.starts_with("rpm_")
        });
        assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
    }
    let told: Vec<String> = runtime
        .texts()
        .into_iter()
        .filter(|line| line.contains("RPM_APP_METRICS"))
        .collect();
    for slot in 0..2 {
        let of_it = |line: &&String| line.contains(&format!("slot={slot} "));
        assert_eq!(told.iter().filter(of_it).count(), 1, "{told:#?}");
    }
    assert_eq!(told.len(), 2, "{told:#?}");
    for line in told {
        assert!(line.contains(" warn: ") && line.contains(why), "{line}");
    }
}

#[test]
fn a_path_that_is_not_there_is_told_once_for_each_slot() {
    let builder = Runtime::builder()
        .env("PORT", free_port().to_string())
        .env("RPM_APP_METRICS", "/nothing")
        .arg(example("echo_server"));
    is_told_once(
        builder,
        "status 404: RPM_APP_METRICS has to name the path of the metrics",
    );
}

#[test]
fn a_page_that_is_no_metrics_is_told_once_for_each_slot() {
    let directory = scratch("listing");
    let builder = Runtime::builder()
        .env("RPM_APP_METRICS", "/")
        .env("RPM_READY", "listen")
        .directory(directory)
        .program(["python3", "-m", "http.server"])
        .arg(free_port().to_string());
    is_told_once(
        builder,
        "the answer is text/html, not metrics: is it the right path? (RPM_APP_METRICS)",
    );
}

#[test]
fn a_worker_that_becomes_ready_later_is_asked_then() {
    let gate = scratch("later").join("gate");
    nix::unistd::mkfifo(&gate, Mode::S_IRWXU).unwrap();
    // Opened for both reading and writing, so that neither side blocks on opening or sees an end of file.
    let file = fs::File::options().read(true).write(true).open(&gate);
    let mut file = file.unwrap();
    let runtime = Runtime::builder()
        .env("PORT", free_port().to_string())
        .env("RPM_INSTANCES", "2")
        .env("RPM_READY", "listen")
        .env("RPM_APP_METRICS", "/metrics")
        .program(["sh", "-c", "read -r _ < \"$0\"; exec \"$1\""])
        .arg(&gate)
        .arg(example("echo_server"))
        .start();
    file.write_all(b"\n").unwrap();
    runtime.wait_for_line(|line| line.contains("worker ready"));
    let asked = until_some("one is asked", || {
        let asked = success(&runtime.get("/metrics").text());
        (!asked.is_empty()).then_some(asked)
    });
    assert_eq!(asked.len(), 1);
    let early = page(&runtime);
    assert_eq!(success(&early), asked, "the other cannot be");
    file.write_all(b"\n").unwrap();
    runtime.wait_for_status("/startupz", 200);
    until("both are asked", || {
        success(&runtime.get("/metrics").text()) == each(["0", "1"], 1.0)
    });
    let slots = by_worker(&page(&runtime), "echo_slot");
    assert_eq!(slots, [("0".to_owned(), 0.0), ("1".to_owned(), 1.0)].into());
}

#[test]
fn a_worker_that_is_stopped_leaves_its_counters_and_takes_its_gauges() {
    let port = free_port();
    let runtime = asked(port, 3).start();
    runtime.wait_for_status("/startupz", 200);
    assert_eq!(load(port, 100).len(), 3);
    // No scrape has happened yet: the counts of the third worker are known only from the request before its stop.
    runtime.signal(Signal::SIGTTOU);
    runtime.wait_for_line(|line| line.contains("worker ended"));
    let page = page(&runtime);
    has(
        &page,
        &[(ANSWERED, 100.0), ("app_wait_seconds_count", 100.0)],
    );
    for name in ["app_pid", "app_queue_length"] {
        let slots: Vec<String> = by_worker(&page, name).into_keys().collect();
        assert_eq!(slots, ["0", "1"], "{name}");
    }
    assert_eq!(success(&page), each(["0", "1"], 1.0));
}

#[test]
fn a_stop_ends_in_its_time_though_a_scrape_is_under_way() {
    let mut runtime = python(free_port(), 2)
        .env("RPM_APP_METRICS", "/late")
        .env("RPM_APP_METRICS_INTERVAL", "0")
        // It does not wait for the runtime's own requests.
        .env("RPM_DRAIN_TIMEOUT", "1m")
        .start();
    runtime.wait_for_status("/startupz", 200);
    let admin = runtime.admin();
    let scrape = thread::spawn(move || {
        let mut connection = Connection::open(admin).unwrap();
        let timeout = "X-Prometheus-Scrape-Timeout-Seconds: 60";
        connection.request("/metrics", &[timeout])
    });
    runtime.wait_for_lines(2, |line| line == "asked");
    let begun = Instant::now();
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
    // The time that the scrape would have had.
    let took = begun.elapsed();
    assert!(took < Duration::from_mins(1), "{took:?}");
    // The scrape does not hang: it gets an answer or an end.
    drop(scrape.join().unwrap());
}

#[test]
fn the_merged_page_comes_in_the_form_that_was_asked_for() {
    let runtime = asked(free_port(), 2).start();
    runtime.wait_for_status("/startupz", 200);
    let names = |page: &str| series(page).into_keys().collect::<Vec<_>>();
    let plain = names(&page(&runtime));
    assert!(plain.iter().any(|series| series.starts_with("app_pid{")));
    let gzip = "Accept-Encoding: gzip";
    for headers in [&[][..], &[gzip], &[OPENMETRICS], &[OPENMETRICS, gzip]] {
        let reply = ask(&runtime, "/metrics", headers);
        assert_eq!(reply.status, 200);
        let open = headers.contains(&OPENMETRICS);
        let kind = reply.header("content-type").unwrap();
        assert_eq!(kind.starts_with("application/openmetrics-text;"), open);
        let text = if headers.contains(&gzip) {
            assert_eq!(reply.header("content-encoding"), Some("gzip"));
            let mut text = String::new();
            let mut unpacked = GzDecoder::new(&*reply.body);
            unpacked.read_to_string(&mut text).unwrap();
            text
        } else {
            assert_eq!(reply.header("content-encoding"), None);
            reply.text()
        };
        assert_eq!(text.ends_with("\n# EOF\n"), open, "{text}");
        assert_eq!(names(&text), plain, "{headers:?}");

        let mut head = Connection::open(runtime.admin()).unwrap();
        let lines: Vec<&str> = headers
            .iter()
            .copied()
            .chain(["Connection: close"])
            .collect();
        let request = format!(
            "HEAD /metrics HTTP/1.1\r\nHost: x\r\n{}\r\n\r\n",
            lines.join("\r\n")
        );
        head.stream().write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        head.stream().read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "");
        let head = head.to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        // Values change between the two requests.
        let length: usize = length.unwrap().parse().unwrap();
        assert!(length.abs_diff(reply.body.len()) < 200, "{head}");
        assert!(head.contains(&format!("content-type: {kind}")), "{head}");
    }
}

#[test]
fn a_scrape_is_answered_in_its_time_though_a_worker_is_not() {
    let port = free_port();
    let runtime = asked(port, 2).start();
    runtime.wait_for_status("/startupz", 200);
    assert_eq!(load(port, 50).len(), 2);
    let awake = page(&runtime);
    assert_eq!(success(&awake), each(["0", "1"], 1.0));
    let all = pids(&awake);
    let sleeper = runtime.workers()[1].pid;
    let found = all.iter().find(|(_, pid)| **pid == i64::from(sleeper));
    let (slot, _) = found.unwrap();
    let sleeper = Pid::from_raw(sleeper);
    nix::sys::signal::kill(sleeper, Signal::SIGSTOP).unwrap();

    let timeout = Duration::from_secs(5);
    let header = format!("X-Prometheus-Scrape-Timeout-Seconds: {}", timeout.as_secs());
    let words = "cannot read a worker's metrics";
    // The first, but on a machine that is busy right then: a question that the runtime could not ask in time is no failure
    // of the worker.
    let asleep = until_some("it is answered in time, and the worker is not", || {
        let begun = Instant::now();
        let reply = ask(&runtime, "/metrics", &[&header]);
        let took = begun.elapsed();
        assert!(took > timeout / 2, "it was not waited for: {took:?}");
        assert_eq!(reply.status, 200);
        let told = runtime.texts().iter().any(|line| line.contains(words));
        (took < timeout && told).then(|| reply.text())
    });
    // Its counters stay, its gauges do not.
    has(&asleep, &[(ANSWERED, 50.0)]);
    let mut others = all.clone();
    others.remove(slot);
    assert_eq!(pids(&asleep), others);
    let mut told = success(&asleep);
    assert_eq!(told.remove(slot), Some(0.0));
    assert_eq!(told.into_values().collect::<Vec<_>>(), [1.0]);
    let waited = by_worker(&asleep, "rpm_metrics_worker_scrape_duration_seconds")[slot];
    assert!((2.5..5.0).contains(&waited), "{waited}");

    nix::sys::signal::kill(sleeper, Signal::SIGCONT).unwrap();
    until("it is asked again", || {
        success(&runtime.get("/metrics").text()) == each(["0", "1"], 1.0)
    });
    let again = page(&runtime);
    assert_eq!(pids(&again), all);
    has(&again, &[(ANSWERED, 50.0)]);
    runtime.wait_for_line(|line| line.contains("the worker's metrics can be read again"));
    let lines = runtime.texts().into_iter();
    let bad = lines.filter(|line| line.contains(words));
    assert_eq!(bad.count(), 1);
}
