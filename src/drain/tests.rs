//! Real workers with real connections, which the test controls.

mod count;
mod freeze;
mod hidden;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};

use super::*;
use crate::model::{Pid, Sig, Tick};
use crate::policy::drain::{Aim, Drain, Look};
use crate::sys::proc::Proc;
use crate::sys::testing::{Puppet, REFUSALS, as_nobody, defer_accept, until, without_sock_diag};

/// A worker and its clients. Connection n has the same number on both sides.
struct Scene {
    worker: Puppet,
    port: SocketAddr,
    clients: Vec<TcpStream>,
}

impl Scene {
    fn new() -> Self {
        Self::on("127.0.0.1")
    }

    fn on(address: &str) -> Self {
        let holder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/payloads/holder.py");
        let mut worker = Puppet::start("python3", &[holder, address]);
        let port: u16 = worker.answer().parse().unwrap();
        Self {
            worker,
            port: SocketAddr::new(address.parse().unwrap(), port),
            clients: Vec::new(),
        }
    }

    fn leader(&self) -> Pid {
        self.worker.pid()
    }

    /// Opens a connection that the worker has accepted.
    fn connect(&mut self) -> usize {
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port.port())).unwrap();
        self.clients.push(client);
        self.worker.tell("accept");
        self.clients.len() - 1
    }

    /// Sends one request, which the worker has read.
    fn ask(&mut self, number: usize) {
        self.clients[number].write_all(b"request").unwrap();
        self.worker.tell(&format!("read {number} 7"));
    }

    /// Sends one request and reads its answer.
    fn serve(&mut self, number: usize) {
        self.ask(number);
        self.worker.tell(&format!("write {number} 6"));
        self.clients[number].read_exact(&mut [0; 6]).unwrap();
    }

    fn look(&self, sight: &mut Inspector) -> Look {
        look(sight, self.leader(), self.port)
    }

    fn until_quiet(&self, sight: &mut Inspector) {
        until("the worker is quiet", || {
            let look = self.look(sight);
            look.visible && Aim::Quiet.passes(&look)
        });
    }
}

fn look(sight: &mut Inspector, leader: Pid, port: SocketAddr) -> Look {
    let subject = Subject {
        leader,
        handshakes: &Handshakes::default(),
        existing: None,
        aim: None,
        queued: 0,
    };
    sight.look(&[subject], &[port])[0]
}

fn counts(look: Look) -> (u32, u32, bool) {
    (look.open, look.busy, look.visible)
}

#[test]
fn a_worker_without_connections_has_nothing_to_lose() {
    let (mut sight, scene) = (Inspector::new(), Scene::new());
    assert_eq!(sight.means(), "sock_diag");
    let look = scene.look(&mut sight);
    assert_eq!(counts(look), (0, 0, true));
    assert!(!look.handshakes);
}

#[test]
fn answered_connections_are_open_and_become_quiet() {
    let (mut sight, mut scene) = (Inspector::new(), Scene::new());
    for number in 0..3 {
        scene.connect();
        scene.serve(number);
    }
    let mut drain = Drain::new(Aim::Quiet);
    until("five looks in a row", || {
        drain.look(Tick::default(), &scene.look(&mut sight))
    });
    assert_eq!(counts(scene.look(&mut sight)), (3, 0, true));
    // The same open connections keep the worker from being empty.
    let mut drain = Drain::new(Aim::Empty);
    assert!((0..10).all(|_| !drain.look(Tick::default(), &scene.look(&mut sight))));
    scene.clients.clear();
    for number in 0..3 {
        scene.worker.tell(&format!("close {number}"));
    }
    until("five looks in a row", || {
        drain.look(Tick::default(), &scene.look(&mut sight))
    });
}

#[test]
fn a_request_that_was_read_and_not_answered_is_at_work() {
    let (mut sight, mut scene) = (Inspector::new(), Scene::new());
    scene.connect();
    // The first request on its connection may be as young as the connection.
    scene.ask(0);
    assert_eq!(counts(scene.look(&mut sight)), (1, 1, true));
    scene.worker.tell("write 0 6");
    // Wait until the kernel's clock can tell the order of request and answer.
    scene.until_quiet(&mut sight);
    scene.ask(0);
    let mut quiet = Drain::new(Aim::Quiet);
    assert!((0..50).all(|_| !quiet.look(Tick::default(), &scene.look(&mut sight))));
    scene.worker.tell("write 0 6");
    scene.until_quiet(&mut sight);
}

