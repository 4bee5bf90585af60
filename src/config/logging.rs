//! RPM_LOG_* as typed values.

use std::fmt;
use std::time::Duration;

use super::file_name::FileName;
use super::levels::Levels;
use super::multiline::Multiline;
use super::schedule::{Schedule, schedule};
use super::show;
pub use crate::model::{Overflow, Timestamp};
use crate::policy::{Bytes, Rate};

/// RPM_LOG_FORMAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Byte for byte.
    Raw,
    /// `[name:slot] line`.
    Prefix,
    /// One object a line.
    Json,
    /// Workers get the runtime's own stdin, stdout and stderr.
    Inherit,
}

/// RPM_LOG_STDERR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStderr {
    /// Into our stdout.
    Merge,
    /// To our stderr, with the runtime's own lines.
    Split,
}

/// RPM_LOG_FILE and RPM_LOG_ERROR_FILE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// RPM_LOG_FILE: stdout, and stderr too if the other is `None` or the same.
    pub out: Option<FileName>,
    /// RPM_LOG_ERROR_FILE.
    pub error: Option<FileName>,
}

impl Files {
    /// Whether anything is written to files.
    pub fn any(&self) -> bool {
        self.out.is_some() || self.error.is_some()
    }
}

/// RPM_LOG_ROTATE_EVERY, unless it is `off`; in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Every {
    /// At each full hour.
    Hourly,
    /// At midnight.
    Daily,
    /// At the midnight on which Sunday begins, as `@weekly` of cron.
    Weekly,
    /// At the midnight on which the first of a month begins.
    Monthly,
    /// After so long; at least a second.
    Period(Duration),
    /// At these times.
    Cron(Box<Schedule>),
}

impl Every {
    /// The calendar that it goes by; a period has none.
    pub fn schedule(&self) -> Option<Schedule> {
        let name = match self {
            Self::Hourly => "@hourly",
            Self::Daily => "@daily",
            Self::Weekly => "@weekly",
            Self::Monthly => "@monthly",
            Self::Cron(schedule) => return Some(schedule.as_ref().clone()),
            Self::Period(_) => return None,
        };
        schedule(name).ok()
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hourly => f.write_str("hourly"),
            Self::Daily => f.write_str("daily"),
            Self::Weekly => f.write_str("weekly"),
            Self::Monthly => f.write_str("monthly"),
            Self::Period(period) => f.write_str(&show::duration(*period)),
            Self::Cron(schedule) => schedule.fmt(f),
        }
    }
}

/// RPM_LOG_ROTATE_SIZE, RPM_LOG_ROTATE_EVERY, RPM_LOG_RETAIN and RPM_LOG_COMPRESS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// A file that has grown to it is rotated; `None` is `off`.
    pub size: Option<Bytes>,
    /// `None` is `off`.
    pub every: Option<Every>,
    /// Rotated files that are kept; `None` is `all`.
    pub retain: Option<usize>,
    /// With gzip.
    pub compress: bool,
}

/// All of RPM_LOG_*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// RPM_LOG_FORMAT.
    pub format: LogFormat,
    /// RPM_LOG_TIMESTAMP; `None` with the formats raw and inherit.
    pub timestamp: Timestamp,
    /// RPM_LOG_STDERR.
    pub stderr: LogStderr,
    /// RPM_LOG_OVERFLOW.
    pub overflow: Overflow,
    /// RPM_LOG_BUFFER, bytes.
    pub buffer: usize,
    /// RPM_LOG_MAX_LINE, bytes; at most a sixteenth of the buffer.
    pub max_line: usize,
    /// RPM_LOG_MULTILINE.
    pub multiline: Option<Multiline>,
    /// RPM_LOG_FILE and RPM_LOG_ERROR_FILE.
    pub files: Files,
    /// What becomes of files that are there.
    pub rotation: Rotation,
    /// RPM_LOG_RATE.
    pub rate: Option<Rate>,
    /// RPM_LOG_LEVEL.
    pub levels: Levels,
}
