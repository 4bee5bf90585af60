//! Clients that wait in the queue of a worker which is replaced, though the program shuts its listener down when it is
//! told to stop. The kernel then resets everybody in the queue.

use std::fs;
use std::io::Write;

use crate::harness::shared_port::{connect_to, field, queue_length, stop, v4, wait_ready};
use crate::harness::status::wait_reload_ends;
use crate::harness::{Builder, Connection, Runtime, Signal, free_port, scratch, until};

const CLIENTS: u32 = 6;

/// A client that was answered and keeps the only place of the worker, and others that wait in the queue. Reloads, and
/// returns when all who waited have been answered.
#[track_caller]
fn nobody_who_waits_is_lost(service: Builder, port: u16) {
    let runtime = service
        .env("RPM_READY", "listen")
        .env("RPM_DRAIN_TIMEOUT", "500ms")
        .start();
    wait_ready(&runtime, 1);
    let mut kept = Connection::open(v4(port)).unwrap();
    assert_eq!(kept.get("/").unwrap().status, 200);
    let clients: Vec<Connection> = (0..CLIENTS)
        .map(|_| {
            let mut client = connect_to(v4(port));
            client
                .write_all(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
                .unwrap();
            client.into()
        })
        .collect();
    let listener = format!("127.0.0.1:{port}");
    until("they wait", || {
        queue_length(&runtime, &listener, 0) >= f64::from(CLIENTS)
    });
    let mark = runtime.mark();
    runtime.signal(Signal::SIGHUP);
    let line = runtime.wait_for_line_after(mark, |line| line.contains("clients still waited"));
    assert_eq!(field(&line, "connections"), CLIENTS.to_string());
    for mut client in clients {
        let reply = client.reply();
        let reply = reply.unwrap_or_else(|error| panic!("{error}: {}", runtime.shown()));
        assert_eq!(reply.status, 200);
    }
    let end = wait_reload_ends(&runtime, mark);
    assert!(end.contains("success"), "{end}");
    stop(runtime);
}

/// One connection at a time, in blocking mode.
#[test]
fn clients_of_a_program_that_shuts_its_listener_down_at_its_stop_are_served_by_its_successor() {
    let port = free_port();
    let program = format!(
        "import os, signal, socket\n\
         s = socket.create_server(('127.0.0.1', {port}), backlog=64)\n\
         def term(*_):\n\
         \x20   s.shutdown(socket.SHUT_RDWR)\n\
         \x20   os._exit(0)\n\
         signal.signal(signal.SIGTERM, term)\n\
         while True:\n\
         \x20   c = s.accept()[0]\n\
         \x20   while c.recv(4096): c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')\n\
         \x20   c.close()\n"
    );
    let service = Runtime::builder().program(["/usr/bin/python3", "-c", &program]);
    nobody_who_waits_is_lost(service, port);
}

/// starman calls shutdown on its listener at SIGTERM. One child, which serves one connection at a time.
#[test]
fn clients_of_starman_are_served_by_its_successor() {
    let port = free_port();
    let file = scratch("starman").join("app.psgi");
    fs::write(&file, "sub { [200, ['Content-Length' => 2], ['ok']] };\n").unwrap();
    let service = Runtime::builder().program([
        "starman",
        "--workers",
        "1",
        "--keepalive-timeout",
        "60",
        "--listen",
        &format!("127.0.0.1:{port}"),
        &file.display().to_string(),
    ]);
    nobody_who_waits_is_lost(service, port);
}
