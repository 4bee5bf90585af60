//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Arguments, Parser, Subcommand, ValueEnum, ValueHint};
use rpm_runtime::config::parse_duration;
use rpm_runtime::control::Address;

use crate::from_pm2::FromPm2;

/// Shows and steers a running rpm-runtime.
#[derive(Debug, Parser)]
#[command(
    name = "rpmctl",
    version,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 done; 1 it failed, or the runtime refused it; 2 the time of --timeout is over; 64 wrong words, or \
                  several runtimes and none chosen; 69 no runtime; 77 this user may not.\n\n\
                  `rpmctl COMMAND --help` shows an example of each command."
)]
pub struct Args {
    #[command(flatten)]
    pub globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Arguments)]
pub struct Globals {
    /// The RPM_HOME of the runtime; without it, the variable RPM_HOME and then the usual directories
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub home: Option<PathBuf>,
    /// The process of the runtime, if there are several
    #[arg(long, global = true, value_name = "PID")]
    pub pid: Option<u32>,
    /// The socket of the runtime: a path, or @NAME for one without a file
    #[arg(long, global = true, value_name = "ADDRESS", value_hint = ValueHint::FilePath, conflicts_with_all = ["home", "pid"])]
    pub socket: Option<Address>,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

impl Globals {
    /// Whether they name a runtime.
    pub fn chooses(&self) -> bool {
        self.home.is_some() || self.pid.is_some() || self.socket.is_some()
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the workers as a table.
    #[command(
        visible_alias = "ls",
        after_help = "CPU is a share of one CPU over the life of the process. A slot has a second line while a new worker starts in it or \
                      an old one leaves it.\n\nExample:\n  rpmctl list\n  rpmctl list --json"
    )]
    List,
    /// Show everything of one slot: its worker, command line, ports, how the last workers ended and what they said.
    #[command(
        after_help = "Of the environment it shows the names, and no values. What a worker said is the end of its stderr.\n\n\
                      Example:\n  rpmctl describe 0\n  rpmctl describe 0 --json"
    )]
    Describe {
        /// The slot
        slot: u16,
    },
    /// Show the workers on a live screen, and steer them by keys.
    #[command(
        after_help = "It needs a terminal: kubectl exec -it, docker exec -it. The key ? shows the keys. With NO_COLOR it has no colours.\n\n\
                      Example:\n  rpmctl monit"
    )]
    Monit,
    /// Show the state in short; exit code 0 if the service is ready.
    #[command(after_help = "Example:\n  rpmctl health")]
    Health,
    /// Show the resolved configuration, as `rpm-runtime --check` does.
    #[command(after_help = "Example:\n  rpmctl env")]
    Env,
    /// Wait until the service is ready. It also waits for the runtime itself to start.
    #[command(after_help = "Example:\n  rpmctl wait --started --timeout 2m && run-the-tests")]
    Wait(Wait),
    /// Translate an ecosystem file of pm2, or a command line of pm2-runtime, to variables of rpm-runtime.
    #[command(
        after_help = "Examples:\n  rpmctl from-pm2 ecosystem.config.js --env production --only api > api.env\n  \
                            rpmctl from-pm2 ecosystem.config.js --dir env\n  \
                            rpmctl from-pm2 -- app.js -i 4 --name web"
    )]
    FromPm2(FromPm2),
    /// Show the versions of rpmctl and of the runtime, if one runs.
    #[command(after_help = "Example:\n  rpmctl version")]
    Version,
    /// Replace every worker by a new one, one by one, while the others serve.
    #[command(
        after_help = "With --wait the exit code is 1, and the reason is told, if a new worker does not come up; the old workers \
                      serve on then.\n\nExample:\n  rpmctl reload --wait --timeout 5m"
    )]
    Reload(Waiting),
    /// Replace the worker of one slot; or stop all workers at once and start them again.
    #[command(
        after_help = "For a slot, the new worker starts first, as in a reload, and the old one stays if it does not come up. An empty slot \
                      gets its worker now. With `all` clients wait in the queue meanwhile; `rpmctl reload` does it one by one.\n\n\
                      Example:\n  rpmctl restart 2 --wait\n  rpmctl restart all"
    )]
    Restart {
        /// The slot, or all workers
        #[arg(value_name = "SLOT|all", value_parser = target)]
        target: Target,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Stop the worker of a slot, or all; the slots stay empty until `rpmctl start`.
    #[command(
        after_help = "The worker gets no new connections, finishes its requests, gets the stop signal, and after the grace SIGKILL. A slot \
                      that is halted stays empty through reloads and restarts of all. The runtime lives on, also if all slots are \
                      halted: it is not ready then, and clients wait.\n\nExample:\n  rpmctl stop 2 --wait\n  rpmctl stop all"
    )]
    Stop {
        /// The slot, or all
        #[arg(value_name = "SLOT|all", value_parser = target)]
        target: Target,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Start a worker in a slot that is empty, or in all that are.
    #[command(
        after_help = "If the last worker of the slot still finishes its requests, the new one starts when it has ended. With --wait the \
                      exit code is 1 if the worker does not come up; it is tried again all the same.\n\n\
                      Example:\n  rpmctl start 2 --wait\n  rpmctl start all"
    )]
    Start {
        /// The slot, or all
        #[arg(value_name = "SLOT|all", value_parser = target)]
        target: Target,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Change the number of workers.
    #[command(
        after_help = "Example:\n  rpmctl scale 4\n  rpmctl scale +1 --wait\n  rpmctl scale -1"
    )]
    Scale {
        /// So many workers, or so many more (+N) or fewer (-N)
        #[arg(value_name = "N|+N|-N", value_parser = number, allow_hyphen_values = true)]
        number: Number,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Send a signal to workers.
    #[command(after_help = "Example:\n  rpmctl signal USR2 all\n  rpmctl signal QUIT 3")]
    Signal {
        /// By name or number: HUP, SIGUSR2, 12
        name: String,
        /// The slot, or all workers
        #[arg(value_name = "SLOT|all", value_parser = target)]
        target: Target,
    },
    /// Send a message to the program: `process.on('message')` of Node gets it.
    #[command(
        after_help = "The message is JSON: a string, an object, any value. It goes on the Node channel, so only workers that are started as \
                      `node FILE` get it (RPM_NODE). With `all` the answer tells how many got it.\n\n\
                      Example:\n  rpmctl send all '{\"topic\":\"cache:clear\",\"data\":{}}'\n  rpmctl send 2 '\"dump\"'"
    )]
    Send {
        /// The slot, or all workers
        #[arg(value_name = "SLOT|all", value_parser = target)]
        target: Target,
        /// The message
        #[arg(value_name = "JSON", value_parser = message, allow_hyphen_values = true)]
        message: serde_json::Value,
    },
    /// Open the log files of the runtime anew, after another program has renamed them.
    #[command(
        after_help = "Programs that write their own log files get a signal instead: rpmctl signal USR1 all.\n\nExample:\n  \
                            rpmctl reopen"
    )]
    Reopen,
    /// Empty the log files of the runtime, and the lines that it keeps in memory.
    #[command(
        after_help = "Files that were rotated stay (RPM_LOG_RETAIN), and so does what docker and Kubernetes have of stdout. Only files are \
                      emptied that have been written to since the start.\n\nExample:\n  rpmctl flush"
    )]
    Flush,
    /// Show what happened last: starts, ends, reloads, checks, commands.
    #[command(
        after_help = "Times are in UTC. With --json each event is an object on a line; docs/control.md has the fields. It ends with the \
                      runtime.\n\nExamples:\n  rpmctl events --lines 20\n  rpmctl events -f --json"
    )]
    Events(Events),
    /// Show the last lines of the workers and of the runtime, from memory.
    #[command(
        after_help = "Each line has its slot: `3 |` for standard output, `3 !` for standard error; `rpm |` is the runtime. With -f it shows the \
                      last 15 lines first, without -f all that are kept (RPM_LOG_RING); --lines and --since choose others. It ends with the \
                      runtime. With --json each line is an object.\n\nExamples:\n  rpmctl logs -f\n  rpmctl logs --slot 2 --stderr --since \
                      5m\n  rpmctl logs -f --grep timeout"
    )]
    Logs(Logs),
    /// Print the script by which a shell completes words.
    #[command(
        after_help = "The packages for Debian bring it.\n\nExample:\n  rpmctl completion bash > ~/.local/share/bash-completion/completions/rpmctl\n  \
                      rpmctl completion zsh > /usr/local/share/zsh/site-functions/_rpmctl\n  \
                      rpmctl completion fish > ~/.config/fish/completions/rpmctl.fish"
    )]
    Completion {
        /// For which shell
        shell: Shell,
    },
    /// Print a page for man.
    #[command(
        hide = true,
        after_help = "Example:\n  rpmctl man > /usr/local/share/man/man1/rpmctl.1"
    )]
    Man {
        /// Of which program
        #[arg(default_value = "rpmctl")]
        page: Page,
    },
}

