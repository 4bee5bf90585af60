//! The admin endpoints, the program's metrics on them, and the file with the reason of the exit.

mod gauges;
mod source;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use source::MetricsSource;

use super::faults::Wrong;
use super::grammar::{absolute_path, duration, is};
use super::reader::{Reader, Value};
use super::setting::{Group, Preset, Setting};
use super::show;
use crate::model::{Aggregation, Word as _, worker_vars};

pub(super) const GROUP: Group = Group {
    title: "Administration",
    settings: &[
        &ADMIN_ADDR,
        &APP_METRICS,
        &APP_METRICS_GAUGES,
        &APP_METRICS_INTERVAL,
        &TERMINATION_LOG,
    ],
};

pub(super) const ADMIN_ADDR: Setting<Option<SocketAddr>> = Setting {
    name: "RPM_ADMIN_ADDR",
    default: Preset::Text("[::]:9464"),
    help: "metrics, probes, status; off",
    doc: "The address of the admin endpoints: metrics, probes and status. They are read-only and ask for no password. \
          `[::]` is every address, of IPv4 too; where the host has no IPv6, it is `0.0.0.0`. With port 0 the kernel chooses \
          a free port. `tcp://` before it is taken too, as Kubernetes writes it into the variables of a Service.",
    parse: admin_addr,
    show: show::or_off,
};

pub(super) const APP_METRICS: Setting<Option<MetricsSource>> = Setting {
    name: "RPM_APP_METRICS",
    default: Preset::Text("off"),
    help: "metrics of all workers, merged: /metrics, :PORT/PATH, multiproc; off",
    doc: "Shows the metrics of the program, of all workers together, in `/metrics` of the admin address. `/PATH` is asked \
          of each worker over the first shared port; `:PORT/PATH` over that shared port, for a program whose first port \
          speaks TLS; `multiproc` reads the files of Python's prometheus_client. See \
          [application-metrics.md](application-metrics.md).",
    parse: source::source,
    show: show::or_off,
};

const APP_METRICS_GAUGES: Setting<Vec<(String, Aggregation)>> = Setting {
    name: "RPM_APP_METRICS_GAUGES",
    default: Preset::Unset,
    help: "gauges as one: queue_*=sum,*_ratio=avg; max, min, last, worker, drop",
    doc: "How gauges of several workers become one series: `queue_*=sum,cache_ratio=avg`. The words are `sum`, `max`, \
          `min`, `last` (of the youngest worker), `avg`, `worker` (one series for each worker, as without an entry) and \
          `drop`. The first pattern that matches counts.",
    parse: gauges::gauges,
    show: |gauges| {
        let entry = |(pattern, aggregation): &(String, Aggregation)| {
            format!("{pattern}={}", aggregation.word())
        };
        show::list(gauges.iter().map(entry))
    },
};

const APP_METRICS_INTERVAL: Setting<Option<Duration>> = Setting {
    name: "RPM_APP_METRICS_INTERVAL",
    default: Preset::Text("5s"),
    help: "they are collected so often too, should a worker crash; 0: never",
    doc: "How often the metrics of workers are collected between scrapes: a crash costs at most what was counted since \
          then. `0` collects them at each scrape only.",
    parse: interval,
    show: |interval| show::duration(&interval.unwrap_or_default()),
};

const TERMINATION_LOG: Setting<PathBuf> = Setting {
    name: "RPM_TERMINATION_LOG",
    default: Preset::Text("/dev/termination-log"),
    help: "file for the reason of the end, if it exists",
    doc: "A file that gets the reason of the end, if the file exists. Kubernetes shows it in the status of the pod.",
    parse: absolute_path,
    show: show::path,
};

/// The settings of the program's metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppMetrics {
    /// RPM_APP_METRICS; `None` is `off`, also if RPM_ADMIN_ADDR is `off`.
    pub source: Option<MetricsSource>,
    /// RPM_APP_METRICS_GAUGES: patterns as written, all valid for the merger; the first match applies.
    pub gauges: Vec<(String, Aggregation)>,
    /// RPM_APP_METRICS_INTERVAL; `None` (written 0): workers are asked only for scrapes.
    pub interval: Option<Duration>,
}

