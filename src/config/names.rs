//! Every variable: its name, its default, what it is for, how its value is shown. Help, defaults, `--check` and the
//! search for misspelt names all read this table.
#![forbid(unsafe_code)]

use super::show;
use super::types::Config;

/// What holds when a variable is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// As if this had been written.
    Text(&'static str),
    /// Something worked out from other settings, in words.
    Computed(&'static str),
    /// Nothing.
    Unset,
}

/// One variable of this version.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// Its default.
    pub preset: Preset,
    /// One line for somebody who has not read the manual.
    pub help: &'static str,
    /// The value that holds, written so that it could be given again.
    pub show: fn(&Config) -> String,
}

const fn row(
    name: &'static str,
    preset: Preset,
    help: &'static str,
    show: fn(&Config) -> String,
) -> Setting {
    Setting {
        name,
        preset,
        help,
        show,
    }
}

use Preset::{Computed, Text, Unset};

/// Default of RPM_SIGNALS for a service; a test holds it beside `SignalTable::service`.
const SERVICE_SIGNALS: &str =
    "HUP=ignore,INT=stop,QUIT=stop,TERM=stop,TTIN=ignore,TTOU=ignore,*=forward";

/// The variables of this version, by group, in the order of the help text.
pub const GROUPS: &[(&str, &[Setting])] = &[
    ("The program", PROGRAM),
    ("Shared ports", PORTS),
    ("Start, end and restart of workers", LIFE),
    ("Signals", SIGNALS),
    ("Output and administration", OUTPUT),
];

const PROGRAM: &[Setting] = &[
    row(
        "RPM_COMMAND",
        Unset,
        "the program, if no argument names it; split as a shell splits words",
        show::command,
    ),
    row(
        "RPM_APP_NAME",
        Computed("base name of the command"),
        "name in logs and status",
        |c| show::text(&c.app_name),
    ),
    row(
        "RPM_INSTANCES",
        Text("1"),
        "workers: a number, max (one for each granted CPU), max-K",
        |c| c.instances.to_string(),
    ),
    row(
        "RPM_EXEC_MODE",
        Computed("cluster; fork with RPM_RESTART=never, one instance and no RPM_PORTS"),
        "cluster: workers share ports; fork: the program's sockets are left alone",
        show::exec_mode,
    ),
    row(
        "RPM_INSTANCE_VAR",
        Text("NODE_APP_INSTANCE"),
        "variable that tells a worker its slot",
        |c| c.instance_var.clone(),
    ),
    row(
        "RPM_INCREMENT_VAR",
        Unset,
        "variable that is raised by the slot, e.g. PORT",
        |c| {
            c.increment
                .as_ref()
                .map_or_else(show::nothing, |(name, _)| name.clone())
        },
    ),
];

const PORTS: &[Setting] = &[
    row(
        "RPM_PORTS",
        Text("auto"),
        "auto: what the first worker binds; off; or a list: 3000,127.0.0.1:8080",
        |c| show::ports(&c.ports),
    ),
    row(
        "RPM_HANDOVER",
        Text("auto"),
        "how workers get a port: auto, intercept, activation (LISTEN_FDS)",
        |c| show::handover(c.handover),
    ),
    row(
        "RPM_BALANCE",
        Text("random"),
        "which worker gets a connection: random, hash (by client)",
        |c| show::balance(c.balance),
    ),
    row(
        "RPM_BACKLOG",
        Text("4096"),
        "connections that may wait for each worker; somaxconn caps it",
        |c| c.backlog.to_string(),
    ),
];

const LIFE: &[Setting] = &[
    row(
        "RPM_READY",
        Text("auto"),
        "a worker is ready when: auto, listen, tcp, delay:2s",
        |c| show::ready(c.ready),
    ),
    row(
        "RPM_READY_TIMEOUT",
        Text("30s"),
        "a worker that is not ready by then is replaced",
        |c| show::duration(c.ready_timeout),
    ),
    row(
        "RPM_STOP_SIGNAL",
        Text("TERM"),
        "first signal to a worker that shall end",
        |c| show::signal(c.stop_signal),
    ),
    row(
        "RPM_STOP_TIMEOUT",
        Text("10s"),
        "time between that and SIGKILL",
        |c| show::duration(c.stop_timeout),
    ),
    row(
        "RPM_SHUTDOWN_DELAY",
        Text("0s"),
        "keep serving so long after TERM, no longer ready",
        |c| show::duration(c.shutdown_delay),
    ),
    row(
        "RPM_RESTART",
        Text("always"),
        "always, on-failure, never",
        |c| show::restart(c.restart),
    ),
    row(
        "RPM_STOP_EXIT_CODES",
        Unset,
        "exit codes after which a worker stays down",
        |c| show::codes(&c.stop_exit_codes),
    ),
    row(
        "RPM_MIN_UPTIME",
        Text("1s"),
        "a shorter life counts as a failed start",
        |c| show::duration(c.min_uptime),
    ),
    row(
        "RPM_MAX_RESTARTS",
        Text("16"),
        "failed starts in a row before giving up; 0: never",
        |c| c.max_restarts.unwrap_or(0).to_string(),
    ),
    row(
        "RPM_BACKOFF_MIN",
        Text("100ms"),
        "wait after the first failed start, doubled each time",
        |c| show::duration(c.backoff.min()),
    ),
    row("RPM_BACKOFF_MAX", Text("15s"), "longest such wait", |c| {
        show::duration(c.backoff.max())
    }),
];

