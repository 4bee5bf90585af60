//! Splits what comes over a channel into lines.

/// Longest line, bytes. A program sends whole objects in one line; Node itself has no limit.
pub const LONGEST: usize = 16 << 20;

/// A line is longer than [`LONGEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Bytes that were read and not taken as lines yet. It holds at most [`LONGEST`] bytes, and what one read added.
#[derive(Debug, Default)]
pub struct Lines {
    bytes: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// There is no newline between `start` and this place.
    searched: usize,
}

impl Lines {
    /// Adds what was read. Fails if there is a line that is too long.
    pub fn push(&mut self, read: &[u8]) -> Result<(), TooLong> {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        // Exactly, because doubling would take twice the memory for a long line.
        if self.bytes.capacity() - self.bytes.len() < read.len() {
            let step = (self.bytes.len() / 4).max(read.len());
            self.bytes.reserve_exact(step);
        }
        self.bytes.extend_from_slice(read);
        if self.bytes.len() > LONGEST && self.end().is_none() {
            return Err(TooLong);
        }
        Ok(())
    }

    /// The next whole line, without its newline.
    pub fn next_line(&mut self) -> Option<&[u8]> {
        let end = self.end()?;
        let line = self.start..end;
        self.start = end + 1;
        self.searched = self.start;
        self.bytes.get(line)
    }

    /// Where the first line ends, if it is whole.
    fn end(&mut self) -> Option<usize> {
        let rest = self.bytes.get(self.searched..)?;
        if let Some(at) = memchr::memchr(b'\n', rest) {
            self.searched += at;
            return Some(self.searched);
        }
        self.searched = self.bytes.len();
        if self.start == self.bytes.len() {
            self.rest();
        }
        None
    }

    /// Everything was taken. The memory of a long line is not kept.
    fn rest(&mut self) {
        const KEPT: usize = 64 << 10;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        (self.start, self.searched) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(lines: &mut Lines) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        while let Some(line) = lines.next_line() {
            found.push(line.to_vec());
        }
        found
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        let mut lines = Lines::default();
        lines.push(b"one\ntw").unwrap();
        assert_eq!(all(&mut lines), [b"one".to_vec()]);
        lines.push(b"o\n\nthree").unwrap();
        assert_eq!(all(&mut lines), [b"two".to_vec(), b"".to_vec()]);
        lines.push(b"\n").unwrap();
        assert_eq!(all(&mut lines), [b"three".to_vec()]);
        assert!(lines.bytes.is_empty());
    }

    #[test]
    fn a_line_of_sixteen_mebibytes_passes_and_a_longer_one_does_not() {
        let piece = vec![b'x'; 64 << 10];
        let mut lines = Lines::default();
        for _ in 0..LONGEST / piece.len() {
            lines.push(&piece).unwrap();
            assert_eq!(lines.next_line(), None);
        }
        assert_eq!(lines.bytes.len(), LONGEST);
        lines.push(b"\nx\n").unwrap();
        assert_eq!(all(&mut lines).len(), 2);
        // The memory is given back.
        assert_eq!(lines.next_line(), None);
        assert!(lines.bytes.capacity() <= 64 << 10);
        let mut result = Ok(());
        for _ in 0..=LONGEST / piece.len() {
            result = lines.push(&piece);
        }
        assert_eq!(result, Err(TooLong));
        assert!(lines.bytes.capacity() <= LONGEST + LONGEST / 2);
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_same_lines(text in "[ab\n]{0,60}", cuts in proptest::collection::vec(0usize..60, 0..6)) {
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= text.len()).collect();
            cuts.sort_unstable();
            cuts.push(text.len());
            let mut lines = Lines::default();
            let (mut from, mut found) = (0, Vec::new());
            for cut in cuts {
                lines.push(&text.as_bytes()[from..cut]).unwrap();
                found.extend(all(&mut lines));
                from = cut;
            }
            let mut expected: Vec<Vec<u8>> = text.split('\n').map(|line| line.as_bytes().to_vec()).collect();
            expected.pop();
            prop_assert_eq!(found, expected);
        }
    }
}
