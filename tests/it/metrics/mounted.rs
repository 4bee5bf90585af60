//! Application metrics of FastAPI under uvicorn: behind a redirect, and with several processes in one worker.

use crate::harness::scraping::{Page, python_packages};
use crate::harness::shared_port::{stop, wait_ready, wait_rotation};
use crate::harness::{Builder, Runtime, free_port, http_get, source, until};

const WORKERS: u16 = 2;
const TOLD: &str = "several processes of a worker accept on its port";

fn uvicorn(port: u16) -> Builder {
    Runtime::builder()
        .env("RPM_INSTANCES", WORKERS.to_string())
        .env("RPM_APP_METRICS", "/metrics")
        .env("RPM_READY", "listen")
        .env("PYTHONPATH", python_packages())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .program(["uvicorn", "mounted:app", "--app-dir"])
        .arg(source("tests/payloads"))
        .arg("--port")
        .arg(port.to_string())
}

fn serving(builder: Builder) -> Runtime {
    let runtime = builder.start();
    wait_ready(&runtime, WORKERS.into());
    wait_rotation(&runtime, &[0, 1]);
    runtime
}

fn page(runtime: &Runtime) -> Page {
    Page::read(&runtime.get("/metrics").text())
}

#[test]
fn metrics_that_are_mounted_behind_a_redirect_are_read() {
    let port = free_port();
    let runtime = serving(uvicorn(port));
    until("all workers have answered", || {
        let success = page(&runtime).by_worker("rpm_metrics_worker_scrape_success");
        success.len() == usize::from(WORKERS) && success.values().all(|value| *value > 0.0)
    });
    for _ in 0..20 {
        let reply = http_get(("127.0.0.1", port), "/").unwrap();
        assert_eq!(reply.status, 200);
    }
    assert_eq!(page(&runtime).sum("app_requests_total", &[]), 20);
    let log = runtime.shown();
    assert!(log.contains("GET /metrics HTTP/1.1\" 307"), "{log}");
    assert!(!log.contains("cannot read a worker's metrics"), "{log}");
    assert!(!log.contains(TOLD), "{log}");
    stop(runtime);
}

#[test]
fn a_worker_with_several_processes_that_accept_is_told_of_once() {
    let runtime = serving(uvicorn(free_port()).arg("--workers").arg("2"));
    until("a worker is told of", || {
        page(&runtime);
        runtime.shown().contains(TOLD)
    });
    for _ in 0..10 {
        page(&runtime);
    }
    let log = runtime.shown();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(TOLD)).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("processes=2"), "{}", lines[0]);
    assert!(lines[0].contains("RPM_INSTANCES"), "{}", lines[0]);
    stop(runtime);
}
