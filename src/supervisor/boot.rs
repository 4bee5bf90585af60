//! All steps that may fail before the first worker starts. Each error is fatal and is explained. Afterwards no error is
//! fatal.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::config::{Config, EXIT_CONFIG, Line};
use crate::control::Closing;
use crate::log::Log;
use crate::metrics::{CgroupCounters, Facts, Metrics};
use crate::model::{HandoverInfo, PortSet, Snapshot};
use crate::policy::handover::PortRule;
use crate::policy::paths::BoundPaths;
use crate::policy::{Fleet, Params, PortTable, Share};
use crate::sys::cgroup::Places;
use crate::sys::clock::Clock;
use crate::sys::inherited::Inherited;
use crate::sys::listener;
use crate::sys::pid1::{FileLimit, Role};
use crate::sys::proc::Proc;

use super::app_metrics::AppMetrics;
use super::control::Answers;
use super::descriptors::descriptors;
use super::drains::DrainWatch;
use super::environment::Environment;
use super::gathering::Gathering;
use super::handover::{Chosen, Means, choose};
use super::incoming::Lateness;
use super::leftovers::Leftovers;
use super::lives::Lives;
use super::node::Node;
use super::observation::Observation;
use super::ports::share;
use super::report::{Events, Reloads, Reporter};
use super::triggers::OomKills;
use super::worker::Workers;
use super::{Host, Supervisor};

/// Exit code if the system refused something that the start needs (EX_OSERR of sysexits.h).
const EXIT_REFUSED: u8 = 71;

/// The inputs of the start.
#[derive(Debug)]
pub struct Boot {
    /// The configuration.
    pub config: Config,
    /// Warnings about the configuration.
    pub warnings: Vec<String>,
    /// The configuration, as `--check` shows it.
    pub lines: Vec<Line>,
    /// The runtime's own environment.
    pub env: Vec<(OsString, OsString)>,
    /// The role of this process: init, subreaper, or neither.
    pub role: Role,
    /// The limit of open descriptors; `None` if it could not be read.
    pub files: Option<FileLimit>,
    /// The sockets that it was started with.
    pub inherited: Inherited,
    /// Where the cgroups are.
    pub places: Places,
    /// A clock that was started before everything else.
    pub clock: Clock,
}

/// Why the start failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootError {
    /// Exit code.
    pub code: u8,
    what: String,
}

impl BootError {
    /// The system refused `what`.
    pub fn refused(what: &str, error: &std::io::Error) -> Self {
        refused(format!("cannot {what}: {error}"))
    }
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rpm-runtime: {}; nothing was started", self.what)
    }
}

/// The configuration asks for what cannot be.
pub(super) fn misconfigured(what: String) -> BootError {
    BootError {
        code: EXIT_CONFIG,
        what,
    }
}

pub(super) fn refused(what: String) -> BootError {
    BootError {
        code: EXIT_REFUSED,
        what,
    }
}

