//! Every variable: its name, its default, what it is for, how its value is shown. Help, defaults, `--check` and the
//! search for misspelt names all read this table.

use super::names::Preset::{self, Computed, Text, Unset};
use super::names::Setting;
use super::output_variables::OUTPUT;
use super::show;
use super::types::Config;

pub(super) const fn row(
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

/// Default of RPM_SIGNALS for a service; a test holds it beside `SignalTable::service`.
const SERVICE_SIGNALS: &str =
    "HUP=reload,INT=stop,QUIT=stop,USR1=reopen,TERM=stop,TTIN=scale-up,TTOU=scale-down,*=forward";

/// The variables of this version, by group, in the order of the help text.
pub const GROUPS: &[(&str, &[Setting])] = &[
    ("The program", PROGRAM),
    ("Shared ports", PORTS),
    ("Start, end and restart of workers", LIFE),
    ("Reload, and what causes it", RELOAD),
    ("Health", HEALTH),
    ("Signals", SIGNALS),
    ("Output", OUTPUT),
    ("Administration", ADMINISTRATION),
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
    row(
        "RPM_ENV_FILE",
        Unset,
        "file of NAME=VALUE lines for workers, read at each start of one",
        |c| c.env_file.as_deref().map_or_else(show::nothing, show::path),
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
        Text("adaptive"),
        "which worker gets a connection: adaptive (by queues), random, hash, cpu",
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
        "a worker is ready when: auto, listen, notify, http:PATH, tcp, delay:2s",
        |c| show::ready(&c.ready),
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
        "RPM_DRAIN_TIMEOUT",
        Text("10s"),
        "longest wait for a worker's connections to end before that; 0: none",
        |c| show::duration(c.drain_timeout),
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

const RELOAD: &[Setting] = &[
    row(
        "RPM_RELOAD_SURGE",
        Computed("1; 0 where no port is shared, since two workers could not bind the same one"),
        "workers above RPM_INSTANCES during a reload: a number or a percentage",
        |c| show::share(c.surge),
    ),
    row(
        "RPM_RELOAD_UNAVAILABLE",
        Computed("0; 1 if RPM_RELOAD_SURGE is 0"),
        "workers below RPM_INSTANCES during a reload: a number or a percentage",
        |c| show::share(c.unavailable),
    ),
    row(
        "RPM_MIN_READY",
        Text("0s"),
        "a new worker must stay ready so long before the next is replaced",
        |c| show::duration(c.min_ready),
    ),
    row(
        "RPM_MAX_MEMORY",
        Unset,
        "a worker above it is replaced: 300Mi, 1G, or 80% of its share of memory",
        |c| c.max_memory.map_or_else(show::nothing, show::bytes),
    ),
    row(
        "RPM_CRON_RELOAD",
        Unset,
        "reloads at these times, UTC: minute hour day month weekday (0 4 * * *)",
        |c| {
            c.cron_reload
                .as_ref()
                .map_or_else(show::nothing, ToString::to_string)
        },
    ),
    row(
        "RPM_WATCH",
        Unset,
        "files and directories whose change reloads",
        |c| show::paths(&c.watch.paths),
    ),
    row(
        "RPM_WATCH_IGNORE",
        Text(".git,node_modules"),
        "names and paths below those that do not count; *, ?, **",
        |c| c.watch.ignore.to_string(),
    ),
    row(
        "RPM_WATCH_DELAY",
        Text("1s"),
        "nothing must have changed for so long before it reloads",
        |c| show::duration(c.watch.delay),
    ),
];

const HEALTH: &[Setting] = &[
    row(
        "RPM_HEALTH",
        Text("off"),
        "asks each worker: http:PATH, tcp, accept (does its queue move); off",
        |c| show::health(c.health.check.as_ref()),
    ),
    row("RPM_HEALTH_INTERVAL", Text("10s"), "how often", |c| {
        show::duration(c.health.interval)
    }),
    row(
        "RPM_HEALTH_TIMEOUT",
        Text("2s"),
        "an answer that takes longer is a failure",
        |c| show::duration(c.health.timeout),
    ),
    row(
        "RPM_HEALTH_FAILURES",
        Text("3"),
        "failures in a row after which a worker is replaced",
        |c| c.health.failures.to_string(),
    ),
];

const SIGNALS: &[Setting] = &[
    row(
        "RPM_SIGNALS",
        Computed(SERVICE_SIGNALS),
        "stop, restart, reload, scale-up, scale-down, forward[:X], ignore, reopen",
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

const ADMINISTRATION: &[Setting] = &[
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
        "RPM_APP_METRICS",
        Text("off"),
        "metrics of all workers, merged: /metrics, :PORT/PATH, multiproc; off",
        |c| show::metrics_source(c.app_metrics.source.as_ref()),
    ),
    row(
        "RPM_APP_METRICS_GAUGES",
        Unset,
        "gauges as one: queue_*=sum,*_ratio=avg; max, min, last, worker, drop",
        |c| show::gauges(&c.app_metrics.gauges),
    ),
    row(
        "RPM_APP_METRICS_INTERVAL",
        Text("5s"),
        "they are collected so often too, should a worker crash; 0: never",
        |c| show::duration(c.app_metrics.interval.unwrap_or_default()),
    ),
    row(
        "RPM_TERMINATION_LOG",
        Text("/dev/termination-log"),
        "file for the reason of the end, if it exists",
        |c| show::text(&c.termination_log.to_string_lossy()),
    ),
];
