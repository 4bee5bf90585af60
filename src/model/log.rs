//! How the log is written, and counts of what it has done.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::{SlotId, Word};

/// The origin of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogOrigin {
    /// Descriptor 1 of a worker.
    Stdout,
    /// Descriptor 2 of a worker.
    Stderr,
    /// The runtime itself.
    Runtime,
}

impl LogOrigin {
    /// All origins.
    pub const ALL: [Self; 3] = [Self::Stdout, Self::Stderr, Self::Runtime];

    /// The name in metrics and JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Runtime => "runtime",
        }
    }
}

/// Why an output did not get a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReason {
    /// RPM_LOG_OVERFLOW=drop, and the output did not keep up.
    BufferFull,
    /// RPM_LOG_RATE.
    RateLimit,
    /// The output refused the line: it has no reader or no space.
    Closed,
    /// A line of the runtime, while the output was stuck.
    OwnQueueFull,
}

impl LossReason {
    /// All reasons.
    pub const ALL: [Self; 4] = [
        Self::BufferFull,
        Self::RateLimit,
        Self::Closed,
        Self::OwnQueueFull,
    ];

    /// The name in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::BufferFull => "buffer_full",
            Self::RateLimit => "rate_limit",
            Self::Closed => "closed",
            Self::OwnQueueFull => "own_queue_full",
        }
    }

    /// Whether lines of this origin can be lost for this reason.
    pub fn applies_to(self, origin: LogOrigin) -> bool {
        match self {
            Self::BufferFull | Self::Closed => true,
            Self::RateLimit => origin != LogOrigin::Runtime,
            Self::OwnQueueFull => origin == LogOrigin::Runtime,
        }
    }
}

/// Why a log file did not get a line. These lines are counted separately, because other outputs got them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileLossReason {
    /// RPM_LOG_OVERFLOW=drop, and the file did not keep up.
    BufferFull,
    /// The file could not be written.
    WriteError,
}

/// One value for each [`LogOrigin`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerOrigin<T> {
    /// The value of [`LogOrigin::Stdout`].
    pub stdout: T,
    /// The value of [`LogOrigin::Stderr`].
    pub stderr: T,
    /// The value of [`LogOrigin::Runtime`].
    pub runtime: T,
}

impl<T> PerOrigin<T> {
    /// The value of `origin`.
    pub fn of(&self, origin: LogOrigin) -> &T {
        match origin {
            LogOrigin::Stdout => &self.stdout,
            LogOrigin::Stderr => &self.stderr,
            LogOrigin::Runtime => &self.runtime,
        }
    }

    /// Applies a function to each value.
    pub fn map<U>(&self, mut function: impl FnMut(&T) -> U) -> PerOrigin<U> {
        PerOrigin {
            stdout: function(&self.stdout),
            stderr: function(&self.stderr),
            runtime: function(&self.runtime),
        }
    }
}

/// Numbers of lost lines, one for each [`LossReason`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses<T = u64> {
    /// The number for [`LossReason::BufferFull`].
    pub buffer_full: T,
    /// The number for [`LossReason::RateLimit`].
    pub rate_limit: T,
    /// The number for [`LossReason::Closed`].
    pub closed: T,
    /// The number for [`LossReason::OwnQueueFull`].
    pub own_queue_full: T,
}

impl<T> Losses<T> {
    /// The number for `reason`.
    pub fn of(&self, reason: LossReason) -> &T {
        match reason {
            LossReason::BufferFull => &self.buffer_full,
            LossReason::RateLimit => &self.rate_limit,
            LossReason::Closed => &self.closed,
            LossReason::OwnQueueFull => &self.own_queue_full,
        }
    }

    /// As [`Self::of`], mutable.
    pub fn of_mut(&mut self, reason: LossReason) -> &mut T {
        match reason {
            LossReason::BufferFull => &mut self.buffer_full,
            LossReason::RateLimit => &mut self.rate_limit,
            LossReason::Closed => &mut self.closed,
            LossReason::OwnQueueFull => &mut self.own_queue_full,
        }
    }

    /// Applies a function to each number.
    pub fn map<U>(&self, mut function: impl FnMut(&T) -> U) -> Losses<U> {
        Losses {
            buffer_full: function(&self.buffer_full),
            rate_limit: function(&self.rate_limit),
            closed: function(&self.closed),
            own_queue_full: function(&self.own_queue_full),
        }
    }
}

/// Numbers of lines that log files did not get, one for each [`FileLossReason`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileLosses<T = u64> {
    /// The number for [`FileLossReason::BufferFull`].
    pub buffer_full: T,
    /// The number for [`FileLossReason::WriteError`].
    pub write_error: T,
}

