//! `RPM_READY=message`: a worker is ready when it says so, and not when it listens.

use std::io::Write;

use super::answered_by;
use crate::harness::nodes::{Node, Service, with_each_node};
use crate::harness::reloads::reload_fails;
use crate::harness::shared_port::wait_rotation;
use crate::harness::{Builder, Connection, Runtime, Signal};

fn by_message(builder: Builder) -> Builder {
    builder.env("RPM_READY", "message")
}

/// A request that is sent, and not yet answered.
fn ask(service: &Service) -> Connection {
    let mut client = Connection::open(service.v4()).unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    client.stream().write_all(request).unwrap();
    client
}

/// Gives a worker that may accept every occasion to do so; tells how many requests it has answered.
#[track_caller]
fn answered(node: &mut Node) -> u64 {
    let turns = "(async () => { for (let turn = 0; turn < 50; turn++) await new Promise((done) => setTimeout(done, 1)); \
                 return answered; })()";
    node.run(turns).as_u64().unwrap()
}

/// Waits until `count` workers of a slot were ready, one after the other.
fn worker_ready(runtime: &Runtime, slot: u16, count: usize) {
    let word = format!(" slot={slot} ");
    runtime.wait_for_lines(count, |line| {
        line.contains("worker ready") && line.contains(&word)
    });
}

#[test]
fn at_the_first_start_no_request_is_answered_before_a_worker_says_ready() {
    with_each_node(|version| {
        let mut service = Service::with(version, 2, "serve(PORT)", by_message);
        let mut clients: Vec<Connection> = (0..10).map(|_| ask(&service)).collect();
        for node in &mut service.workers {
            assert_eq!(answered(node), 0, "Node {version}");
        }
        service.workers[1].run("send('ready')");
        for client in &mut clients {
            assert_eq!(client.reply().unwrap().json()["slot"], "1");
        }
        assert_eq!(answered(&mut service.workers[0]), 0);
        service.workers[0].run("send('ready')");
        let service = service.ready();
        service.stop();
    });
}

#[test]
fn after_a_crash_the_next_worker_gets_nothing_before_it_says_ready() {
    with_each_node(|version| {
        let mut service = Service::with(version, 2, "serve(PORT)", by_message);
        service.each("send('ready')");
        let mut service = service.ready();
        service.replace(0);
        for _ in 0..30 {
            let reply = ask(&service).reply().unwrap();
            assert_eq!(reply.json()["slot"], "1", "Node {version}");
        }
        assert_eq!(answered(&mut service.workers[0]), 0);
        service.workers[0].run("send('ready')");
        worker_ready(&service.runtime, 0, 2);
        wait_rotation(&service.runtime, &[0, 1]);
        answered_by(service.v4(), &[0, 1]);
        service.stop();
    });
}

#[test]
fn with_one_worker_requests_wait_for_the_successor_to_say_ready() {
    with_each_node(|version| {
        let mut service = Service::with(version, 1, "serve(PORT)", by_message);
        service.workers[0].run("send('ready')");
        let mut service = service.ready();
        service.replace(0);
        let mut client = ask(&service);
        assert_eq!(answered(&mut service.workers[0]), 0, "Node {version}");
        service.workers[0].run("send('ready')");
        assert_eq!(client.reply().unwrap().status, 200);
        service.stop();
    });
}

#[test]
fn in_a_reload_the_old_worker_serves_until_the_new_one_says_ready() {
    with_each_node(|version| {
        let mut service = Service::with(version, 2, "serve(PORT)", by_message);
        service.each("send('ready')");
        let mut service = service.ready();
        let mark = service.runtime.mark();
        service.runtime.signal(Signal::SIGHUP);
        for _ in 0..2 {
            let mut new = service.nodes.next();
            for _ in 0..30 {
                let reply = ask(&service).reply().unwrap();
                assert_ne!(reply.pid(), i64::from(new.pid), "Node {version}");
            }
            assert_eq!(answered(&mut new), 0);
            new.run("send('ready')");
            let slot = usize::from(new.slot);
            service.workers[slot] = new;
        }
        let ended = |line: &str| line.contains("reload finished");
        let line = service.runtime.wait_for_line_after(mark, ended);
        assert!(line.contains("result=success"), "{line}");
        answered_by(service.v4(), &[0, 1]);
        service.stop();
    });
}

#[test]
fn a_reload_onto_a_version_that_never_says_ready_leaves_the_old_workers() {
    let mut service = Service::with(22, 2, "serve(PORT)", |builder| {
        by_message(builder).env("RPM_READY_TIMEOUT", "2s")
    });
    service.each("send('ready')");
    let service = service.ready();
    reload_fails(&service.runtime);
    answered_by(service.v4(), &[0, 1]);
    service.stop();
}
