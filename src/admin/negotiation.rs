//! What a client that asks for metrics accepts, from its headers.

use std::pin::Pin;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};

use crate::model::MetricsScope;

/// The scrape timeout, which Prometheus sends since 2.0.
const TIMEOUT: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// Used if the client does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for workers, whatever the client sends.
const MAX_WAIT: Duration = Duration::from_mins(1);

const MIN_MARGIN: Duration = Duration::from_millis(50);
const MAX_MARGIN: Duration = Duration::from_millis(500);

/// A request for metrics. Headers are as they were sent, several of a name joined; `None` if there was none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrapeRequest {
    /// From the path.
    pub scope: MetricsScope,
    /// `Accept`.
    pub accept: Option<String>,
    /// `Accept-Encoding`.
    pub accept_encoding: Option<String>,
    /// How long to wait for workers: `X-Prometheus-Scrape-Timeout-Seconds` minus the margin.
    pub within: Duration,
    /// Time for everything else.
    pub margin: Duration,
}

/// A metrics page in the format that was negotiated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsPage {
    /// The Content-Type.
    pub content_type: &'static str,
    /// Whether the body is compressed by gzip.
    pub gzip: bool,
    /// The body.
    pub body: Vec<u8>,
}

/// A metrics page that will be ready later.
pub type PendingPage = Pin<Box<dyn Future<Output = MetricsPage>>>;

impl ScrapeRequest {
    pub(super) fn of(scope: MetricsScope, headers: &HeaderMap) -> Self {
        let timeout = headers.get(TIMEOUT).and_then(|value| value.to_str().ok());
        let (within, margin) = split_timeout(timeout);
        Self {
            scope,
            accept: joined(headers, &ACCEPT),
            accept_encoding: joined(headers, &ACCEPT_ENCODING),
            within,
            margin,
        }
    }
}

/// All values of this header as one list. Values that are not text are left out.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let found = headers.get_all(name).iter();
    let texts: Vec<&str> = found.filter_map(|value| value.to_str().ok()).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// Splits the timeout: time for the workers, and a margin of a tenth for the network, for rendering and for
/// compression.
fn split_timeout(timeout: Option<&str>) -> (Duration, Duration) {
    let seconds = timeout.and_then(|text| text.trim().parse().ok());
    let asked = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let all = asked
        .filter(|asked| !asked.is_zero())
        .unwrap_or(DEFAULT_TIMEOUT);
    let margin = (all / 10).clamp(MIN_MARGIN, MAX_MARGIN);
    (all.saturating_sub(margin).min(MAX_WAIT), margin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_waited_for_as_long_as_the_client_waits_less_a_margin() {
        let millis = |text| {
            let (within, margin) = split_timeout(Some(text));
            (within.as_millis(), margin.as_millis())
        };
        assert_eq!(millis("10"), (9500, 500));
        assert_eq!(millis("10.000000"), (9500, 500));
        assert_eq!(millis("1"), (900, 100));
        assert_eq!(millis(" 0.2 "), (150, 50));
        assert_eq!(millis("0.01"), (0, 50));
        assert_eq!(millis("100000"), (60_000, 500));
        let default = split_timeout(None);
        assert_eq!(default.0 + default.1, DEFAULT_TIMEOUT);
        for nonsense in ["", "soon", "-1", "NaN", "inf", "1e300", "0", "10s"] {
            assert_eq!(split_timeout(Some(nonsense)), default, "{nonsense}");
        }
    }
}
