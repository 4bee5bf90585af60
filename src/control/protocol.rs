//! The words of the protocol: one JSON object a line, each way. A field or a command is added without a new version; a
//! change of what is there makes one. Readers ignore fields that they do not know.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version of the protocol that this program speaks.
pub const VERSION: u32 = 1;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The version of the protocol.
    pub v: u32,
    /// What is asked.
    #[serde(flatten)]
    pub command: Command,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// The runtime and its workers: [`List`].
    List,
    /// The state in short, and the last reloads: [`Health`].
    Health,
    /// The resolved configuration: [`Env`].
    Env,
    /// Which runtime this is: [`Version`].
    Version,
    /// Replace every worker, one by one: [`Begun`].
    Reload,
    /// Stop all workers at once and start them again; or replace the worker of one slot: [`Done`].
    Restart {
        /// Only the worker of this slot.
        #[serde(default)]
        slot: Option<u16>,
    },
    /// Change the number of workers: [`Scaled`].
    Scale {
        /// To so many.
        #[serde(default)]
        to: Option<u16>,
        /// By so many more or, below 0, fewer.
        #[serde(default)]
        by: Option<i32>,
    },
    /// Send a signal to workers: [`Signalled`].
    Signal {
        /// Name or number.
        signal: String,
        /// Only to the worker of this slot.
        #[serde(default)]
        slot: Option<u16>,
    },
    /// Open the log files anew: [`Done`].
    Reopen,
}

impl Command {
    /// The names of all commands, in the order of the documentation.
    pub const NAMES: [&'static str; 9] = [
        "list", "health", "env", "version", "reload", "restart", "scale", "signal", "reopen",
    ];

    /// The name in a request, in the log and in the metric.
    pub fn name(&self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Health => "health",
            Self::Env => "env",
            Self::Version => "version",
            Self::Reload => "reload",
            Self::Restart { .. } => "restart",
            Self::Scale { .. } => "scale",
            Self::Signal { .. } => "signal",
            Self::Reopen => "reopen",
        }
    }

    /// The command as a person writes it, for the log: one line without control characters, of bounded length.
    pub fn words(&self) -> String {
        let name = self.name();
        let target =
            |slot: &Option<u16>| slot.map_or_else(|| "all".to_owned(), |slot| slot.to_string());
        match self {
            Self::Restart { slot } => format!("{name} {}", target(slot)),
            Self::Scale { to: Some(to), .. } => format!("{name} {to}"),
            Self::Scale { by, .. } => format!("{name} {:+}", by.unwrap_or_default()),
            Self::Signal { signal, slot } => {
                let plain = signal.chars().filter(char::is_ascii_alphanumeric);
                let signal: String = plain.take(20).collect();
                format!("{name} {signal} {}", target(slot))
            }
            Self::List | Self::Health | Self::Env | Self::Version | Self::Reload | Self::Reopen => {
                name.to_owned()
            }
        }
    }
}

/// `reload`: it has begun, or will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Its number among the reloads of [`Health`].
    pub reload: u64,
    /// Another one is in progress; it follows.
    pub remembered: bool,
}

/// Nothing more is to be said: an empty object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// `scale`: the number of workers wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scaled {
    /// Before.
    pub from: u16,
    /// Now.
    pub to: u16,
}

/// `signal`: who got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signalled {
    /// Number of workers.
    pub workers: usize,
}

/// The answer to a request. It has `result` or `error`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    /// The version of the protocol.
    pub v: u32,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<RawValue>>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Refusal>,
}

/// Why a request was not obeyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For programs.
    pub kind: Kind,
    /// For people: one line.
    pub text: String,
}

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The peer is neither root nor the user of the runtime. The connection is closed.
    NotAllowed,
    /// There are too many clients. The connection is closed.
    Busy,
    /// The line is no request, or too long. The connection is closed.
    Malformed,
    /// The runtime does not know this command or this version of the protocol.
    Unknown,
    /// The runtime cannot do it now, or not with these words.
    Refused,
    /// A kind that a later version knows.
    #[serde(other)]
    Other,
}

impl Refusal {
    /// A refusal of this kind.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }
}

/// `version`: which runtime this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The version of the runtime.
    pub version: String,
    /// The commit it was built from.
    pub revision: Option<String>,
    /// Its process, as it sees itself.
    pub pid: u32,
    /// The name of the application (RPM_APP_NAME).
    pub app: String,
}

/// `env`: the resolved configuration, as `rpm-runtime --check` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Env {
    /// Every variable, in the order of the documentation.
    pub variables: Vec<Variable>,
}

