//! Lines as the kernel writes them, and its real tables for sockets of this process.

use std::io::Write;
use std::net::{TcpListener, TcpStream};

use proptest::prelude::*;

use super::*;
use crate::sys::sockdiag::SockDiag;
use crate::sys::tcp::States;
use crate::sys::testing::{defer_accept, until};

const ALL: States = States::of(&[
    State::Established,
    State::SynReceived,
    State::CloseWait,
    State::FinWait2,
]);

fn fixture() -> Proc {
    Proc::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/proc"))
}

fn rows(proc: &Proc, query: Query<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    dump(proc, query, &mut |row| rows.push(*row)).unwrap();
    rows
}

fn row(state: State, local: &str, remote: &str, inode: u64) -> Row {
    Row {
        state,
        local: local.parse().unwrap(),
        remote: remote.parse().unwrap(),
        inode,
        unread: 0,
        unsent: 0,
        again: 0,
        past: None,
    }
}

fn query(ipv6: bool, ports: &[u16]) -> Query<'_> {
    Query {
        ipv6,
        ports,
        states: ALL,
        past: true,
    }
}

#[cfg(target_endian = "little")]
#[test]
fn both_tables_are_read_and_other_ports_and_states_left_out() {
    let expected = [
        Row {
            unread: 0x10,
            unsent: 0x2f,
            ..row(State::Established, "127.0.0.1:8080", "10.1.2.3:50000", 4242)
        },
        Row {
            again: 3,
            ..row(State::SynReceived, "127.0.0.1:8080", "10.1.2.3:50001", 0)
        },
    ];
    assert_eq!(rows(&fixture(), query(false, &[8080])), expected);
    let expected = [
        row(State::CloseWait, "[::1]:8080", "[fe80::1:2]:50002", 4243),
        row(State::FinWait2, "10.1.2.3:8080", "10.1.2.4:50003", 4244),
    ];
    assert_eq!(rows(&fixture(), query(true, &[8, 8080])), expected);
}

#[test]
fn no_table_is_an_error() {
    let error = dump(&Proc::new("/nonexistent"), query(false, &[80]), &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_line_of_another_form_is_an_error() {
    let head = "  sl  local_address rem_address   st tx_queue rx_queue\n";
    let good = "   0: 0100007F:1F90 0302010A:C350 01 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 20 4\n";
    let query = query(false, &[8080]);
    let count = |text: &[u8]| {
        let mut count = 0;
        read(text, query, &mut |_| count += 1).map(|()| count)
    };
    assert_eq!(count(format!("{head}{good}{good}").as_bytes()).unwrap(), 2);
    assert_eq!(count(b"").unwrap(), 0);
    // The inode is the last field that is read.
    let whole = good.find("4242").unwrap();
    for end in 1..=whole {
        let text = format!("{head}{good}{}", &good[..end]);
        assert!(count(text.as_bytes()).is_err(), "{end}");
    }
    for spoilt in ["", "0: G100007F:1F90", "0: 0100007F:1F90 é"] {
        let text = format!("{head}{spoilt}\n");
        assert!(count(text.as_bytes()).is_err(), "{spoilt}");
    }
    // Endless input without a line end.
    assert!(read(BufReader::new(io::repeat(b'0')), query, &mut |_| {}).is_err());
}

proptest! {
    #[test]
    fn no_line_makes_us_panic(line in "[ 0-9A-Fa-f:é]{0,200}") {
        let _ = parse(&line);
    }

    #[test]
    fn no_address_makes_us_panic(words in "\\PC{8}|\\PC{32}|[0-9A-F]{0,40}", port in "\\PC{0,6}") {
        let _ = address(&format!("{words}:{port}"));
    }
}

/// Both sources of the kernel agree, except for fields that only one of them has.
#[test]
fn the_tables_say_what_netlink_says() {
    let listener = TcpListener::bind("[::]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = |address: &str| {
        let client = TcpStream::connect((address, port)).unwrap();
        (client, listener.accept().unwrap().0)
    };
    let (mut speaks, _unread) = connect("127.0.0.1");
    let (leaves, _left) = connect("::1");
    let (_stays, ends) = connect("::1");
    speaks.write_all(b"hello").unwrap();
    leaves.shutdown(std::net::Shutdown::Write).unwrap();
    ends.shutdown(std::net::Shutdown::Write).unwrap();
    defer_accept(&listener);
    let _handshake = TcpStream::connect(("127.0.0.1", port)).unwrap();

    let ports = [port];
    let query = Query {
        past: false,
        ..query(true, &ports)
    };
    let (mut diag, proc) = (SockDiag::open().unwrap(), Proc::new("/proc"));
    let ordered = |mut rows: Vec<Row>| {
        rows.sort_by_key(|row| row.remote);
        rows
    };
    let both = || {
        let mut told = Vec::new();
        diag.dump(query, &mut |row| told.push(*row)).unwrap();
        (ordered(told), ordered(rows(&proc, query)))
    };
    let mut both = both;
    until("all four are in their states", || {
        let (told, read) = both();
        let states: Vec<State> = told.iter().map(|row| row.state).collect();
        let unread: u32 = told.iter().map(|row| row.unread).sum();
        let all = [
            State::Established,
            State::CloseWait,
            State::FinWait2,
            State::SynReceived,
        ];
        told.len() == 4
            && all.iter().all(|state| states.contains(state))
            && unread >= 5
            && told == read
    });
}
