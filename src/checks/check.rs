//! What a check found.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// One check of one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// The worker does what was asked of it.
    Passed,
    /// It does not.
    Failed(Failure),
    /// It could not be asked, for a reason that is ours and says nothing about it: which.
    NotMade(String),
}

/// What is wrong with the worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody listens.
    Refused,
    /// The connection was reset.
    Reset,
    /// The time was over.
    TimedOut {
        /// What was waited for.
        step: Step,
        /// The time for the whole check.
        limit: Duration,
    },
    /// An HTTP status that is none of success.
    Status(u16),
    /// It closed the connection without an answer.
    Closed,
    /// The answer is not HTTP/1; its first bytes, escaped.
    NotHttp(String),
    /// More bytes than an answer may have before its status.
    TooLong,
    /// Connections wait in the queue, and none was accepted.
    Stuck {
        /// How many.
        waiting: u32,
        /// For how long.
        limit: Duration,
    },
}

/// What a check waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The kernel, which completes the handshake unless the accept queue is full.
    Connect,
    /// The worker's `accept`.
    Accept,
    /// Its answer.
    Answer,
    /// The end of its answer.
    Page,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::Reset => f.write_str("it reset the connection"),
            Self::TimedOut { step, limit } => match step {
                Step::Connect => write!(f, "no connection within {limit:?}, its queue is full"),
                Step::Accept => write!(f, "it did not accept a connection within {limit:?}"),
                Step::Answer => write!(f, "no answer within {limit:?}"),
                Step::Page => write!(f, "its answer was not whole within {limit:?}"),
            },
            Self::Status(status) => write!(f, "status {status}"),
            Self::Closed => f.write_str("it closed the connection without an answer"),
            Self::NotHttp(bytes) => write!(f, "the answer is not HTTP: \"{bytes}\""),
            Self::TooLong => f.write_str("no status in the first 64 KiB of the answer"),
            Self::Stuck { waiting, limit } => write!(
                f,
                "its queue did not move within {limit:?}, and {waiting} connections wait"
            ),
        }
    }
}

impl Error for Failure {}

/// Why a check did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Worker(Failure),
    Ours(String),
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Worker(failure)
    }
}

impl Fault {
    /// There is no source port that reaches the worker.
    pub fn no_target() -> Self {
        Self::Ours("it has no shared port on which it can be asked".to_owned())
    }

    /// The length of its queue is not known.
    pub fn no_queue() -> Self {
        Self::Ours("the length of its queue cannot be read".to_owned())
    }
}

impl From<Result<(), Fault>> for Check {
    fn from(result: Result<(), Fault>) -> Self {
        match result {
            Ok(()) => Self::Passed,
            Err(Fault::Worker(failure)) => Self::Failed(failure),
            Err(Fault::Ours(reason)) => Self::NotMade(reason),
        }
    }
}