const SIGNALS: &[Setting] = &[
    row(
        "RPM_SIGNALS",
        Computed(SERVICE_SIGNALS),
        "SIGNAL=ACTION: stop, restart, forward, forward:NAME, ignore, reopen",
        |c| show::signals(&c.signals),
    ),
    row(
        "RPM_SIGNAL_SCOPE",
        Text("process"),
        "signals go to the worker's process or to its whole group",
        |c| show::scope(c.signal_scope),
    ),
    row(
        "RPM_EXIT_OK",
        Unset,
        "worker exit codes that are reported as 0",
        |c| show::codes(&c.exit_ok),
    ),
    row(
        "RPM_PDEATHSIG",
        Text("KILL"),
        "what workers get if a runtime that is not PID 1 dies; off",
        |c| c.pdeathsig.map_or_else(|| "off".to_owned(), show::signal),
    ),
];

const OUTPUT: &[Setting] = &[
    row(
        "RPM_LOG_FORMAT",
        Computed("raw; inherit with RPM_RESTART=never and one instance"),
        "workers' lines: raw, prefix ([name:slot]), inherit (our own stdout)",
        |c| show::log_format(c.log_format),
    ),
    row(
        "RPM_LOG_LEVEL",
        Computed("info; warn with RPM_RESTART=never and one instance"),
        "the runtime's own lines: off, error, warn, info, debug, trace",
        |c| show::level(c.log_level),
    ),
    row(
        "RPM_ADMIN_ADDR",
        Text("0.0.0.0:9464"),
        "metrics, probes, status; off",
        |c| {
            c.admin_addr
                .map_or_else(|| "off".to_owned(), |addr| addr.to_string())
        },
    ),
    row(
        "RPM_TERMINATION_LOG",
        Text("/dev/termination-log"),
        "file for the reason of the end, if it exists",
        |c| show::text(&c.termination_log.to_string_lossy()),
    ),
];

/// The variables of this version, one after the other.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    GROUPS.iter().flat_map(|(_, rows)| rows.iter())
}

/// The setting of that name.
pub(super) fn setting(name: &str) -> Option<&'static Setting> {
    settings().find(|setting| setting.name == name)
}

/// Where a name, or its `_FILE`, stands in the table; what is not in it stands in front.
pub(super) fn rank(name: &str) -> usize {
    let all = || {
        settings()
            .map(|setting| setting.name)
            .chain(LATER.iter().copied())
    };
    let file = name.strip_suffix("_FILE").unwrap_or(name);
    let at = |name: &str| all().position(|known| known == name);
    at(name).or_else(|| at(file)).map_or(0, |at| at + 1)
}

/// Known names that this version has no code for: setting one is a fault, since serving without the guard that was
/// asked for is worse. A name moves to the table above with the code that obeys it.
pub const LATER: &[&str] = &[
    "RPM_APP_VERSION",
    "RPM_APP_REVISION",
    "RPM_STOP_MESSAGE",
    "RPM_DRAIN_TIMEOUT",
    "RPM_RELOAD_SURGE",
    "RPM_RELOAD_UNAVAILABLE",
    "RPM_MIN_READY",
    "RPM_MAX_MEMORY",
    "RPM_CRON_RELOAD",
    "RPM_WATCH",
    "RPM_WATCH_IGNORE",
    "RPM_WATCH_DELAY",
    "RPM_ENV_FILE",
    "RPM_HEALTH",
    "RPM_HEALTH_INTERVAL",
    "RPM_HEALTH_TIMEOUT",
    "RPM_HEALTH_FAILURES",
    "RPM_LOG_TIMESTAMP",
    "RPM_LOG_STDERR",
    "RPM_LOG_OVERFLOW",
    "RPM_LOG_BUFFER",
    "RPM_LOG_MAX_LINE",
    "RPM_LOG_MULTILINE",
    "RPM_LOG_FILE",
    "RPM_LOG_ERROR_FILE",
    "RPM_LOG_ROTATE_SIZE",
    "RPM_LOG_ROTATE_EVERY",
    "RPM_LOG_RETAIN",
    "RPM_LOG_COMPRESS",
    "RPM_APP_METRICS",
    "RPM_HOME",
];

/// Variables that the runtime gives to workers: seen when one runtime runs inside another, and no setting.
pub(super) const GIVEN_TO_WORKERS: [&str; 3] = ["RPM_GENERATION", "RPM_INSTANCE", "RPM_WORKERS"];
