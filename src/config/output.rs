//! What becomes of the output of workers and of the runtime's own lines.
#![expect(clippy::option_option, reason = "faulty, absent and present are three")]

use std::time::Duration;

use super::env::Raw;
use super::faults::{Wrong, quote};
use super::file_name::{FileName, file_name};
use super::levels::{Directives, Level, directives};
use super::logging::{Every, Files, LogFormat, LogStderr, Logging, Overflow, Rotation};
use super::multiline::{Multiline, multiline};
use super::parse;
use super::resolve::Reader;
use super::schedule::schedule;
use super::sizes;
use super::timestamp::{Timestamp, timestamp};
use crate::policy::{Bytes, Rate};

/// Longest line when nobody said otherwise.
const MAX_LINE: usize = 256 << 10;

/// A line takes at most so much of the buffer: one worker's must not push out all others.
pub(super) const LINES_IN_BUFFER: usize = 16;

const SMALLEST_LINE: Bytes = Bytes(1 << 10);
const BUFFER: (Bytes, Bytes) = (Bytes(128 << 10), Bytes(1 << 30));
const SMALLEST_FILE: Bytes = Bytes(1 << 10);

/// Most lines a second that RPM_LOG_RATE may name: no worker writes more.
const MOST_LINES: u32 = 100_000_000;

/// Most rotated files that RPM_LOG_RETAIN may name.
const MOST_FILES: u32 = 1_000_000;

const EVERY: &str = "off, hourly, daily, weekly, monthly, a duration such as 12h, from 1s to 24h, or five fields as in \
     RPM_CRON_RELOAD, such as 0 4 * * *; in UTC";

/// `Logging` with every field in doubt.
#[derive(Default)]
pub(super) struct Draft {
    /// What was said; [`Draft::settle`] makes it what holds, as with all that are two options.
    pub(super) format: Option<Option<LogFormat>>,
    pub(super) timestamp: Option<Option<Timestamp>>,
    stderr: Option<LogStderr>,
    overflow: Option<Overflow>,
    pub(super) buffer: Option<usize>,
    pub(super) max_line: Option<Option<usize>>,
    pub(super) multiline: Option<Option<Multiline>>,
    pub(super) rate: Option<Option<Rate>>,
    pub(super) out: Option<Option<FileName>>,
    pub(super) error: Option<Option<FileName>>,
    pub(super) size: Option<Option<Bytes>>,
    pub(super) every: Option<Option<Every>>,
    pub(super) retain: Option<Option<usize>>,
    compress: Option<bool>,
    said_levels: Option<Directives>,
    /// The level of everything that has none of its own, if nobody said it.
    usual_level: Option<Level>,
}

impl Draft {
    pub(super) fn read(raw: &Raw, reader: &mut Reader) -> Self {
        let formats = [
            ("raw", LogFormat::Raw),
            ("prefix", LogFormat::Prefix),
            ("json", LogFormat::Json),
            ("inherit", LogFormat::Inherit),
        ];
        let errors = [("merge", LogStderr::Merge), ("split", LogStderr::Split)];
        let overflows = [("block", Overflow::Block), ("drop", Overflow::Drop)];
        Self {
            format: reader.optional("RPM_LOG_FORMAT", raw.log_format.as_ref(), |text| {
                parse::keyword(text, &formats, &[])
            }),
            timestamp: reader.optional("RPM_LOG_TIMESTAMP", raw.log_timestamp.as_ref(), timestamp),
            stderr: reader.get("RPM_LOG_STDERR", raw.log_stderr.as_ref(), |text| {
                parse::keyword(text, &errors, &[])
            }),
            overflow: reader.get("RPM_LOG_OVERFLOW", raw.log_overflow.as_ref(), |text| {
                parse::keyword(text, &overflows, &[])
            }),
            buffer: reader.get("RPM_LOG_BUFFER", raw.log_buffer.as_ref(), |text| {
                memory(text, BUFFER.0)
            }),
            max_line: reader.optional("RPM_LOG_MAX_LINE", raw.log_max_line.as_ref(), |text| {
                memory(text, SMALLEST_LINE)
            }),
            multiline: reader.optional("RPM_LOG_MULTILINE", raw.log_multiline.as_ref(), multiline),
            rate: reader.get("RPM_LOG_RATE", raw.log_rate.as_ref(), rate),
            out: reader.optional("RPM_LOG_FILE", raw.log_file.as_ref(), file_name),
            error: reader.optional("RPM_LOG_ERROR_FILE", raw.log_error_file.as_ref(), file_name),
            size: reader.get("RPM_LOG_ROTATE_SIZE", raw.log_rotate_size.as_ref(), size),
            every: reader.get("RPM_LOG_ROTATE_EVERY", raw.log_rotate_every.as_ref(), every),
            retain: reader.get("RPM_LOG_RETAIN", raw.log_retain.as_ref(), retain),
            compress: reader.get(
                "RPM_LOG_COMPRESS",
                raw.log_compress.as_ref(),
                parse::boolean,
            ),
            said_levels: reader
                .optional("RPM_LOG_LEVEL", raw.log_level.as_ref(), directives)
                .map(Option::unwrap_or_default),
            usual_level: None,
        }
    }

