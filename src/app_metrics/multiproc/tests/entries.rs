//! The bytes of one file: complete, cut, torn and hostile.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::super::file::{Broken, Entry, entries, used};
use super::{Content, FileName, Mode, StoreLimits, Written, key, lines, read};

fn whole(bytes: &[u8]) -> Vec<Entry<'_>> {
    entries(bytes).map(Result::unwrap).collect()
}

/// The readable entries, and whether some were not readable.
fn some(bytes: &[u8]) -> (Vec<Entry<'_>>, bool) {
    let all: Vec<Result<Entry<'_>, Broken>> = entries(bytes).collect();
    let broken = all.iter().any(Result::is_err);
    (all.into_iter().flatten().collect(), broken)
}

#[test]
fn a_file_says_how_much_of_it_is_used() {
    for (head, want) in [
        (&[][..], Some(0)),
        (&[1], Some(0)),
        (&[0; 8], Some(0)),
        (&8_i32.to_ne_bytes(), Some(8)),
        (&4096_i32.to_ne_bytes(), Some(4096)),
        (&7_i32.to_ne_bytes(), None),
        (&(-8_i32).to_ne_bytes(), None),
        (&i32::MIN.to_ne_bytes(), None),
    ] {
        assert_eq!(used(head), want, "{head:?}");
    }
    for bytes in [&[][..], &[0; 64], &[0xff; 64], &8_i32.to_ne_bytes()] {
        assert_eq!(entries(bytes).count(), 0, "{bytes:?}");
    }
}

#[test]
fn keys_of_all_lengths_are_read_in_both_layouts() {
    for with_time in [true, false] {
        let keys: Vec<String> = (0..20).map(|len| key(&"a".repeat(len), "")).collect();
        for count in [1, 2, 20] {
            for rest in [0, 4096] {
                let mut written = Written::new(with_time);
                for (at, key) in (1_u32..).zip(&keys[..count]) {
                    written.entry(key.as_bytes(), f64::from(at), 1_700_000_000.25);
                }
                written.bytes.resize(written.bytes.len() + rest, 0);
                let read = whole(&written.bytes);
                assert_eq!(read.len(), count);
                for (at, (entry, key)) in (1_u32..).zip(read.iter().zip(&keys)) {
                    assert_eq!(entry.key, key.as_bytes());
                    assert_eq!(entry.value.to_bits(), f64::from(at).to_bits());
                    let time = if with_time { 1_700_000_000.25_f64 } else { 0.0 };
                    assert_eq!(entry.time.to_bits(), time.to_bits());
                }
            }
        }
    }
}

#[test]
fn a_length_that_makes_no_sense_ends_the_file() {
    let length = |len: i32| {
        let mut written = Written::new(true);
        written.entry(key("a", "").as_bytes(), 1.0, 0.0);
        written.entry(key("b", "").as_bytes(), 2.0, 0.0);
        let third = written.bytes.len();
        written.entry(key("c", "").as_bytes(), 3.0, 0.0);
        written.entry(key("d", "").as_bytes(), 4.0, 0.0);
        written.bytes[third..third + 4].copy_from_slice(&len.to_ne_bytes());
        written.bytes
    };
    for len in [0, -1, i32::MIN, i32::MAX, 1000] {
        let bytes = length(len);
        let (read, broken) = some(&bytes);
        let values: Vec<f64> = read.iter().map(|entry| entry.value).collect();
        assert_eq!((values, broken), (vec![1.0, 2.0], true), "{len}");
    }
}

#[test]
fn what_is_not_counted_as_used_is_not_read() {
    for with_time in [true, false] {
        let mut written = Written::new(with_time);
        for letter in ["a", "b", "c"] {
            written.entry(key(letter, "").as_bytes(), 1.0, 0.0);
        }
        for used in written.ends[1]..written.ends[2] {
            written.say_used(i32::try_from(used).unwrap());
            let (read, broken) = some(&written.bytes);
            assert_eq!((read.len(), broken), (2, used > written.ends[1]), "{used}");
        }
    }
}

#[test]
fn a_key_that_is_not_there_yet_costs_one_entry() {
    let mut written = Written::new(true);
    for letter in ["a", "b", "c"] {
        written.entry(key(letter, "").as_bytes(), 1.0, 0.0);
    }
    // The length of the second entry is there, its key is not.
    let (start, end) = (written.ends[0] + 4, written.ends[1] - 16);
    written.bytes[start..end].fill(0);
    // The layout can be told only from the first two entries.
    assert_eq!(some(&written.bytes), (Vec::new(), true));
    let (start, end) = (written.ends[1] + 4, written.ends[2] - 16);
    let mut written = Written::new(true);
    for letter in ["a", "b", "c", "d"] {
        written.entry(key(letter, "").as_bytes(), 1.0, 0.0);
    }
    written.bytes[start..end].fill(0);
    let (read, broken) = some(&written.bytes);
    let keys: Vec<_> = read.iter().map(|entry| entry.key).collect();
    let want = ["a", "b", "d"].map(|letter| key(letter, "").into_bytes());
    assert_eq!(
        (keys, broken),
        (want.iter().map(|key| &**key).collect(), true)
    );
}

