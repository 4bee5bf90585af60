//! A reload loses no datagram of clients that wait for each answer, whatever the program does on SIGTERM.

use crate::harness::datagrams::ClosedLoop;
use crate::harness::reloads::reload;
use crate::harness::shared_port::{stop, v4, wait_ready};
use crate::harness::{Runtime, free_port, source};

const WORKERS: usize = 3;
/// Each replaces all workers.
const RELOADS: u64 = 3;
const REQUESTS: u64 = 10_000;

fn loses_nothing(program: [&str; 2], work: &str) {
    let port = free_port();
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", WORKERS.to_string())
        .env("WORK", work)
        // What the program has in hand cannot be seen; on a busy machine its few milliseconds may become many.
        .env("RPM_UDP_GRACE", "1s")
        .arg(program[0])
        .arg(source(program[1]))
        .arg(port.to_string())
        .start();
    wait_ready(&runtime, WORKERS);
    let clients = ClosedLoop::start(v4(port), 16);
    for _ in 0..RELOADS {
        clients.wait_answers(300);
        reload(&runtime);
    }
    // In steps that a slow machine completes within the time limit.
    while clients.answered() < REQUESTS {
        clients.wait_answers(200);
    }
    let answered = clients.answered();
    assert_eq!(clients.stop(), 0, "of {answered}\n{}", runtime.shown());
    stop(runtime);
}

#[test]
fn reloads_of_a_udp_server_in_python_lose_no_request() {
    loses_nothing(["/usr/bin/python3", "tests/payloads/udp_echo.py"], "2");
}

#[test]
fn reloads_of_a_udp_server_in_node_lose_no_request() {
    loses_nothing(["node", "tests/payloads/udp_echo.js"], "5");
}
