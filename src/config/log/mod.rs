//! The output of workers, and the runtime's own log lines.

mod file_name;
mod levels;
mod multiline;
mod own;
mod rotation;
mod rules;
mod timestamp;

pub use file_name::FileName;
pub use levels::{Level, Levels};
pub use multiline::Multiline;
pub use own::{Own, OwnLines};
pub use rotation::{Every, Rotation};
pub use timestamp::from_dayjs;

use super::faults::{Wrong, quote};
use super::grammar::{number, show_word, word};
use super::reader::{Reader, Value};
use super::setting::{Group, Preset, Setting};
use super::{show, sizes};
use crate::model::{Overflow, Timestamp, Word};
use crate::policy::{Bytes, Rate};
use file_name::file_name;
use levels::Directives;
use own::{LOG_OWN, LOG_OWN_FILE};
use rotation::{LOG_COMPRESS, LOG_RETAIN, LOG_ROTATE_EVERY, LOG_ROTATE_SIZE};

pub(super) const GROUP: Group = Group {
    title: "Output",
    settings: &[
        &LOG_FORMAT,
        &LOG_TIMESTAMP,
        &LOG_STDERR,
        &LOG_OVERFLOW,
        &LOG_BUFFER,
        &LOG_MAX_LINE,
        &LOG_MULTILINE,
        &LOG_RATE,
        &LOG_FILE,
        &LOG_ERROR_FILE,
        &LOG_ROTATE_SIZE,
        &LOG_ROTATE_EVERY,
        &LOG_RETAIN,
        &LOG_COMPRESS,
        &LOG_LEVEL,
        &LOG_OWN_FILE,
        &LOG_OWN,
    ],
};

const LOG_FORMAT: Setting<LogFormat> = Setting {
    name: "RPM_LOG_FORMAT",
    default: Preset::Computed(
        "raw; inherit with RPM_RESTART=never and one instance if no RPM_LOG_* needs lines",
    ),
    help: "workers' lines: raw, prefix ([name:slot]), json, inherit (our stdout)",
    doc: "What becomes of the lines of workers. `raw`: they pass byte for byte. `prefix`: `TIMESTAMP [name:slot] line`; \
          `RPM_LOG_TIMESTAMP=none` leaves out the timestamp. `json`: one object a line. `inherit`: workers get the \
          runtime's own stdout and stderr, and no line passes through the runtime. See [logging.md](logging.md).",
    parse: word,
    show: show_word,
};

const LOG_TIMESTAMP: Setting<Timestamp> = Setting {
    name: "RPM_LOG_TIMESTAMP",
    default: Preset::Computed("rfc3339; none with the formats raw and inherit"),
    help: "time before a line, UTC: none, rfc3339, a pattern (%Y-%m-%d %H:%M:%S)",
    doc: "The time before a line, in UTC: `none`, `rfc3339` (`2026-11-22T04:40:12.345Z`), or a pattern of strftime such as \
          `%Y-%m-%d %H:%M:%S`.",
    parse: timestamp::timestamp,
    show: show::text,
};

const LOG_STDERR: Setting<LogStderr> = Setting {
    name: "RPM_LOG_STDERR",
    default: Preset::Text("merge"),
    help: "workers' stderr: merge (into stdout), split (to our stderr)",
    doc: "Where the stderr of workers goes: `merge` into the runtime's stdout, `split` to its stderr, where its own lines \
          then go too.",
    parse: word,
    show: show_word,
};

const LOG_OVERFLOW: Setting<Overflow> = Setting {
    name: "RPM_LOG_OVERFLOW",
    default: Preset::Text("block"),
    help: "if nobody reads: block (workers wait), drop (lines, counted)",
    doc: "What happens when nobody reads the output fast enough: `block` makes workers wait; `drop` drops whole lines and \
          counts them.",
    parse: word,
    show: show_word,
};

const LOG_BUFFER: Setting<usize> = Setting {
    name: "RPM_LOG_BUFFER",
    default: Preset::Text("8Mi"),
    help: "most memory for lines that are not written yet, 128Ki to 1Gi",
    doc: "The most memory for lines that are not written yet.",
    parse: |text| memory(text, SMALLEST_BUFFER),
    show: show::size,
};

