//! Writes notes as lines of the runtime's own log.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, error, info, warn};

use crate::config::Config;
use crate::model::{Cause, DrainEnd, Exit, Pid, ReloadResult, SlotId};
use crate::policy::{MAX_INSTANCES, Next, NotUp, Note};

use super::{Listener, Told, human, missing, starting};

/// What a drain could not see of one worker, and of all.
const HIDDEN: &str = "some of its processes cannot be inspected; connections of no visible process counted as its own";
const BLIND: &str =
    "the kernel does not report connections here; only its accept queue was watched";

#[derive(Debug)]
pub(super) struct LogLines {
    config: Arc<Config>,
    /// The reason for giving up was logged.
    gave_up: bool,
    stop_requested: bool,
}

impl LogLines {
    pub(super) fn new(config: &Arc<Config>) -> Self {
        Self {
            config: Arc::clone(config),
            gave_up: false,
            stop_requested: false,
        }
    }
}

impl Listener for LogLines {
    fn hear(&mut self, told: &Told<'_>) {
        match told.note {
            Note::Ready { .. }
            | Note::StillStarting { .. }
            | Note::ServesNoPort { .. }
            | Note::PortUnused { .. }
            | Note::ListensLate { .. }
            | Note::LacksPorts { .. }
            | Note::NotReady { .. } => starting::log(told, &self.config),
            Note::Ended {
                slot,
                pid,
                exit,
                cause,
                uptime,
                next,
            } => self.ended(slot, pid, (exit, cause), uptime, next),
            Note::SpawnDelayed { slot, retry_in } => {
                warn!(
                    slot = slot.0,
                    retry_in = human(retry_in),
                    "will try to start the worker again"
                );
            }
            Note::GivesUp { slot, streak, code } => {
                if !self.gave_up {
                    error!(slot = slot.0, streak, code, "giving up");
                    self.gave_up = !self.stop_requested;
                }
            }
            Note::Stranger { pid, exit } => {
                debug!(pid = pid.get(), %exit, "reaped a process that is not a worker");
            }
            Note::GraceOver { .. } | Note::Undead { .. } | Note::Leftovers { .. } => {
                self.killed(told.note);
            }
            Note::StopRequested { .. }
            | Note::StopDrains { .. }
            | Note::StopBegins { .. }
            | Note::Hurried { .. }
            | Note::Stopped { .. }
            | Note::RestartRequested => self.stop(told.note),
            Note::ReloadBegins { .. }
            | Note::ReloadRemembered { .. }
            | Note::ReloadEnded { .. }
            | Note::NotUp { .. }
            | Note::TookOver { .. }
            | Note::GaveBack { .. }
            | Note::LeavesFirst { .. }
            | Note::StartsAgain { .. }
            | Note::Renews { .. }
            | Note::Scaled { .. }
            | Note::ScaleRefused { .. } => self.reload(told),
            Note::Drains { slot, pid, limit } => {
                let limit = human(limit);
                debug!(
                    slot = slot.0,
                    pid = pid.get(),
                    limit,
                    "worker gets no new connections and finishes its requests"
                );
            }
            Note::DrainEnded {
                slot,
                pid,
                end,
                took,
            } => self.drain_ended((slot, pid), end, took, told),
        }
    }
}

impl LogLines {
    fn ended(
        &mut self,
        slot: SlotId,
        pid: Pid,
        (exit, cause): (Exit, Cause),
        uptime: Duration,
        next: Next,
    ) {
        let told = matches!(
            cause,
            Cause::Stop
                | Cause::Restart
                | Cause::Reload
                | Cause::Scale
                | Cause::Halt
                | Cause::MemoryLimit
        );
        // In the role of tini, the caller decides what the worker's exit status means.
        let asked = told || self.config.one_shot();
        // The reason why it could not run its program was already logged.
        let asked = asked || cause == Cause::ExecFailed;
        self.gave_up |= cause == Cause::ExecFailed && next == Next::GivesUp;
        let (uptime, next, reason) = (human(uptime), follows(next), cause.label());
        if asked || exit == Exit::Code(0) {
            info!(slot = slot.0, pid = pid.get(), %exit, cause = reason, uptime, next, "worker ended");
        } else {
            error!(slot = slot.0, pid = pid.get(), %exit, cause = reason, uptime, next, "worker ended");
        }
    }

    fn drain_ended(
        &self,
        (slot, pid): (SlotId, Pid),
        end: DrainEnd,
        took: Duration,
        told: &Told<'_>,
    ) {
        let (slot, pid, took) = (slot.0, pid.get(), human(took));
        let unseen = told.unseen;
        let seen = if told.blind {
            Some(BLIND)
        } else {
            unseen.map(|_| HIDDEN)
        };
        match end {
            DrainEnd::Empty => {
                info!(slot, pid, took, seen, "worker has no connections left");
            }
            DrainEnd::Quiet => info!(
                slot,
                pid, took, unseen, seen, "worker keeps connections; none has a request in work"
            ),
            DrainEnd::Timeout => {
                let grace = human(self.config.life.stop_timeout);
                info!(
                    slot,
                    pid,
                    took,
                    unseen,
                    seen,
                    grace,
                    "worker still has connections and RPM_DRAIN_TIMEOUT is over, sending the stop signal"
                );
            }
            DrainEnd::Exited => warn!(
                slot,
                pid, took, "worker ended before its drain was complete"
            ),
            DrainEnd::Stopped => info!(slot, pid, took, "drain ended early, stopping the worker"),
        }
    }

