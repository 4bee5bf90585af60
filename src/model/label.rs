//! States and causes that are label values in metrics, status and log.

/// What requested a reload.
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
    /// The text in the log.
    pub fn label(self) -> &'static str {
        match self {
            Self::Operator => "asked for",
            Self::Schedule => "RPM_CRON_RELOAD",
            Self::Files => "RPM_WATCH",
        }
    }
}

/// What made a worker ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyBy {
    /// It listens on every port that is expected of it.
    Listen,
    /// It said so (sd_notify, READY=1).
    Notify,
    /// It sent the message `ready` on Node's channel.
    Message,
    /// It answered a request.
    Http,
    /// It answered a request over TLS.
    Https,
    /// It accepted a connection.
    Tcp,
    /// It has been alive for long enough.
    Age,
}

impl ReadyBy {
    /// The text in the log.
    pub fn label(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Notify => "notify",
            Self::Message => "message",
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Age => "age",
        }
    }
}

/// What follows limits of the container, as counted in `rpm_resizes_total{followed}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The number of workers.
    Workers,
    /// RPM_MAX_MEMORY.
    MaxMemory,
}

impl Followed {
    /// Every value.
    pub const ALL: [Self; 2] = [Self::Workers, Self::MaxMemory];

    /// The label value.
    pub fn label(self) -> &'static str {
        match self {
            Self::Workers => "workers",
            Self::MaxMemory => "max_memory",
        }
    }
}

/// How a reload ended, as counted in `rpm_reloads_total{result}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadResult {
    /// Every worker was replaced.
    Success,
    /// A new worker did not become ready; the other workers stayed.
    Failure,
    /// A stop or a restart came first.
    Superseded,
}

impl ReloadResult {
    /// All results, in the order of the metric's series.
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

/// How the drain of a worker ended, as counted in `rpm_drains_total{result}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainEnd {
    /// No open or queued connection was left.
    Empty,
    /// The time limit passed, but then a moment was found without a request at work.
    Quiet,
    /// The time limit passed.
    Timeout,
    /// The worker exited by itself.
    Exited,
    /// A stop came first.
    Stopped,
}

impl DrainEnd {
    /// All results, in the order of the metric's series.
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
    /// It exited by itself with an exit code.
    Exit,
    /// A signal that the runtime did not send killed it.
    Signal,
    /// The kernel's OOM killer killed it.
    Oom,
    /// The runtime replaced it because it used more than RPM_MAX_MEMORY.
    MemoryLimit,
    /// The runtime replaced it because its checks failed (RPM_HEALTH, the watchdog of sd_notify), or its Node channel
    /// could not be served.
    Unhealthy,
    /// A reload replaced it, or it was a new worker of a failed reload.
    Reload,
    /// Its slot was removed (scale-down).
    Scale,
    /// An operator stopped its slot.
    Halt,
    /// It was not ready within RPM_READY_TIMEOUT, so the runtime ended it.
    StartTimeout,
    /// It was told to stop (shutdown) and did.
    Stop,
    /// It was told to stop and was killed after the grace.
    StopTimeout,
    /// It was stopped by a restart.
    Restart,
    /// The program could not be executed.
    ExecFailed,
}

impl Cause {
    /// All causes, in the order of the metric's series.
    pub const ALL: [Self; 13] = [
        Self::Exit,
        Self::Signal,
        Self::Oom,
        Self::MemoryLimit,
        Self::Unhealthy,
        Self::Reload,
        Self::Scale,
        Self::Halt,
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
            Self::Halt => "halt",
            Self::StartTimeout => "start_timeout",
            Self::Stop => "stop",
            Self::StopTimeout => "stop_timeout",
            Self::Restart => "restart",
            Self::ExecFailed => "exec_failed",
        }
    }
}

/// State of the runtime as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunState {
    /// Not all workers have been ready once.
    #[default]
    Starting,
    /// Serving.
    Running,
    /// Serving, while a reload replaces the workers.
    Reloading,
    /// A stop was requested and the workers still serve: during RPM_SHUTDOWN_DELAY, and then until no request is at
    /// work.
    Draining,
    /// The workers were sent their stop signal.
    Stopping,
}

impl RunState {
    /// All states, in the order of the metric's series.
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

/// State of one worker or of an empty slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerState {
    /// Started, not ready yet.
    Starting,
    /// It serves.
    Ready,
    /// It gets no new connections and finishes its requests; it has no slot any more.
    Draining,
    /// It was told to stop; it has no slot any more.
    Retiring,
    /// The slot waits for its next start.
    Backoff,
    /// The slot stays empty (RPM_RESTART, RPM_STOP_EXIT_CODES).
    Stopped,
    /// An operator stopped the slot; it stays empty until an operator starts it.
    Halted,
}

impl WorkerState {
    /// All states, in the order of the metric's series.
    pub const ALL: [Self; 7] = [
        Self::Starting,
        Self::Ready,
        Self::Draining,
        Self::Retiring,
        Self::Backoff,
        Self::Stopped,
        Self::Halted,
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
            Self::Halted => "halted",
        }
    }
}
