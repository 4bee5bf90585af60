//! RPM_APP_METRICS and what belongs to it: where the metrics of workers are, and how often they are collected.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use super::distance::nearest;
use super::env::Raw;
use super::faults::{Wrong, quote};
use super::gauges::gauges;
use super::health;
use super::parse;
use super::resolve::{Input, Reader};
use crate::model::Aggregation;

/// Where prometheus_client of Python looks for the directory of its files.
pub const MULTIPROC_DIR: &str = "PROMETHEUS_MULTIPROC_DIR";

const SOURCES: &str =
    "off, a path such as /metrics, :PORT/PATH such as :9100/metrics, or multiproc";

/// The shortest RPM_APP_METRICS_INTERVAL that is not 0.
const SHORTEST: Duration = Duration::from_secs(1);

const INTERVALS: &str =
    "a whole number with a unit, such as 5s or 1m, from 1s to 24h; 0 collects at each scrape only";

/// RPM_APP_METRICS and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppMetrics {
    /// Where they are; `None` is `off`.
    pub source: Option<MetricsSource>,
    /// RPM_APP_METRICS_GAUGES: patterns as they were written, each good for the merger; the first that matches counts.
    pub gauges: Vec<(String, Aggregation)>,
    /// RPM_APP_METRICS_INTERVAL; `None` (written 0): when somebody asks for them, and at no other time.
    pub interval: Option<Duration>,
}

/// RPM_APP_METRICS, unless it is `off`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsSource {
    /// Every worker is asked by itself. There are shared ports then.
    Path {
        /// The shared port; `None` is the first.
        port: Option<NonZeroU16>,
        /// Begins with `/`.
        path: String,
    },
    /// The files of prometheus_client.
    Multiproc {
        /// PROMETHEUS_MULTIPROC_DIR of our own environment, as it stands there; `None` if it is unset or empty.
        dir: Option<PathBuf>,
    },
}

/// `AppMetrics` with every field in doubt.
#[derive(Default)]
#[expect(clippy::option_option, reason = "faulty, off and on are three")]
pub(super) struct Draft {
    pub(super) source: Option<Option<MetricsSource>>,
    gauges: Option<Vec<(String, Aggregation)>>,
    interval: Option<Option<Duration>>,
    /// MULTIPROC_DIR of our own environment.
    pub(super) dir: Option<PathBuf>,
}

impl Draft {
    pub(super) fn read(raw: &Raw, input: &Input<'_>, reader: &mut Reader) -> Self {
        let dir = dir(input);
        let draft = Self {
            source: reader.get("RPM_APP_METRICS", raw.app_metrics.as_ref(), |text| {
                source(text, dir.as_ref())
            }),
            gauges: reader
                .optional(
                    "RPM_APP_METRICS_GAUGES",
                    raw.app_metrics_gauges.as_ref(),
                    gauges,
                )
                .map(Option::unwrap_or_default),
            interval: reader.get(
                "RPM_APP_METRICS_INTERVAL",
                raw.app_metrics_interval.as_ref(),
                interval,
            ),
            dir,
        };
        if let Some(Some(MetricsSource::Multiproc { dir })) = &draft.source {
            let note = match dir {
                Some(dir) => format!("in {}, {MULTIPROC_DIR}", super::show::path(dir)),
                None => "in a directory of our own".to_owned(),
            };
            reader.notes.insert("RPM_APP_METRICS", note);
        }
        draft
    }

    pub(super) fn finish(self) -> Option<AppMetrics> {
        Some(AppMetrics {
            source: self.source?,
            gauges: self.gauges?,
            interval: self.interval?,
        })
    }
}

/// The first of several counts, as for getenv(3).
fn dir(input: &Input<'_>) -> Option<PathBuf> {
    let mut vars = input.vars.iter();
    let (_, value) = vars.find(|(name, _)| name.as_os_str() == MULTIPROC_DIR)?;
    (!value.is_empty()).then(|| PathBuf::from(value))
}

fn source(text: &str, dir: Option<&PathBuf>) -> Result<Option<MetricsSource>, Wrong> {
    let text = text.trim();
    let wrong = |what: String| Wrong::new(what, SOURCES);
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    if text.eq_ignore_ascii_case("multiproc") {
        return Ok(Some(MetricsSource::Multiproc { dir: dir.cloned() }));
    }
    let (port, path) = match text.strip_prefix(':') {
        Some(rest) => {
            let (port, path) = side_port(rest).map_err(wrong)?;
            (Some(port), path)
        }
        None if text.starts_with('/') => (None, text),
        None => return Err(wrong(complaint(text))),
    };
    match health::path_complaint(path) {
        Some(what) => Err(wrong(what)),
        None => Ok(Some(MetricsSource::Path {
            port,
            path: path.to_owned(),
        })),
    }
}

/// What stands behind the colon of `:PORT/PATH`.
fn side_port(text: &str) -> Result<(NonZeroU16, &str), String> {
    let (port, path) = text.split_at(text.find('/').unwrap_or(text.len()));
    if port.is_empty() {
        return Err("has no port behind the colon".to_owned());
    }
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{} is not a port", quote(port)));
    }
    let number = port
        .parse::<u16>()
        .map_err(|_| format!("the port {} is above 65535", quote(port)))?;
    let number = NonZeroU16::new(number).ok_or("names port 0, which is nobody's")?;
    if path.is_empty() {
        return Err(format!(
            "names a port without a path; with one it is :{number}/metrics"
        ));
    }
    Ok((number, path))
}

/// What is wrong with what is neither a word nor begins as a path or a port does.
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

/// RPM_APP_METRICS_INTERVAL.
fn interval(text: &str) -> Result<Option<Duration>, Wrong> {
    let wrong = |what: String| Wrong::new(what, INTERVALS);
    match parse::duration(text) {
        Ok(Duration::ZERO) => Ok(None),
        Ok(period) if period < SHORTEST => Err(wrong("is below 1s".to_owned())),
        Ok(period) => Ok(Some(period)),
        Err(other) => Err(wrong(other.what)),
    }
}

#[cfg(test)]
#[path = "app_metrics_tests.rs"]
mod tests;
