//! Batches of whole lines on the way to an output, with their owners.

use memchr::memchr_iter;

use super::Stream;
use crate::model::{LogOrigin, SlotId};

impl From<Stream> for LogOrigin {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Stdout | Stream::Events => Self::Stdout,
            Stream::Stderr => Self::Stderr,
        }
    }
}

/// The source of lines, down to the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineOwner {
    pub origin: LogOrigin,
    /// `None` for the runtime's own lines.
    pub slot: Option<SlotId>,
}

impl LineOwner {
    pub const RUNTIME: Self = Self {
        origin: LogOrigin::Runtime,
        slot: None,
    };
}

/// Estimated overhead of a batch besides its bytes and runs, bytes: its place in a queue and the allocator's share.
const BATCH: usize = 256;

/// Consecutive lines of one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub owner: LineOwner,
    pub lines: u64,
    pub bytes: usize,
}

/// Bytes that are written together, and the runs that they consist of.
#[derive(Debug, Default)]
pub struct Batch {
    pub bytes: Vec<u8>,
    runs: Vec<Run>,
}

impl Batch {
    /// Records the owner of the next bytes.
    pub fn note(&mut self, run: Run) {
        match self.runs.last_mut() {
            Some(last) if last.owner == run.owner => {
                last.lines += run.lines;
                last.bytes += run.bytes;
            }
            _ => self.runs.push(run),
        }
    }

    /// Appends the content of `other`.
    pub fn append(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
        other.runs.iter().for_each(|run| self.note(*run));
    }

    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Estimated memory of the batch while it waits, bytes. For a few short lines, most of it is overhead.
    pub fn cost(&self) -> usize {
        self.bytes.len() + self.runs.len() * size_of::<Run>() + BATCH
    }

    /// Empties the batch. Frees memory beyond `keep` bytes.
    pub fn clear(&mut self, keep: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(keep);
        self.runs.clear();
    }
}

/// For each run: what was written if only the first `written` bytes of `parts` (which consist of `runs`) went out, and
/// the number of lines that were not written completely.
pub fn outcome(runs: &[Run], parts: &[&[u8]], written: usize) -> impl Iterator<Item = (Run, u64)> {
    let mut start = 0;
    runs.iter().map(move |run| {
        let end = start + run.bytes;
        let (lines, bytes) = if end <= written {
            (run.lines, run.bytes)
        } else if start >= written {
            (0, 0)
        } else {
            (newlines(parts, start, written), written - start)
        };
        start = end;
        let went = Run {
            owner: run.owner,
            lines,
            bytes,
        };
        (went, run.lines - lines.min(run.lines))
    })
}

/// Number of newlines between two offsets in `parts`, taken as one buffer.
fn newlines(parts: &[&[u8]], from: usize, to: usize) -> u64 {
    let (mut at, mut count) = (0, 0);
    for part in parts {
        let range = from.saturating_sub(at).min(part.len())..to.saturating_sub(at).min(part.len());
        let within = part.get(range).unwrap_or_default();
        count += memchr_iter(b'\n', within).count() as u64;
        at += part.len();
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn owner(slot: u16) -> LineOwner {
        LineOwner {
            origin: LogOrigin::Stdout,
            slot: Some(SlotId(slot)),
        }
    }

    #[test]
    fn neighbours_of_one_owner_are_one_run() {
        let mut batch = Batch::default();
        for (slot, lines, bytes) in [(0, 1, 10), (0, 2, 5), (1, 1, 1), (0, 1, 1)] {
            let owner = owner(slot);
            batch.note(Run {
                owner,
                lines,
                bytes,
            });
        }
        let got: Vec<_> = batch
            .runs()
            .iter()
            .map(|run| (run.owner.slot.unwrap().0, run.lines, run.bytes))
            .collect();
        assert_eq!(got, [(0, 3, 15), (1, 1, 1), (0, 1, 1)]);
        batch.clear(0);
        assert_eq!(batch.runs(), []);
    }

    proptest! {
        #[test]
        fn each_line_went_or_did_not(
            lines in proptest::collection::vec((0..4_u16, "[a-c]{0,6}\n"), 0..20),
            cut in 0..150_usize,
            written in 0..150_usize,
        ) {
            let mut batch = Batch::default();
            for (slot, text) in &lines {
                let (owner, bytes) = (owner(*slot), text.len());
                batch.bytes.extend_from_slice(text.as_bytes());
                batch.note(Run { owner, lines: 1, bytes });
            }
            let written = written.min(batch.bytes.len());
            let (one, two) = batch.bytes.split_at(cut.min(batch.bytes.len()));
            let (mut went, mut lost, mut bytes) = ([0; 4], [0; 4], 0);
            for (run, missing) in outcome(batch.runs(), &[one, two], written) {
                let slot = usize::from(run.owner.slot.unwrap().0);
                went[slot] += run.lines;
                lost[slot] += missing;
                bytes += run.bytes;
            }
            prop_assert_eq!(bytes, written);
            let (mut end, mut want) = (0, [[0; 4]; 2]);
            for (slot, text) in &lines {
                end += text.len();
                want[usize::from(end > written)][usize::from(*slot)] += 1;
            }
            prop_assert_eq!([went, lost], want);
        }
    }
}
