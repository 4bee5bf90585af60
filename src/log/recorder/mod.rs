//! Which lines a record holds (RPM_LOG_MULTILINE): the decision alone, without the bytes.
//!
//! With a pattern, a line that matches it begins a record, and any other line belongs to the record before. With
//! languages, a line belongs to the record before if it is indented, or if it continues a trace of one of them: a trace
//! has lines at the margin too, such as Python's last line and what stands between two chained tracebacks. So each
//! language is a small state machine, and all other lines are records of their own.

mod go;
mod java;
mod node;
mod python;
mod ruby;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use regex::bytes::Regex;

use super::level::LineLevel;
use crate::model::Language;

/// What begins a record, for all streams.
#[derive(Clone, Debug)]
pub enum RecordRule {
    /// The pattern of its first line. Shared by all streams: each copy of a regex has a cache, which takes megabytes for
    /// some patterns.
    Pattern(Arc<Regex>),
    /// A line that does not continue a trace of one of these languages.
    Languages(Arc<[Language]>),
}

/// Decides for the lines of one stream, one after the other.
#[derive(Clone, Debug)]
pub struct Recorder {
    rule: RecordRule,
    /// The trace that was begun, and where in it the stream is.
    trace: Option<Trace>,
}

/// A place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trace {
    Python(python::Place),
    Java(java::Place),
    Node(node::Place),
    Go(go::Place),
    Ruby(ruby::Place),
}

/// What the first line of a trace does with the record before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    /// It begins a record.
    Own,
    /// It belongs to a line that names a warning or worse: loggers write the trace behind the message.
    BehindMessage,
    /// It belongs to the line before.
    Joins,
}

impl Recorder {
    /// A recorder that has seen no line.
    pub fn new(rule: RecordRule) -> Self {
        Self { rule, trace: None }
    }

    /// Forgets the trace, because lines are missing.
    pub fn reset(&mut self) {
        self.trace = None;
    }

    /// Whether `line` (without its newline) belongs to `record`, the lines of the unfinished record. `record` may be
    /// empty.
    pub fn joins(&mut self, record: &[u8], line: &[u8]) -> bool {
        let languages = match &self.rule {
            RecordRule::Pattern(first) => return !first.is_match(line),
            RecordRule::Languages(languages) => languages,
        };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(place) = self.trace.and_then(|trace| trace.next(line)) {
            self.trace = Some(place);
            return true;
        }
        let opened = languages.iter().find_map(|language| open(*language, line));
        if let Some((trace, opening)) = opened {
            let in_trace = self.trace.replace(trace).is_some();
            return match opening {
                Opening::Own => false,
                Opening::BehindMessage => !in_trace && is_failure(record),
                Opening::Joins => true,
            };
        }
        if is_indented(line) {
            return true;
        }
        self.trace = None;
        false
    }
}

/// The trace that `line` opens.
fn open(language: Language, line: &[u8]) -> Option<(Trace, Opening)> {
    Some(match language {
        Language::Python => {
            let (place, opening) = python::open(line)?;
            (Trace::Python(place), opening)
        }
        Language::Java => {
            let (place, opening) = java::open(line)?;
            (Trace::Java(place), opening)
        }
        Language::Node => {
            let (place, opening) = node::open(line)?;
            (Trace::Node(place), opening)
        }
        Language::Go => {
            let (place, opening) = go::open(line)?;
            (Trace::Go(place), opening)
        }
        Language::Ruby => {
            let (place, opening) = ruby::open(line)?;
            (Trace::Ruby(place), opening)
        }
    })
}

impl Trace {
    /// The place behind `line`, if the line continues the trace.
    fn next(self, line: &[u8]) -> Option<Self> {
        match self {
            Self::Python(place) => place.next(line).map(Self::Python),
            Self::Java(place) => place.next(line).map(Self::Java),
            Self::Node(place) => place.next(line).map(Self::Node),
            Self::Go(place) => place.next(line).map(Self::Go),
            Self::Ruby(place) => place.next(line).map(Self::Ruby),
        }
    }
}

fn is_failure(record: &[u8]) -> bool {
    let level = LineLevel::of(record);
    matches!(
        level,
        Some(LineLevel::Warn | LineLevel::Error | LineLevel::Fatal)
    )
}

/// Whether the line is that of a logger: it names a level, or begins with a time or a bracket. Such a line is not the
/// rest of a message.
fn is_logged(line: &[u8]) -> bool {
    matches!(line, [b'0'..=b'9' | b'[', ..]) || LineLevel::of(line).is_some()
}

fn is_indented(line: &[u8]) -> bool {
    matches!(line, [b' ' | b'\t', ..])
}

fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

/// The text behind `begin`, if it stands in `line`.
fn behind<'a>(line: &'a [u8], begin: &[u8]) -> Option<&'a [u8]> {
    let at = memchr::memmem::find(line, begin)?;
    line.get(at + begin.len()..)
}

/// The name at the beginning of the line, such as `org.example.PayException`, if `:` and a blank or the end of the line
/// follow.
fn named(line: &[u8]) -> Option<&[u8]> {
    let part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'$');
    let len = line.iter().take_while(part).count();
    let (name, rest) = line.split_at_checked(len)?;
    let ends = matches!(rest, [] | [b':'] | [b':', b' ' | b'\t', ..]);
    let begins = name.first().is_some_and(|byte| !byte.is_ascii_digit());
    (ends && begins).then_some(name)
}
