//! packed-refs, which may be large: it is read piece by piece.

use memchr::memchr;

use super::git::{RefName, commit};

/// Longer lines are skipped. A name is a path.
const LINE: usize = 8 * 1024;

/// Looks for one ref.
#[derive(Debug)]
pub struct PackedRefs<'a> {
    wanted: &'a [u8],
    /// The beginning of a line whose end is in the next piece.
    begun: Vec<u8>,
    found: Option<String>,
}

impl<'a> PackedRefs<'a> {
    pub fn new(wanted: &'a RefName) -> Self {
        Self {
            wanted: wanted.bytes(),
            begun: Vec::new(),
            found: None,
        }
    }

    /// Takes the next piece. Returns whether more is wanted.
    pub fn take(&mut self, mut piece: &[u8]) -> bool {
        while let Some(end) = memchr(b'\n', piece) {
            let (line, rest) = piece.split_at(end);
            piece = rest.get(1..).unwrap_or_default();
            if self.begun.is_empty() {
                self.look(line);
            } else {
                self.begin(line);
                self.finish();
            }
            if self.found.is_some() {
                return false;
            }
        }
        self.begin(piece);
        true
    }

    /// The commit of the ref.
    pub fn end(mut self) -> Option<String> {
        self.finish();
        self.found
    }

    fn begin(&mut self, piece: &[u8]) {
        // One byte more than a line may have tells that it was longer.
        let room = (LINE + 1).saturating_sub(self.begun.len());
        let kept = piece.get(..room.min(piece.len())).unwrap_or_default();
        self.begun.extend_from_slice(kept);
    }

    fn finish(&mut self) {
        let line = std::mem::take(&mut self.begun);
        if line.len() <= LINE {
            self.look(&line);
        }
        self.begun = line;
        self.begun.clear();
    }

    /// A line is `COMMIT NAME`. Those of comments begin with `#`, those of the commits that tags lead to with `^`.
    fn look(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let word = line
            .strip_suffix(self.wanted)
            .and_then(|rest| rest.strip_suffix(b" "));
        if let Some(word) = word
            && self.found.is_none()
        {
            self.found = commit(word);
        }
    }
}
