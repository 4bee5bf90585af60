//! Why there is no page.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

use super::answer::shown;
use super::check::{Failure, Fault};

/// What else there is than metrics by plain HTTP on a shared port.
const INSTEAD: &str = "RPM_APP_METRICS can name a plain port as :PORT/path, or be multiproc";

/// Longest foreign text that is shown, in bytes.
const SHOWN: usize = 64;

/// Why a page could not be fetched. Its text is one short line; the worker is to blame, unless it begins with "not asked".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageFault {
    /// It could not be asked, for a reason that is ours and says nothing about it: which.
    NotAsked(String),
    /// It did not answer, or not with a page.
    Worker(Failure),
    /// Its port speaks TLS: the answer that shows it.
    Tls(Failure),
    /// The page is elsewhere.
    Redirect {
        /// The HTTP status.
        status: u16,
        /// Where, escaped; empty if that is not said.
        to: String,
    },
    /// The head of its answer is longer than it may be.
    Head,
    /// Its answer is against the rules of HTTP: which, escaped.
    Garbled(String),
    /// The connection ended before the answer was whole.
    Cut,
    /// The page, packed or not, is longer than so many bytes.
    TooLong {
        /// The bound.
        most: usize,
    },
    /// The page comes in far too many pieces.
    Crumbs,
    /// It is packed in a way that was not asked for: which, escaped.
    Encoding(String),
    /// It cannot be unpacked: why.
    Packed(String),
}

impl PageFault {
    /// Whether the reason is ours, and says nothing about the worker.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::NotAsked(_))
    }

    pub(super) fn redirect(status: u16, to: &[u8]) -> Self {
        let to = shown(to, SHOWN);
        Self::Redirect { status, to }
    }

    pub(super) fn encoding(encoding: &[u8]) -> Self {
        Self::Encoding(shown(encoding, SHOWN))
    }
}

impl fmt::Display for PageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked(reason) => write!(f, "not asked: {reason}"),
            Self::Worker(Failure::Status(404)) => {
                f.write_str("status 404: RPM_APP_METRICS has to name the path of the metrics")
            }
            // How OpenSSL answers a request without TLS.
            Self::Worker(failure @ (Failure::Closed | Failure::Reset)) => {
                write!(f, "{failure}; if the port speaks TLS: {INSTEAD}")
            }
            Self::Worker(failure) => failure.fmt(f),
            Self::Tls(failure) => write!(f, "{failure}: the port speaks TLS; {INSTEAD}"),
            Self::Redirect { status, to } => {
                write!(f, "status {status}: redirects")?;
                if !to.is_empty() {
                    write!(f, " (to \"{to}\")")?;
                }
                f.write_str(
                    " are not followed, RPM_APP_METRICS has to name the path of the metrics",
                )
            }
            Self::Head => f.write_str("the head of its answer is too long"),
            Self::Garbled(rule) => write!(f, "its answer is not valid HTTP: {rule}"),
            Self::Cut => f.write_str("the connection ended before its answer was whole"),
            Self::TooLong { most } => write!(f, "its page is longer than {most} bytes"),
            Self::Crumbs => f.write_str("its page comes in too many pieces"),
            Self::Encoding(name) => {
                write!(
                    f,
                    "its page is packed with \"{name}\", and gzip was asked for"
                )
            }
            Self::Packed(reason) => write!(f, "its page cannot be unpacked: {reason}"),
        }
    }
}

impl Error for PageFault {}

impl From<Failure> for PageFault {
    fn from(failure: Failure) -> Self {
        match &failure {
            Failure::NotHttp(bytes) if is_tls(bytes) => Self::Tls(failure),
            _ => Self::Worker(failure),
        }
    }
}

impl From<Fault> for PageFault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Worker(failure) => failure.into(),
            Fault::Ours(reason) => Self::NotAsked(reason),
        }
    }
}

impl From<hyper::Error> for PageFault {
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

/// Whether the chunks of the body are not as they should be.
fn is_of_form(error: &io::Error) -> bool {
    let kinds = [ErrorKind::InvalidInput, ErrorKind::InvalidData];
    kinds.contains(&error.kind())
}

/// An alert or a handshake of TLS, of which perhaps only the first byte has come. As it is shown: what was a backslash is
/// two there.
fn is_tls(shown: &str) -> bool {
    ["\\x15", "\\x16"].into_iter().any(|record| {
        let version = shown.strip_prefix(record);
        version.is_some_and(|rest| rest.is_empty() || rest.starts_with("\\x03"))
    })
}
