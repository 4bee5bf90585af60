//! Application metrics: which workers are asked for theirs, and the final scrape of one that is to stop.

use std::num::NonZeroU16;
use std::path::Path;
use std::time::Duration;

use tracing::{info, warn};

use crate::app_metrics::merge::{Life, Pattern, Rules};
use crate::app_metrics::{self, Files, Gatherer, Means, Place, Settings};
use crate::checks::Target;
use crate::config::{Config, MetricsSource};
use crate::model::{ListenerId, Pid, Snapshot, Tick, WorkerState};
use crate::ports::SharedPorts;

use super::Supervisor;
use super::boot::{BootError, refused};
use super::incoming::{Incoming, Report};

/// How long a worker that is to stop may take for its last answer: whoever waits for the stop waits for it. It is time
/// that it does not have for its stop, of which it may be this part.
const LAST: Duration = Duration::from_secs(1);
const PART: u32 = 4;
/// After so much more the loop goes on without the thread.
const LATE: Duration = Duration::from_millis(100);
/// While a moment to stop a busy worker is awaited, it goes on counting: its last answer may be so old, and is had anew.
const YOUNG: Duration = Duration::from_millis(100);
/// That may take this part of the time, because no moment is found meanwhile.
const SHARE: u32 = 5;

/// The thread that gathers, and what it was told.
#[derive(Debug)]
pub(super) struct AppMetrics {
    /// `None`: there is nobody to make pages for.
    pub(super) gatherer: Option<Gatherer>,
    way: Way,
    /// The files' directory.
    place: Option<Place>,
    told: Vec<app_metrics::Worker>,
}

/// How the workers' metrics come here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    None,
    Asked,
    Files,
}

/// The scrape of one worker before its stop signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FinalScrape {
    /// It is under way; whether the worker is to be told to stop after it.
    Asked { since: Tick, stop: bool },
    /// It is over.
    Over { at: Tick, took: Duration },
}

impl FinalScrape {
    /// Whether the worker has counted too long since.
    fn is_old(self, now: Tick) -> bool {
        match self {
            Self::Asked { .. } => false,
            Self::Over { at, took } => now.since(at) > YOUNG.max(took * SHARE),
        }
    }
}