/// Tests what the kernel allows, opens the listed ports, and starts the log, the handover and the admin endpoints. Must
/// be called inside a `LocalSet`.
pub async fn boot(boot: Boot) -> Result<(Supervisor, Log), BootError> {
    let mut config = boot.config;
    let mut warnings = boot.warnings;
    warnings.extend(without_ipv6(&mut config, listener::has_ipv6));
    let config = Arc::new(config);
    let kind = super::node::decide(&config, &boot.env);
    if let Some(what) = super::node::refusal(&config, kind) {
        return Err(misconfigured(what));
    }
    let chosen = choose(&config, super::node::asks(kind).is_ok())?;
    let log = super::logging::start(&config, &boot.env)?;
    introduce(&config, boot.role, &warnings, boot.files.as_ref());
    super::node::warn_of_no_drain(&config, kind.err());
    chosen.tell();
    let (outbox, inbox) = unbounded_channel();
    let observation = Observation::of(&config, &chosen);
    observation.warn();
    let files = boot.files.as_ref();
    let mut port_table = PortTable::default();
    let params = params(&config, &chosen, &observation, &mut port_table);
    let clock = boot.clock.clone();
    let fleet = Fleet::new(params, clock.now());
    let listeners = fleet.listeners();
    let settings = (chosen.steering, listeners, files);
    let sharing = match chosen.handover {
        Means::Nothing => None,
        means => Some(share(&config, means, settings, &outbox)?),
    };
    let handles = (boot.inherited, &log, &outbox);
    let events = Events::default();
    let starts = |kind| Node::start(kind, &config, sharing.as_ref(), handles, &events);
    let node = kind.ok().map(starts).transpose()?;
    if node.is_some() {
        super::node::tell_of_scheduling(&boot.env);
    }
    let ports = sharing.as_ref().map(|sharing| sharing.ports.clone());
    let app_metrics = AppMetrics::start(&config, ports.clone(), observation.app_metrics)?;
    let snapshot = Arc::new(Mutex::new(Snapshot::default()));
    let facts = facts(&clock, &boot.places, &config, chosen.info.clone());
    let metrics = Metrics::new(config.program.instances.get(), facts)
        .map_err(|error| refused(format!("cannot set up the metrics: {error}")))?;
    let metrics = Arc::new(metrics);
    *snapshot.lock().unwrap_or_else(PoisonError::into_inner) = fleet.snapshot();
    let oom = OomKills::find(&boot.places);
    if oom.takes_all() {
        warn!(
            "memory.oom.group is set here: if one worker exceeds the container's memory, the kernel kills all processes \
             of the container; RPM_MAX_MEMORY replaces workers before that"
        );
    }
    let reloads = Reloads::default();
    let reporter = Reporter::new(&config, &metrics, &reloads, &events);
    let gathering = Rc::new(Gathering::new(&snapshot, &reloads, &clock, ports));
    let host = Host {
        role: boot.role,
        files: boot.files,
        // In the role of tini, the score of the only worker is not changed.
        oom_score_adj: (!config.one_shot())
            .then(crate::sys::pid1::worker_oom_score_adj)
            .flatten(),
        oom,
        places: boot.places,
    };
    let worker_memory = watch::Sender::new(config.reload.max_memory);
    let mut supervisor = Supervisor {
        config,
        environment: Environment::new(boot.env),
        host,
        observation,
        fleet,
        port_table,
        paths: BoundPaths::default(),
        now: clock.now(),
        lateness: Lateness::default(),
        clock,
        log: log.clone(),
        metrics,
        worker_memory,
        app_metrics,
        sharing,
        node,
        snapshot,
        gathering,
        lives: Lives::default(),
        workers: Workers::default(),
        drains: DrainWatch::default(),
        leftovers: Leftovers::default(),
        reporter,
        reloads,
        events,
        control: None,
        closing: Closing::default(),
        answers: Answers::default(),
        inbox,
        outbox,
    };
    super::admin::serve(&supervisor, chosen.info.clone())?;
    supervisor.control = super::control::serve(&supervisor, boot.lines, chosen.info);
    Ok((supervisor, log))
}

/// Decides once what all addresses are here, before ports are opened and before workers bind them. Returns a warning if
/// RPM_PORTS names addresses that this host does not have.
fn without_ipv6(config: &mut Config, has_ipv6: impl FnOnce() -> bool) -> Option<String> {
    let here = config.ports.shared.without_ipv6();
    let here = here.filter(|_| !has_ipv6())?;
    let warning = format!(
        "there is no IPv6 on this host: RPM_PORTS={} is {here}",
        config.ports.shared
    );
    config.ports.shared = here;
    Some(warning)
}

fn introduce(config: &Config, role: Role, warnings: &[String], files: Option<&FileLimit>) {
    for warning in warnings {
        warn!("{warning}");
    }
    // Arguments may hold secrets, so they are counted only.
    let (program, arguments) = match config.program.argv.split_first() {
        Some((program, arguments)) => (shown(program), arguments.len()),
        None => (String::new(), 0),
    };
    let version = env!("CARGO_PKG_VERSION");
    let pid = std::process::id();
    let app = config.program.app(&config.program.found);
    info!(
        version,
        pid,
        app = app.name,
        app_version = app.version,
        app_revision = app.revision,
        app_branch = app.branch,
        instances = config.program.instances.get(),
        program,
        arguments,
        "starting"
    );
    match role {
        Role::Init => {}
        Role::Subreaper => {
            info!("not PID 1, but a subreaper: the runtime reaps orphans of the workers");
        }
        Role::Bystander(errno) => {
            warn!(
                error = errno.desc(),
                "not PID 1 and no subreaper: another process reaps orphans of the workers"
            );
        }
    }
    let limit = files.map_or(u64::MAX, |files| files.current);
    let needed = descriptors(config, limit);
    if limit < needed {
        warn!(
            limit,
            needed, "RLIMIT_NOFILE is too low for this number of workers; some may not start"
        );
    }
}

