//! Reloads to a version that binds another address of the same port. As long as the old address listens, the kernel
//! takes its clients there.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::harness::reloads::reload;
use crate::harness::shared_port::{ask, connect_to, connect_to_slot, field, stop, v4, wait_ready};
use crate::harness::status::wait_reload_ends;
use crate::harness::{Runtime, Signal, free_port, scratch, until};

const ALL_IPV4: &str = "0.0.0.0";
const BOTH_FAMILIES: &str = "::";
const LOOPBACK: &str = "127.0.0.1";

/// Answers each connection with its generation when the client has sent a line. The address is read from a file.
struct Version {
    file: std::path::PathBuf,
    program: String,
}

impl Version {
    fn binding(address: &str, port: u16) -> Self {
        let file = scratch("address").join("address");
        let program = format!(
            "import os, socket, threading\n\
             where = open('{}').read()\n\
             s = socket.create_server((where, {port}), family=socket.AF_INET6 if ':' in where else socket.AF_INET,\n\
             \x20   backlog=128, dualstack_ipv6=':' in where)\n\
             def serve(c):\n\
             \x20   c.recv(64)\n\
             \x20   c.sendall(os.environ['RPM_GENERATION'].encode() + b'\\n')\n\
             \x20   c.close()\n\
             while True: threading.Thread(target=serve, args=s.accept()[:1], daemon=True).start()\n",
            file.display()
        );
        let version = Self { file, program };
        version.now_binds(address);
        version
    }

    fn now_binds(&self, address: &str) {
        fs::write(&self.file, address).unwrap();
    }

    fn start(&self, instances: u16) -> Runtime {
        let runtime = Runtime::builder()
            .env("RPM_INSTANCES", instances.to_string())
            .env("RPM_READY", "listen")
            .env("RPM_DRAIN_TIMEOUT", "20s")
            .program(["/usr/bin/python3", "-c", &self.program])
            .start();
        wait_ready(&runtime, instances.into());
        runtime
    }
}

/// A client comes to the old address while its last worker drains. No worker will ever accept it there.
#[test]
fn who_waits_at_the_old_address_is_passed_on_to_the_new_one() {
    for (old, new) in [
        (ALL_IPV4, BOTH_FAMILIES),
        (LOOPBACK, ALL_IPV4),
        (LOOPBACK, BOTH_FAMILIES),
    ] {
        let port = free_port();
        let version = Version::binding(old, port);
        let runtime = version.start(2);
        // Holds the drain of the last old worker.
        let mut held = connect_to_slot(v4(port), 1, 1);
        version.now_binds(new);
        let mark = runtime.mark();
        runtime.signal(Signal::SIGHUP);
        runtime.wait_for_line_after(mark, |line| line.contains("took over slot=1"));
        let mut late = connect_to(v4(port));
        let waits = format!("{old}:{port}");
        until("it waits at the old address", || {
            let page = runtime.get("/metrics").text();
            let mut queues = page.lines().filter(|line| {
                line.starts_with("rpm_listen_queue_length") && line.contains(&waits)
            });
            queues.any(|line| line.ends_with(" 1"))
        });
        assert_eq!(ask(&mut held).unwrap().trim(), "0", "{old} to {new}");
        drop(held);
        assert_eq!(ask(&mut late).unwrap().trim(), "1", "{old} to {new}");
        let line = runtime.wait_for_line_after(mark, |line| line.contains("clients that waited"));
        assert_eq!(field(&line, "passed_on"), "1");
        assert!(wait_reload_ends(&runtime, mark).contains("success"));
        assert_eq!(ask(&mut connect_to(v4(port))).unwrap().trim(), "1");
        stop(runtime);
    }
}

/// Clients that come one after the other through the whole reload.
#[test]
fn a_reload_to_another_address_of_the_port_resets_nobody() {
    for (old, new) in [(ALL_IPV4, BOTH_FAMILIES), (LOOPBACK, ALL_IPV4)] {
        let port = free_port();
        let version = Version::binding(old, port);
        let runtime = version.start(2);
        version.now_binds(new);
        let over = AtomicBool::new(false);
        let answered: usize = thread::scope(|scope| {
            let client = || -> io::Result<usize> {
                let mut answered = 0;
                while !over.load(Ordering::Relaxed) {
                    let answer = ask(&mut connect_to(v4(port)))?;
                    assert!(!answer.is_empty(), "the end before the answer");
                    answered += 1;
                }
                Ok(answered)
            };
            let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
            reload(&runtime);
            over.store(true, Ordering::Relaxed);
            let answered = clients.into_iter().map(|client| {
                let answered = client.join().unwrap();
                answered
                    .unwrap_or_else(|error| panic!("{old} to {new}: {error}: {}", runtime.shown()))
            });
            answered.sum()
        });
        assert!(answered > 100, "{answered}");
        stop(runtime);
    }
}