const LOG_MAX_LINE: Setting<usize> = Setting {
    name: "RPM_LOG_MAX_LINE",
    default: Preset::Computed("256Ki, or a sixteenth of RPM_LOG_BUFFER if that is less"),
    help: "longer lines pass in pieces",
    doc: "The longest line. Longer lines pass in pieces. At most a sixteenth of `RPM_LOG_BUFFER`.",
    parse: |text| memory(text, SMALLEST_LINE),
    show: show::size,
};

const LOG_MULTILINE: Setting<Multiline> = Setting {
    name: "RPM_LOG_MULTILINE",
    default: Preset::Unset,
    help: "traces stay whole: python, java, node, go, ruby; or a regular expression",
    doc: "Which lines are one record, so that stack traces stay in one piece. Either languages whose traces are known: \
          `python`, `java`, `node`, `go`, `ruby`, or several as in `python,node`. Or a regular expression (of bytes, \
          ASCII) that matches the first line of a record, such as `^\\S`; lines that do not match are joined to the \
          record before them. See [logging.md](logging.md).",
    parse: multiline::multiline,
    show: show::text,
};

const LOG_RATE: Setting<Option<Rate>> = Setting {
    name: "RPM_LOG_RATE",
    default: Preset::Text("off"),
    help: "most lines a second of each worker: LINES or LINES:BURST; off",
    doc: "The most lines a second of each worker; the rest is dropped and counted. `1000:5000` lets 5000 lines pass at \
          once after a quiet time.",
    parse: rate,
    show: show::or_off,
};

const LOG_FILE: Setting<FileName> = Setting {
    name: "RPM_LOG_FILE",
    default: Preset::Unset,
    help: "write to this file too; {slot} in it gives each worker its own",
    doc: "A file that gets the lines too. With `{slot}` in its name each worker has its own.",
    parse: file_name,
    show: show::text,
};

const LOG_ERROR_FILE: Setting<FileName> = Setting {
    name: "RPM_LOG_ERROR_FILE",
    default: Preset::Unset,
    help: "stderr to this one instead; {slot} as above",
    doc: "The stderr of workers goes to this file instead of `RPM_LOG_FILE`.",
    parse: file_name,
    show: show::text,
};

const LOG_LEVEL: Setting<Directives> = Setting {
    name: "RPM_LOG_LEVEL",
    default: Preset::Computed("info; warn with RPM_RESTART=never and one instance"),
    help: "our own lines: off, error, warn, info, debug, trace; also TARGET=LEVEL",
    doc: concat!(
        "Which of the runtime's own lines are written. Single modules can have another level: ",
        "`info,rpm_runtime",
        "::supervisor=debug`.",
    ),
    parse: levels::directives,
    show: show::text,
};

/// RPM_LOG_FORMAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Unchanged, byte for byte.
    Raw,
    /// `[name:slot] line`.
    Prefix,
    /// One JSON object per line.
    Json,
    /// Workers get the runtime's own stdin, stdout and stderr.
    Inherit,
}

impl Word for LogFormat {
    const ALL: &'static [Self] = &[Self::Raw, Self::Prefix, Self::Json, Self::Inherit];

    fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Prefix => "prefix",
            Self::Json => "json",
            Self::Inherit => "inherit",
        }
    }
}

/// RPM_LOG_STDERR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStderr {
    /// To the runtime's stdout.
    Merge,
    /// To the runtime's stderr, with the runtime's own lines.
    Split,
}

impl Word for LogStderr {
    const ALL: &'static [Self] = &[Self::Merge, Self::Split];

    fn word(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Split => "split",
        }
    }
}

/// RPM_LOG_FILE and RPM_LOG_ERROR_FILE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// RPM_LOG_FILE: stdout, and also stderr if `error` is `None` or the same file.
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

/// The output of workers, and the runtime's own log lines.
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
    /// RPM_LOG_ROTATE_SIZE, RPM_LOG_ROTATE_EVERY, RPM_LOG_RETAIN and RPM_LOG_COMPRESS.
    pub rotation: Rotation,
    /// RPM_LOG_RATE.
    pub rate: Option<Rate>,
    /// RPM_LOG_LEVEL.
    pub levels: Levels,
    /// RPM_LOG_OWN_FILE and RPM_LOG_OWN.
    pub own: Own,
}

