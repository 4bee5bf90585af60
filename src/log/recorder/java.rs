//! Stack traces of the JVM, and the two lines of java.util.logging.

use super::{Opening, is_blank, is_failure, is_indented, is_logged, named};
use crate::log::level::LineLevel;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind the name of an exception and the first line of its message.
    Message,
    /// In the frames.
    Frames,
    /// Behind the first line of java.util.logging: the level and the message follow.
    Util,
    /// Behind its second line, if that names a warning or worse.
    UtilFailure,
    /// Behind its second line otherwise.
    UtilMessage,
}

pub fn open(line: &[u8]) -> Option<(Place, Opening)> {
    if is_uncaught(line) {
        Some((Place::Message, Opening::Own))
    } else if is_cause(line) {
        Some((Place::Message, Opening::Joins))
    } else if is_exception(line) {
        Some((Place::Message, Opening::BehindMessage))
    } else {
        is_util(line).then_some((Place::Util, Opening::Own))
    }
}

impl Place {
    pub fn next(self, line: &[u8]) -> Option<Self> {
        match self {
            Self::Message | Self::Frames if is_cause(line) => Some(Self::Message),
            Self::Message | Self::Frames if is_indented(line) => Some(Self::Frames),
            Self::Message => (!is_logged(line) && !is_uncaught(line)).then_some(Self::Message),
            // java.util.logging ends a trace with a blank line.
            Self::Frames => is_blank(line).then_some(Self::Frames),
            Self::Util if is_failure(line) => Some(Self::UtilFailure),
            Self::Util => LineLevel::of(line).map(|_| Self::UtilMessage),
            Self::UtilFailure => is_exception(line).then_some(Self::Message),
            Self::UtilMessage => None,
        }
    }
}

fn is_uncaught(line: &[u8]) -> bool {
    line.starts_with(b"Exception in thread \"")
}

fn is_cause(line: &[u8]) -> bool {
    line.starts_with(b"Caused by: ") || line.starts_with(b"Suppressed: ")
}

/// `java.lang.IllegalStateException: text`.
fn is_exception(line: &[u8]) -> bool {
    named(line).is_some_and(|name| {
        let ends = [&b"Exception"[..], b"Error", b"Throwable"];
        name.contains(&b'.') && ends.iter().any(|end| name.ends_with(end))
    })
}

/// `Nov 30, 2026 12:00:00 PM org.example.App main`.
fn is_util(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == b' ');
    let mut word = || words.next().unwrap_or_default();
    let digits = |word: &[u8]| word.first().is_some_and(u8::is_ascii_digit);
    let month = word();
    let (day, year, time, half) = (word(), word(), word(), word());
    month.len() == 3
        && month.first().is_some_and(u8::is_ascii_uppercase)
        && day.ends_with(b",")
        && [day, year, time].into_iter().all(digits)
        && matches!(half, b"AM" | b"PM")
}
