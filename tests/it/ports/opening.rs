//! What a port must withstand while it opens, and unusual binds of programs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use crate::harness::shared_port::{send, stop, v4, wait_ready};
use crate::harness::{Runtime, example, free_port, http_get, patience, until};

/// A Python program as a command.
pub fn python(text: &str) -> Vec<String> {
    ["/usr/bin/python3", "-c", text].map(str::to_owned).to_vec()
}

/// A program that starts to listen by `start` and answers one client after the other with its PID.
pub fn server(start: &str) -> String {
    format!(
        "import os, socket\n\
         {start}\n\
         while True:\n\
         \x20   c, _ = s.accept()\n\
         \x20   if not c.recv(4096): continue\n\
         \x20   body = b'{{\"pid\":%d}}' % os.getpid()\n\
         \x20   c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s' % (len(body), body))\n\
         \x20   c.close()\n"
    )
}

/// Clients that repeatedly connect while the port opens are all answered: none ends in a queue without a worker.
#[test]
fn clients_that_come_while_the_port_opens_are_answered() {
    for _ in 0..3 {
        let port = free_port();
        let early = thread::spawn(move || {
            let end = Instant::now() + patience();
            let mut clients: Vec<TcpStream> = Vec::new();
            while clients.len() < 300 && Instant::now() < end {
                clients.extend(TcpStream::connect(v4(port)));
            }
            clients
        });
        let runtime = Runtime::builder()
            .env("RPM_INSTANCES", "8")
            .env("PORT", port.to_string())
            .env("RPM_READY", "listen")
            .arg(example("echo_server"))
            .start();
        wait_ready(&runtime, 8);
        let mut clients = early.join().unwrap();
        assert_eq!(clients.len(), 300);
        let answered = clients.iter_mut().filter_map(|client| {
            client.set_read_timeout(Some(patience())).unwrap();
            client
                .write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
                .unwrap();
            let mut answer = String::new();
            client
                .read_to_string(&mut answer)
                .ok()
                .filter(|_| answer.contains("pid"))
        });
        assert_eq!(answered.count(), 300, "{}", runtime.shown());
        stop(runtime);
    }
}

/// `bind` ignores the flow label and, for a wildcard, the scope: with any of them it is the same port.
#[test]
fn an_ipv6_address_with_a_flow_is_the_same_port_for_all() {
    let port = free_port();
    let server = server(&format!(
        "s = socket.socket(socket.AF_INET6)\n\
         s.bind(('::', {port}, os.getpid() & 0xfffff, 0))\n\
         s.listen()"
    ));
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "3")
        .program(python(&server))
        .start();
    wait_ready(&runtime, 3);
    let mut pids = std::collections::BTreeSet::new();
    until("all three answer", || {
        pids.insert(http_get(v4(port), "/").unwrap().pid());
        pids.len() == 3
    });
    let texts = runtime.texts();
    let shared = texts
        .iter()
        .filter(|line| line.contains("info: sharing a port"));
    assert_eq!(shared.count(), 1, "{texts:?}");
    stop(runtime);
}

/// A program that binds many fixed ports uses a limited number of descriptors, and can be started again.
#[test]
fn a_program_that_binds_hundreds_of_ports_does_not_use_up_the_descriptors() {
    let first = 12_000;
    let program = format!(
        "import socket, time\n\
         for port in range({first}, {first} + 600):\n\
         \x20   s = socket.socket()\n\
         \x20   try: s.bind(('127.0.0.1', port))\n\
         \x20   except OSError: pass\n\
         \x20   s.close()\n\
         print('tried all', flush=True)\n\
         time.sleep(1000)\n"
    );
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "4")
        .program(python(&program))
        .start();
    runtime.wait_for_lines(4, |line| line == "tried all");
    runtime.wait_for_line(|line| line.contains("too many ports are shared already"));
    let open = std::fs::read_dir(format!("/proc/{}/fd", runtime.pid()))
        .unwrap()
        .count();
    // A listener and a bell for each slot and the spare.
    assert!(open < 2 * 5 * 64 + 100, "{open}");
    for worker in runtime.wait_workers(4) {
        send(worker.pid, nix::sys::signal::Signal::SIGKILL);
    }
    runtime.wait_for_lines(8, |line| line == "tried all");
    stop(runtime);
}

/// The list names another address than the program binds: the program gets what it would get without the runtime, and
/// the log reports it.
#[test]
fn a_listed_port_that_is_bound_at_another_address_is_told() {
    let port = free_port();
    let mut runtime = Runtime::builder()
        .env("RPM_PORTS", format!("127.0.0.1:{port}"))
        .env("RPM_MAX_RESTARTS", "1")
        .env("PORT", port.to_string())
        .arg(example("echo_server"))
        .start();
    runtime.wait_for_line(|line| {
        line.contains("cannot share a port") && line.contains("with another address")
    });
    runtime.wait_exit();
}

/// A bare number means every address until the program binds one; clients of other addresses are then refused, as
/// without the runtime.
#[test]
fn a_bare_listed_port_is_closed_where_the_program_does_not_bind_it() {
    let port = free_port();
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_PORTS", port.to_string())
        .arg(example("echo_server"))
        .arg(format!("127.0.0.1:{port}"))
        .start();
    runtime.wait_for_line(|line| line.contains("binds another address"));
    wait_ready(&runtime, 2);
    assert!(http_get(v4(port), "/").is_ok());
    assert!(TcpStream::connect(("127.0.0.2", port)).is_err());
    stop(runtime);
}
