//! Signals to the runtime, and the meaning of each (RPM_SIGNALS).

use tokio::io::Interest;
use tokio::net::UnixStream;
use tracing::info;

use crate::config::LogFormat;
use crate::model::{Command, Received, Sig, Trigger};
use crate::policy::{Event, SignalAction};
use crate::sys::signals::Signals;

use super::Supervisor;
use super::incoming::Incoming;

impl Supervisor {
    /// Sends every pending signal to the loop. Signals stay taken until the process ends.
    pub(super) fn watch_signals(&self, mut signals: Signals, wakes: UnixStream) {
        let outbox = self.outbox.clone();
        tokio::spawn(async move {
            while wakes.readable().await.is_ok() {
                // The readiness is cleared first, so that a signal that arrives during the check is reported again.
                let _ = wakes.try_io(Interest::READABLE, super::not_now);
                loop {
                    let (pending, more) = signals.pending();
                    if !pending.is_empty() && outbox.send(Incoming::Signals(pending)).is_err() {
                        return;
                    }
                    if !more {
                        break;
                    }
                    // A flood of signals must not keep the loop from its work.
                    tokio::task::yield_now().await;
                }
            }
        });
    }

    pub(super) fn signalled(&self, pending: &[Received], events: &mut Vec<Event>) {
        let mut commands = Vec::new();
        for received in pending.iter().filter(|one| one.sig != Sig::CHLD) {
            let sig = received.sig;
            self.metrics.signal_received(sig);
            match self.config.signals.actions.action_for(*received) {
                SignalAction::Stop => {
                    info!(signal = %sig, "signal received, stopping");
                    commands.push(Command::Stop);
                }
                SignalAction::Restart => {
                    info!(signal = %sig, "signal received, restarting every worker");
                    commands.push(Command::Restart);
                }
                SignalAction::Reload => {
                    info!(signal = %sig, "signal received, reloading");
                    commands.push(Command::Reload(Trigger::Operator));
                }
                SignalAction::ScaleUp => {
                    info!(signal = %sig, "signal received, adding one worker");
                    commands.push(Command::ScaleUp);
                }
                SignalAction::ScaleDown => {
                    info!(signal = %sig, "signal received, removing one worker");
                    commands.push(Command::ScaleDown);
                }
                SignalAction::Forward => self.forward(sig, sig),
                SignalAction::ForwardToTerminal => {
                    // A worker owns the terminal if it has inherited our stdout.
                    if self.config.log.format == LogFormat::Inherit {
                        self.forward(sig, sig);
                    }
                }
                SignalAction::ForwardAs(other) => self.forward(sig, other),
                SignalAction::Reopen => {
                    let logging = &self.config.log;
                    if logging.files.any() || logging.own.file.is_some() {
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
        events.extend(together(&commands).into_iter().map(Event::Operator));
    }
}

/// Combines the commands of signals that came at the same time. Two stops count as one, so that the second does not
/// skip the grace. Two restarts count as one. A stop replaces a restart. These come before all other commands.
fn together(commands: &[Command]) -> Vec<Command> {
    let asked = |command| commands.contains(&command).then_some(command);
    let first = asked(Command::Stop).or(asked(Command::Restart));
    let others = commands
        .iter()
        .copied()
        .filter(|command| !matches!(command, Command::Stop | Command::Restart));
    first.into_iter().chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELOAD: Command = Command::Reload(Trigger::Operator);

    #[test]
    fn two_stops_at_once_are_one_wish_and_come_first() {
        let asked = [RELOAD, Command::Stop, Command::ScaleUp, Command::Stop];
        let expected = [Command::Stop, RELOAD, Command::ScaleUp];
        assert_eq!(together(&asked), expected);
    }

    #[test]
    fn nothing_is_restarted_that_is_to_stop_or_twice() {
        let stop = [Command::Stop];
        assert_eq!(together(&[Command::Restart, Command::Stop]), stop);
        assert_eq!(together(&[Command::Stop, Command::Restart]), stop);
        let restart = [Command::Restart];
        assert_eq!(together(&[Command::Restart, Command::Restart]), restart);
    }

    #[test]
    fn everything_else_keeps_its_order_and_number() {
        let asked = [
            Command::ScaleDown,
            RELOAD,
            Command::ScaleUp,
            Command::ScaleUp,
        ];
        assert_eq!(together(&asked), asked);
        assert_eq!(together(&[]), []);
    }
}
