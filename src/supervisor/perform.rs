//! Actions become calls; their outcomes become events.

use nix::errno::Errno;
use tracing::warn;

use crate::config::Scope;
use crate::model::{Pid, Sig};
use crate::policy::{Action, Event};
use crate::sys::pid1::Role;
use crate::sys::signals;

use super::Supervisor;

impl Supervisor {
    /// Does one thing. The outcome, if the policy waits for one.
    pub(super) fn perform(&mut self, action: &Action) -> Option<Event> {
        match *action {
            Action::Spawn {
                slot,
                listener,
                generation,
            } => return Some(self.start(slot, listener, generation)),
            Action::Stop { pid } => {
                if self.may_stop_now(pid) {
                    self.tell_to_stop(pid);
                }
            }
            Action::Kill { pid } => {
                // The worker may have moved to another group; it is unreaped, so its number is its own.
                if let Err(errno) = signals::send(pid, Sig::KILL) {
                    warn!(%pid, error = errno.desc(), "cannot kill a worker");
                }
                self.tell(pid, Sig::KILL, true);
            }
            // Many servers take a second stop signal as "now".
            Action::StopGroup { told: true, .. } if self.config.signal_scope == Scope::Group => {}
            Action::StopGroup { pid, told: _ } => {
                self.tell(pid, self.config.stop_signal, true);
                self.tell(pid, Sig::CONT, true);
            }
            Action::KillGroup { pid } => {
                // Asked again: since the last look the group may have ended, and its number may be somebody else's.
                if crate::sys::reaper::group_left(pid, self.host.role == Role::Init) {
                    self.tell(pid, Sig::KILL, true);
                }
            }
            Action::Say(note) => self.narrate(note),
            Action::Finish { code: _ } => {}
        }
        None
    }

    pub(super) fn tell_to_stop(&self, pid: Pid) {
        self.tell(pid, self.config.stop_signal, false);
        // A stopped process does not see its signal before it continues.
        self.tell(pid, Sig::CONT, true);
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
            warn!(%pid, signal = %sig, error = errno.desc(), "cannot signal a worker");
        }
    }
}
