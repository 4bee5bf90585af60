//! What a client that asks for metrics wishes, from its headers.

use std::pin::Pin;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};

/// How long Prometheus waits for the answer, as it tells since 2.0.
const TIMEOUT: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// How long that is taken to be if the client does not say.
const UNTOLD: Duration = Duration::from_secs(5);

/// Longest wait for workers, whatever the client says.
const LONGEST: Duration = Duration::from_mins(1);

const LEAST_MARGIN: Duration = Duration::from_millis(50);
const MOST_MARGIN: Duration = Duration::from_millis(500);

/// Which metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The workers' and the runtime's: `/metrics`.
    #[default]
    All,
    /// The runtime's alone: `/metrics/runtime`.
    Runtime,
}

/// What a client said of the page it wants; headers as they were sent, several of a name joined, `None` if there was
/// none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// By the path.
    pub scope: Scope,
    /// `Accept`.
    pub accept: Option<String>,
    /// `Accept-Encoding`.
    pub accept_encoding: Option<String>,
    /// So long workers may be waited for: `X-Prometheus-Scrape-Timeout-Seconds`, less the margin.
    pub within: Duration,
    /// What all the rest may take.
    pub margin: Duration,
}

/// A metrics page in the form that was wished for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsPage {
    /// Its Content-Type.
    pub content_type: &'static str,
    /// Whether it is packed.
    pub gzip: bool,
    /// It.
    pub body: Vec<u8>,
}

/// A metrics page that is being made.
pub type Making = Pin<Box<dyn Future<Output = MetricsPage>>>;

impl Wishes {
    pub(super) fn of(scope: Scope, headers: &HeaderMap) -> Self {
        let timeout = headers.get(TIMEOUT).and_then(|value| value.to_str().ok());
        let (within, margin) = divided(timeout);
        Self {
            scope,
            accept: joined(headers, &ACCEPT),
            accept_encoding: joined(headers, &ACCEPT_ENCODING),
            within,
            margin,
        }
    }
}

/// All of that name as the list that they are together; what is no text is left out.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let found = headers.get_all(name).iter();
    let texts: Vec<&str> = found.filter_map(|value| value.to_str().ok()).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// The time for the workers, and a tenth of it all for the way, for writing and packing.
fn divided(timeout: Option<&str>) -> (Duration, Duration) {
    let seconds = timeout.and_then(|text| text.trim().parse().ok());
    let told = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let all = told.filter(|told| !told.is_zero()).unwrap_or(UNTOLD);
    let margin = (all / 10).clamp(LEAST_MARGIN, MOST_MARGIN);
    (all.saturating_sub(margin).min(LONGEST), margin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_waited_for_as_long_as_the_client_waits_less_a_margin() {
        let millis = |text| {
            let (within, margin) = divided(Some(text));
            (within.as_millis(), margin.as_millis())
        };
        assert_eq!(millis("10"), (9500, 500));
        assert_eq!(millis("10.000000"), (9500, 500));
        assert_eq!(millis("1"), (900, 100));
        assert_eq!(millis(" 0.2 "), (150, 50));
        assert_eq!(millis("0.01"), (0, 50));
        assert_eq!(millis("100000"), (60_000, 500));
        let untold = divided(None);
        assert_eq!(untold.0 + untold.1, UNTOLD);
        for nonsense in ["", "soon", "-1", "NaN", "inf", "1e300", "0", "10s"] {
            assert_eq!(divided(Some(nonsense)), untold, "{nonsense}");
        }
    }
}
