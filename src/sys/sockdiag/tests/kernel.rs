//! Real answers of the kernel about sockets of this process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::sys::listener::inode;
use crate::sys::sockdiag::*;
use crate::sys::tcp::MOST_PORTS;
use crate::sys::testing::{REFUSALS, defer_accept, until, without_sock_diag};

fn ask(diag: &mut SockDiag, port: SocketAddr, states: &[State]) -> Vec<Row> {
    let query = Query {
        ipv6: port.is_ipv6(),
        ports: &[port.port()],
        states: States::of(states),
        past: true,
    };
    let mut rows = Vec::new();
    assert_eq!(
        diag.dump(query, &mut |row| rows.push(*row)),
        Ok(Dump::Complete)
    );
    rows
}

fn pair(listener: &TcpListener, address: &str) -> (TcpStream, TcpStream) {
    let port = listener.local_addr().unwrap().port();
    let client = TcpStream::connect((address, port)).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server)
}

#[test]
fn a_connection_is_told_with_its_addresses_inode_and_bytes() {
    let mut diag = SockDiag::open().unwrap();
    for (bound, called) in [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("::", "127.0.0.1"),
        ("::", "::1"),
    ] {
        let listener = TcpListener::bind((bound, 0)).unwrap();
        let port = listener.local_addr().unwrap();
        let (mut client, mut server) = pair(&listener, called);
        let rows = ask(&mut diag, port, &[State::Established]);
        let [row] = rows.as_slice() else {
            panic!("{bound} {called}: {rows:?}");
        };
        assert_eq!(row.state, State::Established);
        assert_eq!(row.local, client.peer_addr().unwrap(), "{bound} {called}");
        assert_eq!(row.remote, client.local_addr().unwrap());
        assert_eq!(row.inode, inode(&server).unwrap());
        assert_eq!((row.unread, row.unsent), (0, 0));
        assert_eq!(row.past.unwrap().bytes, Some((0, 0)));

        client.write_all(b"hello").unwrap();
        until("the bytes are there", || {
            ask(&mut diag, port, &[State::Established])[0].unread == 5
        });
        server.read_exact(&mut [0; 5]).unwrap();
        let row = ask(&mut diag, port, &[State::Established])[0];
        assert_eq!((row.unread, row.unsent), (0, 0));
        assert_eq!(row.past.unwrap().bytes, Some((5, 0)));

        server.write_all(b"hi").unwrap();
        until("the answer is acknowledged", || {
            let row = ask(&mut diag, port, &[State::Established])[0];
            row.unsent == 0 && row.past.unwrap().bytes == Some((5, 2))
        });
    }
}

#[test]
fn what_the_client_does_not_take_is_unsent() {
    let mut diag = SockDiag::open().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap();
    let (_client, mut server) = pair(&listener, "127.0.0.1");
    server.set_nonblocking(true).unwrap();
    while server.write(&[0; 8192]).is_ok() {}
    until("the client's window is full", || {
        ask(&mut diag, port, &[State::Established])[0].unsent > 0
    });
}

#[test]
fn times_tell_which_way_data_went_last() {
    let mut diag = SockDiag::open().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap();
    let (mut client, mut server) = pair(&listener, "127.0.0.1");
    let mut past = || ask(&mut diag, port, &[State::Established])[0].past.unwrap();
    let apart = Duration::from_millis(20);
    until("the connection has an age", || past().last_sent > apart);
    client.write_all(b"?").unwrap();
    server.read_exact(&mut [0]).unwrap();
    until("it came later", || past().last_received < past().last_sent);
    until("that was a while ago", || past().last_received > apart);
    server.write_all(b"!").unwrap();
    until("the answer went out later", || {
        past().last_sent < past().last_received
    });
}

#[test]
fn who_waits_to_be_accepted_or_is_closed_has_no_inode() {
    let mut diag = SockDiag::open().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).unwrap();
    until("it is queued", || {
        let rows = ask(&mut diag, address, &[State::Established]);
        rows.len() == 1 && rows[0].inode == 0
    });
    let (server, _) = listener.accept().unwrap();
    drop(client);
    until("the client's end has come", || {
        let rows = ask(&mut diag, address, &[State::CloseWait]);
        rows.len() == 1 && rows[0].inode == inode(&server).unwrap()
    });
    let listening = ask(&mut diag, address, &[State::Listen]);
    assert_eq!(listening.len(), 1);
    assert_eq!(listening[0].inode, inode(&listener).unwrap());
}

