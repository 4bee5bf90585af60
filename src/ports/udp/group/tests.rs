//! Tests on real sockets, on addresses that no other test binds.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::time::Duration;

use super::*;
use crate::policy::handover::{PortRule, Transport};
use crate::policy::steering::Balance;
use crate::ports::Steering;

fn settings(slots: u16) -> PortSettings {
    PortSettings {
        slots,
        listeners: slots + 1,
        descriptors: 1024,
        backlog: 16,
        rule: PortRule::Any,
        steering: Some(Steering {
            balance: Balance::Random,
            follows: false,
            probe: None,
        }),
    }
}

fn key(address: &str) -> PortKey {
    let free = UdpSocket::bind((address, 0)).unwrap();
    PortKey::new(free.local_addr().unwrap(), false).over(Transport::Udp)
}

/// Seats as given, by listener; those of `live` have a live worker.
fn rotation(seats: &[u16], live: &[u16]) -> Rotation {
    Rotation {
        live: live.iter().copied().map(ListenerId).collect(),
        expected: seats.iter().copied().map(ListenerId).collect(),
        apart: None,
        seats: (0..)
            .zip(seats)
            .map(|(slot, listener)| (ListenerId(*listener), SlotId(slot)))
            .collect(),
    }
}

/// Clients, and the number of the socket that got the datagram of each.
struct Clients {
    sockets: Vec<UdpSocket>,
}

impl Clients {
    fn new(address: &str) -> Self {
        let client = || UdpSocket::bind((address, 0)).unwrap();
        Self {
            sockets: (0..200).map(|_| client()).collect(),
        }
    }

    fn reach(&self, group: &DatagramGroup) -> Vec<usize> {
        self.reach_at(group, group.key.addr)
    }

    fn reach_at(&self, group: &DatagramGroup, to: std::net::SocketAddr) -> Vec<usize> {
        let reached = self.sockets.iter().map(|client| {
            client.send_to(b"x", to).unwrap();
            let filled = |member: &Member| datagram::queue(&member.fd).unwrap().bytes > 0;
            // On a busy machine another thread of the kernel delivers it.
            let mut looks = (0..1_000_000).map(|_| {
                std::thread::yield_now();
                group.members.iter().position(filled)
            });
            let at = looks.find_map(|at| at).expect("it arrived");
            let socket = UdpSocket::from(group.members[at].fd.try_clone().unwrap());
            socket
                .set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
            socket.recv(&mut [0; 8]).unwrap();
            at
        });
        reached.collect()
    }
}

fn served(address: &str) -> DatagramGroup {
    // The second worker was the first to bind: its socket has index 0.
    let seats = rotation(&[0, 1, 2], &[]);
    let mut group = DatagramGroup::open(
        key(address),
        &settings(3),
        Some(ListenerId(1)),
        (&seats, false),
    )
    .unwrap();
    for listener in 0..3 {
        group.take(ListenerId(listener));
    }
    group.steer(&rotation(&[0, 1, 2], &[0, 1, 2])).unwrap();
    group
}

#[test]
fn only_the_clients_of_the_worker_that_leaves_move() {
    for address in ["127.73.0.20", "::1"] {
        let mut group = served(address);
        let clients = Clients::new(address.replace("73.0.20", "0.0.1").as_str());
        let before = clients.reach(&group);
        assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), 3);
        assert_eq!(
            clients.reach(&group),
            before,
            "the same client, the same worker"
        );
        // A worker leaves without a successor.
        group.steer(&rotation(&[0, 1, 2], &[0, 2])).unwrap();
        let without = clients.reach(&group);
        for (old, new) in before.iter().zip(&without) {
            assert!(if *old == 1 { *new != 1 } else { old == new });
        }
        // Its successor comes, on the spare.
        group.take(ListenerId(3));
        group.steer(&rotation(&[0, 3, 2], &[0, 3, 2])).unwrap();
        let after = clients.reach(&group);
        for (old, new) in before.iter().zip(&after) {
            assert_eq!(*new, if *old == 1 { 3 } else { *old });
        }
    }
}

