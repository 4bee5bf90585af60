//! What `logs` asks for, and its items.

use serde::{Deserialize, Serialize};

/// Which lines are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The lines that come, too.
    #[serde(default)]
    pub follow: bool,
    /// Only so many of the last lines.
    #[serde(default)]
    pub lines: Option<u64>,
    /// Only those of this slot.
    #[serde(default)]
    pub slot: Option<u16>,
    /// Only what workers wrote to their standard error.
    #[serde(default)]
    pub stderr: bool,
    /// Only those of the last so many seconds.
    #[serde(default)]
    pub since: Option<u64>,
    /// Only those that have this text.
    #[serde(default)]
    pub grep: Option<String>,
}

/// Where a line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogSource {
    /// The standard output of a worker, or what it sends to its log by its Node channel.
    Stdout,
    /// The standard error of a worker.
    Stderr,
    /// The runtime.
    Runtime,
}

/// A line, or a record of several lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine<Text = String> {
    /// When it was read, in seconds since 1970.
    pub time: f64,
    /// The slot of the worker; null: the runtime.
    pub slot: Option<u16>,
    /// The process.
    pub pid: i32,
    /// Where it comes from.
    pub stream: LogSource,
    /// The text, without the newline at its end.
    pub text: Text,
    /// The rest of it is missing: it was too long to be kept.
    #[serde(default, skip_serializing_if = "is_not")]
    pub cut: bool,
    /// It goes on in the next item of the same stream and process.
    #[serde(default, skip_serializing_if = "is_not")]
    pub partial: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_not(flag: &bool) -> bool {
    !*flag
}
