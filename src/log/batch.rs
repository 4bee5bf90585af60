//! Whole lines on their way out, and whose they are.

use memchr::memchr_iter;

use super::Stream;
use crate::model::SlotId;

/// Whose lines they are, in the order of [`crate::model::LogTotals`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Stdout = 0,
    Stderr = 1,
    Runtime = 2,
}

impl From<Stream> for Origin {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Stdout => Self::Stdout,
            Stream::Stderr => Self::Stderr,
        }
    }
}

/// Whose lines they are, to the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whose {
    pub origin: Origin,
    /// `None` if they are the runtime's own.
    pub slot: Option<SlotId>,
}

impl Whose {
    pub const RUNTIME: Self = Self {
        origin: Origin::Runtime,
        slot: None,
    };
}

/// What a batch takes besides its bytes and its runs: its place in a queue, and what the allocator adds.
const BATCH: usize = 256;

/// Lines of one owner that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub whose: Whose,
    pub lines: u64,
    pub bytes: usize,
}

/// Bytes that are written together, and the runs that they are made of.
#[derive(Debug, Default)]
pub struct Batch {
    pub bytes: Vec<u8>,
    runs: Vec<Run>,
}

impl Batch {
    /// Notes whose the bytes are that come next.
    pub fn note(&mut self, run: Run) {
        match self.runs.last_mut() {
            Some(last) if last.whose == run.whose => {
                last.lines += run.lines;
                last.bytes += run.bytes;
            }
            _ => self.runs.push(run),
        }
    }

    /// Puts what is in `other` behind.
    pub fn append(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
        other.runs.iter().for_each(|run| self.note(*run));
    }

    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The memory that it takes while it waits, roughly: of a few short lines the least part is theirs.
    pub fn cost(&self) -> usize {
        self.bytes.len() + self.runs.len() * size_of::<Run>() + BATCH
    }

    /// Empty again; room beyond `keep` bytes is given back.
    pub fn clear(&mut self, keep: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(keep);
        self.runs.clear();
    }
}

/// How far each run came, if only the first `written` bytes of `parts`, which the runs are made of, went out: what
/// went, and the lines of it that did not go as a whole.
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
            whose: run.whose,
            lines,
            bytes,
        };
        (went, run.lines - lines.min(run.lines))
    })
}

/// Newlines between two places in `parts`, taken as one.
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

    fn whose(slot: u16) -> Whose {
        Whose {
            origin: Origin::Stdout,
            slot: Some(SlotId(slot)),
        }
    }

    #[test]
    fn neighbours_of_one_owner_are_one_run() {
        let mut batch = Batch::default();
        for (slot, lines, bytes) in [(0, 1, 10), (0, 2, 5), (1, 1, 1), (0, 1, 1)] {
            let whose = whose(slot);
            batch.note(Run {
                whose,
                lines,
                bytes,
            });
        }
        let got: Vec<_> = batch
            .runs()
            .iter()
            .map(|run| (run.whose.slot.unwrap().0, run.lines, run.bytes))
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
                let (whose, bytes) = (whose(*slot), text.len());
                batch.bytes.extend_from_slice(text.as_bytes());
                batch.note(Run { whose, lines: 1, bytes });
            }
            let written = written.min(batch.bytes.len());
            let (one, two) = batch.bytes.split_at(cut.min(batch.bytes.len()));
            let (mut went, mut lost, mut bytes) = ([0; 4], [0; 4], 0);
            for (run, missing) in outcome(batch.runs(), &[one, two], written) {
                let slot = usize::from(run.whose.slot.unwrap().0);
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
