//! Application metrics, as far as the loop has to do with them: who is asked, and who is asked once more.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::path::Path;
use std::time::Duration;

use tracing::{info, warn};

use crate::app_metrics::merge::{Life, Pattern, Rules};
use crate::app_metrics::{self, Files, Gatherer, Means, Place, Settings, Worker};
use crate::checks::Target;
use crate::config::{Config, MetricsSource};
use crate::model::{ListenerId, Pid, Tick, WorkerState};
use crate::ports::SharedPorts;

use super::boot::{BootError, refused};
use super::{Incoming, Supervisor};

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

/// The gathering, and what it was told.
#[derive(Debug)]
pub(super) struct Gathering {
    /// `None`: there is nobody to make pages for.
    pub(super) gatherer: Option<Gatherer>,
    way: Way,
    /// The files' directory.
    place: Option<Place>,
    lives: HashMap<Pid, Life>,
    started: u64,
    told: Vec<Worker>,
    last: HashMap<Pid, Last>,
}

/// How the workers' metrics come here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    None,
    Asked,
    Files,
}

/// The last question to one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// It is under way; whether the worker is to be told to stop after it.
    Asked { since: Tick, stop: bool },
    /// It is over.
    Over { at: Tick, took: Duration },
}

impl Last {
    /// Whether the worker has counted too long since.
    fn is_old(self, now: Tick) -> bool {
        match self {
            Self::Asked { .. } => false,
            Self::Over { at, took } => now.since(at) > YOUNG.max(took * SHARE),
        }
    }
}

impl Gathering {
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
            lives: HashMap::new(),
            started: 0,
            told: Vec::new(),
            last: HashMap::new(),
        })
    }

    /// What workers are told of the files' directory.
    pub(super) fn variable(&self) -> Option<(&'static str, std::ffi::OsString)> {
        let place = self.place.as_ref()?;
        Some(("PROMETHEUS_MULTIPROC_DIR", place.path().into()))
    }

    /// A worker was started.
    pub(super) fn begin(&mut self, pid: Pid) {
        self.started += 1;
        self.lives.insert(pid, app_metrics::life(self.started));
    }

    /// It was reaped.
    pub(super) fn end(&mut self, pid: Pid) {
        self.last.remove(&pid);
        self.told.retain(|worker| worker.pid != pid);
        if let (Some(life), Some(gatherer)) = (self.lives.remove(&pid), &self.gatherer)
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
    /// Says who is asked from now on: the ready ones, those that finish what they have, and those that are asked for the
    /// last time. Files are kept by all.
    pub(super) fn gather(&mut self) {
        if self.gathering.way == Way::None {
            return;
        }
        // The stop waits for requests in work, ours too.
        let over = self.fleet.stop_drain().is_some() || self.fleet.stopping();
        let seen = self.fleet.snapshot();
        let files = self.gathering.way == Way::Files;
        let slots = seen.slots.iter().chain(&seen.rising).chain(&seen.retiring);
        let mut workers = Vec::new();
        for worker in slots {
            let Some(pid) = worker.pid else { continue };
            let asked = matches!(worker.state, WorkerState::Ready | WorkerState::Draining)
                || matches!(self.gathering.last.get(&pid), Some(Last::Asked { .. }));
            let asked = asked && !over;
            let listener = self.listeners.get(&pid).copied();
            let listener = listener.or(files.then_some(ListenerId(worker.slot.0)));
            if let (Some(life), Some(listener)) = (self.gathering.lives.get(&pid), listener)
                && (asked || files)
            {
                workers.push(Worker {
                    life: *life,
                    slot: worker.slot,
                    pid,
                    listener,
                });
            }
        }
        if workers != self.gathering.told {
            self.gathering.told.clone_from(&workers);
            if let Some(gatherer) = &self.gathering.gatherer {
                gatherer.set_workers(workers);
            }
        }
    }

    /// Whether a worker may be told to stop, as far as its metrics go; if not, it is asked, and [`Self::looked`] follows.
    /// At the stop of the runtime nobody will ask for them any more.
    pub(super) fn has_looked(&mut self, pid: Pid) -> bool {
        let since = self.now;
        let gathering = &mut self.gathering;
        if gathering.way != Way::Asked || self.fleet.stopping() {
            return true;
        }
        match gathering.last.get(&pid) {
            Some(Last::Over { .. }) => true,
            Some(Last::Asked { .. }) => false,
            None => {
                let asked = gathering.told.iter().any(|worker| worker.pid == pid);
                let life = gathering.lives.get(&pid).filter(|_| asked);
                let (Some(life), Some(gatherer)) = (life, &gathering.gatherer) else {
                    return true;
                };
                let last = Last::Asked { since, stop: false };
                gathering.last.insert(pid, last);
                let (life, within) = (*life, LAST.min(self.config.stop_timeout / PART));
                let outbox = self.outbox.clone();
                let tell = move || drop(outbox.send(Incoming::Looked(pid, life)));
                let too_late = tell.clone();
                gatherer.look(life, within, tell);
                tokio::spawn(async move {
                    tokio::time::sleep(within + LATE.min(within)).await;
                    too_late();
                });
                false
            }
        }
    }

    /// The same of a worker that serves on while it is not known when it will be told to stop.
    pub(super) fn has_looked_lately(&mut self, pid: Pid) -> bool {
        let last = self.gathering.last.get(&pid);
        if last.is_some_and(|last| last.is_old(self.now)) {
            self.gathering.last.remove(&pid);
        }
        self.has_looked(pid)
    }

    /// Whether it gets its stop signal now; if not, it does after its last answer.
    pub(super) fn may_stop_now(&mut self, pid: Pid) -> bool {
        let may = self.has_looked(pid);
        if let Some(Last::Asked { stop, .. }) = self.gathering.last.get_mut(&pid) {
            *stop = true;
        }
        may
    }

    /// Its last answer has come, or will not.
    pub(super) fn looked(&mut self, pid: Pid, life: Life) {
        let at = self.now;
        // It may have ended, and its number be somebody else's.
        let same = self.gathering.lives.get(&pid) == Some(&life);
        let Some(last) = self.gathering.last.get_mut(&pid).filter(|_| same) else {
            return;
        };
        if let Last::Asked { since, stop } = *last {
            let took = at.since(since);
            *last = Last::Over { at, took };
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
        let over = |took: u64| Last::Over {
            at,
            took: Duration::from_millis(took),
        };
        let old = |last: Last, age: u64| last.is_old(at.after(Duration::from_millis(age)));
        assert!(!old(over(2), 0) && !old(over(2), 100) && old(over(2), 101));
        // A slow one.
        assert!(!old(over(300), 1500) && old(over(300), 1501));
        let asked = Last::Asked {
            since: at,
            stop: false,
        };
        assert!(!old(asked, 60_000));
    }
}