impl Logging {
    /// `one_shot`: the role of tini.
    pub(super) fn read(reader: &mut Reader<'_>, one_shot: bool) -> Value<Self> {
        let format = format(reader, one_shot);
        let timestamp = timestamp(reader, format);
        let max_line = max_line(reader);
        let levels = levels(reader, one_shot);
        rules::check(reader, format);
        Ok(Self {
            format: format?,
            timestamp: timestamp?,
            stderr: reader.get(&LOG_STDERR)?,
            overflow: reader.get(&LOG_OVERFLOW)?,
            buffer: reader.get(&LOG_BUFFER)?,
            max_line: max_line?,
            multiline: reader.given(&LOG_MULTILINE)?,
            files: Files {
                out: reader.given(&LOG_FILE)?,
                error: reader.given(&LOG_ERROR_FILE)?,
            },
            rotation: Rotation::read(reader)?,
            rate: reader.get(&LOG_RATE)?,
            levels: levels?,
            own: Own::read(reader)?,
        })
    }
}

fn format(reader: &mut Reader<'_>, one_shot: bool) -> Value<LogFormat> {
    if let Some(format) = reader.given(&LOG_FORMAT)? {
        return Ok(format);
    }
    // In the role of tini there is nothing to merge, and the program may depend on the type of its stdout.
    let needs_lines = rules::needs_lines(reader).filter(|_| one_shot);
    let format = if one_shot && needs_lines.is_none() {
        LogFormat::Inherit
    } else {
        LogFormat::Raw
    };
    let note = needs_lines.map(|name| {
        format!("not inherit, since {name} is for lines that pass through the runtime")
    });
    reader.settle(&LOG_FORMAT, &format, note);
    Ok(format)
}

fn timestamp(reader: &mut Reader<'_>, format: Value<LogFormat>) -> Value<Timestamp> {
    if let Some(timestamp) = reader.given(&LOG_TIMESTAMP)? {
        return Ok(timestamp);
    }
    let timestamp = match format? {
        LogFormat::Raw | LogFormat::Inherit => Timestamp::None,
        LogFormat::Prefix | LogFormat::Json => Timestamp::Rfc3339,
    };
    reader.settle(&LOG_TIMESTAMP, &timestamp, None);
    Ok(timestamp)
}

/// Default of RPM_LOG_MAX_LINE.
const MAX_LINE: usize = 256 << 10;

/// A line uses at most this fraction of the buffer, so that one worker's line does not displace all others.
const LINES_IN_BUFFER: usize = 16;

fn max_line(reader: &mut Reader<'_>) -> Value<usize> {
    if let Some(max_line) = reader.given(&LOG_MAX_LINE)? {
        return Ok(max_line);
    }
    let most = reader.get(&LOG_BUFFER)? / LINES_IN_BUFFER;
    let note = (most < MAX_LINE).then(|| "a sixteenth of RPM_LOG_BUFFER".to_owned());
    let max_line = most.min(MAX_LINE);
    reader.settle(&LOG_MAX_LINE, &max_line, note);
    Ok(max_line)
}

fn levels(reader: &mut Reader<'_>, one_shot: bool) -> Value<Levels> {
    let usual = if one_shot { Level::Warn } else { Level::Info };
    let mut directives = reader.given(&LOG_LEVEL)?.unwrap_or_default();
    let default = *directives.default.get_or_insert(usual);
    reader.settle(&LOG_LEVEL, &directives, None);
    let targets = directives.targets;
    Ok(Levels { default, targets })
}

const SMALLEST_LINE: Bytes = Bytes(1 << 10);
const SMALLEST_BUFFER: Bytes = Bytes(128 << 10);
const LARGEST_BUFFER: Bytes = Bytes(1 << 30);

/// Parses a memory size, from `low` to the size of the largest buffer.
pub(super) fn memory(text: &str, low: Bytes) -> Result<usize, Wrong> {
    let bytes = sizes::between(text, low, Some(LARGEST_BUFFER))?;
    usize::try_from(bytes.0).map_err(|_| Wrong::new("is more than this machine has", "less"))
}

/// Maximum of RPM_LOG_RATE, lines per second: no worker writes more.
const MOST_LINES: u32 = 100_000_000;

fn rate(text: &str) -> Result<Option<Rate>, Wrong> {
    if super::grammar::is(text, "off") {
        return Ok(None);
    }
    let (lines, burst) = match text.split_once(':') {
        Some((lines, burst)) => (lines, Some(burst)),
        None => (text, None),
    };
    let count = |part: &str| {
        number(part, 1, MOST_LINES).map_err(|wrong| {
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

#[cfg(test)]
mod tests;
