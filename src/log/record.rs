//! Records of several lines (RPM_LOG_MULTILINE), for example a stack trace. Which lines belong together is decided in
//! [`super::recorder`]; here they are held and put together.
//!
//! A record ends where the next first line begins, [`super::RECORD_WAIT`] after its last line, [`super::RECORD_MOST`]
//! after its first line, or at the end of its stream. A record above the limit goes out in pieces of whole lines, which
//! are marked like pieces of a long line.

use super::line::Block;
use super::recorder::{RecordRule, Recorder};

/// The unfinished record of one stream.
#[derive(Debug)]
pub struct Joiner {
    recorder: Recorder,
    max: usize,
    /// The held lines, with the newline of the last.
    held: Vec<u8>,
    /// A piece of the record has already gone out.
    cut: bool,
}

impl Joiner {
    /// `max` is the longest record, bytes.
    pub fn new(rule: RecordRule, max: usize) -> Self {
        Self {
            recorder: Recorder::new(rule),
            max: max.max(1),
            held: Vec::new(),
            cut: false,
        }
    }

    /// Number of held bytes.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Allocated capacity for held bytes.
    pub fn room(&self) -> usize {
        self.held.capacity()
    }

    /// Takes lines and emits every record that is now complete.
    pub fn feed(&mut self, block: Block<'_>, mut emit: impl FnMut(Block<'_>)) {
        if block.partial || block.continued {
            // The line itself is above the limit. It is a record of its own, and the next line begins another.
            self.finish(&mut emit);
            self.recorder.reset();
            emit(block);
            return;
        }
        for [head, line] in block.lines() {
            self.line(head, line, &mut emit);
        }
    }

    fn line(&mut self, head: &[u8], line: &[u8], emit: &mut impl FnMut(Block<'_>)) {
        let before = self.held.len();
        self.held.extend_from_slice(head);
        self.held.extend_from_slice(line);
        let (record, line) = self.held.split_at(before);
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if !self.recorder.joins(record, line) {
            self.out(before, false, emit);
        } else if before > 0 && self.held.len() > self.max {
            self.out(before, true, emit);
        }
    }

    /// Emits the first `len` bytes.
    fn out(&mut self, len: usize, partial: bool, emit: &mut impl FnMut(Block<'_>)) {
        if let Some(record) = self.held.get(..len).filter(|record| !record.is_empty()) {
            emit(Block {
                continued: self.cut,
                partial,
                joined: true,
                ..Block::whole(b"", record)
            });
        }
        self.cut = partial;
        self.held.drain(..len);
    }

    /// Ends the record: it is complete, or is treated as complete.
    pub fn finish(&mut self, mut emit: impl FnMut(Block<'_>)) {
        self.out(self.held.len(), false, &mut emit);
        self.held = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use regex::bytes::Regex;
    use std::sync::Arc;

    fn pattern(first: &str) -> RecordRule {
        RecordRule::Pattern(Arc::new(Regex::new(first).unwrap()))
    }

    struct Got {
        text: String,
        continued: bool,
        partial: bool,
    }

    fn run(first: &str, max: usize, lines: &[&str]) -> Vec<Got> {
        let mut joiner = Joiner::new(pattern(first), max);
        let mut got = Vec::new();
        let mut emit = |block: Block<'_>| {
            got.push(Got {
                text: String::from_utf8([block.head, block.body].concat()).unwrap(),
                continued: block.continued,
                partial: block.partial,
            });
        };
        for line in lines {
            let (head, body) = line.split_at(line.find('\n').unwrap_or(0) / 2);
            joiner.feed(Block::whole(head.as_bytes(), body.as_bytes()), &mut emit);
        }
        joiner.finish(&mut emit);
        assert_eq!(joiner.held(), 0);
        got
    }

    fn texts(got: &[Got]) -> Vec<&str> {
        got.iter().map(|got| got.text.as_str()).collect()
    }

    #[test]
    fn what_follows_a_first_line_belongs_to_it() {
        let lines = [
            "  at the start\n",
            "2026 one\n  at a\n  at b\n2026 two\n",
            "Caused by: x\n",
            "2026 three\n",
        ];
        let want = [
            "  at the start\n",
            "2026 one\n  at a\n  at b\n",
            "2026 two\nCaused by: x\n",
            "2026 three\n",
        ];
        assert_eq!(texts(&run(r"^\d{4} ", 1000, &lines)), want);
    }

    #[test]
    fn a_record_that_is_too_long_goes_out_in_marked_pieces_of_whole_lines() {
        let got = run("^A", 8, &["A1\nb2\nc3\nd4\ne5\nA6\n"]);
        assert_eq!(texts(&got), ["A1\nb2\n", "c3\nd4\n", "e5\n", "A6\n"]);
        let marks: Vec<_> = got.iter().map(|got| (got.continued, got.partial)).collect();
        let want = [(false, true), (true, true), (true, false), (false, false)];
        assert_eq!(marks, want);
    }

    #[test]
    fn a_line_that_was_cut_is_a_record_of_its_own() {
        let mut joiner = Joiner::new(pattern("^A"), 100);
        let mut got = Vec::new();
        let mut emit = |block: Block<'_>| got.push([block.head, block.body].concat());
        joiner.feed(Block::whole(b"", b"A1\nb\n"), &mut emit);
        let piece = Block {
            partial: true,
            ..Block::whole(b"xxxx", b"\n")
        };
        joiner.feed(piece, &mut emit);
        assert_eq!(got, [&b"A1\nb\n"[..], b"xxxx\n"]);
        assert_eq!(joiner.held(), 0);
    }

    proptest! {
        #[test]
        fn no_line_is_lost_or_made_up(lines in proptest::collection::vec("[Ab]{0,5}\n", 0..30), max in 1..40_usize) {
            let input: Vec<&str> = lines.iter().map(String::as_str).collect();
            let got = run("^A", max, &input);
            prop_assert_eq!(texts(&got).concat(), input.concat());
            for got in &got {
                prop_assert!(got.text.len() <= max || got.text.lines().count() == 1);
                prop_assert!(!got.text.lines().skip(1).any(|line| line.starts_with('A')));
            }
        }
    }
}
