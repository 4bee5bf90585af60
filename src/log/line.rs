//! The line splitter, without I/O: takes bytes as they were read and returns whole lines. Lossless, also for bytes that
//! are not UTF-8.
//!
//! A line above the limit passes in pieces. Each piece is cut before a UTF-8 character and gets a newline; pieces after
//! the first are marked `continued`. Without these newlines, the output equals the input.

use std::{iter, mem};

use memchr::{memchr, memchr_iter, memrchr};

/// Capacity that is kept for an unfinished line after the line has ended, bytes. More is freed, since most streams are
/// idle.
const KEEP: usize = 1024;

/// Whole lines that belong together: `head` followed by `body`. `head` contains no newline; `body` ends with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// The held part of the first line, or a piece of it.
    pub head: &'a [u8],
    /// The rest of the first line, and the lines after it.
    pub body: &'a [u8],
    /// The block is a further piece of a cut line, and contains only that.
    pub continued: bool,
    /// The line is cut here and continues in the next block. The block contains only this piece.
    pub partial: bool,
    /// All lines together are one record.
    pub joined: bool,
}

impl<'a> Block<'a> {
    /// A block of lines that were not cut.
    pub fn whole(head: &'a [u8], body: &'a [u8]) -> Self {
        Self {
            head,
            body,
            continued: false,
            partial: false,
            joined: false,
        }
    }

