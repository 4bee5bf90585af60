//! Reading the ring.

use std::task::{Context, Poll, Waker};

use memchr::{memchr, memchr_iter, memrchr};

use super::record::{self, About};
use super::{Kept, LONGEST, Ring};
use crate::log::shared::locked;

/// Most records that a reader looks at while it holds the lock.
const LOOKS: usize = 256;

/// Where a reader is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The number of the next line.
    line: u64,
    /// The number of its segment, where its record begins there, and how much of the text was read.
    segment: u64,
    record: usize,
    text: usize,
}

impl Cursor {
    /// The number of the next line.
    pub fn line(&self) -> u64 {
        self.line
    }
}

/// What a reader has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Lines that are wanted. Their text was copied.
    Lines(About),
    /// Lines that are not wanted. There may be others behind them.
    Others,
    /// No line any more.
    Nothing,
}

impl Ring {
    /// The oldest line that is kept.
    pub fn oldest(&self) -> Cursor {
        locked(&self.0).oldest()
    }

    /// Behind the last line.
    pub fn end(&self) -> Cursor {
        let kept = locked(&self.0);
        kept.segments
            .back()
            .map_or_else(Cursor::default, |last| Cursor {
                line: kept.next,
                segment: kept.oldest + kept.segments.len() as u64 - 1,
                record: last.bytes.len(),
                text: 0,
            })
    }

    /// Copies the next lines to `text`, which is empty: some of those that were put there together, if they are wanted. Moves
    /// `cursor` behind them. Returns how many lines before them are lost: they were overwritten.
    pub fn read(
        &self,
        cursor: &mut Cursor,
        wanted: impl Fn(&About) -> bool,
        text: &mut Vec<u8>,
    ) -> (u64, Found) {
        let kept = locked(&self.0);
        let mut lost = 0;
        if cursor.segment < kept.oldest {
            let oldest = kept.oldest();
            lost = oldest.line - cursor.line;
            *cursor = oldest;
        }
        for _ in 0..LOOKS {
            let Some((about, lines, whole)) = kept.record(cursor) else {
                return (lost, Found::Nothing);
            };
            if wanted(&about) {
                return (lost, Found::Lines(cursor.take(about, whole, text)));
            }
            cursor.line += match cursor.text {
                0 => lines,
                at => {
                    let rest = whole.get(at..).unwrap_or_default();
                    memchr_iter(b'\n', rest).count() as u64
                }
            };
            cursor.pass(whole);
        }
        (lost, Found::Others)
    }

    /// Ready if there is a line behind `cursor`, or something behind it was lost; else `context` is woken then.
    pub fn poll(&self, cursor: &Cursor, context: &mut Context<'_>) -> Poll<()> {
        let mut kept = locked(&self.0);
        if kept.next > cursor.line {
            return Poll::Ready(());
        }
        kept.waiting.add(context.waker());
        Poll::Pending
    }

    /// Who waits with this waker is gone.
    pub fn forget(&self, waker: &Waker) {
        locked(&self.0).waiting.forget(waker);
    }
}

impl Kept {
    fn oldest(&self) -> Cursor {
        Cursor {
            line: self.segments.front().map_or(0, |first| first.first),
            segment: self.oldest,
            record: 0,
            text: 0,
        }
    }

    /// The record at the cursor, which moves to the next segment if this one is over.
    fn record(&self, cursor: &mut Cursor) -> Option<(About, u64, &[u8])> {
        loop {
            let at = usize::try_from(cursor.segment - self.oldest).ok()?;
            let bytes = &self.segments.get(at)?.bytes;
            if let Some(found) = bytes.get(cursor.record..).and_then(record::read) {
                return Some(found);
            }
            self.segments.get(at + 1)?;
            cursor.segment += 1;
            cursor.record = 0;
        }
    }
}

impl Cursor {
    /// Moves behind the record with this text.
    fn pass(&mut self, whole: &[u8]) {
        self.record += record::HEAD + whole.len();
        self.text = 0;
    }

    /// Copies the next lines of the record, or the begin of a line that is too long.
    fn take(&mut self, about: About, whole: &[u8], to: &mut Vec<u8>) -> About {
        if about.one {
            to.extend_from_slice(whole);
            self.line += 1;
            self.pass(whole);
            return about;
        }
        let rest = whole.get(self.text..).unwrap_or_default();
        let window = rest.get(..LONGEST).unwrap_or(rest);
        let (end, cut) = match memrchr(b'\n', window) {
            Some(at) => (at + 1, false),
            None => (memchr(b'\n', rest).map_or(rest.len(), |at| at + 1), true),
        };
        let lines = rest.get(..end).unwrap_or_default();
        to.extend_from_slice(if cut { window } else { lines });
        self.line += memchr_iter(b'\n', lines).count() as u64;
        self.text += end;
        if end == rest.len() {
            self.pass(whole);
        }
        // A line that is too long is given alone.
        let one = cut;
        About { one, cut, ..about }
    }
}
