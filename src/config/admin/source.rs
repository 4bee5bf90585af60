//! RPM_APP_METRICS: the source of the program's metrics.

use std::fmt;
use std::num::NonZeroU16;
use std::path::PathBuf;

use crate::config::faults::{Wrong, quote};
use crate::config::grammar::{is, path_complaint, port_number};
use crate::config::nearest::nearest;

const SOURCES: &str =
    "off, a path such as /metrics, :PORT/PATH such as :9100/metrics, or multiproc";

/// RPM_APP_METRICS, unless it is `off`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsSource {
    /// Each worker is asked separately. This needs shared ports.
    Path {
        /// The shared port; `None` is the first one.
        port: Option<NonZeroU16>,
        /// Begins with `/`.
        path: String,
    },
    /// The files of prometheus_client.
    Multiproc {
        /// PROMETHEUS_MULTIPROC_DIR of the runtime's own environment, as written; `None` if it is unset or empty.
        dir: Option<PathBuf>,
    },
}

impl fmt::Display for MetricsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Multiproc { .. } => f.write_str("multiproc"),
            Self::Path { port: None, path } => f.write_str(path),
            Self::Path {
                port: Some(port),
                path,
            } => write!(f, ":{port}{path}"),
        }
    }
}

/// Parses RPM_APP_METRICS. The directory of `multiproc` is another variable.
pub(super) fn source(text: &str) -> Result<Option<MetricsSource>, Wrong> {
    let text = text.trim();
    let wrong = |what: String| Wrong::new(what, SOURCES);
    if is(text, "off") {
        return Ok(None);
    }
    if is(text, "multiproc") {
        return Ok(Some(MetricsSource::Multiproc { dir: None }));
    }
    let (port, path) = match text.strip_prefix(':') {
        Some(rest) => {
            let (port, path) = side_port(rest).map_err(wrong)?;
            (Some(port), path)
        }
        None if text.starts_with('/') => (None, text),
        None => return Err(wrong(complaint(text))),
    };
    match path_complaint(path) {
        Some(what) => Err(wrong(what)),
        None => Ok(Some(MetricsSource::Path {
            port,
            path: path.to_owned(),
        })),
    }
}

/// Parses the text after the colon of `:PORT/PATH`.
fn side_port(text: &str) -> Result<(NonZeroU16, &str), String> {
    let (port, path) = text.split_at(text.find('/').unwrap_or(text.len()));
    let number = port_number(port)?;
    if path.is_empty() {
        return Err(format!(
            "names a port without a path; with one it is :{number}/metrics"
        ));
    }
    Ok((number, path))
}

/// The error for a text that is neither a known word nor a path nor a port.
fn complaint(text: &str) -> String {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    let (host, path) = text.split_at(text.find('/').unwrap_or(text.len()));
    if is(&["1", "true", "on", "yes"]) {
        "does not tell where the metrics are; for most programs that is /metrics".to_owned()
    } else if is(&["0", "false", "no", "none"]) {
        "is written off here".to_owned()
    } else if let Some((_, rest)) = text.split_once("://") {
        let path = rest.find('/').map_or("/metrics", |at| &rest[at..]);
        let path = quote(path);
        format!("is a whole URL; it is the worker that is asked, for a path, maybe {path}")
    } else if is_number(text) {
        format!("is a port without a path; with one it is :{text}/metrics")
    } else if is_number(host) {
        let text = quote(format!(":{text}"));
        format!("has no colon before the port; with one it is {text}")
    } else if let Some(path) = text.strip_prefix("http:").filter(|path| !path.is_empty()) {
        let path = quote(path);
        format!("is written as in RPM_HEALTH; here the path stands alone, {path}")
    } else if host.contains(':') {
        let path = quote(if path.is_empty() { "/metrics" } else { path });
        format!("names a host; it is the worker that is asked, for a path, maybe {path}")
    } else if let Some(word) = nearest(text, ["off", "multiproc"].into_iter()) {
        format!("does not begin with /; did you mean {word}?")
    } else {
        "does not begin with /".to_owned()
    }
}