#[test]
fn unread_unsent_and_half_closed_connections_are_at_work() {
    let (mut sight, mut scene) = (Inspector::new(), Scene::new());
    for _ in 0..5 {
        scene.connect();
    }
    scene.until_quiet(&mut sight);
    let looks = |sight: &mut Inspector, scene: &Scene, busy| {
        until("it shows", || counts(scene.look(sight)) == (5, busy, true));
    };
    scene.clients[1].write_all(b"unread").unwrap();
    looks(&mut sight, &scene, 1);
    scene.worker.tell("flood 2");
    looks(&mut sight, &scene, 2);
    scene.clients[3]
        .shutdown(std::net::Shutdown::Write)
        .unwrap();
    looks(&mut sight, &scene, 3);
    scene.worker.tell("end 4");
    looks(&mut sight, &scene, 4);
}

#[test]
fn a_silent_client_counts_as_about_to_speak_for_a_moment_only() {
    let (mut sight, mut scene) = (Inspector::new(), Scene::new());
    scene.connect();
    scene.until_quiet(&mut sight);
    assert_eq!(counts(scene.look(&mut sight)), (1, 0, true));
}

#[test]
fn a_connection_held_twice_counts_once_and_wherever_in_the_family_it_is_held() {
    let (mut sight, mut scene) = (Inspector::new(), Scene::new());
    scene.connect();
    scene.worker.tell("twice 0");
    scene.worker.tell("fork");
    assert_eq!(scene.look(&mut sight).open, 1);
    scene.connect();
    scene.worker.tell("give 1");
    // The leader has closed its own descriptor of it.
    assert_eq!(scene.look(&mut sight).open, 2);
    scene.clients[1].write_all(b"unread").unwrap();
    until("the grandchild's work shows", || {
        scene.look(&mut sight).busy == 1
    });
}

#[test]
fn one_dump_tells_several_workers_apart() {
    let mut sight = Inspector::new();
    let mut scenes = [Scene::new(), Scene::on("::"), Scene::on("::")];
    for (count, scene) in scenes.iter_mut().enumerate() {
        for _ in 0..count {
            scene.connect();
        }
    }
    // An IPv4 client and an IPv6 client of a dual-stack socket.
    let client = TcpStream::connect((Ipv6Addr::LOCALHOST, scenes[2].port.port())).unwrap();
    scenes[2].worker.tell("accept");
    let none = Handshakes::default();
    let subjects: Vec<_> = scenes
        .iter()
        .map(|scene| Subject {
            leader: scene.leader(),
            handshakes: &none,
            existing: None,
            aim: None,
            queued: 7,
        })
        .collect();
    let ports: Vec<SocketAddr> = scenes.iter().map(|scene| scene.port).collect();
    let looks = sight.look(&subjects, &ports);
    let open: Vec<u32> = looks.iter().map(|look| look.open).collect();
    assert_eq!(open, [0, 1, 3]);
    assert!(looks.iter().all(|look| look.visible && look.queued == 7));
    // Connections on other ports do not count, and a port that is named twice counts once.
    let looks = sight.look(&subjects, &[ports[0], ports[2], ports[2]]);
    let open: Vec<u32> = looks.iter().map(|look| look.open).collect();
    assert_eq!(open, [0, 0, 3]);
    drop(client);
}

#[test]
fn a_count_ends_where_the_aim_is_missed() {
    let (mut sight, mut scene) = (Inspector::new(), Scene::new());
    for _ in 0..4 {
        scene.connect();
    }
    scene.worker.tell("fork");
    scene.until_quiet(&mut sight);
    let mut look = |scene: &Scene, aim| {
        let subject = Subject {
            leader: scene.leader(),
            handshakes: &Handshakes::default(),
            existing: None,
            aim,
            queued: 0,
        };
        counts(sight.look(&[subject], &[scene.port])[0])
    };
    assert_eq!(look(&scene, None), (4, 0, true));
    assert_eq!(look(&scene, Some(Aim::Empty)), (1, 0, true));
    assert_eq!(look(&scene, Some(Aim::Quiet)), (4, 0, true));
    scene.ask(1);
    assert_eq!(look(&scene, Some(Aim::Quiet)), (2, 1, true));
    assert_eq!(look(&scene, None), (4, 1, true));
}

