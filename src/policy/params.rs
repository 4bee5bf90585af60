//! The parameters of the fleet.

use std::time::Duration;

use super::{Backoff, Share};
use crate::model::{PortSet, Word};

/// When a worker counts as ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyRule {
    /// When it has been alive for this time.
    Alive(Duration),
    /// When [`super::Event::Ready`] reports it, within the ready timeout.
    Told,
    /// When [`super::Event::Ready`] reports it, and it listens on every expected port.
    Asked,
    /// When it listens on every expected port; see [`super::ready`].
    Listens {
        /// If it serves no port, it is ready when it has been alive for this time. That is known once a worker has
        /// not listened within the ready timeout. `None`: it must listen.
        or_alive: Option<Duration>,
    },
}

/// RPM_RESTART: after which ends a worker is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// After every end.
    Always,
    /// Unless it exited successfully.
    OnFailure,
    /// Never.
    Never,
}

impl Word for Restart {
    const ALL: &'static [Self] = &[Self::Always, Self::OnFailure, Self::Never];

    fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::OnFailure => "on-failure",
            Self::Never => "never",
        }
    }
}

/// The parameters of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Desired number of workers.
    pub instances: u16,
    /// When a worker is ready.
    pub ready: ReadyRule,
    /// Clients wait in a queue of their own until a worker is ready, if workers accept before they are.
    pub waits_apart: bool,
    /// How long a worker may take to become ready, if not its age decides.
    pub ready_timeout: Duration,
    /// The ports on which each worker must listen before it is ready. Empty: those that other workers of this service
    /// serve.
    pub ports: PortSet,
    /// After which ends a worker is restarted.
    pub restart: Restart,
    /// Exit codes after which a slot stays empty.
    pub stop_exit_codes: Vec<u8>,
    /// Exit codes that become 0 as the runtime's exit code.
    pub exit_ok: Vec<u8>,
    /// A worker that ends before this uptime counts for the streak.
    pub min_uptime: Duration,
    /// The streak at which the runtime gives up; `None`: it never does.
    pub max_restarts: Option<u32>,
    /// Restart delay, by streak.
    pub backoff: Backoff,
    /// The grace: time from the stop signal to SIGKILL.
    pub stop_timeout: Duration,
    /// Whether workers with Node's channel are told to stop by a message, and by the stop signal only when half of the
    /// grace is over.
    pub stop_message: bool,
    /// Time from the first stop request until the workers drain.
    pub shutdown_delay: Duration,
    /// How long a worker may finish its requests before its stop signal; `None` if the runtime cannot keep new
    /// connections away from it.
    pub drain_timeout: Option<Duration>,
    /// Whether a worker's metrics are read a last time before its stop signal.
    pub last_scrape: bool,
    /// Additional workers during replacements; percentages are rounded up.
    pub surge: Share,
    /// Missing workers during replacements; percentages are rounded down.
    pub unavailable: Share,
    /// How long a new worker must have been ready before its predecessor drains.
    pub min_ready: Duration,
    /// Consecutive health checks that a worker may fail; `None`: there are no checks.
    pub health_failures: Option<u32>,
}
