//! What the runtime does on a signal.

use std::fmt;

use crate::model::Sig;

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
            Self::Forward => "forward",
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
    /// The table of a supervised service: TERM, INT and QUIT stop; HUP reloads; USR1 reopens; TTIN and TTOU scale;
    /// everything else is forwarded.
    pub fn service() -> Self {
        let mut table = Self::one_shot();
        for sig in [Sig::TERM, Sig::INT, Sig::QUIT] {
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

    /// The action for `sig`.
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
