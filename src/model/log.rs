//! What the log has done, in numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::SlotId;

/// Where a line comes from.
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
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Stdout, Self::Stderr, Self::Runtime];

    /// As metrics and JSON name it.
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
    /// The output refused it: nobody reads, or there is no room.
    Closed,
    /// A line of the runtime, while the output was stuck.
    OwnQueueFull,
}

impl LossReason {
    /// Each of them.
    pub const ALL: [Self; 4] = [
        Self::BufferFull,
        Self::RateLimit,
        Self::Closed,
        Self::OwnQueueFull,
    ];

    /// As metrics name it.
    pub fn label(self) -> &'static str {
        match self {
            Self::BufferFull => "buffer_full",
            Self::RateLimit => "rate_limit",
            Self::Closed => "closed",
            Self::OwnQueueFull => "own_queue_full",
        }
    }

    /// Whether lines from there can be lost for this reason.
    pub fn applies_to(self, origin: LogOrigin) -> bool {
        match self {
            Self::BufferFull | Self::Closed => true,
            Self::RateLimit => origin != LogOrigin::Runtime,
            Self::OwnQueueFull => origin == LogOrigin::Runtime,
        }
    }
}

/// Why a log file did not get a line. These lines are counted apart: other outputs have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileLossReason {
    /// RPM_LOG_OVERFLOW=drop, and the file did not keep up.
    BufferFull,
    /// The file could not be written.
    WriteError,
}

/// A value for each [`LogOrigin`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerOrigin<T> {
    /// Of [`LogOrigin::Stdout`].
    pub stdout: T,
    /// Of [`LogOrigin::Stderr`].
    pub stderr: T,
    /// Of [`LogOrigin::Runtime`].
    pub runtime: T,
}

impl<T> PerOrigin<T> {
    /// The value of one.
    pub fn of(&self, origin: LogOrigin) -> &T {
        match origin {
            LogOrigin::Stdout => &self.stdout,
            LogOrigin::Stderr => &self.stderr,
            LogOrigin::Runtime => &self.runtime,
        }
    }

    /// With a function of each value.
    pub fn map<U>(&self, mut function: impl FnMut(&T) -> U) -> PerOrigin<U> {
        PerOrigin {
            stdout: function(&self.stdout),
            stderr: function(&self.stderr),
            runtime: function(&self.runtime),
        }
    }
}

/// Lost lines, a count for each [`LossReason`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses<T = u64> {
    /// Of [`LossReason::BufferFull`].
    pub buffer_full: T,
    /// Of [`LossReason::RateLimit`].
    pub rate_limit: T,
    /// Of [`LossReason::Closed`].
    pub closed: T,
    /// Of [`LossReason::OwnQueueFull`].
    pub own_queue_full: T,
}

impl<T> Losses<T> {
    /// The count of one.
    pub fn of(&self, reason: LossReason) -> &T {
        match reason {
            LossReason::BufferFull => &self.buffer_full,
            LossReason::RateLimit => &self.rate_limit,
            LossReason::Closed => &self.closed,
            LossReason::OwnQueueFull => &self.own_queue_full,
        }
    }

    /// The count of one, to be changed.
    pub fn of_mut(&mut self, reason: LossReason) -> &mut T {
        match reason {
            LossReason::BufferFull => &mut self.buffer_full,
            LossReason::RateLimit => &mut self.rate_limit,
            LossReason::Closed => &mut self.closed,
            LossReason::OwnQueueFull => &mut self.own_queue_full,
        }
    }

    /// With a function of each count.
    pub fn map<U>(&self, mut function: impl FnMut(&T) -> U) -> Losses<U> {
        Losses {
            buffer_full: function(&self.buffer_full),
            rate_limit: function(&self.rate_limit),
            closed: function(&self.closed),
            own_queue_full: function(&self.own_queue_full),
        }
    }
}

/// Lines that log files did not get, a count for each [`FileLossReason`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileLosses<T = u64> {
    /// Of [`FileLossReason::BufferFull`].
    pub buffer_full: T,
    /// Of [`FileLossReason::WriteError`].
    pub write_error: T,
}

/// Rotations of log files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotations<T = u64> {
    /// That were done.
    pub success: T,
    /// That were not.
    pub failure: T,
}

/// What the log has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogTotals {
    /// Lines written.
    pub lines: PerOrigin<u64>,
    /// Bytes written.
    pub bytes: PerOrigin<u64>,
    /// Lines given up.
    pub dropped: PerOrigin<Losses>,
    /// Lines given up, by worker; workers without any are left out.
    pub workers: BTreeMap<SlotId, Losses>,
    /// Lines longer than the limit, passed in pieces.
    pub split: u64,
    /// Bytes read and not yet written.
    pub buffer: u64,
    /// RPM_LOG_BUFFER.
    pub buffer_limit: u64,
    /// How long writes waited for a reader.
    pub blocked: Duration,
    /// Lines that files did not get.
    pub files: FileLosses,
    /// Rotations of files.
    pub rotations: Rotations,
}

impl LogTotals {
    /// Lines that an output did not get though they were meant for it: all but those of RPM_LOG_RATE.
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

    /// By [`LogOrigin::ALL`].
    impl<T> From<[T; 3]> for PerOrigin<T> {
        fn from([stdout, stderr, runtime]: [T; 3]) -> Self {
            Self {
                stdout,
                stderr,
                runtime,
            }
        }
    }

    /// By [`LossReason::ALL`].
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
