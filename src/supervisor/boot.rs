//! Everything that may fail before the first worker: every error is fatal and explained. Afterwards none is.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;
use tracing::level_filters::LevelFilter;
use tracing::{info, warn};

use crate::config::{self, Config, Level, LogFormat};
use crate::control::{self, About, View};
use crate::log::{self, Log};
use crate::metrics::{self, CgroupLimits, Facts, Metrics, Scrape};
use crate::model::{HandoverInfo, Snapshot};
use crate::policy::{Fleet, Params, ReadyRule, RestartRule};
use crate::port::{SPARES, SharedPorts};
use crate::sys::cgroup::Limits;
use crate::sys::clock::Clock;
use crate::sys::listener;
use crate::sys::pid1::{FileLimit, Role};
use crate::sys::proc::Proc;

use super::choice::{Means, choose, ready_rule};
use super::sharing::share;
use super::{Supervisor, report};

/// The system refused what the start needs (sysexits.h has EX_OSERR at 71).
const EXIT_REFUSED: u8 = 71;

/// What the start is made of.
#[derive(Debug)]
pub struct Boot {
    /// What was asked.
    pub config: Config,
    /// What is odd about it.
    pub warnings: Vec<String>,
    /// Our environment.
    pub env: Vec<(OsString, OsString)>,
    /// Where we stand.
    pub role: Role,
    /// Descriptors; `None` if the limit could not be read.
    pub files: Option<FileLimit>,
    /// What the cgroup grants.
    pub limits: Limits,
    /// Started first of all.
    pub clock: Clock,
}

/// Why nothing was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootError {
    /// Exit code.
    pub code: u8,
    what: String,
}

impl BootError {
    /// The system refused to let us do `what`.
    pub fn refused(what: &str, error: &std::io::Error) -> Self {
        refused(format!("cannot {what}: {error}"))
    }
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rpm-runtime: {}; nothing was started", self.what)
    }
}

pub(super) fn refused(what: String) -> BootError {
    BootError {
        code: EXIT_REFUSED,
        what,
    }
}

/// Proves what the kernel allows, opens what is listed, starts the log, the hand-over and the admin endpoints.
/// Call it inside a `LocalSet`.
pub async fn boot(boot: Boot) -> Result<(Supervisor, Log), BootError> {
    let config = Arc::new(boot.config);
    let chosen = choose(&config)?;
    let log = start_log(&config)?;
    introduce(&config, boot.role, &boot.warnings, boot.files.as_ref());
    let info = &chosen.info;
    info!(handover = info.handover, steering = info.steering, reason = %info.reason, "ports");
    let (outbox, inbox) = unbounded_channel();
    let ready = ready_rule(&config, &chosen);
    let ask = ready.1;
    let limits = (ask, boot.files.as_ref());
    let sharing = match chosen.handover {
        Means::Nothing => None,
        Means::Activation => Some(share(&config, chosen.steering, None, limits, &outbox)?),
        Means::Interception(filter) => Some(share(
            &config,
            chosen.steering,
            Some(filter),
            limits,
            &outbox,
        )?),
    };
    let snapshot = Arc::new(Mutex::new(Snapshot::default()));
    let facts = facts(&boot.clock, &boot.limits, chosen.info.clone());
    let metrics = Metrics::new(config.instances.get(), facts)
        .map_err(|error| refused(format!("cannot set up the metrics: {error}")))?;
    let metrics = Arc::new(metrics);
    let clock = boot.clock;
    let fleet = Fleet::new(params(&config, ready.0), clock.now());
    *snapshot.lock().unwrap_or_else(PoisonError::into_inner) = fleet.snapshot();
    let supervisor = Supervisor {
        env: boot.env,
        role: boot.role,
        files: boot.files,
        fleet,
        now: clock.now(),
        clock,
        log: log.clone(),
        metrics,
        snapshot,
        sharing,
        rotation: crate::policy::Rotation::default(),
        inbox,
        outbox,
        beginning: HashMap::new(),
        asking: HashMap::new(),
        history: report::History::default(),
        gave_up: None,
        asked_to_stop: false,
        let_go: false,
        config,
    };
    serve_admin(&supervisor, chosen.info).await?;
    Ok((supervisor, log))
}

