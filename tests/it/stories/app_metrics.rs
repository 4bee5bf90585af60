//! Unmodified programs with common metrics libraries: the merged page is exact to the last request, whatever happens to
//! the workers.

use std::collections::BTreeMap;
use std::fs;

use crate::harness::reloads::{reload, wait_scale};
use crate::harness::scraping::{Counted, Page, Server, WORKERS, scrape_at, serving};
use crate::harness::shared_port::{send, stop, wait_rotation};
use crate::harness::status::status;
use crate::harness::{Runtime, Signal, until};

const QUEUE: &str = "app_queue_length";

/// Every worker counts requests of its own, and the page shows the sum; then a reload, a crash and changes of scale,
/// which do not affect the counters.
fn story(server: &Server) {
    let runtime = serving(server.workers(WORKERS), WORKERS);
    let mut counted = Counted::new(server, &runtime);
    for slot in 0..WORKERS {
        counted.send_to(slot, "/", u64::from(slot) + 2);
        counted.send_to(slot, "/add", u64::from(slot) + 1);
    }
    // Each worker answers only for itself.
    for slot in 0..WORKERS {
        let own = server.own_page(slot).unwrap();
        let count = own.sum("app_requests_total", &[("path", "/")]);
        assert_eq!(count, u64::from(slot) + 2);
    }
    let page = counted.scrape();
    let queue: BTreeMap<u16, f64> = (0..WORKERS)
        .map(|slot| (slot, f64::from(slot) + 1.0))
        .collect();
    assert_eq!(page.by_worker(QUEUE), queue);
    counted.send("/", 101);
    counted.scrape();

    counted.through(|| reload(&runtime));
    let page = counted.scrape();
    assert_eq!(page.by_worker(QUEUE), zeros(WORKERS));
    counted.send("/", 40);
    counted.scrape();

    // Its counts are known, because it was asked just now.
    counted.through(|| crash(&runtime, 2));
    counted.scrape();
    counted.send("/", 41);
    assert_eq!(counted.scrape().by_worker(QUEUE), zeros(WORKERS));

    counted.through(|| {
        runtime.signal(Signal::SIGTTIN);
        wait_scale(&runtime, 5);
        wait_rotation(&runtime, &[0, 1, 2, 3, 4]);
    });
    counted.send("/", 50);
    assert_eq!(counted.scrape().by_worker(QUEUE), zeros(5));
    counted.through(|| {
        for wanted in [4, 3] {
            runtime.signal(Signal::SIGTTOU);
            wait_scale(&runtime, wanted);
        }
    });
    counted.send("/", 30);
    assert_eq!(counted.scrape().by_worker(QUEUE), zeros(3));
    stop(runtime);
}

fn zeros(workers: u16) -> BTreeMap<u16, f64> {
    (0..workers).map(|slot| (slot, 0.0)).collect()
}

/// Kills the worker of a slot and waits until another serves there.
fn crash(runtime: &Runtime, slot: usize) {
    let mark = runtime.mark();
    send(status(runtime).pid(slot), Signal::SIGKILL);
    runtime.wait_for_line_after(mark, |line| line.contains("worker ready"));
    wait_rotation(runtime, &(0..WORKERS).collect::<Vec<u16>>());
}

/// How long the last answer of each worker took; no two answers take the same time.
fn answers(runtime: &Runtime) -> BTreeMap<u16, f64> {
    let page = scrape_at(runtime.admin(), "/metrics/runtime");
    page.by_worker("rpm_metrics_worker_scrape_duration_seconds")
}

/// Workers are asked even without scrapes, so that a crash costs at most one interval.
#[test]
fn a_crash_after_the_interval_loses_nothing() {
    let server = Server::node("examples/node/metrics.js");
    let builder = server
        .workers(WORKERS)
        .env("RPM_APP_METRICS_INTERVAL", "1s");
    let runtime = serving(builder, WORKERS);
    let mut counted = Counted::new(&server, &runtime);
    for slot in 0..WORKERS {
        counted.send_to(slot, "/", 5);
    }
    // The first round may have begun before the last request.
    let mut last = BTreeMap::new();
    for _ in 0..2 {
        until("all are asked", || {
            let now = answers(&runtime);
            let is_new = now
                .iter()
                .filter(|(slot, took)| last.get(*slot) != Some(*took));
            is_new.count() == usize::from(WORKERS)
        });
        last = answers(&runtime);
    }
    crash(&runtime, 3);
    counted.scrape();
    stop(runtime);
}

#[test]
fn node_with_prom_client() {
    story(&Server::node("examples/node/metrics.js"));
}

#[test]
fn python_with_prometheus_client() {
    story(&Server::python("examples/python/metrics.py"));
}

#[test]
fn python_with_a_port_for_its_metrics() {
    story(&Server::python("examples/python/metrics.py").side_port());
}

#[test]
fn go_with_client_golang() {
    story(&Server::go());
}

