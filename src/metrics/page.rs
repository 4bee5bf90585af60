//! The metric families of the runtime and their page.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};

use crate::model::{
    AppInfo, BalanceSample, Cause, Exit, HandoverInfo, LogTotals, NodeTotals, QueueSample,
    RunState, Sig, SlotId, Snapshot,
};
use crate::sys::proc::Proc;

use super::app;
use super::cgroup::CgroupCounters;
use super::control::Control;
use super::family::{self, Family, flag};
use super::follow::Follows;
use super::process;
use super::roll::Rolls;
use super::workers::{self, ResourceHistory};
use crate::app_metrics::AppTotals;
use crate::exposition::Page;

/// Buckets for the time from the start of a worker until it is ready, seconds.
pub(super) const READY_BUCKETS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Signals whose series exist from the start, so that their first event is seen as an increase.
const SIGNALS: [&str; 10] = [
    "HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "WINCH", "TTIN", "TTOU", "CONT",
];

/// Facts that do not change while the runtime runs, and sources for the rest.
#[derive(Debug)]
pub struct Facts {
    /// Version of the runtime.
    pub version: &'static str,
    /// Commit of the build, if known.
    pub revision: Option<&'static str>,
    /// Target triple of the build.
    pub target: &'static str,
    /// The application, as known at the start; see [`Metrics::set_app`].
    pub app: AppInfo,
    /// How workers get their listener of the shared port, as known at the start; see [`Metrics::set_handover`].
    pub handover: HandoverInfo,
    /// Wall time of tick zero.
    pub wall_start: SystemTime,
    /// Limits and counters of the cgroup.
    pub cgroup: CgroupCounters,
    /// RPM_MAX_MEMORY at the start, bytes; see [`Metrics::set_worker_memory`].
    pub worker_memory: Option<u64>,
    /// The proc filesystem to read processes from.
    pub proc: Proc,
}

/// State for one page, besides the counters.
#[derive(Clone, Debug)]
pub struct Scrape<'a> {
    /// The fleet.
    pub snapshot: &'a Snapshot,
    /// Every listener, in any order.
    pub queues: Vec<QueueSample>,
    /// Connections on shared ports by slot; unknown slots are missing.
    pub connections: BTreeMap<SlotId, u64>,
    /// State of the balancing thread, if it runs.
    pub balance: Option<BalanceSample>,
    /// The log's own counters, which never decrease.
    pub log: LogTotals,
    /// Counts of the channels of Node workers; `None`: they have none.
    pub node: Option<NodeTotals>,
    /// Results of reading the workers' own metrics; `None`: they are not read.
    pub app: Option<AppTotals>,
}

/// Counts events and builds the page. Shared; every method takes `&self`.
#[derive(Debug)]
pub struct Metrics {
    facts: Facts,
    app: Mutex<AppInfo>,
    handover: Mutex<HandoverInfo>,
    pub(super) follows: Follows,
    history: Mutex<ResourceHistory>,
    boot: process::Boot,
    registry: Registry,
    exits: IntCounterVec,
    restarts: IntCounterVec,
    last_exit_code: IntGaugeVec,
    spawn_failures: IntCounter,
    ready_duration: Histogram,
    orphans: IntCounter,
    notify_refused: IntCounter,
    signals: IntCounterVec,
    pub(super) rolls: Rolls,
    pub(super) control: Control,
}

