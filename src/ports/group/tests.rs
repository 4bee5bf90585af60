//! Tests on real sockets, on addresses that no other test binds.

use super::*;
use crate::model::{SlotId, Tick};
use crate::policy::steering::Balance;
use crate::ports::repair::Repaired;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;

mod strangers;

const SLOTS: u16 = 5;

fn group() -> Group {
    Group::open(free_port(), &settings(), (None, None), (&nobody(), false)).unwrap()
}

/// A port that was free a moment ago, on an address that no other test binds.
fn free_port() -> PortKey {
    let ip = Ipv4Addr::new(127, 73, 0, 1);
    let free = std::net::TcpListener::bind((ip, 0)).unwrap();
    let addr: SocketAddr = free.local_addr().unwrap();
    PortKey::new(addr, false)
}

/// Opens connections until this queue holds them all.
fn clients(group: &Group, count: u32, at: ListenerId) -> Vec<std::net::TcpStream> {
    let connect = |_| std::net::TcpStream::connect(group.key.addr).unwrap();
    let clients = (0..count).map(connect).collect();
    let mut looks = 0;
    while group.queue_length(at) != Some(count) && looks < 100_000 {
        looks += 1;
    }
    assert_eq!(
        group.queue_length(at),
        Some(count),
        "{at}: {:?}",
        group.order
    );
    clients
}

fn settings() -> PortSettings {
    PortSettings {
        descriptors: 1024,
        slots: SLOTS,
        listeners: SLOTS + 1,
        backlog: 16,
        rule: crate::policy::handover::PortRule::Any,
        steering: Some(Steering {
            balance: Balance::Random,
            follows: false,
            probe: None,
        }),
    }
}

fn shut(group: &Group, number: usize) {
    let fd = group.listeners[number].fd.as_raw_fd();
    nix::sys::socket::shutdown(fd, nix::sys::socket::Shutdown::Read).unwrap();
}

/// Steers to each slot alone and checks that a connection arrives there.
fn every_slot_is_where_it_should_be(group: &mut Group) {
    slots_are_where_they_should_be(group, (0..SLOTS).collect());
}

fn slots_are_where_they_should_be(group: &mut Group, slots: Vec<u16>) {
    for slot in slots.iter().copied().map(ListenerId) {
        group.take(slot);
    }
    for slot in slots.into_iter().map(ListenerId) {
        let rotation = Rotation {
            live: vec![slot],
            expected: vec![slot],
            ..nobody()
        };
        group.steer(&rotation).unwrap();
        let before = group.queue_length(slot).unwrap();
        let _client = std::net::TcpStream::connect(group.key.addr).unwrap();
        let grown = || group.queue_length(slot).unwrap() > before;
        let mut looks = 0;
        while !grown() && looks < 100_000 {
            looks += 1;
        }
        assert!(grown(), "{slot:?}: {:?}", group.order);
    }
}

/// Every slot is expected on the listener of its number; none is ready.
fn nobody() -> Rotation {
    let seats: Vec<_> = (0..SLOTS)
        .map(|number| (ListenerId(number), SlotId(number)))
        .collect();
    Rotation {
        live: Vec::new(),
        expected: seats.iter().map(|(listener, _)| *listener).collect(),
        apart: None,
        seats,
    }
}

#[test]
fn a_listener_comes_back_at_the_end() {
    let mut group = group();
    every_slot_is_where_it_should_be(&mut group);
    for number in [1, 4, 1, 0] {
        shut(&group, number);
        let repaired = group.repair(&nobody(), Tick::default());
        let expected = Repaired {
            mended: vec![number],
            ..Repaired::default()
        };
        assert_eq!(repaired, expected);
        assert_eq!(
            group.repair(&nobody(), Tick::default()),
            Repaired::default()
        );
        every_slot_is_where_it_should_be(&mut group);
    }
}

#[test]
fn listeners_that_left_together_come_back_together() {
    for left in [
        vec![0, 1],
        vec![2, 4],
        vec![0, 1, 2],
        vec![4, 1, 3, 0],
        vec![4, 3, 2, 1, 0],
    ] {
        let mut group = group();
        for number in &left {
            shut(&group, *number);
        }
        let repaired = group.repair(&nobody(), Tick::default());
        assert!(repaired.rebuilt && repaired.error.is_none(), "{repaired:?}");
        every_slot_is_where_it_should_be(&mut group);
    }
}