#[test]
fn a_handshake_shows_until_its_last_step() {
    let mut diag = SockDiag::open().unwrap();
    for (bound, called) in [
        ("127.0.0.1", "127.0.0.1"),
        ("::", "127.0.0.1"),
        ("::1", "::1"),
    ] {
        let listener = TcpListener::bind((bound, 0)).unwrap();
        defer_accept(&listener);
        let port = listener.local_addr().unwrap();
        let mut client = TcpStream::connect((called, port.port())).unwrap();
        let rows = ask(&mut diag, port, &[State::SynReceived]);
        let [row] = rows.as_slice() else {
            panic!("{bound} {called}: {rows:?}");
        };
        assert_eq!((row.state, row.inode), (State::SynReceived, 0));
        assert_eq!(row.local, client.peer_addr().unwrap());
        assert_eq!(row.remote, client.local_addr().unwrap());
        client.write_all(b"?").unwrap();
        until("it is over", || {
            ask(&mut diag, port, &[State::SynReceived]).is_empty()
        });
        assert_eq!(ask(&mut diag, port, &[State::Established]).len(), 1);
    }
}

#[test]
fn more_than_a_buffer_is_told_once_each_and_other_ports_are_not() {
    let mut diag = SockDiag::open().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap();
    let _elsewhere = pair(&other, "127.0.0.1");
    let pairs: Vec<_> = (0..400).map(|_| pair(&listener, "127.0.0.1")).collect();
    let mut told: Vec<u64> = ask(&mut diag, port, &[State::Established])
        .iter()
        .map(|row| row.inode)
        .collect();
    let mut held: Vec<u64> = pairs
        .iter()
        .map(|(_, server)| inode(server).unwrap())
        .collect();
    told.sort_unstable();
    held.sort_unstable();
    assert_eq!(told, held);
    // So many rows do not fit into one datagram, so the dump continued over several.
    assert!(told.len() * (HEADER + MESSAGE + 200) > diag.buffer.len());
}

#[test]
fn a_refusal_is_told_as_it_is() {
    for errno in REFUSALS {
        let opened = without_sock_diag(errno, || SockDiag::open().map(drop));
        assert_eq!(opened, Err(Errno::from_raw(errno)));
    }
}

#[test]
fn a_socket_in_the_middle_of_an_answer_can_be_replaced() {
    let mut diag = SockDiag::open().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap();
    let _pairs: Vec<_> = (0..400).map(|_| pair(&listener, "127.0.0.1")).collect();
    // Too small for the answer.
    diag.buffer.truncate(1000);
    let query = Query {
        ipv6: port.is_ipv6(),
        ports: &[port.port()],
        states: States::of(&[State::Established]),
        past: true,
    };
    assert_eq!(diag.dump(query, &mut |_| {}), Err(Errno::EMSGSIZE));
    let mut fresh = SockDiag::open().unwrap();
    assert_eq!(ask(&mut fresh, port, &[State::Established]).len(), 400);
}

#[test]
fn several_ports_are_told_in_one_walk_and_no_others() {
    let mut diag = SockDiag::open().unwrap();
    let listeners: Vec<_> = (0..7)
        .map(|_| TcpListener::bind("[::]:0").unwrap())
        .collect();
    defer_accept(&listeners[6]);
    let mut ports: Vec<u16> = listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap().port())
        .collect();
    let _clients: Vec<_> = ports
        .iter()
        .map(|port| TcpStream::connect(("127.0.0.1", *port)).unwrap())
        .collect();
    // The query includes a handshake and leaves out one port in the middle.
    ports.remove(3);
    for count in 1..=ports.len() {
        let asked = &ports[ports.len() - count..];
        let query = Query {
            ipv6: true,
            ports: asked,
            states: States::of(&[State::Established, State::SynReceived]),
            past: true,
        };
        let mut told = Vec::new();
        until("all are there", || {
            told.clear();
            let end = diag.dump(query, &mut |row| told.push((row.local.port(), row.state)));
            end == Ok(Dump::Complete) && told.len() >= count
        });
        told.sort_by_key(|(port, _)| *port);
        let mut expected: Vec<_> = asked
            .iter()
            .map(|port| {
                let last = Some(port) == ports.last();
                let state = if last {
                    State::SynReceived
                } else {
                    State::Established
                };
                (*port, state)
            })
            .collect();
        expected.sort_by_key(|(port, _)| *port);
        assert_eq!(told, expected);
    }
}

#[test]
fn the_kernel_takes_as_many_ports_as_are_promised() {
    let mut diag = SockDiag::open().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _pair = pair(&listener, "127.0.0.1");
    let port = listener.local_addr().unwrap().port();
    let mut ports: Vec<u16> = (1..).take(MOST_PORTS - 1).collect();
    ports.push(port);
    let mut told = Vec::new();
    let query = Query {
        ipv6: false,
        ports: &ports,
        states: States::of(&[State::Established]),
        past: false,
    };
    let end = diag.dump(query, &mut |row| told.push(row.local.port()));
    assert_eq!(end, Ok(Dump::Complete));
    assert!(told.contains(&port));
    let more: Vec<u16> = (1..5000).collect();
    let query = Query {
        ports: &more,
        ..query
    };
    assert_eq!(diag.dump(query, &mut |_| {}), Err(Errno::E2BIG));
}
