//! A page, line by line.
#![forbid(unsafe_code)]

use super::collect::Collected;
use super::declare::{Comment, comment};
use super::limits::Fault;
use super::line::read;
use super::{Dropped, Format, Limits, Parsed, Refused};

/// The last line of OpenMetrics.
const END: &str = "# EOF";

/// Reads a page.
pub fn parse(bytes: &[u8], format: Format, limits: &Limits) -> Result<Parsed, Refused> {
    if bytes.len() > limits.bytes {
        return Err(Refused::TooLong);
    }
    let bytes = match format {
        Format::Text004 => bytes,
        Format::OpenMetrics => before_end(bytes)?,
    };
    let mut reader = Reader {
        format,
        limits,
        collected: Collected::new(format, limits),
        meant: false,
        dropped: Dropped::default(),
    };
    // `split` of text is the faster one, and nearly every page is text.
    if bytes.is_empty() {
        return reader.finish();
    }
    if let Ok(text) = str::from_utf8(bytes) {
        text.split('\n').for_each(|line| reader.line(line));
    } else {
        for line in bytes.split(|byte| *byte == b'\n') {
            match str::from_utf8(line) {
                Ok(line) => reader.line(line),
                Err(_) => reader.dropped.count(Fault::Invalid, 1),
            }
        }
    }
    reader.finish()
}

/// The page without its last line, which must be the end and the only one.
fn before_end(bytes: &[u8]) -> Result<&[u8], Refused> {
    let whole = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let mut lines = whole.split(|byte| *byte == b'\n');
    if !lines.any(|line| line == END.as_bytes()) {
        return Err(Refused::NoEnd);
    }
    if lines.next().is_some() {
        return Err(Refused::BehindEnd);
    }
    let page = &whole[..whole.len() - END.len()];
    Ok(page.strip_suffix(b"\n").unwrap_or(page))
}

struct Reader<'a> {
    format: Format,
    limits: &'a Limits,
    collected: Collected<'a>,
    /// Whether any line had a meaning.
    meant: bool,
    dropped: Dropped,
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: &'a str) {
        match self.meaning(line) {
            Ok(meant) => self.meant |= meant,
            Err(fault) => self.dropped.count(fault, 1),
        }
    }

    /// Whether the line had one.
    fn meaning(&mut self, line: &'a str) -> Result<bool, Fault> {
        let lenient = self.format == Format::Text004;
        let line = if lenient {
            let line = line.strip_suffix('\r').unwrap_or(line);
            line.trim_start_matches([' ', '\t'])
        } else {
            line
        };
        // Some readers would see the end of a line in it.
        if line.contains(['\r', '\0']) {
            return Err(Fault::Invalid);
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
            Comment::Other => return Err(Fault::Invalid),
        }
        Ok(true)
    }

    fn finish(self) -> Result<Parsed, Refused> {
        if !self.meant && self.dropped.invalid > 0 {
            return Err(Refused::NotMetrics);
        }
        let mut parsed = Parsed::of(self.collected.finish());
        parsed.dropped.limit += self.dropped.limit;
        parsed.dropped.invalid += self.dropped.invalid;
        Ok(parsed)
    }
}