#[test]
fn steering_while_a_listener_is_out_does_not_keep_it_out() {
    let mut group = group();
    every_slot_is_where_it_should_be(&mut group);
    shut(&group, 0);
    let rotation = Rotation {
        live: vec![ListenerId(2)],
        expected: vec![ListenerId(2)],
        ..nobody()
    };
    group.steer(&rotation).unwrap();
    assert_eq!(group.repair(&rotation, Tick::default()).error, None);
    every_slot_is_where_it_should_be(&mut group);
}

#[test]
fn a_listener_that_cannot_come_back_is_replaced() {
    let mut group = group();
    shut(&group, 1);
    // What happens if a program is attached while the listener is out: it gets a group of its own.
    let program = group.wanted(&nobody()).unwrap();
    steering::attach(&group.listeners[1].fd, &program).unwrap();
    let before = group.listeners[1].inode;
    assert_eq!(group.repair(&nobody(), Tick::default()).error, None);
    assert_ne!(group.listeners[1].inode, before);
    every_slot_is_where_it_should_be(&mut group);
}

#[test]
fn the_spare_gets_nothing_while_the_port_opens() {
    let addr = group().key.addr;
    let over = std::sync::atomic::AtomicBool::new(false);
    let connect = || {
        let mut clients = Vec::new();
        while !over.load(std::sync::atomic::Ordering::Relaxed) && clients.len() < 200 {
            clients.extend(std::net::TcpStream::connect(addr));
        }
        clients.len()
    };
    std::thread::scope(|scope| {
        let clients = scope.spawn(connect);
        let settings = settings();
        let key = PortKey::new(addr, false);
        for _ in 0..50 {
            let group = Group::open(
                key,
                &settings,
                (Some(ListenerId(3)), None),
                (&nobody(), false),
            )
            .unwrap();
            let spare = group.listeners.last().unwrap();
            assert_eq!(listener::queue(&spare.fd).unwrap().length, 0);
            assert_eq!(group.order.numbers().next(), Some(3));
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        clients.join().unwrap();
    });
}

#[test]
fn connections_of_a_listener_that_was_shut_down_twice_are_whole() {
    use std::io::{Read, Write};
    use std::time::Duration;
    for left in [vec![2], vec![0, 2]] {
        let mut group = group();
        every_slot_is_where_it_should_be(&mut group);
        for number in &left {
            shut(&group, *number);
            // The listener does not listen any more. The kernel refuses the call, but remembers it.
            let fd = group.listeners[*number].fd.as_raw_fd();
            let again = nix::sys::socket::shutdown(fd, nix::sys::socket::Shutdown::Both);
            assert_eq!(again, Err(nix::errno::Errno::ENOTCONN));
        }
        assert_eq!(group.repair(&nobody(), Tick::default()).error, None);
        let slot = ListenerId(2);
        group.take(slot);
        let rotation = Rotation {
            live: vec![slot],
            expected: vec![slot],
            ..nobody()
        };
        group.steer(&rotation).unwrap();
        let mut client = std::net::TcpStream::connect(group.key.addr).unwrap();
        let listener =
            std::net::TcpListener::from(group.listener(slot).unwrap().try_clone().unwrap());
        let (mut served, _) = listener.accept().unwrap();
        served
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        client.write_all(b"ping").unwrap();
        let mut got = [0; 4];
        served.read_exact(&mut got).unwrap();
        served.write_all(b"pong").unwrap();
        client.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"pong");
    }
}

#[test]
fn a_spare_gets_nothing_while_a_listener_is_out() {
    let mut group = group();
    every_slot_is_where_it_should_be(&mut group);
    for number in 0..usize::from(SLOTS) {
        shut(&group, number);
        for _ in 0..20 {
            // Each connection is refused, queued, or dropped by a full queue (a blocking client would then hang). None
            // may reach a listener without a worker.
            let _ = listener::connect_nonblocking(group.key.addr);
        }
        assert!(
            !listener::queue(&group.listeners.last().unwrap().fd)
                .unwrap()
                .listening
        );
        group.repair(&nobody(), Tick::default());
    }
}

