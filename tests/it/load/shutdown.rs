//! The shutdown of a pod: readiness fails at once, and clients are served until every load balancer has noticed it.

use std::io::Write;

use super::{WORKERS, lost_nothing};
use crate::harness::load::{Load, Style};
use crate::harness::programs::Program;
use crate::harness::shared_port::{connect_to, v4, wait_ready};
use crate::harness::{Connection, Runtime, Signal, until};

/// SIGTERM under load. The clients continue for `heard` answers after the first 503, as if an endpoint controller and
/// its proxies needed that time.
fn ends_without_loss(program: &Program, style: Style, heard: u64) {
    let mut runtime = program
        .workers(WORKERS)
        .env("RPM_SHUTDOWN_DELAY", "2s")
        .start();
    wait_ready(&runtime, WORKERS);
    runtime.wait_for_status("/readyz", 200);
    let load = Load::run(program.plan(16, style).strict());
    load.wait_answers(500);
    begin_stop(&runtime);
    load.wait_answers(heard);
    // Before the end of the delay: the answers above take a fraction of it.
    let report = load.stop();
    assert!(!runtime.has_ended(), "{}", runtime.shown());
    lost_nothing("clients of a pod that ends", &report, &runtime);
    assert_eq!(runtime.wait_exit().code(), Some(0), "{}", runtime.shown());
}

#[test]
fn a_shutdown_with_a_delay_loses_no_request_of_node_without_a_handler() {
    ends_without_loss(&Program::node(), Style::Short, 100);
}

#[test]
fn a_shutdown_with_a_delay_loses_no_request_of_python_http_server() {
    ends_without_loss(&Program::python_http_server(), Style::Short, 100);
}

#[test]
fn a_shutdown_with_a_delay_loses_no_request_of_a_static_go_server() {
    ends_without_loss(&Program::go(), Style::Short, 100);
}

#[test]
fn a_shutdown_with_a_delay_loses_no_request_on_kept_connections() {
    ends_without_loss(&Program::node(), Style::Bounded(20), 100);
}

fn begin_stop(runtime: &Runtime) {
    runtime.signal(Signal::SIGTERM);
    runtime.wait_for_status("/readyz", 503);
}

/// Without a delay: requests in progress at SIGTERM are answered, although SIGTERM would kill the program at once.
#[test]
fn requests_in_work_at_the_stop_are_answered() {
    let program = Program::rust();
    let mut runtime = program.workers(WORKERS).start();
    wait_ready(&runtime, WORKERS);
    let clients: Vec<Connection> = (0..40)
        .map(|_| {
            let mut client = connect_to(v4(program.port));
            client
                .write_all(b"GET /slow/1000 HTTP/1.1\r\nConnection: close\r\n\r\n")
                .unwrap();
            client.into()
        })
        .collect();
    begin_stop(&runtime);
    for mut client in clients {
        let reply = client.reply();
        let reply = reply.unwrap_or_else(|error| panic!("{error}; {}", runtime.shown()));
        assert_eq!(reply.status, 200);
    }
    assert_eq!(runtime.wait_exit().code(), Some(0), "{}", runtime.shown());
}

/// A client that never leaves delays the end by the drain's time limit, and no longer.
#[test]
fn a_client_that_never_leaves_does_not_hold_the_end_up() {
    let program = Program::rust();
    let mut runtime = program.workers(2).env("RPM_DRAIN_TIMEOUT", "300ms").start();
    wait_ready(&runtime, 2);
    let load = Load::run(program.plan(4, Style::KeepAlive));
    load.wait_answers(100);
    begin_stop(&runtime);
    until("the runtime ends", || runtime.has_ended());
    assert_eq!(runtime.wait_exit().code(), Some(0), "{}", runtime.shown());
    load.stop();
}