    /// Works out what was not said.
    pub(super) fn settle(&mut self, one_shot: bool, raw: &Raw, reader: &mut Reader) {
        if self.format == Some(None) {
            self.format = Some(Some(self.usual_format(one_shot, raw, reader)));
        }
        if let (Some(Some(format)), Some(None)) = (self.format, &self.timestamp) {
            self.timestamp = Some(Some(match format {
                LogFormat::Raw | LogFormat::Inherit => Timestamp::None,
                LogFormat::Prefix | LogFormat::Json => Timestamp::Rfc3339,
            }));
        }
        if let (Some(buffer), Some(None)) = (self.buffer, self.max_line) {
            let most = buffer / LINES_IN_BUFFER;
            if most < MAX_LINE {
                let why = "a sixteenth of RPM_LOG_BUFFER".to_owned();
                reader.notes.insert("RPM_LOG_MAX_LINE", why);
            }
            self.max_line = Some(Some(most.min(MAX_LINE)));
        }
        self.usual_level = Some(if one_shot { Level::Warn } else { Level::Info });
    }

    /// tini's role: nothing to merge, and the program may care for what its stdout is; unless something else was said
    /// that cannot be done from outside.
    fn usual_format(&self, one_shot: bool, raw: &Raw, reader: &mut Reader) -> LogFormat {
        if !one_shot {
            return LogFormat::Raw;
        }
        let Some(name) = self.needs_lines(raw) else {
            return LogFormat::Inherit;
        };
        let why = format!("not inherit, since {name} is for lines that pass through the runtime");
        reader.notes.insert("RPM_LOG_FORMAT", why);
        LogFormat::Raw
    }

    /// The first variable that wants what cannot be had where workers write to our own stdout themselves.
    fn needs_lines(&self, raw: &Raw) -> Option<&'static str> {
        let merges = raw.log_stderr.is_some() && self.stderr == Some(LogStderr::Merge);
        let times = self.times();
        let rows = [
            ("RPM_LOG_TIMESTAMP", times),
            ("RPM_LOG_STDERR", merges),
            ("RPM_LOG_OVERFLOW", self.overflow == Some(Overflow::Drop)),
            ("RPM_LOG_MULTILINE", matches!(self.multiline, Some(Some(_)))),
            ("RPM_LOG_RATE", matches!(self.rate, Some(Some(_)))),
            ("RPM_LOG_FILE", matches!(self.out, Some(Some(_)))),
            ("RPM_LOG_ERROR_FILE", matches!(self.error, Some(Some(_)))),
        ];
        rows.into_iter().find(|(_, wants)| *wants).map(|row| row.0)
    }

    /// Whether lines have a time.
    pub(super) fn times(&self) -> bool {
        let times = self.timestamp.as_ref().and_then(Option::as_ref);
        times.is_some_and(|timestamp| *timestamp != Timestamp::None)
    }

    pub(super) fn finish(self) -> Option<Logging> {
        Some(Logging {
            format: self.format??,
            timestamp: self.timestamp??,
            stderr: self.stderr?,
            overflow: self.overflow?,
            buffer: self.buffer?,
            max_line: self.max_line??,
            multiline: self.multiline?,
            files: Files {
                out: self.out?,
                error: self.error?,
            },
            rotation: Rotation {
                size: self.size?,
                every: self.every?,
                retain: self.retain?,
                compress: self.compress?,
            },
            rate: self.rate?,
            levels: self.said_levels?.or(self.usual_level?),
        })
    }
}

