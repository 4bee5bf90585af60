//! Performs actions and turns their outcomes into events.

use std::sync::PoisonError;

use nix::errno::Errno;
use tracing::warn;

use crate::config::Scope;
use crate::model::{Exit, Pid, Sig};
use crate::policy::{Action, Event, NotUp, Note};
use crate::sys::pid1::Role;
use crate::sys::signals;

use super::Supervisor;
use super::drains::WorkerDrain;
use super::lives::End;
use super::ports::Moment;
use super::report::Told;

impl Supervisor {
    /// Reports a decision.
    fn tell_people(&mut self, note: Note) {
        // An exception that nobody catches ends Node with this code.
        if let Note::Ended {
            slot,
            pid,
            exit: Exit::Code(1),
            ..
        } = note
        {
            self.tell_of_own_primary(slot, pid);
        }
        if let Note::Ended {
            slot,
            pid,
            exit,
            cause,
            uptime,
            ..
        } = note
        {
            let at = self.clock.unix_seconds();
            let end = End::new(slot, pid, at, exit, cause, uptime);
            self.lives.ended(end, self.workers.tail(pid).cloned());
        }
        let last_lines = match note {
            Note::NotUp {
                pid: Some(pid),
                why,
                ..
            } => {
                let tail = self.workers.tail(pid);
                let ended = matches!(why, NotUp::Ended(_));
                tail.map(|tail| tail.lines(ended)).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let drain = match note {
            Note::DrainEnded { pid, .. } => {
                let worker = self.workers.get(pid);
                worker.and_then(|worker| worker.drain.as_ref())
            }
            _ => None,
        };
        let unseen = drain.and_then(WorkerDrain::unseen);
        let blind = drain.is_some_and(WorkerDrain::blind);
        let not_passed = match note {
            Note::StillStarting { pid, .. }
            | Note::NotReady { pid, .. }
            | Note::NotUp { pid: Some(pid), .. } => {
                let worker = self.workers.get(pid);
                worker.and_then(|worker| {
                    let last = worker.not_passed.lock();
                    last.unwrap_or_else(PoisonError::into_inner).clone()
                })
            }
            _ => None,
        };
        self.reporter.tell(&Told {
            note,
            unseen,
            blind,
            not_passed: not_passed.as_deref(),
            unix_seconds: self.clock.unix_seconds(),
            ports: &self.port_table,
            last_lines: &last_lines,
        });
    }

    /// Performs one action. Returns the outcome if the policy waits for one.
    pub(super) fn perform(&mut self, action: &Action) -> Option<Event> {
        match *action {
            Action::Spawn {
                slot,
                listener,
                generation,
            } => return Some(self.start(slot, listener, generation)),
            Action::Scrape { pid, within } => return self.scrape(pid, within),
            Action::Message { pid } => {
                self.before_its_end(pid);
                self.send_shutdown(pid);
            }
            Action::Stop { pid } => {
                self.before_its_end(pid);
                self.tell(pid, self.config.life.stop_signal, false);
                // A stopped process handles its signal only when it continues.
                self.tell(pid, Sig::CONT, true);
            }
            Action::Resume { pid } => self.tell(pid, Sig::CONT, true),
            Action::Kill { pid } => {
                // The worker may have moved to another process group. It is not reaped, so its PID is its own.
                if let Err(errno) = signals::send(pid, Sig::KILL) {
                    warn!(
                        pid = pid.get(),
                        error = errno.desc(),
                        "cannot kill a worker"
                    );
                }
                self.tell(pid, Sig::KILL, true);
            }
            Action::StopGroup { pid, told } => {
                if !self.anything_left(pid) {
                    return Some(Event::GroupEmpty { pid });
                }
                self.tell_leftovers(pid, self.config.life.stop_signal);
                // Many servers treat a second stop signal as "stop now".
                let told = told && self.config.signals.scope == Scope::Group;
                // Perhaps all that is left is outside of the group.
                if !told && self.group_left(pid) {
                    self.tell(pid, self.config.life.stop_signal, true);
                    self.tell(pid, Sig::CONT, true);
                }
            }
            Action::KillGroup { pid } => {
                if !self.anything_left(pid) {
                    return Some(Event::GroupEmpty { pid });
                }
                // Checked again: since the last check the group may have ended, and another process group may use its
                // number.
                if self.group_left(pid) {
                    self.tell(pid, Sig::KILL, true);
                }
                self.tell_leftovers(pid, Sig::KILL);
            }
            Action::Release { pid, listener } => {
                if let Some(sharing) = &self.sharing {
                    sharing.ports.release(listener, pid);
                }
                self.rescue_orphans(listener);
            }
            Action::CheckListeners { pid } => self.check_listeners(pid),
            Action::CloseAbandonedPorts => self.close_abandoned_ports(),
            Action::Say(note) => self.tell_people(note),
            Action::Finish { code: _ } => {}
        }
        None
    }

    /// What must be done before a worker is told to stop. It may end, or shut its listener down, at once.
    fn before_its_end(&mut self, pid: Pid) {
        self.note_outsiders(pid);
        self.rescue_queue(pid, Moment::End);
        self.channel_stops(pid);
        if let Some(worker) = self.workers.get_mut(pid) {
            worker.told = true;
        }
    }

    pub(super) fn group_left(&self, leader: Pid) -> bool {
        crate::sys::reaper::group_left(leader, self.host.role == Role::Init)
    }

    fn tell(&self, pid: Pid, sig: Sig, group: bool) {
        let sent = if group {
            signals::send_group(pid, sig)
        } else {
            self.send(pid, sig)
        };
        if let Err(errno) = sent
            && !(group && errno == Errno::ESRCH)
        {
            warn!(pid = pid.get(), signal = %sig, error = errno.desc(), "cannot signal a worker");
        }
    }
}
