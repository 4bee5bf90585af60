//! Every possible result of a request.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How a request failed. "Fresh" is a connection that has not carried an answer yet, "reused" one that has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// No process listens.
    Refused,
    /// Reset before the first byte of an answer.
    ResetFresh,
    ResetReused,
    /// Reset within the answer.
    ResetWithin,
    /// Closed in order before the first byte of an answer.
    ClosedFresh,
    ClosedReused,
    /// Closed in order within the answer.
    Truncated,
    /// An answer, but not to this request.
    WrongBody,
    WrongStatus,
    /// No connection or no complete answer within the client's time limit.
    Timeout,
    /// Anything else, such as no free port for the client.
    Other,
}

impl Kind {
    pub const ALL: [Self; 11] = [
        Self::Refused,
        Self::ResetFresh,
        Self::ResetReused,
        Self::ResetWithin,
        Self::ClosedFresh,
        Self::ClosedReused,
        Self::Truncated,
        Self::WrongBody,
        Self::WrongStatus,
        Self::Timeout,
        Self::Other,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::ResetFresh => "reset_fresh",
            Self::ResetReused => "reset_reused",
            Self::ResetWithin => "reset_within",
            Self::ClosedFresh => "closed_fresh",
            Self::ClosedReused => "closed_reused",
            Self::Truncated => "truncated",
            Self::WrongBody => "wrong_body",
            Self::WrongStatus => "wrong_status",
            Self::Timeout => "timeout",
            Self::Other => "other",
        }
    }

    /// The server cannot have answered any of it, and the connection was reused: every HTTP client resends such a
    /// request.
    pub const fn may_be_resent(self) -> bool {
        matches!(self, Self::ResetReused | Self::ClosedReused)
    }

    /// The connection ended during the request, as it does when the process that accepted it ends.
    pub const fn is_cut(self) -> bool {
        matches!(
            self,
            Self::ResetFresh
                | Self::ResetReused
                | Self::ResetWithin
                | Self::ClosedFresh
                | Self::ClosedReused
                | Self::Truncated
        )
    }

    /// The meaning of a connection error for a request that has received `answered` bytes so far.
    pub fn of(error: &io::Error, reused: bool, answered: usize) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Timeout,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => match answered {
                0 if reused => Self::ResetReused,
                0 => Self::ResetFresh,
                _ => Self::ResetWithin,
            },
            io::ErrorKind::UnexpectedEof => match answered {
                0 if reused => Self::ClosedReused,
                0 => Self::ClosedFresh,
                _ => Self::Truncated,
            },
            _ => Self::Other,
        }
    }
}

/// A failed request.
#[derive(Clone, Debug)]
pub struct Failure {
    pub kind: Kind,
    /// When it was noticed, since the start of the load.
    pub at: Duration,
    /// The client's address of the connection, if there was one.
    pub client: Option<SocketAddr>,
    /// A description for people.
    pub text: String,
}