/// A size of memory from `low` on, up to that of the largest buffer.
fn memory(text: &str, low: Bytes) -> Result<usize, Wrong> {
    let bytes = sizes::between(text, low, Some(BUFFER.1))?;
    usize::try_from(bytes.0).map_err(|_| Wrong::new("is more than this machine has", "less"))
}

/// RPM_LOG_RATE: `LINES`, `LINES:BURST` or `off`.
fn rate(text: &str) -> Result<Option<Rate>, Wrong> {
    if is_off(text) {
        return Ok(None);
    }
    let (lines, burst) = match text.split_once(':') {
        Some((lines, burst)) => (lines, Some(burst)),
        None => (text, None),
    };
    let count = |part: &str| {
        parse::number(part, 1, MOST_LINES).map_err(|wrong| {
            let accepted = format!(
                "off, or LINES or LINES:BURST, such as 1000 or 1000:5000, whole numbers from 1 to {MOST_LINES}"
            );
            let what = match burst {
                Some(_) => format!("{} {}", quote(part.trim()), wrong.what),
                None => wrong.what,
            };
            Wrong::new(what, accepted)
        })
    };
    let per_second = count(lines)?;
    let burst = burst.map_or(Ok(per_second), count)?;
    Ok(Some(Rate { per_second, burst }))
}

/// RPM_LOG_ROTATE_SIZE.
fn size(text: &str) -> Result<Option<Bytes>, Wrong> {
    if is_off(text) {
        return Ok(None);
    }
    sizes::between(text, SMALLEST_FILE, None)
        .map(Some)
        .map_err(or_off)
}

/// RPM_LOG_ROTATE_EVERY.
fn every(text: &str) -> Result<Option<Every>, Wrong> {
    let text = text.trim();
    let known = [
        ("off", None),
        ("hourly", Some(&Every::Hourly)),
        ("daily", Some(&Every::Daily)),
        ("weekly", Some(&Every::Weekly)),
        ("monthly", Some(&Every::Monthly)),
    ];
    if let Ok(word) = parse::keyword(text, &known, &[]) {
        return Ok(word.cloned());
    }
    let wrong = |what: &str| Err(Wrong::new(what, EVERY));
    if text.starts_with('@') || text.split_whitespace().nth(1).is_some() {
        return match schedule(text) {
            Ok(schedule) => Ok(Some(Every::Cron(Box::new(schedule)))),
            Err(other) => wrong(&other.what),
        };
    }
    if text.starts_with(|c: char| c.is_alphabetic()) {
        return wrong("is not one of the known words");
    }
    match parse::duration(text) {
        Ok(period) if period < Duration::from_secs(1) => wrong("is below 1s"),
        Ok(period) => Ok(Some(Every::Period(period))),
        Err(other) => wrong(&other.what),
    }
}

/// RPM_LOG_RETAIN.
fn retain(text: &str) -> Result<Option<usize>, Wrong> {
    if text.trim().eq_ignore_ascii_case("all") {
        return Ok(None);
    }
    let count = parse::number(text, 0, MOST_FILES)
        .map_err(|wrong| Wrong::new(wrong.what, format!("{}, or all", wrong.accepted)))?;
    Ok(usize::try_from(count).ok())
}

fn is_off(text: &str) -> bool {
    text.trim().eq_ignore_ascii_case("off")
}

fn or_off(wrong: Wrong) -> Wrong {
    Wrong::new(wrong.what, format!("{}, or off", wrong.accepted))
}

#[cfg(test)]
#[path = "output_tests.rs"]
pub(super) mod tests;
