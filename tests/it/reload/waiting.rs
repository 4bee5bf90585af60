//! Clients that wait in the queue of a worker which is replaced, though the program shuts its listener down when it is
//! told to stop. The kernel then resets everybody in the queue.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use crate::harness::reloads::pids;
use crate::harness::shared_port::{
    connect_to, field, freeze, queue_length, send, stop, v4, wait_ready,
};
use crate::harness::status::wait_reload_ends;
use crate::harness::{
    Builder, Connection, Runtime, Signal, example, free_port, process, scratch, source, until,
};

const CLIENTS: u32 = 6;

/// How a client takes the only place of the worker, and gives it back.
struct Place<'a> {
    take: &'a dyn Fn(&mut Connection),
    free: &'a dyn Fn(),
}

/// All who waited are answered, one after the other, and the reload that began at `mark` replaces the worker.
#[track_caller]
fn all_are_answered(runtime: Runtime, clients: Vec<Connection>, mark: usize) {
    for mut client in clients {
        let reply = client.reply();
        let reply = reply.unwrap_or_else(|error| panic!("{error}: {}", runtime.shown()));
        assert_eq!(reply.status, 200);
        // The next one gets the place.
        drop(client);
    }
    let end = wait_reload_ends(&runtime, mark);
    assert!(end.contains("success"), "{end}");
    stop(runtime);
}

/// Waits until a client has the only place of the worker, and others wait in the queue. Reloads, and returns when all who
/// waited have been answered.
#[track_caller]
fn nobody_who_waits_is_lost(service: Builder, port: u16, place: &Place<'_>) {
    let runtime = service
        .env("RPM_READY", "listen")
        .env("RPM_DRAIN_TIMEOUT", "500ms")
        .start();
    wait_ready(&runtime, 1);
    let mut kept = Connection::open(v4(port)).unwrap();
    (place.take)(&mut kept);
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
    // Now the program can stop, as it likes to.
    (place.free)();
    drop(kept);
    all_are_answered(runtime, clients, mark);
}

/// The worker is suspended, so it accepts nobody, and the drain has no limit.
#[test]
fn clients_in_the_queue_of_a_draining_worker_that_accepts_nobody_are_served_by_its_successor() {
    let port = free_port();
    let runtime = Runtime::builder()
        .env("PORT", port.to_string())
        .env("RPM_READY", "listen")
        .env("RPM_DRAIN_TIMEOUT", "1h")
        .program([example("echo_server")])
        .start();
    wait_ready(&runtime, 1);
    let old = *pids(&runtime).first().unwrap();
    freeze(old);
    let clients: Vec<Connection> = (0..CLIENTS)
        .map(|_| {
            let mut client = connect_to(v4(port));
            client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
            client.into()
        })
        .collect();
    let mark = runtime.mark();
    runtime.signal(Signal::SIGHUP);
    all_are_answered(runtime, clients, mark);
}

/// A program that serves one connection at a time, in blocking mode, and writes a file when it was stopped and goes on. Its
/// only place is taken, `suspended` or not, and others wait in its queue while it drains without a limit.
struct Taken {
    runtime: Runtime,
    old: i32,
    kept: Connection,
    clients: Vec<Connection>,
    continued: PathBuf,
    /// The place in the log before the reload.
    mark: usize,
}