fn start_log(config: &Config) -> Result<Log, BootError> {
    let (format, out) = match config.log_format {
        LogFormat::Raw => (
            log::Format::Raw,
            listener::duplicate(std::io::stdout().as_fd()),
        ),
        LogFormat::Prefix => (
            log::Format::Prefix,
            listener::duplicate(std::io::stdout().as_fd()),
        ),
        // The workers' stdout is data of theirs.
        LogFormat::Inherit => (
            log::Format::Raw,
            listener::duplicate(std::io::stderr().as_fd()),
        ),
    };
    let out = out.map_err(|errno| {
        refused(format!(
            "cannot copy the descriptor of the output: {}",
            errno.desc()
        ))
    })?;
    let settings = log::Settings {
        format,
        app_name: config.app_name.clone(),
        max_line: log::Settings::MAX_LINE,
        out,
    };
    let log = log::start(settings)
        .map_err(|errno| refused(format!("cannot start the log: {}", errno.desc())))?;
    let level = match config.log_level {
        Level::Off => LevelFilter::OFF,
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    // Fails only if there is one already, as where a test boots twice.
    let _ = tracing::subscriber::set_global_default(log::subscriber(&log, level));
    Ok(log)
}

fn introduce(config: &Config, role: Role, warnings: &[String], files: Option<&FileLimit>) {
    for warning in warnings {
        warn!("{warning}");
    }
    let program = shown(&config.argv);
    let version = env!("CARGO_PKG_VERSION");
    let pid = std::process::id();
    info!(version, pid, app = %config.app_name, instances = config.instances.get(), %program, "starting");
    match role {
        Role::Init => {}
        Role::Subreaper => {
            info!("not PID 1; orphans of the workers come to us all the same (subreaper)");
        }
        Role::Bystander(errno) => {
            warn!(
                error = errno.desc(),
                "not PID 1 and no subreaper: orphans of the workers go to somebody else"
            );
        }
    }
    let needed = descriptors(config);
    if let Some(files) = files.filter(|files| files.current < needed) {
        let limit = files.current;
        warn!(
            limit,
            needed, "RLIMIT_NOFILE is low for so many workers; some may not start"
        );
    }
}

/// Descriptors that we need: two pipes, a notifier and what a start takes for each worker, a group of listeners for each
/// shared port, a score of our own. A program may bind more ports than one under `auto`; that is not known here.
fn descriptors(config: &Config) -> u64 {
    let workers = u64::from(config.instances.get());
    let ports = match &config.ports {
        _ if !config.shares_ports() => 0,
        config::Ports::List(list) => list.len(),
        config::Ports::Auto | config::Ports::Off => 1,
    };
    let ports = u64::try_from(ports).unwrap_or(u64::MAX);
    20 + workers * 4 + ports.saturating_mul(workers + u64::from(SPARES))
}

/// The program and its arguments, as far as a line of the log takes them.
fn shown(argv: &[OsString]) -> String {
    const MOST: usize = 200;
    let mut text = argv
        .iter()
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ");
    if let Some((end, _)) = text.char_indices().nth(MOST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

fn params(config: &Config, ready: ReadyRule) -> Params {
    Params {
        instances: config.instances.get(),
        ready,
        ready_timeout: config.ready_timeout,
        restart: match config.restart {
            config::Restart::Always => RestartRule::Always,
            config::Restart::OnFailure => RestartRule::OnFailure,
            config::Restart::Never => RestartRule::Never,
        },
        stop_exit_codes: config.stop_exit_codes.clone(),
        exit_ok: config.exit_ok.clone(),
        min_uptime: config.min_uptime,
        max_restarts: config.max_restarts,
        backoff: config.backoff,
        stop_timeout: config.stop_timeout,
        shutdown_delay: config.shutdown_delay,
    }
}

fn facts(clock: &Clock, limits: &Limits, handover: HandoverInfo) -> Facts {
    #[expect(
        clippy::cast_precision_loss,
        reason = "thousandths of a CPU are far below 2^52"
    )]
    let cpu_cores = limits.cpu_milli.map(|milli| milli as f64 / 1000.0);
    Facts {
        version: env!("CARGO_PKG_VERSION"),
        revision: option_env!("RPM_BUILD_REVISION"),
        target: target(),
        handover,
        wall_start: clock.wall_start(),
        cgroup: CgroupLimits {
            cpu_cores,
            memory_bytes: limits.memory,
            pids: limits.pids,
        },
        proc: Proc::new("/proc"),
    }
}

/// The target as far as a build tells it without a script: architecture and system.
const fn target() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "aarch64-linux"
    } else {
        "x86_64-linux"
    }
}

async fn serve_admin(supervisor: &Supervisor, handover: HandoverInfo) -> Result<(), BootError> {
    let config = &supervisor.config;
    let Some(addr) = config.admin_addr else {
        return Ok(());
    };
    let listener = match TcpListener::bind(addr).await {
        Ok(listener) => listener,
        // In tini's role a second runtime beside the first is common (a one-off command in a running container).
        Err(error) if config.one_shot() => {
            warn!(%addr, %error, "no admin endpoints (RPM_ADMIN_ADDR)");
            return Ok(());
        }
        Err(error) => {
            return Err(refused(format!(
                "cannot open the admin address {addr} (RPM_ADMIN_ADDR): {error}; set another, or off"
            )));
        }
    };
    if let Ok(bound) = listener.local_addr() {
        info!(addr = %bound, "admin endpoints: /livez /readyz /startupz /status /metrics");
    }
    let queues = {
        let ports = supervisor
            .sharing
            .as_ref()
            .map(|sharing| sharing.ports.clone());
        move || ports.as_ref().map(SharedPorts::queues).unwrap_or_default()
    };
    let snapshot = {
        let snapshot = Arc::clone(&supervisor.snapshot);
        move || {
            snapshot
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        }
    };
    let page = {
        let (metrics, log) = (Arc::clone(&supervisor.metrics), supervisor.log.clone());
        let (queues, snapshot) = (queues.clone(), snapshot.clone());
        move || {
            metrics.render(&Scrape {
                snapshot: &snapshot(),
                queues: queues(),
                log: log.totals(),
            })
        }
    };
    let view = View {
        about: About {
            app: config.app_name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            revision: option_env!("RPM_BUILD_REVISION"),
            pid: std::process::id(),
        },
        now: Box::new(supervisor.clock.reader()),
        snapshot: Box::new(snapshot),
        handover: Box::new(move || handover.clone()),
        queues: Box::new(queues),
        metrics: Box::new(page),
        metrics_type: metrics::CONTENT_TYPE,
    };
    tokio::task::spawn_local(control::serve(listener, view, control::Limits::default()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_command_line_is_cut_between_two_letters() {
        assert_eq!(
            shown(&["sh".into(), "-c".into(), "true".into()]),
            "sh -c true"
        );
        let whole = "é".repeat(200);
        assert_eq!(shown(&[whole.clone().into()]), whole);
        assert_eq!(shown(&[whole.clone().into(), "x".into()]), whole + "…");
    }
}
