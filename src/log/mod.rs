//! One stream out of the output of all workers, and the runtime's own lines in it.
//!
//! One thread, `log`, reads every worker's pipes, splits them into lines and is the only writer of stdout. If stdout is
//! stuck, that thread stands in its write, the pipes fill and the workers wait, as they would if stdout were theirs;
//! nothing is lost and nobody else notices. Everybody else holds a [`Log`], whose calls never wait for stdout
//! ([`Log::flush`] excepted, as long as it is told to).
//!
//! - A record ends at `\n`. Lines that were read together go out together, so a stack trace stays in one piece.
//! - What follows the last newline is held until its own, the end of the stream or the last flush; both add a newline.
//! - A line above the limit passes in pieces, cut before a UTF-8 character, each with a newline. [`Format::Prefix`]
//!   marks all but the first with a `+`; [`Format::Raw`] has no place for a mark.
//! - Bytes are never changed: bad UTF-8, NUL, carriage returns and colours pass.
#![forbid(unsafe_code)]

mod capture;
mod handle;
pub mod line;
mod own;
mod sink;
mod tail;
#[cfg(test)]
mod tests;

pub use capture::start;
pub use handle::{Flushed, Log};
pub use own::subscriber;
pub use tail::Tail;

use std::os::fd::OwnedFd;

/// What a worker's line looks like on its way out. The runtime's own lines look the same in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Byte for byte. Also right if the workers write to our stdout themselves and only own lines pass here.
    #[default]
    Raw,
    /// `[name:slot] line`; `[name:slot+] rest` for the further pieces of a line that was too long.
    Prefix,
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
#[derive(Debug)]
pub struct Settings {
    /// What a worker's line looks like.
    pub format: Format,
    /// The name in the prefix. Control characters become `?`.
    pub app_name: String,
    /// The longest line, without its newline; 0 is taken as 1.
    pub max_line: usize,
    /// Where everything goes: a copy of descriptor 1. Its flags are left alone, it may block or not.
    pub out: OwnedFd,
}

impl Settings {
    /// Lines pass whole up to here (RPM_LOG_MAX_LINE).
    pub const MAX_LINE: usize = 256 * 1024;
}
