//! What the runtime does on a signal.

use std::fmt;

use crate::model::{Received, Sig};

/// The action for a received signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalAction {
    /// End the service.
    Stop,
    /// Stop and start every worker.
    Restart,
    /// Replace every worker, one after the other.
    Reload,
    /// Add one worker.
    ScaleUp,
    /// Remove one worker.
    ScaleDown,
    /// Pass it to every worker.
    Forward,
    /// Pass it to a worker that owns the terminal, and to no other.
    ForwardToTerminal,
    /// Pass another signal to every worker instead.
    ForwardAs(Sig),
    /// Reopen the log files, then pass the signal to every worker, because workers may have log files of their own.
    Reopen,
    /// Nothing.
    Ignore,
}

impl fmt::Display for SignalAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::ScaleUp => "scale-up",
            Self::ScaleDown => "scale-down",
            Self::Forward | Self::ForwardToTerminal => "forward",
            Self::ForwardAs(sig) => return write!(f, "forward:{}", sig.short_name()),
            Self::Reopen => "reopen",
            Self::Ignore => "ignore",
        })
    }
}

/// RPM_SIGNALS: an action for each signal that the runtime receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalTable {
    actions: [SignalAction; 65],
}

impl SignalTable {
    /// The table of a supervised service: TERM, INT and QUIT stop, and so do WINCH and RTMIN+3, which images inherit as
    /// their STOPSIGNAL (httpd, systemd); HUP reloads; USR1 reopens; TTIN and TTOU scale; everything else is forwarded.
    pub fn service() -> Self {
        let mut table = Self::one_shot();
        for sig in [Sig::TERM, Sig::INT, Sig::QUIT, Sig::WINCH, Sig::RTMIN_3] {
            table.set(sig, SignalAction::Stop);
        }
        table.set(Sig::HUP, SignalAction::Reload);
        table.set(Sig::TTIN, SignalAction::ScaleUp);
        table.set(Sig::TTOU, SignalAction::ScaleDown);
        table
    }

    /// The table for the role of tini (RPM_RESTART=never, one instance): all signals are forwarded, USR1 after the log
    /// files were reopened. The exceptions are the two signals that the terminal driver sends to a background process
    /// that uses the terminal.
    pub fn one_shot() -> Self {
        let mut table = Self {
            actions: [SignalAction::Forward; 65],
        };
        for sig in [Sig::TTIN, Sig::TTOU] {
            table.set(sig, SignalAction::Ignore);
        }
        table.set(Sig::USR1, SignalAction::Reopen);
        table
    }

    /// The action for a received signal. A WINCH of the kernel says that the terminal has another size. That is no
    /// order, and programs take WINCH for one that do not expect a terminal (httpd stops).
    pub fn action_for(&self, received: Received) -> SignalAction {
        match self.action(received.sig) {
            SignalAction::Ignore => SignalAction::Ignore,
            _ if received.sig == Sig::WINCH && !received.sent => SignalAction::ForwardToTerminal,
            action => action,
        }
    }

    /// The action for `sig` that a process sent.
    pub fn action(&self, sig: Sig) -> SignalAction {
        usize::try_from(sig.get())
            .ok()
            .and_then(|at| self.actions.get(at))
            .copied()
            .unwrap_or(SignalAction::Ignore)
    }

    /// Overrides one signal.
    pub fn set(&mut self, sig: Sig, action: SignalAction) {
        if let Some(entry) = usize::try_from(sig.get())
            .ok()
            .and_then(|at| self.actions.get_mut(at))
        {
            *entry = action;
        }
    }

    /// Overrides every signal (`*=...`), before the entries by name are applied.
    pub fn set_all(&mut self, action: SignalAction) {
        self.actions = [action; 65];
    }

    /// Whether the runtime receives this signal. It does not receive signals that cannot be caught, signals that report
    /// its own faults, SIGCHLD (it only means "reap"), and SIGPIPE (caused by the runtime's own writes).
    pub fn collects(sig: Sig) -> bool {
        sig.is_catchable() && !sig.is_fault() && sig != Sig::CHLD && sig != Sig::PIPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_signal_of_an_image_stops_and_a_terminal_of_another_size_does_not() {
        let service = SignalTable::service();
        let received = |sig, sent| service.action_for(Received { sig, sent });
        for sig in [Sig::TERM, Sig::WINCH, Sig::RTMIN_3] {
            assert_eq!(received(sig, true), SignalAction::Stop, "{sig}");
        }
        assert_eq!(received(Sig::WINCH, false), SignalAction::ForwardToTerminal);
        // The kernel sends these in the place of a person at the terminal.
        assert_eq!(received(Sig::INT, false), SignalAction::Stop);
        let one_shot = SignalTable::one_shot();
        let received = |sig, sent| one_shot.action_for(Received { sig, sent });
        assert_eq!(received(Sig::WINCH, true), SignalAction::Forward);
        assert_eq!(received(Sig::WINCH, false), SignalAction::ForwardToTerminal);
    }

    #[test]
    fn a_table_of_ones_own_decides_about_winch_too() {
        let mut table = SignalTable::service();
        table.set(Sig::WINCH, SignalAction::Forward);
        let sent = Received {
            sig: Sig::WINCH,
            sent: true,
        };
        assert_eq!(table.action_for(sent), SignalAction::Forward);
        table.set(Sig::WINCH, SignalAction::Ignore);
        for sent in [true, false] {
            let sig = Sig::WINCH;
            assert_eq!(
                table.action_for(Received { sig, sent }),
                SignalAction::Ignore
            );
        }
    }
}