/// One variable of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What holds; `-` for nothing.
    pub value: String,
    /// Where it comes from: `default`, `environment`, `command line` or `file PATH`.
    pub source: String,
    /// How the value was calculated, if that is not obvious.
    pub note: Option<String>,
}

/// `health`: the state in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// `starting`, `running`, `reloading`, `draining` or `stopping`.
    pub state: String,
    /// What /readyz says: a worker is ready, and no stop was asked for.
    pub ready: bool,
    /// What /startupz says: all workers have been ready once.
    pub started: bool,
    /// Number of workers wanted.
    pub desired: u16,
    /// The number of the present version: how many reloads there were.
    pub generation: u32,
    /// How many workers are in which state.
    pub workers: Counts,
    /// The last reloads, the latest at the end.
    pub reloads: Vec<Reload>,
    /// How many new workers did not come up, in reloads or as replacements, since the start.
    pub failures: u64,
    /// Why the last of them did not.
    pub last_failure: Option<String>,
}

/// How many workers are in which state. A slot without a worker counts as `backoff` or `stopped`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// They serve.
    pub ready: usize,
    /// They serve, and are of the present generation.
    pub current: usize,
    /// They were started and do not serve yet.
    pub starting: usize,
    /// Slots whose next worker is due later.
    pub backoff: usize,
    /// Slots that stay empty.
    pub stopped: usize,
    /// They finish their requests.
    pub draining: usize,
    /// They were told to stop.
    pub retiring: usize,
}

/// A reload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reload {
    /// Its number: reloads are counted from 1.
    pub number: u64,
    /// The generation of its workers.
    pub generation: u32,
    /// Workers to replace.
    pub workers: usize,
    /// Workers that are replaced already.
    pub replaced: usize,
    /// `success`, `failure`, `superseded`; null while it runs.
    pub result: Option<String>,
    /// Why it failed.
    pub why: Option<String>,
    /// How long it took, or has taken so far.
    pub seconds: f64,
}

/// `list`: the runtime and its workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct List {
    /// Which runtime this is.
    pub runtime: Version,
    /// How long it runs.
    pub uptime_seconds: f64,
    /// The state in short.
    pub health: Health,
    /// Every slot; then new workers that do not serve yet; then workers that leave.
    pub workers: Vec<Worker>,
}

/// Where a worker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// It has the slot, or the slot is empty.
    Slot,
    /// It will take over the slot.
    Rising,
    /// It has left the slot.
    Leaving,
}

/// One worker, or an empty slot. What is not known is null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// The slot.
    pub slot: u16,
    /// Where it stands.
    pub place: Place,
    /// The process.
    pub pid: Option<i32>,
    /// Its generation.
    pub generation: u32,
    /// `starting`, `ready`, `backoff`, `stopped`, `draining` or `retiring`.
    pub state: String,
    /// Whether it serves.
    pub ready: bool,
    /// Since its start.
    pub uptime_seconds: Option<f64>,
    /// How often the slot got another worker.
    pub restarts: u64,
    /// How the last worker of the slot ended: `exit code 1`, `SIGKILL`.
    pub last_exit: Option<String>,
    /// Why it ended: a value of the label `cause` of `rpm_worker_exits_total`.
    pub last_cause: Option<String>,
    /// CPU time of the process since its start.
    pub cpu_seconds: Option<f64>,
    /// The same in percent of one CPU, over its life (as ps shows it).
    pub cpu_percent: Option<f64>,
    /// Resident memory of the process.
    pub memory_bytes: Option<u64>,
    /// Open connections of the slot's workers on shared ports.
    pub connections: Option<u64>,
    /// Connections that wait to be accepted, on all shared ports.
    pub queue: Option<u64>,
    /// Whether new connections go to it.
    pub in_rotation: Option<bool>,
    /// Seconds until the next start (backoff), the end of the drain, or SIGKILL.
    pub due_seconds: Option<f64>,
    /// Its own status text (sd_notify, STATUS=).
    pub status: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_name_in_a_request_and_in_the_list() {
        let signal = |signal: &str, slot| Command::Signal {
            signal: signal.to_owned(),
            slot,
        };
        let (to, by) = (Some(4), None);
        let all = [
            (Command::List, "list"),
            (Command::Health, "health"),
            (Command::Env, "env"),
            (Command::Version, "version"),
            (Command::Reload, "reload"),
            (Command::Restart { slot: None }, "restart all"),
            (Command::Scale { to, by }, "scale 4"),
            (signal("HUP", Some(3)), "signal HUP 3"),
            (Command::Reopen, "reopen"),
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
