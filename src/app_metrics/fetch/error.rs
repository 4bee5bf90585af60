//! Why a page could not be fetched.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use crate::checks::client::shown;
use crate::checks::{Failure, NotPassed};

use super::redirect;

/// What the user can do if there are no metrics over plain HTTP on a shared port.
const INSTEAD: &str = "RPM_APP_METRICS can name a plain port as :PORT/path, or be multiproc";

/// Longest untrusted text to show, bytes.
const SHOWN: usize = 64;

/// Why a page could not be fetched. Its text is one short line. The worker is at fault, unless the text begins with
/// "not asked".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// The worker could not be asked, for a reason of the runtime that says nothing about the worker. Contains the
    /// reason.
    NotAsked(String),
    /// The worker did not answer, or not with a page.
    Worker(Failure),
    /// The port speaks TLS; contains the answer that shows it.
    Tls(Failure),
    /// The answer is a redirect.
    Redirect(Redirect),
    /// The head of the answer is too long.
    Head,
    /// The answer is not valid HTTP; contains the violated rule, escaped.
    Garbled(String),
    /// The connection ended before the answer was complete.
    Cut,
    /// The page is too long, compressed or decompressed.
    TooLong {
        /// The limit, bytes.
        most: usize,
    },
    /// The page arrived in far too many pieces.
    Crumbs,
    /// The page has an encoding that was not requested; contains its name, escaped.
    Encoding(String),
    /// The page cannot be decompressed; contains the reason.
    Packed(String),
}

/// A redirect that was not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The HTTP status.
    status: u16,
    /// The target; empty if there is none.
    to: Vec<u8>,
    /// It came after one that was followed.
    pub(super) is_second: bool,
}

impl Redirect {
    pub(super) fn new(status: u16, to: &[u8]) -> Self {
        let (to, is_second) = (to.to_vec(), false);
        Self {
            status,
            to,
            is_second,
        }
    }

    /// The path to ask for instead of `asked`, if it stays on the port that was asked.
    pub(super) fn path_here(&self, asked: &str, addr: SocketAddr) -> Option<String> {
        let moved = redirect::is_moved(self.status);
        moved.then(|| redirect::path_here(&self.to, asked, addr))?
    }
}

impl fmt::Display for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            status,
            to,
            is_second,
        } = self;
        write!(f, "status {status}: ")?;
        f.write_str(if *is_second {
            "a second redirect"
        } else {
            "a redirect"
        })?;
        if !to.is_empty() {
            write!(f, " to \"{}\"", shown(to, SHOWN))?;
        }
        f.write_str(match (is_second, to.is_empty()) {
            (_, true) => " that names no other path",
            (true, _) => ", only one is followed",
            (false, _) => {
                ", only one to another path of the same host and port over http is followed"
            }
        })?;
        f.write_str("; RPM_APP_METRICS has to name the path of the metrics")
    }
}

impl From<Redirect> for FetchError {
    fn from(redirect: Redirect) -> Self {
        Self::Redirect(redirect)
    }
}

impl FetchError {
    /// Whether the reason lies in the runtime and says nothing about the worker.
    #[cfg(test)]
    pub(super) fn is_ours(&self) -> bool {
        matches!(self, Self::NotAsked(_))
    }

    pub(super) fn encoding(encoding: &[u8]) -> Self {
        Self::Encoding(shown(encoding, SHOWN))
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked(reason) => write!(f, "not asked: {reason}"),
            Self::Worker(Failure::Status(404)) => {
                f.write_str("status 404: RPM_APP_METRICS has to name the path of the metrics")
            }
            // OpenSSL answers like this to a request without TLS.
            Self::Worker(failure @ (Failure::Closed | Failure::Reset)) => {
                write!(f, "{failure}; if the port speaks TLS: {INSTEAD}")
            }
            Self::Worker(failure) => failure.fmt(f),
            Self::Tls(failure) => write!(f, "{failure}: the port speaks TLS; {INSTEAD}"),
            Self::Redirect(redirect) => redirect.fmt(f),
            Self::Head => f.write_str("the head of its answer is too long"),
            Self::Garbled(rule) => write!(f, "its answer is not valid HTTP: {rule}"),
            Self::Cut => f.write_str("the connection ended before its answer was complete"),
            Self::TooLong { most } => write!(f, "its page is longer than {most} bytes"),
            Self::Crumbs => f.write_str("its page comes in too many pieces"),
            Self::Encoding(name) => {
                write!(
                    f,
                    "its page is encoded with \"{name}\", only gzip was requested"
                )
            }
            Self::Packed(reason) => write!(f, "its page cannot be decompressed: {reason}"),
        }
    }
}

impl Error for FetchError {}

impl From<Failure> for FetchError {
    fn from(failure: Failure) -> Self {
        match &failure {
            Failure::NotHttp(bytes) if is_tls(bytes) => Self::Tls(failure),
            _ => Self::Worker(failure),
        }
    }
}

impl From<NotPassed> for FetchError {
    fn from(fault: NotPassed) -> Self {
        match fault {
            NotPassed::Worker(failure) => failure.into(),
            NotPassed::Ours(reason) => Self::NotAsked(reason),
        }
    }
}

impl From<hyper::Error> for FetchError {
    fn from(error: hyper::Error) -> Self {
        let cause = error.source().and_then(|cause| cause.downcast_ref());
        let cause: Option<&io::Error> = cause;
        let failure = cause.and_then(io::Error::get_ref);
        if let Some(failure) = failure.and_then(|inner| inner.downcast_ref::<Failure>()) {
            return failure.clone().into();
        }
        match cause {
            _ if error.is_parse_too_large() => Self::Head,
            _ if error.is_parse() => Self::Garbled(error.to_string()),
            _ if error.is_user() || error.is_canceled() => Self::NotAsked(error.to_string()),
            Some(cause) if is_of_form(cause) => {
                Self::Garbled(shown(cause.to_string().as_bytes(), SHOWN))
            }
            _ => Self::Cut,
        }
    }
}

/// Whether the chunks of the body are malformed.
fn is_of_form(error: &io::Error) -> bool {
    let kinds = [ErrorKind::InvalidInput, ErrorKind::InvalidData];
    kinds.contains(&error.kind())
}

/// Whether the answer is an alert or a handshake of TLS; perhaps only its first byte has arrived. `shown` is escaped,
/// so a real backslash appears as two.
fn is_tls(shown: &str) -> bool {
    ["\\x15", "\\x16"].into_iter().any(|record| {
        let version = shown.strip_prefix(record);
        version.is_some_and(|rest| rest.is_empty() || rest.starts_with("\\x03"))
    })
}
