//! The JSON bodies. Users parse the field names: fields may be added, but never renamed.

use serde::Serialize;
use serde_json::Value;

use crate::model::shown::seconds;
use crate::model::{
    AppInfo, Cause, Exit, HandoverInfo, Look, ObservationInfo, Pid, QueueKind, QueueSample,
    ReloadResult, ReloadView, RunState, Snapshot, Tick, WorkerFigures, WorkerState, WorkerView,
    spread,
};

/// Facts that do not change while the runtime runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Version of the runtime.
    pub version: &'static str,
    /// Commit of the build, if known.
    pub revision: Option<&'static str>,
    /// PID of the runtime, in its own namespace.
    pub pid: u32,
}

/// Body of `/readyz` and `/startupz`.
#[derive(Debug, Serialize)]
pub(super) struct Readiness {
    state: &'static str,
    ready: bool,
    started: bool,
    workers_ready: usize,
    desired: u16,
    /// Why it is not ready; null if `ready`.
    reason: Option<String>,
}

impl Readiness {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let ready = snapshot.slots.iter();
        let workers_ready = ready
            .filter(|worker| worker.state == WorkerState::Ready)
            .count();
        Self {
            state: snapshot.state.label(),
            ready: snapshot.ready,
            started: snapshot.started,
            workers_ready,
            desired: snapshot.desired,
            reason: (!snapshot.ready).then(|| match snapshot.state {
                RunState::Draining | RunState::Stopping => "the runtime is stopping".to_owned(),
                RunState::Starting | RunState::Running | RunState::Reloading => {
                    let halted = match halted(snapshot) {
                        0 => String::new(),
                        halted => format!("; {halted} stopped by an operator (rpmctl start)"),
                    };
                    format!(
                        "{workers_ready} of {} workers are ready{halted}",
                        snapshot.desired
                    )
                }
            }),
        }
    }
}

fn halted(snapshot: &Snapshot) -> usize {
    let slots = snapshot.slots.iter();
    slots
        .filter(|slot| slot.state == WorkerState::Halted)
        .count()
}

/// Body of `/status`.
#[derive(Debug, Serialize)]
pub(super) struct Status<'a> {
    app: App<'a>,
    runtime: Runtime,
    handover: HandoverStatus<'a>,
    balance: BalanceStatus<'a>,
    observation: ObservationStatus<'a>,
    queues: Vec<QueueStatus<'a>>,
    slots: Vec<WorkerStatus>,
    /// New workers of slots that another worker still serves.
    rising: Vec<WorkerStatus>,
    /// Workers without a slot: they drain or were told to stop.
    retiring: Vec<WorkerStatus>,
    /// The last reloads, the latest at the end.
    reloads: Vec<ReloadStatus<'a>>,
    /// What happened last, the latest at the end.
    events: Vec<Value>,
}

#[derive(Debug, Serialize)]
struct App<'a> {
    name: &'a str,
    version: Option<&'a str>,
    revision: Option<&'a str>,
    branch: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Runtime {
    version: &'static str,
    revision: Option<&'static str>,
    pid: u32,
    uptime_seconds: f64,
    state: &'static str,
    ready: bool,
    started: bool,
    desired: u16,
    generation: u32,
}

#[derive(Debug, Serialize)]
struct HandoverStatus<'a> {
    handover: &'a str,
    steering: &'a str,
    reason: &'a str,
}

#[derive(Debug, Serialize)]
struct BalanceStatus<'a> {
    /// RPM_BALANCE, or `none` without steering.
    how: &'a str,
    /// New connections go to the workers with the fewest.
    counts_connections: bool,
    /// How often it was changed who gets new connections; null without a balance that looks at queues.
    changes: Option<u64>,
    /// Connections that were seen arriving; null if they are not followed.
    arrivals: Option<u64>,
    /// Counts of the open connections; null if they are not counted.
    counts: Option<u64>,
    /// Connections of the ready worker that has the most, over their mean; null if unknown.
    spread: Option<f64>,
}

/// What the runtime observes of single workers.
#[derive(Debug, Serialize)]
struct ObservationStatus<'a> {
    /// What makes a worker ready.
    ready: &'a str,
    health: &'a str,
    app_metrics: &'a str,
    /// Why one of them is less than configured; null if none is.
    reason: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct QueueStatus<'a> {
    listener: &'a str,
    /// The slot; null for a spare.
    worker: Option<u16>,
    /// What `length` and `limit` count: connections or bytes.
    unit: &'static str,
    length: u32,
    limit: u32,
    in_rotation: bool,
}

#[derive(Debug, Serialize)]
struct WorkerStatus {
    slot: u16,
    state: &'static str,
    pid: Option<i32>,
    generation: u32,
    uptime_seconds: Option<f64>,
    restarts: u64,
    streak: u32,
    last_exit: Option<Ended>,
    /// Why the last worker ended: the causes of `rpm_worker_exits_total`.
    last_cause: Option<&'static str>,
    /// The worker's own status text (sd_notify).
    status: Option<String>,
    /// Seconds until the next start (backoff), the end of the drain (draining), or SIGKILL (retiring).
    due_seconds: Option<f64>,
    /// CPU time of its main process.
    cpu_seconds: Option<f64>,
    /// The same in percent of one CPU, over the life of the process.
    cpu_percent: Option<f64>,
    /// Resident memory of its main process.
    memory_bytes: Option<u64>,
    /// Open connections of the slot's workers on shared ports.
    connections: Option<u64>,
    /// Connections that wait to be accepted.
    queue: Option<u64>,
    /// Whether it gets new connections.
    in_rotation: Option<bool>,
}