    /// Its lines one by one, each in two parts; the second part ends with the newline.
    pub fn lines(&self) -> impl Iterator<Item = [&'a [u8]; 2]> + use<'a> {
        let Self { mut head, body, .. } = *self;
        let mut rest = body;
        iter::from_fn(move || {
            let (line, after) = rest.split_at(memchr(b'\n', rest)? + 1);
            rest = after;
            Some([mem::take(&mut head), line])
        })
    }

    /// Number of lines.
    pub fn count(&self) -> u64 {
        memchr_iter(b'\n', self.body).count() as u64
    }

    /// Number of bytes.
    pub fn size(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

/// The splitter of one stream. It holds the bytes after the last newline, never more than the limit.
#[derive(Debug)]
pub struct Splitter {
    max: usize,
    held: Vec<u8>,
    /// A piece of the held line has already gone out.
    cut: bool,
}

impl Splitter {
    /// `max` is the longest line without its newline, bytes; 0 is taken as 1.
    pub fn new(max: usize) -> Self {
        Self {
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

    /// Takes the bytes of one read and emits every line that is now complete. Returns the number of lines that turned
    /// out to be too long.
    pub fn feed(&mut self, chunk: &[u8], mut emit: impl FnMut(Block<'_>)) -> u64 {
        let mut split = 0;
        let mut rest = chunk;
        while !self.held.is_empty() {
            let room = self.max - self.held.len();
            if let Some(at) = memchr(b'\n', rest.get(..=room).unwrap_or(rest)) {
                let (body, after) = rest.split_at(at + 1);
                emit(Block {
                    continued: self.cut,
                    ..Block::whole(&self.held, body)
                });
                self.cut = false;
                self.release();
                rest = after;
            } else if rest.len() <= room {
                self.hold(rest);
                return split;
            } else {
                let (fill, after) = rest.split_at(room);
                self.hold(fill);
                split += self.cut(after, &mut emit);
                rest = after;
            }
        }
        while !rest.is_empty() {
            let window = rest.get(..=self.max).unwrap_or(rest);
            // All lines in the window are short enough, so the last newline is as good as the first.
            let end = if self.cut {
                memchr(b'\n', window)
            } else {
                memrchr(b'\n', window)
            };
            if let Some(at) = end {
                let (body, after) = rest.split_at(at + 1);
                emit(Block {
                    continued: self.cut,
                    ..Block::whole(b"", body)
                });
                self.cut = false;
                rest = after;
            } else if rest.len() <= self.max {
                self.hold(rest);
                rest = b"";
            } else {
                let (fill, after) = rest.split_at(self.max);
                let (piece, after) = rest.split_at(border(fill, after));
                emit(Block {
                    continued: self.cut,
                    partial: true,
                    ..Block::whole(piece, b"\n")
                });
                split += u64::from(!self.cut);
                self.cut = true;
                rest = after;
            }
        }
        split
    }

    /// Ends the stream, or treats it as ended: emits the held bytes with a newline.
    pub fn finish(&mut self, mut emit: impl FnMut(Block<'_>)) {
        if !self.held.is_empty() {
            emit(Block {
                continued: self.cut,
                ..Block::whole(&self.held, b"\n")
            });
        }
        self.held = Vec::new();
        self.cut = false;
    }

    /// Emits the held bytes at once as a piece of their line, to free memory. Returns the number of lines that turned
    /// out to be too long: 1 if this is the first piece, else 0.
    pub fn shed(&mut self, mut emit: impl FnMut(Block<'_>)) -> u64 {
        if self.held.is_empty() {
            return 0;
        }
        // Only the next read could tell whether the last character is complete. So if it has several bytes, it stays.
        let split = self.cut(&[0x80], &mut emit);
        self.held.shrink_to(KEEP);
        split
    }

    /// Emits a piece of the held bytes, which `after` continues.
    fn cut(&mut self, after: &[u8], emit: &mut impl FnMut(Block<'_>)) -> u64 {
        let (piece, left) = self.held.split_at(border(&self.held, after));
        emit(Block {
            continued: self.cut,
            partial: true,
            ..Block::whole(piece, b"\n")
        });
        // At most three bytes: the start of a character.
        let left = left.to_vec();
        self.held.clear();
        self.held.extend_from_slice(&left);
        let split = u64::from(!self.cut);
        self.cut = true;
        split
    }

    /// Appends to the held bytes. The capacity doubles, but never exceeds the limit.
    fn hold(&mut self, more: &[u8]) {
        let need = self.held.len() + more.len();
        if need > self.held.capacity() {
            let capacity = need.max((2 * self.held.capacity()).min(self.max));
            self.held.reserve_exact(capacity - self.held.len());
        }
        self.held.extend_from_slice(more);
    }

    fn release(&mut self) {
        if self.held.capacity() > KEEP {
            self.held = Vec::new();
        } else {
            self.held.clear();
        }
    }
}

/// Where to cut `piece`, which `after` continues: at its end, or before its last character if that character continues
/// in `after`.
fn border(piece: &[u8], after: &[u8]) -> usize {
    let goes_on = |byte: &u8| byte & 0b1100_0000 == 0b1000_0000;
    if after.first().is_some_and(goes_on) {
        let tail = piece.iter().rev().take_while(|byte| goes_on(byte)).count();
        // A character has at most three continuation bytes. Anything else is not UTF-8 and may be cut anywhere.
        if tail < 3
            && let Some(start) = piece.len().checked_sub(tail + 1)
            && start > 0
            && piece.get(start).is_some_and(|byte| *byte >= 0b1100_0000)
        {
            return start;
        }
    }
    piece.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns the emitted lines, the number of cut lines, and the most bytes that were ever held.
    fn run(max: usize, chunks: &[&[u8]]) -> (Vec<(Vec<u8>, bool)>, u64, usize) {
        let mut splitter = Splitter::new(max);
        let (mut out, mut split, mut capacity) = (Vec::new(), 0, 0);
        let mut emit = |block: Block<'_>| {
            assert!(!block.head.contains(&b'\n'));
            assert_eq!(block.body.last(), Some(&b'\n'));
            let bytes = [block.head, block.body].concat();
            for line in bytes.split_inclusive(|b| *b == b'\n') {
                assert!(line.len() <= max + 1);
            }
            assert!(!block.continued || memchr(b'\n', &bytes) == Some(bytes.len() - 1));
            out.push((bytes, block.continued));
        };
        for chunk in chunks {
            split += splitter.feed(chunk, &mut emit);
            capacity = capacity.max(splitter.held.capacity());
            assert!(splitter.held.len() <= max);
        }
        splitter.finish(&mut emit);
        assert_eq!(splitter.held.capacity(), 0);
        (out, split, capacity)
    }

    /// The output without the newlines that the cuts added.
    fn joined(blocks: &[(Vec<u8>, bool)]) -> Vec<u8> {
        let mut all = Vec::new();
        for (bytes, continued) in blocks {
            if *continued {
                assert_eq!(all.pop(), Some(b'\n'));
            }
            all.extend_from_slice(bytes);
        }
        all
    }

    #[test]
    fn lines_come_out_whole() {
        let table: &[(usize, &[&str], &[&str], u64)] = &[
            (10, &["a\nb\nc\n"], &["a\nb\nc\n"], 0),
            (10, &["a\nb", "c\nd"], &["a\n", "bc\n", "d\n"], 0),
            (10, &["", "\n", "\n\n"], &["\n", "\n\n"], 0),
            (10, &["a", "b", "c"], &["abc\n"], 0),
            (10, &["a\r\n", "\0\n"], &["a\r\n", "\0\n"], 0),
            // A line of exactly the limit is not cut, whether its newline comes at once, later, or never.
            (4, &["abcd\n"], &["abcd\n"], 0),
            (4, &["ab", "cd", "\n"], &["abcd\n"], 0),
            (4, &["abcd"], &["abcd\n"], 0),
            (4, &["abcde\n"], &["abcd\n", "e\n"], 1),
            (4, &["ab", "cde", "\nx\n"], &["abcd\n", "e\n", "x\n"], 1),
            (
                4,
                &["abcdefghi\nxy\nz\n"],
                &["abcd\n", "efgh\n", "i\n", "xy\nz\n"],
                1,
            ),
            (
                4,
                &["abcdefgh", "ijkl\n"],
                &["abcd\n", "efgh\n", "ijkl\n"],
                1,
            ),
            // Cut before a character, never inside it.
            (4, &["abcé\n"], &["abc\n", "é\n"], 1),
            (4, &["abc", "é", "\n"], &["abc\n", "é\n"], 1),
            (4, &["a€€\n"], &["a€\n", "€\n"], 1),
            (
                5,
                &["a\u{1f600}\u{1f600}"],
                &["a\u{1f600}\n", "\u{1f600}\n"],
                1,
            ),
            (
                6,
                &["a\u{1f600}\u{1f600}"],
                &["a\u{1f600}\n", "\u{1f600}\n"],
                1,
            ),
            (1, &["é\n"], &["\u{c3}\n", ""], 1),
        ];
        for (max, chunks, want, split) in table {
            let chunks: Vec<&[u8]> = chunks.iter().map(|c| c.as_bytes()).collect();
            let (blocks, cuts, _) = run(*max, &chunks);
            assert_eq!(cuts, *split, "{chunks:?}");
            if *max > 1 {
                let got: Vec<_> = blocks
                    .iter()
                    .map(|b| str::from_utf8(&b.0).unwrap())
                    .collect();
                assert_eq!(got, *want, "{chunks:?}");
            } else {
                assert_eq!(joined(&blocks), "é\n".as_bytes());
            }
        }
    }

    #[test]
    fn a_line_without_end_is_held_within_the_limit() {
        const MAX: usize = 256 * 1024;
        let mut splitter = Splitter::new(MAX);
        let chunk = vec![b'x'; 64 * 1024];
        let (mut bytes, mut split) = (0, 0);
        for _ in 0..1024 {
            split += splitter.feed(&chunk, |block| bytes += block.head.len());
            assert!(splitter.held.capacity() <= MAX);
        }
        assert_eq!(split, 1);
        assert_eq!(bytes + splitter.held(), 64 * 1024 * 1024);
        splitter.feed(b"\n", |_| {});
        assert_eq!(splitter.held.capacity(), 0);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_made_up(
            input in proptest::collection::vec(prop_oneof![3 => Just(b'\n'), 3 => Just(0xa9), 2 => Just(0xc3), 9 => any::<u8>()], 0..300),
            cuts in proptest::collection::vec(0..300_usize, 0..12),
            max in 1..40_usize,
        ) {
            let mut input = input;
            input.push(b'\n');
            let mut cuts: Vec<_> = cuts.into_iter().map(|at| at.min(input.len())).collect();
            cuts.sort_unstable();
            let (mut chunks, mut from) = (Vec::new(), 0);
            for at in cuts {
                chunks.push(&input[from..at]);
                from = at;
            }
            chunks.push(&input[from..]);
            let (blocks, split, capacity) = run(max, &chunks);
            prop_assert_eq!(joined(&blocks), &input[..]);
            let long = input.split(|b| *b == b'\n').filter(|line| line.len() > max).count();
            prop_assert_eq!(split, long as u64);
            prop_assert!(capacity <= max.max(8));
        }

        #[test]
        fn text_is_cut_between_characters(text in "[a-é€\u{1f600}]{0,200}", max in 4..20_usize, step in 1..30_usize) {
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(step).collect();
            for (bytes, _) in run(max, &chunks).0 {
                prop_assert!(str::from_utf8(&bytes).is_ok());
            }
        }
    }
}
