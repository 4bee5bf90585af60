//! Checks lines of `examples/writer.rs`: each once, whole, in order.

use std::collections::BTreeMap;

/// What arrived of one stream of one writer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Lines that arrived, each the successor of the one before, each with a right sum.
    pub lines: u64,
    /// The total that the last line names.
    pub total: Option<u64>,
}

impl Tally {
    pub fn is_complete(&self) -> bool {
        self.total == Some(self.lines)
    }
}

/// Tallies by (writer, stream) from all lines that begin with `w `; other lines are passed over.
///
/// Panics on a line that is broken, doubled or out of order. With `gaps`, numbers may be left out, as `drop` does.
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

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