/// Numbers of rotations of log files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotations<T = u64> {
    /// Successful rotations.
    pub success: T,
    /// Failed rotations.
    pub failure: T,
}

/// What the log has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogTotals {
    /// Lines written.
    pub lines: PerOrigin<u64>,
    /// Bytes written.
    pub bytes: PerOrigin<u64>,
    /// Dropped lines.
    pub dropped: PerOrigin<Losses>,
    /// Dropped lines by worker; workers without dropped lines are left out.
    pub workers: BTreeMap<SlotId, Losses>,
    /// Lines longer than the limit, written in pieces.
    pub split: u64,
    /// Bytes that were read and are not written yet.
    pub buffer: u64,
    /// RPM_LOG_BUFFER.
    pub buffer_limit: u64,
    /// How long writes were blocked by a slow reader.
    pub blocked: Duration,
    /// Lines that files did not get.
    pub files: FileLosses,
    /// Lines that RPM_LOG_OWN_FILE did not get.
    pub own_file: FileLosses,
    /// Rotations of files.
    pub rotations: Rotations,
}

impl LogTotals {
    /// Lines that an output should have got but did not get: all lost lines except those of RPM_LOG_RATE.
    pub fn unwritten(&self) -> u64 {
        let lost = |losses: &Losses| losses.buffer_full + losses.closed + losses.own_queue_full;
        LogOrigin::ALL
            .map(|origin| lost(self.dropped.of(origin)))
            .iter()
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the order of [`LogOrigin::ALL`].
    impl<T> From<[T; 3]> for PerOrigin<T> {
        fn from([stdout, stderr, runtime]: [T; 3]) -> Self {
            Self {
                stdout,
                stderr,
                runtime,
            }
        }
    }

    /// In the order of [`LossReason::ALL`].
    impl From<[u64; 4]> for Losses {
        fn from([buffer_full, rate_limit, closed, own_queue_full]: [u64; 4]) -> Self {
            Self {
                buffer_full,
                rate_limit,
                closed,
                own_queue_full,
            }
        }
    }

    impl From<[[u64; 4]; 3]> for PerOrigin<Losses> {
        fn from(losses: [[u64; 4]; 3]) -> Self {
            losses.map(Losses::from).into()
        }
    }

    impl From<[u64; 2]> for FileLosses {
        fn from([buffer_full, write_error]: [u64; 2]) -> Self {
            Self {
                buffer_full,
                write_error,
            }
        }
    }

    impl From<[u64; 2]> for Rotations {
        fn from([success, failure]: [u64; 2]) -> Self {
            Self { success, failure }
        }
    }

    #[test]
    fn what_a_rate_held_back_was_not_meant_for_the_output() {
        let totals = LogTotals {
            dropped: [[1, 20, 300, 0], [0, 4000, 0, 0], [0, 0, 0, 50000]].into(),
            ..LogTotals::default()
        };
        assert_eq!(totals.unwritten(), 50301);
    }
}

/// RPM_LOG_OVERFLOW: what happens to lines when the reader of the output is too slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The workers wait for the reader.
    #[default]
    Block,
    /// Whole lines are dropped and counted.
    Drop,
}

impl Word for Overflow {
    const ALL: &'static [Self] = &[Self::Block, Self::Drop];

    fn word(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Drop => "drop",
        }
    }
}

/// RPM_LOG_MULTILINE: a language whose stack traces are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Tracebacks, also chained ones and groups.
    Python,
    /// Traces of the JVM with their causes, and java.util.logging.
    Java,
    /// Errors that are printed or that nobody catches.
    Node,
    /// Panics and dumps of goroutines.
    Go,
    /// Errors with their causes.
    Ruby,
}

impl Word for Language {
    const ALL: &'static [Self] = &[Self::Python, Self::Java, Self::Node, Self::Go, Self::Ruby];

    fn word(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Java => "java",
            Self::Node => "node",
            Self::Go => "go",
            Self::Ruby => "ruby",
        }
    }
}

/// RPM_LOG_TIMESTAMP: how the time of a line is written, always in UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Timestamp {
    /// No time.
    #[default]
    None,
    /// `2026-11-22T04:40:12.345Z`.
    Rfc3339,
    /// What chrono's `strftime` makes of this pattern. A pattern that chrono cannot format is written as
    /// [`Timestamp::Rfc3339`]; the configuration lets none through.
    Pattern(String),
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Rfc3339 => "rfc3339",
            Self::Pattern(text) => text,
        })
    }
}
