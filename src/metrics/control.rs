//! Metrics of the control socket: commands by result.

use prometheus::{IntCounterVec, Opts, Registry};

use super::page::register;

/// The commands, as the label names them. `connect` is a peer that was refused before it could say a command.
pub const CONTROL_COMMANDS: [&str; 17] = [
    "list", "describe", "health", "env", "version", "reload", "restart", "stop", "start", "scale",
    "signal", "send", "reopen", "flush", "events", "logs", "connect",
];

/// What could not be obeyed, by the labels `command` and `result`: a client for whom there is no place, and requests that are
/// no command of ours.
const FAULTS: [(&str, &str); 3] = [
    ("connect", "busy"),
    ("other", "malformed"),
    ("other", "unknown"),
];

/// Why a request could not be obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlFault {
    /// There is no place for the client.
    Busy,
    /// It is no request, or too long.
    Malformed,
    /// A command or version of the protocol that is not known.
    Unknown,
}

/// The results.
const RESULTS: [&str; 2] = ["ok", "refused"];

#[derive(Debug)]
pub(super) struct Control {
    commands: IntCounterVec,
}

impl Control {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let options = Opts::new(
            "rpm_control_commands_total",
            "Commands that came by the control socket, by command and result.",
        );
        let commands = IntCounterVec::new(options, &["command", "result"])?;
        let commands = register(registry, commands)?;
        for command in CONTROL_COMMANDS {
            for result in RESULTS {
                if (command, result) != ("connect", "ok") {
                    commands.get_metric_with_label_values(&[command, result])?;
                }
            }
        }
        for (command, result) in FAULTS {
            commands.get_metric_with_label_values(&[command, result])?;
        }
        Ok(Self { commands })
    }
}

impl super::Metrics {
    /// A command came by the control socket, and was obeyed or refused.
    pub fn control_command(&self, command: &str, obeyed: bool) {
        let [ok, refused] = RESULTS;
        let labels = [command, if obeyed { ok } else { refused }];
        if let Ok(counter) = self.control.commands.get_metric_with_label_values(&labels) {
            counter.inc();
        }
    }

    /// A client or a request of the control socket could not be taken.
    pub fn control_fault(&self, fault: ControlFault) {
        let [busy, malformed, unknown] = FAULTS;
        let (command, result) = match fault {
            ControlFault::Busy => busy,
            ControlFault::Malformed => malformed,
            ControlFault::Unknown => unknown,
        };
        let labels = [command, result];
        if let Ok(counter) = self.control.commands.get_metric_with_label_values(&labels) {
            counter.inc();
        }
    }
}
