//! Errors of Node.

use super::{Opening, behind, is_blank, is_indented, is_logged, named};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind the place of an error that nobody caught. Node shows the source there.
    Source,
    /// Behind the blank line after it: the error follows.
    Thrown,
    /// Behind the first line of its message.
    Uncaught,
    /// In its frames.
    Frames,
    /// Behind them: the version of Node follows.
    End,
    /// In an error that the program printed.
    Printed,
}

pub fn open(line: &[u8]) -> Option<(Place, Opening)> {
    if is_source(line) {
        Some((Place::Source, Opening::Own))
    } else if line.starts_with(b"(Use `node --trace-") {
        Some((Place::End, Opening::Joins))
    } else {
        is_error(line).then_some((Place::Printed, Opening::BehindMessage))
    }
}

impl Place {
    pub fn next(self, line: &[u8]) -> Option<Self> {
        match self {
            Self::Source | Self::Thrown if is_blank(line) => Some(Self::Thrown),
            Self::Source => Some(Self::Source),
            Self::Thrown => Some(Self::Uncaught),
            Self::Uncaught | Self::Frames if is_indented(line) => Some(Self::Frames),
            Self::Uncaught | Self::Frames if is_blank(line) => Some(Self::End),
            Self::Uncaught => (!is_logged(line)).then_some(Self::Uncaught),
            Self::Frames => is_closing(line).then_some(Self::Frames),
            Self::End => {
                let last = line.starts_with(b"Node.js v")
                    || line.starts_with(b"Thrown at:")
                    || line.starts_with(b"(Use `node --trace-");
                (last || is_blank(line) || is_indented(line)).then_some(Self::End)
            }
            Self::Printed => {
                let more = is_indented(line)
                    || is_closing(line)
                    || line == b"Require stack:"
                    || line.starts_with(b"- /");
                more.then_some(Self::Printed)
            }
        }
    }
}

/// `/app/server.js:3` or `node:internal/process/promises:288`.
fn is_source(line: &[u8]) -> bool {
    let begins = [&b"/"[..], b"file:", b"node:"];
    let number = line.rsplit(|byte| *byte == b':').next().unwrap_or_default();
    let digits = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
    digits
        && line.len() > number.len()
        && begins.iter().any(|begin| line.starts_with(begin))
        && !line.contains(&b' ')
}

/// `TypeError: text`, `Error [ERR_X]: text`, `Uncaught Error: text`.
fn is_error(line: &[u8]) -> bool {
    let line = line.strip_prefix(b"Uncaught ").unwrap_or(line);
    let first = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    if behind(line, b" [").is_some_and(|rest| behind(rest, b"]: ").is_some()) {
        return first.ends_with(b"Error") && named(first).is_some();
    }
    named(line).is_some_and(|name| name.ends_with(b"Error") || name.ends_with(b"Exception"))
}

/// The end of an object or of a list that was printed with the error.
fn is_closing(line: &[u8]) -> bool {
    let brackets = line.iter().all(|byte| b"}]),;".contains(byte));
    brackets && !line.is_empty()
}
