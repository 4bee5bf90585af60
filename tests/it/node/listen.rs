//! `listen` of a worker, through the channel.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{answered_by, slot_of, without_port};
use crate::harness::nodes::{Nodes, Service, node, with_each_node};
use crate::harness::shared_port::{stop, v4, v6};
use crate::harness::unix_paths::{get_path, socket_path};
use crate::harness::{Connection, example, free_port, scratch, until};

fn port_of(address: &Value) -> u16 {
    address["port"].as_u64().unwrap().try_into().unwrap()
}

/// One worker, eight servers: by host name, by address, without a host, with one family alone, on a path, and such that
/// the worker opens itself.
#[test]
fn each_of_several_servers_is_shared_at_its_own_address() {
    with_each_node(|version| {
        let path = socket_path(&format!("several-{version}"));
        let start = format!(
            "Promise.all([serve(PORT), serve(PORT + 1, '127.0.0.1'), serve(PORT + 2, 'localhost'), \
             serve(PORT + 3, '::1'), serve({{ port: PORT + 4, host: '::', ipv6Only: true }}), \
             serve({{ port: PORT + 5, exclusive: true }}), \
             serve({{ port: PORT + 6, host: '127.0.0.1', reusePort: true }}), serve({path:?})])"
        );
        let mut service = Service::start(version, 2, &start).ready();
        let first = service.nodes.port;
        let port = |number: u16| first + number;
        let localhost = |service: &Service| {
            let addresses = service.workers[0].started.clone().unwrap();
            let ip = addresses[2]["address"].as_str().unwrap().parse().unwrap();
            SocketAddr::new(ip, port(2))
        };
        for round in 0..2 {
            let each = [
                v4(port(0)),
                v6(port(0)),
                v4(port(1)),
                localhost(&service),
                v6(port(3)),
                v6(port(4)),
                v4(port(5)),
                v4(port(6)),
            ];
            for address in each {
                answered_by(address, &[0, 1]);
            }
            answered_on_the_path(&path);
            // `ipv6Only`
            assert!(Connection::open(v4(port(4))).is_err());
            if round == 0 {
                service.reload();
            }
        }
        assert!(fs::metadata(&path).unwrap().file_type().is_socket());
        service.stop();
        assert!(!path.exists());
    });
}

#[track_caller]
fn answered_on_the_path(path: &Path) {
    let mut seen = BTreeSet::new();
    until("both answer on the path", || {
        let reply = get_path(path).unwrap();
        seen.insert(reply.json()["slot"].as_str().unwrap().to_owned());
        seen.len() == 2
    });
}

#[test]
fn port_0_is_one_port_for_all_workers_and_stays_over_crash_and_reload() {
    with_each_node(|version| {
        // The second is another port, and it too is the same in all workers.
        let start =
            "serve(0, '127.0.0.1').then(async (first) => [first, await serve(0, '127.0.0.1')])";
        let mut service = without_port(version, start);
        let ports = |started: &Result<Value, String>| {
            let both = started.clone().unwrap();
            [port_of(&both[0]), port_of(&both[1])]
        };
        let wanted = ports(&service.workers[0].started);
        assert_ne!(wanted[0], wanted[1]);
        let hold = |service: &Service| {
            for node in &service.workers {
                assert_eq!(ports(&node.started), wanted, "Node {version}");
            }
            for port in wanted {
                answered_by(v4(port), &[0, 1]);
            }
        };
        hold(&service);
        service.replace(1);
        hold(&service);
        service.reload();
        hold(&service);
        service.stop();
    });
}

#[test]
fn a_taken_port_is_the_programs_error() {
    with_each_node(|version| {
        let nodes = Nodes::new();
        let taken = TcpListener::bind(("127.0.0.1", nodes.port)).unwrap();
        let runtime = nodes
            .workers(version, 2, "serve(PORT, '127.0.0.1')")
            .start();
        let mut workers = nodes.take(2);
        for node in &workers {
            assert_eq!(node.started, Err("EADDRINUSE".to_owned()));
        }
        // The error ended nothing, and once the port is free the same call succeeds.
        drop(taken);
        for node in &mut workers {
            assert_eq!(port_of(&node.run("serve(PORT, '127.0.0.1')")), nodes.port);
        }
        answered_by(v4(nodes.port), &[0, 1]);
        stop(runtime);
    });
}

