//! Parses a page line by line.

use std::str::Utf8Error;

use memchr::{memchr_iter, memmem};

use super::comment::{Comment, comment};
use super::families::Collected;
use super::limits::DropReason;
use super::line::read;
use super::{Dropped, PageLimits, ParseError, Parsed};
use crate::exposition::Format;

/// The last line of OpenMetrics.
const END: &[u8] = b"# EOF";
const END_BETWEEN: &[u8] = b"\n# EOF\n";

/// Parses a page.
pub fn parse(bytes: &[u8], format: Format, limits: &PageLimits) -> Result<Parsed, ParseError> {
    if bytes.len() > limits.bytes {
        return Err(ParseError::TooLong);
    }
    let bytes = match format {
        Format::Text => bytes,
        Format::OpenMetrics => before_end(bytes)?,
    };
    let mut reader = Reader {
        format,
        limits,
        collected: Collected::new(format, limits),
        clean: !bytes.contains(&b'\r') && !bytes.contains(&b'\0'),
        meant: false,
        dropped: Dropped::default(),
    };
    // Splitting text is faster, and almost every page is valid UTF-8.
    if bytes.is_empty() {
        return reader.finish();
    }
    let most = limits.lines.saturating_add(1);
    if let Ok(text) = str::from_utf8(bytes) {
        let pieces = text.splitn(most, '\n');
        reader.pieces(pieces.map(|piece| (piece.as_bytes(), Ok(piece))));
    } else {
        let pieces = bytes.splitn(most, |byte| *byte == b'\n');
        reader.pieces(pieces.map(|piece| (piece, str::from_utf8(piece))));
    }
    reader.finish()
}

/// The page without its last line, which must be the only `# EOF`.
fn before_end(bytes: &[u8]) -> Result<&[u8], ParseError> {
    let whole = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if let Some(behind) = whole.strip_prefix(END)
        && (behind.is_empty() || behind.starts_with(b"\n"))
    {
        return behind
            .is_empty()
            .then_some(behind)
            .ok_or(ParseError::BehindEnd);
    }
    if memmem::find(whole, END_BETWEEN).is_some() {
        return Err(ParseError::BehindEnd);
    }
    let page = whole.strip_suffix(END).ok_or(ParseError::NoEnd)?;
    page.strip_suffix(b"\n").ok_or(ParseError::NoEnd)
}

struct Reader<'a> {
    format: Format,
    limits: &'a PageLimits,
    collected: Collected<'a>,
    /// The page contains no character that some readers treat as a line end.
    clean: bool,
    /// Whether any line was valid.
    meant: bool,
    dropped: Dropped,
}

impl<'a> Reader<'a> {
    /// Processes lines; beyond the limit, the last piece contains all unread lines.
    fn pieces(&mut self, pieces: impl Iterator<Item = (&'a [u8], Result<&'a str, Utf8Error>)>) {
        for (at, (bytes, piece)) in pieces.enumerate() {
            match piece {
                _ if at == self.limits.lines => {
                    let rest = bytes.strip_suffix(b"\n").unwrap_or(bytes);
                    let ends = memchr_iter(b'\n', rest).count();
                    let lines = ends + usize::from(!bytes.is_empty());
                    self.dropped.count(DropReason::Limit, lines as u64);
                }
                Ok(line) => self.line(line),
                Err(_) => self.dropped.count(DropReason::Invalid, 1),
            }
        }
    }

    fn line(&mut self, line: &'a str) {
        match self.meaning(line) {
            Ok(meant) => self.meant |= meant,
            Err(fault) => self.dropped.count(fault, 1),
        }
    }

    /// Processes a line and returns whether it had a meaning.
    fn meaning(&mut self, line: &'a str) -> Result<bool, DropReason> {
        let lenient = self.format == Format::Text;
        let line = if lenient {
            let line = line.strip_suffix('\r').unwrap_or(line);
            line.trim_start_matches([' ', '\t'])
        } else {
            line
        };
        if !self.clean && line.contains(['\r', '\0']) {
            return Err(DropReason::Invalid);
        }
        let comment = if line.starts_with('#') {
            comment(line, self.format)
        } else if line.is_empty() {
            Comment::Other
        } else {
            let line = read(line, self.format, self.limits)?;
            return self.collected.sample(line).map(|()| true);
        };
        match comment {
            Comment::Type(name, kind) => self.collected.declare(name, kind)?,
            Comment::Help(name, text) => self.collected.help(name, text)?,
            Comment::Unit(name, unit) => self.collected.unit(name, unit)?,
            Comment::Other if lenient => return Ok(false),
            Comment::Other => return Err(DropReason::Invalid),
        }
        Ok(true)
    }

    fn finish(self) -> Result<Parsed, ParseError> {
        if !self.meant && self.dropped.invalid > 0 {
            return Err(ParseError::NotMetrics);
        }
        let mut parsed = Parsed::of(self.collected.finish());
        parsed.dropped.limit += self.dropped.limit;
        parsed.dropped.invalid += self.dropped.invalid;
        Ok(parsed)
    }
}