#[test]
fn the_queue_of_a_dead_worker_waits_for_its_successor() {
    let mut group = served("127.73.0.21");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"kept", group.key.addr).unwrap();
    let all = (0..3).map(ListenerId);
    let waits: Vec<ListenerId> = all
        .clone()
        .filter(|one| group.is_waiting(*one) == Some(true))
        .collect();
    let [one] = waits[..] else {
        panic!("{waits:?}")
    };
    group.release(one, Tick::default());
    assert_eq!(group.is_waiting(one), None);
    // Nobody is live: clients wait at the expected workers.
    group.steer(&rotation(&[0, 1, 2], &[])).unwrap();
    group.take(one);
    let (fd, _) = group.socket(one).unwrap();
    let mut word = [0; 8];
    let len = UdpSocket::from(fd.try_clone().unwrap())
        .recv(&mut word)
        .unwrap();
    assert_eq!(&word[..len], b"kept");
}

#[test]
fn a_spare_gets_nothing() {
    let group = served("127.73.0.22");
    let reached = Clients::new("127.0.0.1").reach(&group);
    assert!(!reached.contains(&3));
    let queues = group.queues(&rotation(&[0, 1, 2], &[0, 1, 2]));
    assert_eq!(queues.len(), 4);
    assert!(
        queues
            .iter()
            .all(|queue| queue.limit > 0 && queue.length == 0)
    );
    assert_eq!(queues.iter().filter(|queue| queue.in_rotation).count(), 3);
    assert_eq!(queues[3].worker, None);
}

/// The kernel takes such a socket out of the group at once (wildcard) or when it is closed, and moves another one to its
/// index.
#[test]
fn a_socket_that_a_program_connected_is_left_out_and_renewed_after_its_worker() {
    for address in ["127.73.0.23", "0.0.0.0"] {
        let mut group = served(address);
        let clients = Clients::new("127.0.0.1");
        let to = std::net::SocketAddr::from(([127, 0, 0, 1], group.key.addr.port()));
        let to = if address == "0.0.0.0" {
            to
        } else {
            group.key.addr
        };
        let before = clients.reach_at(&group, to);
        let all = rotation(&[0, 1, 2], &[0, 1, 2]);
        for listener in [1, 0] {
            let number = usize::from(listener);
            let (fd, _) = group.socket(ListenerId(listener)).unwrap();
            let own = UdpSocket::from(fd.try_clone().unwrap());
            own.connect("127.0.0.1:9").unwrap();
            group.steer(&all).unwrap();
            let without = clients.reach_at(&group, to);
            for (old, new) in before.iter().zip(&without) {
                assert!(if *old == number {
                    *new != number
                } else {
                    old == new
                });
            }
            drop(own);
            group.release(ListenerId(listener), Tick::default());
            group.take(ListenerId(listener));
            group.steer(&all).unwrap();
            assert_eq!(clients.reach_at(&group, to), before, "{address} {listener}");
        }
    }
}

#[test]
fn a_further_socket_of_a_program_gets_its_peer_alone() {
    let mut group = served("127.73.0.24");
    let clients = Clients::new("127.0.0.1");
    let before = clients.reach(&group);
    let own = UdpSocket::from(group.another(ListenerId(0)).unwrap());
    assert_eq!(own.local_addr().unwrap(), group.key.addr);
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    own.connect(peer.local_addr().unwrap()).unwrap();
    peer.send_to(b"mine", group.key.addr).unwrap();
    own.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut word = [0; 8];
    assert_eq!(own.recv(&mut word).unwrap(), 4);
    assert_eq!(clients.reach(&group), before);
    group.join(ListenerId(3)).unwrap();
    assert!(!group.reports(), "it exists");
    group.join(ListenerId(4)).unwrap();
    assert!(group.reports(), "its index would not be known");
    assert!(group.own_socket().is_some());
}

/// A copy of a worker's socket.
fn copy(group: &DatagramGroup, listener: u16) -> UdpSocket {
    let (fd, _) = group.socket(ListenerId(listener)).unwrap();
    UdpSocket::from(fd.try_clone().unwrap())
}