/// The program, shortened for a log line.
fn shown(program: &OsStr) -> String {
    const MOST: usize = 200;
    let mut text = program.to_string_lossy().into_owned();
    if let Some((end, _)) = text.char_indices().nth(MOST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

fn params(
    config: &Config,
    chosen: &Chosen,
    observation: &Observation,
    ports: &mut PortTable,
) -> Params {
    let listed = match &config.ports.shared {
        PortRule::Listed(list) if observation.sees_listen => list.port_names(),
        PortRule::Listed(_) | PortRule::Any | PortRule::Nothing => Vec::new(),
    };
    let mut expected = PortSet::EMPTY;
    for name in listed {
        // More ports than there are numbers are not waited for.
        let id = ports.id(&name, || expected);
        expected = id.map_or(expected, |id| expected.with(id));
    }
    // Ports should be shared but cannot be shared here: two workers could not bind the same port.
    let alone = config.shares_ports() && matches!(chosen.handover, Means::Nothing);
    let one = Share::Number(1);
    Params {
        instances: config.program.instances.get(),
        ready: observation.ready,
        waits_apart: observation.waits_apart,
        ports: expected,
        ready_timeout: config.life.ready_timeout,
        restart: config.life.restart,
        stop_exit_codes: config.life.stop_exit_codes.clone(),
        exit_ok: config.signals.exit_ok.clone(),
        min_uptime: config.life.min_uptime,
        max_restarts: config.life.max_restarts,
        backoff: config.life.backoff,
        stop_timeout: config.life.stop_timeout,
        shutdown_delay: config.life.shutdown_delay,
        // Without steering by the kernel, the runtime cannot keep new connections away from a worker.
        drain_timeout: chosen.steering.map(|_| config.life.drain_timeout),
        stop_message: config.life.stop_message,
        // Nobody asks for it without the admin endpoints.
        last_scrape: observation.app_metrics && config.admin.addr.is_some(),
        surge: if alone {
            Share::Number(0)
        } else {
            config.reload.surge
        },
        unavailable: if alone {
            one
        } else {
            config.reload.unavailable
        },
        min_ready: config.reload.min_ready,
        health_failures: config
            .health
            .check
            .as_ref()
            .filter(|_| observation.health)
            .map(|_| config.health.failures.get()),
    }
}

fn facts(clock: &Clock, places: &Places, config: &Config, handover: HandoverInfo) -> Facts {
    Facts {
        version: env!("CARGO_PKG_VERSION"),
        revision: option_env!("RPM_BUILD_REVISION"),
        target: target(),
        app: config.program.app(&config.program.found),
        handover,
        wall_start: clock.wall_start(),
        cgroup: CgroupCounters::find(places),
        worker_memory: config.reload.max_memory.map(|limit| limit.0),
        proc: Proc::new("/proc"),
    }
}

/// The build target, as far as it is known without a build script: architecture and system.
const fn target() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "aarch64-linux"
    } else {
        "x86_64-linux"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_ipv6_all_addresses_are_those_of_ipv4_and_a_line_says_so() {
        let mut config = crate::config::testing::with(&[("RPM_PORTS", "[::]:3000,9000")]);
        assert_eq!(without_ipv6(&mut config, || true), None);
        let told = without_ipv6(&mut config, || false).unwrap();
        assert!(
            told.ends_with("RPM_PORTS=[::]:3000,9000 is 0.0.0.0:3000,9000"),
            "{told}"
        );
        assert_eq!(config.ports.shared.to_string(), "0.0.0.0:3000,9000");
        assert_eq!(without_ipv6(&mut config, || false), None);
    }

    #[test]
    fn a_long_name_of_a_program_is_cut_between_two_letters() {
        let whole = "é".repeat(200);
        assert_eq!(shown(OsStr::new(&whole)), whole);
        assert_eq!(shown(OsStr::new(&format!("{whole}y"))), whole + "…");
    }
}