impl Metrics {
    /// Every label value that is known in advance starts at 0, for `slots` slots. Fails only if a name in the code is
    /// invalid.
    pub fn new(slots: u16, facts: Facts) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let metrics = Self {
            app: Mutex::new(facts.app.clone()),
            handover: Mutex::new(facts.handover.clone()),
            follows: Follows::new(&registry, facts.worker_memory)?,
            facts,
            history: Mutex::default(),
            boot: process::Boot::default(),
            exits: register(
                &registry,
                IntCounterVec::new(
                    Opts::new("rpm_worker_exits_total", "Workers that ended, by cause."),
                    &["cause"],
                )?,
            )?,
            restarts: register(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "rpm_worker_restarts_total",
                        "Workers that were started because the one before them in the slot had ended.",
                    ),
                    &["worker"],
                )?,
            )?,
            last_exit_code: register(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "rpm_worker_last_exit_code",
                        "How the slot's last worker ended: its exit code, or 128 + the signal.",
                    ),
                    &["worker"],
                )?,
            )?,
            spawn_failures: register(
                &registry,
                IntCounter::new(
                    "rpm_worker_spawn_failures_total",
                    "Workers that could not be started at all.",
                )?,
            )?,
            ready_duration: register(
                &registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "rpm_worker_ready_duration_seconds",
                        "Time from the start of a worker until it was ready.",
                    )
                    .buckets(READY_BUCKETS.into()),
                )?,
            )?,
            orphans: register(
                &registry,
                IntCounter::new(
                    "rpm_orphans_reaped_total",
                    "Ended processes that were not workers and that the runtime reaped as PID 1.",
                )?,
            )?,
            notify_refused: register(
                &registry,
                IntCounter::new(
                    "rpm_notify_refused_total",
                    "Messages of sd_notify that no process of the worker sent.",
                )?,
            )?,
            signals: register(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "rpm_signals_received_total",
                        "Signals the runtime received, by name.",
                    ),
                    &["signal"],
                )?,
            )?,
            rolls: Rolls::new(&registry)?,
            control: Control::new(&registry)?,
            registry,
        };
        metrics.reload_is_current(since_1970(metrics.facts.wall_start));
        for cause in Cause::ALL {
            metrics
                .exits
                .get_metric_with_label_values(&[cause.label()])?;
        }
        for slot in 0..slots {
            metrics
                .restarts
                .get_metric_with_label_values(&[slot.to_string()])?;
        }
        for signal in SIGNALS {
            metrics.signals.get_metric_with_label_values(&[signal])?;
        }
        Ok(metrics)
    }

    /// A worker of `slot` ended.
    pub fn worker_exited(&self, slot: SlotId, cause: Cause, exit: Exit) {
        count(&self.exits, cause.label());
        if let Ok(code) = self
            .last_exit_code
            .get_metric_with_label_values(&[slot.to_string()])
        {
            code.set(exit.shell_code().into());
        }
    }

    /// A worker is started in the slot because the previous one ended.
    pub fn worker_restarted(&self, slot: SlotId) {
        count(&self.restarts, &slot.to_string());
    }

    /// A worker could not be started: fork or exec failed.
    pub fn spawn_failed(&self) {
        self.spawn_failures.inc();
    }

    /// A worker became ready, `after` its start.
    pub fn worker_ready(&self, _slot: SlotId, after: Duration) {
        self.ready_duration.observe(after.as_secs_f64());
    }

    /// A process that is not a worker was reaped.
    pub fn orphan_reaped(&self) {
        self.orphans.inc();
    }

    /// Messages of sd_notify were refused.
    pub fn notify_refused(&self, messages: u64) {
        self.notify_refused.inc_by(messages);
    }

    /// The runtime received `sig`.
    pub fn signal_received(&self, sig: Sig) {
        let name = sig.to_string();
        count(&self.signals, name.strip_prefix("SIG").unwrap_or(&name));
    }

    /// The application is another one, after a reload.
    pub fn set_app(&self, app: AppInfo) {
        *lock(&self.app) = app;
    }

    /// What is known of the application.
    pub fn app(&self) -> AppInfo {
        lock(&self.app).clone()
    }

    /// The hand-over was chosen, or changed, after the start.
    pub fn set_handover(&self, info: HandoverInfo) {
        *lock(&self.handover) = info;
    }

    /// How workers get their listener of the shared port.
    pub fn handover(&self) -> HandoverInfo {
        lock(&self.handover).clone()
    }

    /// The present page: families sorted by name, series by labels.
    pub fn page(&self, scrape: &Scrape<'_>) -> Page {
        let (facts, snapshot) = (&self.facts, scrape.snapshot);
        self.know_slots(snapshot);
        let mut families = self.constants();
        families.extend(fleet(snapshot));
        families.extend(workers::states(snapshot, facts.wall_start));
        families.extend(workers::queues(&scrape.queues));
        families.extend(workers::connections(&scrape.connections, scrape.snapshot));
        families.extend(workers::balance(scrape.balance.as_ref()));
        let history = &mut lock(&self.history);
        families.extend(workers::resources(snapshot, &facts.proc, history));
        families.push(workers::memory_limit(snapshot, self.follows.memory()));
        families.extend(facts.cgroup.limits());
        families.extend(facts.cgroup.families());
        families.extend(super::log::families(&scrape.log, scrape.snapshot));
        families.extend(scrape.node.iter().flat_map(super::node::families));
        families.extend(scrape.app.iter().flat_map(app::families));
        families.extend(process::families(&facts.proc, &self.boot));
        let mut families: Vec<_> = families.into_iter().filter_map(Family::finish).collect();
        families.extend(self.registry.gather().iter().filter_map(family::counted));
        families.sort_by(|one, other| one.text_name().cmp(&other.text_name()));
        Page { families }
    }

    /// Creates the series of slots that were added before anything happens in them.
    fn know_slots(&self, snapshot: &Snapshot) {
        for worker in &snapshot.slots {
            // The metric has one label and gets one value, so this cannot fail.
            let _ = self
                .restarts
                .get_metric_with_label_values(&[worker.slot.to_string()]);
        }
    }

    fn constants(&self) -> Vec<Family> {
        let facts = &self.facts;
        let mut build = Family::info("rpm_build_info", "What this runtime was built from.");
        build.add(
            [
                ("revision", facts.revision.unwrap_or("unknown").to_owned()),
                ("target", facts.target.to_owned()),
                ("version", facts.version.to_owned()),
            ],
            1.0,
        );
        let info = self.app();
        let mut app = Family::info(
            "rpm_app_info",
            "Which application runs. A label that is not known is left out.",
        );
        app.add(
            [
                ("branch", info.branch.unwrap_or_default()),
                ("name", info.name),
                ("revision", info.revision.unwrap_or_default()),
                ("version", info.version.unwrap_or_default()),
            ],
            1.0,
        );
        let info = self.handover();
        let mut handover = Family::info(
            "rpm_handover_info",
            "How the workers get the shared port, and why so.",
        );
        handover.add(
            [
                ("handover", info.handover.to_owned()),
                ("reason", info.reason),
                ("steering", info.steering.to_owned()),
            ],
            1.0,
        );
        let start = Family::gauge(
            "rpm_start_time_seconds",
            "When the runtime was started, in seconds since 1970.",
        );
        vec![
            build,
            app,
            handover,
            start.only(
                facts
                    .wall_start
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .map(|at| at.as_secs_f64())
                    .ok(),
            ),
        ]
    }
}

fn fleet(snapshot: &Snapshot) -> [Family; 4] {
    [
        Family::gauge("rpm_state", "What the runtime is doing: 1 for that state.").each(
            "state",
            RunState::ALL.map(|state| (state.label(), flag(state == snapshot.state))),
        ),
        Family::gauge("rpm_ready", "Whether /readyz answers 200.").only(flag(snapshot.ready)),
        Family::gauge(
            "rpm_generation",
            "Current generation: how many reloads there were.",
        )
        .only(f64::from(snapshot.generation.0)),
        Family::gauge("rpm_workers_desired", "Workers wanted.").only(f64::from(snapshot.desired)),
    ]
}

fn since_1970(wall: SystemTime) -> u64 {
    wall.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

pub(super) fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

/// Adds one. The metric has one label and gets one value, so this cannot fail.
pub(super) fn count(family: &IntCounterVec, label: &str) {
    if let Ok(counter) = family.get_metric_with_label_values(&[label]) {
        counter.inc();
    }
}

/// A panic elsewhere leaves both guarded values valid.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
