//! RPM_READY and RPM_HEALTH over TLS.

use std::fs;
use std::process::Command;

use crate::harness::reloads::reload;
use crate::harness::shared_port::{field, stop, wait_ready};
use crate::harness::status::counter;
use crate::harness::{Builder, Runtime, certificate, free_port, scratch, source, until};

const PASSED: &str = "rpm_health_checks_total{result=\"pass\"}";
const FAILED: &str = "rpm_health_checks_total{result=\"fail\"}";

fn node(port: u16, payload: &str) -> Builder {
    Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_HEALTH_INTERVAL", "200ms")
        .env("PORT", port.to_string())
        .program(["node".into(), source(payload)])
}

/// Node with a certificate that it signed itself.
fn tls(name: &str, port: u16) -> Builder {
    node(port, "tests/payloads/https.js").env("CERTIFICATE", certificate(name))
}

/// Waits until both workers have told why they are not ready, and returns one of the lines.
#[track_caller]
fn not_ready(builder: Builder) -> String {
    let runtime = builder.env("RPM_READY", "https:/healthz").start();
    let told = "worker answers the question of RPM_READY, but not with a success";
    let mut lines = runtime.wait_for_lines(2, |line| line.contains(told));
    assert_eq!(runtime.wait_for_status("/readyz", 503).status, 503);
    stop(runtime);
    lines.pop().unwrap()
}

#[test]
fn a_worker_is_asked_over_https_whatever_its_certificate() {
    let port = free_port();
    let sick = scratch("https").join("sick");
    let runtime = tls("https-node", port)
        .env("SICK", &sick)
        .env("RPM_READY", "https:/healthz")
        .env("RPM_HEALTH", format!("https::{port}/healthz"))
        .env("RPM_HEALTH_FAILURES", "1000")
        .start();
    for line in runtime.wait_for_lines(2, |line| line.contains("worker ready")) {
        assert_eq!(field(&line, "by"), "https", "{line}");
    }
    until("the workers are asked", || counter(&runtime, PASSED) >= 6);
    assert_eq!(counter(&runtime, FAILED), 0);
    fs::write(&sick, "").unwrap();
    let line = runtime.wait_for_line(|line| line.contains("worker failed a check (RPM_HEALTH)"));
    let what = format!(" port={port} failure=\"status 503\"");
    assert!(line.contains(&what), "{line}");
    fs::remove_file(&sick).unwrap();
    reload(&runtime);
    stop(runtime);
}

/// The certificates are made by caddy itself. The other name of the site is not asked for.
#[test]
fn caddy_is_ready_and_healthy_over_https_through_reloads() {
    let (port, home) = (free_port(), scratch("caddy"));
    let site = format!(
        "{{\n admin off\n auto_https disable_redirects\n skip_install_trust\n}}\n\
         https://localhost:{port}, https://caddy.example:{port} {{\n tls internal\n respond /healthz ok\n respond \"no\" 500\n}}\n"
    );
    fs::write(home.join("Caddyfile"), site).unwrap();
    let runtime = Runtime::builder()
        .env("HOME", &home)
        .env("XDG_DATA_HOME", &home)
        .env("XDG_CONFIG_HOME", &home)
        .env("RPM_INSTANCES", "2")
        .env("RPM_READY", "https:/healthz")
        .env("RPM_HEALTH", format!("https::{port}/healthz"))
        .env("RPM_HEALTH_INTERVAL", "200ms")
        .directory(&home)
        .program([
            "caddy",
            "run",
            "--adapter",
            "caddyfile",
            "--config",
            "Caddyfile",
        ])
        .start();
    wait_ready(&runtime, 2);
    let ask = || {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--insecure"])
            .arg(format!("https://localhost:{port}/healthz"))
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(ask(), "ok");
    for _ in 0..2 {
        reload(&runtime);
        let before = counter(&runtime, PASSED);
        until("the workers are asked", || {
            counter(&runtime, PASSED) >= before + 4
        });
    }
    assert_eq!(counter(&runtime, FAILED), 0, "{}", runtime.shown());
    assert_eq!(ask(), "ok");
    stop(runtime);
}

#[test]
fn a_server_that_agrees_to_no_tls_1_3_is_told_in_words() {
    let port = free_port();
    let line = not_ready(tls("https-old", port).env("MAX_VERSION", "TLSv1.2"));
    let what = format!(
        " port={port} path=/healthz failure=\"the server did not agree to TLS 1.3 (alert protocol_version)\""
    );
    assert!(line.contains(&what), "{line}");
}

#[test]
fn a_server_without_tls_is_told_in_words() {
    let port = free_port();
    let line = not_ready(node(port, "examples/node/server.js"));
    let what = format!(" port={port} path=/healthz failure=\"the answer is not TLS: ");
    assert!(line.contains(&what), "{line}");
    assert!(line.contains("HTTP/1.1 400 Bad Request"), "{line}");
}

/// Node says so only when the handshake is over for the client.
#[test]
fn a_server_that_demands_a_certificate_is_told_in_words() {
    let port = free_port();
    let line = not_ready(tls("https-mutual", port).env("MUTUAL", "1"));
    assert!(
        line.contains("it demands a certificate of the client"),
        "{line}"
    );
}