/// Shells whose words can be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// The pages for man.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Page {
    Rpmctl,
    RpmRuntime,
}

/// A number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    To(u16),
    By(i32),
}

/// One worker, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    All,
    Slot(u16),
}

impl Target {
    /// The slot; `None`: all.
    pub fn slot(self) -> Option<u16> {
        match self {
            Self::All => None,
            Self::Slot(slot) => Some(slot),
        }
    }
}

/// Which events.
#[derive(Debug, Arguments)]
pub struct Events {
    /// Show what happens from now on, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// So many of the last events first; all that are kept without -f, none with it
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<usize>,
}

/// Which lines.
#[derive(Debug, Arguments)]
pub struct Logs {
    /// Go on with the lines that come, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Only so many of the last lines
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<u64>,
    /// Only lines of the workers of this slot
    #[arg(long, value_name = "SLOT")]
    pub slot: Option<u16>,
    /// Only what workers wrote to standard error
    #[arg(long)]
    pub stderr: bool,
    /// Only lines of this time: 10s, 5m
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<Duration>,
    /// Only lines that contain this text; it is no pattern
    #[arg(long, value_name = "TEXT")]
    pub grep: Option<String>,
    /// Lines as they were written: with colours, and with all else that steers a terminal
    #[arg(long)]
    pub raw: bool,
}

