//! Signals that come to the runtime, and what each means (RPM_SIGNALS).

use tokio::io::Interest;
use tokio::net::UnixStream;
use tracing::info;

use crate::model::{Command, Sig, Trigger};
use crate::policy::{Event, SignalAction};
use crate::sys::signals::Signals;

use super::{Incoming, Supervisor};

impl Supervisor {
    /// Sends every pending signal to the loop. Registered signals stay registered as long as the process lives.
    pub(super) fn watch_signals(&self, mut signals: Signals, wakes: UnixStream) {
        let outbox = self.outbox.clone();
        tokio::spawn(async move {
            while wakes.readable().await.is_ok() {
                // Cleared first: what arrives while we look is reported again.
                let _ = wakes.try_io(Interest::READABLE, super::not_now);
                let pending = signals.pending();
                if !pending.is_empty() && outbox.send(Incoming::Signals(pending)).is_err() {
                    return;
                }
            }
        });
    }

    pub(super) fn signalled(&mut self, pending: &[Sig]) -> Event {
        let mut event = Event::Woke;
        for sig in pending.iter().copied().filter(|sig| *sig != Sig::CHLD) {
            self.metrics.signal_received(sig);
            match self.config.signals.action(sig) {
                SignalAction::Stop => {
                    info!(signal = %sig, "signal received, stopping");
                    // Two at once are one wish.
                    event = Event::Operator(Command::Stop);
                }
                SignalAction::Restart => {
                    info!(signal = %sig, "signal received, restarting every worker");
                    if event == Event::Woke {
                        event = Event::Operator(Command::Restart);
                    }
                }
                SignalAction::Reload => {
                    info!(signal = %sig, "signal received, reloading");
                    self.ask_for(Command::Reload(Trigger::Operator));
                }
                SignalAction::ScaleUp => {
                    info!(signal = %sig, "signal received, one worker more");
                    self.ask_for(Command::ScaleUp);
                }
                SignalAction::ScaleDown => {
                    info!(signal = %sig, "signal received, one worker less");
                    self.ask_for(Command::ScaleDown);
                }
                SignalAction::Forward => self.forward(sig, sig),
                SignalAction::ForwardAs(other) => self.forward(sig, other),
                SignalAction::Reopen => {
                    if self.config.log.files.any() {
                        info!(signal = %sig, "signal received, reopening log files");
                        self.log.reopen();
                    }
                    self.forward_reopen(sig);
                }
                SignalAction::Ignore => {
                    info!(signal = %sig, "signal received, ignoring it (RPM_SIGNALS)");
                }
            }
        }
        event
    }

    /// One event after the other: several signals may have come at once.
    fn ask_for(&self, command: Command) {
        // The loop holds the other end.
        let _ = self.outbox.send(Incoming::Asked(command));
    }
}
