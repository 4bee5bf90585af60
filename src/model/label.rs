//! Words that are label values as well: of the metrics, the status and the log.

/// What asked for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A signal, or an operator.
    Operator,
    /// RPM_CRON_RELOAD.
    Schedule,
    /// RPM_WATCH.
    Files,
}

impl Trigger {
    /// In a line of the log.
    pub fn label(self) -> &'static str {
        match self {
            Self::Operator => "asked for",
            Self::Schedule => "RPM_CRON_RELOAD",
            Self::Files => "RPM_WATCH",
        }
    }
}

/// How a reload ended, as counted in `rpm_reloads_total{result}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadResult {
    /// Every worker was replaced.
    Success,
    /// A new worker did not come up; the others stayed.
    Failure,
    /// The stop, or a restart, came first.
    Superseded,
}

impl ReloadResult {
    /// Every result, in the order of the metric's series.
    pub const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::Superseded];

    /// The label value.
    pub fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Superseded => "superseded",
        }
    }
}

/// How a worker's drain ended, as counted in `rpm_drains_total{result}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainEnd {
    /// Nothing was left: no connection, none queued.
    Empty,
    /// The time was over, but a moment was found at which no request was in work.
    Quiet,
    /// The time was over.
    Timeout,
    /// The worker ended by itself.
    Exited,
    /// The stop came first.
    Stopped,
}

impl DrainEnd {
    /// Every end, in the order of the metric's series.
    pub const ALL: [Self; 5] = [
        Self::Empty,
        Self::Quiet,
        Self::Timeout,
        Self::Exited,
        Self::Stopped,
    ];

    /// The label value.
    pub fn label(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Quiet => "quiet",
            Self::Timeout => "timeout",
            Self::Exited => "exited",
            Self::Stopped => "stopped",
        }
    }
}

/// Why a worker ended, as counted in `rpm_worker_exits_total{cause}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It ended by itself with an exit code.
    Exit,
    /// A signal that was not ours ended it.
    Signal,
    /// The kernel killed it for want of memory.
    Oom,
    /// It was replaced because it grew beyond RPM_MAX_MEMORY.
    MemoryLimit,
    /// It was replaced because it failed its checks (RPM_HEALTH, or sd_notify's watchdog).
    Unhealthy,
    /// It was replaced by a reload, or was new in one that failed.
    Reload,
    /// Its slot was given up (scale-down).
    Scale,
    /// It was not ready within RPM_READY_TIMEOUT and was ended for it.
    StartTimeout,
    /// It was asked to stop (shutdown) and did.
    Stop,
    /// It was asked to stop and had to be killed after the grace.
    StopTimeout,
    /// It was stopped to be started again (`restart`).
    Restart,
    /// The program could not be executed at all.
    ExecFailed,
}

impl Cause {
    /// Every cause, in the order of the metric's series.
    pub const ALL: [Self; 12] = [
        Self::Exit,
        Self::Signal,
        Self::Oom,
        Self::MemoryLimit,
        Self::Unhealthy,
        Self::Reload,
        Self::Scale,
        Self::StartTimeout,
        Self::Stop,
        Self::StopTimeout,
        Self::Restart,
        Self::ExecFailed,
    ];

    /// The label value.
    pub fn label(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Signal => "signal",
            Self::Oom => "oom",
            Self::MemoryLimit => "memory_limit",
            Self::Unhealthy => "unhealthy",
            Self::Reload => "reload",
            Self::Scale => "scale",
            Self::StartTimeout => "start_timeout",
            Self::Stop => "stop",
            Self::StopTimeout => "stop_timeout",
            Self::Restart => "restart",
            Self::ExecFailed => "exec_failed",
        }
    }
}

/// What the runtime as a whole is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunState {
    /// Not all workers have been ready once yet.
    #[default]
    Starting,
    /// Serving.
    Running,
    /// Serving, while a reload replaces the workers.
    Reloading,
    /// Told to stop, still serving: for RPM_SHUTDOWN_DELAY, then until no request is in work.
    Draining,
    /// Workers have their stop signal.
    Stopping,
}

impl RunState {
    /// Every state, in the order of the metric's series.
    pub const ALL: [Self; 5] = [
        Self::Starting,
        Self::Running,
        Self::Reloading,
        Self::Draining,
        Self::Stopping,
    ];

    /// The label value.
    pub fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Reloading => "reloading",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
        }
    }
}

/// What one worker, or an empty slot, is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerState {
    /// Started, not ready yet.
    Starting,
    /// Serves.
    Ready,
    /// Gets nothing new and finishes what it has; holds no slot any more.
    Draining,
    /// Told to stop; holds no slot any more.
    Retiring,
    /// The slot waits for its next try.
    Backoff,
    /// The slot stays empty (RPM_RESTART, RPM_STOP_EXIT_CODES).
    Stopped,
}

impl WorkerState {
    /// Every state, in the order of the metric's series.
    pub const ALL: [Self; 6] = [
        Self::Starting,
        Self::Ready,
        Self::Draining,
        Self::Retiring,
        Self::Backoff,
        Self::Stopped,
    ];

    /// The label value.
    pub fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Retiring => "retiring",
            Self::Backoff => "backoff",
            Self::Stopped => "stopped",
        }
    }
}