/// CPU time of a process from the kernel, seconds.
fn cpu(pid: i32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = fields.split(' ').collect();
    // Ticks; Linux reports 100 a second.
    let ticks = [fields[11], fields[12]].map(|ticks| ticks.parse::<f64>().unwrap());
    (ticks[0] + ticks[1]) / 100.0
}

fn all_cpu(pids: &[i32]) -> f64 {
    pids.iter().map(|pid| cpu(*pid)).sum()
}

/// `process_*` belongs to the workers on the merged page, and to the runtime on its own page. `whole`: the library
/// exports the CPU time since the start of the process.
fn process_metrics(server: &Server, whole: bool) {
    let runtime = serving(server.workers(WORKERS), WORKERS);
    let mut counted = Counted::new(server, &runtime);
    let pids: Vec<i32> = runtime.workers().iter().map(|worker| worker.pid).collect();
    let begun = all_cpu(&pids);
    let mut before = begun;
    while before < begun + 0.2 {
        counted.send("/", 200);
        before = all_cpu(&pids);
    }
    let page = counted.scrape();
    let after = all_cpu(&pids);
    let told = page.one("process_cpu_seconds_total", &[]);
    // The kernel reports whole ticks, in user and in system mode.
    let most = after + 0.02 * f64::from(WORKERS);
    let least = if whole { before } else { before - begun } - 0.001;
    assert!((least..most).contains(&told), "{least} {told} {most}");

    let memory = page.by_worker("process_resident_memory_bytes");
    assert!(memory.keys().copied().eq(0..WORKERS), "{memory:?}");
    // Each is a process with an interpreter or language runtime.
    assert!(memory.values().all(|bytes| *bytes > 4e6), "{memory:?}");
    let begun = page.one("process_start_time_seconds", &[]);
    let files = page.one("process_max_fds", &[]);
    assert!(files >= 1.0);

    let before = cpu(runtime.pid());
    let own: Page = scrape_at(runtime.admin(), "/metrics/runtime");
    let after = cpu(runtime.pid());
    let told = own.one("process_cpu_seconds_total", &[]);
    assert!(
        (before - 0.001..=after + 0.001).contains(&told),
        "{before} {told} {after}"
    );
    // The oldest worker is younger than the runtime.
    let runtime_begun = own.one("process_start_time_seconds", &[]);
    assert!(begun >= runtime_begun - 1.0, "{begun} {runtime_begun}");
    assert!(
        own.names()
            .all(|name| { name.starts_with("rpm_") || name.starts_with("process_") })
    );
    own.one("process_resident_memory_bytes", &[]);
    stop(runtime);
}

#[test]
fn process_metrics_of_prom_client() {
    // This library counts only from the time when it was loaded.
    process_metrics(&Server::node("examples/node/metrics.js"), false);
}

#[test]
fn process_metrics_of_prometheus_client() {
    process_metrics(&Server::python("examples/python/metrics.py"), true);
}

#[test]
fn process_metrics_of_client_golang() {
    process_metrics(&Server::go(), true);
}

/// RPM_APP_METRICS_GAUGES, also for prom-client's default metrics.
#[test]
fn gauges_are_put_together_as_it_is_said() {
    let server = Server::node("examples/node/metrics.js");
    let rules = "app_queue*=sum, nodejs_eventloop_lag_max_seconds=max,nodejs_eventloop_*=drop,\
                 process_resident_memory_bytes=avg,nodejs_active_handles*=min";
    let builder = server.workers(WORKERS).env("RPM_APP_METRICS_GAUGES", rules);
    let runtime = serving(builder, WORKERS);
    let mut counted = Counted::new(&server, &runtime);
    for slot in 0..WORKERS {
        counted.send_to(slot, "/add", u64::from(slot) + 1);
    }
    let page = counted.scrape();
    assert!((page.one(QUEUE, &[]) - 10.0).abs() < 0.1);
    assert_eq!(page.kind(QUEUE), Some("gauge"));
    assert!(page.one("nodejs_eventloop_lag_max_seconds", &[]) >= 0.0);
    assert!(!page.has("nodejs_eventloop_lag_seconds"));
    assert!(page.one("process_resident_memory_bytes", &[]) > 4e6);
    assert!(page.one("nodejs_active_handles_total", &[]) >= 1.0);
    // The other gauges are unchanged.
    let heap = page.by_worker("nodejs_heap_size_used_bytes");
    assert!(heap.keys().copied().eq(0..WORKERS), "{heap:?}");
    let version = page.one("nodejs_version_info", &[]);
    assert!((version - 1.0).abs() < f64::EPSILON);

    // Two of its four jobs are gone with the worker of slot 1.
    counted.through(|| crash(&runtime, 1));
    assert!((counted.scrape().one(QUEUE, &[]) - 8.0).abs() < 0.1);
    stop(runtime);
}
