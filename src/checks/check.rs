//! Results of checks.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use super::client::TlsFault;

/// The result of one check of one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// The worker passed the check.
    Passed,
    /// The worker failed the check.
    Failed(Failure),
    /// The check could not be made, for a reason of the runtime that says nothing about the worker. Contains the
    /// reason.
    NotMade(String),
}

/// Why a worker failed a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No process listens.
    Refused,
    /// The connection was reset.
    Reset,
    /// The time limit passed.
    TimedOut {
        /// The step that was waited for.
        step: Step,
        /// The time limit of the whole check.
        limit: Duration,
    },
    /// An HTTP status other than 2xx and 3xx.
    Status(u16),
    /// The worker closed the connection without an answer.
    Closed,
    /// The answer is not HTTP/1; contains its first bytes, escaped.
    NotHttp(String),
    /// The answer exceeds the limit without a status.
    TooLong,
    /// It does not speak TLS with the runtime.
    Tls(TlsFault),
    /// Connections wait in the queue, and none was accepted.
    Stuck {
        /// How many wait.
        waiting: u32,
        /// For how long.
        limit: Duration,
    },
}

/// A step of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The connection: the kernel completes the handshake unless the accept queue is full.
    Connect,
    /// The worker calls `accept`.
    Accept,
    /// The TLS handshake.
    Handshake,
    /// The worker's answer.
    Answer,
    /// The complete body of the answer.
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
                Step::Handshake => write!(f, "no TLS handshake within {limit:?}"),
                Step::Answer => write!(f, "no answer within {limit:?}"),
                Step::Page => write!(f, "its answer was not complete within {limit:?}"),
            },
            Self::Status(status) => write!(f, "status {status}"),
            Self::Closed => f.write_str("it closed the connection without an answer"),
            Self::NotHttp(bytes) => write!(f, "the answer is not HTTP: \"{bytes}\""),
            Self::TooLong => f.write_str("no status in the first 64 KiB of the answer"),
            Self::Tls(fault) => fault.fmt(f),
            Self::Stuck { waiting, limit } => write!(
                f,
                "its queue did not move within {limit:?}, and {waiting} connections wait"
            ),
        }
    }
}

impl Error for Failure {}

impl Failure {
    /// Its text without bytes of the worker; and the first bytes that the worker answered, escaped, if they are why.
    pub fn parts(&self) -> (String, Option<&str>) {
        match self {
            Self::NotHttp(bytes) => ("the answer is not HTTP".to_owned(), Some(bytes)),
            Self::Tls(TlsFault::NotTls(bytes)) => ("the answer is not TLS".to_owned(), Some(bytes)),
            other => (other.to_string(), None),
        }
    }

    /// The failure that this error of a connection means.
    pub(crate) fn of(error: io::Error) -> Self {
        let inner = error.into_inner().and_then(|inner| inner.downcast().ok());
        inner.map_or(Self::Reset, |failure: Box<Self>| *failure)
    }
}

/// Why a check did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotPassed {
    Worker(Failure),
    Ours(String),
}

impl From<Failure> for NotPassed {
    fn from(failure: Failure) -> Self {
        Self::Worker(failure)
    }
}

impl NotPassed {
    /// No source port reaches the worker.
    pub fn no_target() -> Self {
        Self::Ours("it has no shared port on which it can be asked".to_owned())
    }

    /// The length of the worker's queue is unknown.
    pub fn no_queue() -> Self {
        Self::Ours("the length of its queue cannot be read".to_owned())
    }
}

impl From<Result<(), NotPassed>> for Check {
    fn from(result: Result<(), NotPassed>) -> Self {
        match result {
            Ok(()) => Self::Passed,
            Err(NotPassed::Worker(failure)) => Self::Failed(failure),
            Err(NotPassed::Ours(reason)) => Self::NotMade(reason),
        }
    }
}