#[test]
fn who_waits_in_the_queue_is_not_held() {
    let (mut sight, scene) = (Inspector::new(), Scene::new());
    let _client = TcpStream::connect(scene.port).unwrap();
    assert_eq!(scene.look(&mut sight).open, 0);
}

#[test]
fn a_module_that_is_missing_is_not_called_a_refusal() {
    assert_eq!(Inspector::new().why_not_netlink(), None);
    let [refused, missing] =
        REFUSALS.map(|errno| without_sock_diag(errno, || Inspector::new().why_not_netlink()));
    assert_eq!(refused, Some("a security profile refuses netlink"));
    assert!(missing.is_some_and(|why| why.contains("modprobe tcp_diag")));
}

#[test]
fn without_netlink_connections_are_seen_and_count_as_at_work() {
    let mut scene = Scene::new();
    scene.connect();
    scene.serve(0);
    scene.until_quiet(&mut Inspector::new());
    for errno in REFUSALS {
        let (means, look) = without_sock_diag(errno, || {
            let mut sight = Inspector::new();
            (sight.means(), scene.look(&mut sight))
        });
        assert_eq!(means, "/proc/net");
        assert_eq!(counts(look), (1, 1, true));
    }
    scene.clients.clear();
    scene.worker.tell("close 0");
    until("nothing is open", || {
        without_sock_diag(REFUSALS[0], || {
            counts(scene.look(&mut Inspector::new())) == (0, 0, true)
        })
    });
}

#[test]
fn without_netlink_and_without_files_nothing_is_visible() {
    let mut scene = Scene::new();
    scene.connect();
    let (look, handshakes) = without_sock_diag(REFUSALS[0], || {
        let mut sight = Inspector::new();
        sight.proc = Proc::new("/nonexistent");
        (scene.look(&mut sight), sight.handshakes(&[scene.port]))
    });
    assert_eq!(counts(look), (0, 0, false));
    assert!(handshakes.is_empty());
}

/// Only handshakes from the given moment count, and only until they complete. False if that does not hold.
fn handshakes_are_remembered(sight: &mut Inspector) -> bool {
    let listener = TcpListener::bind("[::]:0").unwrap();
    defer_accept(&listener);
    let port = listener.local_addr().unwrap();
    let worker = Puppet::start("cat", &[]);
    let mut early = [
        TcpStream::connect((Ipv4Addr::LOCALHOST, port.port())).unwrap(),
        TcpStream::connect((Ipv6Addr::LOCALHOST, port.port())).unwrap(),
    ];
    let remembered = sight.handshakes(&[port]);
    let mut late = TcpStream::connect((Ipv4Addr::LOCALHOST, port.port())).unwrap();
    let seen = (remembered.len(), sight.handshakes(&[port]).len()) == (2, 3);
    let mut under_way = |handshakes: &Handshakes| {
        let subject = Subject {
            leader: worker.pid(),
            handshakes,
            existing: None,
            aim: None,
            queued: 0,
        };
        sight.look(&[subject], &[port])[0].handshakes
    };
    let waits = under_way(&remembered) && !under_way(&Handshakes::default());
    early[0].write_all(b"at last").unwrap();
    let still_waits = under_way(&remembered);
    early[1].write_all(b"at last").unwrap();
    until("the late one does not matter", || !under_way(&remembered));
    late.write_all(b"at last").unwrap();
    seen && waits && still_waits
}

#[test]
fn only_handshakes_that_were_under_way_are_waited_for() {
    assert!(handshakes_are_remembered(&mut Inspector::new()));
}

#[test]
fn only_handshakes_that_were_under_way_are_waited_for_without_netlink() {
    // Through /proc/net, a handshake that the listener defers looks after 3 s as if the client were gone; and on a
    // machine with many connections reading may take that long.
    without_sock_diag(REFUSALS[0], || {
        let mut sight = Inspector::new();
        until("it is as it should be", || {
            handshakes_are_remembered(&mut sight)
        });
    });
}
