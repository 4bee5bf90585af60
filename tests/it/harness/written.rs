//! Checks lines of `examples/writer.rs`: each must arrive once, complete and in order.

use std::collections::BTreeMap;

/// The received lines of one stream of one writer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Number of received lines, each the successor of the previous one, each with a right checksum.
    pub lines: u64,
    /// The total in the last line.
    pub total: Option<u64>,
}

impl Tally {
    pub fn is_complete(&self) -> bool {
        self.total == Some(self.lines)
    }
}

/// Tallies by (writer, stream) of all lines that begin with `w `; other lines are ignored.
///
/// Panics on a line that is broken, duplicated or out of order. With `gaps`, lines may be missing, as with `drop`.
#[track_caller]
pub fn tally<'a>(
    lines: impl IntoIterator<Item = &'a str>,
    gaps: bool,
) -> BTreeMap<(String, String), Tally> {
    let mut tallies: BTreeMap<(String, String), (Tally, u64)> = BTreeMap::new();
    for line in lines {
        let Some(rest) = line.strip_prefix("w ") else {
            continue;
        };
        let words: Vec<&str> = rest.splitn(6, ' ').collect();
        let (tally, next) = tallies
            .entry((words[0].into(), words[1].into()))
            .or_default();
        if words[2] == "end" {
            tally.total = words[3].parse().ok();
            continue;
        }
        let [_, _, number, length, sum, payload] = words[..] else {
            panic!("broken line: {line:?}")
        };
        let number: u64 = number.parse().unwrap();
        assert!(
            number == *next || (gaps && number > *next),
            "expected line {next}: {line:?}"
        );
        assert_eq!(length, payload.len().to_string(), "wrong length: {line:?}");
        assert_eq!(
            sum,
            format!("{:016x}", fnv(payload.as_bytes())),
            "wrong sum: {line:?}"
        );
        *next = number + 1;
        tally.lines += 1;
    }
    tallies
        .into_iter()
        .map(|(key, (tally, _))| (key, tally))
        .collect()
}

/// Parses a complete line of a writer: writer, stream, number.
fn whole(line: &str) -> Option<(String, String, u64)> {
    let words: Vec<&str> = line.strip_prefix("w ")?.splitn(6, ' ').collect();
    let [id, stream, number, length, sum, payload] = words[..] else {
        return None;
    };
    let right = length.parse() == Ok(payload.len())
        && sum == format!("{:016x}", fnv(payload.as_bytes()))
        && sum.len() == 16;
    right.then_some(())?;
    Some((id.to_owned(), stream.to_owned(), number.parse().ok()?))
}

/// Whether `fragment` may be the first part of line `number`.
fn begins(fragment: &str, (id, stream): (&str, &str), number: u64) -> bool {
    let head = format!("w {id} {stream} {number} ");
    head.starts_with(fragment) || fragment.starts_with(&head)
}

/// Checks lines of endless writers (`--forever`) that may have been killed at any moment against their ledgers: the
/// number of completely written lines by (writer, stream). Every such line must be there, once, complete and in order.
/// After the last line of a stream there may be one that the ledger missed, or the first part of one.
///
/// Returns the number of received lines.
#[track_caller]
pub fn account<'a>(
    lines: impl IntoIterator<Item = &'a str>,
    written: &BTreeMap<(String, String), u64>,
) -> u64 {
    let mut arrived: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut fragments = Vec::new();
    for line in lines {
        let Some((id, stream, number)) = whole(line) else {
            fragments.push(line);
            continue;
        };
        let next = arrived.entry((id, stream)).or_default();
        assert_eq!(number, *next, "expected line {next}: {line:?}");
        *next += 1;
    }
    // The longest first, because they match the fewest lines.
    fragments.sort_by_key(|fragment| std::cmp::Reverse(fragment.len()));
    let mut open: Vec<_> = written.iter().collect();
    for ((id, stream), lines) in written {
        let key = (id.clone(), stream.clone());
        let arrived = arrived.get(&key).copied().unwrap_or_default();
        assert!(
            arrived == *lines || arrived == lines + 1,
            "{key:?}: {arrived} of {lines} lines"
        );
    }
    for fragment in fragments {
        let at = open.iter().position(|((id, stream), lines)| {
            let complete = arrived.get(&(id.clone(), stream.clone())).copied();
            complete.unwrap_or_default() == **lines && begins(fragment, (id, stream), **lines)
        });
        let at = at.unwrap_or_else(|| panic!("nobody's: {fragment:?}"));
        open.swap_remove(at);
    }
    let unknown: Vec<_> = arrived
        .keys()
        .filter(|key| !written.contains_key(*key))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    arrived.values().sum()
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
