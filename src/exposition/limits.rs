//! How much of a page is read, and what became of the rest.

use std::error::Error;
use std::fmt;

use super::Page;

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4`
    Text004,
    /// `application/openmetrics-text; version=1.0.0`
    OpenMetrics,
}

/// The most that is taken of one page. Lengths are bytes as they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the page; a longer one is refused.
    pub bytes: usize,
    /// Lines of the page, whatever stands in them; what follows is not read. Room for the series and all that may be said
    /// of them, with much to spare: reading takes a time that depends on lines.
    pub lines: usize,
    /// Series, and names in `# TYPE`, `# HELP` and `# UNIT`.
    pub series: usize,
    /// Labels of one series.
    pub labels: usize,
    /// Length of a label's name.
    pub label_name: usize,
    /// Length of a label's value.
    pub label_value: usize,
    /// Length of a metric's name.
    pub name: usize,
    /// Length of a help text; a longer one is no help.
    pub help: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 8 << 20,
            lines: 100_000,
            series: 10_000,
            labels: 32,
            label_name: 128,
            label_value: 1024,
            name: 256,
            help: 1024,
        }
    }
}

/// Series, or lines, that were left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Beyond a limit.
    pub limit: u64,
    /// Against the format, or without sense.
    pub invalid: u64,
}

impl Dropped {
    /// Adds what `fault` cost.
    pub(crate) fn count(&mut self, fault: Fault, series: u64) {
        match fault {
            Fault::Limit => self.limit += series,
            Fault::Invalid => self.invalid += series,
        }
    }
}

/// Why a line or a series is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Limit,
    Invalid,
}

/// What a page held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// What could be read.
    pub page: Page,
    /// And what could not.
    pub dropped: Dropped,
}

/// Why nothing of a page is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is longer than the limit.
    TooLong,
    /// No line of it can be read.
    NotMetrics,
    /// OpenMetrics without `# EOF`: it may be cut off anywhere.
    NoEnd,
    /// OpenMetrics that goes on behind `# EOF`.
    BehindEnd,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the page is too long",
            Self::NotMetrics => "no line of the page is a metric",
            Self::NoEnd => "the page ends without # EOF",
            Self::BehindEnd => "the page goes on behind # EOF",
        })
    }
}

impl Error for Refused {}
