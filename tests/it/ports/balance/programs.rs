//! Programs that get their listener in other ways, or whose connections are hard to see.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::kept::{Kept, Service, echoes};
use crate::harness::shared_port::v4;
use crate::harness::{Builder, Connection, Runtime, example, free_port, source, until};

fn keeping(words: &[&str]) -> Builder {
    let program = [
        "/usr/bin/python3".into(),
        source("tests/payloads/keeping.py"),
    ];
    let builder = Runtime::builder().program(program);
    builder.program(words)
}

/// The client asks nothing before all have come, because Node closes connections that stay idle after an answer.
#[track_caller]
fn even_when_asked_at_last(mut service: Service, port: u16) {
    service.even_unasked(16, v4(port));
    service.stop();
}

#[test]
fn a_node_server_without_a_change_is_even() {
    for handover in ["auto", "node", "intercept"] {
        let port = free_port();
        let service = Runtime::builder()
            .env("RPM_READY", "listen")
            .env("RPM_HANDOVER", handover)
            .env("PORT", port.to_string())
            .arg("node")
            .arg(source("examples/node/server.js"));
        even_when_asked_at_last(Service::start(service, 4), port);
    }
}

/// All requests of a client go over one connection, and so to one worker.
#[test]
fn clients_of_http_2_are_even_and_each_stays_at_its_worker() {
    let port = free_port();
    let service = Runtime::builder()
        .env("RPM_READY", "listen")
        .env("PORT", port.to_string())
        .arg("node")
        .arg(source("tests/payloads/h2.js"));
    let mut service = Service::start(service, 4);
    let before = service.seen();
    for _ in 0..12 {
        let mut connection = service.arrives(|| Connection::open(v4(port)).unwrap());
        let stream = connection.stream();
        // The preface of a client and its empty SETTINGS (RFC 9113, 3.4).
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .unwrap();
        let slot = ask_over_http_2(stream, 1);
        assert_eq!(ask_over_http_2(stream, 3), slot);
        service.kept.push(Kept { connection, slot });
        service.is_even(before, 1);
    }
    service.stop();
}

/// Sends GET / as the stream with this number, and returns the slot that answers.
fn ask_over_http_2(stream: &mut TcpStream, number: u8) -> u16 {
    // HEADERS with END_STREAM and END_HEADERS; of the static table :method GET, :scheme http, :path /, and the name of
    // :authority (RFC 7541, A).
    let mut headers = vec![0, 0, 14, 1, 5, 0, 0, 0, number, 0x82, 0x86, 0x84, 0x01, 9];
    headers.extend(b"localhost");
    stream.write_all(&headers).unwrap();
    let mut body = Vec::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let [high, middle, low, kind, flags, ..] = head;
        let length = u32::from_be_bytes([0, high, middle, low]);
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut frame).unwrap();
        // DATA, until END_STREAM. The rest is about the connection.
        if kind == 0 {
            body.extend(frame);
            if flags & 1 == 1 {
                let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
                return body["slot"].as_str().unwrap().parse().unwrap();
            }
        }
    }
}

#[test]
fn listeners_that_are_passed_on_as_descriptors_are_even() {
    let port = free_port();
    let service = keeping(&["activated"])
        .env("RPM_HANDOVER", "activation")
        .env("RPM_PORTS", format!("127.0.0.1:{port}"))
        .env("RPM_READY", "tcp");
    let mut service = Service::start(service, 4);
    service
        .runtime
        .wait_for_line(|line| line.contains(" ports handover=activation steering=least"));
    service.even_after_each(16, |_| v4(port));
    service.stop();
}

/// The connections are those of the shell's child.
#[test]
fn a_server_behind_a_shell_is_even_and_counted() {
    let port = free_port();
    let script = format!("{}; true", example("echo_server").display());
    let service = Runtime::builder()
        .env("PORT", port.to_string())
        .env("RPM_READY", "listen")
        .env("RPM_SIGNAL_SCOPE", "group")
        .program(["sh", "-c", &script]);
    even_and_counted(Service::start(service, 4), port);
}

/// Root may look into all processes.
#[test]
fn workers_of_another_user_are_even_and_counted() {
    let port = free_port();
    let service = keeping(&["user", &format!("0.0.0.0:{port}")]).env("RPM_READY", "listen");
    let service = Service::start(service, 4);
    service
        .runtime
        .wait_for_lines(4, |line| line == "serving as 65534");
    even_and_counted(service, port);
}

#[track_caller]
fn even_and_counted(mut service: Service, port: u16) {
    service.even_after_each(16, |_| v4(port));
    service.close(1, service.tally()[1]);
    service.gets_even_with_time(v4(port));
    service.stop();
}

#[test]
fn workers_that_cannot_be_looked_into_take_turns() {
    let port = free_port();
    let service = keeping(&["user", &format!("0.0.0.0:{port}")])
        .env("RPM_READY", "listen")
        .pid1()
        // Root may look into other processes only because of this capability.
        .under(["setpriv", "--bounding-set=-sys_ptrace", "--"]);
    let mut service = Service::start(service, 4);
    service
        .runtime
        .wait_for_lines(4, |line| line == "serving as 65534");
    service.even_after_each(16, |_| v4(port));
    until("nobody knows their connections", || {
        let status = service.runtime.get("/status").json();
        status["balance"]["spread"].is_null()
    });
    service.stop();
}

#[test]
fn many_workers_with_two_clients_each_are_even() {
    let port = free_port();
    let mut service = Service::start(echoes(port), 24);
    service.even_after_each(48, |_| v4(port));
    service.stop();
}