#[derive(Debug, Serialize)]
struct ReloadStatus<'a> {
    number: u64,
    generation: u32,
    /// Workers to replace.
    workers: usize,
    /// Workers that are replaced already.
    replaced: usize,
    /// `success`, `failure`, `superseded`; null while it runs.
    result: Option<&'static str>,
    /// Why it failed.
    why: Option<&'a str>,
    seconds: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Ended {
    Code(u8),
    Signal(String),
}

impl<'a> Status<'a> {
    pub(super) fn of(
        (about, app): (&'a About, &'a AppInfo),
        (handover, observation): (&'a HandoverInfo, &'a ObservationInfo),
        look: &'a Look,
        events: Vec<Value>,
    ) -> Self {
        let (snapshot, now) = (&look.snapshot, look.now);
        let mut figures = look.figures.iter();
        let mut workers = |views: &[WorkerView]| {
            let shown = |view| {
                let figures = figures.next().copied().unwrap_or_default();
                WorkerStatus::of(view, &figures, now)
            };
            views.iter().map(shown).collect()
        };
        Self {
            app: App {
                name: &app.name,
                version: app.version.as_deref(),
                revision: app.revision.as_deref(),
                branch: app.branch.as_deref(),
            },
            runtime: Runtime {
                version: about.version,
                revision: about.revision,
                pid: about.pid,
                uptime_seconds: seconds(now.since(Tick::default())),
                state: snapshot.state.label(),
                ready: snapshot.ready,
                started: snapshot.started,
                desired: snapshot.desired,
                generation: snapshot.generation.0,
            },
            handover: HandoverStatus {
                handover: handover.handover,
                steering: handover.steering,
                reason: &handover.reason,
            },
            balance: BalanceStatus::of(handover, look),
            observation: ObservationStatus {
                ready: observation.ready,
                health: observation.health,
                app_metrics: observation.app_metrics,
                reason: observation.reason.as_deref(),
            },
            queues: look.queues.iter().map(QueueStatus::of).collect(),
            // In the order of the figures.
            slots: workers(&snapshot.slots),
            rising: workers(&snapshot.rising),
            retiring: workers(&snapshot.retiring),
            reloads: look.reloads.iter().map(ReloadStatus::of).collect(),
            events,
        }
    }
}

impl<'a> BalanceStatus<'a> {
    fn of(handover: &'a HandoverInfo, look: &Look) -> Self {
        let sample = look.balance.as_ref();
        let following = sample.filter(|sample| sample.follows);
        let connections = look.figures.iter().map(|figures| figures.connections);
        Self {
            how: handover.steering,
            counts_connections: handover.counts_connections,
            changes: sample.map(|sample| sample.changes),
            arrivals: following.map(|sample| sample.arrivals),
            counts: following.map(|sample| sample.counts),
            spread: spread(look.snapshot.slots.iter().zip(connections)),
        }
    }
}

impl<'a> QueueStatus<'a> {
    fn of(sample: &'a QueueSample) -> Self {
        Self {
            listener: &sample.listener,
            worker: sample.worker.map(|slot| slot.0),
            unit: match sample.kind {
                QueueKind::Connections => "connections",
                QueueKind::Datagrams { .. } => "bytes",
            },
            length: sample.length,
            limit: sample.limit,
            in_rotation: sample.in_rotation,
        }
    }
}

impl WorkerStatus {
    fn of(view: &WorkerView, figures: &WorkerFigures, now: Tick) -> Self {
        let started = view.pid.and(view.started);
        Self {
            slot: view.slot.0,
            state: view.state.label(),
            pid: view.pid.map(Pid::get),
            generation: view.generation.0,
            uptime_seconds: started.map(|started| seconds(now.since(started))),
            restarts: view.restarts,
            streak: view.streak,
            last_exit: view.last_exit.map(|exit| match exit {
                Exit::Code(code) => Ended::Code(code),
                Exit::Signal(sig) => Ended::Signal(sig.to_string()),
            }),
            last_cause: view.last_cause.map(Cause::label),
            status: view.status.clone(),
            due_seconds: view.due.map(|due| seconds(due.since(now))),
            cpu_seconds: figures.cpu.map(seconds),
            cpu_percent: figures.cpu_percent,
            memory_bytes: figures.memory,
            connections: figures.connections,
            queue: figures.queue,
            in_rotation: figures.in_rotation,
        }
    }
}

impl<'a> ReloadStatus<'a> {
    fn of(view: &'a ReloadView) -> Self {
        Self {
            number: view.number,
            generation: view.generation.0,
            workers: view.workers,
            replaced: view.replaced,
            result: view.result.map(ReloadResult::label),
            why: view.why.as_deref(),
            seconds: seconds(view.took),
        }
    }
}
