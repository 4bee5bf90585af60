//! The variables that the runtime sets for workers, or takes from them. The one list of their names: the configuration
//! keeps them for the runtime, the supervisor and `sys` set them, and the reference describes them.

/// One variable of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerVar {
    /// Its name.
    pub name: &'static str,
    /// What a worker finds in it: whole sentences in Markdown, for the reference.
    pub doc: &'static str,
}

const fn var(name: &'static str, doc: &'static str) -> WorkerVar {
    WorkerVar { name, doc }
}

/// The slot.
pub const INSTANCE: WorkerVar = var(
    "RPM_INSTANCE",
    "The slot number, 0 to N-1. A worker that is started again, or replaced in a reload, gets the number of the one before \
     it.",
);

/// The number of workers.
pub const WORKERS: WorkerVar = var(
    "RPM_WORKERS",
    "How many workers were wanted when this one was started.",
);

/// The reload.
pub const GENERATION: WorkerVar = var(
    "RPM_GENERATION",
    "How many reloads there were before: 0 for the first workers.",
);

/// The slot, as pm2 calls it.
pub const PM_ID: WorkerVar = var("pm_id", "The slot number, under the name that pm2 uses.");

/// The name of the application, as pm2 calls it.
pub const NAME: WorkerVar = var(
    "name",
    "`RPM_APP_NAME`, under the name that pm2 uses, unless it is set already.",
);

/// Keeps servers from forking workers of their own.
pub const WEB_CONCURRENCY: WorkerVar = var(
    "WEB_CONCURRENCY",
    "1, unless it is set already: a server that is a worker here shall not fork workers of its own.",
);

/// Where a worker says that it is ready.
pub const NOTIFY_SOCKET: WorkerVar = var(
    "NOTIFY_SOCKET",
    "With `RPM_READY=notify`: the socket for sd_notify(3). Only processes of the worker are believed: see \
     [reload.md](reload.md#who-speaks-for-a-worker).",
);

/// The directory of prometheus_client.
pub const MULTIPROC_DIR: WorkerVar = var(
    "PROMETHEUS_MULTIPROC_DIR",
    "With `RPM_APP_METRICS=multiproc`: the directory of prometheus_client. If the runtime's own environment holds it, that \
     directory is used.",
);

/// How many descriptors were handed over.
pub const LISTEN_FDS: WorkerVar = var(
    "LISTEN_FDS",
    "With `RPM_HANDOVER=activation`: how many listeners were handed over; the first is descriptor 3.",
);

/// To whom descriptors were handed over.
pub const LISTEN_PID: WorkerVar = var(
    "LISTEN_PID",
    "With `RPM_HANDOVER=activation`: the worker's own process ID.",
);

/// What the descriptors are called.
pub const LISTEN_FDNAMES: WorkerVar = var(
    "LISTEN_FDNAMES",
    "With `RPM_HANDOVER=activation`: the names of the listeners.",
);

/// To whom descriptors were handed over, as newer versions of systemd say it.
pub const LISTEN_PIDFDID: WorkerVar = var("LISTEN_PIDFDID", "Never set for workers.");

/// The channel of Node.
pub const NODE_CHANNEL_FD: WorkerVar = var(
    "NODE_CHANNEL_FD",
    "With a Node channel (`RPM_NODE`): the descriptor of the channel. Node removes it from `process.env`.",
);

/// The worker's number in Node's cluster.
pub const NODE_UNIQUE_ID: WorkerVar = var(
    "NODE_UNIQUE_ID",
    "With a Node channel, if ports are shared: the number of this worker, from 1 and never used again. It is `cluster.worker.id`; Node removes \
     the variable from `process.env`.",
);

/// The number of workers, as pm2 calls it.
pub const INSTANCES: WorkerVar = var(
    "instances",
    "With a Node channel: the number of workers, under the name that pm2 uses.",
);

/// How the ports are shared, as pm2 calls it.
pub const EXEC_MODE: WorkerVar = var(
    "exec_mode",
    "With a Node channel: `cluster_mode` if ports are shared, else `fork_mode`, as pm2 has it.",
);

/// The directory of pm2.
pub const PM2_HOME: WorkerVar = var(
    "PM2_HOME",
    "Never set for workers with a Node channel, because they would look for pm2 there.",
);

/// What a process is told about descriptors that were handed to it (sd_listen_fds(3)). What the runtime was told itself
/// passes to a worker only with the descriptors.
pub const ACTIVATION: [WorkerVar; 4] = [LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES, LISTEN_PIDFDID];

/// Names that the runtime keeps for itself and sets for no worker.
pub const NEVER_SET: [WorkerVar; 2] = [LISTEN_PIDFDID, PM2_HOME];

/// Every one, in the order of the reference.
pub const ALL: [WorkerVar; 17] = [
    INSTANCE,
    WORKERS,
    GENERATION,
    PM_ID,
    NAME,
    WEB_CONCURRENCY,
    NOTIFY_SOCKET,
    MULTIPROC_DIR,
    LISTEN_FDS,
    LISTEN_PID,
    LISTEN_FDNAMES,
    LISTEN_PIDFDID,
    NODE_CHANNEL_FD,
    NODE_UNIQUE_ID,
    INSTANCES,
    EXEC_MODE,
    PM2_HOME,
];

/// Whether the runtime sets this variable by itself.
pub fn is_given(name: &str) -> bool {
    ALL.iter().any(|var| var.name == name)
}
