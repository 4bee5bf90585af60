//! Reloads, replacements, drains, scale and the stop, in words and in figures.

use std::time::Duration;

use tracing::{debug, error, info, warn};

use crate::model::{Cause, DrainEnd, Exit, Pid, ReloadResult, SlotId};
use crate::policy::{MAX_INSTANCES, NotUp, Note};

use super::Supervisor;
use super::narrate::human;

impl Supervisor {
    pub(super) fn narrate_stop(&mut self, note: Note) {
        match note {
            Note::StopRequested { delay } => {
                self.history.asked_to_stop = true;
                if !delay.is_zero() {
                    let delay = human(delay);
                    info!(
                        delay,
                        "not ready any more, still serving (RPM_SHUTDOWN_DELAY)"
                    );
                }
            }
            Note::StopDrains { limit } => {
                let limit = human(limit);
                info!(
                    limit,
                    "waiting until no request is in work (RPM_DRAIN_TIMEOUT)"
                );
            }
            Note::StopBegins { workers, grace } => {
                info!(workers, signal = %self.config.stop_signal, grace = human(grace), "stopping all workers");
            }
            Note::Hurried => warn!("asked to stop again, killing what is left"),
            Note::Stopped { delay, drain, stop } => {
                let total = human(delay + drain + stop);
                let (delay, drain, stop) = (human(delay), human(drain), human(stop));
                info!(delay, drain, stop, total, "all workers have ended");
                self.history.push(format!(
                    "the stop took {total}: delay {delay}, drain {drain}, stop signals to the last end {stop}"
                ));
            }
            _ => {}
        }
    }

    pub(super) fn narrate_roll(&mut self, note: Note) {
        match note {
            Note::ReloadBegins {
                trigger,
                generation,
                workers,
            } => {
                let why = trigger.label();
                info!(%generation, workers, why, "reload begins");
            }
            Note::ReloadRemembered { trigger } => {
                let why = trigger.label();
                info!(why, "a reload goes on; another one follows it");
            }
            Note::ReloadEnded {
                result,
                replaced,
                took,
            } => self.reload_ended(result, replaced, took),
            Note::NotUp { slot, pid, why } => self.not_up(slot, pid, why),
            Note::TookOver { slot, pid, old } => {
                info!(%slot, %pid, %old, "new worker took over");
            }
            Note::Renews { slot, pid, cause } => {
                let why = match cause {
                    Cause::MemoryLimit => "it has grown beyond RPM_MAX_MEMORY",
                    _ => "it failed its checks",
                };
                warn!(%slot, %pid, why, "replacing a worker");
            }
            Note::Drains { slot, pid, limit } => {
                let limit = human(limit);
                debug!(%slot, %pid, limit, "worker gets nothing new and finishes what it has");
            }
            Note::DrainEnded {
                slot,
                pid,
                end,
                took,
            } => self.drain_ended(slot, pid, end, took),
            Note::Scaled { from, to } => info!(from, to, "number of workers changed"),
            Note::ScaleRefused { at } => {
                let bounds = format!("1 to {MAX_INSTANCES}");
                warn!(
                    workers = at,
                    bounds, "the number of workers cannot be changed further"
                );
            }
            _ => {}
        }
    }

    fn reload_ended(&mut self, result: ReloadResult, replaced: usize, took: Duration) {
        self.metrics
            .reload_ended(result, took, self.clock.unix_seconds());
        if let Some(sharing) = self
            .sharing
            .as_ref()
            .filter(|_| result == ReloadResult::Success)
        {
            for port in sharing.ports.close_abandoned() {
                warn!(%port, "no worker binds this port any more, closing it");
            }
        }
        let (took, result) = (human(took), (result, result.label()));
        match result {
            (ReloadResult::Success, result) => info!(result, replaced, took, "reload finished"),
            (ReloadResult::Failure, result) => {
                error!(
                    result,
                    replaced, took, "reload finished; the workers that were not replaced stay"
                );
            }
            (ReloadResult::Superseded, result) => warn!(result, replaced, took, "reload finished"),
        }
    }

    fn not_up(&mut self, slot: SlotId, pid: Option<Pid>, why: NotUp) {
        let what = match why {
            NotUp::NotStarted => "it could not be started".to_owned(),
            NotUp::Ended(Exit::Code(code)) => format!("it exited with code {code}"),
            NotUp::Ended(Exit::Signal(signal)) => format!("{signal} ended it"),
            NotUp::NotReady(after) => {
                format!(
                    "it was not ready after {}, {}",
                    human(after),
                    self.missing()
                )
            }
            NotUp::Unfit => "it failed its checks".to_owned(),
        };
        let ended = matches!(why, NotUp::Ended(_));
        let tail = pid.and_then(|pid| self.workers.take_tail(pid));
        let words = tail.map(|tail| tail.lines(ended)).unwrap_or_default();
        let stderr = (!words.is_empty()).then(|| words.join(" | "));
        match (pid, stderr) {
            (Some(pid), Some(stderr)) => {
                error!(%slot, %pid, why = what, stderr, "a new worker did not come up, the one before it stays");
            }
            (Some(pid), None) => {
                error!(%slot, %pid, why = what, "a new worker did not come up, the one before it stays");
            }
            (None, _) => {
                error!(%slot, why = what, "a new worker did not come up, the one before it stays");
            }
        }
    }

    fn drain_ended(&mut self, slot: SlotId, pid: Pid, end: DrainEnd, took: Duration) {
        self.metrics.drain_ended(end, took);
        let took = human(took);
        match end {
            DrainEnd::Empty => info!(%slot, %pid, took, "worker has nothing left"),
            DrainEnd::Quiet => {
                info!(%slot, %pid, took, "worker keeps connections; none has a request in work");
            }
            DrainEnd::Timeout => {
                warn!(%slot, %pid, took, "worker still has connections, RPM_DRAIN_TIMEOUT is over");
            }
            DrainEnd::Exited => warn!(%slot, %pid, took, "worker ended before it had finished"),
            DrainEnd::Stopped => info!(%slot, %pid, took, "worker finishes no longer, stopping"),
        }
    }
}