    /// Processes that do not end in time.
    fn killed(&self, note: Note) {
        let (signal, grace) = (
            self.config.life.stop_signal,
            human(self.config.life.stop_timeout),
        );
        match note {
            Note::GraceOver {
                slot,
                pid,
                leftovers,
            } => {
                let what = if leftovers {
                    "processes that a worker left did not stop in time, killing them"
                } else {
                    "worker did not stop in time, killing its process group"
                };
                warn!(slot = slot.0, pid = pid.get(), grace, "{what}");
            }
            Note::Undead { slot, pid, .. } => {
                error!(
                    slot = slot.0,
                    pid = pid.get(),
                    "a process does not end after SIGKILL; continuing without it"
                );
            }
            Note::Leftovers { slot, pid } => {
                info!(slot = slot.0, pid = pid.get(), %signal, grace, "worker left processes, stopping them");
            }
            _ => {}
        }
    }

    fn stop(&mut self, note: Note) {
        match note {
            Note::StopRequested { delay } => {
                self.stop_requested = true;
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
                info!(workers, signal = %self.config.life.stop_signal, grace = human(grace), "stopping all workers");
            }
            Note::Hurried { kills: true } => {
                warn!("stop requested again; killing all remaining processes");
            }
            Note::Hurried { kills: false } => {
                warn!(signal = %self.config.life.stop_signal, "stop requested again; sending the stop signal now");
            }
            Note::Stopped { delay, drain, stop } => {
                let total = human(delay + drain + stop);
                let (delay, drain, stop) = (human(delay), human(drain), human(stop));
                info!(delay, drain, stop, total, "all workers have ended");
            }
            Note::RestartRequested => info!("restarting all workers"),
            _ => {}
        }
    }
}

impl LogLines {
    /// Reloads, replacements and scaling.
    fn reload(&self, told: &Told<'_>) {
        match told.note {
            Note::ReloadBegins {
                trigger,
                generation,
                workers,
            } => {
                let why = trigger.label();
                info!(generation = generation.0, workers, why, "reload begins");
            }
            Note::ReloadRemembered { trigger } => {
                let why = trigger.label();
                info!(why, "a reload is in progress; another one will follow");
            }
            Note::ReloadEnded {
                result,
                replaced,
                took,
            } => reload_ended(result, replaced, took),
            Note::NotUp { slot, pid, why } => self.not_up(slot, pid, why, told),
            Note::TookOver { slot, pid, old } => info!(
                slot = slot.0,
                pid = pid.get(),
                old = old.get(),
                "new worker took over"
            ),
            Note::GaveBack { slot, pid, old } => warn!(
                slot = slot.0,
                pid = pid.get(),
                old = old.get(),
                "a new worker ended, and the old one still drained: the old one serves again"
            ),
            Note::LeavesFirst { slot, pid, old } => info!(
                slot = slot.0,
                pid = pid.get(),
                old = old.get(),
                "a new worker cannot start beside the old one, which leaves first now"
            ),
            Note::StartsAgain { slot, pid } => info!(
                slot = slot.0,
                pid = pid.get(),
                "a new worker ended because its unix path is in use; starting it again"
            ),
            Note::Renews { slot, pid, cause } => {
                let why = match cause {
                    Cause::MemoryLimit => "it has grown beyond RPM_MAX_MEMORY",
                    Cause::Restart => "an operator asked for it",
                    _ => "it is unhealthy: a check, its watchdog or its Node channel failed",
                };
                warn!(slot = slot.0, pid = pid.get(), why, "replacing a worker");
            }
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

    fn not_up(&self, slot: SlotId, pid: Option<Pid>, why: NotUp, told: &Told<'_>) {
        let what = missing::not_up(why, &self.config, told);
        let lines = told.last_lines;
        let stderr = (!lines.is_empty()).then(|| lines.join(" | "));
        match (pid, stderr) {
            (Some(pid), Some(stderr)) => {
                error!(
                    slot = slot.0,
                    pid = pid.get(),
                    why = what,
                    stderr,
                    "a new worker did not come up; the old one stays"
                );
            }
            (Some(pid), None) => {
                error!(
                    slot = slot.0,
                    pid = pid.get(),
                    why = what,
                    "a new worker did not come up; the old one stays"
                );
            }
            (None, _) => {
                error!(
                    slot = slot.0,
                    why = what,
                    "a new worker did not come up; the old one stays"
                );
            }
        }
    }
}

fn reload_ended(result: ReloadResult, replaced: usize, took: Duration) {
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

fn follows(next: Next) -> String {
    match next {
        Next::Restart {
            wait: Duration::ZERO,
            ..
        } => "restart now".to_owned(),
        // The last start was postponed by a shortage: no worker ended too early.
        Next::Restart { wait, streak: 0 } => format!("restart in {}", human(wait)),
        Next::Restart { wait, streak } => {
            format!("restart in {} (short life {streak} in a row)", human(wait))
        }
        Next::StaysDown => "stays down".to_owned(),
        Next::Halted => "its slot stays empty until it is started (rpmctl start)".to_owned(),
        Next::Replaced => "its slot has another worker".to_owned(),
        Next::GivenUp => "its slot was given up".to_owned(),
        Next::Stopping => "stopping".to_owned(),
        Next::GivesUp => "giving up".to_owned(),
    }
}
