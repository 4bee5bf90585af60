//! What a worker is asked over HTTP.

use std::fmt;

/// How a worker is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// As it is written in settings and log lines.
    pub fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A page of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// How it is asked for.
    pub scheme: Scheme,
    /// Begins with `/`.
    pub path: String,
}

impl Page {
    /// The page of this path.
    pub fn new(scheme: Scheme, path: &str) -> Self {
        Self {
            scheme,
            path: path.to_owned(),
        }
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme.word(), self.path)
    }
}
