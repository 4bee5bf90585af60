//! Each decision is one log line and, where there is one, one metric.

use std::time::Duration;

use tracing::{debug, error, info, warn};

use crate::config::{Ports, Ready};
use crate::model::{Cause, Exit, Pid, SlotId};
use crate::policy::{Next, Note};
use crate::ports::PortEvent;

use super::{Ending, Supervisor};

/// A duration as people read it, to the millisecond.
pub(super) fn human(time: Duration) -> String {
    if time < Duration::from_secs(10) {
        format!("{}ms", time.as_millis())
    } else {
        format!("{}s", time.as_secs())
    }
}

fn follows(next: Next) -> String {
    match next {
        Next::Restart {
            wait: Duration::ZERO,
            ..
        } => "restart now".to_owned(),
        // It was no life: the start is put off.
        Next::Restart { wait, streak: 0 } => format!("restart in {}", human(wait)),
        Next::Restart { wait, streak } => {
            format!("restart in {} (short life {streak} in a row)", human(wait))
        }
        Next::StaysDown => "stays down".to_owned(),
        Next::Replaced => "its slot went on without it".to_owned(),
        Next::GivenUp => "its slot was given up".to_owned(),
        Next::Stopping => "stopping".to_owned(),
        Next::GivesUp => "giving up".to_owned(),
    }
}

impl Supervisor {
    pub(super) fn narrate(&mut self, note: Note) {
        match note {
            Note::Ready { slot, pid, after } => {
                self.metrics.worker_ready(slot, after);
                self.restore_backlog();
                info!(%slot, %pid, after = human(after), "worker ready");
            }
            Note::NotReady { slot, pid, after } => {
                let grace = human(self.config.stop_timeout);
                let (after, missing) = (human(after), self.missing());
                warn!(%slot, %pid, after, missing, grace, "worker not ready within RPM_READY_TIMEOUT, stopping it");
                self.history.push(format!(
                    "slot {slot} pid {pid}: not ready after {after}, {missing}"
                ));
            }
            Note::Ended {
                slot,
                pid,
                exit,
                cause,
                uptime,
                next,
            } => {
                self.narrate_end(slot, pid, (exit, cause), uptime, next);
            }
            Note::GraceOver {
                slot,
                pid,
                leftovers,
            } => {
                let grace = human(self.config.stop_timeout);
                let what = if leftovers {
                    "processes that a worker left did not stop in time, killing them"
                } else {
                    "worker did not stop in time, killing its process group"
                };
                warn!(%slot, %pid, grace, "{what}");
            }
            Note::Undead {
                slot,
                pid,
                leftovers,
            } => {
                if !leftovers {
                    self.release(pid);
                }
                error!(%slot, %pid, "a killed process does not end, going on without it");
            }
            Note::Leftovers { slot, pid } => {
                let (signal, grace) = (self.config.stop_signal, human(self.config.stop_timeout));
                info!(%slot, %pid, %signal, grace, "worker left processes in its group, stopping them");
            }
            Note::SpawnDelayed { slot, retry_in } => {
                warn!(%slot, retry_in = human(retry_in), "will try to start the worker again");
            }
            Note::StopRequested { .. }
            | Note::StopDrains { .. }
            | Note::StopBegins { .. }
            | Note::Hurried
            | Note::Stopped { .. } => self.narrate_stop(note),
            Note::RestartRequested => info!("restarting all workers"),
            Note::ReloadBegins { .. }
            | Note::ReloadRemembered { .. }
            | Note::ReloadEnded { .. }
            | Note::NotUp { .. }
            | Note::TookOver { .. }
            | Note::Renews { .. }
            | Note::Drains { .. }
            | Note::DrainEnded { .. }
            | Note::Scaled { .. }
            | Note::ScaleRefused { .. } => self.narrate_roll(note),
            Note::GivesUp { slot, streak, code } => self.gives_up(slot, streak, code),
            Note::Stranger { pid, exit } => {
                self.metrics.orphan_reaped();
                debug!(%pid, %exit, "reaped a process that was no worker");
            }
        }
    }

