//! The configuration as typed values; the loop never sees a string. Names and defaults are in `names`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

use super::app_metrics::AppMetrics;
use super::ignore::Ignore;
use super::logging::Logging;
use super::schedule::Schedule;
use crate::model::Sig;
pub use crate::policy::Restart;
pub use crate::policy::handover::{PortRule, PortSpec};
pub use crate::policy::health::HealthCheck;
pub use crate::policy::steering::Balance;
use crate::policy::{Backoff, Bytes, Share, SignalTable};

/// RPM_EXEC_MODE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecMode {
    /// Workers share ports.
    Cluster,
    /// The program's sockets are left alone.
    Fork,
}

/// RPM_HANDOVER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// The first that works.
    Auto,
    /// Interception of `bind`.
    Intercept,
    /// `LISTEN_FDS`.
    Activation,
}

/// RPM_READY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// What the worker does first: listen on a shared port, or stay alive for RPM_MIN_UPTIME.
    Auto,
    /// It listens on a shared port.
    Listen,
    /// It says so itself, to NOTIFY_SOCKET (sd_notify(3)).
    Notify,
    /// It answers a request for this path, which begins with `/`, with a success.
    Http(String),
    /// It accepts a connection that was steered to it.
    Tcp,
    /// It has been alive for so long.
    Delay(Duration),
}

/// RPM_HEALTH and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What is asked of each worker; `None` is `off`.
    pub check: Option<HealthCheck>,
    /// RPM_HEALTH_INTERVAL; not 0.
    pub interval: Duration,
    /// RPM_HEALTH_TIMEOUT; not 0.
    pub timeout: Duration,
    /// RPM_HEALTH_FAILURES in a row.
    pub failures: NonZeroU32,
}

/// RPM_WATCH and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Files and directories, each once, as they were written; none: nothing is watched.
    pub paths: Vec<PathBuf>,
    /// RPM_WATCH_IGNORE.
    pub ignore: Ignore,
    /// RPM_WATCH_DELAY; not 0.
    pub delay: Duration,
}

/// RPM_SIGNAL_SCOPE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The worker itself.
    Process,
    /// Its whole process group.
    Group,
}

/// All that was asked of the runtime, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The program and its arguments; never empty, the first never empty.
    pub argv: Vec<OsString>,
    /// RPM_APP_NAME.
    pub app_name: String,
    /// RPM_INSTANCES, resolved.
    pub instances: NonZeroU16,
    /// RPM_EXEC_MODE. `Fork` too when nothing was said with RPM_RESTART=never and one instance (tini's role).
    pub exec_mode: ExecMode,
    /// RPM_INSTANCE_VAR.
    pub instance_var: String,
    /// RPM_INCREMENT_VAR and the number that slot 0 gets.
    pub increment: Option<(String, u64)>,
    /// RPM_ENV_FILE, which was readable and well-formed; for [`crate::config::env_file`].
    pub env_file: Option<PathBuf>,
    /// RPM_PORTS.
    pub ports: PortRule,
    /// RPM_HANDOVER.
    pub handover: Handover,
    /// RPM_BALANCE.
    pub balance: Balance,
    /// RPM_BACKLOG, connections; the kernel caps it by somaxconn.
    pub backlog: u32,
    /// RPM_READY.
    pub ready: Ready,
    /// RPM_READY_TIMEOUT.
    pub ready_timeout: Duration,
    /// RPM_STOP_SIGNAL.
    pub stop_signal: Sig,
    /// RPM_STOP_TIMEOUT, the grace.
    pub stop_timeout: Duration,
    /// RPM_DRAIN_TIMEOUT; 0 is no drain.
    pub drain_timeout: Duration,
    /// RPM_SHUTDOWN_DELAY.
    pub shutdown_delay: Duration,
    /// RPM_RESTART.
    pub restart: Restart,
    /// RPM_STOP_EXIT_CODES.
    pub stop_exit_codes: Vec<u8>,
    /// RPM_MIN_UPTIME.
    pub min_uptime: Duration,
    /// RPM_MAX_RESTARTS; `None` (written 0) never gives up.
    pub max_restarts: Option<u32>,
    /// RPM_BACKOFF_MIN and RPM_BACKOFF_MAX.
    pub backoff: Backoff,
    /// RPM_RELOAD_SURGE; with the next for [`crate::policy::allowance`].
    pub surge: Share,
    /// RPM_RELOAD_UNAVAILABLE; not 0 if the other is.
    pub unavailable: Share,
    /// RPM_MIN_READY.
    pub min_ready: Duration,
    /// RPM_MAX_MEMORY of one worker; a percentage is resolved.
    pub max_memory: Option<Bytes>,
    /// RPM_CRON_RELOAD.
    pub cron_reload: Option<Schedule>,
    /// RPM_WATCH, RPM_WATCH_IGNORE and RPM_WATCH_DELAY.
    pub watch: Watch,
    /// RPM_HEALTH, RPM_HEALTH_INTERVAL, RPM_HEALTH_TIMEOUT and RPM_HEALTH_FAILURES.
    pub health: Health,
    /// RPM_SIGNALS.
    pub signals: SignalTable,
    /// RPM_SIGNAL_SCOPE.
    pub signal_scope: Scope,
    /// RPM_EXIT_OK.
    pub exit_ok: Vec<u8>,
    /// RPM_PDEATHSIG; `None` is `off`.
    pub pdeathsig: Option<Sig>,
    /// RPM_LOG_*.
    pub log: Logging,
    /// RPM_ADMIN_ADDR; `None` is `off`.
    pub admin_addr: Option<SocketAddr>,
    /// RPM_APP_METRICS, RPM_APP_METRICS_GAUGES and RPM_APP_METRICS_INTERVAL; `off` if RPM_ADMIN_ADDR is.
    pub app_metrics: AppMetrics,
    /// RPM_TERMINATION_LOG.
    pub termination_log: PathBuf,
}

impl Config {
    /// tini's role: one worker, never started again. Its status is ours, and it gets what we got: stdin, terminal and
    /// inherited descriptors.
    pub fn one_shot(&self) -> bool {
        self.restart == Restart::Never && self.instances.get() == 1
    }

    /// Whether any port is shared: neither RPM_EXEC_MODE=fork nor RPM_PORTS=off.
    pub fn shares_ports(&self) -> bool {
        self.exec_mode == ExecMode::Cluster && self.ports != PortRule::Nothing
    }
}
