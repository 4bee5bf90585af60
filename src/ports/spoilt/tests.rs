//! Tests on real sockets, on addresses that no other test binds.

use std::net::TcpStream;
use std::os::fd::AsFd;

use nix::sys::socket::sockopt;

use super::*;
use crate::model::{Bpf, Pid, SlotId};
use crate::policy::steering::Balance;
use crate::ports::testing::{open, wait_for};
use crate::ports::told::Options;
use crate::sys::guarded::{LOCK_FILTER, look};
use crate::sys::sockopt::{REUSE_PORT, SocketOption};
use crate::sys::steering;

const SLOTS: u16 = 3;

/// Only this listener gets connections.
fn only(number: u16) -> Rotation {
    let all = (0..SLOTS).map(|number| (ListenerId(number), SlotId(number)));
    Rotation {
        live: vec![ListenerId(number)],
        expected: vec![ListenerId(number)],
        apart: None,
        seats: all.collect(),
    }
}

struct Stage {
    ports: SharedPorts,
    key: PortKey,
}

impl Stage {
    /// A port whose listeners all have a worker.
    fn new() -> Self {
        let (ports, key) = open(8, SLOTS, Balance::Random, 1024);
        let stage = Self { ports, key };
        for number in 0..SLOTS {
            stage.hand(number);
        }
        stage
    }

    /// A new worker gets this listener. What was told of it.
    fn hand(&self, number: u16) -> (OwnedFd, Vec<PortEvent>) {
        let (listener, worker) = (
            ListenerId(number),
            Pid::new(100 + i32::from(number)).unwrap(),
        );
        self.ports.release(listener, worker);
        self.ports.occupy(listener, worker);
        let mut events = Vec::new();
        let as_is = (true, &Options::default());
        let handed = self.ports.hand(self.key, listener, as_is, &mut events);
        events.extend(self.ports.taken(self.key, listener, worker));
        (handed.unwrap().unwrap().fd, events)
    }

    fn queue(&self, number: u16) -> u32 {
        self.ports
            .queue_length(self.key, ListenerId(number))
            .unwrap()
    }

    /// A connection that arrives at this listener.
    #[track_caller]
    fn reach(&self, number: u16) -> TcpStream {
        let before = self.queue(number);
        let client = TcpStream::connect(self.key.addr).unwrap();
        wait_for("it arrived where it should", || self.queue(number) > before);
        client
    }

    /// Steers to each listener in turn.
    #[track_caller]
    fn every_listener_is_where_it_should_be(&self) {
        for number in 0..SLOTS {
            assert_eq!(self.ports.steer(only(number), None), []);
            self.reach(number);
        }
    }

    fn spoilt(&self, number: usize, what: &'static str, replaced: bool) -> PortEvent {
        PortEvent::Spoilt {
            key: self.key,
            listener: number,
            what,
            replaced,
        }
    }
}

fn lock(fd: impl AsFd) {
    SocketOption::number(LOCK_FILTER, 1).set(fd).unwrap();
}

#[test]
fn a_filter_is_taken_off_the_listener_of_a_worker_that_lives() {
    let stage = Stage::new();
    let (fd, events) = stage.hand(1);
    assert_eq!(events, []);
    steering::drop_new(&fd).unwrap();
    let told = stage.ports.steer(only(0), None);
    assert_eq!(told, [stage.spoilt(1, "SO_ATTACH_FILTER", false)]);
    assert!(!look(&fd, true).is_any());
    stage.every_listener_is_where_it_should_be();
}

#[test]
fn a_listener_that_left_so_reuseport_is_put_back() {
    let stage = Stage::new();
    let (fd, _) = stage.hand(2);
    SocketOption::number(REUSE_PORT, 0).set(&fd).unwrap();
    let told = stage.ports.steer(only(0), None);
    assert_eq!(told, [stage.spoilt(2, "SO_REUSEPORT", false)]);
    stage.every_listener_is_where_it_should_be();
}

/// Nothing takes the filter off, so the next clients get a listener without it. Who waits is served by others.
#[test]
fn a_listener_with_a_locked_filter_is_replaced_and_its_clients_are_passed_on() {
    let stage = Stage::new();
    let (fd, _) = stage.hand(1);
    stage.ports.steer(only(1), None);
    let _client = stage.reach(1);
    steering::drop_new(&fd).unwrap();
    lock(&fd);
    let told = stage.ports.steer(only(1), None);
    assert_eq!(told, [stage.spoilt(1, "SO_ATTACH_FILTER", true)]);
    let passed_on = stage.ports.take_clients();
    assert_eq!(passed_on.len(), 1);
    assert_eq!(passed_on[0].0, stage.key);
    assert!(!listener::queue(&fd).unwrap().listening);
    // Its worker has the old one, and gets nothing new until it binds the port again.
    let (_fd, _) = stage.hand(1);
    stage.every_listener_is_where_it_should_be();
}

