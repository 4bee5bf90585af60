//! Limits for reading a page, and counts of what was left out.

use std::error::Error;
use std::fmt;

use crate::exposition::Page;

/// Limits for one page. Lengths are in bytes, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimits {
    /// Length of the page; a longer page is refused.
    pub bytes: usize,
    /// Number of lines of any kind; further lines are not read. It is well above what the allowed series and their
    /// comments need; it limits the time for reading.
    pub lines: usize,
    /// Number of series, and number of names in `# TYPE`, `# HELP` and `# UNIT`.
    pub series: usize,
    /// Number of labels of one series.
    pub labels: usize,
    /// Length of a label name.
    pub label_name: usize,
    /// Length of a label value.
    pub label_value: usize,
    /// Length of a metric name.
    pub name: usize,
    /// Length of a help text; a longer text is ignored.
    pub help: usize,
}

impl Default for PageLimits {
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

/// Number of series or lines that were left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Because of a limit.
    pub limit: u64,
    /// Because they were invalid or made no sense.
    pub invalid: u64,
}

impl Dropped {
    /// Counts `series` under `fault`.
    pub(crate) fn count(&mut self, fault: DropReason, series: u64) {
        match fault {
            DropReason::Limit => self.limit += series,
            DropReason::Invalid => self.invalid += series,
        }
    }
}

/// Why a line or a series is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DropReason {
    Limit,
    Invalid,
}

/// The result of parsing a page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// The valid part.
    pub page: Page,
    /// Counts of what was left out.
    pub dropped: Dropped,
}

/// Why a whole page is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// It is longer than the limit.
    TooLong,
    /// No line of it is valid.
    NotMetrics,
    /// OpenMetrics without `# EOF`: the page may have been cut.
    NoEnd,
    /// OpenMetrics with content after `# EOF`.
    BehindEnd,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the page is too long",
            Self::NotMetrics => "no line of the page is a metric",
            Self::NoEnd => "the page ends without # EOF",
            Self::BehindEnd => "the page continues after # EOF",
        })
    }
}

impl Error for ParseError {}