impl AppMetrics {
    pub(super) fn start(
        config: &Config,
        ports: Option<SharedPorts>,
        can_ask: bool,
    ) -> Result<Self, BootError> {
        let app = &config.app_metrics;
        let (mut way, mut place, mut means) = (Way::None, None, Means::Nothing);
        match &app.source {
            None => {}
            Some(MetricsSource::Path { port, path }) => {
                if let Some(ports) = ports.filter(|_| can_ask) {
                    way = Way::Asked;
                    means = asking(ports, *port, path);
                } else {
                    warn!("RPM_APP_METRICS: one worker cannot be asked here; none is");
                }
            }
            Some(MetricsSource::Multiproc { dir }) => {
                let (found, files) = directory(dir.as_deref())?;
                way = Way::Files;
                means = Means::Files(Box::new(files));
                place = Some(found);
            }
        }
        let gauges = app.gauges.iter();
        let settings = Settings {
            means,
            rules: Rules {
                gauges: gauges
                    .filter_map(|(pattern, way)| Some((Pattern::new(pattern)?, *way)))
                    .collect(),
                ..Rules::default()
            },
            interval: app.interval,
        };
        let start = |_| Gatherer::start(settings);
        let gatherer = config.admin_addr.map(start).transpose();
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

    /// What workers are told of the files' directory.
    pub(super) fn variable(&self) -> Option<(&'static str, std::ffi::OsString)> {
        let place = self.place.as_ref()?;
        Some(("PROMETHEUS_MULTIPROC_DIR", place.path().into()))
    }

    /// A worker was reaped.
    pub(super) fn worker_ended(&mut self, life: Life) {
        self.told.retain(|worker| worker.life != life);
        if let Some(gatherer) = &self.gatherer
            && self.way != Way::None
        {
            gatherer.gone(life);
        }
    }
}

/// Each worker over its own listener.
fn asking(ports: SharedPorts, port: Option<NonZeroU16>, path: &str) -> Means {
    let reach = move |listener: ListenerId| {
        let (key, source_port) = ports.probe_target(listener, port)?;
        Some(app_metrics::Way {
            target: Target::new(key, source_port),
            waiting: ports.queue_length(key, listener).unwrap_or(0),
        })
    };
    Means::Asked {
        path: path.to_owned(),
        reach: Box::new(reach),
    }
}

fn directory(wanted: Option<&Path>) -> Result<(Place, Files), BootError> {
    let found = Place::find(wanted).and_then(|place| {
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
    /// Tells the thread which workers it asks from now on: the ready ones, those that drain, and those whose final scrape
    /// is under way. Files are kept by all.
    pub(super) fn gather(&mut self, seen: &Snapshot) {
        if self.app_metrics.way == Way::None {
            return;
        }
        // The stop waits for requests in work, ours too.
        let over = self.fleet.stop_drain().is_some() || self.fleet.stopping();
        let files = self.app_metrics.way == Way::Files;
        let views = seen.slots.iter().chain(&seen.rising).chain(&seen.retiring);
        let mut told = Vec::new();
        for view in views {
            let Some(worker) = view.pid.and_then(|pid| self.workers.get(pid)) else {
                continue;
            };
            let asked = matches!(view.state, WorkerState::Ready | WorkerState::Draining)
                || matches!(worker.final_scrape, Some(FinalScrape::Asked { .. }));
            let asked = asked && !over;
            let listener = worker.listener.or(files.then_some(ListenerId(view.slot.0)));
            if let Some(listener) = listener
                && (asked || files)
            {
                told.push(app_metrics::Worker {
                    life: worker.id.life,
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

    /// Whether a worker may be told to stop, as far as its metrics go. If not, it is asked for them now, and
    /// [`Self::final_scrape_ended`] follows. At the stop of the runtime nobody will ask for them any more.
    fn final_scrape_is_over(&mut self, pid: Pid) -> bool {
        let since = self.now;
        let metrics = &self.app_metrics;
        if metrics.way != Way::Asked || self.fleet.stopping() {
            return true;
        }
        let (Some(worker), Some(gatherer)) = (self.workers.get_mut(pid), &metrics.gatherer) else {
            return true;
        };
        match worker.final_scrape {
            Some(FinalScrape::Over { .. }) => true,
            Some(FinalScrape::Asked { .. }) => false,
            None => {
                let id = worker.id;
                if !metrics.told.iter().any(|told| told.life == id.life) {
                    return true;
                }
                worker.final_scrape = Some(FinalScrape::Asked { since, stop: false });
                let within = LAST.min(self.config.stop_timeout / PART);
                let outbox = self.outbox.clone();
                let tell = move || drop(outbox.send(Incoming::Worker(id, Report::Scraped)));
                let too_late = tell.clone();
                gatherer.look(id.life, within, tell);
                tokio::spawn(async move {
                    tokio::time::sleep(within + LATE.min(within)).await;
                    too_late();
                });
                false
            }
        }
    }

    /// The same of a worker that serves on while it is not known when it will be told to stop.
    pub(super) fn final_scrape_is_recent(&mut self, pid: Pid) -> bool {
        let now = self.now;
        if let Some(worker) = self.workers.get_mut(pid) {
            worker.final_scrape = worker.final_scrape.filter(|scrape| !scrape.is_old(now));
        }
        self.final_scrape_is_over(pid)
    }

    /// Whether a worker gets its stop signal now; if not, it gets it after its final scrape.
    pub(super) fn may_stop_now(&mut self, pid: Pid) -> bool {
        let may = self.final_scrape_is_over(pid);
        let worker = self.workers.get_mut(pid);
        if let Some(FinalScrape::Asked { stop, .. }) =
            worker.and_then(|worker| worker.final_scrape.as_mut())
        {
            *stop = true;
        }
        may
    }

    /// The final scrape of a worker was answered, or took too long.
    pub(super) fn final_scrape_ended(&mut self, pid: Pid) {
        let at = self.now;
        let Some(worker) = self.workers.get_mut(pid) else {
            return;
        };
        if let Some(FinalScrape::Asked { since, stop }) = worker.final_scrape {
            let took = at.since(since);
            worker.final_scrape = Some(FinalScrape::Over { at, took });
            if stop {
                self.tell_to_stop(pid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_serves_on_is_asked_again_but_not_most_of_the_time() {
        let at = Tick::default().after(Duration::from_secs(9));
        let over = |took: u64| FinalScrape::Over {
            at,
            took: Duration::from_millis(took),
        };
        let old =
            |scrape: FinalScrape, age: u64| scrape.is_old(at.after(Duration::from_millis(age)));
        assert!(!old(over(2), 0) && !old(over(2), 100) && old(over(2), 101));
        // A slow one.
        assert!(!old(over(300), 1500) && old(over(300), 1501));
        let asked = FinalScrape::Asked {
            since: at,
            stop: false,
        };
        assert!(!old(asked, 60_000));
    }
}