/// The admin endpoints, the program's metrics on them, and the file with the reason of the exit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// RPM_ADMIN_ADDR; `None` is `off`.
    pub addr: Option<SocketAddr>,
    /// RPM_APP_METRICS, RPM_APP_METRICS_GAUGES and RPM_APP_METRICS_INTERVAL.
    pub app_metrics: AppMetrics,
    /// RPM_TERMINATION_LOG.
    pub termination_log: PathBuf,
}

impl Admin {
    pub(super) fn read(reader: &mut Reader<'_>) -> Value<Self> {
        let source = source(reader);
        if source == Ok(None) {
            reader.warn_if_set(&APP_METRICS_GAUGES, "without RPM_APP_METRICS");
            reader.warn_if_set(&APP_METRICS_INTERVAL, "without RPM_APP_METRICS");
        }
        Ok(Self {
            addr: reader.get(&ADMIN_ADDR)?,
            app_metrics: AppMetrics {
                source: source?,
                gauges: reader.given(&APP_METRICS_GAUGES)?.unwrap_or_default(),
                interval: reader.get(&APP_METRICS_INTERVAL)?,
            },
            termination_log: reader.get(&TERMINATION_LOG)?,
        })
    }
}

/// RPM_APP_METRICS. Checks that the workers' metrics are reachable and are counted once.
fn source(reader: &mut Reader<'_>) -> Value<Option<MetricsSource>> {
    const DIR: &str = worker_vars::MULTIPROC_DIR.name;
    let Some(mut source) = reader.get(&APP_METRICS)? else {
        return Ok(None);
    };
    let given = multiproc_dir(reader);
    match &mut source {
        MetricsSource::Multiproc { dir } => {
            let note = match &given {
                Some(dir) => format!("in {}, {DIR}", show::path(dir)),
                None => "in a directory of our own".to_owned(),
            };
            reader.note(&APP_METRICS, note);
            *dir = given;
        }
        MetricsSource::Path { .. } if given.is_some() => reader.warn(format!(
            "RPM_APP_METRICS asks each worker, and {DIR} is set: a worker of Python that answers for all would \
             be counted once for each; RPM_APP_METRICS=multiproc reads that directory instead"
        )),
        MetricsSource::Path { .. } => {}
    }
    if reader.get(&ADMIN_ADDR) == Ok(None) {
        let wrong = Wrong::new(
            "is for /metrics of the runtime, and RPM_ADMIN_ADDR=off: nobody could read them",
            "off, or another RPM_ADMIN_ADDR",
        );
        return Err(reader.fault(&APP_METRICS, wrong));
    }
    Ok(Some(source))
}

/// The first of several variables applies, as in getenv(3).
fn multiproc_dir(reader: &Reader<'_>) -> Option<PathBuf> {
    let mut vars = reader.input().vars.iter();
    let (_, value) = vars.find(|(name, _)| name == worker_vars::MULTIPROC_DIR.name)?;
    (!value.is_empty()).then(|| PathBuf::from(value))
}

fn admin_addr(text: &str) -> Result<Option<SocketAddr>, Wrong> {
    let text = text.trim();
    if is(text, "off") {
        return Ok(None);
    }
    let text = text.strip_prefix("tcp://").unwrap_or(text);
    text.parse().map(Some).map_err(|_| {
        let what = if text.bytes().all(|byte| byte.is_ascii_digit()) {
            "is a port without an address"
        } else if text.starts_with(':') {
            "has no address before the port"
        } else if text.parse::<std::net::IpAddr>().is_ok() {
            "is an address without a port"
        } else {
            "is not an IP address with a port"
        };
        Wrong::new(
            what,
            "ADDRESS:PORT such as [::]:9464, 127.0.0.1:9464 or 0.0.0.0:9464, or off",
        )
    })
}

/// The shortest RPM_APP_METRICS_INTERVAL that is not 0.
const SHORTEST: Duration = Duration::from_secs(1);

fn interval(text: &str) -> Result<Option<Duration>, Wrong> {
    let wrong = |what: String| {
        let accepted = "a whole number with a unit, such as 5s or 1m, from 1s to 24h; 0 collects at each scrape only";
        Wrong::new(what, accepted)
    };
    match duration(text) {
        Ok(Duration::ZERO) => Ok(None),
        Ok(period) if period < SHORTEST => Err(wrong("is below 1s".to_owned())),
        Ok(period) => Ok(Some(period)),
        Err(other) => Err(wrong(other.what)),
    }
}

#[cfg(test)]
mod tests;