/// What DTLS servers do: the socket is connected to the client that was heard there, and a new one takes its place.
#[test]
fn a_socket_that_takes_the_place_of_a_connected_one_gets_clients() {
    for address in ["127.73.0.26", "0.0.0.0"] {
        let mut group = served(address);
        let port = group.key.addr.port();
        let to = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let to = if address == "0.0.0.0" {
            to
        } else {
            group.key.addr
        };
        let mut sockets: Vec<UdpSocket> = (0..3).map(|one| copy(&group, one)).collect();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        sockets[1].connect(peer.local_addr().unwrap()).unwrap();
        sockets.push(group.another(ListenerId(1)).unwrap().into());
        assert!(group.reports() && !group.reports());
        group.take(ListenerId(1));
        group.steer(&rotation(&[0, 1, 2], &[0, 1, 2])).unwrap();
        let next = group.own_socket().unwrap().unwrap();
        group.take(ListenerId(3));
        sockets.push(next.into());
        peer.send_to(b"mine", to).unwrap();
        for client in Clients::new("127.0.0.1").sockets {
            client.send_to(b"x", to).unwrap();
        }
        let mut heard: Vec<Vec<usize>> = vec![Vec::new(); sockets.len()];
        for _ in 0..1_000_000 {
            for (socket, heard) in sockets.iter().zip(&mut heard) {
                socket.set_nonblocking(true).unwrap();
                heard.extend(std::iter::from_fn(|| socket.recv(&mut [0; 8]).ok()));
            }
            if heard.iter().map(Vec::len).sum::<usize>() == 201 {
                break;
            }
            std::thread::yield_now();
        }
        assert_eq!(heard[1], [4], "its own client");
        for one in [0, 2, 3, 4] {
            assert!(heard[one].len() > 10, "{address} {one}: {heard:?}");
        }
        assert_eq!(heard.iter().map(Vec::len).sum::<usize>(), 201);
        assert!(group.is_held());
        for listener in 0..4 {
            group.release(ListenerId(listener), Tick::default());
        }
        assert!(!group.is_held());
    }
}

#[test]
fn when_two_sockets_have_left_the_kernels_group_their_order_is_not_guessed() {
    let mut group = served("0.0.0.0");
    for one in [1, 0] {
        copy(&group, one).connect("127.0.0.1:9").unwrap();
    }
    group.steer(&rotation(&[0, 1, 2], &[0, 1, 2])).unwrap();
    assert!(group.reports());
}

#[test]
fn two_workers_whose_sockets_are_connected_end_before_the_steering_changes() {
    let mut group = served("127.73.0.27");
    let clients = Clients::new("127.0.0.1");
    let before = clients.reach(&group);
    for one in [2, 0] {
        copy(&group, one).connect("127.0.0.1:9").unwrap();
        group.release(ListenerId(one), Tick::default());
    }
    for one in [2, 0] {
        group.take(ListenerId(one));
    }
    group.steer(&rotation(&[0, 1, 2], &[0, 1, 2])).unwrap();
    assert_eq!(clients.reach(&group), before);
    assert!(!group.reports());
}

#[test]
fn what_came_long_ago_is_not_for_the_next_worker() {
    let mut group = served("127.73.0.28");
    let seats = rotation(&[0, 1, 2], &[0, 1, 2]);
    let waits = |group: &DatagramGroup, one: u16| {
        let member = &group.members[usize::from(one)];
        datagram::queue(&member.fd).unwrap().bytes > 0
    };
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = |seconds| Tick(Duration::from_secs(seconds));
    group.release(ListenerId(0), at(100));
    let alone = rotation(&[0], &[]);
    group.steer(&alone).unwrap();
    client.send_to(b"x", group.key.addr).unwrap();
    assert!(waits(&group, 0));
    group.empty_stale(ListenerId(0), &seats, at(109));
    assert!(waits(&group, 0), "it is not old");
    group.empty_stale(ListenerId(0), &alone, at(110));
    assert!(waits(&group, 0), "clients still come there");
    group.empty_stale(ListenerId(0), &seats, at(110));
    assert!(!waits(&group, 0));
}

#[test]
fn more_workers_than_at_the_start_get_sockets_too() {
    let mut group = served("127.73.0.25");
    for listener in [3, 4, 5] {
        group.join(ListenerId(listener)).unwrap();
        group.take(ListenerId(listener));
    }
    group
        .steer(&rotation(&[0, 1, 2, 5], &[0, 1, 2, 5]))
        .unwrap();
    let reached = Clients::new("127.0.0.1").reach(&group);
    let reached: BTreeSet<usize> = reached.into_iter().collect();
    assert_eq!(reached, BTreeSet::from([0, 1, 2, 5]));
}

/// The index of a socket that joins after it would not be known for ever.
#[test]
fn beside_a_stranger_the_kernel_chooses_once_a_worker_is_added() {
    let mut group = served("127.73.0.29");
    let stranger = datagram::bound(group.key.addr, false, true).unwrap();
    group.join(ListenerId(3)).unwrap();
    assert!(group.own_socket().is_none(), "the spare was there before");
    group.join(ListenerId(4)).unwrap();
    assert!(group.own_socket().is_some());
    drop(stranger);
    let mut group = served("127.73.0.29");
    group.join(ListenerId(4)).unwrap();
    assert!(group.own_socket().is_none());
}