#[test]
fn a_lock_freezes_no_steering_and_is_gone_for_the_next_worker() {
    let stage = Stage::new();
    for number in [0, 2] {
        lock(stage.hand(number).0);
    }
    stage.every_listener_is_where_it_should_be();
    for number in [0, 2] {
        let (fd, told) = stage.hand(number);
        let event = stage.spoilt(usize::from(number), "SO_LOCK_FILTER", true);
        assert_eq!(told, [event]);
        assert!(!look(&fd, true).is_any());
    }
    stage.every_listener_is_where_it_should_be();
}

#[test]
fn options_that_connections_inherit_are_not_the_next_workers() {
    // Every connection is reset when it is closed.
    let linger = |fd: &OwnedFd| nix::sys::socket::getsockopt(fd, sockopt::Linger).unwrap();
    let stage = Stage::new();
    let (fd, _) = stage.hand(1);
    let fresh = linger(&fd);
    let reset = nix::libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    nix::sys::socket::setsockopt(&fd, sockopt::Linger, &reset).unwrap();
    assert_ne!(linger(&fd), fresh);
    // The worker that has it binds once more.
    let (listener, mut events) = (ListenerId(1), Vec::new());
    let as_is = (true, &Options::default());
    stage
        .ports
        .hand(stage.key, listener, as_is, &mut events)
        .unwrap();
    assert_ne!(linger(&fd), fresh);
    let (fd, told) = stage.hand(1);
    assert_eq!(told, []);
    assert_eq!(linger(&fd), fresh);
}

#[test]
fn a_steering_program_of_somebody_else_is_replaced_although_the_rotation_is_the_same() {
    /// BPF_RET | BPF_K: the index of the listener.
    const RETURN: u16 = 6;
    let stage = Stage::new();
    let (fd, _) = stage.hand(0);
    stage.ports.steer(only(1), None);
    let to_the_first = Bpf {
        code: RETURN,
        jt: 0,
        jf: 0,
        k: 0,
    };
    steering::attach(&fd, &[to_the_first]).unwrap();
    stage.reach(0);
    // Once a second, while connections arrive.
    stage.ports.lock().mending.looked = Tick::default();
    wait_for("a look is due", || {
        stage.ports.mend_sometimes();
        stage.ports.lock().mending.looked != Tick::default()
    });
    stage.reach(1);
}

#[test]
fn a_spoilt_udp_socket_is_mended_and_one_that_is_locked_is_new_for_the_next_worker() {
    use crate::policy::handover::Transport;
    let (ports, tcp) = open(9, SLOTS, Balance::Random, 1024);
    let key = tcp.over(Transport::Udp);
    let hand = |number| {
        let mut events = Vec::new();
        let as_is = (true, &Options::default());
        let handed = ports.hand(key, ListenerId(number), as_is, &mut events);
        (handed.unwrap().unwrap(), events)
    };
    let (first, _) = hand(1);
    steering::drop_new(&first.fd).unwrap();
    let spoilt = |what, replaced| PortEvent::Spoilt {
        key,
        listener: 1,
        what,
        replaced,
    };
    let told = ports.steer(only(1), None);
    assert_eq!(told, [spoilt("SO_ATTACH_FILTER", false)]);
    lock(&first.fd);
    assert_eq!(ports.steer(only(2), None), []);
    let (next, told) = hand(1);
    assert_eq!(told, [spoilt("SO_LOCK_FILTER", true)]);
    assert_ne!(next.inode, first.inode);
    assert!(!look(&next.fd, true).is_any());
}

/// It has left the group by itself, and something else went wrong.
#[test]
fn a_replacement_that_could_not_listen_is_repaired_as_one_that_was_shut_down() {
    let stage = Stage::new();
    {
        let mut held = stage.ports.lock();
        let mut groups = held.groups.iter_mut();
        let group = groups.find(|group| group.key == stage.key).unwrap();
        let (no_socket, _) = nix::unistd::pipe().unwrap();
        let one = group.listeners.get_mut(1).unwrap();
        drop(std::mem::replace(&mut one.fd, no_socket));
        group.replace(1, &mut Vec::new()).unwrap();
    }
    let repaired = stage.ports.repair(stage.key).unwrap();
    assert_eq!((repaired.error, repaired.mended), (None, vec![1]));
    stage.every_listener_is_where_it_should_be();
}
