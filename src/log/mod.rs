//! Merges the output of all workers and the runtime's own lines into one stream.
//!
//! One thread, `log`, reads every worker's pipes, splits the bytes into lines and passes these to the outputs: stdout,
//! stderr if it is separate, and files. With [`Overflow::Block`] this thread also writes: if stdout is stuck, the
//! thread blocks in its write, the pipes fill, and the workers wait as if they wrote to stdout themselves. Nothing is
//! lost, and the rest of the runtime is not affected. With [`Overflow::Drop`] each output has a queue and a thread. All
//! other code holds a [`Log`], whose calls never wait for an output (except [`Log::flush`], up to its limit).
//!
//! - A line ends at `\n`. Lines that were read together go out together, so a stack trace stays in one piece.
//! - Bytes after the last newline are held until the next newline, the end of the stream, or the last flush; the latter
//!   two add a newline.
//! - A line above the limit passes in pieces. Each is cut before a UTF-8 character, gets a newline, and is marked if
//!   the format can mark it. If all held lines together take too much memory, the largest passes in pieces as well.
//! - In raw format, bytes are never changed: invalid UTF-8, NUL, carriage returns and colours pass.

mod batch;
mod capture;
mod emptying;
pub mod file;
mod files;
mod format;
mod handle;
mod inserted;
pub mod json;
pub mod level;
pub mod line;
pub mod log4js;
mod output;
mod outputs;
mod own;
mod own_file;
mod paint;
mod queue;
mod rate_limit;
mod record;
mod recorder;
mod ring;
mod shared;
mod source;
mod stall;
pub mod stamp;
mod stream;
mod tail;
#[cfg(test)]
mod tests;

pub use capture::start;
pub use emptying::Emptied;
pub use files::FileSettings;
pub use handle::{Flushed, Log, WorkerLabel};
#[cfg(test)]
pub use line::Block;
pub use own::subscriber;
pub use own_file::{OwnFileSettings, StartError};
pub use recorder::RecordRule;
pub use ring::{About, Cursor, Found, Grep, Ring, Waiting};
pub use tail::Tail;

use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::model::{Overflow, Timestamp};
use crate::policy::Rate;

/// How long a record waits for its next line (RPM_LOG_MULTILINE). Longer than a program needs between two lines of a
/// stack trace, and short enough not to delay lines noticeably.
pub const RECORD_WAIT: Duration = Duration::from_millis(500);

/// Longest total wait of a record, so that lines which never match are not delayed without limit.
pub const RECORD_MOST: Duration = Duration::from_secs(3);

/// Format of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Byte for byte. Also used if the workers write to our stdout themselves and only the runtime's own lines pass
    /// here.
    #[default]
    Raw,
    /// `time [name:slot] line`; `time [name:slot+] rest` for the further pieces of a line above the limit.
    Prefix,
    /// One JSON object for each line, see [`json`].
    Json,
}

/// The stream of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
    /// Events that the worker sends over its channel ([`Log::insert`]). They are counted, labelled and written as lines
    /// of its stdout, where the program would have written them.
    Events,
}

/// Settings of the log, for [`start`].
#[derive(Debug, Default)]
pub struct LogSettings {
    /// Format of the lines.
    pub format: Format,
    /// Format of the time; raw lines have none.
    pub timestamp: Timestamp,
    /// Whether labels are coloured, because the output is a terminal.
    pub colour: bool,
    /// The application name in prefix and JSON format. Control characters become `?`.
    pub app_name: String,
    /// Longest line and longest record without the newline, bytes; 0 is taken as 1.
    pub max_line: usize,
    /// Most memory for lines that are not written yet, bytes.
    pub buffer: usize,
    /// What happens to lines if an output is too slow.
    pub overflow: Overflow,
    /// Which lines belong to one record.
    pub multiline: Option<RecordRule>,
    /// Most memory for the last lines, which can be read ([`Log::ring`]), bytes; 0: they are not kept.
    pub ring: usize,
    /// Limit of lines for each worker.
    pub rate: Option<Rate>,
    /// Output of all lines: a copy of descriptor 1. Its flags are not changed; it may be blocking or not.
    pub out: Option<OwnedFd>,
    /// Separate output for the workers' stderr and the runtime's own lines: a copy of descriptor 2.
    pub err: Option<OwnedFd>,
    /// Files that also get the lines.
    pub files: FileSettings,
    /// The file of the runtime's own lines.
    pub own_file: Option<OwnFileSettings>,
    /// The thread starts with the first line, because perhaps there is none.
    pub late: bool,
}

impl LogSettings {
    /// Default of RPM_LOG_MAX_LINE.
    pub const MAX_LINE: usize = 256 * 1024;
    /// Default of RPM_LOG_BUFFER.
    pub const BUFFER: usize = 8 * 1024 * 1024;
}
