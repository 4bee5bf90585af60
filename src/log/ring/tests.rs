//! What is written and what is read.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{LogOrigin, Pid, SlotId};

fn about(slot: u16, origin: LogOrigin) -> About {
    About::new(
        origin,
        Some(SlotId(slot)),
        Pid::new(17),
        Duration::from_micros(1_000_001),
    )
}

fn lines(ring: &Ring, slot: u16, text: &str) {
    let block = Block::whole(b"", text.as_bytes());
    ring.push(about(slot, LogOrigin::Stdout), block, block.count());
}

/// All lines from the cursor on that are wanted, each with its mark, and how many are lost.
fn read(ring: &Ring, cursor: &mut Cursor, wanted: impl Fn(&About) -> bool) -> (Vec<String>, u64) {
    let (mut all, mut lost) = (Vec::new(), 0);
    loop {
        let mut text = Vec::new();
        let (more, found) = ring.read(cursor, &wanted, &mut text);
        lost += more;
        match found {
            Found::Nothing => return (all, lost),
            Found::Others => {}
            Found::Lines(about) => {
                assert!(text.len() <= LONGEST);
                let text = String::from_utf8(text).unwrap();
                let mark = if about.cut { "…" } else { "" };
                if about.one {
                    all.push(format!("{text}{mark}"));
                } else {
                    assert!(text.ends_with('\n'), "{text:?}");
                    all.extend(text.lines().map(str::to_owned));
                }
            }
        }
    }
}

fn all(ring: &Ring) -> Vec<String> {
    read(ring, &mut ring.oldest(), |_| true).0
}

#[test]
fn lines_come_out_as_they_went_in_with_what_is_known_of_them() {
    let ring = Ring::new(64 << 10);
    let (mut cursor, mut text) = (ring.oldest(), Vec::new());
    assert_eq!(
        ring.read(&mut cursor, |_| true, &mut text),
        (0, Found::Nothing)
    );
    let block = Block::whole(b"o", b"ne\n\ntwo\n");
    let from = about(3, LogOrigin::Stderr);
    ring.push(from, block, block.count());
    let found = ring.read(&mut cursor, |_| true, &mut text);
    assert_eq!(found, (0, Found::Lines(from)));
    assert_eq!(text, b"one\n\ntwo\n");
    assert_eq!(cursor.line(), 3);
    assert_eq!(cursor, ring.end());
    let own = About::new(LogOrigin::Runtime, None, None, Duration::ZERO);
    ring.push_line(own, b"info: ready");
    text.clear();
    let found = ring.read(&mut cursor, |_| true, &mut text);
    assert_eq!(found, (0, Found::Lines(About { one: true, ..own })));
    assert_eq!(text, b"info: ready");
}

