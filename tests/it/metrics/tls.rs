//! Metrics of programs whose port speaks TLS, so that workers cannot be asked.

use std::path::Path;
use std::process::Command;

use crate::harness::certificate;
use crate::harness::reloads::reload;
use crate::harness::scraping::{Server, WORKERS, scrape, serving};
use crate::harness::shared_port::{field, steered_port, stop};

/// Sends `count` requests by TLS on one connection to the worker of a slot; `nr` distinguishes several connections.
#[track_caller]
fn send_to(port: u16, slot: u16, nr: u8, count: u64) {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--insecure"])
        .args(["--interface", &format!("127.0.4.{nr}")])
        .args(["--local-port", &steered_port(slot).to_string()])
        .arg(format!("https://127.0.0.1:{port}/[1-{count}]"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "hello\n".repeat(count.try_into().unwrap()));
}

#[test]
fn a_plain_port_beside_it_tells_the_metrics() {
    let directory = certificate("tls");
    let server = Server::node("tests/payloads/tls.js").side_port();
    let builder = server.workers(WORKERS).env("CERTIFICATE", &directory);
    let runtime = serving(builder, WORKERS);
    for slot in 0..WORKERS {
        let nr = u8::try_from(slot).unwrap() + 1;
        send_to(server.port, slot, nr, u64::from(nr) * 10);
    }
    let page = scrape(&runtime);
    assert_eq!(page.sum("app_requests_total", &[]), 100);
    let success = page.by_worker("rpm_metrics_worker_scrape_success");
    assert!(success.keys().copied().eq(0..WORKERS), "{success:?}");
    assert!(success.values().all(|ok| *ok > 0.5), "{success:?}");
    reload(&runtime);
    assert_eq!(scrape(&runtime).sum("app_requests_total", &[]), 100);
    let texts = runtime.texts();
    let opened = texts.iter().filter(|line| line.contains("sharing a port"));
    assert_eq!(opened.count(), 2, "{texts:?}");
    stop(runtime);
}

/// The log reports it once for each worker, with the remedy.
fn is_told(server: &Server, directory: &Path) {
    let runtime = serving(server.workers(2).env("CERTIFICATE", directory), 2);
    for _ in 0..3 {
        let page = scrape(&runtime);
        assert!(page.names().all(|name| name.starts_with("rpm_")));
        let success = page.by_worker("rpm_metrics_worker_scrape_success");
        assert!(success.keys().copied().eq(0..2), "{success:?}");
        assert!(success.values().all(|ok| *ok < 0.5), "{success:?}");
    }
    let texts = runtime.texts();
    let told: Vec<&String> = texts
        .iter()
        .filter(|line| line.contains("cannot read a worker's metrics"))
        .collect();
    assert_eq!(told.len(), 2, "{texts:?}");
    let mut slots: Vec<&str> = told.iter().map(|line| field(line, "slot")).collect();
    slots.sort_unstable();
    assert_eq!(slots, ["0", "1"]);
    for line in told {
        for part in [
            "port speaks TLS",
            "RPM_APP_METRICS can name a plain port as :PORT/path, or be multiproc",
        ] {
            assert!(line.contains(part), "{line}");
        }
    }
    stop(runtime);
}

#[test]
fn without_one_the_log_says_why_node_tells_nothing() {
    let server = Server::node("tests/payloads/tls.js");
    is_told(&server, &certificate("tls-node"));
}

#[test]
fn without_one_the_log_says_why_python_tells_nothing() {
    let server = Server::python("tests/payloads/tls.py");
    is_told(&server, &certificate("tls-python"));
}
