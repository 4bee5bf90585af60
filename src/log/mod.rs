//! One stream out of the output of all workers, and the runtime's own lines in it.
//!
//! One thread, `log`, reads every worker's pipes, splits them into lines and brings them to the outputs: stdout, stderr
//! if that is apart, and files. With [`Overflow::Block`] it writes itself: if stdout is stuck, that thread stands in its
//! write, the pipes fill and the workers wait, as they would if stdout were theirs; nothing is lost and nobody else
//! notices. With [`Overflow::Drop`] each output has a queue and a thread of its own. Everybody else holds a [`Log`],
//! whose calls never wait for an output ([`Log::flush`] excepted, as long as it is told to).
//!
//! - A record ends at `\n`. Lines that were read together go out together, so a stack trace stays in one piece.
//! - What follows the last newline is held until its own, the end of the stream or the last flush; both add a newline.
//! - A line above the limit passes in pieces, cut before a UTF-8 character, each with a newline, and marked where the
//!   format has a place for it. So does the largest of the lines that are held if all together take too much.
//! - In raw bytes are never changed: bad UTF-8, NUL, carriage returns and colours pass.

mod batch;
mod capture;
pub mod file;
mod files;
#[cfg(test)]
mod flow_tests;
mod format;
mod handle;
pub mod json;
mod limits;
pub mod line;
mod output;
mod outputs;
mod own;
mod paint;
mod queue;
mod record;
mod shared;
mod source;
mod stall;
pub mod stamp;
mod stream;
mod tail;
#[cfg(test)]
mod tests;

pub use capture::start;
pub use files::FileSettings;
pub use handle::{Flushed, Log, Worker};
pub use own::subscriber;
pub use tail::Tail;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use regex::bytes::Regex;

use crate::policy::Rate;

/// How long a record waits for one more line (RPM_LOG_MULTILINE): longer than a program takes between two lines of a
/// stack trace, shorter than anybody waits for a line.
pub const RECORD_WAIT: Duration = Duration::from_millis(500);

/// How long a record waits in all: lines that never match, one after the other, must not stay away for hours.
pub const RECORD_MOST: Duration = Duration::from_secs(3);

/// What a line looks like on its way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Byte for byte. Also right if the workers write to our stdout themselves and only own lines pass here.
    #[default]
    Raw,
    /// `time [name:slot] line`; `time [name:slot+] rest` for the further pieces of a line that was too long.
    Prefix,
    /// One object a line, see [`json`].
    Json,
}

/// What happens to lines that an output does not take fast enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The workers wait.
    #[default]
    Block,
    /// They are dropped and counted.
    Drop,
}

/// Where a worker's bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Its descriptor 1.
    Stdout,
    /// Its descriptor 2.
    Stderr,
}

/// What [`start`] needs to know.
#[derive(Debug, Default)]
pub struct Settings {
    /// What a line looks like.
    pub format: Format,
    /// How the time stands in it; raw has none.
    pub timestamp: stamp::Timestamp,
    /// Whether labels have colours: the output is a terminal.
    pub colour: bool,
    /// The name in prefix and JSON. Control characters become `?`.
    pub app_name: String,
    /// The longest line, and the longest record, without its newline, bytes; 0 is taken as 1.
    pub max_line: usize,
    /// The most that lines on their way may take, bytes.
    pub buffer: usize,
    /// Whether workers wait for the outputs.
    pub overflow: Overflow,
    /// What a record of several lines begins with.
    pub multiline: Option<Arc<Regex>>,
    /// How many lines of each worker pass.
    pub rate: Option<Rate>,
    /// Where everything goes: a copy of descriptor 1. Its flags are left alone, it may block or not.
    pub out: Option<OwnedFd>,
    /// Where the workers' stderr and the runtime's own lines go instead: a copy of descriptor 2.
    pub err: Option<OwnedFd>,
    /// Files that get the lines besides.
    pub files: FileSettings,
}

impl Settings {
    /// RPM_LOG_MAX_LINE if nobody set it.
    pub const MAX_LINE: usize = 256 * 1024;
    /// RPM_LOG_BUFFER if nobody set it.
    pub const BUFFER: usize = 8 * 1024 * 1024;
}