    /// What a worker that is not ready has not done.
    pub(super) fn missing(&self) -> &'static str {
        match (&self.config.ready, &self.config.ports) {
            (Ready::Tcp, _) => "it accepts no connection on a shared port",
            (Ready::Http(_), _) => "it does not answer the path of RPM_READY with a success",
            (Ready::Notify, _) => "it did not say READY=1 to NOTIFY_SOCKET",
            (_, Ports::List(_)) => "it does not listen on a port of RPM_PORTS",
            (_, Ports::Auto | Ports::Off) => "it does not listen on a shared port",
        }
    }

    /// Unless a better reason was given.
    fn gives_up(&mut self, slot: SlotId, streak: u32, code: u8) {
        if self.history.gave_up.is_some() {
            return;
        }
        error!(%slot, streak, code, "giving up");
        if self.history.asked_to_stop {
            return;
        }
        self.history.gave_up = Some(if streak == 0 {
            format!("gave up: no worker could be started (slot {slot})")
        } else {
            format!("gave up: slot {slot} cannot stay up (short lives in a row: {streak})")
        });
    }

    /// A program that takes its descriptor by activation has called listen with its own backlog.
    fn restore_backlog(&self) {
        if let Some(sharing) = &self.sharing
            && sharing.filter.is_none()
        {
            sharing.ports.restore_backlog();
        }
    }

    /// The next worker takes its listener, unless somebody has it already.
    fn release(&mut self, pid: Pid) {
        let listener = self.workers.take_listener(pid);
        if let (Some(sharing), Some(listener)) = (&self.sharing, listener) {
            sharing.ports.release(listener, pid);
        }
    }

    fn narrate_end(
        &mut self,
        slot: SlotId,
        pid: Pid,
        (exit, cause): (Exit, Cause),
        uptime: Duration,
        next: Next,
    ) {
        self.metrics.worker_exited(slot, cause, exit);
        if matches!(next, Next::Restart { .. }) {
            self.metrics.worker_restarted(slot);
        }
        self.release(pid);
        self.history.push(format!(
            "slot {slot} pid {pid}: {exit} after {}",
            human(uptime)
        ));
        // In tini's role the worker's status is the caller's business.
        let told = matches!(
            cause,
            Cause::Stop | Cause::Restart | Cause::Reload | Cause::Scale | Cause::MemoryLimit
        );
        let asked = told || self.config.one_shot();
        // Why it could not run its program has been said.
        let asked = asked || cause == Cause::ExecFailed;
        if cause == Cause::ExecFailed && next == Next::GivesUp {
            self.history.gave_up = Some("gave up: the program cannot be executed".to_owned());
        }
        let (uptime, next, reason) = (human(uptime), follows(next), cause.label());
        if asked || exit == Exit::Code(0) {
            info!(%slot, %pid, %exit, cause = reason, uptime, next, "worker ended");
        } else {
            error!(%slot, %pid, %exit, cause = reason, uptime, next, "worker ended");
        }
    }

    pub(super) fn narrate_port(event: &PortEvent) {
        match event {
            PortEvent::Opened { key, listeners } => info!(port = %key, listeners, "sharing a port"),
            PortEvent::NotOpened { key, reason } => {
                error!(port = %key, error = reason, "cannot share a port, the worker binds it by itself");
            }
            PortEvent::Superseded {
                opened,
                bound,
                waiting,
            } => {
                let hint = "name the address in RPM_PORTS as the program binds it";
                warn!(%opened, %bound, reset_clients = waiting, hint, "the program binds another address, closing the port");
            }
            PortEvent::Taken { worker, slot, key } => {
                debug!(%slot, pid = %worker, port = %key, "worker took its listener");
            }
            PortEvent::Listening { worker, slot, key } => {
                debug!(%slot, pid = %worker, port = %key, "worker listens");
            }
            PortEvent::Unseen { worker, slot } => {
                let hint = "another uid, or not dumpable";
                warn!(%slot, pid = %worker, hint, "cannot look into a process of the worker, what it binds is its own");
            }
            PortEvent::Repaired {
                key,
                listeners,
                rebuilt,
            } => {
                let lost = if *rebuilt {
                    "every queue of the port was"
                } else {
                    "its queue was"
                };
                warn!(port = %key, ?listeners, "a worker shut its listener down; listening again, {lost} reset");
            }
            PortEvent::Stranded {
                key,
                listener,
                count,
            } => {
                warn!(port = %key, listener = listener.0, connections = count, "connections came to a listener without a worker; passing them on to a live one (told once a minute)");
            }
            PortEvent::SteeringFailed { key, reason } => {
                error!(port = %key, error = reason, "cannot change where connections go, the last choice stays");
            }
        }
    }

    pub(super) fn ending(self, code: u8) -> Ending {
        let why = self.history.gave_up.clone().unwrap_or_else(|| match code {
            0 => "stopped".to_owned(),
            _ => "ended".to_owned(),
        });
        info!(code, "{why}");
        Ending {
            code,
            text: self
                .history
                .text(&format!("rpm-runtime: {why}, exit code {code}")),
        }
    }
}
