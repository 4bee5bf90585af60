//! Workers that become ready while clients send requests without pauses.

use crate::harness::load::{Load, Style};
use crate::harness::shared_port::{stop, v4, wait_ready};
use crate::harness::{Runtime, example, free_port};
use crate::ports::opening::{python, server};

/// Clients wait in the queues of workers that are not ready yet; these queues need not be empty.
#[test]
fn workers_get_ready_by_tcp_under_load() {
    let port = free_port();
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_PORTS", format!("0.0.0.0:{port}"))
        .env("RPM_READY", "tcp")
        .env("PORT", port.to_string())
        .program([
            "sh".to_owned(),
            "-c".to_owned(),
            format!("exec {} --delay 30", example("echo_server").display()),
        ])
        .start();
    let load = Load::start(v4(port), 60, Style::Short);
    wait_ready(&runtime, 2);
    load.wait_answers(100);
    let report = load.stop();
    assert_eq!(report.by_pid.len(), 2, "{report:?}");
    stop(runtime);
}

/// A worker that serves one client at a time may wait for a request on the runtime's own connection, which never sends
/// one.
#[test]
fn a_worker_that_serves_one_at_a_time_gets_ready_by_tcp_under_load() {
    let port = free_port();
    let server = server(&format!("s = socket.create_server(('0.0.0.0', {port}))"));
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_PORTS", format!("0.0.0.0:{port}"))
        .env("RPM_READY", "tcp")
        .program(python(&server))
        .start();
    let load = Load::start(v4(port), 40, Style::Short);
    wait_ready(&runtime, 2);
    load.wait_answers(100);
    load.stop();
    stop(runtime);
}
