//! Application metrics: which workers are scraped, and the final scrape of a worker before its stop signal.

use std::num::NonZeroU16;
use std::path::Path;
use std::time::Duration;

use tracing::info;

use crate::app_metrics::merge::{Pattern, ProcessKey, Rules};
use crate::app_metrics::{self, Files, Gatherer, GathererSettings, MultiprocDir, ScrapeSource};
use crate::checks::Target;
use crate::config::{Config, MetricsSource};
use crate::model::{ListenerId, Pid, Snapshot, WorkerState, worker_vars};
use crate::policy::Event;
use crate::ports::SharedPorts;

use super::Supervisor;
use super::boot::{BootError, refused};
use super::incoming::{Incoming, Report};

/// The thread that gathers, and the workers that it was told.
#[derive(Debug)]
pub(super) struct AppMetrics {
    /// `None`: no page is ever needed.
    pub(super) gatherer: Option<Gatherer>,
    way: Way,
    /// The directory of the files.
    place: Option<MultiprocDir>,
    told: Vec<app_metrics::ScrapeTarget>,
}

/// How the runtime gets the workers' metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    None,
    Asked,
    Files,
}

impl AppMetrics {
    pub(super) fn start(
        config: &Config,
        ports: Option<SharedPorts>,
        can_ask: bool,
    ) -> Result<Self, BootError> {
        let app = &config.admin.app_metrics;
        let (mut way, mut place, mut source) = (Way::None, None, ScrapeSource::Nothing);
        match &app.source {
            None => {}
            Some(MetricsSource::Path { port, path }) => {
                if let Some(ports) = ports.filter(|_| can_ask) {
                    way = Way::Asked;
                    source = asking(ports, *port, path);
                }
            }
            Some(MetricsSource::Multiproc { dir }) => {
                let (found, files) = directory(dir.as_deref())?;
                way = Way::Files;
                source = ScrapeSource::Files(Box::new(files));
                place = Some(found);
            }
        }
        let gauges = app.gauges.iter();
        let settings = GathererSettings {
            rules: Rules {
                gauges: gauges
                    .filter_map(|(pattern, way)| Some((Pattern::new(pattern)?, *way)))
                    .collect(),
                ..Rules::default()
            },
            // In the role of tini, most programs end before anybody asks.
            late: config.one_shot() && matches!(source, ScrapeSource::Nothing),
            interval: app.interval,
            source,
        };
        let start = |_| Gatherer::start(settings);
        let gatherer = config.admin.addr.map(start).transpose();
        let gatherer = gatherer.map_err(|errno| {
            refused(format!(
                "cannot start the thread that makes metrics pages: {}",
                errno.desc()
            ))
        })?;
        Ok(Self {
            gatherer,
            way,
            place,
            told: Vec::new(),
        })
    }

    /// The variable that gives workers the directory of the files.
    pub(super) fn variable(&self) -> Option<(&'static str, std::ffi::OsString)> {
        let place = self.place.as_ref()?;
        Some((worker_vars::MULTIPROC_DIR.name, place.path().into()))
    }

    /// A worker was reaped.
    pub(super) fn worker_ended(&mut self, process: ProcessKey) {
        self.told.retain(|worker| worker.process != process);
        if let Some(gatherer) = &self.gatherer
            && self.way != Way::None
        {
            gatherer.worker_ended(process);
        }
    }
}

/// Reaches each worker over its own listener.
fn asking(ports: SharedPorts, port: Option<NonZeroU16>, path: &str) -> ScrapeSource {
    let find_endpoint = move |listener: ListenerId| {
        let (key, source_port) = ports.probe_target(listener, port)?;
        Some(app_metrics::Endpoint {
            target: Target::new(key, source_port),
            waiting: ports.queue_length(key, listener).unwrap_or(0),
            inode: ports.inode_at(key, listener),
        })
    };
    ScrapeSource::Http {
        path: path.to_owned(),
        find_endpoint: Box::new(find_endpoint),
    }
}

fn directory(wanted: Option<&Path>) -> Result<(MultiprocDir, Files), BootError> {
    let found = MultiprocDir::find(wanted).and_then(|place| {
        let files = Files::open(place.path());
        let files = files.map_err(|error| format!("{}: {error}", place.path().display()))?;
        Ok((place, files))
    });
    let (place, files) = found.map_err(|error| {
        refused(format!(
            "cannot use a directory for the workers' metrics (RPM_APP_METRICS=multiproc, PROMETHEUS_MULTIPROC_DIR): \
             {error}"
        ))
    })?;
    let dir = place.path().display();
    info!(%dir, "the workers keep their metrics in files (PROMETHEUS_MULTIPROC_DIR)");
    Ok((place, files))
}

impl Supervisor {
    /// Tells the thread which workers it must ask from now on: ready workers, and those that drain or have their last
    /// scrape. Files are kept for all workers.
    pub(super) fn gather(&mut self, seen: &Snapshot) {
        if self.app_metrics.way == Way::None {
            return;
        }
        // The stop waits for requests in progress, including the runtime's own.
        let over = self.fleet.stop_drain().is_some() || self.fleet.stopping();
        let files = self.app_metrics.way == Way::Files;
        let views = seen.workers();
        let mut told = Vec::new();
        for view in views {
            let Some(worker) = view.pid.and_then(|pid| self.workers.get(pid)) else {
                continue;
            };
            let asked = matches!(view.state, WorkerState::Ready | WorkerState::Draining) && !over;
            let listener = worker.listener.or(files.then_some(ListenerId(view.slot.0)));
            if let Some(listener) = listener
                && (asked || files)
            {
                told.push(app_metrics::ScrapeTarget {
                    process: worker.id.process,
                    slot: view.slot,
                    pid: worker.id.pid,
                    listener,
                });
            }
        }
        if told != self.app_metrics.told {
            self.app_metrics.told.clone_from(&told);
            if let Some(gatherer) = &self.app_metrics.gatherer {
                gatherer.set_workers(told);
            }
        }
    }

    /// Reads the metrics of a worker before its stop signal. Returns the outcome at once if the worker cannot be asked.
    pub(super) fn scrape(&mut self, pid: Pid, within: Duration) -> Option<Event> {
        let metrics = &self.app_metrics;
        if let (Some(worker), Some(gatherer)) = (self.workers.get(pid), &metrics.gatherer)
            && metrics
                .told
                .iter()
                .any(|told| told.process == worker.id.process)
        {
            let (id, outbox) = (worker.id, self.outbox.clone());
            let tell = move || drop(outbox.send(Incoming::Worker(id, Report::Scraped)));
            gatherer.final_scrape(id.process, within, tell);
            return None;
        }
        Some(Event::Scraped { pid })
    }
}