impl Taken {
    #[track_caller]
    fn new(suspended: bool) -> Self {
        let port = free_port();
        let continued = scratch("taken").join("continued");
        let program = format!(
            "import signal, socket\n\
             signal.signal(signal.SIGCONT, lambda *_: open('{}', 'w').close())\n\
             s = socket.create_server(('127.0.0.1', {port}), backlog=64)\n\
             while True:\n\
             \x20   c = s.accept()[0]\n\
             \x20   while c.recv(4096): c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')\n\
             \x20   c.close()\n",
            continued.display()
        );
        let runtime = Runtime::builder()
            .env("RPM_READY", "listen")
            .env("RPM_DRAIN_TIMEOUT", "1h")
            .env("RPM_LOG_LEVEL", "debug")
            .program(["/usr/bin/python3", "-c", &program])
            .start();
        wait_ready(&runtime, 1);
        let old = *pids(&runtime).first().unwrap();
        let mut kept = Connection::open(v4(port)).unwrap();
        assert_eq!(kept.get("/").unwrap().status, 200);
        if suspended {
            freeze(old);
        }
        let clients = (0..CLIENTS)
            .map(|_| {
                let mut client = connect_to(v4(port));
                client
                    .write_all(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
                    .unwrap();
                client.into()
            })
            .collect();
        let mark = runtime.mark();
        runtime.signal(Signal::SIGHUP);
        Self {
            runtime,
            old,
            kept,
            clients,
            continued,
            mark,
        }
    }

    /// Gives the place back. All are answered, and the reload ends.
    #[track_caller]
    fn ends_well(self) {
        drop(self.kept);
        all_are_answered(self.runtime, self.clients, self.mark);
    }
}

#[test]
fn a_busy_worker_that_blocks_in_accept_is_not_suspended_while_it_drains() {
    let taken = Taken::new(false);
    let spared = |line: &str| line.contains("it is not suspended to pass them on");
    let first = taken.runtime.wait_for_line_after(taken.mark, spared);
    assert_eq!(field(&first, "connections"), CLIENTS.to_string());
    taken.runtime.wait_for_lines(2, spared);
    assert!(!taken.continued.exists(), "{}", taken.runtime.shown());
    taken.ends_well();
}

#[test]
fn a_suspended_worker_that_blocks_in_accept_stays_so_when_its_clients_are_passed_on() {
    let taken = Taken::new(true);
    let passed = |line: &str| line.contains("clients still waited");
    let line = taken.runtime.wait_for_line_after(taken.mark, passed);
    assert_eq!(field(&line, "connections"), CLIENTS.to_string());
    let state = process(taken.old).map(|process| process.state);
    assert_eq!(state, Some('T'), "{}", taken.runtime.shown());
    send(taken.old, Signal::SIGCONT);
    until("it goes on", || taken.continued.exists());
    taken.ends_well();
}

/// It is answered, and keeps its connection open.
const ANSWERED: Place<'static> = Place {
    take: &|client| assert_eq!(client.get("/").unwrap().status, 200),
    free: &|| (),
};

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
    nobody_who_waits_is_lost(service, port, &ANSWERED);
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
    nobody_who_waits_is_lost(service, port, &ANSWERED);
}

/// WEBrick shuts its listener down at its stop. One connection at a time.
#[test]
fn clients_of_webrick_are_served_by_its_successor() {
    let port = free_port();
    let program = format!(
        "require 'webrick'\n\
         s = WEBrick::HTTPServer.new(BindAddress: '127.0.0.1', Port: {port}, MaxClients: 1, RequestTimeout: 60)\n\
         s.mount_proc('/') {{ |_, answer| answer.body = 'ok' }}\n\
         trap('TERM') {{ s.shutdown }}\n\
         s.start\n"
    );
    let service = Runtime::builder().program(["ruby", "-e", &program]);
    nobody_who_waits_is_lost(service, port, &ANSWERED);
}

/// Sanic shuts its listener down at its stop. Its event loop is busy with one request until a file exists.
#[test]
fn clients_of_sanic_are_served_by_its_successor() {
    let port = free_port();
    let directory = scratch("sanic");
    let (begun, goes_on) = (directory.join("begun"), directory.join("goes-on"));
    let file = directory.join("server.py");
    let program = format!(
        "import os, time\n\
         from sanic import Sanic, text\n\
         app = Sanic('app')\n\
         @app.get('/')\n\
         async def root(request): return text('ok')\n\
         @app.get('/busy')\n\
         async def busy(request):\n\
         \x20   open('{}', 'w').close()\n\
         \x20   while not os.path.exists('{}'): time.sleep(0.01)\n\
         \x20   return text('ok')\n\
         app.run(host='127.0.0.1', port={port}, single_process=True, motd=False)\n",
        begun.display(),
        goes_on.display()
    );
    fs::write(&file, program).unwrap();
    let service = Runtime::builder()
        .env("PYTHONPATH", source("target/sanic"))
        .program(["/usr/bin/python3", &file.display().to_string()]);
    let place = Place {
        take: &|client| {
            let request = b"GET /busy HTTP/1.1\r\nHost: here\r\n\r\n";
            client.stream().write_all(request).unwrap();
            until("the request is in work", || begun.exists());
        },
        free: &|| fs::write(&goes_on, "").unwrap(),
    };
    nobody_who_waits_is_lost(service, port, &place);
}
