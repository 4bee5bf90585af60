//! A program that binds an address twice is told what the kernel tells it without the runtime.

use std::process::Command;

use crate::harness::shared_port::{send, stop, v4, wait_ready};
use crate::harness::{Runtime, Signal, free_port, scratch, source};

const PROGRAM: &str = "tests/payloads/second_bind.py";

/// Ways to bind and to listen twice, with and without SO_REUSEADDR and SO_REUSEPORT, on one address and on addresses that
/// include each other, in threads and forked children, and attempts of a program that looks for a free port.
#[test]
fn a_second_bind_or_listen_of_one_program_is_answered_as_by_the_kernel() {
    let alone = Command::new("/usr/bin/python3")
        .arg(source(PROGRAM))
        .arg(free_port().to_string())
        .output()
        .unwrap();
    let alone = String::from_utf8(alone.stdout).unwrap();
    let expected: Vec<&str> = alone.lines().collect();
    assert_eq!(expected.last(), Some(&"compared"), "{alone}");
    assert!(expected.iter().any(|line| line.ends_with("EADDRINUSE")));
    for workers in [1, 2] {
        let runtime = Runtime::builder()
            .env("RPM_INSTANCES", workers.to_string())
            .env("RPM_LOG_FORMAT", "prefix")
            .env("RPM_LOG_TIMESTAMP", "none")
            .env("WAIT", "1")
            .arg("/usr/bin/python3")
            .arg(source(PROGRAM))
            .arg(free_port().to_string())
            .start();
        runtime.wait_for_lines(workers, |line| line.ends_with("] compared"));
        for slot in 0..workers {
            let mark = format!(":{slot}] ");
            let texts = runtime.texts();
            let own = texts
                .iter()
                .filter_map(|line| Some(line.split_once(&mark)?.1));
            let own: Vec<&str> = own.collect();
            for (one, other) in own.iter().zip(&expected) {
                assert_eq!(one, other, "worker {slot} of {workers}");
            }
            assert_eq!(own.len(), expected.len());
        }
        stop(runtime);
    }
}

/// As programs do that look for the next free port, and those that guard against a second start in one process.
#[test]
fn a_second_server_of_one_program_gets_the_next_port_and_no_clients_of_the_first() {
    let port = crate::harness::free_ports(2);
    let program = format!(
        "import socket, threading\n\
         def listener(port):\n\
         \x20   while True:\n\
         \x20       s = socket.socket()\n\
         \x20       s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
         \x20       try:\n\
         \x20           s.bind(('127.0.0.1', port))\n\
         \x20           s.listen()\n\
         \x20           return s\n\
         \x20       except OSError: port += 1\n\
         def serve(s, name):\n\
         \x20   while True:\n\
         \x20       c, _ = s.accept()\n\
         \x20       c.recv(64)\n\
         \x20       c.sendall(name)\n\
         \x20       c.close()\n\
         servers = [listener({port}), listener({port})]\n\
         print(*[s.getsockname()[1] - {port} for s in servers], flush=True)\n\
         for s, name in zip(servers, [b'first', b'second']):\n\
         \x20   threading.Thread(target=serve, args=(s, name)).start()\n"
    );
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .program(super::opening::python(&program))
        .start();
    runtime.wait_for_lines(2, |line| line == "0 1");
    for _ in 0..20 {
        for (at, name) in [(0, "first"), (1, "second")] {
            let mut client = crate::harness::shared_port::connect_to(v4(port + at));
            let answer = crate::harness::shared_port::ask(&mut client).unwrap();
            assert_eq!(answer, name);
        }
    }
    stop(runtime);
}

/// It has closed its copy of the listener, so nothing of its own forbids it. The other worker has the port.
#[test]
fn a_process_that_outlived_its_worker_is_refused_the_port_of_the_others() {
    let port = free_port();
    let once = scratch("outlived").join("once");
    let program = format!(
        "import errno, os, signal, socket, time\n\
         s = socket.socket()\n\
         s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
         s.bind(('0.0.0.0', {port}))\n\
         s.listen(16)\n\
         try: os.open('{}', os.O_CREAT | os.O_EXCL)\n\
         except FileExistsError: pass\n\
         else:\n\
         \x20   worker = os.getpid()\n\
         \x20   if os.fork() == 0:\n\
         \x20       signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
         \x20       s.close()\n\
         \x20       print('outlives', worker, flush=True)\n\
         \x20       while os.getppid() == worker: time.sleep(0.001)\n\
         \x20       for address in ['127.0.0.1', '0.0.0.0']:\n\
         \x20           t = socket.socket()\n\
         \x20           t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
         \x20           try:\n\
         \x20               t.bind((address, {port}))\n\
         \x20               t.listen(16)\n\
         \x20               print(address, 'listens', flush=True)\n\
         \x20           except OSError as e: print(address, errno.errorcode[e.errno], flush=True)\n\
         \x20       os._exit(0)\n\
         while True: s.accept()[0].close()",
        once.display()
    );
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_READY", "listen")
        .program(["/usr/bin/python3", "-c", &program])
        .start();
    wait_ready(&runtime, 2);
    let line = runtime.wait_for_line(|line| line.starts_with("outlives "));
    let worker = line.split(' ').nth(1).unwrap().parse().unwrap();
    send(worker, Signal::SIGKILL);
    for address in ["127.0.0.1", "0.0.0.0"] {
        let start = format!("{address} ");
        let line = runtime.wait_for_line(|line| line.starts_with(&start));
        assert_eq!(line, format!("{address} EADDRINUSE"));
    }
    wait_ready(&runtime, 3);
    let opened = runtime.texts();
    let opened = opened.iter().filter(|line| line.contains("sharing a port"));
    assert_eq!(opened.count(), 1, "{}", runtime.shown());
    stop(runtime);
}