#[test]
fn a_record_is_one_and_a_piece_of_a_line_says_that_it_goes_on() {
    let ring = Ring::new(64 << 10);
    let record = Block {
        joined: true,
        ..Block::whole(b"Trace", b"back\n  at x\n")
    };
    ring.push(about(0, LogOrigin::Stderr), record, 1);
    let piece = Block {
        partial: true,
        ..Block::whole(b"long", b"\n")
    };
    ring.push(about(0, LogOrigin::Stderr), piece, 1);
    let mut cursor = ring.oldest();
    let mut next = || {
        let mut text = Vec::new();
        match ring.read(&mut cursor, |_| true, &mut text) {
            (0, Found::Lines(about)) => (String::from_utf8(text).unwrap(), about.partial),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(next(), ("Traceback\n  at x".to_owned(), false));
    assert_eq!(next(), ("long".to_owned(), true));
}

#[test]
fn a_reader_that_is_too_slow_knows_how_many_lines_it_lost() {
    let ring = Ring::new(64 << 10);
    let mut cursor = ring.end();
    for number in 0..10_000 {
        lines(&ring, 0, &format!("a{number}\nb{number}\n"));
    }
    let (seen, lost) = read(&ring, &mut cursor, |_| true);
    assert!(lost > 0 && !seen.is_empty());
    assert_eq!(lost + seen.len() as u64, 20_000);
    assert_eq!(seen.last().unwrap(), "b9999");
    assert_eq!(read(&ring, &mut cursor, |_| true), (Vec::new(), 0));
}

#[test]
fn only_what_is_wanted_is_copied_and_all_is_counted() {
    let ring = Ring::new(1 << 20);
    for number in 0..1000 {
        lines(&ring, number % 4, &format!("{number}\nmore\n"));
    }
    let mut cursor = ring.oldest();
    let (seen, lost) = read(&ring, &mut cursor, |about| about.slot == Some(SlotId(3)));
    assert_eq!((seen.len(), lost), (500, 0));
    assert_eq!(cursor.line(), 2000);
}

#[test]
fn it_takes_memory_as_it_fills_and_never_more_than_it_may() {
    let taken = |ring: &Ring| -> usize {
        let kept = locked(&ring.0);
        let sizes = kept.segments.iter().map(|one| one.bytes.capacity());
        sizes.sum()
    };
    let ring = Ring::new(256 << 10);
    assert_eq!(taken(&ring), 0);
    lines(&ring, 0, "one\n");
    assert_eq!(taken(&ring), 16 << 10);
    for size in [
        1, 100, 5000, 8191, 8192, 8193, 16_383, 16_384, 20_000, 70_000,
    ] {
        for _ in 0..40 {
            lines(&ring, 0, &format!("{}\n{0}\n", "x".repeat(size)));
            assert!(taken(&ring) <= 256 << 10);
        }
    }
    assert_eq!(taken(&ring), 256 << 10);
    // An empty line fits where nothing else does.
    for size in 0..200 {
        let ring = Ring::new(64 << 10);
        ring.push_line(about(0, LogOrigin::Stdout), b"");
        lines(&ring, 0, &format!("{}\n", "x".repeat(4000 + size)));
        ring.push_line(about(0, LogOrigin::Stdout), b"");
        assert!(taken(&ring) % (4 << 10) == 0);
        let seen = all(&ring);
        assert_eq!(
            (seen[0].as_str(), seen[2].as_str(), seen.len()),
            ("", "", 3)
        );
    }
    // The smallest one has room for the longest line, cut.
    let small = Ring::new(64 << 10);
    lines(&small, 0, &format!("{}\nnext\n", "x".repeat(100_000)));
    let seen = all(&small);
    assert!(seen[0].len() > 4000 && seen[0].ends_with('…'));
    assert_eq!(seen[1], "next");
}

#[test]
fn who_waits_is_woken_by_the_next_line() {
    let ring = Ring::new(64 << 10);
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(ring.poll(&ring.end(), &mut context), Poll::Pending);
    let end = ring.end();
    lines(&ring, 0, "one\n");
    assert_eq!(ring.poll(&end, &mut context), Poll::Ready(()));
    assert_eq!(locked(&ring.0).waiting.take().len(), 0);
}

proptest! {
    #[test]
    fn every_line_is_read_or_counted_as_lost(
        steps in prop::collection::vec((prop::collection::vec(0_usize..3000, 1..20), any::<bool>(), 0_usize..50), 1..60),
    ) {
        let ring = Ring::new(64 << 10);
        let mut cursor = ring.end();
        let (mut wrote, mut seen, mut lost) = (Vec::new(), Vec::new(), 0_u64);
        for (sizes, reads, head) in steps {
            let mut text = String::new();
            for size in sizes {
                let line = format!("{} {}", wrote.len(), "y".repeat(size));
                text.push_str(&line);
                text.push('\n');
                wrote.push(line);
            }
            let head = head.min(text.find('\n').unwrap());
            let (head, body) = text.split_at(head);
            let block = Block::whole(head.as_bytes(), body.as_bytes());
            ring.push(about(0, LogOrigin::Stdout), block, block.count());
            if reads {
                let (now, more) = read(&ring, &mut cursor, |_| true);
                // What is lost is older than what comes then.
                lost += more;
                if let Some(first) = now.first() {
                    prop_assert_eq!(first, &wrote[seen.len() + usize::try_from(lost).unwrap()]);
                }
                seen.extend(now);
            }
        }
        let (now, more) = read(&ring, &mut cursor, |_| true);
        seen.extend(now);
        prop_assert_eq!(seen.len() as u64 + lost + more, wrote.len() as u64);
        prop_assert_eq!(cursor.line(), wrote.len() as u64);
        prop_assert_eq!(seen.last(), wrote.last());
    }
}

#[test]
fn after_a_flush_nothing_is_there_and_followers_go_on() {
    let ring = Ring::new(64 << 10);
    ring.clear();
    lines(&ring, 0, "one\ntwo\n");
    let (mut first, mut last) = (ring.oldest(), ring.end());
    ring.clear();
    assert_eq!(all(&ring), [""; 0]);
    assert_eq!(ring.oldest().line(), 2, "the numbers go on");
    lines(&ring, 0, "three\n");
    assert_eq!(all(&ring), ["three"]);
    let three = vec!["three".to_owned()];
    assert_eq!(read(&ring, &mut last, |_| true), (three.clone(), 0));
    assert_eq!(
        read(&ring, &mut first, |_| true),
        (three, 2),
        "two are gone"
    );
}
