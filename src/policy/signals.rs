//! What a signal to the runtime means.

use crate::model::Sig;

/// What the runtime does when it receives a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalAction {
    /// End the service.
    Stop,
    /// Stop and start every worker.
    Restart,
    /// Replace every worker, one after the other.
    Reload,
    /// One worker more.
    ScaleUp,
    /// One worker less.
    ScaleDown,
    /// Pass it to every worker.
    Forward,
    /// Pass another signal to every worker instead.
    ForwardAs(Sig),
    /// Open the log files again, then pass it to every worker: they may have files of their own.
    Reopen,
    /// Nothing.
    Ignore,
}

/// RPM_SIGNALS: an action for each signal that can be collected.
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

    /// The table of tini's role (RPM_RESTART=never, one instance): everything is forwarded, USR1 after log files were
    /// reopened, except the two that the terminal driver sends to whoever touches it from the background.
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

    /// What to do on `sig`.
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

    /// Whether the runtime takes this signal at all: not what cannot be caught, not what reports a fault of its own,
    /// not SIGCHLD, which means "reap" and nothing else, and not SIGPIPE, which the runtime's own writes cause.
    pub fn collects(sig: Sig) -> bool {
        sig.is_catchable() && !sig.is_fault() && sig != Sig::CHLD && sig != Sig::PIPE
    }
}