#[test]
fn a_forbidden_port_and_a_forbidden_path_are_the_programs_error() {
    let (forbidden, missing) = ("/proc/a.sock", "/nowhere/a.sock");
    let start = format!(
        "Promise.all([81, {forbidden:?}, {missing:?}].map((where) => serve(where).catch((error) => error.code)))"
    );
    with_each_node(|version| {
        let nodes = Nodes::new();
        // Everybody may reach the sockets of the test, and the runtime has no privilege to bind a low port.
        let under = [
            "setpriv",
            "--bounding-set=-net_bind_service",
            "--inh-caps=-net_bind_service",
        ];
        let runtime = nodes.workers(version, 2, &start).under(under).start();
        for node in nodes.take(2) {
            let codes = node.started.unwrap();
            assert_eq!(codes[0], "EACCES", "Node {version}");
            for (code, path) in [(&codes[1], forbidden), (&codes[2], missing)] {
                assert_eq!(*code, alone(version, path), "Node {version}: {path}");
            }
        }
        stop(runtime);
    });
}

/// The code of the error in a program on its own.
fn alone(version: u32, path: &str) -> String {
    let code = format!(
        "require('net').createServer().on('error', (error) => console.log(error.code)).listen({path:?})"
    );
    let output = Command::new(node(version)).args(["-e", &code]).output();
    let said = String::from_utf8(output.unwrap().stdout).unwrap();
    said.trim().to_owned()
}

/// The worker lives on, and nothing waits in its queue.
fn closes(service: &mut Service) {
    let address = service.v4();
    answered_by(address, &[0, 1]);
    service.workers[0].run("close()");
    for _ in 0..300 {
        assert_eq!(slot_of(address), "1");
    }
    let again = service.workers[0].run("serve(PORT)");
    assert_eq!(port_of(&again), address.port());
    answered_by(address, &[0, 1]);
}

#[test]
fn a_worker_that_closes_its_server_gets_no_connection_until_it_listens_again() {
    with_each_node(|version| {
        let mut service = Service::start(version, 2, "serve(PORT)").ready();
        let pid = service.workers[0].pid;
        for _ in 0..3 {
            closes(&mut service);
        }
        assert_eq!(service.workers[0].run("process.pid"), pid);
        service.reload();
        closes(&mut service);
        service.stop();
    });
}

#[test]
fn a_worker_without_the_channel_that_closes_its_server_gets_no_connection() {
    let mut service = Service::with(22, 2, "serve(PORT)", |builder| {
        builder.env("RPM_NODE", "off")
    })
    .ready();
    closes(&mut service);
    service.stop();
}

/// Connections that reached the queue of a worker before it closed are answered by the other.
#[test]
fn what_waits_at_a_server_that_is_closed_is_answered_by_another_worker() {
    with_each_node(|version| {
        let mut service = Service::start(version, 2, "serve(PORT)").ready();
        let address = service.v4();
        // The event loop of worker 0 stands still while the clients come; then it closes before it can accept.
        let marker = scratch(&format!("closing-{version}")).join("come");
        let code = format!(
            "new Promise((resolve) => {{ \
             tell('stands'); \
             while (!fs.existsSync({marker:?})) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5); \
             servers[0].close(); resolve(answered); }})"
        );
        let begun = service.workers[0].begin(&code);
        assert_eq!(service.workers[0].told(), Some(json!("stands")));
        let mut waiting: Vec<Connection> = (0..20)
            .map(|_| {
                let mut client = Connection::open(address).unwrap();
                client
                    .stream()
                    .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    .unwrap();
                client
            })
            .collect();
        fs::write(&marker, "").unwrap();
        service.workers[0].reply(begun).unwrap();
        for client in &mut waiting {
            assert_eq!(client.reply().unwrap().status, 200);
        }
        service.stop();
    });
}

/// Interception needs what this filter forbids, so that only the channel is left.
#[test]
fn two_workers_share_a_port_through_the_channel_alone() {
    with_each_node(|version| {
        let mut service = Service::with(version, 2, "serve(PORT)", |builder| {
            builder.under([example("deny").into(), OsString::from("notify")])
        })
        .ready();
        answered_by(service.v4(), &[0, 1]);
        service.reload();
        answered_by(service.v4(), &[0, 1]);
        service.replace(0);
        answered_by(service.v4(), &[0, 1]);
        service.stop();
    });
}

/// The number is that of the runtime's descriptor, as it is the primary's under Node.
#[test]
fn listen_on_a_descriptor_is_the_runtimes_descriptor() {
    with_each_node(|version| {
        let port = free_port();
        let code = "import os, socket, sys\n\
                    s = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n\
                    os.dup2(s.fileno(), 47)\n\
                    os.execv(sys.argv[2], sys.argv[2:])";
        let mut service = Service::with(version, 2, "serve({ fd: 47 })", |builder| {
            builder
                .env_remove("PORT")
                .under(["/usr/bin/python3", "-c", code, &port.to_string()])
        });
        assert_eq!(port_of(service.workers[0].started.as_ref().unwrap()), port);
        answered_by(v4(port), &[0, 1]);
        service.reload();
        answered_by(v4(port), &[0, 1]);
        service.stop();
    });
}