#[test]
fn a_spare_joins_at_the_end_and_is_reached_there() {
    let mut group = group();
    let spare = ListenerId(SLOTS);
    let before: Vec<usize> = group.order.numbers().collect();
    group.join(spare, &nobody()).unwrap();
    group.join(spare, &nobody()).unwrap();
    let after: Vec<usize> = group.order.numbers().collect();
    assert_eq!(after[..before.len()], before);
    assert_eq!(after[before.len()..], [usize::from(SLOTS)]);
    // A listener that was not opened yet, after a number that does not listen: the group grows beyond the prepared
    // listeners.
    let beyond = ListenerId(SLOTS + 2);
    group.join(beyond, &nobody()).unwrap();
    for listener in [spare, beyond, ListenerId(0)] {
        group.take(listener);
        let rotation = Rotation {
            live: vec![listener],
            ..nobody()
        };
        group.steer(&rotation).unwrap();
        let _client = std::net::TcpStream::connect(group.key.addr).unwrap();
        let arrived = (0..100_000).any(|_| group.queue_length(listener) == Some(1));
        assert!(arrived, "{listener:?}: {:?}", group.order);
    }
    every_slot_is_where_it_should_be(&mut group);
    // A repair finds all of them again.
    shut(&group, usize::from(beyond.0));
    assert_eq!(
        group.repair(&nobody(), Tick::default()).mended,
        [usize::from(beyond.0)]
    );
    shut(&group, 1);
    assert_eq!(group.repair(&nobody(), Tick::default()).mended, [1]);
    every_slot_is_where_it_should_be(&mut group);
}

#[test]
fn a_group_that_is_opened_in_a_reload_has_the_newcomer_first() {
    let free = std::net::TcpListener::bind("127.73.0.3:0").unwrap();
    let key = PortKey::new(free.local_addr().unwrap(), false);
    drop(free);
    let spare = ListenerId(SLOTS);
    let group = Group::open(key, &settings(), (Some(spare), None), (&nobody(), false)).unwrap();
    assert!(group.order.numbers().eq([5, 0, 1, 2, 3, 4]));
}

/// While nobody serves, clients wait at a listener that no worker has. As soon as somebody serves, no more come there.
#[test]
fn clients_wait_apart_until_somebody_serves() {
    let (first, anteroom) = (ListenerId(0), ListenerId(SLOTS + 1));
    let mut group = Group::open(
        free_port(),
        &settings(),
        (Some(first), Some(anteroom)),
        (&nobody(), false),
    )
    .unwrap();
    group.take(first);
    let early = clients(&group, 10, anteroom);
    let live = Rotation {
        live: vec![first],
        ..nobody()
    };
    group.steer(&live).unwrap();
    let late = clients(&group, 10, first);
    assert_eq!(group.queue_length(anteroom), Some(10));
    // It may become necessary later.
    let mut group = Group::open(
        free_port(),
        &settings(),
        (Some(first), None),
        (&nobody(), false),
    )
    .unwrap();
    group.take(first);
    group.anteroom = Some(anteroom);
    group.steer(&nobody()).unwrap();
    let last = clients(&group, 10, anteroom);
    drop((early, late, last));
}

/// It does not come back for its worker, whose successor has a new one. The others are not disturbed.
#[test]
fn a_listener_that_leaves_again_and_again_is_barred_until_its_worker_ends() {
    let mut group = group();
    every_slot_is_where_it_should_be(&mut group);
    let now = Tick::default();
    for _ in 0..3 {
        shut(&group, 1);
        assert_eq!(group.repair(&nobody(), now).mended, [1]);
    }
    shut(&group, 1);
    let barred = Repaired {
        barred: vec![1],
        ..Repaired::default()
    };
    assert_eq!(group.repair(&nobody(), now), barred);
    assert_eq!(group.repair(&nobody(), now), Repaired::default());
    slots_are_where_they_should_be(&mut group, vec![0, 2, 3, 4]);
    let again = group.join(ListenerId(1), &nobody());
    assert_eq!(again, Err(nix::errno::Errno::EBUSY));
    let old = listener::duplicate(&group.listeners[1].fd).unwrap();
    group.release(ListenerId(1));
    group.join(ListenerId(1), &nobody()).unwrap();
    every_slot_is_where_it_should_be(&mut group);
    // What the ended worker has left cannot harm its successor.
    assert!(nix::sys::socket::shutdown(old.as_raw_fd(), nix::sys::socket::Shutdown::Both).is_err());
    assert_eq!(group.repair(&nobody(), now), Repaired::default());
    every_slot_is_where_it_should_be(&mut group);
}

#[test]
fn listeners_that_are_barred_together_leave_the_others_in_order() {
    let mut group = group();
    let now = Tick::default();
    for round in 0..4 {
        shut(&group, 1);
        shut(&group, 3);
        let repaired = group.repair(&nobody(), now);
        let both = vec![1, 3];
        let told = if round < 3 {
            repaired.mended
        } else {
            repaired.barred
        };
        assert_eq!(told, both, "{round}");
        assert_eq!(repaired.error, None);
    }
    slots_are_where_they_should_be(&mut group, vec![0, 2, 4]);
}
