//! The commands: what a client can ask.

use serde::{Deserialize, Serialize};

use super::Wanted;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// The runtime and its workers: [`super::List`].
    List,
    /// Everything of one slot: [`super::Described`].
    Describe {
        /// The slot.
        slot: u16,
    },
    /// The state in short, and the last reloads: [`super::Health`].
    Health,
    /// The resolved configuration: [`super::Env`].
    Env,
    /// Which runtime this is: [`super::Version`].
    Version,
    /// Replace every worker, one by one: [`super::Begun`].
    Reload,
    /// Stop all workers at once and start them again; or replace the worker of one slot: [`super::Done`].
    Restart {
        /// Only the worker of this slot.
        #[serde(default)]
        slot: Option<u16>,
    },
    /// Stop the worker of a slot, or all; the slots stay empty until `start`: [`super::Slots`].
    Stop {
        /// Only this slot.
        #[serde(default)]
        slot: Option<u16>,
    },
    /// Start a worker in a slot that is empty, or in all that are: [`super::Slots`].
    Start {
        /// Only this slot.
        #[serde(default)]
        slot: Option<u16>,
    },
    /// Change the number of workers: [`super::Scaled`].
    Scale {
        /// To so many.
        #[serde(default)]
        to: Option<u16>,
        /// By so many more or, below 0, fewer.
        #[serde(default)]
        by: Option<i32>,
    },
    /// Send a signal to workers: [`super::Signalled`].
    Signal {
        /// Name or number.
        signal: String,
        /// Only to the worker of this slot.
        #[serde(default)]
        slot: Option<u16>,
    },
    /// Send a message on the Node channel of workers: [`super::Signalled`].
    Send {
        /// What the program gets.
        message: serde_json::Value,
        /// Only to the worker of this slot.
        #[serde(default)]
        slot: Option<u16>,
    },
    /// Open the log files anew: [`super::Done`].
    Reopen,
    /// Empty the log files, and the lines in memory: [`super::Emptied`].
    Flush,
    /// What happened last, and what happens: [`super::Event`].
    Events {
        /// What happens from now on.
        #[serde(default)]
        follow: bool,
        /// Only so many of the last ones; with `follow`, none by default.
        #[serde(default)]
        lines: Option<usize>,
    },
    /// The last lines of the workers and of the runtime, and those that come: [`super::LogLine`].
    Logs(Wanted),
}

impl Command {
    /// The names of all commands, in the order of the documentation.
    pub const NAMES: [&'static str; 16] = [
        "list", "describe", "health", "env", "version", "reload", "restart", "stop", "start",
        "scale", "signal", "send", "reopen", "flush", "events", "logs",
    ];

    /// The name in a request, in the log and in the metric.
    pub fn name(&self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Describe { .. } => "describe",
            Self::Health => "health",
            Self::Env => "env",
            Self::Version => "version",
            Self::Reload => "reload",
            Self::Restart { .. } => "restart",
            Self::Stop { .. } => "stop",
            Self::Start { .. } => "start",
            Self::Scale { .. } => "scale",
            Self::Signal { .. } => "signal",
            Self::Send { .. } => "send",
            Self::Reopen => "reopen",
            Self::Flush => "flush",
            Self::Events { .. } => "events",
            Self::Logs(_) => "logs",
        }
    }

    /// The command as a person writes it, for the log: one line without control characters, of bounded length.
    pub fn words(&self) -> String {
        let name = self.name();
        let target =
            |slot: &Option<u16>| slot.map_or_else(|| "all".to_owned(), |slot| slot.to_string());
        match self {
            Self::Restart { slot }
            | Self::Stop { slot }
            | Self::Start { slot }
            | Self::Send { slot, .. } => {
                format!("{name} {}", target(slot))
            }
            Self::Describe { slot } => format!("{name} {slot}"),
            Self::Scale { to: Some(to), .. } => format!("{name} {to}"),
            Self::Scale { by, .. } => format!("{name} {:+}", by.unwrap_or_default()),
            Self::Signal { signal, slot } => {
                let plain = signal.chars().filter(char::is_ascii_alphanumeric);
                let signal: String = plain.take(20).collect();
                format!("{name} {signal} {}", target(slot))
            }
            Self::List
            | Self::Health
            | Self::Env
            | Self::Version
            | Self::Reload
            | Self::Reopen
            | Self::Flush
            | Self::Events { .. }
            | Self::Logs(_) => name.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Request, VERSION};
    use super::*;

    #[test]
    fn every_command_has_its_name_in_a_request_and_in_the_list() {
        let signal = |signal: &str, slot| Command::Signal {
            signal: signal.to_owned(),
            slot,
        };
        let send = Command::Send {
            message: serde_json::json!({ "topic": "refresh", "data": [1, null] }),
            slot: Some(1),
        };
        let (to, by) = (Some(4), None);
        let (follow, lines) = (true, None);
        let all = [
            (Command::List, "list"),
            (Command::Describe { slot: 1 }, "describe 1"),
            (Command::Health, "health"),
            (Command::Env, "env"),
            (Command::Version, "version"),
            (Command::Reload, "reload"),
            (Command::Restart { slot: None }, "restart all"),
            (Command::Stop { slot: Some(2) }, "stop 2"),
            (Command::Start { slot: None }, "start all"),
            (Command::Scale { to, by }, "scale 4"),
            (signal("HUP", Some(3)), "signal HUP 3"),
            (send, "send 1"),
            (Command::Reopen, "reopen"),
            (Command::Flush, "flush"),
            (Command::Events { follow, lines }, "events"),
            (Command::Logs(Wanted::default()), "logs"),
        ];
        for ((command, words), name) in all.into_iter().zip(Command::NAMES) {
            assert_eq!(command.name(), name);
            assert_eq!(command.words(), words);
            let request = Request {
                v: VERSION,
                command,
            };
            let line = serde_json::to_string(&request).unwrap();
            assert!(line.contains(&format!("\"command\":\"{name}\"")), "{line}");
            assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
        }
        let (to, by) = (None, Some(-1));
        assert_eq!(Command::Scale { to, by }.words(), "scale -1");
        let hostile = signal(&"a\nb\x1b".repeat(99), None);
        assert_eq!(hostile.words(), format!("signal {} all", "ab".repeat(10)));
    }

    #[test]
    fn what_may_be_left_out_may_be_left_out() {
        let read = |text: &str| serde_json::from_str::<Request>(text).unwrap().command;
        let scale = Command::Scale {
            to: None,
            by: Some(1),
        };
        assert_eq!(read("{\"v\":1,\"command\":\"scale\",\"by\":1}"), scale);
        let signal = Command::Signal {
            signal: "1".to_owned(),
            slot: None,
        };
        assert_eq!(
            read("{\"v\":1,\"command\":\"signal\",\"signal\":\"1\",\"new\":true}"),
            signal
        );
    }
}
