//! More clients than there are places.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use crate::admin::ConnectionLimits;

use super::{PATIENCE, Server, one_answer, roomy, until_closed};

const PROBE: &[u8] = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
const PAGE: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

/// Larger than the buffers of both sockets.
const LARGE: usize = 64 << 20;

fn is_open(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let read = stream.read(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// A client that asks for a page and reads nothing but its first byte.
fn deaf(server: &Server) -> TcpStream {
    let mut deaf = server.connect();
    deaf.write_all(PAGE).unwrap();
    deaf.read_exact(&mut [0]).unwrap();
    deaf
}

#[test]
fn silent_clients_make_room_for_one_that_asks_the_oldest_first() {
    let limits = ConnectionLimits {
        unknown: 64,
        ..roomy()
    };
    let server = Server::start(limits);
    let mut silent: Vec<TcpStream> = (0..70).map(|_| server.connect()).collect();
    // It does not say yet what it asks for.
    silent[3].write_all(b"GET /live").unwrap();
    assert_eq!(server.ask("GET", "/livez").status, 200);
    // The last seven of 71 clients had to displace others.
    for gone in &mut silent[..7] {
        assert_eq!(until_closed(gone), "");
    }
    assert!(silent[7..].iter_mut().all(is_open));
}

#[test]
fn an_idle_kept_connection_makes_room() {
    let limits = ConnectionLimits {
        probes: 1,
        ..roomy()
    };
    let server = Server::start(limits);
    let mut first = server.connect();
    first.write_all(PROBE).unwrap();
    assert_eq!(one_answer(&mut first).body, "ok\n");
    assert_eq!(server.ask("GET", "/livez").status, 200);
    assert_eq!(until_closed(&mut first), "");
}

#[test]
fn probes_have_places_that_no_other_request_takes() {
    let limits = ConnectionLimits {
        pages: 1,
        ..roomy()
    };
    let server = Server::start_with(limits, 0, LARGE);
    let mut deaf = deaf(&server);
    for path in ["/livez", "/readyz", "/startupz?verbose"] {
        assert_eq!(server.ask("GET", path).status, 200, "{path}");
        assert_eq!(server.ask("HEAD", path).status, 200, "{path}");
    }
    // None of them took the place of the page.
    let mut rest = vec![0; 1 << 20];
    deaf.read_exact(&mut rest).unwrap();
}

#[test]
fn a_connection_takes_a_place_for_what_it_asks_now() {
    let limits = ConnectionLimits {
        pages: 1,
        probes: 1,
        ..roomy()
    };
    let server = Server::start(limits);
    let (mut one, mut other) = (server.connect(), server.connect());
    for (stream, request) in [(&mut one, PROBE), (&mut other, PAGE)] {
        stream.write_all(request).unwrap();
        one_answer(stream);
    }
    // The one goes where the other was.
    one.write_all(PAGE).unwrap();
    one_answer(&mut one);
    assert_eq!(until_closed(&mut other), "");
    assert_eq!(server.ask("GET", "/livez").status, 200);
    assert!(is_open(&mut one));
}

#[test]
fn the_oldest_that_does_not_read_its_answer_makes_room() {
    let limits = ConnectionLimits {
        pages: 2,
        unread: usize::MAX,
        ..roomy()
    };
    let server = Server::start_with(limits, 0, LARGE);
    let mut first = deaf(&server);
    assert_eq!(server.ask("GET", "/status").status, 200);
    let mut idle = server.connect();
    idle.write_all(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    one_answer(&mut idle);
    // Who waits for its client goes first.
    assert_eq!(server.ask("GET", "/status").status, 200);
    assert_eq!(until_closed(&mut idle), "");
    let limits = ConnectionLimits { pages: 1, ..limits };
    let server = Server::start_with(limits, 0, LARGE);
    let mut second = deaf(&server);
    assert_eq!(server.ask("GET", "/status").status, 200);
    assert!(until_closed(&mut second).len() < LARGE);
    first.read_exact(&mut vec![0; 1 << 20]).unwrap();
}

#[test]
fn clients_that_read_no_answer_of_what_they_sent_ahead_starve_no_probe() {
    let limits = ConnectionLimits {
        probes: 4,
        burst: u32::MAX,
        ..roomy()
    };
    let server = Server::start(limits);
    let ahead = PROBE.repeat(1000);
    let mut deaf: Vec<TcpStream> = (0..8).map(|_| server.connect()).collect();
    for stream in &mut deaf {
        // Until neither side takes more. One that was closed meanwhile refuses it.
        stream.set_nonblocking(true).unwrap();
        while stream.write(&ahead).is_ok_and(|count| count > 0) {}
        assert_eq!(server.ask("GET", "/livez").status, 200);
    }
    for _ in 0..20 {
        assert_eq!(server.ask("GET", "/readyz").status, 200);
    }
}

#[test]
fn a_client_that_asks_without_a_pause_is_slowed_down_and_no_other() {
    let limits = ConnectionLimits {
        burst: 2,
        pace: PATIENCE,
        ..roomy()
    };
    let server = Server::start(limits);
    let mut fast = server.connect();
    fast.write_all(&PROBE.repeat(3)).unwrap();
    for _ in 0..2 {
        assert_eq!(one_answer(&mut fast).body, "ok\n");
    }
    // Its third request was read before this one.
    assert_eq!(server.ask("GET", "/livez").status, 200);
    assert!(is_open(&mut fast));
}

#[test]
fn a_client_with_many_connections_displaces_its_own_and_not_those_of_another() {
    let limits = ConnectionLimits {
        pages: 3,
        ..roomy()
    };
    let server = Server::start(limits);
    let ask = |address: &str| {
        server.next_from(address);
        let mut stream = server.connect();
        stream
            .write_all(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        assert_eq!(one_answer(&mut stream).status, 200);
        stream
    };
    let mut kept = ask("10.0.0.1");
    let mut many: Vec<TcpStream> = (0..6).map(|_| ask("10.0.0.2")).collect();
    for gone in &mut many[..4] {
        assert_eq!(until_closed(gone), "");
    }
    assert!(many[4..].iter_mut().all(is_open) && is_open(&mut kept));
}

#[test]
fn one_client_cannot_have_all_pages_or_all_their_bytes() {
    let limits = ConnectionLimits {
        unread: usize::MAX,
        unread_of_one: LARGE + 1,
        pages_of_one: 2,
        ..roomy()
    };
    let server = Server::start_with(limits, 0, LARGE);
    let status = |address: &str, path: &str| {
        server.next_from(address);
        server.ask("GET", path).status
    };
    server.next_from("10.0.0.1");
    let first = deaf(&server);
    // A second page would be too many bytes for this client, and not for another.
    assert_eq!(status("10.0.0.1", "/metrics"), 503);
    assert_eq!(status("10.0.0.2", "/metrics"), 200);
    drop(first);
    let limits = ConnectionLimits {
        unread_of_one: usize::MAX,
        pages_of_one: 1,
        ..limits
    };
    let server = Server::start_with(limits, 0, LARGE);
    let status = |address: &str, path: &str| {
        server.next_from(address);
        server.ask("GET", path).status
    };
    server.next_from("10.0.0.1");
    let _first = deaf(&server);
    assert_eq!(status("10.0.0.1", "/metrics"), 503);
    assert_eq!(status("10.0.0.1", "/status"), 200);
    assert_eq!(status("10.0.0.2", "/metrics"), 200);
}

#[test]
fn few_descriptors_are_few_connections() {
    let all = |limits: ConnectionLimits| limits.unknown + limits.probes + limits.pages;
    let default = ConnectionLimits::default();
    for descriptors in [4480, 1 << 20, u64::MAX] {
        assert_eq!(ConnectionLimits::within(descriptors), default);
    }
    for descriptors in [64, 128, 256, 767, 768, 1024, 4096] {
        let limits = ConnectionLimits::within(descriptors);
        assert!(all(limits) <= usize::try_from(descriptors / 4).unwrap());
        assert!(limits.probes >= 2 && limits.pages >= 2 && limits.unknown >= 4);
    }
    assert_eq!(all(ConnectionLimits::within(0)), 8);
}