/// Whether to wait for the end.
#[derive(Debug, Arguments)]
pub struct Waiting {
    /// Wait until it is done, and show how far it is
    #[arg(long)]
    pub wait: bool,
    /// How long to wait at most: 30s, 5m
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "10m", requires = "wait")]
    pub timeout: Duration,
}

/// What to wait for.
#[derive(Debug, Arguments)]
pub struct Wait {
    /// Until a worker is ready (the default)
    #[arg(long, conflicts_with = "started")]
    pub ready: bool,
    /// Until all workers have been ready once
    #[arg(long)]
    pub started: bool,
    /// How long at most: 500ms, 30s, 2m
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "60s")]
    pub timeout: Duration,
}

/// A duration as in a variable.
fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|wrong| format!("it {}; accepted: {}", wrong.what, wrong.accepted))
}

fn number(text: &str) -> Result<Number, String> {
    let relative = text.starts_with(['+', '-']);
    let number = if relative {
        text.parse().map(Number::By).ok()
    } else {
        text.parse().map(Number::To).ok()
    };
    number.ok_or_else(|| "it is not a number of workers; accepted: 4, +1, -1".to_owned())
}

/// Most bytes of a message: a request has at most 16 KiB.
const LONGEST: usize = 15 << 10;

fn message(text: &str) -> Result<serde_json::Value, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| {
        format!("it is not JSON ({error}); a word needs its quotes: '\"refresh\"'")
    })?;
    let length = value.to_string().len();
    if length > LONGEST {
        return Err(format!("it has {length} bytes; at most {LONGEST}"));
    }
    Ok(value)
}

fn target(text: &str) -> Result<Target, String> {
    if text.eq_ignore_ascii_case("all") {
        return Ok(Target::All);
    }
    let slot = text.parse().map(Target::Slot);
    slot.map_err(|_| "it is not a slot; accepted: a slot number such as 0, or all".to_owned())
}

#[cfg(test)]
mod tests;