/// A file of gauges, each with its number: `a0`, `a1` and so on, padded by a label.
fn file(with_time: bool, entries: &[(String, f64)]) -> Written {
    let mut written = Written::new(with_time);
    for (at, (label, value)) in entries.iter().enumerate() {
        let label = serde_json::to_string(label).unwrap();
        let key = format!("[\"a{at}\", \"a{at}\", {{\"l\": {label}}}, \"Help.\"]");
        written.entry(key.as_bytes(), *value, *value);
    }
    written
}

/// The gauges by number, with their value as bits (NaN does not equal itself), and the number of dropped entries.
fn gauges(bytes: &[u8]) -> (Vec<(usize, u64)>, u64) {
    let name = FileName {
        pid: 1,
        content: Content::Gauge(Mode::LiveAll),
    };
    let mut reading = read(&[(name, bytes)], StoreLimits::default());
    let parsed = reading.processes.remove(&1).unwrap();
    let mut values = Vec::new();
    for family in &parsed.page.families {
        let number = family.name.strip_prefix('a').unwrap().parse().unwrap();
        assert_eq!(family.samples.len(), 1);
        values.push((number, family.samples[0].value.to_bits()));
    }
    values.sort_unstable();
    (values, parsed.dropped.invalid + parsed.dropped.limit)
}

/// The values of the first `count` entries; negative zero is written as zero.
fn want(entries: &[(String, f64)], count: usize) -> Vec<(usize, u64)> {
    let numbers = entries[..count].iter().enumerate();
    numbers
        .map(|(at, (_, value))| (at, (value + 0.0).to_bits()))
        .collect()
}

fn some_entries() -> impl Strategy<Value = Vec<(String, f64)>> {
    // Includes times and values whose bytes look like lengths and keys.
    let value = prop_oneof![
        any::<f64>(),
        Just(f64::NAN),
        any::<u64>().prop_map(f64::from_bits),
        (0_u32..200).prop_map(|low| f64::from_bits(0x225b_0000_0000 | u64::from(low))),
    ];
    vec(("[a-z\\[\"\\] é\n]{0,12}", value), 1..12)
}

proptest! {
    #[test]
    fn what_is_written_is_read(with_time in any::<bool>(), entries in some_entries()) {
        let written = file(with_time, &entries);
        prop_assert_eq!(gauges(&written.bytes), (want(&entries, entries.len()), 0));
    }

    #[test]
    fn a_file_that_is_cut_has_what_is_whole(
        with_time in any::<bool>(), entries in some_entries(), cut in any::<Index>()
    ) {
        let written = file(with_time, &entries);
        let cut = cut.index(written.bytes.len());
        let whole = written.ends.iter().filter(|end| **end <= cut).count();
        let (read, dropped) = gauges(&written.bytes[..cut]);
        // For a single entry it may be unknown whether it has a time.
        prop_assert!(read == want(&entries, whole) || whole <= 1 && read.is_empty(), "{read:?}");
        // It may be unknown how many entries there should be.
        prop_assert!(dropped == 1 || cut < 8);
    }

    #[test]
    fn an_entry_whose_stores_are_seen_in_any_order_is_read_or_left_out(
        with_time in any::<bool>(), entries in some_entries(), unseen in vec(any::<Index>(), 1..12)
    ) {
        // A new entry has the value zero.
        let mut entries = entries;
        entries.last_mut().unwrap().1 = 0.0;
        let last = entries.len() - 1;
        let mut written = file(with_time, &entries);
        let start = if last == 0 { 8 } else { written.ends[last - 1] };
        let words = (written.ends[last] - start) / 8;
        for word in unseen {
            let at = start + word.index(words) * 8;
            written.bytes[at..at + 8].fill(0);
        }
        let (read, dropped) = gauges(&written.bytes);
        let known = read == want(&entries, last) || read == want(&entries, last + 1);
        prop_assert!(known || last <= 1 && read.is_empty(), "{read:?}");
        prop_assert!(dropped > 0 || read.len() == entries.len());
    }

    #[test]
    fn whatever_stands_in_a_file_nothing_breaks(
        used in prop_oneof![any::<i32>(), 0_i32..400],
        mut bytes in vec(prop_oneof![any::<u8>(), Just(0), Just(b' '), Just(b'['), Just(b']')], 0..400),
    ) {
        if let Some(head) = bytes.first_chunk_mut() {
            *head = used.to_ne_bytes();
        }
        for content in Content::all() {
            let name = FileName { pid: 1, content };
            let reading = read(&[(name, &bytes)], StoreLimits::default());
            prop_assert!(lines(&reading.processes[&1].page.families).len() <= bytes.len() / 24);
        }
    }
}
