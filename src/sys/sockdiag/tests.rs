//! Made-up answers.

mod kernel;

use proptest::prelude::*;

use super::*;

const SEQUENCE: u32 = 7;

fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(HEADER + payload.len()).unwrap();
    let mut bytes = len.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn done(code: i32) -> Vec<u8> {
    message(3, 0, SEQUENCE, &code.to_ne_bytes())
}

/// A socket from [::ffff:10.0.0.2]:50000 to [::ffff:10.0.0.1]:8080, with every field that a row may have.
fn socket_row() -> Vec<u8> {
    let mut bytes = vec![0; MESSAGE];
    bytes[0] = 10;
    bytes[1] = 1;
    bytes[3] = 2;
    bytes[4..6].copy_from_slice(&8080_u16.to_be_bytes());
    bytes[6..8].copy_from_slice(&50000_u16.to_be_bytes());
    bytes[18..24].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 1]);
    bytes[34..40].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 2]);
    bytes[56..60].copy_from_slice(&11_u32.to_ne_bytes());
    bytes[60..64].copy_from_slice(&12_u32.to_ne_bytes());
    bytes[68..72].copy_from_slice(&4_000_000_000_u32.to_ne_bytes());
    // An attribute that was not requested, with padding.
    bytes.extend([5, 0, 8, 0, 1, 0, 0, 0]);
    let mut info = vec![0; 240];
    info[44..48].copy_from_slice(&100_u32.to_ne_bytes());
    info[52..56].copy_from_slice(&200_u32.to_ne_bytes());
    info[56..60].copy_from_slice(&50_u32.to_ne_bytes());
    info[120..128].copy_from_slice(&900_u64.to_ne_bytes());
    info[128..136].copy_from_slice(&70_u64.to_ne_bytes());
    info[144..148].copy_from_slice(&3_u32.to_ne_bytes());
    bytes.extend(244_u16.to_ne_bytes());
    bytes.extend(INET_DIAG_INFO.to_ne_bytes());
    bytes.extend(info);
    bytes
}

fn expected() -> Row {
    Row {
        state: State::Established,
        local: "10.0.0.1:8080".parse().unwrap(),
        remote: "10.0.0.2:50000".parse().unwrap(),
        inode: 4_000_000_000,
        unread: 11,
        unsent: 12,
        again: 2,
        past: Some(Past {
            last_sent: Duration::from_millis(100),
            last_received: Duration::from_millis(200),
            last_acknowledged: Duration::from_millis(50),
            bytes: Some((70, 900)),
            waiting: Some(3),
        }),
    }
}

fn read_all(bytes: &[u8]) -> (nix::Result<Batch>, Vec<Row>) {
    let mut rows = Vec::new();
    let batch = read(bytes, SEQUENCE, &mut |payload| {
        rows.extend(parse(payload)?);
        Ok(())
    });
    (batch, rows)
}

#[test]
fn a_row_is_read_whole_and_a_mapped_address_is_ipv4() {
    let mut bytes = message(SOCK_DIAG_BY_FAMILY, 2, SEQUENCE, &socket_row());
    bytes.extend(message(SOCK_DIAG_BY_FAMILY, 2, SEQUENCE, &socket_row()));
    let (batch, rows) = read_all(&bytes);
    assert_eq!(batch, Ok(Batch::default()));
    assert_eq!(rows, [expected(), expected()]);
}

#[test]
fn an_old_kernel_tells_less() {
    let mut row = socket_row();
    row[MESSAGE + 8..MESSAGE + 10].copy_from_slice(&104_u16.to_ne_bytes());
    row.truncate(MESSAGE + 8 + 104);
    let (_, rows) = read_all(&message(SOCK_DIAG_BY_FAMILY, 2, SEQUENCE, &row));
    let past = expected().past.map(|past| Past {
        bytes: None,
        waiting: None,
        ..past
    });
    assert_eq!(rows, [Row { past, ..expected() }]);
}

#[test]
fn what_is_not_tcp_is_left_out() {
    for (place, value) in [(0, 1), (1, 0), (1, 200)] {
        let mut row = socket_row();
        row[place] = value;
        let (batch, rows) = read_all(&message(SOCK_DIAG_BY_FAMILY, 2, SEQUENCE, &row));
        assert_eq!((batch, rows), (Ok(Batch::default()), vec![]));
    }
}

#[test]
fn the_end_an_error_and_an_interruption_are_told_apart() {
    let last = Batch {
        last: true,
        interrupted: false,
    };
    assert_eq!(read_all(&done(0)).0, Ok(last));
    assert_eq!(read_all(&message(3, 0, SEQUENCE, &[])).0, Ok(last));
    assert_eq!(read_all(&done(-libc::ENOMEM)).0, Err(Errno::ENOMEM));
    let refused = message(2, 0, SEQUENCE, &(-libc::EPERM).to_ne_bytes());
    assert_eq!(read_all(&refused).0, Err(Errno::EPERM));
    assert_eq!(
        read_all(&message(4, 0, SEQUENCE, &[])).0,
        Err(Errno::EOVERFLOW)
    );
    let torn = message(
        SOCK_DIAG_BY_FAMILY,
        NLM_F_DUMP_INTR,
        SEQUENCE,
        &socket_row(),
    );
    let interrupted = Batch {
        last: false,
        interrupted: true,
    };
    assert_eq!(read_all(&torn), (Ok(interrupted), vec![expected()]));
}

#[test]
fn the_rest_of_an_older_answer_is_left_out() {
    let mut bytes = message(SOCK_DIAG_BY_FAMILY, 2, SEQUENCE - 1, &socket_row());
    bytes.extend(message(3, 0, SEQUENCE - 1, &(-libc::EBUSY).to_ne_bytes()));
    assert_eq!(read_all(&bytes), (Ok(Batch::default()), vec![]));
}

#[test]
fn a_cut_answer_is_an_error_and_never_half_a_row() {
    let bytes = message(SOCK_DIAG_BY_FAMILY, 2, SEQUENCE, &socket_row());
    for end in 1..bytes.len() {
        assert_eq!(
            read_all(&bytes[..end]),
            (Err(Errno::EBADMSG), vec![]),
            "{end}"
        );
    }
    // The message is whole, but its content is cut. A cut is harmless where an attribute ends or only lacks its
    // padding.
    let sound = |end: &usize| (72..=75).contains(end) || (77..=83).contains(end);
    for end in (0..socket_row().len()).filter(|end| !sound(end)) {
        let cut = message(SOCK_DIAG_BY_FAMILY, 2, SEQUENCE, &socket_row()[..end]);
        assert_eq!(read_all(&cut), (Err(Errno::EBADMSG), vec![]), "{end}");
    }
}

proptest! {
    #[test]
    fn no_answer_makes_us_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = read_all(&bytes);
    }

    #[test]
    fn no_spoilt_answer_makes_us_panic(place in 0_usize..340, value: u8, second in 0_usize..340, other: u8) {
        let mut bytes = message(SOCK_DIAG_BY_FAMILY, 2, SEQUENCE, &socket_row());
        bytes.extend(done(0));
        bytes[place] = value;
        bytes[second] = other;
        let (_, rows) = read_all(&bytes);
        prop_assert!(rows.len() <= 1);
    }
}
